"""``python -m leukemia.export --model DIR``: a delivered model as an ONNX file."""

from __future__ import annotations

import argparse

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.printable import printable

FILE = "model.onnx"
"""Default name, in the model's folder."""


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.export",
        "Write a delivered model as an ONNX file: from the uint8 pixels of an image in the model's view to the "
        "probability of class 1, with normalization and test-time augmentation inside. Its outputs are compared with "
        "torch's first. Needs the packages of the extra 'onnx'.",
        "--model runs/STUDY/final",
    )
    cli.add_model(parser)
    cli.add_plugins(parser)
    parser.add_argument(
        "--onnx", type=cli.path, metavar="FILE", help=f"file to write, which must not exist (default: {FILE} in DIR)"
    )
    parser.add_argument(
        "--tta",
        choices=("none", "flips", "d4"),
        help="views of test-time augmentation inside of the graph (default: those of the recipe)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Write the file; returns the exit status."""
    arguments = _parser().parse_args(argv)

    from leukemia.base.new_file import require_new
    from leukemia.delivery.delivered_model import DeliveredModel

    try:
        from leukemia.delivery.onnx_file import write_onnx
    except ModuleNotFoundError as error:
        raise UserError(
            f"leukemia.export needs the package {error.name}: install 'leukemia-search[onnx]', or {error.name} alone"
        ) from None

    model = DeliveredModel(arguments.model, "cpu", arguments.plugins)
    path = arguments.onnx or arguments.model / FILE
    require_new(path, "--onnx")
    write_onnx(
        path,
        model.network,
        model.recipe,
        decision=model.decision,
        weights_sha256=model.weights_sha256,
        tta=arguments.tta or model.recipe.evaluate.tta,
    )
    print(printable(f"model: {path}"))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
