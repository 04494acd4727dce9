"""``python -m search.preflight``: each mistake around ``ray up`` in a line that says what to do."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from aws_double import AwsDouble

from leukemia.mistakes import SUCCESS, USER_MISTAKE, Mistake
from search import aws
from search.preflight import findings, main, read_cluster

ROOT = Path(__file__).parent.parent
RAY = importlib.metadata.version("ray")

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")
ALIVE, DEAD = "127.0.0.77", "127.0.0.78"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder and a home in which all is well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    for name, text in {".ray/auth_token": "0123", "key": "a key", "constraints.txt": f"ray=={RAY}\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def cluster(*hosts: str, **auth: str) -> dict[str, Any]:
    return {
        "cluster_name": "test",
        "provider": {"type": "local", "head_ip": hosts[0], "worker_ips": list(hosts[1:])},
        "auth": {"ssh_user": getpass.getuser(), "ssh_private_key": "~/key", **auth},
        "file_mounts": {"~/.ray/auth_token": "~/.ray/auth_token", "~/p/constraints.txt": "constraints.txt"},
    }


def problems_of(config: dict[str, Any], place: Path) -> list[str]:
    path = place / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return findings(read_cluster(path))[0]


def aws_cluster(**provider: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    config["provider"] |= provider
    config["file_mounts"] = cluster("127.0.0.1")["file_mounts"]
    return config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"cluster.yaml, line \d: no valid YAML"),
        ("- a", "expected a cluster's file with a section `provider`"),
        ("provider: {type: local}\ncluster_name: a", "Ray refuses it .*supply a `head_ip`"),
        ("provider: {type: cloud9}\ncluster_name: a", "Ray refuses it .*Unsupported node provider: cloud9"),
        (
            "{cluster_name: a, max_workers: many, provider: {type: local, head_ip: b, worker_ips: []}}",
            "cluster.yaml: max_workers: 'many' is not of type 'integer'",
        ),
        (
            "{cluster_name: a, idle_timeout_minutes: soon, provider: {type: local, head_ip: b, worker_ips: []}}",
            "cluster.yaml: idle_timeout_minutes: 'soon' is not of type 'number'; compare it with cluster.yaml",
        ),
    ],
)
def test_what_ray_does_not_read_is_named(text: str, message: str, place: Path) -> None:
    (place / "cluster.yaml").write_text(text)
    with pytest.raises(Mistake, match=message):
        read_cluster(place / "cluster.yaml")


def test_an_absent_file_is_named(place: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"other\.yaml: no such file; the project has cluster.yaml"):
        read_cluster(place / "other.yaml")


def test_all_problems_are_told_at_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / ".ray" / "auth_token").chmod(0o644)
    (place / "key").chmod(0o644)
    (place / "constraints.txt").write_text("ray==2.1.0\n")
    config = cluster(DEAD)
    config["file_mounts"]["~/p/leukemia"] = "leukemia"
    (place / "cluster.yaml").write_text(yaml.safe_dump(config))
    assert main(["cluster.yaml"]) == USER_MISTAKE
    told = capsys.readouterr().err
    assert told.startswith("error: cluster.yaml is not ready, 5 to mend:\n")
    for words in (
        f"others on this machine may read the token; chmod 600 {place}/.ray/auth_token",
        f"auth.ssh_private_key: others may read {place}/key, and ssh refuses such a key; chmod 600 {place}/key",
        f"Ray {RAY} here, the cluster's machines get 2.1.0 from constraints.txt",
        f"file_mounts.~/p/leukemia: no leukemia in {place}; call this and `ray up` from the project's folder",
        f"{DEAD}: the machine answers, but no ssh server on port 22",
    ):
        assert words in told


def test_an_absent_token_and_key_come_with_the_commands_that_make_them(place: Path) -> None:
    (place / ".ray" / "auth_token").unlink()
    (place / "key").unlink()
    token, key, _ = problems_of(cluster(DEAD), place)
    assert token.endswith("(umask 077; ray get-auth-token --generate > /dev/null)")
    assert key.startswith(
        f"auth.ssh_private_key: no file {place}/key; name your key, or make one: ssh-keygen -t ed25519"
    )
    config = cluster(DEAD)
    del config["file_mounts"]["~/.ray/auth_token"]
    assert "whoever reaches a port of the cluster runs code there" in problems_of(config, place)[0]


def test_absent_tools_are_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    problems = problems_of(cluster(DEAD), place)
    assert problems[:2] == [
        "ssh is not installed here, and `ray up` uses it; install openssh-client",
        "rsync is not installed here, and `ray up` uses it; install rsync",
    ]


@pytest.fixture
def ssh_server(place: Path) -> Iterator[Path]:
    """An ssh server of this machine, to which ``key`` opens; yields the home that it gives."""
    if SSHD is None or os.geteuid() != 0:
        pytest.skip("port 22 needs root and sshd")
    home = place / "far"
    home.mkdir()
    for name in ("host", "key", "other"):
        (place / name).unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "ListenAddress": f"{ALIVE}:22",
        "HostKey": place / "host",
        "AuthorizedKeysFile": place / "key.pub",
        "StrictModes": "no",
        "PidFile": "none",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "SetEnv": f"HOME={home} PATH={Path(sys.executable).parent}:/usr/bin:/bin",
    }
    (place / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (place / "sshd.log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", place / "sshd_config"], stderr=log)
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((ALIVE, 22), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, (place / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield home
    server.terminate()
    server.wait()


def test_a_machine_that_can_be_used_is_ready(ssh_server: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "cluster.yaml").write_text(yaml.safe_dump(cluster(ALIVE)))
    assert main(["cluster.yaml"]) == SUCCESS, capsys.readouterr().err
    assert capsys.readouterr().out == f"1 machines, the head is {ALIVE}\nready: ray up cluster.yaml\n"


def test_a_wrong_key_is_named_with_its_user(ssh_server: Path, place: Path) -> None:
    (problem,) = problems_of(cluster(ALIVE, ssh_private_key="~/other"), place)
    whom = f"{getpass.getuser()}@{ALIVE}"
    assert problem == (
        f"{ALIVE}: refuses user {getpass.getuser()} with the key {place}/other; correct auth, or let the key in: "
        f"ssh-copy-id -i {place}/other {whom}"
    )


def test_another_ray_on_a_machine_is_named_with_ours(ssh_server: Path, place: Path) -> None:
    other = ssh_server / "other" / "ray-2.1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ray\nVersion: 2.1.0\n")
    python = ssh_server / "leukemia-search" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={other.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    dead, ray = sorted(problems_of(cluster(ALIVE, DEAD), place), key=lambda words: ALIVE in words)
    assert dead.startswith(f"{DEAD}: the machine answers, but no ssh server")
    assert ray.startswith(f"{ALIVE}: Ray 2.1.0 there, {RAY} here; make them one")


def test_no_aws_credentials(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert problems_of(aws_cluster(), place) == [
        "no AWS credentials here; run `aws configure` or `aws sso login`, or set AWS_PROFILE"
    ]
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    (problem,) = problems_of(aws_cluster(), place)
    assert "nobody" in problem
    assert "AWS_PROFILE" in problem


def test_no_region_and_no_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems_of(aws_cluster(region=""), place)[0].startswith(
        "provider.region: expected a region such as us-east-1"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    (problem,) = problems_of(aws_cluster(), place)
    assert problem.startswith("AWS cannot be asked (Could not connect to the endpoint URL")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "have expired (ExpiredToken); log in again"),
        ("InvalidClientTokenId", "does not know the credentials (InvalidClientTokenId); run `aws configure`"),
        ("UnauthorizedOperation", "AWS refuses DescribeInstances (UnauthorizedOperation: no); ask whoever"),
    ],
)
def test_what_aws_refuses_is_said_in_words(code: str, words: str) -> None:
    assert words in aws._refusal({"Code": code, "Message": "no"}, "DescribeInstances")


def test_a_quota_too_small_for_one_worker_is_told() -> None:
    config = read_cluster(ROOT / "cluster.yaml")
    assert list(aws._quota_problems(config, 4.0, "eu-west-1")) == []
    (problem,) = aws._quota_problems(config, 0.0, "eu-west-1")
    assert "one worker has 4" in problem
    assert problem.endswith("--region eu-west-1 --service-code ec2 --quota-code L-3819A6DF --desired-value 16")


@pytest.mark.slow
def test_an_account_before_and_after_its_stack(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = AwsDouble(place)
    try:
        double.settle(monkeypatch, place)
        absent = problems_of(aws_cluster(), place)
        assert [words.split(";")[0] for words in absent] == [
            f"the account has no launch template leukemia-{name} in us-east-1" for name in ("head", "worker")
        ]
        assert all(words.endswith(aws.deploy_command("us-east-1")) for words in absent)

        double.deploy()
        assert problems_of(aws_cluster(), place) == []

        config = aws_cluster()
        del config["available_node_types"]["worker"]["node_config"]["LaunchTemplate"]
        config["auth"]["ssh_private_key"] = "~/key"
        told = problems_of(config, place)
        assert told[0].startswith("available_node_types.worker.node_config.LaunchTemplate: expected the name of one of")
        assert told[1].startswith("auth.ssh_private_key is given, available_node_types.head.node_config.KeyName is not")

        ec2 = boto3.client("ec2")
        (group,) = [g for g in ec2.describe_security_groups()["SecurityGroups"] if "SshGroup" in g["GroupName"]]
        ec2.authorize_security_group_ingress(
            GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
        )
        (world,) = problems_of(aws_cluster(), place)
        assert world.startswith(f"security group {group['GroupId']} lets 0.0.0.0/0 in (ports: 22 to 22)")
    finally:
        double.server.stop()
