"""Evaluation: likelihood and its bounds, judges of samples, and the baselines to hold them against."""

from pymdm.evaluate.autoregressive import Likelihood, causal_losses, evaluate_likelihood
from pymdm.evaluate.bound import Bound, evaluate_bound, exact_bound
from pymdm.evaluate.judges import CheckpointJudge, Judge, NGramJudge, Scores, load_judge
from pymdm.evaluate.metrics import distinct_n, repetition, self_bleu, token_entropy
from pymdm.evaluate.ngram import NGram, ngram_bits

__all__ = [
    "Bound",
    "CheckpointJudge",
    "Judge",
    "Likelihood",
    "NGram",
    "NGramJudge",
    "Scores",
    "causal_losses",
    "distinct_n",
    "evaluate_bound",
    "evaluate_likelihood",
    "exact_bound",
    "load_judge",
    "ngram_bits",
    "repetition",
    "self_bleu",
    "token_entropy",
]
