"""The ResNet in a file of any training program: found under whatever containers and prefixes, and checked."""

from __future__ import annotations

import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leukemia.base.errors import UserError, listed
from leukemia.training.architecture import Architecture, architecture_of, blocks_of, mismatches
from leukemia.training.resnet import BLOCKS
from leukemia.training.weights import describe_kind, is_plain

BODY = re.compile(r"(conv1|bn1|layer\d+)\.")
"""Beginning of the names of stem and stages in torchvision and timm. All other names of a network are its head."""

CHILDREN = {"0": "conv1", "1": "bn1", **{str(3 + stage): f"layer{stage}" for stage in (1, 2, 3, 4)}}
"""Names of a ResNet's children by their numbers in ``nn.Sequential(*resnet.children())``, the usual way to remove the
head."""

WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Modules that torch inserts anywhere in a network, without tensors of their own."""

COUNTER = ".num_batches_tracked"
"""Tensors that torchvision's ImageNet files lack, since they are older; not used here."""

AVERAGED = re.compile(r"(^|[._])ema([._]|$)")
"""A network whose weights are exponential averages of those of another one in the same file."""

OTHER = "give other weights"
"""What to do about a file whose network cannot be used."""


@dataclass(frozen=True, kw_only=True)
class FoundNetwork:
    """Stem and stages of a ResNet, complete, of one of this project's architectures."""

    architecture: Architecture
    tensors: Mapping[str, Tensor]
    """By torchvision's names, on the CPU, of any floating-point type."""

    prefix: str
    """What precedes these names in the file."""

    dropped: Mapping[str, int]
    """Number of other tensors in the file, by the part of the network or of the file that they belong to."""

    dtypes: tuple[str, ...]
    """Types of the tensors in the file, such as ``float16``, without those of counters."""


def find_network(content: Any) -> FoundNetwork:
    """Find the ResNet in nested containers (``state_dict``) and modules (``module.``, ``backbone.``).

    Of several, copies count once, and averaged weights (``ema``) precede those that they are averages of.

    Args:
        content: of a file, as ``read_content``.

    Raises:
        UserError: there is none, an incomplete or unknown one, or several.
    """
    tensors = _flattened(content)
    networks = _networks(tensors)
    if not networks:
        raise UserError(f"expected a ResNet with the names of torchvision or timm, got {_kind(tensors)}; {OTHER}")
    bodies = {prefix: {name: tensors[each] for name, each in names.items()} for prefix, names in networks.items()}
    prefix = _chosen(bodies)
    body = bodies[prefix]
    if problem := _problem(body):
        raise UserError(problem)
    architecture, taken = architecture_of(body), set(networks[prefix].values())
    assert architecture is not None
    return FoundNetwork(
        architecture=architecture,
        tensors=body,
        prefix=prefix,
        dtypes=tuple(sorted({str(body[name].dtype).removeprefix("torch.") for name in _weights(body)})),
        dropped=Counter(_part(name, prefix) for name in tensors if name not in taken),
    )


def _flattened(content: Any) -> dict[str, Tensor]:
    """The tensors in nested mappings, by their keys joined with dots, without ``WRAPPERS``."""
    tensors: dict[str, Tensor] = {}
    # A mapping may contain itself.
    seen: set[int] = set()
    todo = deque([("", content)])
    while todo:
        name, value = todo.popleft()
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, Mapping) and id(value) not in seen:
            seen.add(id(value))
            todo.extend((f"{name}.{key}" if name else str(key), each) for key, each in value.items())
    unwrapped = {WRAPPERS.sub("", name): value for name, value in tensors.items()}
    return unwrapped if len(unwrapped) == len(tensors) else tensors


def _networks(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, str]]:
    """The ResNets in a file: by prefix, the names in the file of stem and stages by torchvision's names."""
    networks = {}
    for first, renamed in (("layer1", {}), ("4", CHILDREN)):
        for name in tensors:
            parts = name.split(".")
            if parts[-4:] == [first, "0", "conv1", "weight"]:
                prefix = "".join(f"{part}." for part in parts[:-4])
                networks[prefix] = _body_names(tensors, prefix, renamed)
    return networks


def _body_names(names: Iterable[str], prefix: str, renamed: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in names:
        if name.startswith(prefix):
            first, dot, rest = name.removeprefix(prefix).partition(".")
            found[f"{renamed.get(first, first)}{dot}{rest}"] = name
    return {name: original for name, original in found.items() if BODY.match(name)}


def _chosen(bodies: Mapping[str, Mapping[str, Tensor]]) -> str:
    """The prefix of the network to take."""
    whole = [prefix for prefix, body in bodies.items() if _problem(body) is None] or [next(iter(bodies))]
    averaged = [prefix for prefix in whole if AVERAGED.search(prefix)]
    if all(_are_equal(bodies[prefix], bodies[whole[0]]) for prefix in whole[1:]):
        return whole[0]
    if len(averaged) == 1:
        return averaged[0]
    shown = ", ".join(f"{prefix}*" for prefix in whole)
    raise UserError(f"expected one ResNet, got {len(whole)} ({shown}); save the tensors of one alone with torch.save")


def _are_equal(body: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return body.keys() == other.keys() and all(
        value.dtype == other[name].dtype and torch.equal(value, other[name]) for name, value in body.items()
    )


def _problem(body: Mapping[str, Tensor]) -> str | None:
    """Why stem and stages cannot be used; None if they can."""
    architecture = architecture_of(body)
    if architecture is None:
        blocks = ", ".join(map(str, blocks_of(body)))
        return (
            f"expected a whole ResNet of depth {', '.join(map(str, BLOCKS))} in torchvision's layout, got stages of "
            f"{blocks} blocks, {'with' if 'conv1.weight' in body else 'without'} conv1.weight; {OTHER}"
        )
    if architecture.in_channels not in (1, 3):
        return f"expected an input of 1 or 3 channels, got {architecture.in_channels}; {OTHER}"
    expected = {name: value for name, value in architecture.state().items() if BODY.match(name)}
    odd = [name for name, value in body.items() if not is_plain(value)]
    problems = [f"{name}: expected plain numbers, got {describe_kind(body[name])}" for name in odd]
    problems = problems or mismatches(body, expected, optional=COUNTER)
    if not problems:
        return None
    return (
        f"expected a whole {architecture.describe()}; its tensors are incomplete, or of a variant that this project "
        f"does not have (ResNeXt, wide, SE, ResNet-D, quantized); {OTHER}\n{listed(problems, 6)}"
    )


def _weights(body: Mapping[str, Tensor]) -> list[str]:
    return [name for name in body if not name.endswith(COUNTER)]


def _kind(tensors: Mapping[str, Tensor]) -> str:
    """What a file without a ResNet has, as text."""
    if not tensors:
        return "no tensors"
    attention = any(re.search(r"(^|[._])(attn|attention)\.", name) for name in tensors)
    return f"{len(tensors)} tensors{' of a transformer' if attention else ''}, such as {', '.join([*tensors][:3])}"


def _part(name: str, prefix: str) -> str:
    """The part of the file or the network that a tensor belongs to: what follows the parts shared with ``prefix``.

    >>> _part("state_dict.model.fc.weight", "state_dict.model."), _part("state_dict.loss.weight", "state_dict.model.")
    ('fc', 'loss')
    """
    pairs = itertools.zip_longest(name.split("."), prefix.split("."))
    return next((part for part, of_prefix in pairs if part and part != of_prefix), name)
