"""``python -m search.preflight``: each problem before ``ray up`` in a line that says what to do.

``ssh_double.py`` replaces ssh and the machines; ``test_preflight_ssh.py`` uses a real ssh server.
"""

from __future__ import annotations

import getpass
import http.server
import os
import platform
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from helpers.aws_double import AwsDouble
from helpers.local_cluster import ALIVE, BAD_KEYS, DEAD, RAY, checked, cluster, damage_key, problems_of, set_up_project
from helpers.ssh_double import SshDouble, make_key, probe_output
from ray.autoscaler._private.local.node_provider import ClusterState

from leukemia.base.errors import SUCCESS, USER_ERROR, UserError
from search.preflight import aws, login
from search.preflight.__main__ import main
from search.preflight.check import read_cluster
from search.preflight.machines import deploy_command
from search.preflight.problems import collect, unexpected

ROOT = Path(__file__).parents[2]

FACTS = {"rsync": "yes", "tmux": "yes", "python": platform.python_version(), "venv": "yes", "ray": RAY}
"""Probe results of a machine without problems."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder and home without any problem."""
    set_up_project(tmp_path, monkeypatch, make_key)
    return tmp_path


@pytest.fixture(autouse=True)
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SshDouble:
    return SshDouble(tmp_path / "tools", monkeypatch)


def aws_cluster(**provider: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    config["provider"] |= provider
    config["file_mounts"] = cluster("127.0.0.1")["file_mounts"]
    return config


def test_a_cluster_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cluster.yaml")
    with pytest.raises(UserError, match=r"cluster.yaml: cannot be read \(.*a pipe, not a file.*\)$"):
        read_cluster(tmp_path / "cluster.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"cluster.yaml: not valid YAML \(line \d: "),
        ("- a", "expected a cluster file with a section `provider`"),
        ("provider: {region: x}\ncluster_name: a", "provider.type: expected aws or local, found none"),
        (
            "{cluster_name: a, file_mounts: {x: }, provider: {type: local, head_ip: b, worker_ips: []}}",
            "file_mounts.x: expected a path on this machine, found None; write one",
        ),
        ("provider: {type: local}\ncluster_name: a", "Ray rejects it .*supply a `head_ip`"),
        ("provider: {type: cloud9}\ncluster_name: a", "Ray rejects it .*Unsupported node provider: cloud9"),
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
def test_a_file_that_ray_rejects_is_named(text: str, message: str, project: Path) -> None:
    (project / "cluster.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_cluster(project / "cluster.yaml")


def test_an_absent_file_is_named(project: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"other\.yaml: no such file; the project has cluster.yaml"):
        read_cluster(project / "other.yaml")


def test_all_problems_are_reported_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".ray" / "auth_token").chmod(0o644)
    (project / "key").chmod(0o644)
    (project / "constraints.txt").write_text("ray==2.1.0\n")
    config = cluster(DEAD)
    config["file_mounts"]["~/p/leukemia"] = "leukemia"
    (project / "cluster.yaml").write_text(yaml.safe_dump(config))
    assert main(["cluster.yaml"]) == USER_ERROR
    printed = capsys.readouterr().err
    assert printed.startswith("error: cluster.yaml is not ready, 5 problems to fix:\n")
    for message in (
        f"other users of this machine can read the token; chmod 600 {project}/.ray/auth_token",
        f"auth.ssh_private_key: other users can read {project}/key, and ssh rejects such a key; chmod 600",
        f"Ray {RAY} here, the cluster's machines get 2.1.0 from constraints.txt",
        f"file_mounts.~/p/leukemia: no leukemia in {project}; run this and `ray up` in the project's folder",
        f"{DEAD}: the machine is up, but no ssh server runs on port 22",
    ):
        assert message in printed


def test_messages_about_an_absent_token_and_key_contain_the_commands_to_create_them(project: Path) -> None:
    (project / ".ray" / "auth_token").unlink()
    (project / "key").unlink()
    token, key, _ = problems_of(cluster(DEAD), project)
    assert token.endswith("(umask 077; ray get-auth-token --generate > /dev/null)")
    assert key.startswith(
        f"auth.ssh_private_key: no file {project}/key; set the path of your key, or create one: ssh-keygen -t ed25519"
    )
    config = cluster(DEAD)
    del config["file_mounts"]["~/.ray/auth_token"]
    assert "anyone who can reach a cluster port can run code on it; add it" in problems_of(config, project)[0]


def test_absent_tools_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    problems = problems_of(cluster(DEAD), project)
    assert problems[:2] == [
        "ssh is not installed on this machine, and `ray up` needs it; install openssh-client",
        "rsync is not installed on this machine, and `ray up` needs it; install rsync",
    ]


def test_a_usable_machine_is_ready(ssh: SshDouble, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ssh.machine(ALIVE, "welcome\r\n" + probe_output(**FACTS) + "goodbye\r\n")
    (project / "cluster.yaml").write_text(yaml.safe_dump(cluster(ALIVE)))
    assert main(["cluster.yaml"]) == SUCCESS, capsys.readouterr().err
    first, last = capsys.readouterr().out.splitlines()
    assert (first, last) == (f"1 machine, the head is {ALIVE}", "ready: ray up cluster.yaml")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rsync": None}, "no rsync, which Ray needs to copy files; apt-get install rsync there"),
        ({"python": None}, "no python3; Python 3.11 or newer is needed"),
        ({"python": "3.9.7"}, "Python 3.9.7, but 3.11 or newer is needed"),
        ({"ray": "2.1.0"}, f"Ray 2.1.0 there, {RAY} here, but all machines need the same"),
        ({"ray": None}, None),
        ({"blocked": "yes"}, "~/leukemia-search is a file, but the project needs a folder of that name"),
        ({"venv": None}, r"its python3 cannot create an environment \(venv, ensurepip\); apt-get install python3-venv"),
        ({"venv": None, "environment": "yes"}, None),
    ],
)
def test_problems_of_a_machine_are_named(
    changed: dict[str, str | None], message: str | None, ssh: SshDouble, project: Path
) -> None:
    ssh.machine(ALIVE, probe_output(**{name: value for name, value in (FACTS | changed).items() if value is not None}))
    config = cluster(ALIVE)
    config["file_mounts"]["~/leukemia-search/constraints.txt"] = "constraints.txt"
    config["setup_commands"] = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())["setup_commands"]
    problems = problems_of(config, project)
    assert len(problems) == (message is not None)
    assert all(re.match(f"{ALIVE}: {message}", problem) for problem in problems)


@pytest.mark.parametrize(
    ("login_output", "message"),
    [
        (
            {"status": 255, "err": "lab@there: Permission denied (publickey)."},
            "rejects user USER with key HOME/key; correct auth, or authorize the key: ssh-copy-id -i HOME/key USER@",
        ),
        ({"status": 255, "err": "Connection reset"}, r"ssh as USER fails \(Connection reset\); try `ssh USER@"),
        (
            {"status": 3, "out": "goodbye\r\n"},
            r"the shell exited with status 3 before running the probe \(goodbye\); `ray up` needs bash there",
        ),
    ],
)
def test_a_failed_login_is_reported_with_what_to_do(
    login_output: dict[str, Any], message: str, ssh: SshDouble, project: Path
) -> None:
    ssh.machine(ALIVE, **login_output)
    (problem,) = problems_of(cluster(ALIVE), project)
    expected = message.replace("USER", getpass.getuser()).replace("HOME", str(project))
    assert re.match(f"{ALIVE}: {expected}", problem)


def test_a_login_that_does_not_end_times_out(ssh: SshDouble, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "LOGIN_SECONDS", 0.1)
    ssh.machine(ALIVE)
    ssh.install("ssh", "exec sleep 3600\n")
    (problem,) = problems_of(cluster(ALIVE), project)
    assert problem.startswith(f"{ALIVE}: ssh as {getpass.getuser()} did not end within 0.1 s; does its ~/.bashrc wait")


def test_no_tmux_on_the_head_is_noted(ssh: SshDouble, project: Path) -> None:
    for host in (ALIVE, DEAD):
        ssh.machine(host, probe_output(**{name: value for name, value in FACTS.items() if name != "tmux"}))
    problems, notes = checked(cluster(ALIVE, DEAD), project)
    assert problems == []
    tmux = f"{ALIVE}: no tmux on the head, and `ray exec --tmux` needs it; apt-get install tmux there"
    assert notes == [f"2 machines, the head is {ALIVE}", tmux]


def test_machines_of_different_pythons_are_named_together(ssh: SshDouble, project: Path) -> None:
    for host, python in ((ALIVE, "3.12.1"), (DEAD, "3.12.2")):
        ssh.machine(host, probe_output(**FACTS | {"python": python}))
    (problem,) = problems_of(cluster(ALIVE, DEAD), project)
    assert f"found 3.12.1 on {ALIVE}, 3.12.2 on {DEAD}; align them" in problem


@pytest.mark.parametrize(
    ("login_output", "problem", "note"),
    [
        ({"out": probe_output(**FACTS)}, "", ""),
        ({"status": 255, "err": "channel 0: open failed: connect failed"}, "the head cannot reach it, either", ""),
        ({"status": 255, "err": "open failed: administratively prohibited"}, "", "the head does not allow forwarding"),
    ],
)
def test_an_unreachable_worker_is_probed_through_the_head(
    login_output: dict[str, Any], problem: str, note: str, ssh: SshDouble, project: Path
) -> None:
    ssh.machine(ALIVE, probe_output(**FACTS))
    ssh.machine(DEAD, fault=OSError("no route"), **login_output)
    problems, notes = checked(cluster(ALIVE, DEAD), project)
    for lines, message in zip((problems, notes[1:]), (problem, note), strict=True):
        assert len(lines) == bool(message)
        assert all(f"{DEAD}: port 22 is unreachable (no route)" in line and message in line for line in lines)


def test_the_head_is_probed_at_its_external_address(ssh: SshDouble, project: Path) -> None:
    ssh.machine(ALIVE, probe_output(**FACTS))
    config = cluster(DEAD)
    config["provider"]["external_head_ip"] = ALIVE
    assert problems_of(config, project) == []
    config["provider"] |= {"head_ip": ALIVE, "external_head_ip": DEAD}
    (problem,) = problems_of(config, project)
    assert problem.startswith(f"{DEAD}: the machine is up, but no ssh server")
    config["provider"]["use_internal_ips"] = True
    assert problems_of(config, project) == []


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (
            (DEAD, "127.0.0.79", "127.0.0.79"),
            "provider.worker_ips: 127.0.0.79 is listed 2 times; list it once",
        ),
        (
            (DEAD, DEAD),
            f"provider.worker_ips: {DEAD} is also provider.head_ip, and the head trains anyway; remove it from "
            "provider.worker_ips",
        ),
    ],
)
def test_a_machine_that_is_named_twice(hosts: tuple[str, ...], message: str, project: Path) -> None:
    config = cluster(*hosts)
    problems = problems_of(config, project)
    assert problems[0] == message
    assert len(problems) == 1 + len(set(hosts)), "each machine is probed once"
    with pytest.raises(AssertionError):  # Ray's own check.
        ClusterState(str(project / "lock"), str(project / "state"), config["provider"])


def test_a_machine_with_two_names(project: Path) -> None:
    problems = problems_of(cluster("127.0.0.1", "localhost"), project)
    assert "127.0.0.1 and localhost are the same machine, 127.0.0.1; list it once" in problems


@pytest.mark.parametrize("auth", [None, {}, {"ssh_private_key": "~/key"}, {"ssh_user": "-oProxyCommand=touch made"}])
def test_a_valid_user_is_required(auth: dict[str, str] | None, project: Path) -> None:
    config = cluster(DEAD)
    del config["auth"]
    if auth is not None:
        config["auth"] = auth
    user, machine = problems_of(config, project)
    assert user.startswith("auth.ssh_user: expected the user to log in with, found ")
    assert machine.startswith(f"{DEAD}: the machine is up, but no ssh server")


@pytest.mark.parametrize("name", ["lab..x", "a" * 70, "-oProxyCommand=x", "two words", "::1", ""])
def test_an_invalid_machine_name_does_not_hide_other_problems(name: str, project: Path) -> None:
    problems = problems_of(cluster(DEAD, name), project)
    assert len(problems) == 2
    assert any(
        "no machine with that name has an IPv4 address" in problem or "expected the address" in problem
        for problem in problems
    )
    assert any(problem.startswith(f"{DEAD}: the machine is up") for problem in problems)


@pytest.mark.parametrize("workers", [[None], [7], [{"a": 1}]])
def test_a_worker_that_is_not_text(workers: list[Any], project: Path) -> None:
    config = cluster(DEAD)
    config["provider"]["worker_ips"] = workers
    assert f"found {workers[0]!r}; correct it" in problems_of(config, project)[0]


def test_a_failing_check_is_reported_as_a_problem() -> None:
    def check() -> Iterator[str]:
        yield "first"
        raise KeyError("user\nand more")

    assert collect("auth", check) == ["first", unexpected("auth", KeyError("user\nand more"))]
    assert collect("auth", check, lambda error: f"no {type(error).__name__}") == ["first", "no KeyError"]
    assert unexpected("auth", ValueError("user\nmore")).startswith("auth: cannot be checked (ValueError: user); ")


@pytest.mark.parametrize(("how", "message"), BAD_KEYS)
def test_an_unusable_key_is_reported_once(how: str, message: str, project: Path) -> None:
    damage_key(project / "key", how, make_key)
    key, *machines = problems_of(cluster(DEAD, "127.0.0.79"), project)
    assert re.search(f"^auth.ssh_private_key: {project}/{message}", key)
    assert len(machines) == 2
    assert all("no ssh server" in problem for problem in machines)


def test_paths_of_unknown_users(project: Path) -> None:
    config = cluster(DEAD, ssh_private_key="~nosuchuser/key")
    config["file_mounts"] |= {"~/x": "~nosuchuser/x", "~/y": "/no/such", 3: "constraints.txt"}
    problems = "\n".join(problems_of(config, project))
    for message in (
        "auth.ssh_private_key: ~nosuchuser/key names an unknown user; correct the path",
        "file_mounts.~/x: ~nosuchuser/x names an unknown user; correct the path",
        "file_mounts.~/y: no /no/such on this machine; correct the path, or remove the line",
        "file_mounts.3: expected a remote and a local path, found 3: 'constraints.txt'; correct it",
        f"{DEAD}: the machine is up",
    ):
        assert message in problems


def test_a_token_or_pins_that_cannot_be_read(project: Path) -> None:
    token = project / ".ray" / "auth_token"
    token.write_bytes(b"\xff\xfe")
    (project / "constraints.txt").unlink()
    (project / "constraints.txt").mkdir()
    problems = problems_of(cluster(DEAD), project)
    assert problems[0].startswith(f"{token}: cannot be read as a token ('utf-8' codec can't decode")
    assert problems[1].startswith("constraints.txt: cannot be read ([Errno 21] Is a directory")
    assert len(problems) == 3
    token.write_text("0123 4567\n")
    assert problems_of(cluster(DEAD), project)[0].startswith(f"{token}: expected one word, found 2; move it away and")
    token.unlink()
    token.mkdir()
    assert problems_of(cluster(DEAD), project)[0].startswith(f"{token}: cannot be read as a token ([Errno 21]")


def test_a_symlink_to_a_file_is_refused_and_one_to_a_folder_is_not(project: Path) -> None:
    for name in (".ray/auth_token", "constraints.txt"):
        (project / name).rename(project / "real")
        (project / name).symlink_to(project / "real")
        link, machine = problems_of(cluster(DEAD), project)
        assert f"{name} is a symlink, which would be copied as a broken symlink; set the path of the file" in link
        assert link.endswith(f" itself: {project}/real")
        (project / "real").rename(project / name)
    (project / "folder").mkdir()
    (project / "link").symlink_to("folder")
    config = cluster(DEAD)
    config["file_mounts"]["~/p/folder"] = "link"
    (machine,) = problems_of(config, project)
    assert machine.startswith(DEAD)


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (
            f"ray == {RAY}\n",
            f"constraints.txt: setup needs the exact line ray=={RAY}, found 'ray == {RAY}'; correct it",
        ),
        ("torch==2.0\n", f"constraints.txt: expected a line ray=={RAY}, found none, so machines may install any Ray"),
    ],
)
def test_pins_that_setup_does_not_find(pins: str, message: str, project: Path) -> None:
    (project / "constraints.txt").write_text(pins)
    assert problems_of(cluster(DEAD), project)[0].startswith(message)


def test_no_aws_credentials(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert problems_of(aws_cluster(), project) == [
        "no AWS credentials found; run `aws configure` or `aws sso login`, or set AWS_PROFILE"
    ]
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    (problem,) = problems_of(aws_cluster(), project)
    assert "nobody" in problem
    assert "AWS_PROFILE" in problem


def test_no_region_and_no_response(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems_of(aws_cluster(region=""), project)[0].startswith(
        "provider.region: expected a region such as us-east-1"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    (problem,) = problems_of(aws_cluster(), project)
    assert problem.startswith("AWS is unreachable (Could not connect to the endpoint URL")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("credential_process = /no/such/program", r"FileNotFoundError: .*'/no/such/program'"),
        ("credential_process = echo rubbish", "JSONDecodeError: Expecting value"),
        ("endpoint_url = nonsense\naws_access_key_id = a\naws_secret_access_key = b", "ValueError: Invalid endpoint"),
        ("endpoint_url = URL\naws_access_key_id = a\naws_secret_access_key = b", "the response is not from AWS"),
    ],
)
def test_unusable_aws_settings(settings: str, message: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with http.server.HTTPServer(("127.0.0.1", 0), LoginPage) as portal:
        threading.Thread(target=portal.serve_forever, daemon=True).start()
        (project / ".aws").mkdir()
        url = f"http://127.0.0.1:{portal.server_port}"
        (project / ".aws" / "config").write_text(f"[default]\n{settings.replace('URL', url)}\n")
        config = aws_cluster()
        config["file_mounts"]["~/x"] = "absent"
        mount, account = problems_of(config, project)
        portal.shutdown()
    assert mount.startswith("file_mounts.~/x: no absent")
    assert re.match(rf"(AWS is unreachable \()?{message}", account)
    assert "rubbish" not in account


class LoginPage(http.server.BaseHTTPRequestHandler):
    """The response of a hotel's network to every request."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>log in</html>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.slow
def test_aws_that_does_not_respond(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unresponsive:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unresponsive.getsockname()[1]}")
        start = time.monotonic()
        (problem,) = problems_of(aws_cluster(), project)
    assert problem.startswith("AWS is unreachable (Read timeout on endpoint URL")
    assert time.monotonic() - start < 200, "boto3 by default retries for five minutes"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ExpiredToken", "have expired (ExpiredToken); log in again"),
        ("InvalidClientTokenId", "AWS rejects the credentials (InvalidClientTokenId); run `aws configure`"),
        ("UnauthorizedOperation", "AWS denies DescribeInstances (UnauthorizedOperation: no); ask the account's"),
    ],
)
def test_refusals_of_aws_are_explained(code: str, message: str) -> None:
    assert message in aws._refusal({"Code": code, "Message": "no"}, "DescribeInstances")


def test_a_quota_too_small_for_one_worker_is_reported() -> None:
    config = read_cluster(ROOT / "cluster.yaml")
    assert list(aws._quota_problems(config, 4.0, "eu-west-1")) == []
    (problem,) = aws._quota_problems(config, 0.0, "eu-west-1")
    assert "one worker needs 4" in problem
    assert problem.endswith("--region eu-west-1 --service-code ec2 --quota-code L-3819A6DF --desired-value 16")


@pytest.mark.slow
def test_an_account_before_and_after_its_stack(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = AwsDouble(project)
    try:
        double.use(monkeypatch, project)
        absent = problems_of(aws_cluster(), project)
        assert [problem.split(";")[0] for problem in absent] == [
            f"the account has no launch template leukemia-{name} in us-east-1" for name in ("head", "worker")
        ]
        assert all(problem.endswith(deploy_command("us-east-1")) for problem in absent)

        double.deploy()
        assert problems_of(aws_cluster(), project) == []

        config = aws_cluster()
        del config["available_node_types"]["worker"]["node_config"]["LaunchTemplate"]
        config["auth"]["ssh_private_key"] = "~/key"
        problems = problems_of(config, project)
        assert problems[0].startswith("available_node_types.worker.node_config.LaunchTemplate: expected a name from")
        assert problems[1].startswith(
            "auth.ssh_private_key is set, available_node_types.head.node_config.KeyName is not"
        )

        ec2 = boto3.client("ec2")
        (group,) = [g for g in ec2.describe_security_groups()["SecurityGroups"] if "SshGroup" in g["GroupName"]]
        ec2.authorize_security_group_ingress(
            GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
        )
        (world,) = problems_of(aws_cluster(), project)
        expected = f"security group {group['GroupId']} allows access from 0.0.0.0/0 (ports: 22 to 22)"
        assert world.startswith(expected)
    finally:
        double.server.stop()


@pytest.fixture
def account(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account with the stack of cluster.account.yaml; yields an EC2 client."""
    double = AwsDouble(project)
    try:
        double.use(monkeypatch, project)
        double.deploy()
        yield boto3.client("ec2")
    finally:
        double.server.stop()


@pytest.mark.slow
def test_settings_merged_over_launch_templates(account: Any, project: Path) -> None:
    (vpc,) = account.describe_vpcs()["Vpcs"]
    opened = account.create_security_group(GroupName="open", Description="x", VpcId=vpc["VpcId"])["GroupId"]
    account.authorize_security_group_ingress(GroupId=opened, IpProtocol="-1", CidrIp="0.0.0.0/0")
    (template,) = account.describe_launch_templates(LaunchTemplateNames=["leukemia-worker"])["LaunchTemplates"]
    data = account.describe_launch_template_versions(LaunchTemplateName="leukemia-worker", Versions=["$Latest"])[
        "LaunchTemplateVersions"
    ][0]["LaunchTemplateData"]
    by_id = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}
    field = "available_node_types.worker.node_config"
    for settings, message in (
        ({}, None),
        ({"LaunchTemplate": by_id}, None),
        ({"LaunchTemplate": by_id | {"Version": 1}}, None),
        ({"LaunchTemplate": by_id | {"Version": "9"}}, f"launch template {by_id['LaunchTemplateId']} has no version 9"),
        (
            {"LaunchTemplate": "leukemia-worker"},
            f"{field}.LaunchTemplate: expected {{LaunchTemplateName: NAME}} with a name",
        ),
        ({"LaunchTemplate": None}, f"{field}.LaunchTemplate: expected .*found None; correct it"),
        ({"LaunchTemplate": {"LaunchTemplateName": 5}}, f"{field}.LaunchTemplate: expected .*found .*5"),
        ({"LaunchTemplate": {"LaunchTemplateName": ""}}, f"{field}.LaunchTemplate: expected .*found .*''"),
        (
            {"LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0"}},
            "the account has no launch template lt-0123",
        ),
        ({"SecurityGroupIds": [opened]}, rf"security group {opened} allows access from 0\.0\.0\.0/0 \(ports: all\)"),
        ({"NetworkInterfaces": [{"Groups": [opened]}]}, f"security group {opened} allows access from 0"),
        (
            {"SecurityGroupIds": ["sg-00000000"]},
            r"the account has no security group sg-00000000 \(worker\) in us-east-1",
        ),
        ({"InstanceType": "g99.huge"}, r"available_node_types: us-east-1 has no machines of type g99.huge \(worker\)"),
        ({"InstanceType": 5}, f"{field}.InstanceType: expected a type such as g6.xlarge, found 5"),
        ({"InstanceType": None}, f"{field}.InstanceType: expected a type such as g6.xlarge, found None"),
        ({"SecurityGroupIds": opened}, f"{field}.SecurityGroupIds: expected .*, found '{opened}'; correct it"),
        (
            {"InstanceMarketOptions": "spot"},
            f"{field}.InstanceMarketOptions: expected {{MarketType: spot}}, found 'spot'",
        ),
    ):
        config = aws_cluster()
        config["available_node_types"]["worker"]["node_config"] |= settings
        problems = problems_of(config, project)
        if message is None:
            assert problems == [], settings
        else:
            assert len(problems) == 1, (settings, problems)
            assert re.match(message.replace("{", r"\{").replace("}", r"\}"), problems[0])

    # A cluster file may contain the template's settings itself.
    config = aws_cluster()
    del config["available_node_types"]["worker"]["node_config"]["LaunchTemplate"]
    config["available_node_types"]["worker"]["node_config"] |= data
    assert problems_of(config, project) == []

    # One problem does not hide the others.
    config = aws_cluster()
    config["available_node_types"]["head"]["node_config"]["LaunchTemplate"] = None
    config["available_node_types"]["worker"]["node_config"] |= {
        "SecurityGroupIds": [opened],
        "InstanceType": "g99.huge",
    }
    assert [problem.split()[0] for problem in problems_of(config, project)] == [
        "available_node_types.head.node_config.LaunchTemplate:",
        "available_node_types:",
        "security",
    ]
