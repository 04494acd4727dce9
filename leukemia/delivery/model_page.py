"""The page of a delivered model, in the order of a reader's questions, and its figures as PNG files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leukemia.base.files import write_text
from leukemia.data.classes import CLASSES
from leukemia.delivery.delivery import Delivery
from leukemia.delivery.evaluation import Evaluation
from leukemia.delivery.explanation import Explanation
from leukemia.delivery.model_tables import out_of_fold_table, tested_table, thresholds_of
from leukemia.reporting.calibration_figures import calibration, scaling
from leukemia.reporting.curve_figures import training_curves
from leukemia.reporting.gallery import Exhibit, Row
from leukemia.reporting.model_figures import confusion, precision_recall, roc
from leukemia.reporting.operating_points import calibration_table, thresholds_table
from leukemia.reporting.page import Part, Section, write_page
from leukemia.reporting.patients import UNKNOWN_PATIENTS, patients_section
from leukemia.reporting.png_files import write_pngs
from leukemia.reporting.subclasses import subclass_sections
from leukemia.reporting.words import describe_interval, objective_name
from leukemia.scoring.metrics import confusion_matrix
from leukemia.study import layout
from leukemia.study.models import ModelRecord

ON_TEST = "test set"
"""Which images were scored, in captions."""

CROSS_FITTED = (
    "The images of each fold are classified by the threshold that its rule chooses on the other folds; intervals are "
    "from a bootstrap over groups that repeats the choice."
)
APPARENT = (
    "There is one fold only: the rates are those of the images that the thresholds were chosen on, and so too good; "
    "intervals are from a bootstrap over groups, with the thresholds fixed."
)
FIXED = (
    "The thresholds were chosen out of fold, not on these images; intervals are from a bootstrap over groups, with the "
    "thresholds fixed."
)
PREDICTIVE = (
    "PPV and NPV, the shares of correct images among those that are called leukemic and normal, depend on the share of "
    "leukemic ones: here that of these images, unless another one is stated."
)
CALIBRATED = (
    "Brier score and negative log-likelihood are means over images; the calibration error is the mean difference "
    "between P(leukemic) and the share of leukemic images in 15 bins. 0 is best."
)
LOOKED = (
    "Each image as the network sees it, and where it looked (yellow): what speaks for the class that it answered, by "
    "Grad-CAM, averaged over eight flips and rotations. A map shows where, not what: one on the background is a reason "
    "to doubt the model, one on the cell is no proof of it."
)

_PNGS = {
    "confusion": layout.CONFUSION,
    "roc": layout.ROC,
    "precision-recall": layout.PRECISION_RECALL,
    "calibration": layout.CALIBRATION,
    "scaling": layout.SCALING,
    "curves-loss": layout.CURVES,
}
"""Files of the figures that are also written as PNG, for W&B."""


def write_model_page(folder: Path, delivery: Delivery) -> None:
    """Write ``report.html``, the files that it offers, and PNG files."""
    title = f"Model of study {delivery.record.study}, trial {delivery.record.trial}"
    parts = [part for part in _parts(delivery) if part.sections]
    sections = [section for part in parts for section in part.sections]
    write_pngs(folder, sections, _PNGS)
    for section in sections:
        if section.grid is not None and section.grid.download is not None:
            write_text(folder / section.grid.download.name, section.grid.download.content)
    write_page(folder / layout.REPORT, title, delivery.describe(), parts)


def _parts(delivery: Delivery) -> Iterator[Part]:
    """The page's parts; those without sections are left out."""
    scored, record = delivery.scored, delivery.record
    yield Part("What to quote", list(_quote_sections(delivery)))
    yield Part("How good is it on the test set?", [_test_section(delivery), *_scored_sections(delivery)])
    yield Part("Where is it wrong?", [] if scored is None else [_gallery_section(scored)])
    yield Part("When is an image called leukemic?", [*_tested_choice_sections(delivery), *_choice_sections(delivery)])
    yield Part(
        "What did the search find?",
        [
            Section(
                title="Out of fold, not corrected",
                text=delivery.out_of_fold.describe(),
                table=out_of_fold_table(delivery),
            ),
            *subclass_sections(delivery.out_of_fold.subclasses, "out of fold"),
        ],
    )
    yield Part(
        "How was it trained?",
        [
            Section(
                title="Training",
                text=f"{_describe_training(record)} Training accuracy is that of augmented images.",
                figures=training_curves(delivery.epochs, "run" if record.ensemble is None else "network"),
            ),
            Section(
                title="Recipe",
                text="All settings.",
                table=[
                    ("field", "value"),
                    *((key, str(value)) for key, value in sorted(delivery.recipe.flat().items())),
                ],
            ),
            Section(title="Provenance", text="", table=[("item", "value"), *_data_rows(record), *record.provenance()]),
        ],
    )


def _describe_training(record: ModelRecord) -> str:
    ensemble, images = record.ensemble, f"{record.num_training_images} training images"
    if ensemble is None:
        return f"Retrained on all {images}: none are left to validate it on."
    if ensemble.kind == "seeds":
        return f"{ensemble.members} networks, each trained on all {images}: none are left to validate them on."
    return (
        f"{ensemble.members} networks, each trained on the {images} without those of one fold, on which it was "
        "validated."
    )


def _data_rows(record: ModelRecord) -> Iterator[tuple[str, str]]:
    """The numbers of images and patients; those of earlier versions are not known."""
    if record.training is not None:
        yield "training data", record.training.describe()
    if record.evaluation is not None and record.evaluation.data is not None:
        yield "test data", record.evaluation.data.describe()


def _quote_sections(delivery: Delivery) -> Iterator[Section]:
    """What a reader must know first."""
    quote, headline = delivery.quote(), delivery.out_of_fold.headline
    text = "\n\n".join([*delivery.verdicts(), *([f"The score to quote: {quote}."] if quote else [])])
    if text:
        quoted = ""
        if quote and headline is not None:
            quoted = f"{objective_name(headline.metric)} {describe_interval(headline.interval)}"
        yield Section(title="", text=text, quoted=quoted)


def _test_section(delivery: Delivery) -> Section:
    text = "\n\n".join([delivery.describe_test(), *delivery.describe_difference(), *delivery.caveats()])
    scored = delivery.scored
    if scored is None:
        return Section(title="", text=text)
    labels, probabilities, threshold = scored.labels, scored.probabilities, scored.choice.decision.threshold
    figures = [
        confusion(confusion_matrix(labels, probabilities, threshold), ON_TEST),
        roc(labels, probabilities, ON_TEST, threshold),
        precision_recall(labels, probabilities, ON_TEST, threshold),
    ]
    return Section(title="By image", text=text, table=tested_table(scored), figures=figures)


def _scored_sections(delivery: Delivery) -> Iterator[Section]:
    """By patient and by subclass; empty without labels."""
    scored = delivery.scored
    if scored is None:
        return
    if scored.patient_scores is None:
        yield Section(title="By patient", text=UNKNOWN_PATIENTS)
    else:
        yield patients_section(scored.patients, scored.patient_scores, scored.choice.decision.threshold, ON_TEST)
    yield from subclass_sections(scored.subclasses, "of the test set")


def _gallery_section(scored: Evaluation) -> Section:
    gallery = scored.gallery
    assert gallery is not None
    if not gallery.num_mistakes:
        return Section(title="", text=f"All {len(scored.labels):,} test images are classified correctly.")
    number = "image is" if gallery.num_mistakes == 1 else "images are"
    text = f"{gallery.num_mistakes:,} of {len(scored.labels):,} test {number} classified wrongly. "
    text += f"{gallery.no_map[:1].upper()}{gallery.no_map[1:]}." if gallery.no_map else LOOKED
    mistakes = [_exhibit(scored, row, each) for row, each in zip(gallery.mistake_rows, gallery.mistakes, strict=True)]
    right = [_exhibit(scored, row, each) for row, each in zip(gallery.right_rows, gallery.right, strict=True)]
    shown = "All mistakes" if len(mistakes) == gallery.num_mistakes else f"The {len(mistakes)} surest mistakes"
    rows = [Row(title=f"{shown}, the surest first", exhibits=mistakes)]
    if right:
        rows.append(Row(title="As many right answers, the surest of the same classes", exhibits=right))
    return Section(title="", text=text, gallery=rows)


def _exhibit(scored: Evaluation, row: int, found: Explanation) -> Exhibit:
    of = scored.catalog.table.iloc[row]
    true, called = CLASSES[int(of["label"])], CLASSES[found.predicted]
    subclass = f" ({of['subclass']})" if of["subclass"] else ""
    patient = [f"patient {of['subject']}"] if scored.catalog.has_subjects else []
    looked = [] if found.relevance is None else [(found.overlay(), f"where the network looked for {called}")]
    return Exhibit(
        title=f"called {called}, P {found.probability_leukemic:.3f}",
        lines=[f"is {true}{subclass}", *patient, found.name],
        versions=[(found.pixels, f"{true} cell"), *looked],
        is_wrong=true != called,
    )


def _tested_choice_sections(delivery: Delivery) -> list[Section]:
    """Thresholds and calibration on the test set; empty if it has no labels."""
    scored = delivery.scored
    if scored is None:
        return []
    assert scored.calibration is not None
    assert scored.calibration.bins is not None
    return [
        Section(
            title="Thresholds on the test set",
            text=f"{FIXED} {PREDICTIVE}",
            table=thresholds_of(delivery),
        ),
        Section(
            title="Calibration on the test set",
            text=f"The probabilities of the network, and those of the model. {CALIBRATED}",
            table=calibration_table(scored.calibration),
            figures=calibration(scored.calibration.bins[1], ON_TEST),
        ),
    ]


def _choice_sections(delivery: Delivery) -> list[Section]:
    """How threshold and temperature were chosen; empty if an earlier version delivered the model."""
    found, decision = delivery.out_of_fold, delivery.record.decision
    if found.calibration is None:
        return []
    judged = CROSS_FITTED if found.cross_fitted else APPARENT
    scaled = ", in each fold by that of the other folds" if found.cross_fitted else ", which was fitted on these images"
    bins = found.calibration.bins
    return [
        Section(
            title="Thresholds out of fold",
            text=f"An image is called {decision.describe()}. {found.describe_choice()} {judged} {PREDICTIVE}",
            table=thresholds_table(found.operating_points, decision.rule, found.prevalence),
        ),
        Section(
            title="Calibration out of fold",
            text=(
                f"{found.describe_choice()} Before and after the log-odds are divided by the temperature{scaled}. "
                f"{CALIBRATED}"
            ),
            table=calibration_table(found.calibration),
            figures=[] if bins is None else scaling(*bins, "out of fold"),
        ),
    ]
