"""Positions chosen by a function of the user's: against its reference, with planted faults, and what the law keeps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers.engine_networks import random_network
from helpers.sampler_tables import ALPHA, POWERS, L, V, chi_square, draw, network, sharpness, table
from scipy import stats

import pymdm
from pymdm.network.config import ModelConfig
from pymdm.reference import remask
from pymdm.reference.laws import state_index
from pymdm.reference.scored import Scored

N = 60
LEVELS = pymdm.Remask(steps=6, eta=0.5)


def planner(tokens, logits):
    """Reads tokens and the logits of every position; works on NumPy and torch alike, with many equal scores."""
    sharp = logits[..., :V].max(-1) if isinstance(logits, np.ndarray) else logits[..., :V].amax(-1)
    known = (tokens != V) * (tokens + 1.0)
    return (2 * sharp).round() + (known * 0.7).sum(-1)[..., None] * (known == 0) + 0.3 * known


def equal(tokens, logits):
    return torch.zeros(tokens.shape)


def reference(kind, which, mu, i, prompt=None):
    sampler = kind(lambda t: np.log(mu)[t @ POWERS.numpy()], planner, L, mask_id=V, seed=11, sequence=i, prompt=prompt)
    if which == "remask":
        return sampler.remask(LEVELS.levels(), LEVELS.sigmas())
    return sampler.confidence(tokens_per_call=2 if which == "two" else 1, proposals=which == "proposals")


WHICH = {
    "one": pymdm.Confidence(score=planner),
    "two": pymdm.Confidence(score=planner, tokens_per_call=2),
    "proposals": pymdm.Confidence(score=planner, proposals=True),
    "remask": pymdm.Remask(steps=6, eta=0.5, score=planner),
}


def differ(kind, which, mu) -> int:
    """Sequences in which the compiled sampler is not the reference."""
    found = 0
    for prompt in (None, [V, 1, V, V]):
        start = [[V] * L if prompt is None else prompt] * N
        out = pymdm.sample(network(mu), mask_id=V, infill=start, seed=11, sampler=WHICH[which])
        for i in range(N):
            one = reference(kind, which, mu, i, prompt)
            same = out.tokens[i].tolist() == one.tokens.tolist() and out.nfe[i] == one.nfe
            if which != "remask":
                ranked = [l for l in out.rank[i].argsort().tolist() if out.rank[i][l] >= 0]
                same = same and ranked == one.order.tolist()
            found += not same
    return found


class LowestFirst(Scored):
    def first(self, scores, lots, count):
        return super().first(-scores, lots, count)


class KeepsTheWorst(Scored):
    def again(self, scores, lots, count):
        return super().again(-scores, lots, count)


class TiesFromTheLeft(Scored):
    def first(self, scores, lots, count):
        return super().first(scores, np.zeros_like(lots), count)

    def again(self, scores, lots, count):
        return super().again(scores, np.zeros_like(lots), count)


class StaleScores(Scored):
    """The score is asked once, at the start."""

    def scores(self, tokens, logits):
        if not hasattr(self, "kept"):
            self.kept = super().scores(tokens, logits)
        return self.kept


class SeesProposals(Scored):
    def seen(self, tokens, logits, proposals, call):
        return super().seen(tokens, logits, not proposals, call)


@pytest.mark.parametrize("which", WHICH)
def test_each_sequence_is_the_reference_s(which):
    assert differ(Scored, which, table(5)) == 0


@pytest.mark.parametrize(
    ("fault", "which"),
    [
        (LowestFirst, "one"),
        (KeepsTheWorst, "remask"),
        (TiesFromTheLeft, "two"),
        (TiesFromTheLeft, "remask"),
        (StaleScores, "one"),
        (StaleScores, "remask"),
        (SeesProposals, "one"),
        (SeesProposals, "proposals"),
    ],
)
def test_every_planted_fault_is_caught(fault, which):
    assert differ(fault, which, table(5)) > 0


def test_equal_scores_are_plain_remasking_bit_for_bit():
    for plain in (
        LEVELS,
        pymdm.Remask(steps=12, strategy="loop", eta=0.5),
        pymdm.Remask(steps=6, strategy="rescale", eta=1),
    ):
        scored = pymdm.Remask(plain.steps, plain.strategy, plain.eta, score=equal)
        assert torch.equal(draw(plain, n=200).tokens, draw(scored, n=200).tokens)
    law = remask.remask_law(table(3), LEVELS.levels(), LEVELS.sigmas())
    assert chi_square(draw(pymdm.Remask(steps=6, eta=0.5, score=equal), n=20_000, mu=table(3)), law) > ALPHA


def test_the_levels_are_kept_whatever_the_scores_are():
    """After three of six steps the number of masks is binomial at the level, as without scores: alpha 1e-7."""
    for score in (planner, equal):
        out = draw(pymdm.Remask(steps=6, eta=0.5, score=score), n=20_000, max_calls=3)
        assert out.state.to_dict()["event"].tolist() == [3] * 20_000
        counts = np.bincount(out.state.remaining.numpy(), minlength=L + 1)
        expected = stats.binom.pmf(np.arange(L + 1), L, LEVELS.levels()[3]) * 20_000
        assert stats.chisquare(counts, expected).pvalue > ALPHA  # power: a level off by 0.02 is seen with 0.99
    off = stats.binom.pmf(np.arange(L + 1), L, LEVELS.levels()[3] + 0.02) * 20_000
    assert stats.chisquare(counts, off).pvalue < ALPHA


@pytest.mark.parametrize(
    "sampler",
    [pymdm.Confidence(score=planner), pymdm.Confidence(score=planner, tokens_per_call=2, block_length=2)],
    ids=str,
)
def test_a_score_of_logits_and_state_has_an_exact_likelihood(sampler):
    mu, every = table(8), list(itertools.product(range(V), repeat=L))
    found = pymdm.log_likelihood(network(mu), every, rule=sampler, mask_id=V, seed=11)
    law = np.exp(-found.by_sequence)
    assert abs(law.sum() - 1) < 1e-9
    # One id for all: lots are part of the law of a seed, so every sample is drawn at the id that the law is of.
    mus = [
        pymdm.sample(network(mu), mask_id=V, length=L, seed=s, sampler=sampler).tokens[0].tolist() for s in range(2_000)
    ]
    laws = np.zeros((V + 1) ** L)
    places = state_index(np.array(every), V)
    for s in range(40):  # the mean over seeds, of which 40 see all lots of four positions often enough
        laws[places] += (
            np.exp(-pymdm.log_likelihood(network(mu), every, rule=sampler, mask_id=V, seed=s).by_sequence) / 40
        )
    counts = np.bincount(state_index(np.array(mus), V), minlength=len(laws))
    assert (
        0.5 * np.abs(counts / len(mus) - laws).sum() < 0.15
    )  # sampling error alone: about 0.07; another rule: above 0.3
    rule = np.zeros_like(laws)
    rule[places] = np.exp(-pymdm.log_likelihood(network(mu), every, rule="entropy", mask_id=V).by_sequence)
    assert 0.5 * np.abs(laws - rule).sum() > 0.02


def test_packing_stops_lengths_and_doors_do_not_matter():
    config = ModelConfig(vocab_size=V, length=12, width=32, layers=2, heads=2)
    model = random_network(config, seed=3)
    engine = pymdm.Engine(model)
    samplers = [
        pymdm.Confidence(score=sharpest, tokens_per_call=2, block_length=4),
        pymdm.Remask(steps=8, eta=0.5, score=sharpest),
    ]
    for sampler in samplers:
        starts = [[V] * n for n in (12, 3, 7, 12, 5, 7)]
        shape = dict(infill=starts, seed=6, sampler=sampler, mask_id=V)
        whole = pymdm.sample(engine, **shape)
        for options in ({"batch_size": 1}, {"batch_size": 4}):
            assert all(map(torch.equal, whole.tokens, pymdm.sample(engine, **shape, **options).tokens))
        part = pymdm.sample(engine, max_calls=2, **shape)
        with pytest.raises(ValueError, match=r"give sampler= for .*score={.*sharpest"):
            pymdm.Samples.from_dict(part.to_dict())
        assert all(map(torch.equal, whole.tokens, pymdm.resume(engine, part.to_dict(), sampler=sampler).tokens))
        through = pymdm.sample(lambda tokens: engine(tokens), **shape)
        assert all(map(torch.equal, whole.tokens, through.tokens))


def sharpest(tokens, logits):
    return logits[..., :V].double().softmax(-1).amax(-1)


def test_the_score_sees_whole_sequences_without_gradients_and_in_evaluation_mode():
    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(V))
            self.seen = []

        def forward(self, tokens, logits):
            self.seen.append((tuple(tokens.shape), tuple(logits.shape), self.training, torch.is_grad_enabled()))
            return logits[..., :V].float() @ self.weight

    head = Head().train()
    draw(pymdm.Confidence(score=head), n=5)
    assert head.seen == [((5, L), (5, L, V), False, False)] * L
    assert head.training


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: pymdm.Confidence(score="best"), TypeError, "score must be a function .* got 'best'"),
        (lambda: pymdm.Remask(steps=4, score=dict), TypeError, "got the class dict"),
        (lambda: pymdm.Confidence("margin", score=equal), ValueError, "give a rule or a score, not both"),
        (lambda: pymdm.Confidence(proposals=True), ValueError, "proposals=True is for a score"),
        (lambda: pymdm.Confidence(score=equal, bound=1.0), ValueError, 'is for rule "entropy"'),
        (lambda: pymdm.Remask(steps=4, strategy="conf", score=equal), ValueError, "has a score of its own"),
        (lambda: draw(pymdm.Confidence(score=lambda t, x: t.double() / 0 * 0)), ValueError,
         r"^sample: score gave nan for sequence 0 \(id 0\), position 0$"),
        (lambda: draw(pymdm.Confidence(score=lambda t, x: x)), ValueError,
         r"^sample: score must give a float tensor \[64, 4\], got torch.float64 \[64, 4, 3\]$"),
        (lambda: draw(pymdm.Remask(steps=4, eta=1.0, score=lambda t, x: t)), ValueError, "got torch.int64"),
        (lambda: draw(pymdm.Confidence(score=lambda t, x: [0])), TypeError, r"tensor \[64, 4\], got list"),
        (lambda: draw(pymdm.Confidence(score=lambda t: t)), TypeError, "positional argument"),
        (lambda: pymdm.log_likelihood(network(table()), [[0] * L], mask_id=V,
                                      rule=pymdm.Confidence(score=equal, proposals=True)), ValueError,
         "has no exact likelihood: it looks at the tokens"),
    ],
)  # fmt: skip
def test_bad_scores_are_refused_in_one_line(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_nan_of_positions_that_have_no_distribution_does_no_harm_where_they_are_not_drawn():
    """A row of a known position may be anything."""
    plain = network(table(2))

    def score(tokens):
        return torch.where((tokens != V)[..., None], float("nan"), plain(tokens))

    def of_masks(tokens, logits):
        return logits.sum(-1).nan_to_num(0.0)

    a, b = (
        pymdm.sample(net, mask_id=V, length=L, num_samples=20, seed=3, sampler=pymdm.Confidence(score=of_masks))
        for net in (plain, score)
    )
    assert torch.equal(a.tokens, b.tokens)


def test_a_sampler_with_a_score_reads_the_same_in_every_process():
    shown = repr(pymdm.Confidence(score=sharpness, tokens_per_call=2))
    assert shown.startswith("Confidence(rule='probability', tokens_per_call=2") and "score=sharpness," in shown
    assert " at 0x" not in repr(pymdm.Remask(steps=6, score=sharpness))
