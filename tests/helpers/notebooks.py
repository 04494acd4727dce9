"""Notebooks run without Jupyter: each cell is executed while an event loop runs, as in a kernel.

``PYTHONPATH=.:tests python -m helpers.notebooks examples/search.ipynb`` executes a notebook, and stores its outputs.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def executed(notebook: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The notebook with new outputs, executed in a folder; an exception ends it."""

    async def run() -> dict[str, Any]:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        cells, count = [], 0
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                count += 1
                cell = cell | {"execution_count": count, "outputs": _outputs("".join(cell["source"]), namespace, count)}
            cells.append(cell)
        return notebook | {"cells": cells}

    with contextlib.chdir(folder):
        return asyncio.run(run())


def _outputs(source: str, namespace: dict[str, Any], count: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(text)})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = _lines(value._repr_html_())
        outputs.append({"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}})
    return outputs


def _lines(text: str) -> list[str]:
    return text.replace(str(Path.home()), "~").splitlines(keepends=True)


def main(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(json.loads(path.read_text(encoding="utf-8")), Path(folder))
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ |= {"WANDB_MODE": "disabled"}
    main(Path(sys.argv[1]))
