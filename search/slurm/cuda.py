"""Whether torch can use the GPUs that Slurm gave to a job."""

from __future__ import annotations

from collections.abc import Mapping

from leukemia.base.errors import UserError
from search.slurm.allocation import Share


def require_cuda(device: str, environment: Mapping[str, str]) -> None:
    """Refuse a job whose GPUs torch cannot use: its trials would fail, each of them, after Ray has started.

    Args:
        device: of ``--device``.
        environment: of the job's script, in which Slurm names the GPUs of the first node.

    Raises:
        UserError: torch has no CUDA, or finds no GPU.
    """
    number = Share.of(environment, usable_cpus=1).gpus
    if device == "cpu" or not number:
        return

    # Imported only for a job with GPUs, since that takes seconds.
    import torch

    if torch.cuda.is_available():
        return
    found = f"{number} GPU{'' if number == 1 else 's'} of Slurm, and torch {torch.__version__}"
    if torch.version.cuda is None and torch.version.hip is None:
        raise UserError(
            f"{found}, which is built without CUDA; run `make clean setup` without TORCH_INDEX, or submit the job "
            "without GPUs and with --device cpu"
        )
    raise UserError(
        f"{found}, built for CUDA {torch.version.cuda}, cannot use them; compare the driver in `nvidia-smi`, and "
        "choose a build for it with `make clean setup TORCH_INDEX=...`, or submit the job without GPUs and with "
        "--device cpu"
    )
