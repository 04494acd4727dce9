"""``leukemia.predict``: a table of probabilities, the images that cannot be used, and what is said about the others."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.recipe import Recipe
from leukemia.delivery import delivered_model, new_images
from leukemia.delivery.loading import load_delivered
from leukemia.predict import main
from leukemia.study.folder import Study
from leukemia.training import inference
from leukemia.training.inference import NUM_VIEWS, NonFiniteProbabilities, predict_views
from leukemia.training.model import build_model, save_model
from leukemia.training.resnet import ResNet

CPU = torch.device("cpu")

NO_APPEARANCE = "has no appearance.json, since an earlier version delivered it"


def predict(model: Path, *arguments: str | Path) -> int:
    return main(["--model", str(model), *map(str, arguments), "--device", "cpu"])


def notes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said about the images, and not about the model."""
    return [message for message in caplog.messages if NO_APPEARANCE not in message]


def test_command_prints_a_csv(
    network: ResNet, plain_model: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(plain_model, *pictures) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["path", "probability_leukemic", "predicted", "spread", "warning"]
    assert [row["path"] for row in rows] == [str(path) for path in pictures]
    # Crop 64 px of each 128 px image, resize to 32 px: with Pillow's box filter instead of OpenCV's area filter.
    seen = [
        np.asarray(Image.open(path).crop((32, 32, 96, 96)).resize((32, 32), Image.Resampling.BOX)) for path in pictures
    ]
    recipe = load_delivered(plain_model)[1]
    views = predict_views(network, recipe, np.stack(seen), range(3), device=CPU, tta="d4")
    found = np.array([float(row["probability_leukemic"]) for row in rows])
    np.testing.assert_allclose(found, views.mean(axis=0), atol=5e-3)
    np.testing.assert_allclose([float(row["spread"]) for row in rows], views.max(axis=0) - views.min(axis=0), atol=1e-2)
    assert [row["predicted"] for row in rows] == [str(int(value >= 0.5)) for value in found]


def test_json_has_the_same_rows(plain_model: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(plain_model, *pictures) == 0
    expected = pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False)
    assert predict(plain_model, *pictures, "--format", "json") == 0
    found = pd.DataFrame(json.loads(capsys.readouterr().out))
    pd.testing.assert_frame_equal(found, expected, atol=1e-6, check_dtype=False)


def test_unusable_images_are_named_and_left_out(
    plain_model: Path,
    pictures: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, small, text = tmp_path / "broken.png", tmp_path / "small.png", tmp_path / "text.png"
    broken.write_bytes(pictures[0].read_bytes()[:200])
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(small)
    text.write_text("hello")
    folder = shutil.copytree(plain_model, tmp_path / "refusing")
    load_delivered(plain_model)[1].with_settings({"data.small": "refuse"}).save(folder / "recipe.json")
    paths = [pictures[0], broken, small, tmp_path / "absent [1].png", text, pictures[1]]
    with pytest.raises(UserError, match=r"^4 of 6 images cannot be used:\n") as caught:
        predict(folder, *paths, "--strict")
    message = str(caught.value)
    assert f"{small}: 31x20 px is smaller than the crop of 64 px" in message
    assert f"{tmp_path / 'absent [1].png'}: missing" in message
    assert f"  {broken}: " in message
    assert f"  {text}: " in message
    assert str(pictures[0]) not in message
    assert capsys.readouterr().out == ""
    assert predict(folder, *paths) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == [str(pictures[0]), str(pictures[1])]
    left_out = message.replace("cannot be used:", "cannot be used, and are left out:")
    assert left_out in caplog.messages
    with pytest.raises(UserError, match=r"^1 of 1 images cannot be used:\n"):
        predict(folder, broken)
    # A submission has a row for every image.
    with pytest.raises(UserError, match=r"^4 of 6 images cannot be used:\n"):
        predict(folder, *paths, "--submission", tmp_path / "submission.csv")
    assert not (tmp_path / "submission.csv").exists()


def test_new_images_that_are_padded_or_mostly_cut_away_are_counted(
    plain_model: Path,
    pictures: list[Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(small)
    Image.fromarray(np.zeros((640, 640, 3), np.uint8)).save(large)
    assert predict(plain_model, pictures[0], small, large) == 0
    assert notes(caplog) == [
        "1 of 3 images is smaller than the crop of 64 px (the smallest is 31x20 px): padded with black; "
        "data.small=refuse refuses them",
        "the crop of 64 px keeps 25 % of the median image's area; training with data.fit=resize takes whole images",
        f"2 of 3 images have few grey levels, and may be masks, or blank: {small}, {large}",
    ]
    assert [row["warning"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == [
        "",
        "smaller than the crop of 64 px: padded with black; few grey levels: a mask, or blank",
        "few grey levels: a mask, or blank",
    ]


def test_new_images_that_look_like_masks_are_named(
    plain_model: Path, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cells, mask = tmp_path / "cells", tmp_path / "cells" / "bw" / "0.jpg"
    mask.parent.mkdir(parents=True)
    disc = np.hypot(*(np.mgrid[:128, :128] - 64)) < 40
    Image.fromarray(disc.astype(np.uint8) * 255).save(mask)
    (cells / "0.png").write_bytes(pictures[0].read_bytes())
    # As ``cells/*`` of a shell.
    (cells / "Thumbs.db").write_text("x")
    (cells / "__MACOSX").mkdir()
    assert predict(plain_model, *sorted(cells.iterdir())) == 0
    (warning,) = [message for message in caplog.messages if "masks" in message]
    assert warning == f"1 of 2 images has few grey levels, and may be masks, or blank: {mask}"
    caplog.clear()
    (cells / "cell.dcm").write_text("x")
    assert predict(plain_model, cells) == 0
    assert f"{cells}: ignored 1 file without an image suffix (.dcm: 1)" in caplog.messages
    with pytest.raises(UserError, match=r"__MACOSX: no images in this folder"):
        predict(plain_model, cells / "__MACOSX")


def test_of_a_folder_all_images_below_it_are_classified(
    plain_model: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures[0].parent
    deeper = folder / "9" / "0.PNG"
    deeper.parent.mkdir()
    deeper.write_bytes(pictures[1].read_bytes())
    (folder / "labels.csv").write_text("not an image")
    assert predict(plain_model, folder, pictures[2]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == [str(path) for path in (*pictures, deeper, pictures[2])]
    assert rows[3]["probability_leukemic"] == rows[1]["probability_leukemic"]


def test_patterns_are_looked_up(plain_model: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    star = pictures[0].parent / "*.png"
    assert predict(plain_model, star) == 0
    assert predict(plain_model, pictures[0].parents[1] / "**" / "[12].p?g") == 0
    tables = capsys.readouterr().out.split("path,")[1:]
    assert [table.count("\n") - 1 for table in tables] == [3, 2]
    Image.open(pictures[0]).save(star)
    assert predict(plain_model, star) == 0
    assert capsys.readouterr().out.count("\n") == 2, "a file of this very name"
    star.unlink()
    with pytest.raises(UserError, match=r"\*.bmp: no file or folder matches this pattern; correct it$"):
        predict(plain_model, pictures[0].parent / "*.bmp")


def test_the_ids_and_the_order_of_a_list_are_kept(
    plain_model: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"cell {number},{pictures[number].relative_to(tmp_path)}" for number in (2, 0, 1)]
    quoted = [f'{row.partition(",")[0]},"{row.partition(",")[2]}"' for row in rows]
    (tmp_path / "list.csv").write_text("\n".join(["ID,Path", *quoted]) + "\n")
    assert predict(plain_model, tmp_path / "list.csv") == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert found["id"].tolist() == ["cell 2", "cell 0", "cell 1"]
    assert found["path"].tolist() == [str(pictures[number]) for number in (2, 0, 1)]


def test_converted_images_are_counted_before_the_prediction(
    plain_model: Path, pictures: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    Image.open(pictures[1]).convert("L").save(pictures[1])
    predict(plain_model, *pictures)
    grey, crop = notes(caplog)
    assert grey == "1 of 3 images is grey: all three channels have the grey value"
    assert crop.startswith("the crop of 64 px keeps 25 % of the median image's area")


def test_a_folder_without_images_is_rejected(plain_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no images in this folder; expected files named \*\.bmp, \*\.jpg"):
        predict(plain_model, tmp_path / "empty")


def test_few_images_are_in_memory_at_a_time(
    plain_model: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(plain_model, *pictures)
    expected, sizes = capsys.readouterr().out, []

    def predict_some(model: ResNet, recipe: Recipe, images: np.ndarray, rows: range, **options: Any) -> np.ndarray:
        sizes.append(len(images))
        return predict_views(model, recipe, images, rows, **options)

    monkeypatch.setattr(new_images, "CHUNK", 2)
    monkeypatch.setattr(delivered_model, "predict_views", predict_some)
    predict(plain_model, *pictures)
    columns = ["probability_leukemic", "spread"]
    tables = [pd.read_csv(io.StringIO(text))[columns] for text in (capsys.readouterr().out, expected)]
    np.testing.assert_allclose(*tables, atol=2e-6)
    assert sizes == [2, 1]
    pictures[2].unlink()
    with pytest.raises(UserError, match=rf"^1 of 3 images cannot be used:\n  {pictures[2]}: missing$"):
        predict(plain_model, *pictures, "--strict")
    assert sizes == [2, 1], "nothing is predicted in vain"


def test_broken_probabilities_are_those_of_their_own_chunk(
    plain_model: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict_some(model: ResNet, recipe: Recipe, images: np.ndarray, rows: range, **options: Any) -> np.ndarray:
        if len(images) == 1:
            raise NonFiniteProbabilities(np.array([0]), 1)
        return np.full((8, len(images)), 0.5)

    monkeypatch.setattr(new_images, "CHUNK", 2)
    monkeypatch.setattr(delivered_model, "predict_views", predict_some)
    with pytest.raises(UserError, match=rf"probabilities of 1 of 1 images are NaN .*\n  {pictures[2]}$"):
        predict(plain_model, *pictures)


@pytest.mark.parametrize("num_views", NUM_VIEWS.values())
def test_a_chunk_is_of_whole_batches(num_views: int) -> None:
    for views_per_pass in (inference.VIEWS_PER_PASS, inference.VIEWS_PER_PASS_CUDA):
        assert views_per_pass % num_views == 0
        assert new_images.CHUNK % (views_per_pass // num_views) == 0


def test_folder_without_a_model(plain_model: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"^--model .*: no recipe.json found; give the folder 'final' of a study"):
        load_delivered(tmp_path)
    (tmp_path / "recipe.json").write_text((plain_model / "recipe.json").read_text())
    with pytest.raises(MissingFile, match=r"model.safetensors"):
        load_delivered(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(UserError, match=r"recipe.json: expected JSON"):
        load_delivered(tmp_path)


def test_command_rejects_a_model_whose_probabilities_are_not_finite(
    network: ResNet, plain_model: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(plain_model, tmp_path / "broken")
    broken = build_model(load_delivered(plain_model)[1])
    broken.load_state_dict(network.state_dict())
    with torch.no_grad():
        # Finite, but logits are beyond the range of float32.
        broken.fc.weight.fill_(3e38)
    save_model(broken, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"^--model .*broken: probabilities of 3 of 3 images are NaN or inf") as raised:
        predict(folder, *pictures)
    assert str(raised.value).splitlines()[1:] == [f"  {path}" for path in pictures]
    assert capsys.readouterr().out == ""


def test_a_format_has_no_effect_on_a_submission(plain_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--format is that of the printed table, which --submission replaces; leave"):
        predict(plain_model, "x.png", "--format", "json", "--submission", tmp_path / "submission.csv")


def test_images_unlike_the_training_images_are_pointed_out(
    delivered: Study, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = Image.open(next(tiny_folder.rglob("*.png")))
    pixels = np.asarray(cell).astype(int)
    changed = {
        "large": np.asarray(cell.resize((64, 64))),
        "bright": np.clip(pixels + 90, 0, 255),
        "blank": pixels * 0 + 20 + np.arange(32)[:, None, None] % 9 // 8,
        "green": pixels[:, :, [1, 0, 1]],
    }
    for name, each in changed.items():
        Image.fromarray(each.astype(np.uint8)).save(tmp_path / f"{name}.png")
    assert predict(delivered.folder / "final", tiny_folder, *(tmp_path / f"{name}.png" for name in changed)) == 0
    printed = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert {row["warning"] for row in rows[: -len(changed)]} == {""}, "the training images themselves"
    found = {Path(row["path"]).stem: row["warning"] for row in rows[-len(changed) :]}
    assert found["large"].startswith("unlike the training images: wider, taller")
    assert "brighter" in found["bright"]
    assert "hardly any contrast: no cell?" in found["blank"]
    assert "less red" in found["green"]


def test_a_user_error_prints_one_line_and_exits_with_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "leukemia.predict", "--model", str(tmp_path), "x.png"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: --model {tmp_path}: no recipe.json found")
    assert len(ended.stderr.splitlines()) == 1
