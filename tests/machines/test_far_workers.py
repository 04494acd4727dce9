"""``python -m search.preflight`` if only the head is reachable from here, and the workers from the head."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from helpers.hosts import ROOT, USER, Lab, lab_of

pytestmark = pytest.mark.slow


def preflight(lab: Lab) -> subprocess.CompletedProcess[str]:
    command = lab.laptop.command(
        *(sys.executable, "-m", "search.preflight", "cluster.yaml"),
        folder=lab.folder / "home",
        PYTHONPATH=str(ROOT),
        OMP_NUM_THREADS="1",
    )
    return subprocess.run(command, capture_output=True, text=True, timeout=1200)


def test_workers_are_probed_through_the_head() -> None:
    with lab_of("head", "worker1", "worker2") as lab:
        head, *workers = lab.machines.values()
        home = lab.laptop.home
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").write_text("0123")
        (home / ".ray" / "auth_token").chmod(0o600)
        config = {
            "cluster_name": "test",
            "provider": {
                "type": "local",
                "head_ip": head.address,
                "worker_ips": [worker.address for worker in workers],
            },
            "auth": {"ssh_user": USER, "ssh_private_key": str(lab.key)},
            "file_mounts": {"~/.ray/auth_token": "~/.ray/auth_token"},
        }
        (home / "cluster.yaml").write_text(yaml.safe_dump(config))
        for worker in workers:
            subprocess.run(lab.laptop.command("ip", "route", "add", "unreachable", f"{worker.address}/32"), check=True)
        ended = preflight(lab)
        assert ended.returncode == 0, ended.stderr
        assert "3 machines, the head is" in ended.stdout

        (workers[0].home / ".bashrc").write_text("case $- in *i*) PATH=/nowhere ;; esac\n")
        lab.cut_off("worker2")
        ended = preflight(lab)
        assert ended.returncode == 2
        assert f"{workers[0].address}: no rsync, which Ray needs" in ended.stderr
        assert f"{workers[1].address}: port 22 is unreachable" in ended.stderr
        assert "; the head cannot reach it, either" in ended.stderr

        # A head that does not allow forwarding leaves a worker unchecked, which is not an error.
        lab.reconnect("worker2")
        (workers[0].home / ".bashrc").unlink()
        with (head.folder / "sshd_config").open("a") as settings:
            settings.write("AllowTcpForwarding no\n")
        listening = subprocess.run(
            head.command("pgrep", "-o", "-x", "sshd"), capture_output=True, text=True, check=True
        )
        subprocess.run(head.command("kill", "-HUP", listening.stdout.strip()), check=True)
        ended = preflight(lab)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("; the head does not allow forwarding, so it was not checked") == 2
