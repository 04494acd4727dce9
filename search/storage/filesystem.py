"""Storage that outlives a machine: a folder, or an S3 or Google Cloud bucket. The only module that imports pyarrow."""

from __future__ import annotations

import contextlib
import datetime
import os
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlencode

import pyarrow
from pyarrow import fs

from leukemia.base.errors import first_line
from leukemia.base.files import removing_empty
from search.storage.address import is_plain, parse_address

CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 5.0, 30.0, 3
GOOGLE_SECONDS = 12.0
"""Limits of a request to a bucket; by default a request without a response is retried for minutes. Google's client
adds its last pause to the limit."""

CHUNK_BYTES = 8_000_000
"""Downloaded at a time."""

_LOCAL = fs.LocalFileSystem()


class StorageFailed(OSError):
    """An operation of a storage failed; it may succeed later. The message is one line, ``number`` a system's errno."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


class LocalWriteFailed(StorageFailed):
    """A downloaded file could not be written on this machine."""


class Storage:
    """A folder of a storage. Names are relative, with slashes; a file is visible only once it is complete."""

    def __init__(self, filesystem: fs.FileSystem, root: str, location: str, options: dict[str, str]) -> None:
        self._filesystem, self._root, self._location, self._options = filesystem, root, location, options
        self._must_exist = False

    def __str__(self) -> str:
        """The address without its options, for display."""
        return self._location

    @property
    def uri(self) -> str:
        """The address that opens this folder on any machine; contains no secrets."""
        return self._location + (f"?{urlencode(self._options)}" if self._options else "")

    def folder(self, name: str) -> Storage:
        """A subfolder of this one."""
        return Storage(self._filesystem, f"{self._root}/{name}", f"{self._location}/{name}", self._options)

    def never_create(self) -> None:
        """From now on, fail rather than create this folder: if its disk is unmounted, the path is on another disk."""
        self._must_exist = self._filesystem.type_name == "local"

    def put(self, local: Path, name: str) -> None:
        """Upload a file.

        Raises:
            FileNotFoundError: ``local`` does not exist (any more).
            StorageFailed: the upload failed.
        """
        if not local.is_file():
            raise FileNotFoundError(f"no file at {local}")
        with _library_errors(), self._atomic(name) as path:
            fs.copy_files(str(local), path, source_filesystem=_LOCAL, destination_filesystem=self._filesystem)

    def write(self, content: bytes, name: str) -> None:
        """Upload bytes as a file.

        Raises:
            StorageFailed: the upload failed.
        """
        with _library_errors(), self._atomic(name) as path, self._filesystem.open_output_stream(path) as stream:
            stream.write(content)

    def read(self, name: str) -> bytes | None:
        """The content of a file, None if absent.

        Raises:
            StorageFailed: it cannot be read.
        """
        with _library_errors():
            try:
                with self._filesystem.open_input_stream(self._path(name)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def fetch(self, name: str, local: Path) -> bool:
        """Download a file, completely or not at all; returns whether it exists.

        Raises:
            LocalWriteFailed: it cannot be written on this machine.
            StorageFailed: it cannot be read, or not to its end.
        """
        temporary = local.with_name(f".{local.name}.{uuid.uuid4().hex[:8]}.tmp")
        with contextlib.ExitStack() as stack:
            with _library_errors():
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
                        with _library_errors():
                            content = source.read(CHUNK_BYTES)
                temporary.replace(local)
            except StorageFailed:
                raise
            except OSError as error:
                raise LocalWriteFailed(str(error.strerror), error.errno) from None
        return True

    def names(self, prefix: str = "", *, deep: bool = True) -> list[str]:
        """Names of all files below the folder ``prefix``, sorted.

        Args:
            deep: whether to include files in its subfolders.

        Raises:
            StorageFailed: the folder cannot be listed.
        """
        selector = fs.FileSelector(self._path(prefix), recursive=deep, allow_not_found=True)
        with _library_errors():
            found = [info.path for info in self._filesystem.get_file_info(selector) if info.type == fs.FileType.File]
        names = [path.removeprefix(f"{self._root}/") for path in found]
        # A bucket's keys may be any string; a .tmp file is still being written.
        return sorted(name for name in names if is_plain(name) and not name.endswith(".tmp"))

    def modified(self, name: str) -> datetime.datetime | None:
        """When a file was written, by the storage's own clock; None if absent.

        Raises:
            StorageFailed: the time cannot be read.
        """
        with _library_errors():
            info = self._filesystem.get_file_info(self._path(name))
        return info.mtime if info.type == fs.FileType.File else None

    def remove(self, name: str) -> None:
        """Remove a file if it exists, and the folders below this one that it leaves empty.

        Raises:
            StorageFailed: it may still exist.
        """
        with _library_errors(), contextlib.suppress(FileNotFoundError):
            self._filesystem.delete_file(self._path(name))
        if self._filesystem.type_name == "local":
            with contextlib.suppress(OSError):
                for parent in list(PurePosixPath(name).parents)[:-1]:
                    Path(self._path(str(parent))).rmdir()

    def move(self, name: str, target: str) -> None:
        """Rename a file; it may exist under both names for a moment.

        Raises:
            StorageFailed: it may have either name, or both.
        """
        with _library_errors():
            if self._filesystem.type_name == "local":
                self._make_parent(Path(self._path(target)))
            self._filesystem.move(self._path(name), self._path(target))

    @contextlib.contextmanager
    def left_as_found(self) -> Iterator[None]:
        """Afterwards, remove this folder and those above it as far as they did not exist before and are empty."""
        if self._filesystem.type_name == "local":
            with removing_empty(Path(self._root)):
                yield
            return
        absent: list[Storage] = []
        # Whatever is wrong with the bucket, the block finds out.
        with contextlib.suppress(StorageFailed), _library_errors():
            for path in (self._root, *map(str, PurePosixPath(self._root).parents[:-2])):
                if self._filesystem.get_file_info(path).type == fs.FileType.NotFound:
                    absent.append(Storage(self._filesystem, path, path, {}))
        yield
        for folder in absent:
            folder.remove_if_empty()

    def remove_if_empty(self) -> None:
        """Remove this folder itself if it is empty. In a bucket it is an object that nothing needs.

        Raises:
            StorageFailed: it may still exist.
        """
        with _library_errors(), contextlib.suppress(FileNotFoundError):
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

    def _make_parent(self, path: Path) -> None:
        root = Path(self._root)
        if not self._must_exist:
            path.parent.mkdir(parents=True, exist_ok=True)
            return
        if not root.is_dir():
            raise StorageFailed("the folder is gone; mount its disk again, or move the folder back")
        # One by one, as it may vanish at this moment.
        for folder in reversed([each for each in path.parents if root in each.parents]):
            folder.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def _atomic(self, name: str) -> Iterator[str]:
        """Path to write a file to that gets its name only once it is complete; buckets do this by themselves."""
        path = self._path(name)
        if self._filesystem.type_name != "local":
            yield path
            return
        target = Path(path)
        self._make_parent(target)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            yield str(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def open_storage(uri: str) -> Storage:
    """Open a storage by its address: a folder, ``s3://BUCKET/FOLDER`` or ``gs://BUCKET/FOLDER``.

    Credentials come from the standard locations of the cloud's own tools, another endpoint from
    ``?endpoint_override=`` or ``AWS_ENDPOINT_URL``.

    Raises:
        UserError: the address is invalid or contains credentials.
        StorageFailed: the bucket's region cannot be determined.
    """
    address = parse_address(uri)
    if not address.scheme:
        return Storage(_LOCAL, address.root, address.root, {})
    options = dict(address.options)
    with _library_errors():
        filesystem = _s3(address.root.partition("/")[0], options) if address.scheme == "s3" else _google(options)
    return Storage(filesystem, address.root, f"{address.scheme}://{address.root}", options)


def _s3(bucket: str, options: dict[str, str]) -> fs.FileSystem:
    """Adds the region to ``options``: other machines may have another default."""
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
        # A small file then takes one request instead of three.
        allow_delayed_open=True,
    )


def _google(options: dict[str, str]) -> fs.FileSystem:
    return fs.GcsFileSystem(
        endpoint_override=options.get("endpoint_override"),
        scheme=options.get("scheme"),
        retry_time_limit=datetime.timedelta(seconds=GOOGLE_SECONDS),
    )


@contextlib.contextmanager
def _library_errors() -> Iterator[None]:
    """Turn a library's errors into ``StorageFailed`` with one short line."""
    try:
        yield
    except StorageFailed:
        raise
    except (OSError, pyarrow.ArrowException) as error:
        message = first_line(error).partition(" (Request ID")[0].partition(". The request was not sent")[0]
        raise StorageFailed(message[:300], error.errno if isinstance(error, OSError) else None) from None
