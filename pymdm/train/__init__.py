"""Training of masked diffusion models: text in, checkpoint out."""

from pymdm.data.corpus import Corpus, load_corpus
from pymdm.train.log import Progress
from pymdm.train.loop import train
from pymdm.train.recipe import PRESETS, Recipe, preset, settings

__all__ = ["PRESETS", "Corpus", "Progress", "Recipe", "load_corpus", "preset", "settings", "train"]
