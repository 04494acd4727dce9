"""The AWS account that ``cluster.yaml`` is for: whether it has what ``ray up`` needs (the room of boto3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leukemia.base.errors import first_line
from search.preflight.machines import Machines
from search.preflight.problems import gathered

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
REFUSED = ("AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException")

SPOT_QUOTA = "L-3819A6DF"
"""Service Quotas' code of "All G and VT Spot Instance Requests", in virtual CPUs; 0 in a new account."""

INSTALL = "run `python -m pip install -c constraints.txt -e '.[aws]'`"


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

    # Where nothing answers, 18 s: Ray itself would take minutes.
    patience = Config(connect_timeout=4, read_timeout=8, retries={"total_max_attempts": 2, "mode": "standard"})
    try:
        session = boto3.Session(region_name=region)
        if session.get_credentials() is None:
            return ["no AWS credentials here; run `aws configure` or `aws sso login`, or set AWS_PROFILE"], []
        account = _account(session.client("sts", config=patience))
        ec2, quotas = (session.client(service, config=patience) for service in ("ec2", "service-quotas"))
    except Exception as error:
        # Whatever stands in the user's settings is raised from here, in many types.
        return [_said(error) or _no_answer(f"{type(error).__name__}: {first_line(error)}")], []
    if account is None:
        return ["what answers is not AWS, as of a network that asks for a login in between; look at the network"], []
    machines = Machines(ec2, config, region)
    problems = [
        words
        for look in (machines.template_problems, machines.type_problems, machines.group_problems)
        for words in gathered("available_node_types", look, _said)
    ]
    problems += gathered("auth", lambda: _key_problems(config, machines))
    try:
        quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=SPOT_QUOTA)["Quota"]["Value"]
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        return problems, [f"account {account}, region {region}; its spot quota cannot be read ({said})"]
    problems += gathered("available_node_types", lambda: _quota_problems(config, quota, region))
    return problems, [f"account {account}, region {region}; {quota:g} CPUs of spot machines with GPUs at once"]


def _account(sts: Any) -> str | None:
    """The account's number; None where what answers does so in another language than AWS."""
    try:
        number: str = sts.get_caller_identity()["Account"]
    except KeyError:
        return None
    return number


def _said(error: Exception) -> str | None:
    """Words for what AWS or its client says; None for any other error."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return _refusal(error.response["Error"], error.operation_name)
    return _no_answer(first_line(error)) if isinstance(error, BotoCoreError) else None


def _no_answer(said: str) -> str:
    return (
        f"AWS cannot be asked ({said}); look at network, ~/.aws/config, AWS_PROFILE, AWS_ENDPOINT_URL, provider.region"
    )


def _refusal(error: dict[str, str], operation: str) -> str:
    code = error.get("Code", "no code")
    if code in EXPIRED:
        return f"the AWS credentials have expired ({code}); log in again, for example with `aws sso login`"
    if code in REFUSED:
        return f"AWS does not know the credentials ({code}); run `aws configure`, or set AWS_PROFILE to another profile"
    return f"AWS refuses {operation} ({code}: {error.get('Message', '')}); ask whoever runs the account for that right"


def _key_problems(config: dict[str, Any], machines: Machines) -> Iterator[str]:
    if "ssh_private_key" not in config.get("auth", {}):
        return  # Ray makes a pair.
    for name, machine in machines.asked.items():
        if "KeyName" not in machine:
            yield (
                f"auth.ssh_private_key is given, available_node_types.{name}.node_config.KeyName is not; name the key "
                "pair there, or leave both out and Ray makes one"
            )


def _quota_problems(config: dict[str, Any], quota: float, region: str) -> Iterator[str]:
    for name, node_type in config["available_node_types"].items():
        machine = node_type.get("node_config") or {}
        market = machine.get("InstanceMarketOptions", {})
        if not isinstance(market, dict):
            continue  # Said where machines are looked at.
        cpus = (node_type.get("resources") or {}).get("CPU", 1)
        kind = str(machine.get("InstanceType", ""))
        if market.get("MarketType") == "spot" and kind.startswith(("g", "vt")) and quota < cpus:
            yield (
                f"the account may have {quota:g} CPUs of spot machines with GPUs at once, one {name} has {cpus}; "
                f"ask for more: aws service-quotas request-service-quota-increase --region {region} --service-code ec2 "
                f"--quota-code {SPOT_QUOTA} --desired-value {cpus * node_type.get('max_workers', 1)}"
            )
