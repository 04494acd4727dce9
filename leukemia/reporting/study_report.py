"""The report of a study: one self-contained HTML page, in the order of a reader's questions, and PNG files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from leukemia.base.files import write_text
from leukemia.config.protocol import WARNINGS
from leukemia.config.results import num_folds_text
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.reporting.comparison import comparison_sections
from leukemia.reporting.depths import depth_sections
from leukemia.reporting.folds import folds_sections
from leukemia.reporting.ladder import ladder_sections
from leukemia.reporting.page import Part, Section, write_page
from leukemia.reporting.png_files import write_pngs
from leukemia.reporting.search_sections import (
    front_sections,
    hindsight_sections,
    parameter_sections,
    time_section,
    trials_section,
)
from leukemia.reporting.search_space import search_space_sections
from leukemia.reporting.setting_differences import settings_section
from leukemia.reporting.subclasses import subclass_sections
from leukemia.reporting.winner import (
    calibration_section,
    curves_section,
    guessing_section,
    quote_section,
    recipe_section,
    score_section,
    start_section,
)
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares
from leukemia.study.importances import HindsightRecord, Importances
from leukemia.study.ledger import Ledger, ledger_of
from leukemia.study.subclasses import subclasses_of
from leukemia.study.table import trial_table

_IMAGES = (
    (
        layout.CONTACT_SHEET,
        "Images",
        "A few images of each class as the network sees them, from as many subjects as possible, with the sizes of the "
        "files in pixels. If stain, sharpness or size tell the classes apart here, a network can learn that instead of "
        "the cells.",
        "images of each class",
    ),
    (
        layout.AUGMENTED,
        "Augmentation",
        "Training images augmented by the starting recipe; the first column is the original.",
        "augmented training images",
    ),
)
"""Pictures of the data: file, title, text and caption."""

_PNGS = {
    "scores-by-trial": layout.SEARCH,
    "device-time": layout.DEVICE_TIME,
    "importance": layout.IMPORTANCES,
    "score-and-cost": layout.FRONT,
    "ladder": layout.LADDER_PICTURE,
    "confusion": layout.CONFUSION,
    "roc": layout.ROC,
    "calibration": layout.CALIBRATION,
    "curves-accuracy": layout.CURVES,
}
"""Files of the figures that are also written as PNG, for W&B."""


def write_study_report(study: Study, best: Best | None) -> Path:
    """Write ``report.html``, ``trials.csv`` and PNG files to the study folder; returns the page's path.

    Uses only the study folder: no images, no Ray, no Optuna.

    Args:
        best: the study's winner (``Best.find``), None if it has none.
    """
    trials, ledger, info = trial_table(study), ledger_of(study), study.info
    parts = [part for part in _parts(study, best, trials, ledger) if part.sections]
    write_pngs(study.folder, [each for part in parts for each in part.sections], _PNGS)
    for section in (each for part in parts for each in part.sections):
        if section.grid is not None and section.grid.download is not None:
            write_text(study.folder / section.grid.download.name, section.grid.download.content)
    counted = f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'}{', no winner' if best is None else ''}"
    folds = num_folds_text(info.folds)
    subtitle = f"Started {info.created}, {counted}, {folds}, protocol {info.protocol}.{warnings_of(study)}"
    path = study.folder / layout.REPORT
    write_page(path, f"Study {study.name}", subtitle, parts)
    return path


def _parts(study: Study, best: Best | None, trials: pd.DataFrame, ledger: Ledger) -> Iterator[Part]:
    """The page's parts; those without sections are left out."""
    # Read before a picture is drawn: a damaged file changes none.
    hindsight, importances = HindsightRecord.find(study), Importances.find(study)
    if best is not None:
        yield Part("What to quote", [quote_section(study, best, warnings_of(study))])
        yield Part("Is it better than guessing?", [guessing_section(study, best)])
        start = "the first recipe" if compares(study.info) else "the start"
        yield Part(f"Is it better than {start}?", [start_section(study, best)])
    yield Part(
        "What decided it",
        [
            *comparison_sections(study),
            trials_section(study, trials, ledger),
            *search_space_sections(study),
            *hindsight_sections(study, hindsight, importances),
            *parameter_sections(study, trials),
            *depth_sections(study),
            *([] if best is None else [settings_section(study, best)]),
            *ladder_sections(study),
        ],
    )
    yield Part(
        "What it cost",
        [
            *([time_section(study, trials, ledger)] if ledger.total else []),
            *front_sections(study, trials, ledger, None if best is None else best.trial),
        ],
    )
    yield Part(
        "What to doubt",
        [
            *([] if best is None else [score_section(best)]),
            *([] if best is None else subclass_sections(subclasses_of(study, best), "out of fold")),
            *([] if best is None else [calibration_section(study, best), curves_section(study, best)]),
            *folds_sections(study),
            *_images_sections(study),
        ],
    )
    reproduce = [_commands_section(study, best), *([] if best is None else [recipe_section(best)])]
    yield Part("How to reproduce it", [*reproduce, _provenance_section(study, best)])


def warnings_of(study: Study) -> str:
    """What is to be said with every score, as sentences."""
    protocol = study.info.protocol
    warning = f" {WARNINGS[protocol].capitalize()}." if protocol in WARNINGS else ""
    return f"{warning} Note: {SAMPLE_WARNING}." if study.info.data.uri == SAMPLE else warning


def _images_sections(study: Study) -> list[Section]:
    """Pictures that the search drew when it had the images; earlier versions drew fewer."""
    return [
        Section(title=title, text=text, pictures=[(study.folder / name, caption)])
        for name, title, text, caption in _IMAGES
        if (study.folder / name).is_file()
    ]


def _commands_section(study: Study, best: Best | None) -> Section:
    rows = [("what", "command"), ("this search", study.info.command)]
    if (config := study.folder / layout.CONFIG).is_file():
        rows.append(("another one with its options", f"python -m search.run --config {shlex.quote(str(config))}"))
    where = shlex.join([study.name, "--runs", str(study.folder.parent)])
    if best is not None:
        rows.append(("train and deliver the winner", f"python -m leukemia.final --best {where}"))
    rows.append(("this page", f"python -m leukemia.report {where}"))
    return Section(title="Commands", text="", table=rows)


def _provenance_section(study: Study, best: Best | None) -> Section:
    info = study.info
    rows = [
        ("item", "value"),
        ("classes", "0 = normal, 1 = leukemic"),
        ("data", " ".join([info.data.uri, *(info.data.also or ())])),
        ("data fingerprint", info.data.fingerprint),
        *(("note on the data", note) for note in info.data.notes),
        *([] if info.weights is None else [("pretrained weights", info.weights)]),
        ("protocol", info.protocol),
        ("folds, seed", f"{info.folds}, {info.seed}"),
        *((f"{name} where the search started", value) for name, value in info.hardware.items()),
        *([] if best is None else [("device of the winner's folds", best.hardware.get("device", "unknown"))]),
        ("commit", info.commit),
        *((f"version of {name}", version) for name, version in info.versions.items()),
    ]
    return Section(title="Provenance", text="Data, software and hardware behind these scores.", table=rows)
