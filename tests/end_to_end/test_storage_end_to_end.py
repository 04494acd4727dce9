"""A search with ``--storage``: after its machine is lost, it is resumed elsewhere with the same results."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.command import Command
from helpers.s3_server import BUCKET, CREDENTIALS, S3Server
from helpers.searches import ONE_AT_A_TIME, ROOT, SETTINGS, descendants, numbers

from leukemia.study.folder import Study
from leukemia.study.table import trial_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in Linux's /proc"),
]

SEARCH = ["--trials=2", "--folds=2", "--repeats=0", *SETTINGS, *ONE_AT_A_TIME]


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Ray's sessions; pytest's folders have too long paths for its sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        yield Path(folder)


@pytest.fixture
def environment(tmp_path: Path, s3: S3Server, ray_folder: Path) -> dict[str, str]:
    dropped = ("WANDB_API_KEY", "COLUMNS", *CREDENTIALS)
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {
        "LEUKEMIA_CACHE": str(tmp_path / "cache"),
        "WANDB_MODE": "offline",
        # Not the Ray of another user of this machine.
        "RAY_ADDRESS": "local",
        "PYTHONPATH": str(ROOT),
        "AWS_ENDPOINT_URL": s3.endpoint,
        "RAY_TMPDIR": str(ray_folder),
        **CREDENTIALS,
    }


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., Command]]:
    """Start a search on its own head; searches still running at the end of the test are killed."""
    started: list[Command] = []

    def begin(head: str, *arguments: str) -> Command:
        (tmp_path / head).mkdir(exist_ok=True)
        started.append(Command("search.run", list(arguments), tmp_path / head, environment))
        return started[-1]

    yield begin
    for command in started:
        command.process.kill()


def test_a_study_whose_machine_is_lost_is_resumed_from_its_bucket(
    tmp_path: Path, tiny_folder: Path, s3: S3Server, ray_folder: Path, start: Callable[..., Command]
) -> None:
    options = ["--data", str(tiny_folder), "--study", "lost", *SEARCH]
    assert start("uninterrupted", *options).wait() == 0

    folder = tmp_path.name
    first = start("head", *options, "--storage", f"s3://{BUCKET}/{folder}")

    def is_training_second_trial() -> bool:
        """The last checkpoint of the second trial's first fold is stored, before the fold is."""
        keys = s3.keys(f"{folder}/lost")
        return any(key.startswith("checkpoints/0001-0-") and key.endswith(".pt") for key in keys)

    first.wait_until(is_training_second_trial)
    processes = [first.process.pid, *descendants(first.process.pid)]
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    first.process.wait()
    assert f"storage: mirrored in s3://{BUCKET}/{folder}/lost\n" in first.stdout
    shutil.rmtree(tmp_path / "head")
    shutil.rmtree(tmp_path / "cache" / "checkpoints")

    lost = start("new head", "--resume", "--storage", f"s3://{BUCKET}/{folder}")
    assert lost.wait() == 2
    assert f"or name a study of s3://{BUCKET}/{folder} with --study: it contains lost" in lost.stderr
    second = start("new head", "--resume", "--study", "lost", "--storage", f"s3://{BUCKET}/{folder}", *ONE_AT_A_TIME)
    assert second.wait() == 0
    assert second.stderr == ""
    assert "trial 0000 " not in second.stdout.partition("winner")[0]

    study = Study(tmp_path / "new head" / "runs" / "lost")
    assert numbers(study.folder) == numbers(tmp_path / "uninterrupted" / "runs" / "lost")
    columns = ["trial", "state", "recipe", "folds", "seeds", "score", "weighted_f1", "reason"]
    uninterrupted = Study(tmp_path / "uninterrupted" / "runs" / "lost")
    assert trial_table(study)[columns].equals(trial_table(uninterrupted)[columns])
    # Of the second fold there was no checkpoint yet.
    assert study.repeated(0).empty
    assert set(study.repeated(1)["fold"]) <= {1}
    # Folders of a bucket are empty objects with a trailing slash.
    stored = {key for key in s3.keys(f"{folder}/lost") if key and not key.endswith("/")}
    local = [path for path in study.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert stored == {str(path.relative_to(study.folder)) for path in local} - {"driver.lock"}
    for name in stored:
        content = s3.client.get_object(Bucket=BUCKET, Key=f"{folder}/lost/{name}")["Body"].read()
        assert content == (study.folder / name).read_bytes(), name
    assert list((tmp_path / "cache" / "checkpoints").rglob("*")) == []

    logs = [path for path in ray_folder.rglob("*") if path.is_file()]
    assert any(path.name == "runtime_env_agent.log" for path in logs)
    kept = [path for folder in (tmp_path, ray_folder) for path in folder.rglob("*") if path.is_file()]
    secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode()
    assert [path for path in kept if secret in path.read_bytes()] == []
