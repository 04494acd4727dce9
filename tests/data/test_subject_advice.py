"""What is proposed where subjects are unknown: columns called so, others that recur so, and names that vary so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.layouts import draw_images, write_csv
from helpers.tables import touch, typed, write_lines

from leukemia.data.catalog import read_catalog
from leukemia.data.reading import Reading
from leukemia.data.subject_places import subject_pattern
from leukemia.data.subject_words import looks_like_subjects
from leukemia.data.subjects import read_subjects


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "column",
    [
        *("Fallnummer", "Patientennummer", "Patienten-ID", "Pat.-Nr.", "N° dossier", "numéro de dossier", "malade"),
        *(
            "paciente",
            "ID_Paciente",
            "prontuário",
            "expediente",
            "ID paziente",
            "患者",
            "患者编号",
            "病历号",
            "subject",
        ),
        *("doente", "N.º do utente", "patiënt", "Patientennr.", "Försöksperson", "Hasta No", "pacient_id", "ασθενής"),
    ],
)
def test_columns_of_subjects_in_several_languages(column: str) -> None:
    assert looks_like_subjects(column)


@pytest.mark.parametrize("column", ["Fallzahl je Woche", "Alter", "sexo", "Bild", "dossier_date", "标签", "Name"])
def test_other_columns_are_not_called_like_subjects(column: str) -> None:
    assert not looks_like_subjects(column)


def test_a_german_column_is_proposed_rather_than_names_that_are_only_numbered(tmp_path: Path) -> None:
    cases = [f"F{2100 + image % 2 + image // 4 * 2}/24" for image in range(12)]
    path = write_csv(tmp_path / "Auswertung.csv", 12, Fallnummer=cases)
    note = read_catalog(path).remarks[0]
    assert "; --subject-column Fallnummer reads the column Fallnummer, --subjects-from" in note
    assert len(set(read_catalog(path, Reading(subject_column="Fallnummer")).table["subject"])) == 6


@pytest.mark.parametrize(
    ("values", "is_proposed"),
    [
        ([f"{1200 + image % 2 + image // 4 * 2}" for image in range(12)], True),
        # Images of both classes.
        ([f"{1200 + image // 4}" for image in range(12)], True),
        ([f"2022-03-{11 + image // 4}" for image in range(12)], False),
        ([("Meyer", "Roe", "Lee")[image // 4] for image in range(12)], False),
        ([f"{1200 + image}" for image in range(12)], False),
        ([("L1", "L3", "L2", "L4")[image % 4] for image in range(12)], False),
    ],
)
def test_a_column_whose_values_recur_is_proposed(tmp_path: Path, values: Sequence[str], is_proposed: bool) -> None:
    note = read_catalog(write_csv(tmp_path / "list.csv", 12, Auftrag=values)).remarks[0]
    text = "--subject-column Auftrag reads the column Auftrag, whose values recur as patients do, if these are patients"
    assert (text in note) == is_proposed
    assert ("a CSV with a column subject gives them" in note) == (not is_proposed)


def test_ages_and_parts_are_not_proposed(tmp_path: Path) -> None:
    values = [f"{1200 + image % 2 + image // 4 * 2}" for image in range(12)]
    parts = [("train", "val", "test", "dev")[image % 2 + image // 6 * 2] for image in range(12)]
    note = read_catalog(write_csv(tmp_path / "list.csv", 12, age=values, fold=values, Teil=parts)).remarks[0]
    assert "--subject-column" not in note


@pytest.mark.parametrize(
    ("form", "way"),
    [
        ("cell_{0}.png", None),
        ("{0:06d}.jpg", None),
        # As Windows numbers the files of each folder.
        ("train/hem/cell ({1}) ({2}).jpg", None),
        ("S{1}_{0}.png", "--subject-pattern 'S(\\d+)_[^/]*$' reads 0, 1, 2 and 1 more from the names"),
        ("P{1}/cell_{0}.png", "--subject-pattern '^([^/]+)/' reads P0, P1, P2 and 1 more from the folders"),
    ],
)
def test_a_pattern_is_proposed_only_if_names_vary_like_patients(form: str, way: str | None) -> None:
    names = [form.format(number, number // 3, number % 4) for number in range(12)]
    (note,) = read_subjects(names, [None] * 12, Reading(), pattern=lambda: subject_pattern(names)).notes
    assert (way or "a CSV with a column subject gives them") in note
    assert ("--subject-pattern" in note) == (way is not None)


def test_an_empty_column_is_not_named(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", 12, who=[image // 2 for image in range(12)], patient=[""] * 12)
    assert "column patient" not in "\n".join(read_catalog(path, Reading(subject_column="who")).remarks)


@pytest.mark.parametrize("boxes", [1, 2])
def test_ids_that_start_again_in_each_part_of_coco_are_no_patients(tmp_path: Path, boxes: int) -> None:
    """Their images are sorted by class, so each id is of images of one class, as patients' are."""
    lines = []
    for part in ("train", "valid"):
        for n, path in enumerate(draw_images(tmp_path / "data" / part, 6, seed=len(part))):
            lines += boxes * [f"{part}/{path.name},{n},{int(n > 2)}"]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(["Path,id,label", *lines]))
    note = read_catalog(tmp_path / "data").remarks[0]
    assert "a CSV with a column subject gives them" in note


def test_of_two_columns_the_coarser_is_proposed_first(tmp_path: Path) -> None:
    """Each slide is of one person, who has several."""
    rows = [f"{n}.png,{n // 12},S{n // 2:04d},K{n // 6:04d}" for n in range(24)]
    touch(tmp_path, *(f"{n}.png" for n in range(24)))
    source = typed(write_lines(tmp_path / "list.csv", "Path,label,preparation,code", *rows))
    assert source.recurring_columns == ("code", "preparation")


def test_what_is_left_of_a_table_is_listed_where_no_column_has_patients(tmp_path: Path) -> None:
    """Not what has one value, another one for each image, or a name that says what it is."""
    columns = {
        "Blutbild": [("Meyer", "Roe", "Lee")[image // 4] for image in range(12)],
        "Kamera": ["A"] * 12,
        "Nr": range(12),
        "age": [image // 4 + 30 for image in range(12)],
        "lead_time": [image // 4 for image in range(12)],
        "stain": ["MGG", "Giemsa", "MGG"] * 4,
    }
    path = write_csv(tmp_path / "list.csv", 12, **columns)
    line = "--subject-column NAME reads another column, if one of these has patients (Blutbild, stain), --subjects-from"
    assert line in read_catalog(path).remarks[0]
    assert read_catalog(path, Reading(subject_column="Blutbild")).table["subject"].nunique() == 3
    called = write_csv(tmp_path / "called.csv", 12, seed=1, patient=columns["Blutbild"], stain=columns["stain"])
    assert "NAME" not in read_catalog(called).remarks[0]
