"""Names that a CSV cannot carry are refused when the data are read, whatever the layout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from helpers.cells import draw_cells
from PIL import Image

from leukemia import predict
from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.names import check_names
from leukemia.data.reading import Reading
from leukemia.delivery import delivered_model
from leukemia.delivery.image_list import NewImage
from leukemia.study.decision import Decision


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), (sum(map(ord, str(path))) % 256, 0, 0)).save(path)


def class_folders(folder: Path) -> Path:
    for name in ("hem/a\rb.png", "all/c.png"):
        draw(folder / name)
    return folder


def c_nmc(folder: Path) -> Path:
    draw(draw_cells(folder, seed=0, subjects=range(1, 2), per_subject=1) / "fold_0" / "all" / "UID_a\rb_1_1_all.png")
    return folder


def subjects_of_a_csv(folder: Path) -> Path:
    for name in ("0.png", "1.png"):
        draw(folder / name)
    path = folder / "list.csv"
    path.write_bytes(b"Path,label,subject\n0.png,0,a\0b\n1.png,1,c\n")
    return path


@pytest.mark.parametrize("layout", [class_folders, c_nmc, subjects_of_a_csv])
def test_names_of_several_lines_or_with_nul_are_refused_in_every_layout(
    layout: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"names of images and subjects must be one line of UTF-8, .* rename these:\n  .*a\\(r|n|x00)b"
    ):
        read_catalog(layout(tmp_path / "cells"))


def test_subjects_from_another_copy_are_checked(tmp_path: Path) -> None:
    reference = subjects_of_a_csv(tmp_path / "copy")
    for label, name in enumerate(("hem", "all")):
        (tmp_path / "cells" / name).mkdir(parents=True)
        (tmp_path / "cells" / name / "x.png").write_bytes((reference.parent / f"{label}.png").read_bytes())
    with pytest.raises(UserError, match=r"names of images and subjects .*\n  a\\x00b$"):
        read_catalog(tmp_path / "cells", Reading(subjects_from=str(reference)))


@pytest.mark.parametrize("name", ["a\0b", "\r", "a\r\nb", "\udcff"])
def test_names_that_do_not_fit(name: str) -> None:
    with pytest.raises(UserError, match=r"^cells: names of images and subjects must be one line"):
        check_names(["fine", name], "cells")


def test_other_characters_survive_a_csv(tmp_path: Path) -> None:
    names = [f"a{chr(code)}b" for code in (*range(1, 10), *range(11, 13), *range(14, 128), 0x85, 0x2028, 0xFEFF)]
    check_names(names, "cells")
    pd.DataFrame({"image_id": names}).to_csv(tmp_path / "x.csv", index=False)
    assert pd.read_csv(tmp_path / "x.csv", dtype=str, keep_default_na=False)["image_id"].tolist() == names


def test_predict_refuses_such_a_path_before_it_loads_the_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^IMAGE: names of images .*\n  a\\rb.png$"):
        predict.main(["--model", str(tmp_path / "none"), "a\rb.png"])


@pytest.mark.parametrize("is_terminal", [False, True])
def test_predict_escapes_names_on_a_terminal_only(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Model:
        decision = Decision()

        def __init__(self, folder: Path, device: str, plugins: Sequence[Path]) -> None:
            pass

        def classify(self, images: Sequence[NewImage], *, skip: bool) -> pd.DataFrame:
            paths = [str(image.source) for image in images]
            return pd.DataFrame({"path": paths, "probability_leukemic": 0.25, "predicted": 0})

    monkeypatch.setattr(delivered_model, "DeliveredModel", Model)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    assert predict.main(["--model", "none", "a\x1b[2J.png", "=1+1.png"]) == 0
    name = r"a\x1b[2J.png" if is_terminal else "a\x1b[2J.png"
    assert capsys.readouterr().out.splitlines()[1:] == [f"{name},0.250000,0", "./=1+1.png,0.250000,0"]
