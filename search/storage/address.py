"""Addresses of storages: a folder, ``s3://BUCKET/FOLDER`` or ``gs://BUCKET/FOLDER``; read, or refused with words."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from leukemia.base.errors import UserError

OPTIONS = {"s3": ("region", "endpoint_override", "scheme"), "gs": ("endpoint_override", "scheme")}
"""What may stand behind the ``?`` of an address, as pyarrow names it. Keys and tokens have no place there."""

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, or this machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or this machine's service account",
}

EXPECTED = "--storage: expected a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BUCKET, _REGION = re.compile(r"[A-Za-z0-9._-]+"), re.compile(r"[A-Za-z0-9-]+")
_ENDPOINT = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a storage lies."""

    scheme: str
    """``s3``, ``gs``, or empty for a folder."""

    root: str
    """Bucket and folder, or the folder's absolute path; without a slash at the end."""

    options: dict[str, str]
    """What stands behind the ``?``, and for S3 the endpoint that the environment names: elsewhere it names another."""


def read_address(uri: str) -> Address:
    """An address, taken apart.

    Raises:
        UserError: it is none, or holds credentials.
    """
    if "://" not in uri:
        return Address(scheme="", root=_folder(uri), options={})
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise UserError(f"{EXPECTED}, got {uri.partition('?')[0].rpartition('@')[2]!r:.80} ({error})") from None
    scheme = parts.scheme
    if scheme not in OPTIONS:
        raise UserError(f"{EXPECTED}, got {scheme[:20]}://...")
    if "@" in parts.netloc:
        raise UserError(
            f"--storage: an address must not hold credentials, they would end up in files and logs; expected them in "
            f"{CREDENTIALS[scheme]}"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown, root = sorted(set(options) - set(OPTIONS[scheme])), (parts.netloc + parts.path).rstrip("/")
    if unknown or parts.fragment or not _BUCKET.fullmatch(parts.netloc) or not is_plain(root) or not root.isprintable():
        raise UserError(
            f"--storage: expected {scheme}://BUCKET/FOLDER and behind it at most "
            f"?{'=...&'.join(OPTIONS[scheme])}=..., got {f'{scheme}://{parts.netloc}{parts.path}'!r}"
            + (f" with {', '.join(unknown)}" if unknown else "")
        )
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if "endpoint_override" not in options and endpoint:
            options["endpoint_override"] = endpoint
    _check(options)
    return Address(scheme=scheme, root=root, options=options)


def _folder(uri: str) -> str:
    if _SCHEME.match(uri) or not uri.strip() or not uri.isprintable():
        raise UserError(f"{EXPECTED}, got {uri[:60]!r}; a folder whose name has a colon is written as ./NAME")
    try:
        return str(Path(uri).expanduser().resolve())
    except (OSError, RuntimeError) as error:
        # No home of such a user; a link that leads to itself.
        raise UserError(
            f"--storage {uri[:200]}: there is no such folder ({error}); name a folder that you can write"
        ) from None


def _check(options: dict[str, str]) -> None:
    """Refuse what no endpoint or region can be; an endpoint that says its scheme is taken apart."""
    if "://" in options.get("endpoint_override", ""):
        options["scheme"], _, options["endpoint_override"] = options["endpoint_override"].rstrip("/").partition("://")
    if "@" in options.get("endpoint_override", ""):
        raise UserError("--storage: the address of its endpoint must not hold credentials")
    for name, pattern, words in (
        ("scheme", re.compile("https?"), "http or https"),
        ("region", _REGION, "a region's name, such as eu-central-1"),
        ("endpoint_override", _ENDPOINT, "HOST:PORT, http://HOST:PORT or https://HOST:PORT"),
    ):
        if name in options and not pattern.fullmatch(options[name]):
            raise UserError(f"--storage: its {name}: expected {words}, got {options[name][:60]!r}")


def is_plain(name: str) -> bool:
    """Whether a name stays within its folder.

    >>> is_plain("trials/0001/state.json"), is_plain("a/../../b")
    (True, False)
    """
    return all(part not in ("", ".", "..") and "\\" not in part and "\0" not in part for part in name.split("/"))
