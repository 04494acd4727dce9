"""Storages, in a folder and in a bucket of an S3 server: files are complete or absent, and problems reported early."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import pytest
from helpers.s3_server import BUCKET, S3Server
from pyarrow import fs

from leukemia.base.errors import UserError
from search.storage import filesystem as storage_module
from search.storage import probe as probe_module
from search.storage.filesystem import LocalWriteFailed, Storage, StorageFailed, open_storage
from search.storage.probe import probe


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage of each kind."""
    if request.param == "folder":
        return open_storage(str(tmp_path / "a folder"))
    return open_storage(request.getfixturevalue("s3").uri(tmp_path.name))


def test_upload_and_download(storage: Storage, tmp_path: Path) -> None:
    for content in (b"one", b"", b"two, longer"):
        (tmp_path / "local").write_bytes(content)
        storage.put(tmp_path / "local", "trials/0007/seed 0.json")
        assert storage.read("trials/0007/seed 0.json") == content
        assert storage.fetch("trials/0007/seed 0.json", tmp_path / "new" / "back")
        assert (tmp_path / "new" / "back").read_bytes() == content
    storage.write(b"three", "top")
    assert storage.read("top") == b"three"
    assert storage.names() == ["top", "trials/0007/seed 0.json"]
    assert storage.names("trials") == ["trials/0007/seed 0.json"]
    assert storage.folder("trials").read("0007/seed 0.json") == b"two, longer"


def test_an_absent_file_is_not_an_error(storage: Storage, tmp_path: Path) -> None:
    assert storage.read("absent") is None
    assert not storage.fetch("absent", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert storage.names() == storage.names("absent") == []
    assert storage.modified("absent") is None
    storage.remove("absent")
    with pytest.raises(FileNotFoundError):
        storage.put(tmp_path / "absent", "name")
    assert storage.names() == []


def test_files_are_removed_and_listed_with_or_without_subfolders(storage: Storage) -> None:
    for name in ("a/1", "a/2", "b/1", "c"):
        storage.write(b"x", name)
    storage.remove("a/1")
    assert storage.names() == ["a/2", "b/1", "c"]
    storage.remove("b/1")
    assert storage.names() == ["a/2", "c"]
    assert storage.names(deep=False) == ["c"]
    assert storage.names("a", deep=False) == ["a/2"]


def test_folders_that_a_removal_leaves_empty_are_removed_up_to_the_storage_itself(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "storage"))
    for name in ("a/b/1", "a/2"):
        storage.write(b"x", name)
    storage.remove("a/b/1")
    assert sorted(path.name for path in (tmp_path / "storage").rglob("*")) == ["2", "a"]
    storage.remove("a/2")
    assert list((tmp_path / "storage").iterdir()) == []


def test_modification_times(storage: Storage) -> None:
    storage.write(b"x", "name")
    modified = storage.modified("name")
    assert modified is not None
    assert abs(modified.timestamp() - time.time()) < 60


def test_a_large_file_is_transferred_in_parts(storage: Storage, tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(12_000_000)
    (tmp_path / "large").write_bytes(content)
    storage.put(tmp_path / "large", "large")
    assert storage.fetch("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_reader_never_sees_a_partial_file(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "storage"))
    storage.write(b"old", "name")
    killed = contextlib.suppress(KeyboardInterrupt)
    with killed, storage._atomic("name") as path:
        Path(path).write_bytes(b"ne")
        assert storage.read("name") == b"old"
        assert storage.names() == ["name"]
        raise KeyboardInterrupt
    assert storage.read("name") == b"old"
    assert [path.name for path in (tmp_path / "storage").iterdir()] == ["name"]


def test_keys_that_point_outside_the_folder_are_ignored(s3: S3Server, tmp_path: Path) -> None:
    storage = open_storage(s3.uri(tmp_path.name))
    s3.client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/a/../../../b", Body=b"x")
    storage.write(b"x", "good")
    assert storage.names() == ["good"]


def test_an_address_opens_the_same_storage_in_another_environment(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    storage = open_storage(f"s3://{BUCKET}/{tmp_path.name}/")
    assert str(storage) == f"s3://{BUCKET}/{tmp_path.name}"
    storage.write(b"x", "one/name")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    there = open_storage(storage.folder("one").uri)
    assert there.read("name") == b"x"
    assert there.uri == storage.folder("one").uri
    assert s3.keys(tmp_path.name) == ["one/name"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://AKIAKEY:verysecret@bucket/x", r"--storage: an address must not contain credentials.*AWS_ACCESS_KEY_ID"),
        (
            "s3://bucket/x?access_key=AKIAKEY&secret_key=verysecret",
            r"expected s3://BUCKET/FOLDER, optionally followed by",
        ),
        ("s3://bucket/x?endpoint_override=http://me:verysecret@host", r"endpoint must not contain credentials"),
        ("s3://", r"expected s3://BUCKET/FOLDER"),
        ("s3://bucket/a/../b", r"expected s3://BUCKET/FOLDER"),
        ("s3://bucket/a#b", r"expected s3://BUCKET/FOLDER"),
        (
            "s3:/bucket/x",
            r"expected a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER, got 's3:/bucket/x'; write a f",
        ),
        ("s3:", r"expected a folder, .* got 's3:'"),
        ("", r"expected a folder, .* got ''"),
        (" ", r"expected a folder, .* got ' '"),
        ("a\nb", r"expected a folder"),
        ("a\0b", r"expected a folder"),
        ("s3://[bucket]/x", r"expected a folder, s3://BUCKET/FOLDER .* got 's3://\[bucket\]/x' \("),
        ("~nosuchuser/x", r"--storage ~nosuchuser/x: not a valid folder \(.*\); choose a folder"),
        ("s3://bucket/x?scheme=foo", r"--storage: option scheme: expected http or https, got 'foo'"),
        ("s3://bucket/x?endpoint_override=ftp://host", r"--storage: option scheme: expected http or https, got 'ftp'"),
        ("s3://bucket/x?endpoint_override=", r"--storage: option endpoint_override: expected HOST:PORT, .* got ''"),
        ("s3://bucket/x?region=mars%2f1", r"--storage: option region: expected the name of a region, .*, got 'mars/1'"),
        ("gs://bucket/x?scheme=foo", r"--storage: option scheme: expected http or https, got 'foo'"),
        ("ftp://host/x", r"--storage: expected a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER, got ftp://"),
    ],
)
def test_invalid_addresses_and_secrets_are_refused(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        open_storage(uri)
    assert "verysecret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_symlink_loop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=r"^--storage .*loop: not a valid folder \(.*\); choose a folder"):
        probe(str(tmp_path / "loop"))


def test_the_scheme_is_case_insensitive(s3: S3Server, tmp_path: Path) -> None:
    assert str(probe(s3.uri(tmp_path.name).replace("s3:", "S3:"))) == f"s3://{BUCKET}/{tmp_path.name}"
    with pytest.raises(UserError, match=r"^--storage S3://no-such-bucket/.*: no such bucket; create it first"):
        probe(s3.uri(tmp_path.name).replace("s3:", "S3:").replace(BUCKET, "no-such-bucket"))


def test_a_file_is_moved(storage: Storage) -> None:
    storage.write(b"x", "a/1")
    storage.move("a/1", "b/c/1")
    assert storage.names() == ["b/c/1"]
    assert storage.read("b/c/1") == b"x"


def test_only_an_empty_folder_is_removed(storage: Storage) -> None:
    storage.write(b"x", "a/1")
    storage.write(b"x", "b/1")
    storage.remove("b/1")
    storage.folder("a").remove_if_empty()
    storage.folder("b").remove_if_empty()
    storage.folder("absent").remove_if_empty()
    found = storage._filesystem.get_file_info(fs.FileSelector(storage._root))
    assert [info.base_name for info in found] == ["a"]


def test_a_local_write_error_is_not_blamed_on_the_storage(storage: Storage, tmp_path: Path) -> None:
    storage.write(b"x", "name")
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalWriteFailed, match=r"^Not a directory$|^File exists$"):
        storage.fetch("name", tmp_path / "file" / "name")


def test_a_probe_leaves_nothing(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for folder in ("new/storage", "old"):
        assert str(probe(str(tmp_path / folder))) == str(tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert list((tmp_path / "old").iterdir()) == []
    for name in (tmp_path.name, f"{tmp_path.name}/deeper"):
        probe(s3.uri(name))
        assert s3.keys(tmp_path.name) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda uri: uri.replace(BUCKET, "no-such-bucket"), r"no such bucket; create it first"),
        (lambda uri: re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", uri), r"unreachable; check the address"),
        (lambda uri: re.sub(r"127\.0\.0\.1:\d+", "no.such.host.invalid", uri), r"unreachable; check the address"),
    ],
    ids=["bucket", "refused", "host"],
)
def test_an_unusable_bucket_is_refused(
    s3: S3Server, tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    with pytest.raises(UserError, match=rf"^--storage s3://[a-z-]+/{tmp_path.name}: {message}") as refusal:
        probe(change(s3.uri(tmp_path.name)))
    assert "\n" not in str(refusal.value)


def test_credentials_without_write_permission_are_refused(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server checks credentials: a user without permissions, and an unknown one."""
    iam = boto3.client("iam", endpoint_url=s3.endpoint, region_name="us-east-1")
    iam.create_user(UserName=tmp_path.name)
    key = iam.create_access_key(UserName=tmp_path.name)["AccessKey"]
    with s3.checking_credentials():
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        with pytest.raises(UserError, match=r"the credentials found do not permit .* set others in AWS_ACCESS"):
            probe(s3.uri(tmp_path.name))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
        with pytest.raises(UserError, match=r"the credentials found do not permit") as refusal:
            probe(s3.uri(tmp_path.name))
    assert "AKIA" not in str(refusal.value)


def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--storage .*file/below: not writable \(Not a directory\); choose a folder"):
        probe(str(tmp_path / "file" / "below"))
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(UserError, match=r"not writable \(Permission denied\)"):
            probe(str(tmp_path / "closed"))


def test_an_unresponsive_storage_is_refused_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.storage.probe.PROBE_SECONDS", 0.2)
    ended = threading.Event()
    monkeypatch.setattr(storage_module.Storage, "write", lambda *_: ended.wait())
    with pytest.raises(UserError, match=r"no response within 0\.2 s"):
        probe(str(tmp_path))
    ended.set()


def test_an_unresponsive_endpoint_is_refused_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe_module.PROBE_SECONDS <= 30
    monkeypatch.setattr(probe_module, "PROBE_SECONDS", 0.5)
    with socket.socket() as unresponsive:
        unresponsive.bind(("127.0.0.1", 0))
        unresponsive.listen()
        address = f"127.0.0.1:{unresponsive.getsockname()[1]}"
        with pytest.raises(UserError, match=r"unreachable; .* \(no response within 0\.5 s\)"):
            probe(f"s3://bucket/x?endpoint_override={address}&scheme=http&region=us-east-1")


def test_google_error_without_credentials_names_their_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "GOOGLE_SECONDS", 0.5)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Google's machines provide credentials at this address; here nothing responds.
    monkeypatch.setenv("GCE_METADATA_ROOT", "127.0.0.1:9")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(
        UserError, match=r"^--storage gs://bucket/x: no credentials found; set them in GOOGLE_APPLICATION"
    ):
        probe("gs://bucket/x")


def test_a_failure_is_one_line(s3: S3Server, tmp_path: Path) -> None:
    storage = open_storage(s3.uri(tmp_path.name).replace(BUCKET, "no-such-bucket"))
    with pytest.raises(StorageFailed, match=r"NO_SUCH_BUCKET") as failure:
        storage.write(b"x", "name")
    assert "\n" not in str(failure.value)
    assert "Request ID" not in str(failure.value)
