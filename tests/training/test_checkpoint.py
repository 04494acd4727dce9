"""Checkpoints: damage is noticed at every load, and errors of the disk keep their cause."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from helpers.full_disk import full_disk

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.training import checkpoint
from leukemia.training.checkpoint import DamagedCheckpoint, epochs_in, load_checkpoint, save_checkpoint

RECIPE = Recipe().resolved([(32, 32)])
STATE = {"epochs": [{}, {}], "model": {"weight": torch.linspace(-1, 1, 1000)}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "deep" / "fold_0.pt", RECIPE, 0, STATE)
    return tmp_path / "deep" / "fold_0.pt"


def test_an_intact_checkpoint_is_loaded_without_a_note(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = load_checkpoint(path, RECIPE, 0)
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])
    assert epochs_in(path, RECIPE, 0) == 2
    assert not caplog.messages


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.985])
def test_a_changed_bit_is_noticed_at_every_load(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=r"fold_0.pt is damaged \(its checksums differ\)"):
        load_checkpoint(path, RECIPE, 0)
    assert epochs_in(path, RECIPE, 0) == 0


@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_a_file_that_is_no_checkpoint_is_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=r"fold_0.pt is damaged \(its end is incomplete\)"):
        load_checkpoint(path, RECIPE, 0)


@pytest.mark.parametrize(
    "content",
    [5, [1, 2], torch.zeros(3), {"recipe": 5, "fold": 0, "epochs": []}, {"recipe": "{}", "fold": 0, "epochs": 3}],
)
def test_what_is_no_state_is_damaged(path: Path, content: object) -> None:
    torch.save(content, path)
    with pytest.raises(DamagedCheckpoint, match=r"fold_0.pt is damaged \((Type|Key|Index)Error\)"):
        load_checkpoint(path, RECIPE, 0)
    assert epochs_in(path, RECIPE, 0) == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train.new", 1, "unknown recipe field 'train.new'; did you mean"),
        ("optimizer.name", "lion", "optimizer.name: expected one of ranger21, "),
    ],
)
def test_a_recipe_of_a_later_version_is_named_with_the_file(
    path: Path, field: str, value: object, message: str
) -> None:
    torch.save({**STATE, "recipe": json.dumps({**RECIPE.flat(), field: value}), "fold": 0}, path)
    with pytest.raises(
        UserError, match=rf"fold_0.pt: this version cannot resume this checkpoint \({message}.*\); use the version that"
    ):
        load_checkpoint(path, RECIPE, 0)
    assert epochs_in(path, RECIPE, 0) == 0


@pytest.mark.parametrize("missing", [1, 8, 16, 20, 24, 40, 57])
def test_missing_bytes_at_the_end_are_noticed(path: Path, missing: int) -> None:
    """Checksums that are cut off are none, but a file of an earlier version ends with its archive."""
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(DamagedCheckpoint, match=r"fold_0.pt is damaged \(its end is incomplete\)"):
        load_checkpoint(path, RECIPE, 0)
    assert epochs_in(path, RECIPE, 0) == 0


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError("Unable to allocate"),
        OSError(5, "Input/output error"),
        RuntimeError("DefaultCPUAllocator: can't allocate"),
    ],
)
def test_a_fault_of_the_machine_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise fault

    monkeypatch.setattr(torch, "load", fail)
    for read in (load_checkpoint, epochs_in):
        with pytest.raises(type(fault), match=str(fault)[:10]):
            read(path, RECIPE, 0)


def test_a_checkpoint_of_an_earlier_version_is_accepted_with_a_note(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"recipe": RECIPE.to_json(), "fold": 0, **STATE}, path)
    assert load_checkpoint(path, RECIPE, 0)["epochs"] == [{}, {}]
    assert caplog.messages == [f"{path} has no checksums (it is of an earlier version): it is used unchecked"]


def test_a_checkpoint_belongs_to_one_recipe_and_fold(path: Path) -> None:
    with pytest.raises(UserError, match="belongs to another recipe or fold; remove it"):
        load_checkpoint(path, RECIPE, 1)
    assert epochs_in(path, RECIPE, 1) == 0


@pytest.mark.parametrize("num_bytes", [1000, 4000])
def test_a_full_disk_is_named_and_the_earlier_checkpoint_is_kept(path: Path, num_bytes: int) -> None:
    before = path.read_bytes()
    larger = {**STATE, "model": {"weight": torch.ones(100_000)}}
    with full_disk(num_bytes), pytest.raises(OSError, match="File too large"):
        save_checkpoint(path, RECIPE, 0, larger)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_device_without_space_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written fits into the buffer of the stream: only closing it fails."""
    monkeypatch.setattr(checkpoint, "atomic", lambda path: contextlib.nullcontext(Path("/dev/full")))
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(path, RECIPE, 0, STATE)
