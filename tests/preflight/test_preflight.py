"""``python -m search.preflight``: each mistake around ``ray up`` in a line that says what to do.

``ssh_double.py`` stands for ssh and its machines; ``test_preflight_ssh.py`` asks real ones.
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
from helpers.local_cluster import ALIVE, BAD_KEYS, DEAD, RAY, cluster, damage_key, looked_at, problems_of, settle
from helpers.ssh_double import SshDouble, answers, make_key
from ray.autoscaler._private.local.node_provider import ClusterState

from leukemia.base.errors import SUCCESS, USER_ERROR, UserError
from search.preflight import aws, login
from search.preflight.__main__ import main
from search.preflight.check import read_cluster
from search.preflight.machines import deploy_command
from search.preflight.problems import gathered, unforeseen

ROOT = Path(__file__).parents[2]

KNOWN = {"rsync": "yes", "tmux": "yes", "python": platform.python_version(), "venv": "yes", "ray": RAY}
"""What a machine answers on which all is well."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder and a home in which all is well."""
    settle(tmp_path, monkeypatch, make_key)
    return tmp_path


@pytest.fixture(autouse=True)
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SshDouble:
    return SshDouble(tmp_path / "tools", monkeypatch)


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
        ("provider: {region: x}\ncluster_name: a", "provider.type: expected aws or local, found none"),
        (
            "{cluster_name: a, file_mounts: {x: }, provider: {type: local, head_ip: b, worker_ips: []}}",
            "file_mounts.x: expected a path on this machine, found None; write one",
        ),
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
    with pytest.raises(UserError, match=message):
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
    assert main(["cluster.yaml"]) == USER_ERROR
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


def test_a_machine_that_can_be_used_is_ready(ssh: SshDouble, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ssh.machine(ALIVE, "welcome\r\n" + answers(**KNOWN) + "goodbye\r\n")
    (place / "cluster.yaml").write_text(yaml.safe_dump(cluster(ALIVE)))
    assert main(["cluster.yaml"]) == SUCCESS, capsys.readouterr().err
    first, last = capsys.readouterr().out.splitlines()
    assert (first, last) == (f"1 machine, the head is {ALIVE}", "ready: ray up cluster.yaml")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rsync": None}, "no rsync there, and Ray copies files with it; apt-get install rsync"),
        ({"python": None}, "no python3 there; Python 3.11 or newer is needed"),
        ({"python": "3.9.7"}, "Python 3.9.7 there, 3.11 or newer is needed"),
        ({"ray": "2.1.0"}, f"Ray 2.1.0 there, {RAY} here; make them one"),
        ({"ray": None}, None),
        ({"blocked": "yes"}, "~/leukemia-search is a file there, and the project needs a folder of that name"),
        ({"venv": None}, r"its python3 cannot make an environment \(venv, ensurepip\); apt-get install python3-venv"),
        ({"venv": None, "environment": "yes"}, None),
    ],
)
def test_what_a_machine_lacks_is_named(
    changed: dict[str, str | None], message: str | None, ssh: SshDouble, place: Path
) -> None:
    ssh.machine(ALIVE, answers(**{name: value for name, value in (KNOWN | changed).items() if value is not None}))
    config = cluster(ALIVE)
    config["file_mounts"]["~/leukemia-search/constraints.txt"] = "constraints.txt"
    config["setup_commands"] = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())["setup_commands"]
    told = problems_of(config, place)
    assert len(told) == (message is not None)
    assert all(re.match(f"{ALIVE}: {message}", words) for words in told)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"status": 255, "err": "lab@there: Permission denied (publickey)."},
            "refuses user USER with the key PLACE/key; correct auth, or let the key in: ssh-copy-id -i PLACE/key USER@",
        ),
        ({"status": 255, "err": "Connection reset"}, r"ssh as USER fails \(Connection reset\); try `ssh USER@"),
        (
            {"status": 3, "out": "goodbye\r\n"},
            r"the shell ended before it answered, with status 3 \(goodbye\); `ray up` needs bash there",
        ),
    ],
)
def test_a_login_that_fails_is_told_with_what_to_do(
    said: dict[str, Any], message: str, ssh: SshDouble, place: Path
) -> None:
    ssh.machine(ALIVE, **said)
    (problem,) = problems_of(cluster(ALIVE), place)
    words = message.replace("USER", getpass.getuser()).replace("PLACE", str(place))
    assert re.match(f"{ALIVE}: {words}", problem)


def test_a_login_that_does_not_end_is_left(ssh: SshDouble, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "LOGIN_SECONDS", 0.1)
    ssh.machine(ALIVE)
    ssh.install("ssh", "exec sleep 3600\n")
    (problem,) = problems_of(cluster(ALIVE), place)
    assert problem.startswith(f"{ALIVE}: ssh as {getpass.getuser()} did not end within 0.1 s; does ~/.bashrc wait")


def test_no_tmux_on_the_head_is_worth_knowing(ssh: SshDouble, place: Path) -> None:
    for host in (ALIVE, DEAD):
        ssh.machine(host, answers(**{name: value for name, value in KNOWN.items() if name != "tmux"}))
    problems, known = looked_at(cluster(ALIVE, DEAD), place)
    assert problems == []
    tmux = f"{ALIVE}: no tmux on the head, and `ray exec --tmux` needs it; apt-get install tmux there"
    assert known == [f"2 machines, the head is {ALIVE}", tmux]


def test_machines_of_different_pythons_are_named_together(ssh: SshDouble, place: Path) -> None:
    for host, python in ((ALIVE, "3.12.1"), (DEAD, "3.12.2")):
        ssh.machine(host, answers(**KNOWN | {"python": python}))
    (problem,) = problems_of(cluster(ALIVE, DEAD), place)
    assert f"found 3.12.1 on {ALIVE}, 3.12.2 on {DEAD}; make them alike" in problem


@pytest.mark.parametrize(
    ("said", "problem", "known"),
    [
        ({"out": answers(**KNOWN)}, "", ""),
        ({"status": 255, "err": "channel 0: open failed: connect failed"}, "the head does not reach it, either", ""),
        ({"status": 255, "err": "open failed: administratively prohibited"}, "", "the head lets nobody through"),
    ],
)
def test_a_worker_out_of_reach_is_asked_through_the_head(
    said: dict[str, Any], problem: str, known: str, ssh: SshDouble, place: Path
) -> None:
    ssh.machine(ALIVE, answers(**KNOWN))
    ssh.machine(DEAD, fault=OSError("no way there"), **said)
    told, more = looked_at(cluster(ALIVE, DEAD), place)
    found = (told, more[1:])
    for lines, words in zip(found, (problem, known), strict=True):
        assert len(lines) == bool(words)
        assert all(f"{DEAD}: port 22 cannot be reached (no way there)" in line and words in line for line in lines)


def test_the_head_is_asked_where_it_is_seen_from_here(ssh: SshDouble, place: Path) -> None:
    ssh.machine(ALIVE, answers(**KNOWN))
    config = cluster(DEAD)
    config["provider"]["external_head_ip"] = ALIVE
    assert problems_of(config, place) == []
    config["provider"] |= {"head_ip": ALIVE, "external_head_ip": DEAD}
    (problem,) = problems_of(config, place)
    assert problem.startswith(f"{DEAD}: the machine answers, but no ssh server")
    config["provider"]["use_internal_ips"] = True
    assert problems_of(config, place) == []


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (
            (DEAD, "127.0.0.79", "127.0.0.79"),
            "provider.worker_ips: 127.0.0.79 stands there 2 times; leave it there once",
        ),
        (
            (DEAD, DEAD),
            f"provider.worker_ips: {DEAD} is provider.head_ip, too, and the head trains anyway; take it out of "
            "provider.worker_ips",
        ),
    ],
)
def test_a_machine_that_is_named_twice(hosts: tuple[str, ...], message: str, place: Path) -> None:
    config = cluster(*hosts)
    told = problems_of(config, place)
    assert told[0] == message
    assert len(told) == 1 + len(set(hosts)), "each machine is asked once"
    with pytest.raises(AssertionError):  # What Ray says of it.
        ClusterState(str(place / "lock"), str(place / "state"), config["provider"])


def test_a_machine_of_two_names(place: Path) -> None:
    told = problems_of(cluster("127.0.0.1", "localhost"), place)
    assert "127.0.0.1 and localhost are one machine, 127.0.0.1; name it once" in told


@pytest.mark.parametrize("auth", [None, {}, {"ssh_private_key": "~/key"}, {"ssh_user": "-oProxyCommand=touch made"}])
def test_a_user_is_asked_for(auth: dict[str, str] | None, place: Path) -> None:
    config = cluster(DEAD)
    del config["auth"]
    if auth is not None:
        config["auth"] = auth
    user, machine = problems_of(config, place)
    assert user.startswith("auth.ssh_user: expected the user who logs in to the machines, found ")
    assert machine.startswith(f"{DEAD}: the machine answers, but no ssh server")


@pytest.mark.parametrize("name", ["lab..x", "a" * 70, "-oProxyCommand=x", "two words", "::1", ""])
def test_what_is_no_machine_s_name_does_not_stop_the_others(name: str, place: Path) -> None:
    told = problems_of(cluster(DEAD, name), place)
    assert len(told) == 2
    assert any(
        "no machine of that name with an IPv4 address" in words or "expected an address" in words for words in told
    )
    assert any(words.startswith(f"{DEAD}: the machine answers") for words in told)


@pytest.mark.parametrize("workers", [[None], [7], [{"a": 1}]])
def test_a_worker_that_is_no_text(workers: list[Any], place: Path) -> None:
    config = cluster(DEAD)
    config["provider"]["worker_ips"] = workers
    assert f"found {workers[0]!r}; correct it" in problems_of(config, place)[0]


def test_a_look_that_trips_is_heard_and_the_next_ones_go_on() -> None:
    def look() -> Iterator[str]:
        yield "first"
        raise KeyError("user\nand more")

    assert gathered("auth", look) == ["first", unforeseen("auth", KeyError("user\nand more"))]
    assert gathered("auth", look, lambda error: f"no {type(error).__name__}") == ["first", "no KeyError"]
    assert unforeseen("auth", ValueError("user\nmore")).startswith("auth: cannot be looked at (ValueError: user); ")


@pytest.mark.parametrize(("how", "message"), BAD_KEYS)
def test_a_key_that_opens_nothing_is_said_once(how: str, message: str, place: Path) -> None:
    damage_key(place / "key", how, make_key)
    key, *machines = problems_of(cluster(DEAD, "127.0.0.79"), place)
    assert re.search(f"^auth.ssh_private_key: {place}/{message}", key)
    assert len(machines) == 2
    assert all("no ssh server" in words for words in machines)


def test_a_key_of_nobody_and_a_mount_of_nobody(place: Path) -> None:
    config = cluster(DEAD, ssh_private_key="~nosuchuser/key")
    config["file_mounts"] |= {"~/x": "~nosuchuser/x", "~/y": "/no/such", 3: "constraints.txt"}
    told = "\n".join(problems_of(config, place))
    for words in (
        "auth.ssh_private_key: ~nosuchuser/key is of a user who is not here; correct the path",
        "file_mounts.~/x: ~nosuchuser/x is of a user who is not here; correct the path",
        "file_mounts.~/y: no /no/such on this machine; correct the path, or take the line away",
        "file_mounts.3: expected a path there and one here, found 3: 'constraints.txt'; correct it",
        f"{DEAD}: the machine answers",
    ):
        assert words in told


def test_a_token_or_pins_that_cannot_be_read(place: Path) -> None:
    token = place / ".ray" / "auth_token"
    token.write_bytes(b"\xff\xfe")
    (place / "constraints.txt").unlink()
    (place / "constraints.txt").mkdir()
    told = problems_of(cluster(DEAD), place)
    assert told[0].startswith(f"{token}: cannot be read as a token ('utf-8' codec can't decode")
    assert told[1].startswith("constraints.txt: cannot be read ([Errno 21] Is a directory")
    assert len(told) == 3
    token.write_text("0123 4567\n")
    assert problems_of(cluster(DEAD), place)[0].startswith(f"{token}: expected one word, found 2; move it away and")
    token.unlink()
    token.mkdir()
    assert problems_of(cluster(DEAD), place)[0].startswith(f"{token}: cannot be read as a token ([Errno 21]")


def test_a_link_to_a_file_is_not_copied_as_one_and_a_link_to_a_folder_is(place: Path) -> None:
    for name in (".ray/auth_token", "constraints.txt"):
        (place / name).rename(place / "real")
        (place / name).symlink_to(place / "real")
        link, machine = problems_of(cluster(DEAD), place)
        assert f"{name} is a link, which is copied as a link that leads nowhere on the machines; name the file" in link
        assert link.endswith(f" itself: {place}/real")
        (place / "real").rename(place / name)
    (place / "folder").mkdir()
    (place / "link").symlink_to("folder")
    config = cluster(DEAD)
    config["file_mounts"]["~/p/folder"] = "link"
    (machine,) = problems_of(config, place)
    assert machine.startswith(DEAD)


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (
            f"ray == {RAY}\n",
            f"constraints.txt: set-up looks for the line ray=={RAY}, found 'ray == {RAY}'; write it so",
        ),
        ("torch==2.0\n", f"constraints.txt: expected a line ray=={RAY}, found none, so that machines get any Ray"),
    ],
)
def test_pins_that_set_up_does_not_find(pins: str, message: str, place: Path) -> None:
    (place / "constraints.txt").write_text(pins)
    assert problems_of(cluster(DEAD), place)[0].startswith(message)


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
    ("settings", "message"),
    [
        ("credential_process = /no/such/program", r"FileNotFoundError: .*'/no/such/program'"),
        ("credential_process = echo rubbish", "JSONDecodeError: Expecting value"),
        ("endpoint_url = nonsense\naws_access_key_id = a\naws_secret_access_key = b", "ValueError: Invalid endpoint"),
        ("endpoint_url = URL\naws_access_key_id = a\naws_secret_access_key = b", "what answers is not AWS"),
    ],
)
def test_settings_of_aws_that_lead_nowhere(
    settings: str, message: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with http.server.HTTPServer(("127.0.0.1", 0), LoginPage) as portal:
        threading.Thread(target=portal.serve_forever, daemon=True).start()
        (place / ".aws").mkdir()
        url = f"http://127.0.0.1:{portal.server_port}"
        (place / ".aws" / "config").write_text(f"[default]\n{settings.replace('URL', url)}\n")
        config = aws_cluster()
        config["file_mounts"]["~/x"] = "absent"
        mount, account = problems_of(config, place)
        portal.shutdown()
    assert mount.startswith("file_mounts.~/x: no absent")
    assert re.match(rf"(AWS cannot be asked \()?{message}", account)
    assert "rubbish" not in account


class LoginPage(http.server.BaseHTTPRequestHandler):
    """What a hotel's network answers to every question."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>log in</html>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.slow
def test_aws_that_does_not_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        (problem,) = problems_of(aws_cluster(), place)
    assert problem.startswith("AWS cannot be asked (Read timeout on endpoint URL")
    assert time.monotonic() - began < 200, "boto3 by itself asks for five minutes"


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
        assert all(words.endswith(deploy_command("us-east-1")) for words in absent)

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


@pytest.fixture
def account(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account with the stack of cluster.account.yaml; yields a client of EC2."""
    double = AwsDouble(place)
    try:
        double.settle(monkeypatch, place)
        double.deploy()
        yield boto3.client("ec2")
    finally:
        double.server.stop()


@pytest.mark.slow
def test_what_a_file_lays_over_its_launch_templates(account: Any, place: Path) -> None:
    (vpc,) = account.describe_vpcs()["Vpcs"]
    opened = account.create_security_group(GroupName="open", Description="x", VpcId=vpc["VpcId"])["GroupId"]
    account.authorize_security_group_ingress(GroupId=opened, IpProtocol="-1", CidrIp="0.0.0.0/0")
    (template,) = account.describe_launch_templates(LaunchTemplateNames=["leukemia-worker"])["LaunchTemplates"]
    data = account.describe_launch_template_versions(LaunchTemplateName="leukemia-worker", Versions=["$Latest"])[
        "LaunchTemplateVersions"
    ][0]["LaunchTemplateData"]
    by_id = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}
    field = "available_node_types.worker.node_config"
    for laid_over, message in (
        ({}, None),
        ({"LaunchTemplate": by_id}, None),
        ({"LaunchTemplate": by_id | {"Version": 1}}, None),
        ({"LaunchTemplate": by_id | {"Version": "9"}}, f"launch template {by_id['LaunchTemplateId']} has no version 9"),
        (
            {"LaunchTemplate": "leukemia-worker"},
            f"{field}.LaunchTemplate: expected {{LaunchTemplateName: NAME}} of one",
        ),
        ({"LaunchTemplate": None}, f"{field}.LaunchTemplate: expected .*found None; name it so"),
        ({"LaunchTemplate": {"LaunchTemplateName": 5}}, f"{field}.LaunchTemplate: expected .*found .*5"),
        ({"LaunchTemplate": {"LaunchTemplateName": ""}}, f"{field}.LaunchTemplate: expected .*found .*''"),
        (
            {"LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0"}},
            "the account has no launch template lt-0123",
        ),
        ({"SecurityGroupIds": [opened]}, rf"security group {opened} lets 0\.0\.0\.0/0 in \(ports: all\)"),
        ({"NetworkInterfaces": [{"Groups": [opened]}]}, f"security group {opened} lets 0"),
        (
            {"SecurityGroupIds": ["sg-00000000"]},
            r"the account has no security group sg-00000000 \(worker\) in us-east-1",
        ),
        ({"InstanceType": "g99.huge"}, r"available_node_types: us-east-1 has no machines of type g99.huge \(worker\)"),
        ({"InstanceType": 5}, f"{field}.InstanceType: expected a type such as g6.xlarge, found 5"),
        ({"InstanceType": None}, f"{field}.InstanceType: expected a type such as g6.xlarge, found None"),
        ({"SecurityGroupIds": opened}, f"{field}.SecurityGroupIds: expected .*, found '{opened}'; write it so"),
        (
            {"InstanceMarketOptions": "spot"},
            f"{field}.InstanceMarketOptions: expected {{MarketType: spot}}, found 'spot'",
        ),
    ):
        config = aws_cluster()
        config["available_node_types"]["worker"]["node_config"] |= laid_over
        told = problems_of(config, place)
        if message is None:
            assert told == [], laid_over
        else:
            assert len(told) == 1, (laid_over, told)
            assert re.match(message.replace("{", r"\{").replace("}", r"\}"), told[0])

    # What a template gives a file may give itself.
    config = aws_cluster()
    del config["available_node_types"]["worker"]["node_config"]["LaunchTemplate"]
    config["available_node_types"]["worker"]["node_config"] |= data
    assert problems_of(config, place) == []

    # One mistake does not hide the others.
    config = aws_cluster()
    config["available_node_types"]["head"]["node_config"]["LaunchTemplate"] = None
    config["available_node_types"]["worker"]["node_config"] |= {
        "SecurityGroupIds": [opened],
        "InstanceType": "g99.huge",
    }
    assert [words.split()[0] for words in problems_of(config, place)] == [
        "available_node_types.head.node_config.LaunchTemplate:",
        "available_node_types:",
        "security",
    ]
