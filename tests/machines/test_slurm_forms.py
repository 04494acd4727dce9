"""Jobs in the forms in which sites and users write them: other options for GPUs, and a script with another name."""

from __future__ import annotations

import pytest
from helpers.hosts import wait_until
from helpers.slurm import TIMEOUT, SlurmCluster
from helpers.slurm_search import arguments, wait_for_epochs
from helpers.steps import step

pytestmark = [pytest.mark.slow, pytest.mark.long]

OWN = "jobs/my search.slurm"


@pytest.fixture
def own(slurm: SlurmCluster) -> str:
    """A copy of the script, without its line on GPUs; its name, quoted."""
    text = (slurm.project / "cluster.slurm").read_text()
    (slurm.project / "jobs").mkdir(exist_ok=True)
    (slurm.project / OWN).write_text(text.replace("#SBATCH --gpus-per-node=1 ", "# "))
    return f"'{OWN}'"


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        ("--nodes=2 --gpus-per-node=2", ("1 CPU, 2 GPUs", "1 CPU, 2 GPUs")),
        ("--nodes=2 --gres=gpu:2", ("1 CPU, 2 GPUs", "1 CPU, 2 GPUs")),
        ("--nodes=2 --gpus=4", ("1 CPU, 2 GPUs", "1 CPU, 2 GPUs")),
        ("--nodes=2 --ntasks-per-node=2 --gpus-per-task=1", ("2 CPUs, 2 GPUs", "2 CPUs, 2 GPUs")),
        ("--nodes=1 --ntasks=2 --gpus-per-task=1", ("2 CPUs, 2 GPUs",)),
        ("--nodes=2", ("1 CPU, 0 GPUs", "1 CPU, 0 GPUs")),
    ],
)
def test_a_job_uses_the_gpus_that_it_was_given(slurm: SlurmCluster, own: str, given: str, shares: tuple[str]) -> None:
    with step(f"a job with {given}"):
        job = slurm.submit(f"{given} --cpus-per-task=1 --mem-per-cpu=3G {own} {arguments()} --dry-run")
        slurm.wait_for(job, "COMPLETED")
        for node, share in zip(("n1", "n2"), shares, strict=False):
            assert f"{node}: {share}, " in slurm.output(job), slurm.output(job)


def test_a_script_with_another_name_is_named_to_resume(slurm: SlurmCluster, own: str) -> None:
    with step("a job of a renamed script that may not be requeued gets its notice"):
        job = slurm.submit(f"--no-requeue --cpus-per-task=1 --mem-per-cpu=3G {own} {arguments()}")
        wait_for_epochs(slurm, job, 1)
        slurm.run(f"scancel --batch --signal=TERM {job}")
        wait_until(lambda: "Resume with:" in slurm.output(job), TIMEOUT, "the job to say how to resume")
        assert f"Resume with:\n  sbatch {own} --resume --study slurm-{job} --device cpu" in slurm.output(job)
