"""Classes in the names of folders of patients: a word at one place, proposed and mapped like the words of files."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from helpers.second_try import before_list, completed, found, refusal, touch

from leukemia.data.classes import LabelError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.folder_advice import tried
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading

DIAGNOSES = ["ALL", "Ctrl", "ALL", "AML", "Ctrl", "ALL", "Ctrl"]


@pytest.mark.parametrize(
    "form",
    ["Pt_{0:02d}_{1}/{2}.png", "{1}-{0:03d}/{2}.png", "batch/{0} ({1})/cells/{2}.png", "train/{1}{0:02d}/{2}.png"],
)
def test_words_in_the_names_of_folders_are_proposed_rather_than_the_folders(tmp_path: Path, form: str) -> None:
    names = [form.format(n + 1, word, cell) for n, word in enumerate(DIAGNOSES) for cell in range(3)]
    message = refusal(touch(tmp_path, *names))
    assert "the names of the folders have words that may be classes:\n  ALL (9)\n  AML (3)\n  Ctrl (9)\n" in message
    assert before_list(message).endswith("leave it out: --classes normal=WORD,... leukemic=ALL")
    normal, leukemic = completed(message, "Ctrl", "ALL")
    source = found(tmp_path, normal, f"{leukemic},AML")
    assert Counter((row.word, row.label) for row in source.rows) == {("ALL", 1): 9, ("AML", 1): 3, ("Ctrl", 0): 9}
    assert any(note.startswith("labels are read from the names of the folders: the ") for note in source.notes)


def test_a_word_that_is_not_mapped_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *(f"Pt_{n}_{word}/{cell}.png" for n, word in enumerate(DIAGNOSES) for cell in range(2)))
    assert "the names of the folders have words, each the last word, that --classes does not have" in refusal(
        tmp_path, "normal=Ctrl", "leukemic=ALL"
    )
    source = found(tmp_path, "normal=Ctrl", "leukemic=ALL", "ignore=AML")
    assert len(source.rows) == 12


def test_a_word_with_a_question_mark_is_another_word(tmp_path: Path) -> None:
    """Also in the column of the label sheet, and whatever the Unicode form of the names is."""
    forms = [unicodedata.normalize(form, "linf\u00f3cito") for form in ("NFC", "NFD")]
    words = ["blasto", "blasto?", *forms] * 3
    touch(tmp_path / "in", *(f"DSC_{n} ({word}).JPG" for n, word in enumerate(words)))
    message = refusal(tmp_path / "in")
    assert ":\n  blasto (3)\n  blasto? (3)\n  linf\u00f3cito (6)\n  write each of " in message
    classes = ("normal=linf\u00f3cito", "leukemic=blasto")
    assert "\n  write each of blasto? after its class" in refusal(tmp_path / "in", *classes)
    assert Counter(row.label for row in found(tmp_path / "in", *classes, "ignore=blasto?").rows) == {0: 6, 1: 3}
    sheet = LabelSheet(path=tmp_path / "out.csv", data=tmp_path / "in", reading=Reading(classes=classes))
    assert sheet.write() == (12, 9)
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert Counter((row["label"], row["word"]) for row in rows) == {("0", ""): 6, ("1", ""): 3, ("", "blasto?"): 3}


def test_names_of_patients_are_no_words(tmp_path: Path) -> None:
    touch(tmp_path, *(f"Pt_{n}_{name}/{cell}.png" for n, name in enumerate(["Lee", "Kim", "Roy"]) for cell in "ab"))
    assert "the names of the folders have words" not in refusal(tmp_path)


def test_words_of_patients_folders_are_no_match_for_folders_below(tmp_path: Path) -> None:
    """HOSP and CTRL may be sites; the visits below are proposed, and the words are named."""
    visits = {"HOSP-0012": ("diagnosis", "remission"), "HOSP-0019": ("diagnosis", "relapse"), "CTRL-0003": ("visit1",)}
    touch(tmp_path, *(f"{n}/{visit}/{k}.png" for n, each in visits.items() for visit in each for k in range(3)))
    message = refusal(tmp_path)
    assert "write each of diagnosis,relapse,remission,visit1 after its class" in message


def test_images_beside_the_folders_are_left_out_by_their_name_as_it_is_listed(tmp_path: Path) -> None:
    cells = [
        f"{order}/{word} ({n})/{n}.png" for order in "pqrs" for word in ("Blast", "Lympho", "Debris") for n in (1, 2)
    ]
    touch(tmp_path, *cells, *(f"{order}/_Preview.png" for order in "pqrs"))
    message = refusal(tmp_path, "normal=Lympho", "leukemic=Blast", "ignore=Debris")
    assert "\n  _Preview (4)\n" in message
    typed = "normal=Lympho leukemic=Blast ignore=Debris,_Preview"
    assert len(found(tmp_path, *typed.split()).rows) == 16


def test_a_reason_in_brackets_has_no_list(tmp_path: Path) -> None:
    error = LabelError("words:\n  a (1)\n  for example: --classes normal=b leukemic=a")
    error.example = ("normal=b", "leukemic=a")

    def read(classes: tuple[str, ...]) -> Source:
        raise LabelError(
            f"--classes: no image has the word '{classes[0]}'; correct it. The data have these words:\n  a (1)"
        )

    assert str(tried(error, read)).endswith("in --classes (--classes: no image has the word 'normal=b'; correct it)")
