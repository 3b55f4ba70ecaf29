"""The one door to the compiled core, `pymdm._C`: loads it, or says in one line what to run."""

from __future__ import annotations

import importlib.machinery
from pathlib import Path
from types import ModuleType

import torch  # must be loaded first: the extension links to its libraries

_BUILD = "run `pip install --no-build-isolation .` (or `-e .`) in the pymdm folder, with this Python"


def _load() -> ModuleType:
    try:
        from pymdm import _C  # type: ignore[attr-defined]
    except ImportError as error:
        folder = Path(__file__).parent
        built = any((folder / f"_C{suffix}").exists() for suffix in importlib.machinery.EXTENSION_SUFFIXES)
        why = f"was built for another torch or Python ({error})" if built else "is not built"
        raise ImportError(f"pymdm: the extension pymdm._C {why}; {_BUILD}") from None
    if _C.torch_version != torch.__version__:
        raise ImportError(
            f"pymdm: the extension pymdm._C was built for torch {_C.torch_version}, this is torch {torch.__version__}; "
            f"{_BUILD}"
        )
    return _C


C = _load()
