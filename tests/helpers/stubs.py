"""The stub of the compiled core, pymdm/_C.pyi, from the signatures that pybind11 writes into its docstrings.

`make stubs` writes the file; tests/core/test_stub.py fails where the file and the built extension differ.
"""

from __future__ import annotations

import ast
import difflib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

STUB = Path(__file__).resolve().parents[2] / "pymdm/_C.pyi"
HEADER = '''"""Types of the compiled core. Written by `make stubs` from the built extension."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch

'''
# pybind11 takes what converts to a number; a caller of ours gives a number.
SPECIAL = ("__init__", "__enter__", "__exit__")
NUMBERS = {"SupportsInt": "int", "SupportsIndex": "int", "SupportsFloat": "float"}


class _Types(ast.NodeTransformer):
    """Types as a reader of the module knows them: State for pymdm._C.State, int for typing.SupportsInt and the like."""

    def __init__(self, module: str) -> None:
        self.module = module

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        of, _, name = ast.unparse(node).rpartition(".")
        if of == "typing" and name in NUMBERS:
            return ast.Name(NUMBERS[name])
        return ast.Name(name) if of in (self.module, "collections.abc", "typing") else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """A | B, without what B repeats of A; SupportsFloat | SupportsIndex is float."""
        self.generic_visit(node)
        parts = list(dict.fromkeys(part.strip() for part in ast.unparse(node).split("|")))
        if "float" in parts and "int" in parts:
            parts.remove("int")
        return ast.parse(" | ".join(parts), mode="eval").body


def _signatures(doc: str | None, module: str) -> Iterator[ast.FunctionDef]:
    """The functions that a docstring of pybind11 begins with: one, or each that follows `Overloaded function.`"""
    lines = (doc or "").splitlines()
    overloaded = len(lines) > 1 and lines[1] == "Overloaded function."
    for line in lines[2:] if overloaded else lines[:1]:
        number, _, text = line.partition(". ") if overloaded else ("1", "", line)
        if not (number.isdigit() and ") -> " in text):
            continue
        text = re.sub(r"<[\w.]+: \d+>", "...", text)  # the value of an enumeration
        function = ast.parse(f"def {'getter' * text.startswith('(')}{text}: ...").body[0]
        assert isinstance(function, ast.FunctionDef)
        arguments = function.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            if argument.arg == "self":
                argument.annotation = None
        arguments.defaults = [ast.Constant(...) if isinstance(d, ast.Call) else d for d in arguments.defaults]
        for argument, default in zip(reversed(arguments.args), reversed(arguments.defaults), strict=False):
            kind = ast.unparse(argument.annotation or ast.Name("object"))
            if isinstance(default, ast.Constant) and default.value is None and kind != "object" and "None" not in kind:
                argument.annotation = ast.parse(f"{kind} | None", mode="eval").body
        yield _Types(module).visit(function)


def _function(name: str, doc: str | None, module: str, decorators: tuple[str, ...] = ()) -> Iterator[ast.stmt]:
    found = list(_signatures(doc, module))
    if not found:
        raise ValueError(f"stub: {module}.{name} has no signature in its docstring: {doc!r}")
    for function in found:
        function.name = name
        names = (*decorators, *(["overload"] if len(found) > 1 else []))
        function.decorator_list = [ast.parse(d, mode="eval").body for d in names]
        yield function


def _property(name: str, value: property, module: str) -> Iterator[ast.stmt]:
    for getter in _function(name, value.fget.__doc__, module, ("property",)):
        assert isinstance(getter, ast.FunctionDef)
        getter.args = ast.parse("def f(self): ...").body[0].args  # type: ignore[attr-defined]
        yield getter
        if value.fset is not None:
            kind = ast.unparse(getter.returns or ast.Name("object"))
            yield ast.parse(f"@{name}.setter\ndef {name}(self, value: {kind}) -> None: ...").body[0]


def _class(kind: type, module: str) -> ast.stmt:
    body: list[ast.stmt] = []
    members: dict[str, Any] = getattr(kind, "__members__", {})
    for name in members:
        body += ast.parse(f"{name}: ClassVar[{kind.__name__}]").body
    if members:
        body += ast.parse(f"__members__: ClassVar[dict[str, {kind.__name__}]]").body
    for name, value in vars(kind).items():
        if name in members or (name.startswith("_") and name not in SPECIAL):
            continue
        if isinstance(value, property):
            body += _property(name, value, module)
        elif callable(value) and not (name == "__init__" and not list(_signatures(value.__doc__, module))):
            body += _function(name, value.__doc__, module)
    made = ast.parse(f"class {kind.__name__}: ...").body[0]
    assert isinstance(made, ast.ClassDef)
    made.body = body or made.body
    return made


def stub_of(module: ModuleType) -> str:
    """The text of the stub of a module that pybind11 made."""
    body: list[ast.stmt] = []
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, type):
            body.append(_class(value, module.__name__))
        elif callable(value):
            body += _function(name, value.__doc__, module.__name__)
        else:
            body += ast.parse(f"{name}: {type(value).__name__}").body
    return HEADER + "\n".join(ast.unparse(ast.fix_missing_locations(part)) for part in body) + "\n"


def differences(module: ModuleType, text: str) -> list[str]:
    """Lines that a stub's text lacks (+) or has too many (-) for the module; the layout of the text does not count."""
    have, want = (ast.unparse(ast.parse(t)).splitlines() for t in (text, stub_of(module)))
    return [line for line in difflib.unified_diff(have, want, "_C.pyi", "_C", lineterm="", n=0)]


if __name__ == "__main__":
    from pymdm._native import C

    STUB.write_text(stub_of(C), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(STUB)], check=True)
