"""The scripts of a page, and the content policy that allows these and no others."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from importlib import resources

import vl_convert

from leukemia.reporting.figure import VEGA_LITE

TEMPLATES = resources.files("leukemia.reporting") / "templates"


@functools.cache
def figure_script() -> str:
    """Vega, Vega-Lite and Vega-Embed, which has an interpreter of Vega's expressions: no text is run as code."""
    return _in_page(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))


@functools.cache
def page_script() -> str:
    """Draws the figures, and sorts and filters the tables."""
    return _in_page((TEMPLATES / "page.js").read_text(encoding="utf-8"))


def policy_of(scripts: Sequence[str]) -> str:
    """The directive of a content policy for the scripts of a page, by their hashes; empty without scripts.

    >>> policy_of(["alert(1)"])
    "; script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    sources = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"; script-src {sources}" if sources else ""


def _in_page(script: str) -> str:
    """A script as an HTML element may contain it; both replaced texts occur in strings only."""
    return script.replace("\r\n", "\n").replace("</script", r"<\/script").replace("<!--", r"<\!--")
