"""pymdm: exact and fast sampling of masked diffusion models.

Zheng et al., Masked Diffusion Models are Secretly Time-Agnostic Masked Models and Exploit Inaccurate Categorical Sampling,
ICLR 2025 (arXiv 2409.02908).
"""

from pymdm import random
from pymdm._native import C as _C
from pymdm.choose import choose
from pymdm.data.tokenizer import Tokenizer
from pymdm.distributed import sequence_ids_of_rank
from pymdm.evaluate.rule import RuleLikelihood, log_likelihood
from pymdm.evaluate.schedule import schedule
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine
from pymdm.network.loading import Model, load
from pymdm.network.transformer import MaskedTransformer
from pymdm.sampling.call_schedule import CallSchedule
from pymdm.sampling.options import SampleOptions
from pymdm.sampling.result import Sample, Samples
from pymdm.sampling.sample import resume, sample
from pymdm.sampling.samplers import Ancestral, Confidence, CustomSampler, FirstHitting, Remask, Step
from pymdm.sampling.schedules import Schedule

__version__: str = _C.version

__all__ = [
    "Ancestral",
    "CallSchedule",
    "Confidence",
    "CustomSampler",
    "Engine",
    "FirstHitting",
    "MaskedTransformer",
    "Model",
    "ModelConfig",
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
    "load",
    "log_likelihood",
    "random",
    "resume",
    "sample",
    "schedule",
    "sequence_ids_of_rank",
]
