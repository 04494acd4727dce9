"""Storage addresses: a folder, ``s3://BUCKET/FOLDER`` or ``gs://BUCKET/FOLDER``; parsed and validated."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from leukemia.base.errors import UserError

OPTIONS = {"s3": ("region", "endpoint_override", "scheme"), "gs": ("endpoint_override", "scheme")}
"""Query options of an address, named as in pyarrow. Keys and tokens are not among them."""

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, or this machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or this machine's service account",
}

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Environment variables with the credentials of S3, which belong together."""

EXPECTED = "--storage: expected a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BUCKET, _REGION = re.compile(r"[A-Za-z0-9._-]+"), re.compile(r"[A-Za-z0-9-]+")
_ENDPOINT = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A parsed storage address."""

    scheme: str
    """``s3``, ``gs``, or empty for a folder."""

    root: str
    """Bucket and folder, or the folder's absolute path; without a trailing slash."""

    options: dict[str, str]
    """Query options; for S3 also the endpoint set in the environment, which may differ on other machines."""


def parse_address(uri: str) -> Address:
    """Parse a storage address.

    Raises:
        UserError: it is invalid or contains credentials.
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
            f"--storage: an address must not contain credentials, which would end up in files and logs; set them in "
            f"{CREDENTIALS[scheme]}"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown, root = sorted(set(options) - set(OPTIONS[scheme])), (parts.netloc + parts.path).rstrip("/")
    if unknown or parts.fragment or not _BUCKET.fullmatch(parts.netloc) or not is_plain(root) or not root.isprintable():
        raise UserError(
            f"--storage: expected {scheme}://BUCKET/FOLDER, optionally followed by "
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
        raise UserError(f"{EXPECTED}, got {uri[:60]!r}; write a folder with a colon in its name as ./NAME")
    try:
        return str(Path(uri).expanduser().resolve())
    except (OSError, RuntimeError) as error:
        # An unknown user's home, or a symlink loop.
        raise UserError(
            f"--storage {uri[:200]}: not a valid folder ({error}); choose a folder that you can write to"
        ) from None


def _check(options: dict[str, str]) -> None:
    """Validate scheme, region and endpoint, after moving a scheme in the endpoint to its own option."""
    if "://" in options.get("endpoint_override", ""):
        options["scheme"], _, options["endpoint_override"] = options["endpoint_override"].rstrip("/").partition("://")
    if "@" in options.get("endpoint_override", ""):
        raise UserError("--storage: the endpoint must not contain credentials")
    for name, pattern, expected in (
        ("scheme", re.compile("https?"), "http or https"),
        ("region", _REGION, "the name of a region, such as eu-central-1"),
        ("endpoint_override", _ENDPOINT, "HOST:PORT, http://HOST:PORT or https://HOST:PORT"),
    ):
        if name in options and not pattern.fullmatch(options[name]):
            raise UserError(f"--storage: option {name}: expected {expected}, got {options[name][:60]!r}")


def is_plain(name: str) -> bool:
    """Whether a relative name stays inside its folder.

    >>> is_plain("trials/0001/state.json"), is_plain("a/../../b")
    (True, False)
    """
    return all(part not in ("", ".", "..") and "\\" not in part and "\0" not in part for part in name.split("/"))


def keys_of(uri: str | None) -> dict[str, str]:
    """The credentials that this process's environment has for a storage, by variable; empty if it needs none."""
    if uri is None or not uri.startswith("s3://"):
        return {}
    return {name: os.environ[name] for name in KEYS if name in os.environ}
