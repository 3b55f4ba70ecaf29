"""The one door to the compiled core, `pymdm._C`: loads it, or says in one line what to run."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import platform
from pathlib import Path

import torch  # must be loaded first: the extension links to its libraries

DISTRIBUTION = "masked-diffusion"
_BUILD = "run `pip install --no-build-isolation .` (or `-e .`) in the pymdm folder, with this Python"


def _fix() -> str:
    """What to run: a build in a checkout, else the torch that the installed wheel is for, which its metadata says."""
    if (Path(__file__).parents[1] / "CMakeLists.txt").is_file():
        return _BUILD
    try:
        needs = importlib.metadata.requires(DISTRIBUTION) or []
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return _BUILD
    torch_needed = next((r.partition(";")[0].strip() for r in needs if r.startswith("torch=")), "torch")
    python = ".".join(platform.python_version_tuple()[:2])
    return (
        f"run `pip install --force-reinstall '{DISTRIBUTION}=={version}' '{torch_needed}'`: that takes the wheel for "
        f"Python {python} and the torch that it is for"
    )


def _why(error: ImportError) -> str:
    """Whether the extension was not built, or for something else."""
    built = any((Path(__file__).parent / f"_C{suffix}").exists() for suffix in importlib.machinery.EXTENSION_SUFFIXES)
    return f"was built for another torch or Python ({error})" if built else "is not built"


try:
    from pymdm import _C as C
except ImportError as error:
    raise ImportError(f"pymdm: the extension pymdm._C {_why(error)}; {_fix()}") from None
# The libraries that the extension links to are in a CPU and in a CUDA build of one version (2.13.0+cpu, 2.13.0+cu130).
if C.torch_version.partition("+")[0] != torch.__version__.partition("+")[0]:
    raise ImportError(
        f"pymdm: the extension pymdm._C was built for torch {C.torch_version}, this is torch {torch.__version__}; {_fix()}"
    )
