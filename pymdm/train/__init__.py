"""Training of masked diffusion models: text in, checkpoint out.

What needs torch is imported when it is first used, so that the command line can show the settings without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pymdm.train.log import Progress
from pymdm.train.recipe import PRESETS, Recipe, preset, settings

if TYPE_CHECKING:
    from pymdm.data.corpus import Corpus, load_corpus
    from pymdm.train.loop import train

__all__ = ["PRESETS", "Corpus", "Progress", "Recipe", "load_corpus", "preset", "settings", "train"]

_HOME = {"Corpus": "pymdm.data.corpus", "load_corpus": "pymdm.data.corpus", "train": "pymdm.train.loop"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pymdm.train' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
