"""Evaluation: likelihood bounds and the baselines to hold them against."""

from pymdm.evaluate.bound import Bound, evaluate_bound, exact_bound
from pymdm.evaluate.ngram import ngram_bits

__all__ = ["Bound", "evaluate_bound", "exact_bound", "ngram_bits"]
