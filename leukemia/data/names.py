"""Names of images and subjects: one line of UTF-8 each, since they are written to CSV files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from leukemia.base.errors import UserError, listed

# pandas does not quote a carriage return; undecodable bytes of a file name are lone surrogates.
_UNFIT = re.compile(r"[\r\n\0\ud800-\udfff]")


def composed(text: str) -> str:
    """A name in the Unicode form NFC, in which a letter with an accent is one letter; some systems write NFD."""
    return unicodedata.normalize("NFC", text)


def check_names(names: Iterable[str], where: object) -> None:
    """Check that a CSV can carry these names, before anything is computed for them.

    Args:
        where: what contains them, for the message.

    Raises:
        UserError: names with line breaks, NUL or bytes that are not UTF-8; they are listed, with escapes.
    """
    unfit = [name for name in names if _UNFIT.search(name)]
    if unfit:
        raise UserError(
            f"{where}: names of images and subjects must be one line of UTF-8, as CSV files need; rename these:\n"
            f"{listed(unfit)}"
        )
