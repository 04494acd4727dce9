"""A headless Chromium that is driven by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), None)

SECONDS = 120.0
"""Longest wait for the browser."""


class Tab:
    """A page in the browser; commands and answers are JSON, each with a zero byte at its end."""

    def __init__(self, commands: int, answers: int) -> None:
        """
        Args:
            commands, answers: the ends of the pipes.
        """
        self._commands, self._answers, self._read = commands, answers, b""
        self._session, self._last = "", 0
        self.problems: list[str] = []
        """Errors and warnings of the console, and what the page's content policy refused."""

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; returns its result."""
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters}
        os.write(self._commands, json.dumps(command | ({"sessionId": self._session} if self._session else {})).encode())
        os.write(self._commands, b"\0")
        while True:
            message = self._receive()
            self._note(message)
            if message.get("id") == self._last:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            if not select.select([self._answers], [], [], SECONDS)[0]:
                raise TimeoutError("the browser does not answer")
            found = os.read(self._answers, 1 << 20)
            if not found:
                raise EOFError("the browser has ended")
            self._read += found
        message, _, self._read = self._read.partition(b"\0")
        content: dict[str, Any] = json.loads(message)
        return content

    def _note(self, message: dict[str, Any]) -> None:
        method, content = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning"):
            self.problems.append(str([each.get("value", each.get("description")) for each in content["args"]]))
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(content["exceptionDetails"]))
        elif method == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning"):
            self.problems.append(content["entry"]["text"])

    def open(self, path: Path, *, width: int, dark: bool = False, scripts: bool = True) -> None:
        """Open a file in a window of some width, in CSS pixels; returns once it is loaded."""
        target = self.send("Target.createTarget", url="about:blank")
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        is_phone = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=is_phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.until("location.protocol === 'file:' && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, in JSON types."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression}; {self.problems}")
            time.sleep(0.05)

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(taken["data"]))

    def pdf(self, path: Path) -> None:
        """Print the page."""
        printed = self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        path.write_bytes(base64.b64decode(printed["data"]))


@contextmanager
def new_tab() -> Iterator[Tab]:
    """A tab of a new browser, which ends with it."""
    assert CHROMIUM is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    (reads, commands), (answers, writes) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser expects its ends of the pipes at 3 and 4.
        shell = f'exec "$0" "$@" 3<&{reads} 4>&{writes}'
        browser = [CHROMIUM, *options, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            ["bash", "-c", shell, *browser],
            pass_fds=(reads, writes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        try:
            yield Tab(commands, answers)
        finally:
            process.terminate()
            process.wait()
            os.close(commands)
            os.close(answers)
