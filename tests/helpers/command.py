"""A command in its own process, as a user starts it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Command:
    """A command that runs in the background, with its output in files."""

    def __init__(self, module: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.out = folder / f"{module}-{time.monotonic_ns()}.out"
        with self.out.open("w") as out, self.out.with_suffix(".err").open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=folder, env=environment, stdout=out, stderr=err
            )

    @property
    def stdout(self) -> str:
        return self.out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self.out.with_suffix(".err").read_text(encoding="utf-8")

    def wait(self, seconds: float = 3600) -> int:
        """Wait for the exit status; prints the output, which pytest shows if the test fails."""
        try:
            status = self.process.wait(seconds)
        finally:
            self.process.kill()
        print(self.stdout, self.stderr)
        return status

    def wait_until(self, condition: Callable[[], bool], seconds: float = 3600) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended too early:\n{self.stdout}{self.stderr}"
            assert time.monotonic() < deadline, f"timed out:\n{self.stdout}{self.stderr}"
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
