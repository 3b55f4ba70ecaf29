"""What a wheel holds: every package and every file that the code reads beside itself, and nothing of the tests."""

import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
tomllib = pytest.importorskip("tomllib")  # Python 3.11
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


PACKAGES = sorted({".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "pymdm").rglob("*.py")})


def test_every_package_is_found():
    """`find` takes folders with an __init__.py, so every folder of ours has one."""
    assert SETUP["packages"]["find"]["include"] == ["pymdm*"]
    for package in PACKAGES:
        assert (ROOT / package.replace(".", "/") / "__init__.py").is_file(), package


def test_every_file_beside_the_code_is_package_data():
    for package in PACKAGES:
        patterns = SETUP["package-data"].get(package, [])
        folder = ROOT / package.replace(".", "/")
        below = [p for p in folder.glob("*/*") if not (p.parent / "__init__.py").exists() and p.parent.name[0] != "_"]
        beside = [p.relative_to(folder) for p in (*folder.iterdir(), *below) if p.is_file()]
        data = [str(p) for p in beside if p.suffix not in (".py", ".pyc", ".so")]
        missed = [name for name in data if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
        assert not missed, f"{package}: {missed} would be missing from a wheel"
        assert all(fnmatch.filter(data, pattern) for pattern in patterns), f"{package}: a pattern without a file"


LISTED = """
import json, sys
import setuptools  # before distutils, which it takes the place of
from distutils.core import run_setup
dist = run_setup("setup.py", sys.argv[1:], stop_after="commandline")
dist.parse_config_files()
build = dist.get_command_obj("build_py")
build.ensure_finalized()
print(json.dumps([[e.name for e in dist.ext_modules], build.get_outputs(include_bytecode=False)]))
"""


def wheel(*command):
    """Extensions and files of a wheel that would be built now, without building it."""
    env = {k: v for k, v in os.environ.items() if k != "PYMDM_TESTING"}
    code = [sys.executable, "-W", "ignore", "-c", LISTED, *command]
    done = subprocess.run(code, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60)
    extensions, files = json.loads(done.stdout.splitlines()[-1])
    return extensions, [f[f.index("pymdm/") :] for f in files]


def test_a_wheel_holds_nothing_of_the_tests():
    extensions, files = wheel("bdist_wheel")
    assert extensions == ["pymdm._C"] and len(files) > 150
    assert wheel("build_ext", "--inplace")[0] == ["pymdm._C", "pymdm._C_testing"]
    for file in files:
        assert not re.search(r"testing|planted|fault_|faults_|strateg|pytest|experiments|results|/tests?/", file), file
        if file.endswith(".py"):
            source = (ROOT / file).read_text(encoding="utf-8")
            assert not re.search(r"^\s*(from|import) (hypothesis|pytest|helpers|tests)\b", source, re.MULTILINE), file
            assert not re.search(r"^@fault\(", source, re.MULTILINE), f"{file} plants a fault"


def test_constraints_lock_every_package_at_every_depth():
    """What the extras need, and what that needs: all of it has one version in constraints.txt."""
    metadata = pytest.importorskip("importlib.metadata")
    requirements = pytest.importorskip("packaging.requirements")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    seen, missed = set(), set()
    while waiting:
        found = requirements.Requirement(waiting.pop())
        name = found.name.lower().replace("_", "-")
        if name in seen or (found.marker is not None and not found.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        if name not in locked:
            missed.add(name)
        try:
            installed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if name == "torch":  # which fixes the versions of its CUDA libraries itself
            installed = [r for r in installed if not re.match(r"nvidia|cuda|triton|setuptools", r)]
        waiting += installed
    assert not missed and len(seen) > 40


def test_the_metadata_says_the_torch_and_has_no_link_that_breaks(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("pybind11")
    repository = "https://example.org/somebody/pymdm"
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    for base in (repository, ""):
        env = {**os.environ, "PYMDM_REPOSITORY": base}
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=env)
        about = (tmp_path / "masked_diffusion.egg-info/PKG-INFO").read_text(encoding="utf-8")
        assert f"Requires-Dist: torch=={torch.__version__.partition('+')[0]}\n" in about and "torch>=" not in about
        links = re.findall(r"\]\(([^)]*)\)", about)
        assert links and all(link.startswith("https://") for link in links)
        assert (f"{repository}/blob/main/docs/samplers.md" in links) is bool(base)
        urls = dict(re.findall(r"^Project-URL: (\w+), (\S+)$", about, re.MULTILINE))
        assert set(urls) == ({"Homepage", "Documentation", "Issues", "Changelog"} if base else set())
        assert all(url == base or url.startswith(f"{base}/") for url in urls.values())
        for name in ("Documentation", "Changelog"):  # files that are there
            assert not base or (ROOT / urls[name].removeprefix(f"{base}/blob/main/")).is_file()


def test_hashes_are_of_the_locked_versions():
    """constraints-hashes.txt is what `pip install --require-hashes -r` takes: the lock's versions of what is needed to run."""
    pins = [
        part.split() for part in re.split(r"\n(?=\S)", (ROOT / "constraints-hashes.txt").read_text(encoding="utf-8"))
    ]
    pins = [part for part in pins if part and not part[0].startswith("#")]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = {line for line in lines if "==" in line and not line.startswith(("#", "torch=="))}
    assert {part[0] for part in pins} == locked
    names = {part[0].partition("==")[0] for part in pins}
    assert names >= {"numpy", "scipy", "safetensors", "tokenizers", "rich", "typer", "pybind11", "setuptools", "cmake"}
    for name, *rest in pins:
        hashes = [word for word in rest if word != "\\"]
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in hashes), name


def test_the_workflow_builds_wheels_for_the_locked_torch_and_every_python():
    """What `requires-python` allows and the tests run on, on Linux x86-64, against the torch of constraints.txt."""
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    locked = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert re.findall(r"torch==([\d.]+)", workflow) == [locked]
    tested = re.search(r"python: \[(.*)\]", workflow)[1].replace('"', "").split(", ")
    built = re.findall(r"cp(\d)(\d+)-manylinux_x86_64", workflow)
    assert [f"{a}.{b}" for a, b in built] == tested
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={tested[0]}"


def test_no_message_asks_for_this_package_by_a_name_with_extras():
    """`pip install 'pymdm[plot]'` would install somebody else's package: the plain package that is missing is named."""
    for file in (ROOT / "pymdm").rglob("*.py"):
        for line in re.findall(r"pip install ([^\n]*)", file.read_text(encoding="utf-8")):
            assert not re.match(r"'?(pymdm|masked-diffusion)\b(?!==)", line) and "[" not in line, (file, line)


def test_make_help_names_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) - {"help"}
    assert set(re.findall(r"@echo 'make (\w+)", makefile)) == targets
    assert targets - {"setup", "clean"} <= set(re.findall(r"make (\w+)", (ROOT / "CONTRIBUTING.md").read_text()))
