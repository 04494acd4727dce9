"""The pattern that is proposed for subjects: of a place in the paths whose values recur as patients do."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence

import pytest

from leukemia.data.reading import Reading
from leukemia.data.recurring_subjects import recurring_subjects
from leukemia.data.subject_places import subject_pattern
from leukemia.data.subjects import read_subjects

VERSIONS = [f"Train/ALL/cell_{number}{end}.jpg" for number in range(9) for end in ("", "_flip", "_rot90")]


@pytest.mark.parametrize(
    ("names", "words", "subjects"),
    [
        (
            [f"P{n // 3:03d}_{'FM'[n // 6]}_{'BN'[n % 2]}_{n:04d}.png" for n in range(12)],
            ["B", "N"],
            "P000 P001 P002 P003",
        ),
        ([f"S{n // 3:02d}F{n:03d}.png" for n in range(12)], [], "00 01 02 03"),
        ([f"B24-{n // 4}/{'xy'[n % 2]}/WBC_{n}.jpg" for n in range(12)], ["x", "y"], "B24-0 B24-1 B24-2"),
        ([f"train/2023-04-{11 + n}_S{n // 3}_{n * 37:04d}.png" for n in range(12)], [], "0 1 2 3"),
        (
            [f"{'ab'[n % 2]}/Doe_J{n // 3}/day{n % 3}/{n}.png" for n in range(12)],
            ["a", "b"],
            "Doe_J0 Doe_J1 Doe_J2 Doe_J3",
        ),
        # The class is glued to the number of the image; cases are numbered in each year.
        (
            [f"{18 + n // 8}-0{n // 4}45-{n % 4 + 1:02d}{'bn'[n % 3 % 2]}.png" for n in range(16)],
            ["b", "n"],
            "18-0045 18-0145 19-0245 19-0345",
        ),
        # Beside numbers that begin again in each of them.
        ([f"{'Doe Lee Roe'.split()[n // 4]}/img_{n % 4:04d}.png" for n in range(12)], [], "Doe Lee Roe"),
        ([f"{'Doe Lee Roe'.split()[n // 4]}/{n % 4 // 2}/{n}.png" for n in range(12)], [], "Doe Lee Roe"),
        ([f"{n // 4 + 11}_slide{n % 4 // 2}_{n % 2}.png" for n in range(12)], [], "11 12 13"),
        ([f"day{n % 2}/pat{n // 4}_{n % 4}.png" for n in range(12)], [], "pat0 pat1 pat2"),
    ],
)
def test_the_pattern_reads_the_subjects_that_are_shown(names: Sequence[str], words: list[str], subjects: str) -> None:
    way = subject_pattern(names, words)
    assert way is not None
    option, pattern, *_ = shlex.split(way)
    assert option == "--subject-pattern"
    found = [re.search(pattern, name) for name in names]
    assert sorted({match[1] for match in found if match}) == subjects.split()
    assert all(found)
    assert way.partition(" reads ")[2].startswith(", ".join(subjects.split()[:3]))


@pytest.mark.parametrize(
    "names",
    [
        [f"cell_{number}.png" for number in range(12)],
        [f"{number:06d}.jpg" for number in range(12)],
        [f"{hashlib.sha1(bytes([number])).hexdigest()}.png" for number in range(200)],
        [f"{magnification}/{number}.png" for magnification in ("4x", "10x", "40x") for number in range(6)],
        VERSIONS,
        # Running numbers in each class, of images or of what is not called a patient.
        [f"{word}/img_{number:04d}.png" for word in ("hem", "ALL") for number in range(6)],
        [f"{word}/slide{slide}/cell{cell}.png" for word in ("hem", "ALL") for slide in (1, 2, 3) for cell in range(4)],
        [f"{word}/slide{slide}_{cell}.png" for word in ("hem", "ALL") for slide in (1, 2, 3) for cell in range(4)],
        [f"{n * 7:04d}_{n % 4}{'bn'[n // 4 % 2]}.png" for n in range(24)],
        [f"cell{cell:02d}_{time}.png" for cell in range(6) for time in "xy"],
        [f"{word}/batch_{batch}/{'abc'[n]}.png" for word in ("hem", "ALL") for batch in (1, 2, 3) for n in range(3)],
    ],
)
def test_counters_sums_and_versions_are_no_subjects(names: Sequence[str]) -> None:
    assert subject_pattern(names, ["ALL", "b", "n"]) is None


@pytest.mark.parametrize("date", ["2022-{:02d}-{:02d}", "2022{:02d}{:02d}", "2022_{:02d}_{:02d}"])
def test_the_parts_of_dates_are_no_patients(date: str) -> None:
    names = [f"{date.format(1 + number // 3, 11 + number % 3)}_{number:04d}_x.png" for number in range(24)]
    assert subject_pattern(names) is None
    of_patients = [f"PT{number // 4:02d}_{name}" for number, name in enumerate(names)]
    assert "reads PT00, PT01, PT02 and 3 more from the names" in (subject_pattern(of_patients) or "")


SITES = (("HC", range(1, 9)), ("HSP", range(1, 11)))


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("{0}_PAC{1:04d}_2021-03-{2:02d}_{2:03d}_{3}.jpg", "HC_PAC0001"),
        ("train/{0}-P{1:03d}-{2}-{3}.jpg", "HC-P001"),
        ("{3}/{0} pat{1} {2}.jpg", "HC pat1"),
        ("{0}/PAC{1:04d}_{2}_{3}.jpg", "HC/PAC0001"),
        ("train/{0}/pat{1}/{2}_{3}.jpg", "HC/pat1"),
    ],
)
def test_equal_ids_of_several_sites_are_kept_apart(form: str, first: str) -> None:
    names = [
        form.format(site, patient, image, ("POS", "NEG")[patient % 2])
        for site, patients in SITES
        for patient in patients
        for image in range(1, 4)
    ]
    way = subject_pattern(names, ["POS", "NEG"]) or ""
    _, pattern, *_ = shlex.split(way)
    assert len({re.search(pattern, name)[1] for name in names}) == 18  # type: ignore[index]
    assert f" reads {first}, " in way
    assert ", if these 18 are patients ('" in way
    other = shlex.split(way.partition(" (")[2])[0]
    assert len({re.search(other, name)[1] for name in names}) == 10  # type: ignore[index]
    assert way.endswith(" are one, with 10 in all)")


def test_folders_that_differ_in_their_unicode_form_are_one() -> None:
    names = [f"2023/{form} {'ABC'[n // 4]}/{n}.png" for n in range(12) for form in ("l\u00e2mina", "la\u0302mina")]
    proposed = subject_pattern(names) or ""
    assert proposed.endswith(" if these 3 are patients")
    reading = Reading(subject_pattern=shlex.split(proposed)[1])
    assert len(set(read_subjects(names, [None] * 24, reading).names or ())) == 3
    assert recurring_subjects(names, read_subjects(names, [None] * 24, reading).names, reading) == ()


def test_what_each_patient_has_is_no_site() -> None:
    """Patients whose images are in both kinds are not taken apart, since that would leak; the other way is said."""
    names = [f"{kind}_pat{n}_{image}.png" for kind in ("iron", "pas") for n in range(5) for image in range(2)]
    way = subject_pattern(names) or ""
    assert way.partition(" reads ")[2].startswith("pat0, pat1, pat2 and 2 more from the names, if these 5 are patients")
    assert way.endswith(r" ('([^\W_]+_[^\W_]+)_[^/]*$' if iron_pat0 and pas_pat0 are two, with 10 in all)")


@pytest.mark.parametrize(
    ("words", "known"), [(("hem", "all"), ["hem", "all"]), (("train", "test"), []), (("MDS", "wbc"), [])]
)
def test_classes_and_parts_are_no_sites(words: tuple[str, str], known: list[str]) -> None:
    names = [f"{word}_pat{n + k}_{i}.png" for k, word in enumerate(words) for n in range(5) for i in range(2)]
    way = subject_pattern(names, known) or ""
    assert way.endswith(" pat0, pat1, pat2 and 3 more from the names, if these 6 are patients")


def test_a_folder_that_was_unpacked_into_itself_is_no_level() -> None:
    folders = ["ALL_2019/ALL_2019", "ALL_2020", "Kontrollen_2019"]
    names = [f"{folder}/Pat{n // 3:03d}/{n:05d}.bmp" for folder in folders for n in range(9)]
    proposed = subject_pattern(names, ["ALL", "Kontrollen"]) or ""
    assert " reads Pat000, Pat001, Pat002 from the folders, if these 3 are patients" in proposed
    for text in (shlex.split(proposed)[1], r"Pat(\d+)"):
        found = Reading(subject_pattern=text)
        (note,) = recurring_subjects(names, read_subjects(names, [None] * len(names), found).names, found)
        apart = shlex.split(note[note.index("--subject-pattern") :])[1]
        subjects = read_subjects(names, [None] * len(names), Reading(subject_pattern=apart)).names or ()
        assert sorted(set(subjects)) == [
            f"{folder[-15:].rpartition('/')[2]}/Pat{n:03d}" for folder in folders for n in range(3)
        ]
        assert ("Pat" in apart) == ("Pat" in text)
