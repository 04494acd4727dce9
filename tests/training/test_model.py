"""The network against independent definitions of torchvision's names, shapes, sizes and forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.resnets import NUM_BLOCKS, torchvision_shapes
from safetensors.torch import load_file, save_file
from torch import Tensor

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data, Model
from leukemia.training.model import build_model, load_model, save_model
from leukemia.training.resnet import ResNet


def recipe_of(
    depth: int = 18, shortcut: str = "add", grayscale: bool = False, pretrained: Path | None = None
) -> Recipe:
    model = Model(depth=depth, shortcut=shortcut, pretrained=None if pretrained is None else str(pretrained))
    return Recipe(model=model, data=Data(grayscale=grayscale))


def num_parameters(model: ResNet) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def reference_logits(state: dict[str, Tensor], images: Tensor, depth: int, shortcut: str = "add") -> Tensor:
    """The forward pass in evaluation mode, written with functions only."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scale = state[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
        return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = F.relu(norm(conv(images, "conv1", 2), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    num_convs = 2 if depth < 50 else 3
    for stage, num_blocks in enumerate(NUM_BLOCKS[depth]):
        for index in range(num_blocks):
            block = f"layer{stage + 1}.{index}"
            stride = 2 if stage > 0 and index == 0 else 1
            strided_conv = 1 if depth < 50 else 2
            branch = x
            for number in range(1, num_convs + 1):
                step = stride if number == strided_conv else 1
                branch = norm(conv(branch, f"{block}.conv{number}", step), f"{block}.bn{number}")
                if number < num_convs:
                    branch = F.relu(branch)
            if f"{block}.downsample.0.weight" in state:
                x = norm(conv(x, f"{block}.downsample.0", stride), f"{block}.downsample.1")
            if shortcut == "add":
                x = F.relu(branch + x)
            elif shortcut == "concat":
                x = F.relu(conv(torch.cat([branch, x], 1), f"{block}.join.conv"))
            else:
                weights = [state[f"{block}.join.{part}_weight"][:, None, None] for part in ("branch", "shortcut")]
                x = F.relu(weights[0] * branch + weights[1] * x)
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def randomized(model: ResNet) -> ResNet:
    """Randomize all vectors, including BatchNorm statistics, so that mix-ups are detected."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dim() == 1:
                positive = name.endswith(("weight", "running_var"))
                value.copy_(torch.rand_like(value) + 0.5 if positive else 0.1 * torch.randn_like(value))
    return model.eval()


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of ResNet-18 for 1000 classes, as torchvision would save it."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(randomized(ResNet(18, num_classes=1000)).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("depth", "for_imagenet", "for_two"),
    [
        (18, 11_689_512, 11_177_538),
        (34, 21_797_672, None),
        (50, 25_557_032, 23_512_130),
        (101, 44_549_160, None),
        (152, 60_192_808, 58_147_906),
    ],
)
def test_names_shapes_and_counts_equal_torchvisions(depth: int, for_imagenet: int, for_two: int | None) -> None:
    with torch.device("meta"):
        model, small = ResNet(depth, num_classes=1000), ResNet(depth)
    assert num_parameters(model) == for_imagenet
    assert num_parameters(small) == (for_two or for_imagenet - 998 * (model.fc.in_features + 1))
    got = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    expected = torchvision_shapes(depth, 1000)
    assert list(got.items()) == list(expected.items())


@pytest.mark.parametrize("depth", [18, 152])
def test_shortcuts_add_the_expected_number_of_parameters(depth: int) -> None:
    with torch.device("meta"):
        add, concat, weighted = (ResNet(depth, shortcut) for shortcut in ("add", "concat", "weighted"))
    expansion = 1 if depth == 18 else 4
    widths = [64 * 2**stage * expansion for stage, n in enumerate(NUM_BLOCKS[depth]) for _ in range(n)]
    assert num_parameters(concat) - num_parameters(add) == sum(9 * 2 * width * width for width in widths)
    assert num_parameters(weighted) - num_parameters(add) == sum(2 * width for width in widths)


@pytest.mark.parametrize(("depth", "shortcut"), [(18, "add"), (50, "add"), (18, "concat"), (18, "weighted")])
def test_logits_equal_the_functional_reference(depth: int, shortcut: str) -> None:
    torch.manual_seed(0)
    model = randomized(ResNet(depth, shortcut))
    images = torch.randn(2, 3, 33, 40)
    with torch.no_grad():
        logits, expected = model(images), reference_logits(model.state_dict(), images, depth, shortcut)
    assert logits.shape == (2, 2)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_concat_in_a_bottleneck_has_the_output_width() -> None:
    with torch.device("meta"):
        model = ResNet(50, "concat")
        assert model(torch.empty(1, 3, 64, 64)).shape == (1, 2)
    assert model.layer4[0].join.conv.weight.shape == (2048, 4096, 3, 3)
    assert model.layer4[0].join.conv.bias is None


def test_weighted_starts_as_addition() -> None:
    torch.manual_seed(0)
    add, weighted = randomized(ResNet(18)), ResNet(18, "weighted").eval()
    missing = weighted.load_state_dict(add.state_dict(), strict=False).missing_keys
    assert missing[:2] == ["layer1.0.join.branch_weight", "layer1.0.join.shortcut_weight"]
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(add(images), weighted(images))


def test_weighted_keeps_bfloat16_under_autocast() -> None:
    model = ResNet(18, "weighted").eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.layer1(torch.randn(1, 64, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_initial_weights_are_kaiming_normal_and_follow_the_seed() -> None:
    torch.manual_seed(3)
    model = build_model(recipe_of())
    torch.manual_seed(3)
    again = build_model(recipe_of())
    assert torch.equal(model.fc.weight, again.fc.weight)
    weight = model.layer3[1].conv2.weight
    assert torch.equal(weight, again.layer3[1].conv2.weight)
    assert not torch.equal(weight, build_model(recipe_of()).layer3[1].conv2.weight)
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    downsample = model.layer2[0].downsample[0].weight
    assert downsample.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert model.bn1.weight.eq(1).all()
    assert model.bn1.bias.eq(0).all()


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    for shortcut in ("concat", "weighted"):
        model = build_model(recipe_of(shortcut=shortcut, grayscale=True))
        model(torch.randn(2, 1, 32, 32)).square().sum().backward()
        assert [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("shortcut", ["add", "concat", "weighted"])
def test_pretrained_weights_cover_all_but_head_and_shortcut_parameters(imagenet: Path, shortcut: str) -> None:
    source = torch.load(imagenet, weights_only=True)
    state = build_model(recipe_of(shortcut=shortcut, pretrained=imagenet)).state_dict()
    assert state["fc.weight"].shape == (2, 512)
    own = {key for key in state if ".join." in key}
    assert (len(own) == 0) == (shortcut == "add")
    for key in set(state) - own - {"fc.weight", "fc.bias"}:
        assert torch.equal(state[key], source[key]), key


def test_pretrained_grayscale_equals_colour_on_a_gray_image(imagenet: Path) -> None:
    colour = build_model(recipe_of(pretrained=imagenet)).eval()
    gray = build_model(recipe_of(pretrained=imagenet, grayscale=True)).eval()
    gray.fc.load_state_dict(colour.fc.state_dict())
    image = torch.randn(1, 1, 32, 32)
    assert gray.conv1.weight.shape == (64, 1, 7, 7)
    with torch.no_grad():
        expected = colour(image.expand(-1, 3, -1, -1))
        torch.testing.assert_close(gray(image), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_a_saved_model_has_the_same_logits_and_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomized(ResNet(18, "weighted", in_channels=1)).to(memory_format=torch.channels_last)
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors"]
    before = torch.get_rng_state()
    # The file of pretrained weights need not exist any more.
    loaded = load_model(path, recipe_of(18, "weighted", grayscale=True, pretrained=tmp_path / "gone.pt"))
    assert torch.equal(before, torch.get_rng_state())
    assert not loaded.training
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), model(images))

    loaded.train()(images).sum().backward()
    assert loaded.conv1.weight.grad is not None
    with torch.no_grad():
        loaded.conv1.weight.add_(1)
    assert torch.equal(load_file(path)["conv1.weight"], model.conv1.weight)


def test_load_rejects_missing_truncated_and_mismatched_files(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(MissingFile, match="no weights at"):
        load_model(path, recipe_of())
    save_model(ResNet(18, "concat"), path)
    with pytest.raises(
        UserError, match=r"got what appears to be ResNet-18, shortcut concat.*\n  unexpected: layer1\.0\.join"
    ):
        load_model(path, recipe_of())
    with pytest.raises(UserError, match=r"conv1\.weight: expected shape \(64, 1, 7, 7\), got \(64, 3, 7, 7\)"):
        load_model(path, recipe_of(18, "concat", grayscale=True))
    state = load_file(path)
    del state["bn1.num_batches_tracked"]
    save_file(state, path)
    with pytest.raises(UserError, match=r"missing: bn1\.num_batches_tracked"):
        load_model(path, recipe_of(18, "concat"))
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"cannot read it \(.+\); copy it again"):
        load_model(path, recipe_of(18, "concat"))


def test_weights_that_are_not_finite_are_rejected(tmp_path: Path) -> None:
    model = build_model(recipe_of())
    with torch.no_grad():
        model.fc.bias[0] = float("nan")
    save_model(model, tmp_path / "model.safetensors")
    with pytest.raises(
        UserError, match=r"model.safetensors: expected finite weights, got NaN or infinity.*\n  fc.bias"
    ):
        load_model(tmp_path / "model.safetensors", recipe_of())
