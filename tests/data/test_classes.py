"""Classes by words: in folder names, labels and ALL-IDB's names, well known or by ``--classes``; subclasses."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from helpers.second_try import before_list, found, touch
from helpers.subclasses import FULL, draw_folders, name_folders

from leukemia.base.errors import UserError
from leukemia.catalog import main
from leukemia.data.catalog import read_catalog
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading

TALEQANI = Reading(classes=("normal=Benign", "leukemic=Early,Pre,Pro"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images in each of Benign, Early, Pre and Pro."""
    return draw_folders(tmp_path_factory.mktemp("stages"))


def listing(folder: Path, header: str, *words: str) -> Path:
    """A CSV with one image per word."""
    touch(folder, *(f"{number}.png" for number in range(len(words))))
    path = folder / "list.csv"
    path.write_text("\n".join([header, *(f"{number}.png,{word}" for number, word in enumerate(words))]) + "\n")
    return path


def labels_of(source: Source) -> dict[str, int | None]:
    return {row.path.relative_to(source.root).as_posix(): row.label for row in source.rows}


def classes_of(source: Source) -> Counter:
    return Counter((row.label, row.subclass) for row in source.rows)


# Well-known words.


def test_the_names_of_taleqani_need_no_option(tmp_path: Path) -> None:
    source = found(name_folders(tmp_path))
    assert len(source.rows) == sum(FULL.values()) == 3256
    assert classes_of(source) == {(0, None): 504, (1, "Early"): 985, (1, "Pre"): 963, (1, "Pro"): 804}
    assert source.notes == ("classes (images): normal = Benign (504); leukemic = Early (985), Pre (963), Pro (804)",)


@pytest.mark.parametrize(
    "names",
    [
        ("Benign", "[Malignant] early Pre-B", "[Malignant] Pre-B", "[Malignant] Pro-B"),
        ("all_benign", "all_early", "all_pre", "all_pro"),
    ],
)
def test_names_of_copies_of_taleqani(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"Blood cell Cancer [ALL]/{name}/{number}.jpg" for name in names for number in range(2)))
    assert classes_of(found(tmp_path)) == {(0, None): 2, **{(1, name): 2 for name in names[1:]}}


def test_stages_beside_other_words_are_not_known(tmp_path: Path) -> None:
    """``pre`` and ``pro`` by themselves may be anything."""
    with pytest.raises(UserError, match=r"\n  pre/ \(1\)\n") as caught:
        found(touch(tmp_path, "hem/a.png", "all/b.png", "pre/c.png"))
    assert before_list(str(caught.value)).endswith("--classes normal=hem,WORD,... leukemic=all,WORD,...")


def test_two_versions_of_taleqani_are_not_mixed(tmp_path: Path) -> None:
    for version in ("Original", "Segmented"):
        touch(tmp_path, *(f"{version}/{name}/WBC-001.jpg" for name in FULL))
    with pytest.raises(
        UserError, match=r"several versions of the same images; choose one:\n.*/Original\n.*/Segmented$"
    ):
        found(tmp_path)
    assert len(found(tmp_path / "Original").rows) == 4


@pytest.mark.parametrize(
    ("normal", "leukemic"),
    [("hem", "ALL"), ("HEALTHY", "Cancer"), ("benign", "malignant"), ("False", "True"), ("0", "1"), ("0.0", "1.0")],
)
def test_the_same_words_are_folders_and_labels(tmp_path: Path, normal: str, leukemic: str) -> None:
    folders = touch(tmp_path / "folders", f"set/{normal}/a.png", f"set/{leukemic}/deep/b.png")
    assert labels_of(found(folders)) == {f"set/{leukemic}/deep/b.png": 1, f"set/{normal}/a.png": 0}
    for header in ("Path,label", "path,Diagnosis"):
        source = found(listing(tmp_path / header, header, leukemic, normal))
        assert labels_of(source) == {"0.png": 1, "1.png": 0}
        assert ("labels are read from the column diagnosis; --label-column reads another" in source.notes) == (
            "Diagnosis" in header
        )
        assert {row.subclass for row in source.rows} == {None}


def test_synonyms_are_subclasses_but_spellings_are_not(tmp_path: Path) -> None:
    source = found(listing(tmp_path, "Path,label", "ALL", "all", "ALL", "cancer", "Hem", "hem"))
    assert classes_of(source) == {(1, "ALL"): 3, (1, "cancer"): 1, (0, None): 2}
    assert source.notes == ("classes (images): normal = Hem (2); leukemic = ALL (3), cancer (1)",)


def test_labels_0_and_1_are_said_last(tmp_path: Path) -> None:
    note = "classes (images): normal = 0 (1); leukemic = 1.0 (2)"
    path = listing(tmp_path, "file,label", "0", "1.0", "1.0")
    assert found(path).notes == ("paths are read from the column file", note)


def test_names_of_all_idb_are_labels(tmp_path: Path) -> None:
    data = touch(tmp_path, "ALL_IDB2/img/Im001_1.tif", "ALL_IDB2/img/Im002_0.tif", "ALL_IDB2/readme.txt")
    source = found(data / "ALL_IDB2")
    assert labels_of(source) == {"img/Im001_1.tif": 1, "img/Im002_0.tif": 0}
    assert source.notes[1].startswith("labels are read from the names, which are those of ALL-IDB")
    assert labels_of(found(data / "ALL_IDB2", "normal=1", "leukemic=0")) == {"img/Im001_1.tif": 0, "img/Im002_0.tif": 1}
    touch(data, "ALL_IDB1/im/Im001_1.jpg")
    with pytest.raises(UserError, match=r"ALL-IDB2 has cells of the images of ALL-IDB1; choose one:\n.*IDB1/im\n"):
        found(data)
    touch(data, "ALL_IDB2/img/other.tif")
    with pytest.raises(UserError, match="found images in img only, so no folder names a class"):
        found(data / "ALL_IDB2")
    # Folders are classes, whatever the names of the images.
    folders = touch(tmp_path / "folders", "healthy/Im001_1.jpg", "cancer/Im002_0.jpg")
    assert labels_of(found(folders)) == {"cancer/Im002_0.jpg": 1, "healthy/Im001_1.jpg": 0}


# Words of --classes.


def test_a_mapping_of_folders_keeps_subclasses_and_fingerprint(stages: Path) -> None:
    known, mapped = read_catalog(stages), read_catalog(stages, TALEQANI)
    assert mapped.fingerprint == known.fingerprint
    assert mapped.table["subclass"].value_counts().to_dict() == {"Early": 6, "Pre": 6, "Pro": 6}
    assert mapped.table.loc[mapped.table["label"] == 0, "subclass"].isna().all()


def test_a_mapping_names_the_class_folders_at_any_depth(tmp_path: Path) -> None:
    """Folders that are no words, such as parts of a split or patients, may be above and below."""
    data = touch(tmp_path, "train/neg/1/a.png", "val/neg/0/b.png", "train/POS/1/c.png", "val/pos/all/d.png")
    source = found(data, "normal=neg", "leukemic=pos")
    assert Counter(labels_of(source).values()) == {0: 2, 1: 2}
    assert source.notes[0] == "classes (images): normal = neg (2); leukemic = POS (2)"
    assert source.parts == "2 train, 2 validation images, together; --split-column split keeps it"


def test_a_folder_of_the_other_class_inside_is_an_error(tmp_path: Path) -> None:
    data = touch(tmp_path, "cancer/Benign/a.png", "cancer/b.png", "healthy/c.png")
    with pytest.raises(UserError, match=r"folder cancer/Benign is named for both classes: 'cancer' is leukemic, "):
        found(data)
    with pytest.raises(UserError, match=r"folder cancer/Benign is named for both classes"):
        found(data, "normal=healthy,benign", "leukemic=cancer")
    assert Counter(labels_of(found(data, "normal=healthy", "leukemic=cancer")).values()) == {1: 2, 0: 1}
    assert len(found(data, "normal=healthy", "leukemic=cancer", "ignore=Benign").rows) == 2


def test_a_mapping_of_labels(tmp_path: Path) -> None:
    path = listing(tmp_path, "Path,label", "neutrophil", "ALL, pre-B", "2", "3.0", "blast", "artefact")
    # Quoted as in a CSV, since one of the words has a comma.
    path.write_text(path.read_text().replace("ALL, pre-B", '"ALL, pre-B"'))
    with pytest.raises(UserError, match=r"expected the label 0 \(normal\) .*\n  '2': row 4\n") as caught:
        found(path)
    # Nobody guesses the class of a word.
    assert before_list(str(caught.value)).endswith(
        'write each of 2,3.0,"ALL, pre-B",artefact,blast,neutrophil after its class, or after ignore= to leave it out: '
        "--classes normal=WORD,... leukemic=WORD,..."
    )
    source = found(path, "normal=neutrophil,2", 'leukemic=3,"ALL, pre-B",Blast', "ignore=artefact")
    assert labels_of(source) == {"0.png": 0, "1.png": 1, "2.png": 0, "3.png": 1, "4.png": 1}
    assert [row.subclass for row in source.rows] == ["neutrophil", "ALL, pre-B", "2", "3.0", "blast"]
    assert source.notes[1] == "--classes leaves out 1 of 6 images (ignore=...)"


def test_numbers_may_be_exchanged(tmp_path: Path) -> None:
    path = listing(tmp_path, "Path,label", "0", "1")
    assert labels_of(found(path, "normal=1", "leukemic=0")) == {"0.png": 1, "1.png": 0}


def test_unicode_forms_are_one_word(tmp_path: Path) -> None:
    data = touch(tmp_path, f"{unicodedata.normalize('NFD', 'Blästen')}/a.png", "hem/b.png")
    source = found(data, "normal=hem", f"leukemic={unicodedata.normalize('NFC', 'BLÄSTEN')}")
    assert sorted(labels_of(source).values()) == [0, 1]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["normal=a"], r"expected words for both classes; add leukemic=WORD"),
        (["normal=a", "leukemic=b", "DATA"], r"expected normal=WORD,.*got 'DATA'; write other arguments before"),
        (["normal=a", "leukemic="], r"expected normal=WORD,.*got 'leukemic='"),
        (["normal=a", "leukemic=b,,c"], r"expected normal=WORD,.*got 'leukemic=b,,c'"),
        (["normal=a", "leukemic=b\nc"], r"expected normal=WORD,"),
        (["normal=a", "leukemic=b", "sick=c"], r"expected normal=WORD,.*got 'sick=c'"),
        (["normal=a", "normal=b", "leukemic=c"], r"normal is given twice"),
        (["normal=a,b", "leukemic=B"], r"'b' occurs twice"),
        (["normal=1", "leukemic=1.0"], r"'1' occurs twice"),
        (["normal=a,A", "leukemic=b"], r"'a' occurs twice"),
    ],
)
def test_invalid_mappings(tmp_path: Path, classes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"^--classes: {message}"):
        found(touch(tmp_path, "a/1.png", "b/2.png"), *classes)


def test_every_word_must_be_mapped_and_occur(stages: Path) -> None:
    with pytest.raises(
        UserError, match=r"\n  Pro/ \(6\)\n  write each of Pro after its class, or after ignore= to leave it out: "
    ) as caught:
        found(stages, "normal=Benign", "leukemic=Early,Pre")
    typed = str(caught.value).rpartition(": --classes ")[2].partition("\n")[0]
    assert typed == "normal=Benign,WORD,... leukemic=Early,Pre,WORD,..."
    assert len(found(stages, "normal=Benign", "leukemic=Early,Pre", "ignore=Pro").rows) == 18
    with pytest.raises(
        UserError, match=r"^--classes: no image has the word 'prae'; .*:\n  Benign \(6\)\n  Early \(6\)\n"
    ):
        found(stages, "normal=Benign", "leukemic=Early,Pre,Pro,Prae")
    with pytest.raises(UserError, match=r"no folder has a word of --classes; .*\n  Benign \(6\)\n"):
        found(stages, "normal=hem", "leukemic=all")


@pytest.mark.parametrize(
    "paths", [["x/neg/a.png", "x/pos/b.png"], ["train/neg/a.png", "test/neg/b.png", "train/pos/c.png"]]
)
def test_unknown_folders_are_mapped_at_the_second_try(tmp_path: Path, paths: list[str]) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(UserError, match="found images in folders with other names") as caught:
        found(tmp_path)
    advice = before_list(str(caught.value)).splitlines()[-1].strip()
    assert advice.startswith("write each of neg,pos after its class, or after ignore= to leave it out: --classes ")
    assert advice.endswith(" normal=WORD,... leukemic=WORD,...")
    assert {row.label for row in found(tmp_path, "normal=neg", "leukemic=pos").rows} == {0, 1}
    with pytest.raises(UserError, match=r"^--classes: 'word', '...' occurs twice"):
        found(tmp_path, *advice.split()[-2:])


@pytest.mark.parametrize("word", ["Monocyte", "smudge", "other"])
def test_a_small_class_is_not_left_out_in_an_example(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError) as caught:
        found(listing(tmp_path, "Path,label", *["hem", "all"] * 20, word))
    assert "ignore=" not in str(caught.value).rpartition("--classes ")[2]
    assert f"write each of {word} after its class" in str(caught.value)


@pytest.mark.parametrize("word", ["Artefact", "artefakte", "debris", "unclassified", "Background"])
def test_what_is_known_to_be_no_cell_is_left_out_in_an_example(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError) as caught:
        found(listing(tmp_path, "Path,label", "hem", "all", word))
    assert f"--classes normal=hem leukemic=all ignore={word}" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        # Numbers from 1 on: 1 may be the first class.
        (("1", "2"), "write each of 1,2 after its class, or after ignore= to leave it out: --classes normal=WORD,..."),
        (("sano", "leucemia"), "write each of leucemia,sano after its class, "),
        (
            ("Benign", "Odd"),
            "write each of Odd after its class, or after ignore= to leave it out: --classes normal=Be",
        ),
        (
            ("hem", "all", "unlabelled"),
            "write each of unlabelled after its class, or leave its images out, for example: --classes normal=hem "
            "leukemic=all ignore=unlabelled",
        ),
    ],
)
def test_the_class_of_an_unknown_word_is_not_guessed(tmp_path: Path, words: tuple[str, ...], advice: str) -> None:
    with pytest.raises(UserError) as caught:
        found(listing(tmp_path, "Path,label", *words))
    assert before_list(str(caught.value)).splitlines()[-1].strip().startswith(advice)


def test_a_test_phase_beside_folds_with_a_mapping_is_excluded(tmp_path: Path) -> None:
    folds = [f"C-NMC_training_data/fold_{n}/{name}/{n}_{name}.bmp" for n in range(3) for name in ("hem", "all")]
    phase = "C-NMC_test_prelim_phase_data/C-NMC_test_prelim_phase_data/1.bmp"
    touch(tmp_path, *folds, phase)
    source = found(tmp_path, "normal=hem", "leukemic=all")
    assert len(source.rows) == 6
    assert source.excluded == ("C-NMC_test_prelim_phase_data: 1 images without labels",)
    with pytest.raises(UserError, match=r"--classes leaves out all 6 images \(ignore=\); map some of their words$"):
        found(tmp_path / "C-NMC_training_data", "normal=a", "leukemic=b", "ignore=hem,all", labels=False)


def test_recurring_folders_are_the_classes(tmp_path: Path) -> None:
    parts = [f"{part}/{name}/{part}.png" for part in ("entrenamiento", "prueba") for name in ("Leucemia", "No")]
    with pytest.raises(UserError, match=r"\n  Leucemia \(2\)\n  No \(2\)\n  write each of Leucemia,No after its class"):
        found(touch(tmp_path / "parts", *parts))
    numbered = [f"{name}/patient {number}/{number}.png" for name in ("pos", "neg") for number in range(3)]
    with pytest.raises(UserError, match=r"\n  neg \(3\)\n  pos \(3\)\n  write each of neg,pos after"):
        found(touch(tmp_path / "numbered patients", *numbered))
    apart = [f"{name}/{name} {number}/{number}.png" for name in ("pos", "neg") for number in range(2)]
    with pytest.raises(UserError, match=r"\n  neg \(2\)\n  pos \(2\)\n  write each of neg,pos after"):
        found(touch(tmp_path / "patients", *apart))


@pytest.mark.parametrize(
    ("paths", "others"),
    [
        (["0/blast/a.png", "0/cell/b.png", "1/blast/c.png", "1/cell/d.png"], "blast, cell"),
        (["gesund/0/a.png", "gesund/1/b.png", "krank/0/c.png", "krank/1/d.png"], "gesund, krank"),
    ],
)
def test_numbers_that_recur_with_other_folders_may_be_batches(tmp_path: Path, paths: list[str], others: str) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(UserError, match=rf"folders 0 and 1 may be classes, or batches with the folders {others}; say"):
        found(tmp_path)
    assert Counter(labels_of(found(tmp_path, "normal=0", "leukemic=1")).values()) == {0: 2, 1: 2}
    names = others.split(", ")
    assert Counter(labels_of(found(tmp_path, f"normal={names[0]}", f"leukemic={names[1]}")).values()) == {0: 2, 1: 2}


def test_numbers_are_classes_where_nothing_recurs(tmp_path: Path) -> None:
    for data in (
        touch(tmp_path / "a", "0/x/a.png", "1/y/b.png"),
        touch(tmp_path / "b", "0/train/a.png", "1/train/b.png"),
    ):
        assert sorted(labels_of(found(data)).values()) == [0, 1]


def test_numbered_patients_are_no_classes(tmp_path: Path) -> None:
    below = [f"{name}/{number}/a.png" for name in ("normal", "leukemia") for number in range(3)]
    assert Counter(row.word for row in found(touch(tmp_path / "below", *below)).rows) == {"normal": 3, "leukemia": 3}
    above = [f"{number}/{name}/a.png" for name in ("normal", "leukemia") for number in range(3)]
    assert Counter(row.word for row in found(touch(tmp_path / "above", *above)).rows) == {"normal": 3, "leukemia": 3}
    unknown = [f"{name}/{number}/a.png" for name in ("control", "leukemia") for number in range(3)]
    with pytest.raises(
        UserError, match=r"(?m)\n  write each of control after its class.* normal=WORD,... leukemic=leukemia$"
    ):
        found(touch(tmp_path / "unknown", *unknown))


def test_a_folder_beside_the_parts_of_a_split_can_be_left_out(tmp_path: Path) -> None:
    parts = [f"{part}/{name}/{part}.png" for part in ("train", "val") for name in ("hem", "all")]
    touch(tmp_path, *parts, "unlabelled/0.png", "unlabelled/1.png")
    with pytest.raises(UserError, match=r"must be in the parts of the split .*:\n  unlabelled/\n") as caught:
        found(tmp_path)
    typed = str(caught.value).rpartition("to leave out the folders: --classes ")[2].partition("\n")[0].split()
    assert typed == ["normal=hem", "leukemic=all", "ignore=unlabelled"]
    source = found(tmp_path, *typed)
    assert len(source.rows) == 4
    assert "--classes leaves out 2 of 6 images (ignore=...)" in source.notes


def test_a_folder_of_the_files_that_are_linked_is_no_data(tmp_path: Path) -> None:
    for number, path in enumerate(["train/hem", "train/all", "val/hem", "val/all"]):
        touch(tmp_path, f"pool/{number}.png")
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "0.png").symlink_to(tmp_path / f"pool/{number}.png")
    assert len(found(tmp_path).rows) == 4


def test_folders_of_an_inner_level_are_named_too(tmp_path: Path) -> None:
    touch(tmp_path, *(f"Order {order}/WBC/{name}/0.png" for order in range(2) for name in ("Blast", "Mono", "Smudge")))
    # Numbered folders are proposed last.
    message = r"folders of another level \(Order 0 \(3\), Order 1 \(3\)\), with --classes.*\n  Blast \(2\)\n"
    with pytest.raises(UserError, match=message):
        found(tmp_path)


def test_raters_who_differ_are_named(tmp_path: Path) -> None:
    path = listing(tmp_path, "Path,rater,label", "A,0", "A,1")
    path.write_text(path.read_text() + "0.png,B,1\n1.png,B,1\n")
    with pytest.raises(UserError, match=r"(?m)different labels in several rows; .*:\n  0.png: 0 in row 2, 1 in row 4$"):
        found(path)


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path / "one", "images/a.png", "images/b.png", "labels.xlsx")
    with pytest.raises(UserError, match=r"images in images only, so no folder names a class; labels.xlsx, a spreadsh"):
        found(tmp_path / "one")
    touch(tmp_path / "parts", "train/a.png", "valid/b.png", "test/c.png")
    with pytest.raises(
        UserError, match=r"images in test, train, valid only, so no folder names a class\n  for a CSV of all images"
    ):
        found(tmp_path / "parts")


def test_a_test_set_may_lack_words_or_have_others(tmp_path: Path, stages: Path) -> None:
    classes = ("normal=Benign", "leukemic=Early,Pre,Pro")
    fewer = found(touch(tmp_path / "fewer", "Benign/a.png", "Pro/b.png"), *classes, labels=False)
    assert classes_of(fewer) == {(0, None): 1, (1, "Pro"): 1}
    others = found(touch(tmp_path / "others", "hem/a.png", "all/b.png"), *classes, labels=False)
    assert sorted(labels_of(others).values()) == [0, 1]
    assert others.notes[1] == "the data have none of the words of --classes; their classes are read without that option"
    with pytest.raises(UserError, match=r"\n  Odd/ \(1\)\n"):
        found(touch(tmp_path / "fewer", "Odd/c.png"), *classes, labels=False)
    listed = found(listing(tmp_path / "listed", "Path,label", "1", "0"), *classes, labels=False)
    assert labels_of(listed) == {"0.png": 1, "1.png": 0}


def test_cnmc_with_a_mapping(tmp_path: Path) -> None:
    """C-NMC's layout is not a reason to ignore the option."""
    data = touch(tmp_path, "fold_0/all/UID_1_1_1_all.bmp", "fold_0/hem/UID_H1_1_1_hem.bmp", "fold_0/other/x.bmp")
    source = found(data, "normal=hem", "leukemic=all", "ignore=other")
    assert labels_of(source) == {"fold_0/all/UID_1_1_1_all.bmp": 1, "fold_0/hem/UID_H1_1_1_hem.bmp": 0}
    assert source.layout == "folders"


# The column of labels.


def test_the_column_of_labels(tmp_path: Path) -> None:
    path = listing(tmp_path, "Path,dx", "0", "1")
    with pytest.raises(
        UserError, match=r"found Path, dx; these may have labels, read one with --label-column dx:\n  dx: 0"
    ):
        found(path)
    source = find_images(path, Reading(label_column=" DX"), labels=True)
    assert labels_of(source) == {"0.png": 0, "1.png": 1}
    with pytest.raises(UserError, match="--label-column dy: expected one of the columns Path, dx"):
        find_images(path, Reading(label_column="dy"), labels=True)
    unlabelled = find_images(path, Reading(label_column="dy"), labels=False)
    assert labels_of(unlabelled) == {"0.png": None, "1.png": None}
    assert unlabelled.notes == ("the CSV has no such column as that of --label-column",)
    with pytest.raises(UserError, match="--label-column dx has no effect with"):
        find_images(touch(tmp_path / "f", "hem/a.png", "all/b.png"), Reading(label_column="dx"), labels=True)


@pytest.mark.parametrize("column", ["normal", "Is_Healthy"])
def test_a_column_called_like_the_normal_class_is_not_taken_for_labels(tmp_path: Path, column: str) -> None:
    path = listing(tmp_path, f"Path,{column}", "1.0", "0.0")
    with pytest.raises(UserError, match=r"(?m)where 1 may stand for normal; .* --classes normal=1 leukemic=0$"):
        find_images(path, Reading(label_column=column), labels=True)
    source = find_images(path, Reading(label_column=column, classes=("normal=1", "leukemic=0")), labels=True)
    assert labels_of(source) == {"0.png": 0, "1.png": 1}


def test_another_column_with_other_classes_is_an_error(tmp_path: Path) -> None:
    """0 and 1 in alphabetical order of the words, as by an encoder of labels."""
    path = listing(tmp_path, "Path,label,label name", "0,leukemia", "1,normal")
    with pytest.raises(
        UserError, match=r"columns label and label name have different classes in 2 of 2 rows; .*'label n"
    ):
        found(path)
    for column, expected in (("label", {"0.png": 0, "1.png": 1}), ("label name", {"0.png": 1, "1.png": 0})):
        assert labels_of(find_images(path, Reading(label_column=column), labels=True)) == expected
    blank = listing(tmp_path / "blank", "Path,label,stage", ",Benign", ",Early")
    assert set(labels_of(found(blank, labels=False)).values()) == {None}
    target = listing(tmp_path / "target", "Path,class,target", "HEM,1", "ALL,0")
    with pytest.raises(UserError, match=r"the columns class and target have different classes in 2 of 2 rows"):
        found(target)
    agreeing = listing(tmp_path / "agreeing", "Path,label,stage,note", "0,Benign,x", "1,Early,all", "1,Pre,x")
    assert labels_of(found(agreeing)) == {"0.png": 0, "1.png": 1, "2.png": 1}


def test_a_column_of_a_test_set_need_not_be_labels(tmp_path: Path) -> None:
    """``y`` may be a coordinate, and a test set needs no labels."""
    path = listing(tmp_path, "Path,y", *map(str, range(100, 140)))
    assert {row.label for row in found(path, labels=False).rows} == {None}
    assert found(path, labels=False).notes == ("the column y has no known labels, and is not read",)
    with pytest.raises(
        UserError, match=r"(?s)in every row of the column y; .*\n.*write each of 100,.*,119 and 20 more after its class"
    ):
        found(path)
    assert sorted(labels_of(found(listing(tmp_path, "Path,y", "1", "0"), labels=False)).values()) == [0, 1]


def test_folders_named_0_and_1_are_said_to_be_classes(tmp_path: Path) -> None:
    """They may be patients."""
    source = found(touch(tmp_path, "cells/0/a.png", "cells/1/b.png"))
    assert source.notes == ("classes (images): normal = 0 (1); leukemic = 1 (1)",)


def test_the_command_reads_and_says_what_was_taken(stages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(stages), "--classes", "normal=Benign", "leukemic=Early,Pre", "ignore=Pro"]) == 0
    output = capsys.readouterr().out
    assert "classes (images): normal = Benign (6); leukemic = Early (6), Pre (6)\n" in output
    assert "--classes leaves out 6 of 24 images (ignore=...)\n" in output
    assert "18 (6 normal, 12 leukemic)" in output
