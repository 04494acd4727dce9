"""The AWS account that ``cluster.yaml`` is for: whether it has what ``ray up`` needs (the room of boto3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leukemia.mistakes import first_line

WORLD = ("0.0.0.0/0", "::/0")

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
REFUSED = ("AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException")

SPOT_QUOTA = "L-3819A6DF"
"""Service Quotas' code of "All G and VT Spot Instance Requests", in virtual CPUs; 0 in a new account."""

INSTALL = "run `python -m pip install -c constraints.txt -e '.[aws]'`"


def deploy_command(region: str) -> str:
    """What makes the account ready; ADDRESS stands for the user's own."""
    return (
        f"aws cloudformation deploy --region {region} --stack-name leukemia --template-file cluster.account.yaml "
        "--capabilities CAPABILITY_IAM --parameter-overrides SshFrom=ADDRESS/32"
    )


def account_findings(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong with the account, and what is worth knowing of it, a line each.

    Args:
        config: a cluster's file, valid by Ray's schema, of provider ``aws``.
    """
    region = config["provider"].get("region")
    if not region:
        return [
            "provider.region: expected a region such as us-east-1, found none; name that of cluster.account.yaml"
        ], []
    try:
        import boto3
    except ModuleNotFoundError:
        return [f"boto3 is not installed, and Ray asks AWS with it; {INSTALL}"], []
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    patience = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 2})
    try:
        session = boto3.Session(region_name=region)
        if session.get_credentials() is None:
            return ["no AWS credentials here; run `aws configure` or `aws sso login`, or set AWS_PROFILE"], []
        who = session.client("sts", config=patience).get_caller_identity()
        ec2 = session.client("ec2", config=patience)
        problems = [*_template_problems(ec2, config, region), *_key_problems(config)]
    except ClientError as error:
        return [_refusal(error.response["Error"], error.operation_name)], []
    except BotoCoreError as error:
        return [f"AWS cannot be asked ({first_line(error)}); look at network, AWS_PROFILE and provider.region"], []
    try:
        quota = session.client("service-quotas", config=patience).get_service_quota(
            ServiceCode="ec2", QuotaCode=SPOT_QUOTA
        )["Quota"]["Value"]
    except (BotoCoreError, ClientError) as error:
        return problems, [
            f"account {who['Account']}, region {region}; its spot quota cannot be read ({first_line(error)})"
        ]
    problems += _quota_problems(config, quota, region)
    return problems, [f"account {who['Account']}, region {region}; {quota:g} CPUs of spot machines with GPUs at once"]


def _refusal(error: dict[str, str], operation: str) -> str:
    code = error.get("Code", "no code")
    if code in EXPIRED:
        return f"the AWS credentials have expired ({code}); log in again, for example with `aws sso login`"
    if code in REFUSED:
        return f"AWS does not know the credentials ({code}); run `aws configure`, or set AWS_PROFILE to another profile"
    return f"AWS refuses {operation} ({code}: {error.get('Message', '')}); ask whoever runs the account for that right"


def _template_problems(ec2: Any, config: dict[str, Any], region: str) -> Iterator[str]:
    """What the launch templates lack: without them Ray makes a role with all of EC2, and opens ssh to the world."""
    from botocore.exceptions import ClientError

    groups: set[str] = set()
    for name, node_type in config["available_node_types"].items():
        template = node_type["node_config"].get("LaunchTemplate", {}).get("LaunchTemplateName")
        if template is None:
            yield (
                f"available_node_types.{name}.node_config.LaunchTemplate: expected the name of one of "
                "cluster.account.yaml's, found none; without it Ray opens ssh to the world"
            )
            continue
        try:
            found = ec2.describe_launch_template_versions(LaunchTemplateName=template, Versions=["$Latest"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidLaunchTemplateName.NotFoundException":
                raise
            yield f"the account has no launch template {template} in {region}; {deploy_command(region)}"
            continue
        data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        groups |= set(data.get("SecurityGroupIds", []))
        if "IamInstanceProfile" not in data or not data.get("SecurityGroupIds"):
            yield f"launch template {template} has no role or no security group; {deploy_command(region)}"
    if groups:
        yield from _group_problems(ec2, sorted(groups), region)


def _group_problems(ec2: Any, groups: list[str], region: str) -> Iterator[str]:
    found = ec2.describe_security_groups(Filters=[{"Name": "group-id", "Values": groups}])["SecurityGroups"]
    for absent in sorted(set(groups) - {group["GroupId"] for group in found}):
        yield f"security group {absent} of the launch templates is gone; {deploy_command(region)}"
    for group in found:
        for rule in group["IpPermissions"]:
            ranges = [found["CidrIp"] for found in rule.get("IpRanges", [])]
            ranges += [found["CidrIpv6"] for found in rule.get("Ipv6Ranges", [])]
            ports = f"{rule['FromPort']} to {rule['ToPort']}" if "FromPort" in rule else "all"
            for source in sorted(set(ranges) & set(WORLD)):
                yield (
                    f"security group {group['GroupId']} lets {source} in (ports: {ports}), which is everybody; "
                    "take that rule away"
                )


def _key_problems(config: dict[str, Any]) -> Iterator[str]:
    if "ssh_private_key" not in config.get("auth", {}):
        return  # Ray makes a pair.
    for name, node_type in config["available_node_types"].items():
        if "KeyName" not in node_type["node_config"]:
            yield (
                f"auth.ssh_private_key is given, available_node_types.{name}.node_config.KeyName is not; name the key "
                "pair there, or leave both out and Ray makes one"
            )


def _quota_problems(config: dict[str, Any], quota: float, region: str) -> Iterator[str]:
    for name, node_type in config["available_node_types"].items():
        machine = node_type["node_config"]
        spot = machine.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        cpus = node_type["resources"].get("CPU", 1)
        if spot and machine.get("InstanceType", "").startswith(("g", "vt")) and quota < cpus:
            yield (
                f"the account may have {quota:g} CPUs of spot machines with GPUs at once, one {name} has {cpus}; "
                f"ask for more: aws service-quotas request-service-quota-increase --region {region} --service-code ec2 "
                f"--quota-code {SPOT_QUOTA} --desired-value {cpus * node_type.get('max_workers', 1)}"
            )
