"""The samplers, as small frozen descriptions, one file each; the work is done by the compiled core (csrc/sample)."""

from pymdm.sampling.samplers.ancestral import Ancestral
from pymdm.sampling.samplers.common import NOISES, Sampler, with_schedule
from pymdm.sampling.samplers.confidence import Confidence
from pymdm.sampling.samplers.first_hitting import FirstHitting
from pymdm.sampling.samplers.remask import Remask

__all__ = ["NOISES", "Ancestral", "Confidence", "FirstHitting", "Remask", "Sampler", "with_schedule"]
