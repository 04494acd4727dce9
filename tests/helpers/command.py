"""A command of ours in a process of its own, as a user starts it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Command:
    """A command that runs beside the test, its output in files."""

    def __init__(self, module: str, arguments: list[str], place: Path, environment: dict[str, str]) -> None:
        self.out = place / f"{module}-{time.monotonic_ns()}.out"
        with self.out.open("w") as out, self.out.with_suffix(".err").open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=place, env=environment, stdout=out, stderr=err
            )

    @property
    def stdout(self) -> str:
        return self.out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self.out.with_suffix(".err").read_text(encoding="utf-8")

    def wait(self, seconds: float = 3600) -> int:
        """The status; the output is shown where the test then fails."""
        try:
            status = self.process.wait(seconds)
        finally:
            self.process.kill()
        print(self.stdout, self.stderr)
        return status

    def wait_until(self, happened: Callable[[], bool], seconds: float = 3600) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert self.process.poll() is None, f"ended too early:\n{self.stdout}{self.stderr}"
            assert time.monotonic() < deadline, f"nothing happened:\n{self.stdout}{self.stderr}"
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
