"""What a wheel holds: every package and every file that the code reads beside itself."""

import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
tomllib = pytest.importorskip("tomllib")  # Python 3.11
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def folder(package):
    """Where a package's files are; `bench` is installed as `pymdm.bench`."""
    return ROOT / SETUP["package-dir"].get(package, package.replace(".", "/"))


def test_every_package_is_declared():
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "pymdm").rglob("*.py")}
    assert found | {"pymdm.bench"} == set(SETUP["packages"])


def test_every_file_beside_the_code_is_package_data():
    for package in SETUP["packages"]:
        patterns = SETUP["package-data"].get(package, [])
        data = [p.name for p in folder(package).iterdir() if p.is_file() and p.suffix not in (".py", ".pyc", ".so")]
        if package != "pymdm.bench":  # its script for a card is run from the tree
            missed = [name for name in data if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
            assert not missed, f"{package}: {missed} would be missing from a wheel"
        assert all(fnmatch.filter(data, pattern) for pattern in patterns), f"{package}: a pattern without a file"
