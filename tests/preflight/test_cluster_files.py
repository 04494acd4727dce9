"""cluster.yaml and cluster.account.yaml: documented properties, Ray's schema, and their use by Ray's AWS provider."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from cfnlint.api import lint
from helpers.aws_double import AwsDouble, inbound_rules, role_names
from helpers.needs import requires
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("cluster.yaml", "cluster.account.yaml")}
CLUSTER: dict[str, Any] = yaml.safe_load(TEXTS["cluster.yaml"])
HEAD, WORKER = (CLUSTER["available_node_types"][name] for name in ("head", "worker"))
START = [*CLUSTER["head_start_ray_commands"], *CLUSTER["worker_start_ray_commands"]]

SECRET = re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN|(?i:password|secret_access_key|api_key|RAY_AUTH_TOKEN)\s*[:=]\s*\S")


class CloudFormation(yaml.SafeLoader):
    """Reads ``!Ref x`` and the like as ``{"!Ref": x}``."""


def _tagged(loader: CloudFormation, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {f"!{suffix}": loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {f"!{suffix}": loader.construct_sequence(node, deep=True)}


CloudFormation.add_multi_constructor("!", _tagged)
STACK: dict[str, Any] = yaml.load(TEXTS["cluster.account.yaml"], Loader=CloudFormation)
RESOURCES = STACK["Resources"]


def statements(role: str) -> list[dict[str, Any]]:
    return [
        statement
        for policy in RESOURCES[role]["Properties"].get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsDouble]:
    aws = AwsDouble(tmp_path_factory.mktemp("aws"))
    yield aws
    aws.server.stop()


def test_ray_accepts_the_file() -> None:
    validate_config(prepare_config(yaml.safe_load(TEXTS["cluster.yaml"])))


def test_the_files_contain_no_secrets_and_no_account_ids() -> None:
    for text in TEXTS.values():
        assert not SECRET.search(text)
        assert not re.search(r"\b\d{12}\b|\b(ami|sg|subnet)-[0-9a-f]{8}", text)
    assert SECRET.search("WANDB_API_KEY=0123")


def test_the_head_is_on_demand_and_trains_nothing() -> None:
    assert CLUSTER["head_node_type"] == "head"
    assert "InstanceMarketOptions" not in HEAD["node_config"]
    assert (HEAD["resources"], HEAD["max_workers"]) == ({"CPU": 0}, 0)
    assert not HEAD["node_config"]["InstanceType"].startswith(("g", "p"))


def test_workers_are_spot_limited_in_number_and_terminated_when_idle() -> None:
    assert WORKER["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert WORKER["resources"]["GPU"] == 1
    assert WORKER["min_workers"] == 0 < WORKER["max_workers"] <= CLUSTER["max_workers"]
    assert 0 < CLUSTER["idle_timeout_minutes"] <= 10
    assert CLUSTER["provider"]["cache_stopped_nodes"] is False


def test_image_role_and_group_come_only_from_the_launch_templates() -> None:
    made = {
        resource["Properties"]["LaunchTemplateName"]: resource["Properties"]["LaunchTemplateData"]
        for resource in RESOURCES.values()
        if resource["Type"] == "AWS::EC2::LaunchTemplate"
    }
    for node_type in (HEAD, WORKER):
        machine = node_type["node_config"]
        assert machine["LaunchTemplate"].pop("Version", "$Latest") == "$Latest"
        data = made[machine["LaunchTemplate"]["LaunchTemplateName"]]
        assert set(data) == {"ImageId", "IamInstanceProfile", "SecurityGroupIds"}
        assert not set(data) & set(machine)
    assert "security_group" not in CLUSTER["provider"]


def test_disks_are_encrypted_and_deleted_with_their_machine_and_metadata_need_a_session() -> None:
    for node_type in (HEAD, WORKER):
        (disk,) = node_type["node_config"]["BlockDeviceMappings"]
        assert disk["Ebs"]["Encrypted"] is disk["Ebs"]["DeleteOnTermination"] is True
        assert node_type["node_config"]["MetadataOptions"]["HttpTokens"] == "required"


def test_every_start_ends_the_old_ray_and_requires_the_token() -> None:
    for commands in (CLUSTER["head_start_ray_commands"], CLUSTER["worker_start_ray_commands"]):
        assert commands[0] == "ray stop"
        assert len(commands) == 2
        assert "RAY_AUTH_MODE=token ray start" in commands[1]
    assert CLUSTER["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert all(start.count("ray start") <= 1 for start in START)


def test_the_dashboard_listens_on_loopback_only() -> None:
    hosts = re.findall(r"--dashboard-host=(\S+)", TEXTS["cluster.yaml"])
    assert hosts == ["127.0.0.1"]


def test_the_images_fit_in_the_object_store() -> None:
    images = 10_661 * 384 * 384 * 3
    sizes = [int(size) for start in START for size in re.findall(r"--object-store-memory=(\d+)", start)]
    assert len(sizes) == 2
    assert all(images * 1.2 < size < 8 * 2**30 for size in sizes), "at most /dev/shm, half of 16 GiB"


def test_the_whole_project_is_copied_so_that_results_record_their_commit() -> None:
    if not (ROOT / ".git").is_dir():
        pytest.skip("no checkout")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()} | {".git"}
    mounts = CLUSTER["file_mounts"]
    assert top <= set(mounts.values())
    for remote, local in mounts.items():
        assert remote in (f"~/leukemia-search/{local}", "~/.ray/auth_token")
    assert not {"runs", ".venv", "."} & set(mounts.values())


SETUP = [*CLUSTER["setup_commands"], *CLUSTER["worker_setup_commands"]]


@pytest.mark.slow
def test_setup_is_valid_bash() -> None:
    requires("bash")
    assert all(subprocess.run(["bash", "-n", "-c", command]).returncode == 0 for command in SETUP)


def test_setup_installs_with_constraints() -> None:
    for command in SETUP:
        assert "!" not in command, "Ray's shells are interactive: ! means history expansion"
        for installs in re.findall(r"(?:uv )?pip install[^&|]*", command):
            assert "--constraint constraints.txt" in installs or "constraints.txt)" in installs


@pytest.mark.slow
@pytest.mark.parametrize("pinned", ["2.60.0", "2.1.0"])
def test_another_ray_version_on_a_machine_ends_its_setup(pinned: str, tmp_path: Path) -> None:
    requires("bash", "hostname", "sed")
    (check,) = [command for command in CLUSTER["setup_commands"] if "ray.__version__" in command]
    project = tmp_path / "leukemia-search"
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (project / ".venv" / "bin" / "python").chmod(0o755)
    (project / "constraints.txt").write_text(f"numpy==2.4.6\nray=={pinned}\n")
    ended = subprocess.run(
        ["bash", "-c", check], env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    if pinned == "2.60.0":
        assert (ended.returncode, ended.stderr) == (0, "")
    else:
        assert ended.returncode != 0
        assert re.search(r"error: Ray 2.60.0 on \S+, constraints.txt asks for 2.1.0; rm -r", ended.stderr)


def test_the_account_is_closed_except_for_ssh_from_one_address() -> None:
    assert not re.search(r"0\.0\.0\.0/0|::/0", TEXTS["cluster.yaml"] + TEXTS["cluster.account.yaml"])
    inbound = RESOURCES["SshGroup"]["Properties"]["SecurityGroupIngress"]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) for rule in inbound] == [
        ("tcp", 22, 22, {"!Ref": "SshFrom"})
    ]
    assert "SecurityGroupIngress" not in RESOURCES["ClusterGroup"]["Properties"]
    among = RESOURCES["AmongThemselves"]["Properties"]
    assert among["GroupId"] == among["SourceSecurityGroupId"] == {"!GetAtt": "ClusterGroup.GroupId"}
    data = {name: RESOURCES[name]["Properties"]["LaunchTemplateData"] for name in ("HeadTemplate", "WorkerTemplate")}
    assert {"!GetAtt": "SshGroup.GroupId"} in data["HeadTemplate"]["SecurityGroupIds"]
    assert data["WorkerTemplate"]["SecurityGroupIds"] == [{"!GetAtt": "ClusterGroup.GroupId"}]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("203.0.113.7/32", True), ("203.0.113.0/24", True), ("0.0.0.0/0", False), ("10.0.0.0/8", False), ("me", False)],
)
def test_ssh_from_everywhere_is_refused(address: str, allowed: bool) -> None:
    assert bool(re.fullmatch(STACK["Parameters"]["SshFrom"]["AllowedPattern"], address)) is allowed


def test_the_bucket_is_private_and_encrypted() -> None:
    bucket = RESOURCES["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]


def test_roles_may_access_only_the_bucket_and_the_clusters_machines() -> None:
    for statement in RESOURCES["BucketAccess"]["Properties"]["PolicyDocument"]["Statement"]:
        assert statement["Resource"] in ({"!GetAtt": "Bucket.Arn"}, {"!Sub": "${Bucket.Arn}/*"})
        assert not any("*" in action for action in statement["Action"])
    for role in ("WorkerRole", "HeadRole"):
        assert RESOURCES[role]["Properties"]["ManagedPolicyArns"] == [{"!Ref": "BucketAccess"}]
    assert statements("WorkerRole") == []
    for statement in statements("HeadRole"):
        assert "*" not in str(statement["Action"])
        if statement["Resource"] == "*":
            assert all(action.startswith("ec2:Describe") for action in statement["Action"])
    (given,) = [statement for statement in statements("HeadRole") if statement["Action"] == "iam:PassRole"]
    assert given["Resource"] == {"!GetAtt": "WorkerRole.Arn"}
    tags = {"aws:RequestTag/ray-cluster-name", "aws:ResourceTag/ray-cluster-name"}
    names = [
        value
        for statement in statements("HeadRole")
        for key, value in statement.get("Condition", {}).get("StringEquals", {}).items()
        if key in tags
    ]
    assert names == [CLUSTER["cluster_name"]] * 3


@pytest.mark.slow
def test_the_template_is_valid_cloudformation() -> None:
    assert [str(match) for match in lint(TEXTS["cluster.account.yaml"])] == []


@pytest.mark.slow
def test_ray_uses_the_resources_of_the_account_and_creates_none(
    double: AwsDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    double.use(monkeypatch, tmp_path)
    assert double.deploy()["Storage"].startswith("s3://leukemia-")
    rules, roles = inbound_rules(), role_names()
    config = AWSNodeProvider.bootstrap_config(prepare_config(yaml.safe_load(TEXTS["cluster.yaml"])))
    assert (tmp_path / ".ssh" / "leukemia.pem").stat().st_mode & 0o777 == 0o600

    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name in ("head", "worker"):
        tags = {"ray-node-type": name, "ray-node-name": name, "ray-launch-config": "0", "ray-user-node-type": name}
        provider.create_node(config["available_node_types"][name]["node_config"], tags, 1)
    assert (inbound_rules(), role_names()) == (rules, roles)

    started = [
        machine
        for reservation in boto3.client("ec2").describe_instances()["Reservations"]
        for machine in reservation["Instances"]
    ]
    machines = {tag["Value"]: machine for machine in started for tag in machine["Tags"] if tag["Key"] == "Name"}
    assert machines["worker"]["InstanceLifecycle"] == "spot"
    assert "InstanceLifecycle" not in machines["head"]
    for name, groups in {"head": {"ClusterGroup", "SshGroup"}, "worker": {"ClusterGroup"}}.items():
        machine = machines[name]
        assert {group["GroupName"].split("-")[1] for group in machine["SecurityGroups"]} == groups
        assert f"{name.title()}Profile" in machine["IamInstanceProfile"]["Arn"]
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
        assert {"Key": "ray-cluster-name", "Value": "leukemia"} in machine["Tags"]
