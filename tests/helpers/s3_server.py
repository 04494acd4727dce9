"""S3 on this machine: moto's server in a separate process, with one bucket."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import boto3
import requests

BUCKET = "leukemia"

SERVE = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
server._thread.join()
"""

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Arbitrary: moto checks permissions only on request."""


class S3Server:
    """Can be stopped and started again; its content is then lost."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> S3Server:
        self._process = subprocess.Popen([sys.executable, "-c", SERVE, str(self.port)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while not self._responds():
            assert self._process.poll() is None, "the server process ended"
            assert time.monotonic() < deadline, "the server does not respond"
            time.sleep(0.1)
        self.client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _responds(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 10):
            return True
        return False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> str:
        """The query options of an address on this server."""
        return f"?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"

    def uri(self, folder: str) -> str:
        return f"s3://{BUCKET}/{folder}{self.options}"

    @property
    def client(self) -> Any:
        """AWS's own client, to inspect the bucket independently of the code under test."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @contextlib.contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """The server checks credentials and permissions."""
        requests.post(f"{self.endpoint}/moto-api/reset-auth", data=b"0", timeout=300).raise_for_status()
        try:
            yield
        finally:
            requests.post(f"{self.endpoint}/moto-api/reset-auth", data=b"inf", timeout=300).raise_for_status()

    def keys(self, folder: str) -> list[str]:
        """All objects below a folder, relative to it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{folder}/")
        return sorted(item["Key"].removeprefix(f"{folder}/") for page in pages for item in page.get("Contents", []))
