"""Ray on one node of a job: started by ``srun``, and ended with the process that started it.

The token arrives on standard input, which is no file, argument or variable that others could read. When standard input
ends, so does Ray: whatever happens to the job's script, no Ray outlives it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.cpus import available_cpus
from leukemia.base.errors import FAILURE, SUCCESS, UserError, first_line, print_error
from search.slurm.allocation import Share
from search.slurm.ports import CLIENT, HEAD_OPTIONS, OPTIONS, is_free, ports_of

HEAD = "head"
"""Given instead of an address to the node that becomes the head."""

ADDRESS, SHARE, SIGNAL = "address", "share", "signal"
"""Keys of the lines that a node prints: once its own address and what it has been given, and each signal to end."""

TOKEN = "token"
"""Name of the token's file in the job's folder."""

OBJECT_STORE = 0.3
"""Share of the memory for Ray's object store, as Ray's own default of a whole machine."""

SHARED_MEMORY = Path("/dev/shm")

LEAST_MEMORY_BYTES = 2**30
"""Ray alone takes about that much."""

LEAST_STORE_BYTES = 75 * 2**20
"""Of Ray's object store (``OBJECT_STORE_MINIMUM_MEMORY_BYTES`` of its constants)."""

DISK_BYTES = 500 * 10**6
"""Free space for Ray's files and temporary ones, which are mostly logs and compiled kernels."""

OTHER_DISK = "set RAY_TMPDIR in the job script to a folder on the nodes' own disks"

END_SECONDS = 15
"""How long Ray may take to end."""

POLL_SECONDS = 0.2

LAST_LINES = 15
"""Of Ray's output, shown if it ends by itself."""


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """What a node is told on its command line."""

    head: str
    """Address of the head, HOST:PORT; ``HEAD`` for the head itself."""

    job_id: int
    folder: Path
    """The job's folder on the node's own disk; it must not exist, and is removed at the end."""

    @property
    def is_head(self) -> bool:
        return self.head == HEAD

    def arguments(self) -> list[str]:
        return [self.head, str(self.job_id), str(self.folder)]

    @classmethod
    def of(cls, arguments: list[str]) -> NodeSpec:
        head, job_id, folder = arguments
        return cls(head=head, job_id=int(job_id), folder=Path(folder))


def main(argv: list[str]) -> int:
    """Run Ray until standard input ends; returns the exit status."""
    spec = NodeSpec.of(argv)
    token = sys.stdin.readline().strip()
    signal.signal(signal.SIGTERM, lambda number, frame: _tell({SIGNAL: number}))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _private_folder(spec.folder):
            (spec.folder / TOKEN).touch(mode=0o600)
            (spec.folder / TOKEN).write_text(token)
            return _run_ray(spec)
    except (UserError, OSError) as error:
        print_error(f"{socket.gethostname()}: {first_line(error)}")
        return FAILURE


@contextlib.contextmanager
def _private_folder(folder: Path) -> Iterator[None]:
    """The job's folder, which no other user may enter: Ray opens its own folders to all.

    Raises:
        UserError: it cannot be made, or has too little space.
    """
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UserError(
            f"{folder.parent}: Ray's files cannot be written there ({error.strerror}); {OTHER_DISK}"
        ) from None
    try:
        free = shutil.disk_usage(folder).free
        if free < DISK_BYTES:
            raise UserError(
                f"{folder.parent}: expected {DISK_BYTES // 10**6} MB for Ray's files, found {free // 10**6} MB free; "
                f"free some, or {OTHER_DISK}"
            )
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_ray(spec: NodeSpec) -> int:
    share, ports = Share.of(os.environ, available_cpus()), ports_of(spec.job_id, is_free)
    address = own_address(os.environ, spec)
    output = spec.folder / "start.log"
    with output.open("wb") as stream:
        ray = subprocess.Popen(
            start_command(spec, share, ports, address),
            env=ray_environment(os.environ, spec.folder) | temporary(spec.folder),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            # Ray's processes are in one group, which can be ended without touching others.
            start_new_session=True,
        )
    try:
        _tell({ADDRESS: f"{address}:{ports['port']}", SHARE: share.describe()})
        if _wait(ray):
            return SUCCESS
        lines = output.read_text(errors="replace").splitlines()[-LAST_LINES:]
        print_error("\n  ".join([f"{socket.gethostname()}: Ray ended with status {ray.returncode}:", *lines]))
        return FAILURE
    finally:
        _end(ray)


def _wait(ray: subprocess.Popen[bytes]) -> bool:
    """Wait until standard input ends (true), or Ray does (false)."""
    is_over = threading.Event()

    def read() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=read, daemon=True).start()
    while not is_over.wait(POLL_SECONDS):
        if ray.poll() is not None:
            return False
    return True


def _end(ray: subprocess.Popen[bytes]) -> None:
    """End Ray and all of its processes, and no others."""
    ray.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        ray.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(ray.pid, signal.SIGKILL)
    ray.wait()


def start_command(spec: NodeSpec, share: Share, ports: dict[str, int], address: str) -> list[str]:
    """The command that starts Ray on this node, and runs as long as it does."""
    options: tuple[str, ...] = (*HEAD_OPTIONS, *OPTIONS) if spec.is_head else OPTIONS
    if importlib.util.find_spec("grpc") is None:
        # Ray refuses the option then.
        options = tuple(option for option in options if option != CLIENT)
    kind = ["--head", "--include-dashboard=false"] if spec.is_head else [f"--address={spec.head}"]
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *kind),
        *(f"--node-ip-address={address}", f"--temp-dir={ray_folder(spec.folder)}"),
        *(f"--num-cpus={share.cpus}", f"--num-gpus={share.gpus}", *_memory(share)),
        *(f"--{option}={ports[option]}" for option in options),
        # Of worker processes: any that is free.
        *("--min-worker-port=0", "--max-worker-port=0"),
    ]


def ray_folder(folder: Path) -> Path:
    """The folder of Ray's own files in that of the job."""
    return folder / "ray"


def _memory(share: Share) -> list[str]:
    """Options on memory; none if the node's is not limited, which Ray finds out itself.

    Raises:
        UserError: there is less than Ray needs.
    """
    if share.memory_bytes is None:
        return []
    if share.memory_bytes < LEAST_MEMORY_BYTES:
        raise UserError(
            f"expected at least {LEAST_MEMORY_BYTES / 2**30:g} GiB of memory for Ray and more for training, found "
            f"{share.memory_bytes / 2**20:.0f} MiB; raise --mem, or --mem-per-cpu"
        )
    store = int(OBJECT_STORE * share.memory_bytes)
    if SHARED_MEMORY.is_dir():
        # A larger one would be on a disk.
        free = shutil.disk_usage(SHARED_MEMORY).free
        store = min(store, int(0.95 * free))
        if store < LEAST_STORE_BYTES:
            raise UserError(
                f"{SHARED_MEMORY}: expected {LEAST_STORE_BYTES // 2**20} MiB for Ray's object store, found "
                f"{free // 2**20} MiB free; jobs that have been killed may have left files there, or use another node "
                "(`sbatch --exclude`)"
            )
    return [f"--memory={share.memory_bytes - store}", f"--object-store-memory={store}"]


def ray_environment(environment: dict[str, str] | os._Environ[str], folder: Path) -> dict[str, str]:
    """The environment of Ray's processes, and of clients on this node: with the token, without the driver's secrets."""
    own = {name: value for name, value in environment.items() if name not in ("RAY_ADDRESS", "WANDB_API_KEY")}
    return own | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / TOKEN)}


def temporary(folder: Path) -> dict[str, str]:
    """The environment by which processes keep their temporary files in the job's folder, which must exist.

    They may be killed before they remove them, as by scancel. Not for srun: Slurm makes a missing folder of that name.
    """
    inductor = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or str(folder / "torchinductor")
    return {"TMPDIR": str(folder), "TORCHINDUCTOR_CACHE_DIR": inductor}


def own_address(environment: dict[str, str] | os._Environ[str], spec: NodeSpec) -> str:
    """The address of this node by which the others reach it.

    The head's is that of the machine with the job's script, as Slurm knows it, since names may resolve to loopback.
    Any other node's is the one from which it reaches the head.

    Raises:
        OSError: the head cannot be reached, or has no address.
    """
    if spec.is_head:
        return environment.get("SLURM_LAUNCH_NODE_IPADDR") or socket.gethostbyname(socket.gethostname())
    host, _, port = spec.head.rpartition(":")
    # UDP: this chooses an address, and sends nothing.
    with contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as probe:
        probe.connect((host, int(port)))
        return str(probe.getsockname()[0])


def _tell(line: dict[str, object]) -> None:
    # In one piece, and not by a buffer that a signal handler must not enter twice.
    os.write(1, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
