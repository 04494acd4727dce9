"""Probabilities: averaging of TTA views, order of rows; the command prints a CSV or an error."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import ttach
from helpers.cells import TinyImages, draw_cell
from PIL import Image
from torch import Tensor, nn

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import write_text
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.data.augment import evaluation_pipeline
from leukemia.delivery import classifier
from leukemia.delivery.classifier import classify
from leukemia.delivery.loading import load_delivered
from leukemia.predict import main
from leukemia.training import inference
from leukemia.training.inference import NUM_VIEWS, NonFiniteProbabilities, predict, predict_views, views_of
from leukemia.training.model import build_model, save_model
from leukemia.training.resnet import ResNet

CPU = torch.device("cpu")
RECIPE = Recipe.from_flat({"data.size_px": 32, "train.precision": "float32", "evaluate.tta": "d4"}).resolved([(64, 64)])

Views = list[Callable[[np.ndarray], np.ndarray]]

FLIPS: Views = [lambda x: x, np.flipud, np.fliplr, lambda x: np.flipud(np.fliplr(x))]
VIEWS: dict[Tta, Views] = {
    "none": [lambda x: x],
    "flips": FLIPS,
    "d4": [*FLIPS, *(lambda x, flip=flip: flip(x.transpose(1, 0, 2)) for flip in FLIPS)],
}
"""Symmetries of the square on (H, W, C) images, by flips and transposition."""


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def model() -> ResNet:
    """Random weights, with a head that spreads the probabilities."""
    torch.manual_seed(0)
    model = build_model(RECIPE)
    with torch.no_grad():
        model.fc.weight.mul_(3)
    return model.eval()


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
def test_views_are_averaged_like_a_plain_loop(model: ResNet, tiny_images: TinyImages, tta: Tta) -> None:
    rows, pipeline = [5, 0, 3], evaluation_pipeline(RECIPE)
    expected = np.zeros(len(rows))
    for view in VIEWS[tta]:
        transformed = [np.ascontiguousarray(view(tiny_images.images[row])) for row in rows]
        batch = torch.from_numpy(np.stack([pipeline(image, None) for image in transformed]))
        with torch.no_grad():
            expected += softmax(model(batch).double().numpy())[:, 1] / len(VIEWS[tta])
    found = predict(model, RECIPE, tiny_images.images, rows, device=CPU, tta=tta)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_softmax_is_applied_before_averaging() -> None:
    class TopLeft(nn.Module):
        """Logits that differ between views: twice the value of one corner, and 0."""

        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([torch.zeros(len(images)), 2 * images[:, 0, 0, 0]], dim=1)

    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, :, :, 0] = [[255, 60], [80, 100]]
    corners = 2 * evaluation_pipeline(RECIPE)(image[0], None)[0].ravel().astype(float)
    expected = (1 / (1 + np.exp(-corners))).mean()
    for tta in ("flips", "d4"):
        found = predict(TopLeft(), RECIPE, image, [0], device=CPU, tta=tta)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, [expected], rtol=1e-6)
    assert abs(expected - 1 / (1 + np.exp(-corners.mean()))) > 0.05


@pytest.mark.parametrize("tta", ["flips", "d4"])
def test_views_of_many_images_in_one_pass_equal_ttachs_one_after_the_other(
    model: ResNet, tiny_images: TinyImages, tta: Tta
) -> None:
    aliases = {"flips": ttach.aliases.flip_transform(), "d4": ttach.aliases.d4_transform()}
    reference = ttach.ClassificationTTAWrapper(nn.Sequential(model, nn.Softmax(dim=1)), aliases[tta], merge_mode="mean")
    pipeline = evaluation_pipeline(RECIPE)
    batch = torch.from_numpy(np.stack([pipeline(image, None) for image in tiny_images.images]))
    with torch.inference_mode():
        expected = reference(batch)[:, 1].numpy()
    found = predict(model, RECIPE, tiny_images.images, range(48), device=CPU, tta=tta)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
def test_the_first_view_is_the_image_itself(model: ResNet, tiny_images: TinyImages, tta: Tta) -> None:
    images = torch.rand(3, 3, 8, 8)
    assert torch.equal(views_of(images, tta)[:3], images)
    assert len(views_of(images, tta)) == 3 * NUM_VIEWS[tta]
    views = predict_views(model, RECIPE, tiny_images.images, [5, 0], device=CPU, tta=tta)
    assert views.shape == (NUM_VIEWS[tta], 2)
    plain = predict(model, RECIPE, tiny_images.images, [5, 0], device=CPU, tta="none")
    np.testing.assert_allclose(views[0], plain, atol=1e-6)


def test_rows_keep_their_order(model: ResNet, tiny_images: TinyImages) -> None:
    # More rows than an evaluation batch, not ascending, with duplicates.
    rows = np.concatenate([np.arange(48)[::-1], np.arange(0, 48, 2), [7, 7]])
    every = predict(model, RECIPE, tiny_images.images, range(48), device=CPU, tta="none")
    found = predict(model, RECIPE, tiny_images.images, rows, device=CPU, tta="none")
    np.testing.assert_allclose(found, every[rows], atol=1e-6)
    assert np.ptp(every) > 0.01
    assert predict(model, RECIPE, tiny_images.images, [], device=CPU, tta="d4").shape == (0,)


def test_a_model_in_training_mode_is_still_evaluated_in_eval_mode(model: ResNet, tiny_images: TinyImages) -> None:
    expected = predict(model, RECIPE, tiny_images.images, range(4), device=CPU, tta="flips")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    assert np.array_equal(predict(model, RECIPE, tiny_images.images, range(4), device=CPU, tta="flips"), expected)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.fixture(scope="module")
def delivered(model: ResNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "final"
    folder.mkdir()
    save_model(model, folder / "model.safetensors")
    write_text(folder / "recipe.json", RECIPE.to_json())
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(4)
    paths = [tmp_path / "Zellen, é" / f"{number}.png" for number in range(3)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        Image.fromarray(np.kron(draw_cell(generator, number % 2), np.ones((4, 4, 1), np.uint8))).save(path)
    return paths


def test_command_prints_a_csv(
    model: ResNet, delivered: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", str(delivered), *map(str, pictures), "--device", "cpu"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == [str(path) for path in pictures]
    # Crop 64 px of each 128 px image, resize to 32 px: with Pillow's box filter instead of OpenCV's area filter.
    views = [
        np.asarray(Image.open(path).crop((32, 32, 96, 96)).resize((32, 32), Image.Resampling.BOX)) for path in pictures
    ]
    expected = predict(model, RECIPE, np.stack(views), range(3), device=CPU, tta="d4")
    found = np.array([float(row["probability_leukemic"]) for row in rows])
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert [row["predicted"] for row in rows] == [str(int(value >= 0.5)) for value in found]


def test_command_lists_all_unusable_images(delivered: Path, pictures: list[Path], tmp_path: Path) -> None:
    broken, small, text = tmp_path / "broken.png", tmp_path / "small.png", tmp_path / "text.png"
    broken.write_bytes(pictures[0].read_bytes()[:200])
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(small)
    text.write_text("hello")
    folder = shutil.copytree(delivered, tmp_path / "strict")
    RECIPE.with_settings({"data.small": "refuse"}).save(folder / "recipe.json")
    paths = [pictures[0], broken, small, tmp_path / "absent.png", text]
    with pytest.raises(UserError, match=r"^4 of 5 images cannot be used:\n") as caught:
        main(["--model", str(folder), *map(str, paths), "--device", "cpu"])
    message = str(caught.value)
    assert f"{small}: 31x20 px is smaller than the crop of 64 px" in message
    assert f"{tmp_path / 'absent.png'}: missing" in message
    assert f"  {broken}: " in message
    assert f"  {text}: " in message
    assert str(pictures[0]) not in message


def test_new_images_that_are_padded_or_mostly_cut_away_are_counted(
    delivered: Path, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(small)
    Image.fromarray(np.zeros((640, 640, 3), np.uint8)).save(large)
    assert main(["--model", str(delivered), str(pictures[0]), str(small), str(large), "--device", "cpu"]) == 0
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 3 images are smaller than the crop of 64 px (the smallest is 31x20 px): padded with black; "
        "data.small=refuse refuses them",
        "the crop of 64 px keeps 25 % of the median image's area; training with data.fit=resize takes whole images",
        f"2 of 3 images have few grey levels, so they may be masks, or blank: {small}, {large}",
    ]


def test_new_images_that_look_like_masks_are_named(
    delivered: Path, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cells, mask = tmp_path / "cells", tmp_path / "cells" / "bw" / "0.jpg"
    mask.parent.mkdir(parents=True)
    disc = np.hypot(*(np.mgrid[:128, :128] - 64)) < 40
    Image.fromarray(disc.astype(np.uint8) * 255).save(mask)
    (cells / "0.png").write_bytes(pictures[0].read_bytes())
    # As ``cells/*`` of a shell.
    (cells / "Thumbs.db").write_text("x")
    (cells / "__MACOSX").mkdir()
    paths = map(str, sorted(cells.iterdir()))
    assert main(["--model", str(delivered), *paths, "--device", "cpu"]) == 0
    (warning,) = [record.getMessage() for record in caplog.records if "masks" in record.getMessage()]
    assert warning == f"1 of 2 images have few grey levels, so they may be masks, or blank: {mask}"
    caplog.clear()
    (cells / "cell.dcm").write_text("x")
    assert main(["--model", str(delivered), str(cells), "--device", "cpu"]) == 0
    assert f"{cells}: ignored 1 files without an image suffix (.dcm: 1)" in caplog.messages
    with pytest.raises(UserError, match=r"__MACOSX: no images in this folder"):
        main(["--model", str(delivered), str(cells / "__MACOSX"), "--device", "cpu"])


def test_of_a_folder_all_images_below_it_are_classified(
    delivered: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures[0].parent
    deeper = folder / "9" / "0.PNG"
    deeper.parent.mkdir()
    deeper.write_bytes(pictures[1].read_bytes())
    (folder / "labels.csv").write_text("not an image")
    assert main(["--model", str(delivered), str(folder), str(pictures[2]), "--device", "cpu"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == [str(path) for path in (*pictures, deeper, pictures[2])]
    assert rows[3]["probability_leukemic"] == rows[1]["probability_leukemic"]


def test_converted_images_are_counted_before_the_prediction(
    delivered: Path, pictures: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    Image.open(pictures[1]).convert("L").save(pictures[1])
    classify(delivered, pictures, "cpu")
    assert caplog.messages[:-1] == ["1 of 3 images are grey: all three channels have the grey value"]
    assert caplog.messages[-1].startswith("the crop of 64 px keeps 25 % of the median image's area")


def test_a_folder_without_images_is_rejected(delivered: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no images in this folder; expected files named \*\.bmp, \*\.jpg"):
        main(["--model", str(delivered), str(tmp_path / "empty"), "--device", "cpu"])


def test_few_images_are_in_memory_at_a_time(
    model: ResNet, delivered: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = classify(delivered, pictures, "cpu")
    sizes: list[int] = []

    def predict_some(model: ResNet, recipe: Recipe, images: np.ndarray, rows: range, **options: Any) -> np.ndarray:
        sizes.append(len(images))
        return predict(model, recipe, images, rows, **options)

    monkeypatch.setattr(inference, "CHUNK", 2)
    monkeypatch.setattr(classifier, "predict", predict_some)
    np.testing.assert_allclose(classify(delivered, pictures, "cpu"), expected, atol=1e-6)
    assert sizes == [2, 1]
    pictures[2].unlink()
    with pytest.raises(UserError, match=rf"^1 of 3 images cannot be used:\n  {pictures[2]}: missing$"):
        classify(delivered, pictures, "cpu")
    assert sizes == [2, 1], "nothing is predicted in vain"


def test_broken_probabilities_are_those_of_their_own_chunk(
    delivered: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict_some(model: ResNet, recipe: Recipe, images: np.ndarray, rows: range, **options: Any) -> np.ndarray:
        if len(images) == 1:
            raise NonFiniteProbabilities(np.array([0]), 1)
        return np.full(len(images), 0.5)

    monkeypatch.setattr(inference, "CHUNK", 2)
    monkeypatch.setattr(classifier, "predict", predict_some)
    with pytest.raises(UserError, match=rf"probabilities of 1 of 1 images are NaN .*\n  {pictures[2]}$"):
        classify(delivered, pictures, "cpu")


@pytest.mark.parametrize("num_views", NUM_VIEWS.values())
def test_a_chunk_is_of_whole_batches(num_views: int) -> None:
    for views_per_pass in (inference.VIEWS_PER_PASS, inference.VIEWS_PER_PASS_CUDA):
        assert views_per_pass % num_views == 0
        assert inference.CHUNK % (views_per_pass // num_views) == 0


def test_folder_without_a_model(delivered: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"^--model .*: no recipe.json found; give the folder 'final' of a study"):
        load_delivered(tmp_path)
    (tmp_path / "recipe.json").write_text((delivered / "recipe.json").read_text())
    with pytest.raises(MissingFile, match=r"model.safetensors"):
        load_delivered(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(UserError, match=r"recipe.json: expected JSON"):
        load_delivered(tmp_path)


@pytest.fixture
def overflowing(model: ResNet) -> ResNet:
    """Finite weights, but logits beyond the range of float32 in every image."""
    broken = build_model(RECIPE)
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        broken.fc.weight.fill_(3e38)
    return broken.eval()


def test_probabilities_that_are_not_finite_are_rejected(overflowing: ResNet, tiny_images: TinyImages) -> None:
    with pytest.raises(NonFiniteProbabilities, match=r"^probabilities of 3 of 3 images are NaN or infinite$") as raised:
        predict(overflowing, RECIPE, tiny_images.images, [5, 0, 3], device=CPU, tta="d4")
    assert raised.value.positions.tolist() == [0, 1, 2]


def test_command_rejects_a_model_whose_probabilities_are_not_finite(
    overflowing: ResNet, delivered: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(delivered, tmp_path / "broken")
    save_model(overflowing, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"^--model .*broken: probabilities of 3 of 3 images are NaN or inf") as raised:
        main(["--model", str(folder), *map(str, pictures), "--device", "cpu"])
    assert str(raised.value).splitlines()[1:] == [f"  {path}" for path in pictures]
    assert capsys.readouterr().out == ""


def test_a_user_error_prints_one_line_and_exits_with_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "leukemia.predict", "--model", str(tmp_path), "x.png"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: --model {tmp_path}: no recipe.json found")
    assert len(ended.stderr.splitlines()) == 1
