"""What the command line imports, and when: help texts need no torch, and Ctrl-C is one line while anything is imported."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pymdm
from pymdm.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "scipy", "tokenizers", "safetensors", "transformers", "matplotlib")
COMMANDS = [c.name or c.callback.__name__ for c in app.registered_commands]


def loaded_after(code):
    """Which of the heavy packages a Python has loaded after this code."""
    tail = f"\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    ["import pymdm", "import pymdm.cli.app"]
    + [
        f"import sys, pymdm.cli.app\nsys.argv = ['pymdm', *{words!r}]\nassert pymdm.cli.app.run() == 0"
        for words in (
            ["--version"],
            ["--help"],
            ["bench", "--help"],
            ["precision", "--help"],
            *([c, "--help"] for c in COMMANDS),
        )
    ],
    ids=lambda code: code.split("['pymdm', ")[-1].split("]")[0],
)
def test_nothing_heavy_is_imported(code):
    assert loaded_after(code) == []


def test_the_front_door_loads_what_is_asked_for():
    assert "torch" in loaded_after("import pymdm; pymdm.choose")


def test_every_name_of_the_front_door_has_its_home():
    """The imports that type checkers see are those that happen."""
    tree = ast.parse((ROOT / "pymdm/__init__.py").read_text())
    seen = next(n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING")
    imports = [n for n in seen.body if isinstance(n, ast.ImportFrom) and n.module != "pymdm"]
    assert {n.module: tuple(a.name for a in n.names) for n in imports} == pymdm._HOMES
    assert set(pymdm.__all__) == {*pymdm._HOME, "random", "__version__"} and set(pymdm.__all__) <= set(dir(pymdm))
    for name in pymdm.__all__:
        assert getattr(pymdm, name) is getattr(pymdm, name)
    with pytest.raises(AttributeError, match="module 'pymdm' has no attribute 'nothing'"):
        _ = pymdm.nothing


def test_importing_a_submodule_leaves_the_function_of_its_name():
    code = "import pymdm.choose, pymdm\nassert callable(pymdm.choose), pymdm.choose\nimport pymdm.random as r\nr.bits"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("typed", "at", "found"), [("sam", 1, "sample"), ("train --init", 2, "--init-from")])
def test_a_shell_completes_commands_and_options(typed, at, found):
    env = {"_PYMDM_COMPLETE": "complete_bash", "COMP_WORDS": f"pymdm {typed}", "COMP_CWORD": str(at)}
    command = [sys.executable, "-m", "pymdm"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    assert found in done.stdout.split(), (done.stdout, done.stderr)
    assert "--install-completion" in subprocess.run([*command, "--help"], capture_output=True, text=True).stdout


INTERRUPT = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)\n"
SWALLOWED = (
    "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nfinally:\n    raise ImportError('half done')\n"
)
IN_AN_END = (
    "import os, signal\nclass A:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGINT)\n"
    "        [0 for _ in range(9)]\nA()\nimport time\ntime.sleep(20)\n"
)


@pytest.mark.parametrize("package", ["typer", "torch", "safetensors"])
@pytest.mark.parametrize("code", [INTERRUPT, SWALLOWED, IN_AN_END], ids=["raised", "another error", "unraisable"])
def test_ctrl_c_during_an_import_is_one_line(package, code, tmp_path):
    """A package of this name that interrupts the process as soon as it is imported."""
    (tmp_path / f"{package}.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "pymdm", "sample", "--length", "4", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "pymdm: interrupted\n")


def test_an_error_that_is_no_interrupt_is_not_hidden(tmp_path):
    (tmp_path / "typer.py").write_text("raise ImportError('broken here')\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "pymdm", "info"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 1 and "broken here" in done.stderr
