"""A missing or mismatched extension ends in one clear ImportError."""

import shutil
import subprocess
import sys
from pathlib import Path

import pymdm


def import_from(folder: Path) -> str:
    # An editable install finds the real extension by a finder of its own: leave that out.
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in getattr(f, '__name__', '')]; "
        f"sys.path.insert(0, {str(folder)!r}); import pymdm"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_an_unbuilt_extension_says_what_to_run(tmp_path):
    shutil.copytree(Path(pymdm.__file__).parent, tmp_path / "pymdm", ignore=shutil.ignore_patterns("_C*", "bundled"))
    line = import_from(tmp_path)
    assert line.startswith("ImportError: pymdm: the extension pymdm._C is not built; run `pip install")


def test_a_broken_extension_says_what_to_run(tmp_path):
    package = Path(pymdm.__file__).parent
    shutil.copytree(package, tmp_path / "pymdm", ignore=shutil.ignore_patterns("_C*", "bundled"))
    (tmp_path / "pymdm" / next(package.glob("_C*.so")).name).write_bytes(b"not a library")
    line = import_from(tmp_path)
    assert "was built for another torch or Python" in line and "pip install --no-build-isolation" in line
