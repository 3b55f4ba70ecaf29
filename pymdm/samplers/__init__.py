"""The samplers, as small frozen descriptions, one file each; the work is done by the compiled core (csrc/sample)."""

from pymdm.samplers.ancestral import Ancestral
from pymdm.samplers.common import NOISES, Sampler
from pymdm.samplers.confidence import Confidence
from pymdm.samplers.first_hitting import FirstHitting
from pymdm.samplers.remask import Remask

__all__ = ["NOISES", "Ancestral", "Confidence", "FirstHitting", "Remask", "Sampler"]
