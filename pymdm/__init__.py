"""pymdm: exact and fast sampling of masked diffusion models.

Zheng et al., Masked Diffusion Models are Secretly Time-Agnostic Masked Models and Exploit Inaccurate Categorical Sampling,
ICLR 2025 (arXiv 2409.02908).

Each name is imported when it is first used, so that what needs no torch, such as `pymdm --help`, does not load it.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymdm import random
    from pymdm.choose import choose
    from pymdm.data.tokenizer import Tokenizer
    from pymdm.distributed import sequence_ids_of_rank
    from pymdm.evaluate.compare import Comparison, compare
    from pymdm.evaluate.rule import RuleLikelihood, log_likelihood
    from pymdm.evaluate.run import Evaluation, evaluate
    from pymdm.evaluate.schedule import schedule
    from pymdm.network.config import ModelConfig
    from pymdm.network.engine import Engine
    from pymdm.network.loading import Model, load
    from pymdm.network.transformer import MaskedTransformer
    from pymdm.sampling.call_schedule import CallSchedule, random_sizes
    from pymdm.sampling.options import SampleOptions
    from pymdm.sampling.result import Sample, Samples
    from pymdm.sampling.sample import resume, sample
    from pymdm.sampling.samplers import Ancestral, Confidence, CustomSampler, FirstHitting, PositionScore, Remask, Step
    from pymdm.sampling.schedules import Schedule
    from pymdm.train.run import train

    __version__: str

__all__ = [
    "Ancestral",
    "CallSchedule",
    "Comparison",
    "Confidence",
    "CustomSampler",
    "Engine",
    "Evaluation",
    "FirstHitting",
    "MaskedTransformer",
    "Model",
    "ModelConfig",
    "PositionScore",
    "Remask",
    "RuleLikelihood",
    "Sample",
    "SampleOptions",
    "Samples",
    "Schedule",
    "Step",
    "Tokenizer",
    "__version__",
    "choose",
    "compare",
    "evaluate",
    "load",
    "log_likelihood",
    "random",
    "random_sizes",
    "resume",
    "sample",
    "schedule",
    "sequence_ids_of_rank",
    "train",
]

# Where each name lives; a test holds this to the imports above.
_HOMES = {
    "pymdm.choose": ("choose",),
    "pymdm.data.tokenizer": ("Tokenizer",),
    "pymdm.distributed": ("sequence_ids_of_rank",),
    "pymdm.evaluate.compare": ("Comparison", "compare"),
    "pymdm.evaluate.rule": ("RuleLikelihood", "log_likelihood"),
    "pymdm.evaluate.run": ("Evaluation", "evaluate"),
    "pymdm.evaluate.schedule": ("schedule",),
    "pymdm.network.config": ("ModelConfig",),
    "pymdm.network.engine": ("Engine",),
    "pymdm.network.loading": ("Model", "load"),
    "pymdm.network.transformer": ("MaskedTransformer",),
    "pymdm.sampling.call_schedule": ("CallSchedule", "random_sizes"),
    "pymdm.sampling.options": ("SampleOptions",),
    "pymdm.sampling.result": ("Sample", "Samples"),
    "pymdm.sampling.sample": ("resume", "sample"),
    "pymdm.sampling.samplers": (
        "Ancestral",
        "Confidence",
        "CustomSampler",
        "FirstHitting",
        "PositionScore",
        "Remask",
        "Step",
    ),
    "pymdm.sampling.schedules": ("Schedule",),
    "pymdm.train.run": ("train",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def _find(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("pymdm._native").C.version
    if name == "random":
        return importlib.import_module("pymdm.random")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'pymdm' has no attribute {name!r}")


if not TYPE_CHECKING:

    def __getattr__(name):
        globals()[name] = found = _find(name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _FrontDoor(ModuleType):
    """Some functions have the name of the submodule that they live in; importing the submodule leaves them in their place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
