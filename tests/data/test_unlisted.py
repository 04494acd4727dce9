"""A CSV that cannot be read yet and lists some images only: the others are counted, or read first if they are more."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from tests.helpers.tables import labels_of, touch, typed, write_lines


def course(data: Path, number: int) -> Path:
    """Two folders of so many images, and a folder with the CSV of ten others, whose labels are not called so."""
    touch(data, *(f"base/treino/{word}/{image}.png" for word in ("doente", "saudavel") for image in range(number)))
    touch(data, *(f"base/teste/{image}.png" for image in range(10)))
    rows = [f"{image}.png,{('doente', 'saudável')[image % 2]}" for image in range(10)]
    write_lines(data / "base" / "teste" / "gabarito.csv", "imagem,resposta", *rows)
    return data


def test_images_in_no_csv_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        typed(course(tmp_path, 2))
    assert "; these may have labels, read one with --label-column resposta" in str(error.value)
    assert "\n  4 images in base/treino/doente/, base/treino/saudavel/ are in no CSV\n" in str(error.value)


def test_more_images_in_folders_that_may_be_classes_are_proposed_first(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        typed(course(tmp_path, 12))
    message = str(error.value)
    assert "24 images in base/treino/doente/, base/treino/saudavel/ are in no CSV, and their folders may be" in message
    folder = shlex.split(message.partition(", give the path ")[2])[0]
    assert len(labels_of(typed(Path(folder), options="--classes normal=saudavel leukemic=doente"))) == 24
    csv = shlex.split(message.partition("to read the images of the CSV instead, give ")[2])[0]
    options = "--label-column resposta --classes normal=saudável leukemic=doente"
    assert len(labels_of(typed(Path(csv), options=options))) == 10
