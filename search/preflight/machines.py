"""The machines that ``cluster.yaml`` requests from AWS: their launch templates, types and network access."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WORLD = ("0.0.0.0/0", "::/0")

SHAPES = (
    ("InstanceMarketOptions", dict, "{MarketType: spot}"),
    ("NetworkInterfaces", list, "a list"),
    ("SecurityGroupIds", list, "[sg-...]"),
)
"""Settings that Ray passes on to AWS unchecked, with their types and an example."""


def deploy_command(region: str) -> str:
    """The command that prepares the account; ADDRESS stands for the user's own."""
    return (
        f"aws cloudformation deploy --region {region} --stack-name leukemia --template-file cluster.account.yaml "
        "--capabilities CAPABILITY_IAM --parameter-overrides SshFrom=ADDRESS/32"
    )


class Machines:
    """How each node type is started, checked against the account with ``ec2``, a boto3 client."""

    def __init__(self, ec2: Any, config: dict[str, Any], region: str) -> None:
        self._ec2, self._region = ec2, region
        self._types = config["available_node_types"]
        self.asked: dict[str, dict[str, Any]] = {}
        """By node type, its ``node_config`` merged over its launch template, as in Ray; set by `template_problems`."""

    def template_problems(self) -> Iterator[str]:
        """Problems of launch templates and the settings merged over them; to be called before the others.

        Raises:
            ClientError, BotoCoreError: AWS denies the request or does not respond, here and below.
        """
        for name, node_type in self._types.items():
            field = f"available_node_types.{name}.node_config"
            given = node_type.get("node_config") if isinstance(node_type, dict) else None
            if not isinstance(given, dict):
                yield f"{field}: expected the settings of a machine, found {given!r}; compare it with cluster.yaml"
                continue
            self.asked[name] = {"InstanceType": given.get("InstanceType")}
            yield from self._start_problems(name, field, given)

    def _start_problems(self, name: str, field: str, given: dict[str, Any]) -> Iterator[str]:
        """Without template, groups and role, Ray creates a role with full EC2 access, and opens ssh to the world."""
        data: dict[str, Any] = {}
        template = field
        if "LaunchTemplate" in given:
            named = given["LaunchTemplate"]
            keys = [
                key for key in ("LaunchTemplateName", "LaunchTemplateId") if isinstance(named, dict) and key in named
            ]
            if len(keys) != 1 or not isinstance(named[keys[0]], str) or not named[keys[0]]:
                yield (
                    f"{field}.LaunchTemplate: expected {{LaunchTemplateName: NAME}} with a name from "
                    f"cluster.account.yaml, found {named!r}; correct it"
                )
                return
            # Ray's default version, which need not be the latest.
            found = self._find(keys[0], named[keys[0]], str(named.get("Version", "$Default")))
            if isinstance(found, str):
                yield found
                return
            data, template = found, f"launch template {named[keys[0]]}"
        wrong = {setting for setting, kind, _ in SHAPES if setting in given and not isinstance(given[setting], kind)}
        for setting, _, example in SHAPES:
            if setting in wrong:
                yield f"{field}.{setting}: expected {example}, found {given[setting]!r}; correct it"
        machine = data | {setting: value for setting, value in given.items() if setting not in wrong}
        self.asked[name] = machine
        if not groups_of(machine) and template == field:
            yield (
                f"{field}.LaunchTemplate: expected a name from cluster.account.yaml, found none; without it Ray opens "
                "ssh to the world"
            )
        elif not groups_of(machine) or "IamInstanceProfile" not in machine:
            yield f"{template} has no role or no security group; {deploy_command(self._region)}"

    def _find(self, key: str, named: str, version: str) -> dict[str, Any] | str:
        """The data of a launch template, or the problem."""
        try:
            found = self._ec2.describe_launch_template_versions(**{key: named}, Versions=[version])
        except self._ec2.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            if not code.startswith("InvalidLaunchTemplate"):
                raise
            if "Version" not in code:
                return f"the account has no launch template {named} in {self._region}; {deploy_command(self._region)}"
            found = {"LaunchTemplateVersions": []}
        if not found["LaunchTemplateVersions"]:
            return f"launch template {named} has no version {version} in {self._region}; set Version: $Latest"
        data: dict[str, Any] = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        return data

    def type_problems(self) -> Iterator[str]:
        """Instance types that the region does not have."""
        named = {name: machine.get("InstanceType") for name, machine in self.asked.items()}
        for name, kind in named.items():
            if not isinstance(kind, str) or not kind:
                field = f"available_node_types.{name}.node_config.InstanceType"
                yield f"{field}: expected a type such as g6.xlarge, found {kind!r}; set one"
        kinds = sorted({kind for kind in named.values() if isinstance(kind, str) and kind})
        if not kinds:
            return
        asked = [{"Name": "instance-type", "Values": kinds}]
        found = self._ec2.describe_instance_types(Filters=asked)["InstanceTypes"]
        for kind in sorted(set(kinds) - {one["InstanceType"] for one in found}):
            names = ", ".join(name for name in named if named[name] == kind)
            yield (
                f"available_node_types: {self._region} has no machines of type {kind} ({names}); correct InstanceType, "
                "or choose another region"
            )

    def group_problems(self) -> Iterator[str]:
        """Security groups that do not exist, or are open to the world."""
        named = sorted({group for machine in self.asked.values() for group in groups_of(machine)})
        if not named:
            return
        asked = [{"Name": "group-id", "Values": named}]
        found = self._ec2.describe_security_groups(Filters=asked)["SecurityGroups"]
        for absent in sorted(set(named) - {group["GroupId"] for group in found}):
            names = ", ".join(name for name, machine in self.asked.items() if absent in groups_of(machine))
            yield (
                f"the account has no security group {absent} ({names}) in {self._region}; remove SecurityGroupIds from "
                f"node_config, and {deploy_command(self._region)}"
            )
        for group in found:
            yield from _open_rules(group)


def groups_of(machine: dict[str, Any]) -> list[str]:
    """IDs of the security groups in the settings of a machine."""
    groups: list[Any] = [*(machine.get("SecurityGroupIds") or [])]
    for interface in machine.get("NetworkInterfaces") or []:
        groups += interface.get("Groups") or []
    return [str(group) for group in groups]


def _open_rules(group: dict[str, Any]) -> Iterator[str]:
    for rule in group["IpPermissions"]:
        ranges = [found["CidrIp"] for found in rule.get("IpRanges", [])]
        ranges += [found["CidrIpv6"] for found in rule.get("Ipv6Ranges", [])]
        ports = f"{rule['FromPort']} to {rule['ToPort']}" if "FromPort" in rule else "all"
        for source in sorted(set(ranges) & set(WORLD)):
            yield (
                f"security group {group['GroupId']} allows access from {source} (ports: {ports}), which is everyone; "
                "remove that rule"
            )
