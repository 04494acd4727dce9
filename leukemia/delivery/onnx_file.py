"""A delivered model as an ONNX file, which is compared with torch before it is kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from leukemia import CLASS_NAMES, __version__
from leukemia.base.errors import UserError, first_line
from leukemia.base.files import atomic
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.delivery.onnx_graph import Graph
from leukemia.study.decision import Decision

INPUT, OUTPUT = "pixels", "probability_leukemic"

OPSET = 18
"""Of ONNX 1.13, of 2022: no operation here needs a later one."""

TOLERANCE = 1e-4
"""Largest difference of a probability from torch's, both in float32."""

CHECKED_IMAGES = 5

MOST_BYTES = 2**31
"""Of a file of protobuf, which ONNX is: the weights are inside of it."""

_EXPORTER = "torch.onnx"
"""Logger of torch's exporter."""


def write_onnx(
    path: Path, network: nn.Module, recipe: Recipe, *, decision: Decision, weights_sha256: str, tta: Tta
) -> None:
    """Write the file, unless its outputs differ from torch's.

    Its input ``pixels`` is uint8 (N, S, S, 3), RGB in 0..255: images in the model's view. Its output
    ``probability_leukemic`` is float32 (N,), in 0..1, scaled with the model's temperature. Metadata, all text:
    ``classes``, ``threshold``, ``temperature``, ``crop_px`` (empty for whole images), ``size_px``, ``small``, ``tta``,
    ``recipe``, ``weights_sha256``, and the version of this program.

    Args:
        network: on the CPU.
        decision: threshold and temperature of the model.
        weights_sha256: of the delivered weights.
        tta: views inside of the graph.

    Raises:
        UserError: the outputs differ, the weights are too large for a file, or the network of a plug-in cannot be
            exported.
        OSError: the file cannot be written.
    """
    num_bytes = 4 * sum(parameter.numel() for parameter in network.parameters())
    if num_bytes >= MOST_BYTES:
        raise UserError(
            f"{path}: not written, since an ONNX file can have at most {MOST_BYTES / 1e9:.1f} GB, and the weights are "
            f"{num_bytes / 1e9:.1f} GB"
        )
    graph = Graph(network, tta, decision.temperature, grayscale=recipe.data.grayscale)
    size = recipe.data.size_px
    assert size is not None
    pixels = torch.from_numpy(_noise(2, size))
    with atomic(path) as temporary:
        with _quiet_exporter(), _explained(recipe):
            torch.onnx.export(
                graph,
                (pixels,),
                temporary,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamic_shapes={"pixels": {0: torch.export.Dim("images")}},
                external_data=False,
                verbose=False,
            )
        model = onnx.load(temporary)
        onnx.helper.set_model_props(
            model,
            {
                "classes": ",".join(CLASS_NAMES),
                "threshold": repr(decision.threshold),
                "temperature": repr(decision.temperature),
                "crop_px": "" if recipe.data.crop_px is None else str(recipe.data.crop_px),
                "size_px": str(size),
                "small": recipe.data.small,
                "tta": tta,
                "recipe": recipe.to_json(),
                "weights_sha256": weights_sha256,
                "leukemia_search": __version__,
            },
        )
        onnx.save(model, temporary)
        _require_equal(temporary, graph, size, path)


@contextmanager
def _explained(recipe: Recipe) -> Iterator[None]:
    """An error of torch's exporter on the network of a plug-in, as one line: not every network can be exported."""
    try:
        yield
    except torch.onnx.OnnxExporterError as error:
        if recipe.model.is_resnet:
            raise
        raise UserError(
            f"the network {recipe.model.network} of a plug-in cannot be exported: torch.onnx says "
            f"{first_line(error)}; change the plug-in, or use the model with leukemia.load"
        ) from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without the exporter's warnings of its own internals, and of torchvision, which is not used."""
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        stack.callback(logging.getLogger(_EXPORTER).setLevel, logging.getLogger(_EXPORTER).level)
        logging.getLogger(_EXPORTER).setLevel(logging.ERROR)
        yield


def _require_equal(path: Path, graph: Graph, size: int, named: Path) -> None:
    pixels = _noise(CHECKED_IMAGES, size)
    with torch.inference_mode():
        expected = graph(torch.from_numpy(pixels)).numpy()
    found = OnnxModel(path).probabilities(pixels)
    difference = float(np.abs(found - expected).max())
    # A NaN compares as false.
    if not difference <= TOLERANCE:
        raise UserError(
            f"{named}: not written, since its probabilities differ from torch's by {difference:.1e} (at most "
            f"{TOLERANCE:.0e} is expected); other versions of torch, onnx or onnxruntime may not"
        )


def _noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


class OnnxModel:
    """An ONNX file that ``write_onnx`` has written, run by onnxruntime on the CPU."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (N,) of uint8 (N, S, S, 3)."""
        (found,) = self._session.run([OUTPUT], {INPUT: pixels})
        return np.asarray(found)
