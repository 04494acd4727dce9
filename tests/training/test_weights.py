"""Files of weights: damage and impossible values are errors, and files of earlier versions are accepted."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from leukemia.base.errors import UserError
from leukemia.base.logs import logging_to
from leukemia.config.recipe import Recipe
from leukemia.training.model import build_model, load_model, save_model
from leukemia.training.resnet import ResNet
from leukemia.training.weights import checksum, read_weights, write_weights

STATE = {
    "conv1.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "bn1.running_var": torch.ones(2),
    "bn1.num_batches_tracked": torch.tensor(3),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_weights(STATE, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def header_length(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def test_what_was_written_is_read(path: Path) -> None:
    found = read_weights(path)
    assert set(found) == set(STATE)
    assert all(torch.equal(found[name], value) for name, value in STATE.items())
    assert set(load_file(path)) == set(STATE), "an ordinary safetensors file"


def test_weights_have_the_permissions_of_any_new_file(path: Path) -> None:
    other = path.with_name("other")
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_the_checksum_covers_names_types_shapes_and_values() -> None:
    first = checksum({"a": torch.zeros(4)})
    others = [{"b": torch.zeros(4)}, {"a": torch.zeros(4, dtype=torch.int32)}, {"a": torch.zeros(2, 2)}]
    others += [{"a": -torch.zeros(4)}, {"a": torch.zeros(4), "b": torch.zeros(0)}]
    assert len({first, *map(checksum, others)}) == 6


def test_each_changed_byte_is_an_error_of_one_line_or_changes_no_value(path: Path) -> None:
    content, generator = path.read_bytes(), random.Random(0)
    length, damaged, messages = header_length(content), path.with_name("damaged.safetensors"), []
    for position in [*range(length), *generator.sample(range(length, len(content)), 20)]:
        changed = bytearray(content)
        changed[position] ^= 1 << generator.randrange(8)
        damaged.write_bytes(changed)
        try:
            found = read_weights(damaged)
        except UserError as error:
            messages.append(str(error))
        else:
            # The name of the checksum itself, which is then missing.
            assert position < length
            assert all(torch.equal(found[name], value) for name, value in STATE.items())
    assert len(messages) > length
    assert all(len(message.splitlines()) == 1 and str(damaged) in message for message in messages)


def test_changed_weights_are_rejected(tmp_path: Path) -> None:
    path, recipe = tmp_path / "model.safetensors", Recipe()
    save_model(build_model(recipe), path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"model.safetensors is damaged: its tensors do not match its checksum; restore"
    ):
        load_model(path, recipe)


def test_tensors_that_swapped_their_names_are_rejected(path: Path) -> None:
    """A valid safetensors file of the right names and shapes."""
    content = path.read_bytes()
    length = header_length(content)
    header = json.loads(content[8:length])
    header["bn1.running_var"], header["conv1.weight"] = header["conv1.weight"], header["bn1.running_var"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[length:])
    with pytest.raises(UserError, match=r"is damaged: its tensors do not match its checksum"):
        read_weights(path)


def test_a_model_without_checksum_is_accepted_with_one_warning(tmp_path: Path) -> None:
    model = build_model(Recipe())
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path, metadata={"format": "pt"})
    records: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    with logging_to(Kept()):
        loaded = load_model(path, Recipe())
    assert torch.equal(loaded.fc.weight, model.fc.weight)
    assert records == [f"{path} has no checksum, as written by earlier versions: damage would not be noticed"]


NEGATIVE = r"variances of at least 0, got negative ones; copy it again:\n  bn1"


@pytest.mark.parametrize(
    ("name", "value", "message", "pretrained"),
    [
        ("bn1.running_var", torch.tensor(-0.25), NEGATIVE, False),
        ("bn1.running_var", torch.tensor(-0.25), NEGATIVE, True),
        ("layer4.1.bn2.running_mean", torch.tensor(float("inf")), r"finite weights, got NaN or inf.*\n  lay", False),
        ("conv1.weight", torch.tensor(1e300, dtype=torch.float64), r"finite weights, got NaN or inf.*\n  con", True),
    ],
)
def test_impossible_values_are_rejected(
    tmp_path: Path, name: str, value: Tensor, message: str, pretrained: bool
) -> None:
    state = ResNet(18, num_classes=1000 if pretrained else 2).state_dict()
    state[name] = state[name].to(value.dtype)
    state[name].view(-1)[1] = value
    path = tmp_path / "weights.safetensors"
    write_weights(state, path)
    recipe = Recipe.from_flat({"model.pretrained": str(path)}) if pretrained else Recipe()
    with pytest.raises(UserError, match=rf"weights.safetensors: expected {message}"):
        build_model(recipe) if pretrained else load_model(path, recipe)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.float4_e2m1fn_x2])
def test_tensors_that_are_no_plain_numbers_are_rejected(tmp_path: Path, dtype: torch.dtype) -> None:
    """Even without a checksum: complex values would lose a part."""
    state = {"bn1.running_var": torch.zeros(8, dtype=torch.uint8).view(dtype), "fc.bias": torch.ones(2)}
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=rf"of plain numbers; copy it again:\n  bn1.running_var: {dtype}, .*cpu$"):
        read_weights(tmp_path / "weights.safetensors")


def test_integers_are_no_weights_but_counters_may_be_of_floating_point(tmp_path: Path) -> None:
    state, path = ResNet(18).state_dict(), tmp_path / "weights.safetensors"
    state["bn1.num_batches_tracked"] = state["bn1.num_batches_tracked"].float()
    save_file(state, path)
    assert load_model(path, Recipe()).bn1.num_batches_tracked.dtype == torch.int64
    state["conv1.weight"] = state["conv1.weight"].long()
    save_file(state, path)
    with pytest.raises(UserError, match=r"\n  conv1.weight: expected numbers of floating point, got torch.int64$"):
        load_model(path, Recipe())
