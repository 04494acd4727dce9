"""W&B login of this machine: API key, server check, online or offline mode."""

from __future__ import annotations

import logging
import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

import requests

from leukemia.base.errors import UserError
from leukemia.tracking import settings
from leukemia.tracking.request import TIMEOUT_SECONDS, post
from leukemia.tracking.settings import base_url, default_url

log = logging.getLogger(__name__)

OLD_CLOUD_URL = "https://api.wandb.ai"
"""URL of W&B's cloud that older versions wrote to the netrc file."""


def api_key() -> str | None:
    """The W&B API key; None if absent.

    From ``WANDB_API_KEY``, W&B's settings files, or the netrc file written by ``wandb login``.
    """
    if given := os.environ.get("WANDB_API_KEY") or settings.key():
        return given
    # A login to the old URL of W&B's cloud is valid for the new one; never send it to another server.
    for address in (base_url(), *([OLD_CLOUD_URL] if base_url() == default_url() else [])):
        if key := _netrc_key(address):
            return key
    return None


def _netrc_key(address: str) -> str | None:
    """The key in the netrc file for a server, by host and port, as W&B writes it; None if absent.

    The password of another port or of the entry ``default`` is never sent to W&B's server.
    """
    try:
        # As ``wandb login`` chooses it.
        usual = [path for path in (Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()) if path.exists()]
        given = os.environ.get("NETRC")
        paths = [Path(given).expanduser()] if given else usual[:1]
        hosts = netrc.netrc(*paths).hosts if paths else {}
    except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):
        return None
    entry = hosts.get(urlsplit(address).netloc)
    return (entry[2] or None) if entry else None


def check_settings() -> None:
    """Check W&B's variables and settings files before starting; warn about settings that have no effect.

    Raises:
        UserError: the mode is invalid; or, unless it is ``disabled``, W&B rejects another setting.
    """
    mode, _ = settings.mode()
    if mode == "disabled":
        return
    if problem := settings.problem():
        raise UserError(f"{problem}; fix or unset it (WANDB_MODE=disabled runs without W&B)")
    warn_of_ignored()


def warn_of_ignored() -> None:
    """Warn about W&B's settings that have no effect, if there are any."""
    if ignored := settings.ignored():
        log.warning("W&B: these settings have no effect on the runs of a study: %s", ", ".join(ignored))


def wanted_mode() -> tuple[str, str]:
    """``online``, ``offline`` or ``disabled``, and the variable or file that sets it.

    If none does: online if there is a key, else offline; the second value is then empty.

    Raises:
        UserError: the configured mode is invalid.
    """
    mode, source = settings.mode()
    return mode or ("online" if api_key() else "offline"), source


def server_problem() -> str | None:
    """Why W&B's server cannot be used (no key, unreachable, key rejected); None if it can."""
    address, key = f"{base_url()}/graphql", api_key()
    if key is None:
        return "no API key (`wandb login`)"
    if not key.isascii():
        return "the API key has characters that no key has; log in again (`wandb login`)"
    try:
        answer = post({"query": "query { viewer { id entity } }"}, key)
    except requests.Timeout:
        return f"{address} did not answer in {TIMEOUT_SECONDS:g} s"
    except requests.exceptions.ChunkedEncodingError:
        return f"{address} broke off its answer"
    except requests.RequestException as error:
        return f"{address} is unreachable ({type(error).__name__})"
    if not answer.is_ok:
        return f"{address} returned {answer.status} {answer.reason}"
    try:
        content = answer.json()
    except ValueError:
        return f"{address} is not W&B's API (its answer is not JSON)"
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        return f"{address} is not W&B's API (its answer has no data)"
    viewer = data.get("viewer")
    if not viewer:
        return f"{address} rejected the API key"
    if not settings.entity() and isinstance(viewer, dict) and viewer.get("entity", "") is None:
        return "the account has no default entity; set WANDB_ENTITY to the owner of the project"
    return None
