"""Weights of other programs: whatever surrounds a ResNet in a file, it is taken whole or refused in one line."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from helpers.resnets import renamed, small_state
from safetensors.torch import load_file, save_file
from torch import Tensor

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.recipe import Recipe
from leukemia.training.model import build_model, save_model
from leukemia.training.pretrained import describe_weights, read_pretrained
from leukemia.training.resnet import ResNet
from leukemia.training.weights import write_weights

State = dict[str, Tensor]

STATE = small_state()
BODY = {name for name in STATE if not name.startswith("fc.")}


def recipe_of(**model: Any) -> Recipe:
    return Recipe.from_flat({f"model.{key}": value for key, value in model.items()})


def saved(folder: Path, content: Any, name: str = "weights.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def numbered(state: State) -> State:
    """Names in ``nn.Sequential(*resnet.children())``."""
    children = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7", "fc": "9"}
    parts = {name: name.partition(".") for name in state}
    return {f"{children[first]}.{rest}": state[name] for name, (first, _, rest) in parts.items()}


def deep(state: State) -> State:
    """Modules that torch has inserted at several levels."""
    inserted = {
        name: re.sub(r"^(layer\d)\.(\d)\.", r"\1._orig_mod.\2._checkpoint_wrapped_module.", name) for name in state
    }
    return renamed({inserted[name]: value for name, value in state.items()}, "module._fsdp_wrapped_module.")


OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2), "step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}
LIGHTNING = {
    "epoch": 3,
    "pytorch-lightning_version": "2.5.0",
    "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.5)}},
    "optimizer_states": [OPTIMIZER],
    "hyper_parameters": {"lr": 0.1, "args": argparse.Namespace(depth=18), "root": PurePosixPath("data")},
}


@pytest.mark.parametrize(
    ("name", "arrange", "prefix", "dropped"),
    [
        ("resnet18-f37072fd.pth", lambda state: state, "", "fc (2)"),
        ("resnet18-f37072fd.pth", lambda state: {name: state[name] for name in BODY}, "", "nothing"),
        ("hub.bin", lambda state: renamed(state, "timm_model."), "timm_model.", "fc (2)"),
        (
            "model_best.pth.tar",
            lambda state: {
                "epoch": 90,
                "arch": "resnet18",
                "state_dict": renamed(state, "module."),
                "best_acc1": np.float64(69.7),
                "optimizer": OPTIMIZER,
            },
            "state_dict.module.",
            "fc (2), optimizer (2)",
        ),
        (
            "epoch=3.ckpt",
            lambda state: {**LIGHTNING, "state_dict": {"loss.weight": torch.ones(2), **renamed(state, "model.net.")}},
            "state_dict.model.net.",
            "loss (1), fc (2), callbacks (1)",
        ),
        (
            "reference.pth",
            lambda state: {"model": state, "args": argparse.Namespace(lr=0.1), "scores": np.ones(3)},
            "model.",
            "fc (2)",
        ),
        ("smp.pt", lambda state: {"weights": renamed(state, "encoder.")}, "weights.encoder.", "fc (2)"),
        ("loop.pt", lambda state: {"model_state_dict": state, "epoch": 3}, "model_state_dict.", "fc (2)"),
        ("detector.pt", lambda state: {"net": renamed(state, "backbone.body.")}, "net.backbone.body.", "fc (2)"),
        ("compiled.pt", lambda state: renamed(state, "_orig_mod.module."), "module.", "fc (2)"),
        ("sharded.pt", deep, "module.", "fc (2)"),
        (
            "children.ckpt",
            lambda state: {"state_dict": renamed(numbered(state), "feature_extractor.")},
            "state_dict.feature_extractor.",
            "9 (2)",
        ),
        (
            "twice.ckpt",
            lambda state: {"state_dict": {**renamed(state, "backbone."), **renamed(numbered(state), "model.0.")}},
            "state_dict.backbone.",
            "fc (2), model (122)",
        ),
        (
            "timm.pth.tar",
            lambda state: {"state_dict": small_state(start=2.0), "state_dict_ema": state},
            "state_dict_ema.",
            "state_dict (122), fc (2)",
        ),
        (
            "swa.pt",
            lambda state: {"n_averaged": torch.tensor(7), **renamed(state, "module.")},
            "module.",
            "n_averaged (1), fc (2)",
        ),
        ("seven.pt", lambda state: {**state, "fc.weight": torch.ones(7, 512)}, "", "fc (2)"),
        (
            "mlp.pt",
            lambda state: {**state, "head.0.weight": torch.ones(3, 512), "pool.p": torch.ones(1)},
            "",
            "fc (2), head (1), pool (1)",
        ),
    ],
)
def test_a_resnet_is_found_in_any_file(
    tmp_path: Path, name: str, arrange: Callable[[State], Any], prefix: str, dropped: str
) -> None:
    path = saved(tmp_path, arrange(STATE), name)
    found = read_pretrained(path)
    state = found.state_for(Recipe())
    assert set(state) == BODY
    assert all(torch.equal(state[each], STATE[each]) for each in BODY)
    where = f" of {prefix}*" if prefix else ""
    assert found.describe() == (
        f"{path}, ResNet-18, shortcut add, 3-channel input: 120 tensors{where} taken; dropped: {dropped}; "
        "new: head, and the parameters of shortcuts concat and weighted"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_and_said(tmp_path: Path, dtype: torch.dtype) -> None:
    converted = {name: value.to(dtype) if value.is_floating_point() else value for name, value in STATE.items()}
    save_file({name: value.contiguous() for name, value in converted.items()}, tmp_path / "model.safetensors")
    found = read_pretrained(tmp_path / "model.safetensors")
    assert {value.dtype for value in found.state_for(Recipe()).values()} == {torch.float32, torch.int64}
    assert f"taken, converted from {str(dtype).removeprefix('torch.')}; dropped: fc (2)" in found.describe()


def test_files_of_old_versions_of_torch_are_read(tmp_path: Path) -> None:
    """Before 1.6: no archive, and in torchvision's files no counters of batches."""
    state = {name: value for name, value in STATE.items() if "num_batches" not in name}
    torch.save(
        {"state_dict": state, "best": np.float32(0.5)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False
    )
    built = build_model(recipe_of(pretrained=str(tmp_path / "old.pth"))).state_dict()
    assert torch.equal(built["layer4.1.conv2.weight"], STATE["layer4.1.conv2.weight"])
    assert built["bn1.num_batches_tracked"] == 0


def test_a_container_that_contains_itself_is_read_once(tmp_path: Path) -> None:
    content: dict[str, Any] = {"state_dict": STATE}
    content["self"] = content
    assert read_pretrained(saved(tmp_path, content)).network.prefix == "state_dict."


def test_of_many_parts_the_first_are_named(tmp_path: Path) -> None:
    heads = {f"head{number}.weight": torch.ones(1) for number in range(8)}
    described = read_pretrained(saved(tmp_path, {**STATE, **heads})).describe()
    assert "; dropped: fc (2), head0 (1), head1 (1), head2 (1), head3 (1), head4 (1) and 3 more; new: " in described


class Arbitrary:
    """An object that only an unsafe unpickler would load."""


class Touching:
    """An object that runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


OBJECT = (
    r"expected tensors in plain containers, got an object \({}\), which is not loaded, since that can run code; .*: "
    r"torch\.save\(torch\.load\('w\.ckpt', weights_only=False\)\['state_dict'\], 'weights\.pt'\)$"
)
INCOMPLETE = r"expected a whole ResNet-18, shortcut add, 3-channel input; its tensors are incomplete, or .*\n  {}"
PLAIN = INCOMPLETE.format(r"bn1\.{}: expected plain numbers, got torch\.{}")
INTEGER = INCOMPLETE.format(r"bn1\.bias: expected numbers of floating point")
STAGES = r"expected a whole ResNet of depth 18, 34, 50, 101, 152 in torchvision's layout, got stages of {} conv1.weight"
NONE = r"expected a ResNet with the names of torchvision or timm, got {}; give other weights$"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, NONE.format("no tensors")),
        ({"epoch": 3, "state_dict": {}}, NONE.format("no tensors")),
        (torch.ones(2), NONE.format("1 tensors, such as ")),
        ([STATE], NONE.format("no tensors")),
        (
            {"state_dict": {"cls_token": torch.ones(1), "blocks.0.attn.qkv.weight": torch.ones(1)}},
            NONE.format(
                "2 tensors of a transformer, such as state_dict.cls_token, state_dict.blocks.0.attn.qkv.weight"
            ),
        ),
        (
            {"layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(1)},
            NONE.format("1 tensors of a transformer, such as layers.0.blocks.0.attn.relative_position_bias_table"),
        ),
        ({"features.0.weight": torch.ones(1)}, NONE.format("1 tensors, such as features.0.weight")),
        (
            {name: value for name, value in STATE.items() if not name.startswith("layer4.")},
            STAGES.format("2, 2, 2, 0 blocks, with"),
        ),
        (
            {
                "conv1.0.weight": STATE["conv1.weight"],
                **{name: STATE[name] for name in STATE if name != "conv1.weight"},
            },
            STAGES.format("2, 2, 2, 2 blocks, without"),
        ),
        (
            {name: value for name, value in STATE.items() if name != "layer4.1.bn2.running_var"},
            INCOMPLETE.format(r"missing: layer4\.1\.bn2\.running_var$"),
        ),
        (
            {**STATE, "layer1.0.se.fc1.weight": torch.ones(1)},
            INCOMPLETE.format(r"unexpected: layer1\.0\.se\.fc1\.weight"),
        ),
        (
            {**STATE, "layer2.0.conv1.weight": torch.ones(256, 64, 3, 3)},
            INCOMPLETE.format(r"layer2\.0\.conv1\.weight: expected shape \(128, 64, 3, 3\), got \(256, 64, 3, 3\)"),
        ),
        ({**STATE, "bn1.bias": torch.ones(64, dtype=torch.int8)}, INTEGER),
        ({**STATE, "bn1.bias": torch.ones(64, device="meta")}, PLAIN.format("bias", "float32, torch.strided, meta")),
        ({**STATE, "bn1.bias": torch.ones(64).to_sparse()}, PLAIN.format("bias", "float32, torch.sparse_coo, cpu")),
        ({**STATE, "bn1.num_batches_tracked": torch.tensor(1j)}, PLAIN.format("num_batches_tracked", "complex64")),
        ({**STATE, "conv1.weight": torch.ones(64, 4, 7, 7)}, r"expected an input of 1 or 3 channels, got 4"),
        (
            {**renamed(STATE, "encoder_q."), **renamed(small_state(start=2.0), "encoder_k.")},
            r"expected one ResNet, got 2 \(encoder_q\.\*, encoder_k\.\*\); save the tensors of one alone",
        ),
        (
            {**STATE, "bn1.bias": torch.full((64,), float("nan"))},
            r"expected finite weights, got NaN or infinity.*\n  bn1\.bias",
        ),
        ({"state_dict": STATE, "model": Arbitrary()}, OBJECT.format(r"[\w.]+\.Arbitrary")),
        (
            {"state_dict": STATE, "loss": torch.nn.CrossEntropyLoss()},
            OBJECT.format(r"torch\.nn\.modules\.loss\.CrossEntropyLoss"),
        ),
        (torch.nn.Linear(1, 1), OBJECT.format(r"torch\.nn\.modules\.linear\.Linear")),
    ],
)
def test_what_is_no_whole_resnet_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = saved(tmp_path, content, "w.ckpt")
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: {message}"):
        read_pretrained(path)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused(tmp_path: Path) -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(UserError, match=PLAIN.format("bias", "float32")):
        read_pretrained(saved(tmp_path, {**STATE, "bn1.bias": nested}, "w.ckpt"))


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    for number, options in enumerate(({}, {"_use_new_zipfile_serialization": False})):
        path, touched = tmp_path / f"{number}.pt", tmp_path / "touched"
        torch.save({"state_dict": STATE, "args": Touching(touched)}, path, **options)
        with pytest.raises(UserError, match=r"got an object \(getattr\), which is not loaded"):
            read_pretrained(path)
        assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"got an empty file; copy it again$"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", r"got a Git LFS pointer; .*`git lfs pull`$"),
        (b"<!DOCTYPE html><html>", r"got a web page; download the file itself$"),
        (b'{"weight_map": {}}', r"got JSON; give the file of the tensors themselves$"),
        (b"\x89HDF\r\n", r"got HDF5, as of Keras; give weights of PyTorch$"),
        (b"anything else", r"expected a state dict of tensors, but cannot read it \(.+\); copy it again$"),
        (pickle.dumps({"conv1.weight": np.ones(2)}), r"but cannot read it \(.+\); copy it again$"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "resnet18.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_pretrained(path)
    assert str(raised.value).startswith(f"{path}: expected ")
    assert len(str(raised.value).splitlines()) == 1


def test_truncated_files_and_missing_ones(tmp_path: Path) -> None:
    path = saved(tmp_path, STATE, "resnet18.pth")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"resnet18\.pth: .* cannot read it \(.+\); copy it again"):
        read_pretrained(path)
    with pytest.raises(MissingFile, match=r"no file at .*absent\.pt; give the path of a file of ResNet weights"):
        read_pretrained(tmp_path / "absent.pt")
    with pytest.raises(MissingFile, match=rf"no file at {tmp_path / 'model.safetensors'}; give"):
        read_pretrained(tmp_path)


def test_a_torchscript_program_is_not_loaded(tmp_path: Path) -> None:
    # As TorchScript saves it, whose own compiler is deprecated.
    path = saved(tmp_path, {}, "w.pt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("w/constants.pkl", b"")
    with pytest.raises(UserError, match=r"got a TorchScript program, .*torch\.jit\.load\('w\.pt'\)\.state_dict\(\)"):
        read_pretrained(path)


def test_what_is_dropped_may_be_broken(tmp_path: Path) -> None:
    content = {**STATE, "fc.bias": torch.full((1000,), float("inf")), "fc.weight": torch.ones(1, dtype=torch.int8)}
    assert len(read_pretrained(saved(tmp_path, content)).state_for(Recipe())) == len(BODY)


@pytest.mark.parametrize(
    ("state", "recipe", "message"),
    [
        (
            small_state(50),
            Recipe(),
            r"has ResNet-50, shortcut add, 3-channel input, but model\.depth is 18; use",
        ),
        (STATE, recipe_of(depth=34), r"has ResNet-18, .*, but model\.depth is 34; use --set model\.depth=18, or other"),
        (
            small_state(in_channels=1),
            recipe_of(depth=50),
            r"has ResNet-18, .*, 1-channel input, but model.depth is 50 and data.grayscale is false; use "
            r"--set model.depth=18 --set data.grayscale=true, or other weights$",
        ),
        (
            ResNet(18, "weighted").state_dict(),
            Recipe(),
            r"has ResNet-18, shortcut weighted, 3-channel input, but model.shortcut is add; use --set model.sh",
        ),
    ],
)
def test_weights_of_another_network_name_what_to_set(
    tmp_path: Path, state: State, recipe: Recipe, message: str
) -> None:
    path = saved(tmp_path, state)
    with pytest.raises(UserError, match=rf"^model\.pretrained: {path} {message}"):
        build_model(recipe.with_settings({"model.pretrained": str(path)}))


@pytest.fixture(scope="module", params=["add", "weighted"])
def delivered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a delivered model that a training may start from, by shortcut; only read."""
    folder, recipe = tmp_path_factory.mktemp(request.param), recipe_of(shortcut=request.param)
    save_model(build_model(recipe), folder / "model.safetensors")
    recipe.save(folder / "recipe.json")
    return folder


def test_a_delivered_model_gives_all_but_its_head(delivered: Path) -> None:
    own, recipe = load_file(delivered / "model.safetensors"), Recipe.load(delivered / "recipe.json")
    built = build_model(recipe.with_settings({"model.pretrained": str(delivered)})).state_dict()
    assert {name for name in own if not torch.equal(own[name], built[name])} == {"fc.weight", "fc.bias"}
    for path in (delivered, delivered / "model.safetensors"):
        assert describe_weights(recipe.with_settings({"model.pretrained": str(path)})) == (
            f"{path}, ResNet-18, shortcut {recipe.model.shortcut}, 3-channel input: {len(own) - 2} tensors taken; "
            "dropped: fc (2); new: head"
        )


def test_depth_and_shortcut_of_a_delivered_model_must_agree(delivered: Path) -> None:
    found, shortcut = read_pretrained(delivered), Recipe.load(delivered / "recipe.json").model.shortcut
    for other, message in (
        (
            recipe_of(shortcut="concat"),
            rf"but model\.shortcut is concat; use --set model\.shortcut={shortcut}, or other",
        ),
        (
            recipe_of(depth=34, shortcut=shortcut),
            r"but model\.depth is 34; use --set model\.depth=18, or other weights$",
        ),
    ):
        with pytest.raises(UserError, match=message):
            found.require(other)
    with pytest.raises(UserError, match=rf"but model\.shortcut is searched; use --set model\.shortcut={shortcut}, or"):
        found.require(recipe_of(shortcut=shortcut), searched=["model.shortcut"])


def test_a_delivered_model_that_was_changed_is_no_start(tmp_path: Path) -> None:
    write_weights({"conv1.weight": torch.ones(9)}, tmp_path / "model.safetensors")
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-5] ^= 0x10
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model.safetensors is damaged: its tensors do not match its checksum"):
        read_pretrained(tmp_path)
    recipe_of(depth=34).save(tmp_path / "recipe.json")
    saved(tmp_path, STATE, "model.safetensors")
    with pytest.raises(UserError, match=r"has ResNet-18, .*, but recipe.json beside it ResNet-34, .*; restore"):
        read_pretrained(tmp_path)
    # Weights of another name are not those of the recipe.
    assert read_pretrained(saved(tmp_path, STATE, "resnet18.pt")).settings() == {"model.depth": 18}
