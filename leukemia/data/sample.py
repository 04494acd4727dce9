"""The sample set: synthetic images with the layout, file names and look of C-NMC 2019.

Suitable for testing the pipeline, worthless as medical evidence.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from leukemia import ALL, CLASS_NAMES
from leukemia.base.errors import UserError
from leukemia.base.files import atomic_folder, cache_dir, make_folder, require_space, write_text
from leukemia.base.locks import locked
from leukemia.base.threads import completed
from leukemia.data.cell import SIDE_PX, Subject, draw_cell, subjects

SET_NAME = "sample-v1"
"""Folder of the default set in the cache. Change the name if the images change, since caches outlive versions."""

NUM_FOLDS = 3
"""Number of ``fold_*`` folders, as in C-NMC. Each contains whole subjects of both classes."""

NUM_SHARED_IMAGES = 2
"""The first images of leukemic subject 1 are also those of subject 2, as C-NMC's subjects 20 and 21 share theirs."""

IMAGE_BYTES = 54 + (3 * SIDE_PX + 2) * SIDE_PX
"""Size of a BMP: its header, then rows padded to a multiple of four bytes."""

TRAINING, TEST = "C-NMC_training_data", "C-NMC_test_prelim_phase_data"


def generate(
    root: Path, *, seed: int = 0, num_subjects: int = 24, images_per_subject: int = 12, num_test_images: int = 48
) -> None:
    """Generate a sample set: on the same machine, the same arguments give the same bytes.

    Another processor type or version of NumPy or OpenCV may round pixels differently: if two machines must agree, copy
    the folder.

    The training set has ``num_subjects * images_per_subject`` images (450x450 px, 24-bit BMP) in three ``fold_*``
    folders of whole subjects, 7 of 12 subjects leukemic; the test set has other subjects. Leukemic subjects 1 and 2,
    in different folders, share two byte-identical images.

    Args:
        root: folder to create, atomically, at the end. Its parents are created if absent.
        seed: at least 0.
        num_subjects: number of training subjects, at least 6, so that every fold folder has both classes.
        images_per_subject: at least 2.
        num_test_images: at least 2, one of each class.

    Raises:
        UserError: an argument is out of range, ``root`` already exists, or there is not enough disk space.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("num_subjects", num_subjects, 2 * NUM_FOLDS),
        ("images_per_subject", images_per_subject, NUM_SHARED_IMAGES),
        ("num_test_images", num_test_images, 2),
    ):
        if value < least:
            raise UserError(f"sample set: expected {name} of at least {least}, got {value}")
    if os.path.lexists(root):
        raise _occupied(root)
    if root.name == "..":
        raise UserError(f"sample set: expected the name of a new folder, got {root}; leave out the '..'")
    make_folder(root.parent, "give a folder that you can write to")
    require_space(
        root.parent, (num_subjects * images_per_subject + num_test_images) * (IMAGE_BYTES + 4096), "the sample set"
    )
    try:
        with atomic_folder(root) as temporary:
            _write_training(temporary / TRAINING, seed, num_subjects, images_per_subject)
            _write_test(temporary, seed, num_subjects, num_test_images)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) and os.path.lexists(root):
            # Another process has been faster.
            raise _occupied(root) from None
        raise


def _occupied(root: Path) -> UserError:
    return UserError(f"sample set: {root} already exists; remove it, or give a new folder")


def sample_set() -> Path:
    """The default sample set in the cache, generated on the first call (10 s of one core, 205 MB); returns its root.

    Raises:
        UserError: the cache is not writable, or there is not enough disk space.
    """
    root = cache_dir() / SET_NAME
    with locked(root.with_name(f".{SET_NAME}.lock")):
        if not root.is_dir():
            # The lock is held, so these are leftovers of a killed process.
            for leftover in root.parent.glob(f".{SET_NAME}.*.tmp"):
                shutil.rmtree(leftover, ignore_errors=True)
            generate(root)
    return root


def _write_training(folder: Path, seed: int, num_subjects: int, images_per_subject: int) -> None:
    jobs: list[tuple[Path, Subject, int]] = []
    for of_class in _both_classes(seed, (1, 1), num_subjects):
        for index, subject in enumerate(of_class):
            class_name = CLASS_NAMES[subject.label]
            target = folder / f"fold_{index % NUM_FOLDS}" / class_name
            target.mkdir(parents=True, exist_ok=True)
            for image in range(images_per_subject):
                shares = subject.label == ALL and subject.number == 2 and image < NUM_SHARED_IMAGES
                jobs.append((target / _file_name(subject, image), of_class[0] if shares else subject, image))
    _write_images(jobs, seed)


def _write_test(root: Path, seed: int, num_training_subjects: int, num_images: int) -> None:
    # Numbers continue after the training subjects: a subject in both sets would be a leak.
    first = tuple(1 + count for count in _class_counts(num_training_subjects))
    people = [person for of_class in _both_classes(seed, first, max(2, num_images // 6)) for person in of_class]
    cells = [(people[k % len(people)], k // len(people)) for k in range(num_images)]
    # Shuffled, since the published names do not reveal the class.
    order = np.random.default_rng((seed, num_images)).permutation(num_images)
    (root / TEST).mkdir()
    rows, jobs = ["Patient_ID,new_names,labels"], []
    for number, cell in enumerate(order, start=1):
        subject, image = cells[cell]
        rows.append(f"{_file_name(subject, image)},{number}.bmp,{subject.label}")
        jobs.append((root / TEST / f"{number}.bmp", subject, image))
    _write_images(jobs, seed)
    write_text(root / f"{TEST}_labels.csv", "\n".join(rows) + "\n")


def _write_images(jobs: list[tuple[Path, Subject, int]], seed: int) -> None:
    def write(job: tuple[Path, Subject, int]) -> None:
        path, subject, image = job
        rgb = draw_cell(subject, np.random.default_rng((seed, subject.label, subject.number, image)))
        _, encoded = cv2.imencode(".bmp", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        path.write_bytes(encoded.tobytes())

    for _ in completed(write, jobs, "drawing the sample set"):
        pass


def _file_name(subject: Subject, image: int) -> str:
    # A smear image shows several cells: here, three each.
    return f"UID_{subject.name}_{image // 3 + 1}_{image % 3 + 1}_{CLASS_NAMES[subject.label]}.bmp"


def _class_counts(num_subjects: int) -> tuple[int, int]:
    # 7 in 12 leukemic: a majority, as in C-NMC, but smaller, so that every fold has enough healthy subjects.
    num_leukemic = 7 * num_subjects // 12
    return num_subjects - num_leukemic, num_leukemic


def _both_classes(seed: int, first: tuple[int, ...], num_subjects: int) -> Iterator[list[Subject]]:
    for label, count in enumerate(_class_counts(num_subjects)):
        yield subjects(seed, label, first[label], count)
