"""The table of rooms in docs/design.md, enforced: who may include or import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Room of csrc -> rooms it may include, besides itself.
ROOMS = {
    "core": set(),
    "random": {"core"},
    "schedule": {"core", "random"},
    "ops": {"core", "random"},
    "model": {"core", "ops"},
    "sample": {"core", "random", "schedule", "ops", "model"},
    "device": {"core", "random", "schedule", "ops", "model", "sample"},
    "binding": {"core", "random", "schedule", "ops", "model", "sample", "device"},
}
# Where ATen may be seen: in the binding, in the network on a device, and in the matrix product's micro-kernels.
ATEN_ROOMS = {"binding", "device"}
ATEN = {"csrc/ops/cpu/product.cpp"}
FOREIGN = re.compile(r"^(ATen|c10|torch|pybind11)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def include_faults(path: str, text: str) -> list[str]:
    """Includes of a csrc file that the table forbids."""
    room = path.split("/")[1]
    faults = []
    for name in INCLUDE.findall(text):
        target = name.split("/")[0]
        if FOREIGN.match(name) and room not in ATEN_ROOMS and path not in ATEN:
            faults.append(f"{path} includes {name}")
        if target in ROOMS and target != room and target not in ROOMS[room]:
            faults.append(f"{path} includes {name}")
        # Of the random stream, operators know only what choosing needs.
        if room == "ops" and target == "random" and "choose" not in Path(path).stem:
            faults.append(f"{path} includes {name}")
    return faults


def imported(text: str) -> set[str]:
    """Full names that Python source imports: modules, and modules with the names taken from them."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def import_faults(path: str, text: str) -> list[str]:
    """Imports of a pymdm file that the table forbids."""
    names, faults = imported(text), []
    if "pymdm._C" in names and path != "pymdm/_native.py":
        faults.append(f"{path} imports pymdm._C, which only pymdm/_native.py may")
    parts = path.split("/")
    if parts[1] in ("reference", "prove"):
        ours = {n for n in names if n == "pymdm" or n.startswith("pymdm.")}
        allowed = ("pymdm.reference", "pymdm.prove") if parts[1] == "prove" else ("pymdm.reference",)
        faults += [f"{path} imports {n}" for n in sorted(ours) if not n.startswith(allowed)]
    if parts[1] != "cli" and path != "pymdm/__main__.py":
        faults += [f"{path} imports {n}" for n in sorted(names) if n == "typer" or n.startswith("pymdm.cli")]
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


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("csrc/random/x.h", '#include "schedule/schedule.h"'),
        ("csrc/schedule/x.h", '#include "ops/choose.h"'),
        ("csrc/model/x.cpp", '#include "random/philox.h"'),
        ("csrc/ops/cpu/norm.cpp", '#include "random/gumbel.h"'),
        ("csrc/sample/x.cpp", "#include <ATen/ATen.h>"),
        ("csrc/sample/x.cpp", '#include "device/step.h"'),
        ("csrc/ops/device_rows.h", '#include "random/address.h"'),
        ("csrc/ops/cpu/norm.cpp", '#include "sample/state.h"'),
    ],
)
def test_a_forbidden_include_is_found(path, text):
    assert include_faults(path, text)
    assert not include_faults(path, '#include "core/error.h"\n#include <vector>\n')


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pymdm/sampling/sample.py", "from pymdm import _C"),
        ("pymdm/reference/x.py", "from pymdm._native import C"),
        ("pymdm/prove/x.py", "def f():\n    import pymdm.sampling.sample"),
        ("pymdm/network/transformer.py", "import typer"),
    ],
)
def test_a_forbidden_import_is_found(path, text):
    assert import_faults(path, text)


def test_every_source_is_in_the_build():
    listed = set(re.findall(r"csrc/[\w/]+\.(?:cpp|cu)", (ROOT / "CMakeLists.txt").read_text()))
    assert listed == {p.relative_to(ROOT).as_posix() for p in sources("csrc", ".cpp", ".cu")}
