"""The samplers, as small frozen descriptions, one file each; the work is done by the compiled core (csrc/sample)."""

from pymdm.sampling.samplers.ancestral import Ancestral
from pymdm.sampling.samplers.common import NOISES, Sampler
from pymdm.sampling.samplers.confidence import Confidence
from pymdm.sampling.samplers.custom import CustomSampler, Rows, SequenceState, Step
from pymdm.sampling.samplers.first_hitting import FirstHitting
from pymdm.sampling.samplers.names import parse_sampler, sampler_name
from pymdm.sampling.samplers.position_score import PositionScore
from pymdm.sampling.samplers.remask import Remask

__all__ = [
    "NOISES",
    "Ancestral",
    "Confidence",
    "CustomSampler",
    "FirstHitting",
    "PositionScore",
    "Remask",
    "Rows",
    "Sampler",
    "SequenceState",
    "Step",
    "parse_sampler",
    "sampler_name",
]
