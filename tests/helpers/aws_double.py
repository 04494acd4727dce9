"""AWS on this machine: moto's server, used over HTTP by boto3 and by Ray."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from ray.autoscaler._private.aws import config as ray_aws
from ray.autoscaler._private.aws import utils as ray_aws_utils

TEMPLATE = Path(__file__).parents[2] / "cluster.account.yaml"

REGION = "us-east-1"
IMAGE = "ami-1234abcd"


class AwsDouble:
    """A server with AWS's API; ``use`` points boto3 in this process to it."""

    def __init__(self, folder: Path) -> None:
        # Moto's own list of machine images takes half a minute to load.
        self.images = folder / "images.json"
        image = {"ami_id": IMAGE, "name": "ubuntu", "owner_id": "1", "description": "Ubuntu"}
        self.images.write_text(json.dumps([image]))
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        # All Moto servers in one process share an account: reset what an earlier test left.
        host, port = self.server.get_host_and_port()
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()

    def use(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        host, port = self.server.get_host_and_port()
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {
            "HOME": str(home),
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(home / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "no-credentials"),
            "MOTO_AMIS_PATH": str(self.images),
        }.items():
            monkeypatch.setenv(name, value)
        # Ray caches its clients for the lifetime of a process.
        for cached in (ray_aws_utils.resource_cache, ray_aws_utils.client_cache, ray_aws._get_subnets_or_die):
            cached.cache_clear()
        # The first request loads moto's tables, which takes longer than the timeouts of the commands under test.
        inbound_rules()

    def deploy(self, ssh_from: str = "203.0.113.7/32") -> dict[str, str]:
        """Create the stack of ``cluster.account.yaml``; returns its outputs."""
        store = boto3.client("ssm")
        store.put_parameter(Name="/image", Value=IMAGE, Type="String", Overwrite=True)
        # Moto lacks the public parameters of Canonical and AWS, and looks up even defaults that are overridden.
        body = re.sub(r"\n +Default: /aws/service/.*", "", TEMPLATE.read_text(encoding="utf-8"))
        given = {"SshFrom": ssh_from, "HeadImage": "/image", "WorkerImage": "/image"}
        stacks = boto3.client("cloudformation")
        with pytest.warns(UserWarning, match="AWS::S3::BucketPolicy"):
            # Raised in the server's thread: moto does not support this one resource.
            stacks.create_stack(
                StackName="leukemia",
                TemplateBody=body,
                Capabilities=["CAPABILITY_IAM"],
                Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
            )
        (stack,) = stacks.describe_stacks(StackName="leukemia")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def inbound_rules() -> dict[str, Any]:
    """Inbound rules by name of the security group."""
    groups = boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    return {group["GroupName"]: group["IpPermissions"] for group in groups}


def role_names() -> list[str]:
    return sorted(role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"])
