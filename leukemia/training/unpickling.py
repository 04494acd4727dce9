"""Files of ``torch.save``, read without running code that they name."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from leukemia.base.errors import UserError, first_line
from leukemia.base.files import open_file

RECORDS = (
    "argparse.Namespace",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"{module}.{name}"
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
    ),
)
"""Types in which training programs record their options and scores beside the weights: they are left out."""


class _LeftOut:
    """Stands in for an object of ``RECORDS``, so that neither its type nor its content is used."""

    def __init__(self, *content: object) -> None:
        """Ignore what the object was made of."""

    def __setstate__(self, state: object) -> None:
        """Ignore the object's state."""


def read_torch(path: Path) -> Any:
    """The content of a file: tensors on the CPU in plain containers; objects of ``RECORDS`` are without content.

    Raises:
        UserError: the file is damaged or not torch's, or holds objects of other types.
    """
    # A type is only named here: torch looks it up among those that it is given.
    stand_ins = torch.serialization.safe_globals([(_LeftOut, name) for name in RECORDS])
    try:
        # Of a path, torch takes the format from the suffix.
        with open_file(path) as stream, warnings.catch_warnings(), stand_ins:
            # About the version of the format, which torch reads or rejects.
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:
        # Parsers may raise anything on damaged files. Of torch's long advice, only the cause is true here.
        cause = error.__context__ if isinstance(error, pickle.UnpicklingError) and error.__context__ else error
        raise UserError(f"{path}: {_explained(str(cause), path.name) or _damaged(cause)}") from error


def _explained(cause: str, name: str) -> str | None:
    """Why torch refuses an intact file, and how to convert it; None for another cause."""
    if "TorchScript" in cause:
        what, saved = "a TorchScript program", f"torch.jit.load({name!r}).state_dict()"
    elif found := re.search(r"GLOBAL ([\w.]+)", cause):
        what, saved = f"an object ({found[1]})", f"torch.load({name!r}, weights_only=False)['state_dict']"
    else:
        return None
    return (
        f"expected tensors in plain containers, got {what}, which is not loaded, since that can run code; if you trust "
        f"the file, save its tensors alone (of a whole network, its state_dict()): torch.save({saved}, 'weights.pt')"
    )


def _damaged(cause: BaseException) -> str:
    return f"expected a state dict of tensors, but cannot read it ({first_line(cause)}); copy it again"
