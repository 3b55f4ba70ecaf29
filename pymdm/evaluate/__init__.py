"""Evaluation: likelihood and its bounds, judges of samples, and the baselines to hold them against."""

from pymdm.evaluate.autoregressive import Likelihood, causal_losses, evaluate_likelihood
from pymdm.evaluate.bound import Bound, evaluate_bound, exact_bound
from pymdm.evaluate.judges import CheckpointJudge, Judge, NGramJudge, Scores, load_judge
from pymdm.evaluate.metrics import distinct_n, repetition, self_bleu, token_entropy
from pymdm.evaluate.ngram import NGram, ngram_bits
from pymdm.evaluate.rule import RuleLikelihood, log_likelihood
from pymdm.evaluate.schedule import Information, measure_information, schedule
from pymdm.evaluate.streams import block_losses, evaluate_streams, order_losses

__all__ = [
    "Bound",
    "CheckpointJudge",
    "Information",
    "Judge",
    "Likelihood",
    "NGram",
    "NGramJudge",
    "RuleLikelihood",
    "Scores",
    "block_losses",
    "causal_losses",
    "distinct_n",
    "evaluate_bound",
    "evaluate_likelihood",
    "evaluate_streams",
    "exact_bound",
    "load_judge",
    "log_likelihood",
    "measure_information",
    "ngram_bits",
    "order_losses",
    "repetition",
    "schedule",
    "self_bleu",
    "token_entropy",
]
