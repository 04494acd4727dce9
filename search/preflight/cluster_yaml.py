"""The YAML of a cluster file: parsed without its types, and of bounded size."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

from leukemia.base.errors import first_line

MAX_NODES = 100_000
"""Values in a file after its aliases are resolved: a few nested aliases can stand for billions. A cluster file has
hundreds."""


MAX_DEPTH = 50
"""Levels of nesting. Those who check the content need several of Python's frames for each."""


class InvalidYaml(Exception):
    """Not valid YAML; the message is a short reason, and the line if it is known."""


def parse(text: str) -> Any:
    """The content of a YAML file, of plain types.

    Raises:
        InvalidYaml: it cannot be parsed, is larger than ``MAX_NODES``, or deeper than ``MAX_DEPTH``.
    """
    loader = yaml.SafeLoader(text)
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
