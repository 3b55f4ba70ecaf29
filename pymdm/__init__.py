"""pymdm: exact and fast sampling of masked diffusion models.

Zheng et al., Masked Diffusion Models are Secretly Time-Agnostic Masked Models and Exploit Inaccurate Categorical Sampling,
ICLR 2025 (arXiv 2409.02908).
"""

from pymdm._native import C as _C
from pymdm.config import ModelConfig
from pymdm.devices import my_sequences
from pymdm.engine import Engine
from pymdm.loading import Model, load
from pymdm.model import MaskedTransformer
from pymdm.result import Sample, Samples
from pymdm.sample import resume, sample
from pymdm.samplers import Ancestral, Confidence, FirstHitting, Remask
from pymdm.schedules import Schedule
from pymdm.vocabulary import Vocabulary

__version__: str = _C.version

__all__ = [
    "Ancestral",
    "Confidence",
    "Engine",
    "FirstHitting",
    "MaskedTransformer",
    "Model",
    "ModelConfig",
    "Remask",
    "Sample",
    "Samples",
    "Schedule",
    "Vocabulary",
    "__version__",
    "load",
    "my_sequences",
    "resume",
    "sample",
]
