"""Classes in the names of folders of patients: a word at one place, proposed and mapped like the words of files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers.second_try import before_list, completed, found, refusal, touch

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


def test_names_of_patients_are_no_words(tmp_path: Path) -> None:
    touch(tmp_path, *(f"Pt_{n}_{name}/{cell}.png" for n, name in enumerate(["Lee", "Kim", "Roy"]) for cell in "ab"))
    assert "the names of the folders have words" not in refusal(tmp_path)


def test_words_of_patients_folders_are_no_match_for_folders_below(tmp_path: Path) -> None:
    """HOSP and CTRL may be sites; the visits below are proposed, and the words are named."""
    visits = {"HOSP-0012": ("diagnosis", "remission"), "HOSP-0019": ("diagnosis", "relapse"), "CTRL-0003": ("visit1",)}
    touch(tmp_path, *(f"{n}/{visit}/{k}.png" for n, each in visits.items() for visit in each for k in range(3)))
    message = refusal(tmp_path)
    assert "write each of diagnosis,relapse,remission,visit1 after its class" in message
