"""The card of a delivered model, in Markdown, with the sections of Mitchell et al. (2019, arXiv:1810.03993)."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from leukemia.base.checksums import sha256_of
from leukemia.base.printable import escaped
from leukemia.base.short_paths import short_command, short_text
from leukemia.config.protocol import Protocol
from leukemia.config.recipe import Recipe
from leukemia.config.results import num_folds_text
from leukemia.config.sections import Data
from leukemia.delivery.delivery import Delivery
from leukemia.delivery.loading import network_plugin
from leukemia.delivery.model_tables import out_of_fold_table, rates_on, tested_table, thresholds_of
from leukemia.delivery.results import HEADER, Tested
from leukemia.reporting.operating_points import calibration_table
from leukemia.reporting.patients import UNKNOWN_PATIENTS, describe_patients, patient_rows
from leukemia.study import layout

ALL_TESTS = (
    "All test sets that this model was scored on; reporting only the best of several would be too optimistic. Each has "
    "its folder in `tests/`."
)

INTENDED = (
    "research on the classification of single white blood cells, in images like those of the training data",
    "comparing methods on public data, and as a baseline",
    "sorting images for experts who look at each of them",
)

NOT_INTENDED = (
    "diagnosis, treatment, triage, or any other decision about a patient",
    "images of other stains, cameras, magnifications, hospitals or species without a test on labelled images of these",
    "anything but single white blood cells: whole slides, bone marrow, overlapping cells, other diseases",
)

_SPLITS: dict[Protocol, str] = {
    "grouped": "no patient is on both sides of a split",
    "random-cell": "images of one patient may be on both sides of a split",
    "given": "the split that the data bring",
}


def card_of(folder: Path, delivery: Delivery, tested: Sequence[Tested]) -> str:
    """The text of the card.

    Args:
        folder: of the model; it has the weights.
        tested: all test sets of the model.
    """
    sections = [
        ("Model", _model(delivery)),
        ("Intended use", list(_points(INTENDED))),
        ("Not intended", list(_points(NOT_INTENDED))),
        ("Data", _data(delivery)),
        ("Protocol", _protocol(delivery)),
        *_quote(delivery),
        *_scores(delivery),
        ("Threshold", _threshold(delivery)),
        *_calibration(delivery),
        *([("Test sets", [ALL_TESTS, "", *_table(HEADER, (each.row() for each in tested))])] if tested else []),
        ("Limits", _limits(delivery)),
        ("How to load it", _loading(folder, delivery.recipe)),
        ("Provenance", _provenance(folder, delivery)),
    ]
    lines = [
        f"# {delivery.describe()}",
        "",
        *(line for each in delivery.verdicts() for line in (f"**{each}**", "")),
        "Classifies an image of a white blood cell: 0 = normal, 1 = leukemic.",
        "A research model: not a medical device, not for diagnosis.",
        "",
    ]
    for title, content in sections:
        lines += [f"## {title}", "", *content, ""]
    return "\n".join(lines)


def _model(delivery: Delivery) -> list[str]:
    record, recipe = delivery.record, delivery.recipe
    notes = [] if record.weights is None else [f"Training started from {_plain(record.weights)}."]
    mean = "over the views"
    if record.ensemble is not None:
        mean = f"over the {record.ensemble.members} networks and the views"
        notes = [f"It is an {record.ensemble.describe()}, whose probabilities are averaged.", *notes]
    return [
        f"{recipe.describe()}, trained for {_number(recipe.train.epochs, 'epoch')} on {record.created[:10]}: the "
        f"winner, trial {record.trial}, of the search {record.study}. All settings are in `{layout.RECIPE}`.",
        *notes,
        "",
        f"Input: {_describe_input(recipe.data)}.",
        "",
        f"Output: the probability that the cell is leukemic, in 0..1: the mean {mean} of test-time augmentation "
        f"({recipe.evaluate.tta}), computed in float32.",
    ]


def _data(delivery: Delivery) -> Iterator[str]:
    record = delivery.record
    summary = f"{record.num_training_images:,} images" if record.training is None else record.training.describe()
    yield f"- Training: {_plain(summary)}."
    if record.evaluation is None:
        yield "- Test: none."
    elif record.evaluation.data is not None:
        yield f"- Test: {_plain(record.evaluation.data.describe())}."
    else:
        yield "- Test: see below."


def _protocol(delivery: Delivery) -> Iterator[str]:
    found, evaluation = delivery.out_of_fold, delivery.evaluation
    folds = "cross-validation" if found.folds is None else f"cross-validation with {num_folds_text(found.folds)}"
    complete = "" if found.headline is None else f" among {_number(found.headline.num_complete, 'complete trial')}"
    splits = {str(name): text for name, text in _SPLITS.items()}.get(found.protocol, found.protocol)
    ensemble = delivery.record.ensemble
    trained = "trained on all training images"
    if ensemble is not None:
        trained += ", once for each seed" if ensemble.kind == "seeds" else " but those of one fold, once for each fold"
    yield (
        f"The recipe was chosen{complete} by {folds} on the training data (protocol {found.protocol}: {splits}), then "
        f"{trained}; the last epoch counts. Threshold and temperature were chosen on out-of-fold images, never on test "
        "images."
    )
    if evaluation is not None and evaluation.is_compared and not evaluation.overlap:
        whom = "No image and no patient" if evaluation.subjects_compared else "No image"
        yield ""
        yield f"{whom} of the test set is in the training data: images were compared by pixels, patients by name."


def _quote(delivery: Delivery) -> list[tuple[str, list[str]]]:
    quote = delivery.quote()
    return [("Score to quote", [f"{quote[0].upper()}{quote[1:]}."])] if quote else []


def _scores(delivery: Delivery) -> Iterator[tuple[str, list[str]]]:
    scored = delivery.scored
    table = out_of_fold_table(delivery) if scored is None else tested_table(scored)
    on = "out of fold, not corrected for selection" if scored is None else "on the test set"
    sentences = [delivery.describe_test(), *delivery.describe_difference()]
    yield (
        f"Scores {on}",
        [
            sentences[0],
            "",
            *_table(("score by image", "value (95 % interval)"), table.to_numpy().tolist()),
            *(line for sentence in sentences[1:] for line in ("", sentence)),
        ],
    )
    if scored is None:
        return
    if scored.patient_scores is None:
        yield "Scores by patient", [UNKNOWN_PATIENTS]
        return
    paragraphs = describe_patients(scored.patient_scores, delivery.record.decision.threshold)
    rows = patient_rows(scored.patient_scores)
    lines = [line for each in paragraphs for line in (each, "")]
    yield (
        "Scores by patient",
        [*lines, *_table(("score by patient", "value (95 % interval)"), rows)] if rows else lines[:-1],
    )


def _threshold(delivery: Delivery) -> list[str]:
    lines = [f"An image is called {delivery.record.decision.describe()}."]
    if (thresholds := thresholds_of(delivery)) is not None:
        how = "The thresholds were chosen out of fold; the rates, with 95 % intervals over patients, are "
        lines += ["", f"{how}{rates_on(delivery)}.", "", *_table(thresholds[0], thresholds[1:])]
    return lines


def _calibration(delivery: Delivery) -> Iterator[tuple[str, list[str]]]:
    scored, found = delivery.scored, delivery.out_of_fold.calibration
    calibration = found if scored is None else scored.calibration
    if calibration is None:
        return
    of = "out of fold" if scored is None else "on the test set"
    header, *rows = calibration_table(calibration)
    yield (
        "Calibration",
        [
            f"Of the probability of leukemic, {of}; 0 is best. Temperature scaling was fitted out of fold.",
            "",
            *_table(header, rows),
        ],
    )


def _limits(delivery: Delivery) -> list[str]:
    always = "Not tested on stains, cameras and hospitals other than those of the data above."
    return list(_points(map(_plain, [*delivery.caveats(), always])))


def _loading(folder: Path, recipe: Recipe) -> list[str]:
    plugin = network_plugin(folder, recipe)
    copy = "" if plugin is None else f"FOLDER/{plugin.relative_to(folder).as_posix()}"
    keyword, option = (f', plugins=["{copy}"]', f" --plugin {copy}") if copy else ("", "")
    run = f"No pickle is run. The network is that of the plug-in `{copy}`, which runs as any program: read it first."
    return [
        f"{run if copy else 'No pickle is run.'} `FOLDER` is the folder of this card:",
        "",
        "    import leukemia",
        f'    model = leukemia.load("FOLDER"{keyword})',
        '    model.predict("cells/*.png")  # a data frame: probability_leukemic, predicted, ...',
        '    model.explain("cells/1.png")  # where the network looks',
        "",
        f"    python -m leukemia.predict --model FOLDER{option} IMAGES...",
        f"    python -m leukemia.evaluate --model FOLDER{option} --test DATA",
        f"    python -m leukemia.export --model FOLDER{option}  # as ONNX, for use without torch",
    ]


def _provenance(folder: Path, delivery: Delivery) -> list[str]:
    weights = f"{layout.WEIGHTS} SHA-256"
    rows = [(weights, sha256_of(folder / layout.WEIGHTS)), *delivery.record.provenance()]
    return [
        f"Absolute paths are shortened to names; `{layout.MODEL}` has them in full.",
        "",
        *(f"- {item}: {_command(text) if item.startswith('command') else _plain(text)}" for item, text in rows),
    ]


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _plain(text: str) -> str:
    # Markdown passes HTML through, and a name may contain any text, such as line breaks.
    return html.escape(escaped(short_text(text)), quote=False)


def _command(text: str) -> str:
    return html.escape(escaped(short_command(text)))


def _points(items: Iterable[str]) -> Iterator[str]:
    return (f"- {each}" for each in items)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _describe_input(data: Data) -> str:
    gray, small = ", in gray" if data.grayscale else "", "padded with black" if data.small == "pad" else "refused"
    if data.crop_px is None:
        return f"whole images, scaled down to {data.size_px} px{gray}; smaller ones are {small}"
    return (
        f"one cell per image, at least {data.crop_px} px on each side, of which the central {data.crop_px} px are "
        f"used, resized to {data.size_px} px{gray}; smaller ones are {small}"
    )
