"""Check that the AWS account of ``cluster.yaml`` has what ``ray up`` needs. The only module that imports boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leukemia.base.errors import first_line
from search.preflight.machines import Machines
from search.preflight.problems import collect

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
REFUSED = ("AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException")

SPOT_QUOTA = "L-3819A6DF"
"""Code of the service quota "All G and VT Spot Instance Requests", in vCPUs; 0 in a new account."""

INSTALL = "run `python -m pip install -c constraints.txt -e '.[aws]'`"


def check_account(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Problems and notes about the account, a line each.

    Args:
        config: a cluster file that is valid by Ray's schema, with provider ``aws``.
    """
    region = config["provider"].get("region")
    if not region:
        return [
            "provider.region: expected a region such as us-east-1, found none; set that of cluster.account.yaml"
        ], []
    try:
        import boto3
    except ModuleNotFoundError:
        return [f"boto3 is not installed, and Ray needs it for AWS; {INSTALL}"], []
    from botocore.config import Config

    # Without a response 18 s in total: Ray itself would take minutes.
    timeouts = Config(connect_timeout=4, read_timeout=8, retries={"total_max_attempts": 2, "mode": "standard"})
    try:
        session = boto3.Session(region_name=region)
        if session.get_credentials() is None:
            return ["no AWS credentials found; run `aws configure` or `aws sso login`, or set AWS_PROFILE"], []
        account = _account(session.client("sts", config=timeouts))
        ec2, quotas = (session.client(service, config=timeouts) for service in ("ec2", "service-quotas"))
    except Exception as error:
        # Errors in the user's settings are raised here, with many types.
        return [_describe(error) or _unreachable(f"{type(error).__name__}: {first_line(error)}")], []
    if account is None:
        return ["the response is not from AWS, as on a network with a login page; check the network"], []
    machines = Machines(ec2, config, region)
    problems = [
        problem
        for check in (machines.template_problems, machines.type_problems, machines.group_problems)
        for problem in collect("available_node_types", check, _describe)
    ]
    problems += collect("auth", lambda: _key_problems(config, machines))
    try:
        quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=SPOT_QUOTA)["Quota"]["Value"]
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        return problems, [f"account {account}, region {region}; its spot quota cannot be read ({reason})"]
    problems += collect("available_node_types", lambda: _quota_problems(config, quota, region))
    return problems, [f"account {account}, region {region}; a quota of {quota:g} CPUs for spot machines with GPUs"]


def _account(sts: Any) -> str | None:
    """The account's number; None if the response is not from AWS."""
    try:
        number: str = sts.get_caller_identity()["Account"]
    except KeyError:
        return None
    return number


def _describe(error: Exception) -> str | None:
    """A line for an error of AWS or its client; None for any other error."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return _refusal(error.response["Error"], error.operation_name)
    return _unreachable(first_line(error)) if isinstance(error, BotoCoreError) else None


def _unreachable(reason: str) -> str:
    return (
        f"AWS is unreachable ({reason}); check network, ~/.aws/config, AWS_PROFILE, AWS_ENDPOINT_URL, provider.region"
    )


def _refusal(error: dict[str, str], operation: str) -> str:
    code = error.get("Code", "no code")
    if code in EXPIRED:
        return f"the AWS credentials have expired ({code}); log in again, for example with `aws sso login`"
    if code in REFUSED:
        return f"AWS rejects the credentials ({code}); run `aws configure`, or set AWS_PROFILE to another profile"
    message = error.get("Message", "")
    return f"AWS denies {operation} ({code}: {message}); ask the account's administrator for that permission"


def _key_problems(config: dict[str, Any], machines: Machines) -> Iterator[str]:
    if "ssh_private_key" not in config.get("auth", {}):
        return  # Ray creates a key pair.
    for name, machine in machines.asked.items():
        if "KeyName" not in machine:
            yield (
                f"auth.ssh_private_key is set, available_node_types.{name}.node_config.KeyName is not; set it to the "
                "name of the key pair, or leave out both and Ray creates one"
            )


def _quota_problems(config: dict[str, Any], quota: float, region: str) -> Iterator[str]:
    for name, node_type in config["available_node_types"].items():
        machine = node_type.get("node_config") or {}
        market = machine.get("InstanceMarketOptions", {})
        if not isinstance(market, dict):
            continue  # Reported by ``Machines``.
        cpus = (node_type.get("resources") or {}).get("CPU", 1)
        kind = str(machine.get("InstanceType", ""))
        if market.get("MarketType") == "spot" and kind.startswith(("g", "vt")) and quota < cpus:
            yield (
                f"the account has a quota of {quota:g} CPUs for spot machines with GPUs, one {name} needs {cpus}; "
                f"request more: aws service-quotas request-service-quota-increase --region {region} --service-code ec2 "
                f"--quota-code {SPOT_QUOTA} --desired-value {cpus * node_type.get('max_workers', 1)}"
            )
