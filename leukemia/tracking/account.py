"""The W&B account of this machine: is there a key, does the server answer, online or offline?"""

from __future__ import annotations

import os
from typing import Any

import requests

from leukemia.base.errors import UserError
from leukemia.tracking.client import base_url, default_url, settings_problem

FORMER_CLOUD = "https://api.wandb.ai"
"""Address of W&B's cloud that older versions wrote into the netrc file."""

ASK_TIMEOUT_SECONDS = 10
"""How long the server may take to say who we are."""


def _key() -> str | None:
    """This machine's W&B key: from ``WANDB_API_KEY``, or from the netrc file where ``wandb login`` puts it."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    # A login to W&B's own cloud stays good under its new address; it is no business of any other server.
    for address in (base_url(), *([FORMER_CLOUD] if base_url() == default_url() else [])):
        if login := requests.utils.get_netrc_auth(address):
            return str(login[1])
    return None


def check_settings() -> None:
    """Refuse settings of W&B's that cannot be meant, before anything is begun.

    Raises:
        UserError: ``WANDB_MODE`` is unknown; or, unless it is ``disabled``, W&B refuses another setting.
    """
    if _set_mode() != "disabled" and (problem := settings_problem()):
        raise UserError(f"{problem}; set it anew or unset it (WANDB_MODE=disabled goes on without W&B)")


def wanted_mode() -> str:
    """``online``, ``offline`` or ``disabled``: ``WANDB_MODE`` where it is set, else online with a key only.

    Raises:
        UserError: ``WANDB_MODE`` is none of these.
    """
    return _set_mode() or ("online" if _key() else "offline")


def _set_mode() -> str:
    """``WANDB_MODE``, or empty."""
    mode = os.environ.get("WANDB_MODE", "").lower()
    if mode and mode not in ("online", "offline", "disabled"):
        # W&B's older names, such as dryrun, must not end up online.
        raise UserError(f"WANDB_MODE: expected online, offline or disabled, got {mode!r}; set one of these or unset it")
    return mode


def server_problem() -> str | None:
    """Why W&B's server cannot be used now (no key, no answer, key refused), or None when it can."""
    address, key = f"{base_url()}/graphql", _key()
    if key is None:
        return "there is no key (`wandb login`)"
    try:
        answer = requests.post(
            address, json={"query": "query { viewer { id } }"}, auth=("api", key), timeout=ASK_TIMEOUT_SECONDS
        )
        data: Any = answer.json().get("data") if answer.ok else None
    except (requests.RequestException, ValueError) as error:
        return f"{address} does not answer ({type(error).__name__})"
    if not answer.ok:
        return f"{address} answers {answer.status_code} {answer.reason}"
    return None if (data or {}).get("viewer") else f"{address} refuses the key"
