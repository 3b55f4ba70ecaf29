"""The table of rooms in docs/design.md, enforced: who may include or import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
FOREIGN = {"ATen": "ATen", "c10": "ATen", "torch": "ATen", "pybind11": "pybind11"}
# The matrix product's micro-kernels are ATen's: the one file below the binding and the device that sees it.
ATEN = {"csrc/ops/cpu/product.cpp"}


def table(title: str) -> dict[str, set[str]]:
    """Room -> rooms it may use, from the table of docs/design.md whose first column has this title."""
    lines = iter((ROOT / "docs/design.md").read_text().splitlines())
    assert any(line.startswith(f"| {title} |") for line in lines), title
    next(lines)
    rooms: dict[str, set[str]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        names, may = line.split("|")[1:3]
        for name in re.findall(r"`(\w+)`", names):
            rooms[name] = {word for word in re.split(r"[,\s]+", may) if word}
    return rooms


ROOMS = table("room of `csrc/`")
PYTHON = table("room of `pymdm/`")


def include_faults(path: str, text: str) -> list[str]:
    """Includes of a csrc file that the table forbids."""
    room, faults = path.split("/")[1], []
    may = ROOMS[room] | {room} | ({"ATen"} if path in ATEN else set())
    for name in INCLUDE.findall(text):
        target = name.split("/")[0]
        target = FOREIGN.get(target, target)
        if "/" in name and target in {*ROOMS, *FOREIGN.values()} and target not in may:
            faults.append(f"{path} includes {name}")
        # Of the random stream, operators know only what choosing needs.
        if room == "ops" and target == "random" and "choose" not in Path(path).stem:
            faults.append(f"{path} includes {name}")
    return faults


def imported(text: str) -> set[str]:
    """Modules of pymdm that Python source imports, by full name; `from pymdm import x` counts as pymdm.x."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pymdm":
            names |= {f"pymdm.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def room_of(name: str) -> str:
    """The room that a module of pymdm is in; the front door's own names are in `front`."""
    part = name.split(".")[1] if "." in name else "front"
    return part if part in PYTHON or part in ("_C", "_C_testing") else "front"


def import_faults(path: str, text: str) -> list[str]:
    """Imports of a pymdm file that the table forbids."""
    room = path.split("/")[1].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return []
    may = PYTHON[room] | {room}
    ours = sorted(n for n in imported(text) if n == "pymdm" or n.startswith("pymdm."))
    faults = [f"{path} imports {n}" for n in ours if "all" not in may and room_of(n) not in may]
    if "typer" in imported(text) and room != "cli":
        faults.append(f"{path} imports typer")
    return faults


def sources(folder: str, *suffixes: str) -> list[Path]:
    found = [p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in suffixes]
    assert found
    return found


def test_csrc_keeps_to_the_table():
    faults = []
    for path in sources("csrc", ".h", ".cpp", ".cu"):
        faults += include_faults(path.relative_to(ROOT).as_posix(), path.read_text())
    assert not faults


def test_python_keeps_to_the_table():
    faults = []
    for path in sources("pymdm", ".py"):
        faults += import_faults(path.relative_to(ROOT).as_posix(), path.read_text())
    assert not faults


@pytest.mark.parametrize("room", ROOMS)
def test_an_include_outside_the_table_is_found(room):
    path = f"csrc/{room}/x.h"
    for other in ROOMS.keys() - ROOMS[room] - {room}:
        assert include_faults(path, f'#include "{other}/x.h"')
    for header, name in (("ATen/ATen.h", "ATen"), ("pybind11/pybind11.h", "pybind11")):
        assert bool(include_faults(path, f"#include <{header}>")) == (name not in ROOMS[room])
    assert not include_faults(path, f'#include "{room}/error.h"\n#include <vector>\n')


def test_operators_see_the_random_stream_only_in_choose():
    assert include_faults("csrc/ops/cpu/norm.cpp", '#include "random/gumbel.h"')
    assert include_faults("csrc/ops/device_rows.h", '#include "random/address.h"')
    assert not include_faults("csrc/ops/choose.h", '#include "random/address.h"')


@pytest.mark.parametrize("room", [room for room, may in PYTHON.items() if "all" not in may])
def test_an_import_outside_the_table_is_found(room):
    path = f"pymdm/{room}/x.py"
    for other in {*PYTHON, "_C", "_C_testing", "front"} - PYTHON[room] - {room}:
        line = "import pymdm" if other == "front" else f"def f():\n    from pymdm.{other} import x"
        assert import_faults(path, line), (room, other)
    assert import_faults(path, "import typer")
    for other in PYTHON[room] & PYTHON.keys():
        assert not import_faults(path, f"from pymdm.{other} import x")


def test_every_room_is_in_the_table():
    assert {p.name for p in (ROOT / "csrc").iterdir() if p.is_dir()} == ROOMS.keys()
    rooms = {p.name.removesuffix(".py") for p in (ROOT / "pymdm").iterdir() if p.is_dir() or p.suffix == ".py"}
    assert rooms - {"__init__", "__main__", "__pycache__"} == PYTHON.keys()


def test_every_source_is_in_the_build():
    listed = set(re.findall(r"csrc/[\w/]+\.(?:cpp|cu)", (ROOT / "CMakeLists.txt").read_text()))
    assert listed == {p.relative_to(ROOT).as_posix() for p in sources("csrc", ".cpp", ".cu")}
