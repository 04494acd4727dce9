"""YAML text: parsed into plain types, and of bounded size."""

from __future__ import annotations

import re
import string
from typing import Any

import yaml  # type: ignore[import-untyped]

from leukemia.base.errors import first_line

MAX_NODES = 100_000
"""Values in a file after its aliases are resolved: a few nested aliases can stand for billions. Files that people write
have hundreds."""


MAX_DEPTH = 50
"""Levels of nesting. Those who check the content need several of Python's frames for each."""


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that occurs twice, of which YAML would keep the last, and reads ``1e-4`` as a number, as YAML 1.2
    does. Dates stay text, and so do ``yes``, ``no``, ``on``, ``off`` and ``.nan``."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        """As in PyYAML, whose keys may be repeated."""
        if isinstance(node, yaml.MappingNode):
            seen: set[Any] = set()
            for key, _ in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else None
                if name in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{name} is given twice", key.start_mark)
                seen.add(name)
        return super().construct_mapping(node, deep)


_PLAIN = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?",
    "null": r"~|null|Null|NULL|",
    "merge": r"<<",
}
"""What a scalar without quotes must look like to be no text, much as in YAML 1.2; an integer is no float."""

StrictLoader.yaml_implicit_resolvers = {}
for _name, _pattern in _PLAIN.items():
    StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), None)


class _Dumper(yaml.SafeDumper):
    """Quotes text that one of the two loaders would not read as text."""


_Dumper.yaml_implicit_resolvers = {
    first: [
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
        *StrictLoader.yaml_implicit_resolvers.get(None, []),
    ]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *"+-.~", *string.printable}
}


def dumped(content: Any) -> str:
    """Plain types as YAML, which ``StrictLoader`` reads back.

    >>> print(dumped({"name": "no", "rate": 1e-5, "text": "1e-5"}), end="")
    name: 'no'
    rate: 1.0e-05
    text: '1e-5'
    """
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


class InvalidYaml(Exception):
    """Not valid YAML; the message is a short reason, and the line if it is known."""


def parse(text: str, loader_class: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The content of a YAML file, of plain types.

    >>> parse("{rate: 1e-4, name: no}", StrictLoader)
    {'rate': 0.0001, 'name': 'no'}

    Raises:
        InvalidYaml: it cannot be parsed, is larger than ``MAX_NODES``, or deeper than ``MAX_DEPTH``.
    """
    loader = loader_class(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _num_nodes(node) > MAX_NODES:
            raise InvalidYaml(f"its aliases stand for more than {MAX_NODES:,} values; write them out")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise InvalidYaml(f"{line}{problem or first_line(error)}") from None
    except RecursionError:
        raise InvalidYaml("it is nested too deeply, or contains itself") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # What PyYAML's constructors raise for a value that its tag or its form does not allow, such as 2024-13-45.
        raise InvalidYaml(f"{type(error).__name__}: {first_line(error)}") from None
    finally:
        loader.dispose()


def _num_nodes(node: yaml.Node) -> int:
    """Number of values of a node with its aliases resolved.

    Raises:
        RecursionError: it is nested too deeply, or contains itself.
    """
    counts: dict[int, int] = {}

    def count(each: yaml.Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise RecursionError
        if id(each) not in counts:
            children = [] if isinstance(each, yaml.ScalarNode) else each.value
            inner = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
            counts[id(each)] = 1 + sum(count(part, depth + 1) for part in inner)
        return counts[id(each)]

    return count(node, 0)
