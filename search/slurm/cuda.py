"""Whether torch can use the GPUs that Slurm gave to a job."""

from __future__ import annotations

from collections.abc import Mapping

from leukemia.base.errors import UserError
from leukemia.base.gpus import VISIBLE, gpus_of_job, visible_gpus
from leukemia.base.quantity import quantity


def require_cuda(device: str, environment: Mapping[str, str]) -> None:
    """Refuse a job whose GPUs cannot be used: its trials would fail, or take the CPU, after Ray has started.

    Args:
        device: of ``--device``.
        environment: of the job's script, in which Slurm names the GPUs of the first node.

    Raises:
        UserError: torch has no CUDA, or finds no GPU; or Ray would not be told of any.
    """
    number = max(gpus_of_job(environment), visible_gpus(environment))
    if device == "cpu" or not number:
        return

    # Imported only for a job with GPUs, since that takes seconds.
    from leukemia.training.device import require_gpus_of_job

    require_gpus_of_job({**environment, "SLURM_GPUS_ON_NODE": str(number)})
    if not visible_gpus(environment):
        raise UserError(
            f"Slurm gave {quantity(number, 'GPU')}, and {VISIBLE} names none, from which the search counts them; set "
            "it in the job script, or ask for no GPU and give --device cpu"
        )
