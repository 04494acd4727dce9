"""Layouts without a known word: what the refusal proposes has been tried, so the second try reads the data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from helpers.second_try import completed, found, refusal, touch
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading
from leukemia.data.split import part_of

EXPORT = [
    f"{part}/2023-04-{11 + number}_{subject}_{number * 37:04d}_{('blast', 'normal')[number % 2]}.png"
    for part, subjects in (("train", ("S12", "S14")), ("val", ("S18",)), ("test", ("S21", "S22")))
    for subject in subjects
    for number in range(4)
]
"""The export of a microscope: the class is the last word of each name."""

SLIDES = [
    f"Case_{case}/slide_{slide}/{word}/cell_x{number}_y{slide}.png"
    for case in ("A01", "A02", "B07", "B09")
    for slide in (1, 2)
    for word in ("blast", "lymphocyte")
    for number in (1, 2)
]
OVERVIEWS = [f"Case_{case}/overview.jpg" for case in ("A01", "A02", "B07", "B09")]


def labels_of(source: Source) -> dict[str, Counter]:
    return {"normal": _words(source, 0), "leukemic": _words(source, 1)}


def _words(source: Source, label: int) -> Counter:
    return Counter(row.word for row in source.rows if row.label == label)


@pytest.mark.parametrize(
    ("names", "normal", "leukemic"),
    [
        (EXPORT, "normal", "blast"),
        ([name.rpartition("/")[2] for name in EXPORT], "normal", "blast"),
        ([f"Img {n:03d} {('NEG', 'Pos', 'neg', 'POS')[n % 4]}.JPG" for n in range(12)], "NEG", "POS"),
        ([f"P{n % 3}-{('blast', 'lympho')[n % 2]}-{n}-L.png" for n in range(12)], "lympho", "blast"),
        ([f"{n:04d}_L{n % 3 + 1}.png" for n in range(12)], "L3", "L1,L2"),
        ([f"{d}/{w}{n}.png" for d in ("2021-03-04", "2021-06-11") for w in ("aml", "lym") for n in "12"], "lym", "aml"),
        ([f"P{p}/{w}_{n}_left.png" for p in "123" for w in ("B-ALL", "T-ALL", "Mono") for n in "12"], "Mono", "B-ALL"),
        ([f"Smith/{w}_{n}.png" for w in ("healthy", "odd") for n in "123"], "healthy", "odd"),
    ],
)
def test_a_word_at_one_place_of_all_names_is_proposed(
    tmp_path: Path, names: list[str], normal: str, leukemic: str
) -> None:
    message = refusal(touch(tmp_path, *names))
    assert "the names of the files have words that may be classes" in message
    typed = completed(message, normal, f"{leukemic},T-ALL" if leukemic == "B-ALL" else leukemic)
    source = found(tmp_path, *typed)
    assert len(source.rows) == len(names)
    assert all(row.word and row.word in row.path.name and row.label in (0, 1) for row in source.rows)
    assert {row.label for row in source.rows} == {0, 1}


def test_the_classes_of_an_export_are_found_and_its_split_is_kept(tmp_path: Path) -> None:
    touch(tmp_path, *EXPORT)
    classes = ("normal=normal", "leukemic=blast")
    source = find_images(tmp_path, Reading(classes=classes), labels=True)
    assert labels_of(source) == {"normal": Counter(normal=10), "leukemic": Counter(blast=10)}
    assert "labels are read from the names of the files: the last word of each" in source.notes
    kept = find_images(tmp_path, Reading(classes=classes, split_column="split"), labels=True)
    assert Counter(row.split for row in kept.rows) == {"train": 8, "validation": 4}


@pytest.mark.parametrize("folder", ["train", "."])
def test_a_wrong_word_is_not_proposed_again(tmp_path: Path, folder: str) -> None:
    data = touch(tmp_path, *EXPORT) / folder
    message = refusal(data, "normal=normal", "leukemic=blst")
    assert "train (" not in message
    assert completed(message, "normal", "blast") == ["normal=normal", "leukemic=blast"]
    assert len(found(data, *completed(message, "normal", "blast")).rows) > 0


def test_numbers_in_names_are_no_classes(tmp_path: Path) -> None:
    """A test set that is read with the classes 0 and 1 of its training data may be numbered."""
    data = touch(tmp_path, *(f"cell_{number}_{number % 2}.png" for number in range(6)))
    assert {row.label for row in found(data, "normal=0", "leukemic=1", labels=False).rows} == {None}
    assert "without a word of --classes in the names of folders and files" in refusal(data, "normal=0", "leukemic=1")


def test_words_of_two_places_that_differ_are_refused(tmp_path: Path) -> None:
    names = [f"{first}_{n}_{last}.png" for n, (first, last) in enumerate([("aa", "bb"), ("bb", "aa"), ("aa", "aa")])]
    message = refusal(touch(tmp_path, *names), "normal=aa", "leukemic=bb")
    assert (
        "the first word and the last word of the names of the files are words of --classes, but of different" in message
    )


def test_overviews_beside_class_folders_are_left_out_and_named(tmp_path: Path) -> None:
    message = refusal(touch(tmp_path, *SLIDES, *OVERVIEWS))
    assert "\n  blast (16)\n  lymphocyte (16)\n" in message
    assert "Case_A01 (" not in message
    source = found(tmp_path, *completed(message, "lymphocyte", "blast"))
    assert labels_of(source) == {"normal": Counter(lymphocyte=16), "leukemic": Counter(blast=16)}
    assert source.excluded == ("4 images beside the folders of the classes",)
    assert f"did not read {', '.join(OVERVIEWS)}, beside the folders of the classes" in source.named_notes


def test_overviews_beside_and_in_the_parts_of_a_split(tmp_path: Path) -> None:
    names = [f"{part}/{word}/{n}.png" for part in ("train", "test") for word in ("hem", "all") for n in range(4)]
    source = found(touch(tmp_path, *names, "scheme.png", "train/overview.png"))
    assert len(source.rows) == len(names)
    assert source.excluded == ("2 images beside the folders of the classes",)
    assert "did not read scheme.png, train/overview.png, beside the folders of the classes" in source.named_notes


def test_many_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    fields = [f"Case_A01/field_{number}.png" for number in range(20)]
    message = refusal(touch(tmp_path, *SLIDES, *fields), "normal=lymphocyte", "leukemic=blast")
    assert "rename, move or remove these files:\n  Case_A01/field_0.png\n" in message
    assert "ignore=" not in message
    for name in fields:
        (tmp_path / name).unlink()
    assert len(found(tmp_path, "normal=lymphocyte", "leukemic=blast").rows) == len(SLIDES)


def test_folders_beside_class_folders_are_ignored_by_the_name_that_has_no_class_folder(tmp_path: Path) -> None:
    names = [f"Case_{case}/debris/{number}.png" for case in ("A01", "B07") for number in range(2)]
    message = refusal(touch(tmp_path, *SLIDES, *names), "normal=lymphocyte", "leukemic=blast")
    typed = completed(message, "", "")
    assert typed == ["normal=lymphocyte", "leukemic=blast", "ignore=debris"]
    assert len(found(tmp_path, *typed).rows) == len(SLIDES)


@pytest.mark.parametrize(
    ("paths", "normal", "leukemic"),
    [
        ([f"{w}/Pat {p}/cell ({n}).png" for w in ("Blasten", "Gesund") for p in "12" for n in "12"], 4, 4),
        ([f"{w}/{m}/{w}{n}.png" for w in ("Blasten", "Gesund") for m in ("40x", "100x") for n in "12"], 4, 4),
        ([f"{s}/{w}/left/{n}.png" for s in ("Giemsa", "Wright") for w in ("Blasten", "Gesund") for n in "12"], 4, 4),
        ([f"Gesund/{n}.png" for n in "123"] + [f"Blasten/L{n}/{n}.png" for n in "12"], 3, 2),
        ([f"train/{w}/{n}.png" for w in ("Blasten", "Gesund") for n in "12"] + ["test/1.png", "test/2.png"], 2, 2),
        (["figure.png", *(f"{w}/entrenamiento/{n}.png" for w in ("Blasten", "Gesund") for n in "12")], 2, 2),
        ([f"{c}/{w}/{n}.png" for c in ("A01", "B07", "B09") for w in ("Blasten", "Gesund") for n in "12"], 6, 6),
    ],
)
def test_the_folders_that_are_proposed_can_be_read(
    tmp_path: Path, paths: list[str], normal: int, leukemic: int
) -> None:
    message = refusal(touch(tmp_path, *paths))
    assert "write each of Blasten,Gesund after its class" in message
    source = found(tmp_path, *completed(message, "Gesund", "Blasten"))
    assert labels_of(source) == {"normal": Counter(Gesund=normal), "leukemic": Counter(Blasten=leukemic)}


def test_folders_beside_the_parts_of_a_split_are_ignored_where_nothing_else_works(tmp_path: Path) -> None:
    names = [f"{part}/{word}/{n}.png" for part in ("train", "test") for word in ("aml", "lym") for n in "12"]
    message = refusal(touch(tmp_path, *names, "extra/1.png", "extra/2.png"))
    typed = completed(message, "lym", "aml")
    assert typed == ["normal=lym", "leukemic=aml", "ignore=extra"]
    assert labels_of(found(tmp_path, *typed)) == {"normal": Counter(lym=4), "leukemic": Counter(aml=4)}


def test_folders_of_no_cells_are_left_to_the_user(tmp_path: Path) -> None:
    folders = [f"Case_{case}/overview/{number}.png" for case in ("A01", "B07") for number in range(2)]
    message = refusal(touch(tmp_path, *SLIDES, *folders))
    assert "write each of blast,lymphocyte,overview after its class, or after ignore= to leave it out" in message
    assert len(found(tmp_path, *completed(message, "lymphocyte", "blast"), "ignore=overview").rows) == len(SLIDES)


def test_folders_that_have_a_part_and_a_class_are_proposed(tmp_path: Path) -> None:
    names = [f"{word}_{part}/{n}.png" for word in ("Blasten", "Gesund") for part in ("Training", "Test") for n in "12"]
    message = refusal(touch(tmp_path, *names))
    typed = completed(message, "Gesund_Test,Gesund_Training", "Blasten_Test,Blasten_Training")
    source = found(tmp_path, *typed)
    assert Counter((row.label, row.split) for row in source.rows) == {
        (label, part): 2 for label in (0, 1) for part in ("train", "test")
    }
    numbered = touch(tmp_path / "other", *(f"{part}_{n}/{n}.png" for part in ("train", "test") for n in "12"))
    assert "write each of" not in refusal(numbered)


def test_one_overview_in_a_folder_of_cells_is_among_the_words(tmp_path: Path) -> None:
    names = [f"P{patient}/{word}_{n}.png" for patient in "12" for word in ("blast", "lymph") for n in "12"]
    message = refusal(touch(tmp_path, *names, "P1/overview.png"))
    assert "write each of blast,lymph,overview after its class, or after ignore= to leave it out" in message
    assert len(found(tmp_path, *completed(message, "lymph", "blast"), "ignore=overview").rows) == 8


def test_folders_that_contradict_each_other_are_not_proposed(tmp_path: Path) -> None:
    message = refusal(touch(tmp_path, "AA/x/1.png", "AA/y/2.png", "BB/AA/3.png", "BB/AA/4.png"))
    assert "so no folder names a class; write a CSV Path,label with a line for each image" in message
    assert "write each of" not in message


def test_masks_beside_their_cells_are_left_out_at_the_second_try(tmp_path: Path) -> None:
    names = [f"{word}/{number}" for word in ("aml", "lym") for number in range(3)]
    message = refusal(touch(tmp_path, *(f"{name}{end}.png" for name in names for end in ("", "_mask"))))
    assert message.partition("--classes ")[2].startswith("normal=WORD,... leukemic=WORD,... ignore=mask\n")
    source = found(tmp_path, *completed(message, "lym", "aml"))
    assert sorted(str(row.path.relative_to(tmp_path)) for row in source.rows) == [f"{name}.png" for name in names]


def test_what_hinders_every_proposal_is_said_with_it(tmp_path: Path) -> None:
    for number, word in enumerate(("aml", "lym")):
        (tmp_path / word).mkdir()
        for image in range(3):
            cell = draw_cell(np.random.default_rng(3 * number + image), number)
            Image.fromarray(cell).save(tmp_path / word / f"{image}.bmp")
            Image.fromarray((cell.max(axis=2) > 60).astype(np.uint8) * 255).save(tmp_path / word / f"{image}.png")
    message = refusal(tmp_path)
    assert "6 of 12 images are masks, thumbnails or other versions of images in the data" in message
    assert "move the files away that are named so, or give a CSV Path,label of the cells\n  and map the" in message
    for mask in tmp_path.rglob("*.png"):
        mask.unlink()
    assert len(found(tmp_path, *completed(message, "lym", "aml")).rows) == 6


def test_fewer_words_of_files_are_likelier_than_more_folders(tmp_path: Path) -> None:
    names = [f"{name}/{word}_{n}.png" for name in ("Tan", "Ito", "Beck") for word in ("aml", "lym") for n in "12"]
    message = refusal(touch(tmp_path, *names))
    assert "have words that may be classes, and folders (Beck (4), Ito (4), Tan (4)):\n  aml (6)" in message
    assert len(found(tmp_path, *completed(message, "lym", "aml")).rows) == 12
    assert len(found(tmp_path, "normal=Tan", "leukemic=Ito,Beck").rows) == 12


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ("训练集 训练 Training Entraînement entrenamiento Treino addestramento Eğitim обучение", "train"),
        ("验证集 Validierung validación validação validazione dogrulama валидация", "validation"),
        ("测试集 测试 prueba Teste тест Testdaten", "test"),
    ],
)
def test_parts_of_a_split_in_other_languages(names: str, part: str) -> None:
    assert {part_of(name) for name in names.split()} == {part}


def test_a_split_in_another_language_is_kept(tmp_path: Path) -> None:
    names = [
        f"{part}/{word}/患者{n}.png" for part in ("训练集", "测试集") for word in ("白血病", "正常") for n in "123"
    ]
    message = refusal(touch(tmp_path, *names))
    typed = completed(message, "正常", "白血病")
    assert labels_of(found(tmp_path, *typed)) == {"normal": Counter(正常=6), "leukemic": Counter(白血病=6)}
    kept = find_images(tmp_path, Reading(classes=tuple(typed), split_column="split"), labels=True)
    assert Counter(row.split for row in kept.rows) == {"train": 6}


def test_a_level_of_folders_that_is_not_read_is_named(tmp_path: Path) -> None:
    names = [f"{part}/{word}/{n}.png" for part in ("uczenie", "sprawdzian") for word in ("hem", "all") for n in "12"]
    note = "folders of another level that are not read: sprawdzian (4), uczenie (4); if they are patients"
    (named,) = [each for each in found(touch(tmp_path, *names)).named_notes if each.startswith(note)]
    pattern = named.split("'")[1]
    read = find_images(tmp_path, Reading(subject_pattern=pattern), labels=True)
    assert not any("another level" in each for each in read.named_notes)
    for wrong in ("(", "uczenie", "(a)(b)"):
        with pytest.raises(UserError, match="--subject-pattern"):
            read_catalog(tmp_path, reading=Reading(subject_pattern=wrong))
    views = touch(tmp_path / "views", *(f"{word}/{m}/1.png" for word in ("hem", "all") for m in ("40x", "100X")))
    assert "folders of another level that are not read: 100X (2), 40x (2)" in found(views).named_notes
    patients = touch(tmp_path / "other", *(f"{word}/patient_{p}/1.png" for word in ("hem", "all") for p in "123"))
    assert not any("another level" in each for each in found(patients).named_notes)


def test_results_of_a_test_are_proposed_before_other_words(tmp_path: Path) -> None:
    names = [f"cells/{('HC', 'HSP')[n % 2]}_{n:04d}_{('POS', 'NEG')[n // 2 % 2]}.jpg" for n in range(12)]
    message = refusal(touch(tmp_path, *names))
    assert "\n  NEG (6)\n  POS (6)\n  write each of NEG,POS after its class" in message
    assert len(found(tmp_path, *completed(message, "NEG", "POS")).rows) == 12
