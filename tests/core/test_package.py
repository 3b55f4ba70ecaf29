"""What a wheel holds: every package and every file that the code reads beside itself."""

import fnmatch
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
        beside = [p for p in (ROOT / package.replace(".", "/")).iterdir() if p.is_file()]
        data = [p.name for p in beside if p.suffix not in (".py", ".pyc", ".so")]
        missed = [name for name in data if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
        assert not missed, f"{package}: {missed} would be missing from a wheel"
        assert all(fnmatch.filter(data, pattern) for pattern in patterns), f"{package}: a pattern without a file"


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
