"""Runs the cells of a notebook in order, in one namespace, without a kernel; `make notebook` stores the outputs.

What a cell prints and the value of its last expression are its outputs, as a notebook keeps them; stderr, where progress is
told, is left out. `kinds` is what stays the same from machine to machine.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "first_hour.ipynb"


def executed(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells with the outputs of a run in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    done, count = [], 0
    for cell in cells:
        if cell["cell_type"] == "code":
            count += 1
            cell = cell | {"execution_count": count, "outputs": _outputs("".join(cell["source"]), names, count)}
        done.append(cell)
    return done


def _outputs(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, NOTEBOOK.name, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)
    found: list[dict[str, Any]] = []
    if text := printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        found.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})
    return found


def kinds(cell: dict[str, Any]) -> list[Any]:
    """What a cell's outputs are, with the words of their text: numbers and quoted text, such as samples, are blanked."""
    found: list[Any] = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            found.append((output["name"], _blanked("".join(output["text"]))))
        else:
            found.append((sorted(output["data"]), _blanked("".join(output["data"]["text/plain"]))))
    return found


def _blanked(text: str) -> str:
    text = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "'...'", text)
    return re.sub(r"[ \n]+", " ", re.sub(r"-?\d[\d,.e+-]*", "0", text))


def main() -> None:
    """Stores the outputs of a run."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            notebook["cells"] = executed(notebook["cells"])
        finally:
            os.chdir(before)
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
