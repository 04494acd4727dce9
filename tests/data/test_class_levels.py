"""Which level of folders has the classes: neither one that all images have, nor that of the hospitals."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from helpers.second_try import completed, found, refusal, touch

WORDS = ("blast", "lymphocyte", "monocyte")


@pytest.mark.parametrize("above", ["Leukemia/{}", "cancer/train/{}", "Leukemia/normal/{}", "malignant/P{{}}/{}"])
def test_a_class_word_above_all_images_is_no_class(tmp_path: Path, above: str) -> None:
    names = [f"{above.format(word).format(n)}/{n}.png" for word in ("ALL", "HEM") for n in range(2)]
    assert {row.path.relative_to(tmp_path).as_posix(): row.label for row in found(touch(tmp_path, *names)).rows} == {
        name: int("ALL" in name) for name in names
    }


def test_a_class_word_above_some_images_is_refused_if_another_is_below(tmp_path: Path) -> None:
    touch(tmp_path, "cancer/Benign/1.png", "cancer/Malignant/1.png", "healthy/1.png")
    assert "folder cancer/Benign is named for both classes" in refusal(tmp_path)


@pytest.mark.parametrize("centres", [("Hospital A", "Hospital B"), ("site1", "site2"), ("Klinik_Nord", "Centre_X")])
def test_hospitals_are_not_proposed(tmp_path: Path, centres: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{centre}/{word}/{n}.png" for centre, word, n in product(centres, WORDS, range(2))))
    message = refusal(tmp_path)
    assert f"write each of {','.join(WORDS)} after its class" in message
    assert not any(f"{centre} (" in message for centre in centres)
    assert len(found(tmp_path, *completed(message, "lymphocyte,monocyte", "blast")).rows) == 12


def test_a_level_with_a_word_that_suggests_a_class_is_proposed_first(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{town}/{word}/{n}.png" for town, word, n in product(("Rome", "Tehran"), WORDS, range(2))))
    assert f"write each of {','.join(WORDS)} after its class" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("names", "letters"),
    [
        ([f"{n:03d}_{'NL'[n % 2]}_{n * 7:03d}.png" for n in range(12)], "L,N"),
        ([f"{'PN'[n % 2]}{n:03d}.png" for n in range(12)], "N,P"),
        ([f"P{n // 3:02d}_{'FM'[n // 6]}_{'BN'[n % 2]}_{n}.png" for n in range(12)], "B,N"),
    ],
)
def test_single_letters_are_offered_and_never_guessed(tmp_path: Path, names: list[str], letters: str) -> None:
    message = refusal(touch(tmp_path, *names))
    assert f"write each of {letters} after its class" in message
    first, second = letters.split(",")
    rows = found(tmp_path, *completed(message, second, first)).rows
    assert len(rows) == 12
    assert {row.word: row.label for row in rows} == {second: 0, first: 1}


@pytest.mark.parametrize("letters", ["AB", "MF", "LR", "ABCDEFGH"])
def test_letters_of_plates_sexes_and_sides_are_not_offered(tmp_path: Path, letters: str) -> None:
    names = [f"{n:03d}_{letters[n % len(letters)]}.png" for n in range(24)]
    assert "--classes" not in refusal(touch(tmp_path, *names))


def test_letters_are_offered_after_words(tmp_path: Path) -> None:
    names = [f"{('blast', 'lymph')[n % 2]}_{'NL'[n // 2 % 2]}_{n}.png" for n in range(12)]
    assert "write each of blast,lymph after its class" in refusal(touch(tmp_path, *names))


CENTRES = [
    *(f"Centre A/{word}/{n}.png" for word in ("ALL", "Healthy") for n in range(2)),
    *(f"Centre B/{word}/{n}.png" for word in ("LAL", "Sain") for n in range(2)),
]


def test_words_of_another_hospital_are_those_of_its_class_folders(tmp_path: Path) -> None:
    message = refusal(touch(tmp_path, *CENTRES))
    assert "\n  LAL/ (2)\n  Sain/ (2)\n  write each of LAL,Sain after its class, or after ignore= to" in message
    # An example never leaves out half of the images.
    assert message.rpartition(": --classes ")[2].startswith("normal=Healthy,WORD,... leukemic=ALL,WORD,...\n")
    source = found(tmp_path, "normal=Healthy,Sain", "leukemic=ALL,LAL")
    assert len(source.rows) == 8
    # Hospitals are not proposed as patients either.
    assert any(
        "folders of another level that are not read: Centre A (4), Centre B (4)" in n for n in source.named_notes
    )
    assert not any("--subject-pattern" in note for note in source.named_notes)


def test_words_below_the_parts_of_a_split_are_named_at_each_hospital(tmp_path: Path) -> None:
    """Also where hospitals spell the parts in different ways, and one has numbers."""
    parts = {"site_a": ("train", "test"), "site_b": ("Train", "Test"), "site_c": ("train", "test")}
    words = {"site_a": ("temoin", "LAL", "LAL2"), "site_b": ("HEM", "ALL"), "site_c": ("0", "1")}
    for site in parts:
        touch(
            tmp_path, *(f"{site}/{part}/{word}/{n}.png" for part in parts[site] for word in words[site] for n in "12")
        )
    message = refusal(tmp_path)
    assert "\n  0/ (4)\n  1/ (4)\n  LAL/ (4)\n  LAL2/ (4)\n  temoin/ (4)\n" in message
    assert "write each of LAL,LAL2,temoin after its class" in message
    assert message.rpartition(": --classes ")[2].startswith("normal=0,HEM,WORD,... leukemic=1,ALL,WORD,...\n")
    assert len(found(tmp_path, "normal=0,HEM,temoin", "leukemic=1,ALL,LAL,LAL2").rows) == 28


def test_an_example_that_is_refused_is_not_proposed(tmp_path: Path) -> None:
    """Left out as a word, the folder would be one of both classes."""
    touch(tmp_path, "hem/all/1.png", "hem/2.png", "all/1.png", "debris/1.png")
    message = refusal(tmp_path)
    assert "is named for both classes" in message
    (tmp_path / "hem/all/1.png").unlink()
    (tmp_path / "hem/all").rmdir()
    assert "--classes normal=hem leukemic=all ignore=debris" in refusal(tmp_path)


def test_what_remains_after_an_example_is_said_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "1.png", "2.png")
    lines = ["0.png,hem", "1.png,ALL", "2.png,Artefakt", "3.png,hem"]
    (tmp_path / "list.csv").write_text("\n".join(["Path,label", *lines]))
    message = refusal(tmp_path)
    assert "--classes normal=hem leukemic=ALL ignore=Artefakt\n  after that, this remains: " in message
    assert "1 of 4 images does not exist below" in message
    assert "\n    row 5: 3.png\n" in message
