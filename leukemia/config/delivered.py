"""The files of a delivered model that another training can start from; ``model.pretrained`` may name its folder."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import MissingFile

WEIGHTS = "model.safetensors"
RECIPE = "recipe.json"
"""Names in the folder of a delivered model."""


def weights_file(path: Path) -> Path:
    """The file of weights that ``path`` names: itself, or ``WEIGHTS`` in a folder.

    Raises:
        MissingFile: there is none.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise MissingFile(
            f"model.pretrained: no file at {file}; give the path of a file of ResNet weights, or of the folder of a "
            "delivered model, such as runs/STUDY/final"
        )
    return file
