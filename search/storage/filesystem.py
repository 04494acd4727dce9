"""A place for files that outlive a machine: a folder, or a bucket of S3 or Google Cloud (the room of pyarrow)."""

from __future__ import annotations

import contextlib
import datetime
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pyarrow
from pyarrow import fs

from leukemia.base.errors import first_line
from search.storage.address import is_plain, read_address

CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 5.0, 30.0, 3
GOOGLE_SECONDS = 12.0
"""Of each request to a bucket; by default one that is answered by nobody is repeated for minutes. Google's client
counts its last pause on top of the seconds that it is given."""

CHUNK_BYTES = 8_000_000
"""Fetched at once."""

_LOCAL = fs.LocalFileSystem()


class StorageFailed(OSError):
    """A storage did not do what it was asked for; it may do so later. One line."""

    def __init__(self, words: str, number: int | None = None) -> None:
        """
        Args:
            number: of the system's error, if it is one.
        """
        super().__init__(words)
        self.number = number


class NoRoomHere(StorageFailed):
    """What a storage gave could not be written on this side."""


class Storage:
    """A folder of a storage. Names are relative, with slashes; a file is there whole or not at all."""

    def __init__(self, filesystem: fs.FileSystem, root: str, place: str, options: dict[str, str]) -> None:
        self._filesystem, self._root, self._place, self._options = filesystem, root, place, options

    def __str__(self) -> str:
        """The address without its options, for people."""
        return self._place

    @property
    def uri(self) -> str:
        """The address that leads here from any machine; without secrets."""
        return self._place + (f"?{urlencode(self._options)}" if self._options else "")

    def folder(self, name: str) -> Storage:
        """A folder in this one."""
        return Storage(self._filesystem, f"{self._root}/{name}", f"{self._place}/{name}", self._options)

    def put(self, local: Path, name: str) -> None:
        """Store a file.

        Raises:
            FileNotFoundError: ``local`` is not there (any more).
            StorageFailed: the storage does not take it.
        """
        if not local.is_file():
            raise FileNotFoundError(f"no file at {local}")
        with _failing(), self._whole(name) as path:
            fs.copy_files(str(local), path, source_filesystem=_LOCAL, destination_filesystem=self._filesystem)

    def write(self, content: bytes, name: str) -> None:
        """Store bytes.

        Raises:
            StorageFailed: the storage does not take them.
        """
        with _failing(), self._whole(name) as path, self._filesystem.open_output_stream(path) as stream:
            stream.write(content)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None where there is none.

        Raises:
            StorageFailed: there is no knowing.
        """
        with _failing():
            try:
                with self._filesystem.open_input_stream(self._path(name)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def fetch(self, name: str, local: Path) -> bool:
        """Bring a file here, whole or not at all; returns whether there is one.

        Raises:
            NoRoomHere: this side does not take it.
            StorageFailed: there is no knowing, or it breaks off.
        """
        temporary = local.with_name(f".{local.name}.{uuid.uuid4().hex[:8]}.tmp")
        with contextlib.ExitStack() as stack:
            with _failing():
                try:
                    source = stack.enter_context(self._filesystem.open_input_stream(self._path(name)))
                    content = source.read(CHUNK_BYTES)
                except FileNotFoundError:
                    return False
            try:
                local.parent.mkdir(parents=True, exist_ok=True)
                stack.callback(temporary.unlink, missing_ok=True)
                with temporary.open("wb") as target:
                    while content:
                        target.write(content)
                        with _failing():
                            content = source.read(CHUNK_BYTES)
                temporary.replace(local)
            except StorageFailed:
                raise
            except OSError as error:
                raise NoRoomHere(str(error.strerror), error.errno) from None
        return True

    def names(self, prefix: str = "") -> list[str]:
        """Names of all files below ``prefix``, a folder; sorted.

        Raises:
            StorageFailed: there is no knowing.
        """
        selector = fs.FileSelector(self._path(prefix), recursive=True, allow_not_found=True)
        with _failing():
            found = [info.path for info in self._filesystem.get_file_info(selector) if info.type == fs.FileType.File]
        names = [path.removeprefix(f"{self._root}/") for path in found]
        # Keys of a bucket may be anything; a file that is being written is none yet.
        return sorted(name for name in names if is_plain(name) and not name.endswith(".tmp"))

    def modified(self, name: str) -> datetime.datetime | None:
        """When a file was written, by the storage's own clock; None where there is none.

        Raises:
            StorageFailed: there is no knowing.
        """
        with _failing():
            info = self._filesystem.get_file_info(self._path(name))
        return info.mtime if info.type == fs.FileType.File else None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            StorageFailed: it may be there still.
        """
        with _failing(), contextlib.suppress(FileNotFoundError):
            self._filesystem.delete_file(self._path(name))

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it, if it is there.

        Raises:
            StorageFailed: something may be there still.
        """
        with _failing(), contextlib.suppress(FileNotFoundError):
            self._filesystem.delete_dir(self._path(name))

    def move(self, name: str, target: str) -> None:
        """Give a file another name; while it has both, it is there under both.

        Raises:
            StorageFailed: it may have either name, or both.
        """
        with _failing():
            if self._filesystem.type_name == "local":
                Path(self._path(target)).parent.mkdir(parents=True, exist_ok=True)
            self._filesystem.move(self._path(name), self._path(target))

    def remove_if_empty(self) -> None:
        """Remove this folder itself, unless something lies in it. In a bucket it is an object that nobody needs.

        Raises:
            StorageFailed: it may be there still.
        """
        with _failing(), contextlib.suppress(FileNotFoundError):
            if self._filesystem.type_name == "local":
                if not any(Path(self._root).iterdir()):
                    Path(self._root).rmdir()
            elif "/" in self._root and not self._filesystem.get_file_info(
                fs.FileSelector(self._root, recursive=True, allow_not_found=True)
            ):
                self._filesystem.delete_dir(self._root)

    def _path(self, name: str) -> str:
        assert not name or is_plain(name), name
        return f"{self._root}/{name}" if name else self._root

    @contextlib.contextmanager
    def _whole(self, name: str) -> Iterator[str]:
        """Where to write a file, which takes its name at the end. In a bucket it does so by itself."""
        path = self._path(name)
        if self._filesystem.type_name != "local":
            yield path
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            yield str(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def open_storage(uri: str) -> Storage:
    """A storage by its address: a folder, ``s3://BUCKET/FOLDER`` or ``gs://BUCKET/FOLDER``.

    Credentials come from where the cloud's own tools take them; another endpoint from ``?endpoint_override=`` or
    ``AWS_ENDPOINT_URL``.

    Raises:
        UserError: no address of these, or one with credentials in it.
        StorageFailed: the bucket's region cannot be found out.
    """
    address = read_address(uri)
    if not address.scheme:
        return Storage(_LOCAL, address.root, address.root, {})
    options = dict(address.options)
    with _failing():
        filesystem = _s3(address.root.partition("/")[0], options) if address.scheme == "s3" else _google(options)
    return Storage(filesystem, address.root, f"{address.scheme}://{address.root}", options)


def _s3(bucket: str, options: dict[str, str]) -> fs.FileSystem:
    """Writes the region that it finds out into ``options``: other machines may have another one."""
    if "region" not in options:
        named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if named is None and "endpoint_override" not in options:
            named = fs.resolve_s3_region(bucket)
        options["region"] = named or "us-east-1"
    return fs.S3FileSystem(
        region=options["region"],
        endpoint_override=options.get("endpoint_override"),
        scheme=options.get("scheme"),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        # A small file is then one request in the place of three.
        allow_delayed_open=True,
    )


def _google(options: dict[str, str]) -> fs.FileSystem:
    return fs.GcsFileSystem(
        endpoint_override=options.get("endpoint_override"),
        scheme=options.get("scheme"),
        retry_time_limit=datetime.timedelta(seconds=GOOGLE_SECONDS),
    )


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """Whatever a library stumbles over becomes one short line."""
    try:
        yield
    except StorageFailed:
        raise
    except (OSError, pyarrow.ArrowException) as error:
        words = first_line(error).partition(" (Request ID")[0].partition(". The request was not sent")[0]
        raise StorageFailed(words[:300], error.errno if isinstance(error, OSError) else None) from None
