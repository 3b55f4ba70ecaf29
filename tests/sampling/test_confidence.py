"""Confidence rules against the published descriptions, prompts included; ties, lists and bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.engine_networks import random_network
from helpers.sampler_tables import L, V, draw, network, table

import pymdm
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine
from pymdm.reference import choose
from pymdm.reference.ancestral import stride
from pymdm.reference.published_rules import decode, dream_law

PUBLISHED = {
    "LLaDA low_confidence": ({"rule": "probability", "tokens_per_call": 2}, {"rule": "low_confidence"}),
    "Fast-dLLM": ({"rule": "probability", "threshold": 0.45}, {"rule": "low_confidence", "threshold": 0.45}),
    "Dream maskgit_plus": ({"rule": "maskgit_plus", "tokens_per_call": 2}, {"rule": "maskgit_plus"}),
    "Dream topk_margin": ({"rule": "margin", "tokens_per_call": 2}, {"rule": "topk_margin"}),
    "Dream entropy": ({"rule": "entropy", "tokens_per_call": 2}, {"rule": "entropy"}),
    "entropy bound": ({"rule": "entropy", "bound": 0.8}, {"rule": "entropy", "bound": 0.8}),
}
LONG, WIDE = 12, 7


def long_network(tokens: torch.Tensor) -> torch.Tensor:
    """[B, 12, 7] logits that depend on the whole sequence, of any length, without near ties."""
    mix = (tokens + 1).cumsum(1) * 1.7 + tokens.sum(1, keepdim=True) * 0.31
    return torch.stack([2.5 * torch.sin(mix * (1 + 0.37 * v)).double() for v in range(WIDE)], -1)


def proposer(seed: int, sequence: int, **options):
    """The compiled sampler's proposals: the event is the call, the index begins at the position's stretch."""

    def propose(logits: torch.Tensor, call: int, positions: torch.Tensor) -> torch.Tensor:
        base = positions.numpy() * stride(logits.shape[1])
        return torch.from_numpy(choose.choose(logits.numpy(), seed, sequence, call, base=base, **options))

    return propose


def near(rule: str, sure: torch.Tensor) -> bool:
    """Whether two confidences are tied, where the sources leave the choice open."""
    scale = sure.log() if rule in ("low_confidence", "maskgit_plus") else sure
    return bool((scale.sort().values.diff() < 1.1e-4).any())


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("block", [None, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {},
        {"temperature": 0.6},
        {"temperature": 1.4, "top_k": 3},
        {"temperature": 3.0, "top_p": 0.9},
    ],
    ids=str,
)
def test_each_rule_is_as_its_source_publishes_it(name, block, options):
    ours, theirs = PUBLISHED[name]
    count, held = ours.get("tokens_per_call", 1), 0
    for prompt in ([], [3], [1, 2, 0], [5, 5, 1, 0, 6]):
        infill = torch.full((3, LONG), WIDE)
        infill[:, : len(prompt)] = torch.tensor(prompt, dtype=torch.int64)
        out = pymdm.sample(
            long_network,
            mask_id=WIDE,
            infill=infill,
            seed=17,
            sampler=pymdm.Confidence(block_length=block, **ours),
            **options,
        )
        for b in range(3):
            drawn = {"temperature": options.get("temperature", 1.0), **options}
            filters = {key: options[key] for key in ("top_k", "top_p") if key in options}
            tokens, calls, compared = decode(
                long_network, infill[b], mask_id=WIDE, propose=proposer(17, b, **drawn), tokens_per_call=count,
                block_length=block, temperature=drawn["temperature"], **filters, **theirs,
            )  # fmt: skip
            if any(near(theirs["rule"], sure) for sure in compared):
                continue
            held += 1
            assert out.tokens[b].tolist() == tokens.tolist() and out.nfe[b] == len(calls)
            rank, ranks = out.rank[b].tolist(), 0
            for call in calls:
                assert sorted(rank[l] for l in call) == list(range(ranks, ranks + len(call)))
                ranks += len(call)
    assert held >= 3  # of 12 sequences


def test_dream_s_law_is_that_of_the_draw():
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for options in ({"temperature": 0.6}, {"temperature": 1.3, "top_k": 4}, {"temperature": 1.0, "top_p": 0.6}):
        scores = torch.from_numpy(choose.filtered(logits.numpy(), **options))
        torch.testing.assert_close(dream_law(logits, **options), scores.softmax(-1))


@pytest.mark.parametrize("rule", ["probability", "margin", "entropy", "random", "maskgit_plus"])
def test_blocks_are_counted_from_the_first_position_that_is_free(rule):
    """A prompt of 10, 16 holes, blocks of 8: 10..17 come first, then 18..25; also with a given token inside."""
    for inside in (None, 13):
        infill = torch.cat([torch.zeros(10, dtype=torch.int64), torch.full((16,), WIDE)])
        if inside:
            infill[inside] = 1
        out = pymdm.sample(
            long_network,
            mask_id=WIDE,
            infill=infill.expand(20, -1),
            seed=2,
            sampler=pymdm.Confidence(rule, block_length=8),
        )
        first = {l for l in range(10, 18) if l != inside}
        for ranks in out.rank.tolist():
            assert {l for l, rank in enumerate(ranks) if 0 <= rank < len(first)} == first


def test_a_threshold_is_reached_by_equality():
    def halves(tokens):
        return torch.zeros(*tokens.shape, 2)

    sampler = pymdm.Confidence(threshold=0.5)
    assert pymdm.sample(halves, mask_id=2, length=4, seed=1, sampler=sampler).calls == 1
    assert pymdm.sample(halves, mask_id=2, length=4, seed=1, sampler=pymdm.Confidence(threshold=0.51)).calls == 4
    thirds = pymdm.Confidence("maskgit_plus", threshold=1 / 3)
    assert pymdm.sample(lambda t: torch.zeros(*t.shape, 3), mask_id=3, length=4, seed=1, sampler=thirds).calls == 1
    assert draw(pymdm.Confidence("entropy", threshold=-np.log(V))).nfe == [1] * 64  # no entropy is above log V


def test_a_list_of_tokens_a_call():
    out = draw(pymdm.Confidence("margin", tokens_per_call=(3, 1)))
    assert out.nfe == [2] * 64
    assert torch.equal(
        draw(pymdm.Confidence("margin", tokens_per_call=(2, 2))).tokens,
        draw(pymdm.Confidence("margin", tokens_per_call=2)).tokens,
    )
    for bad in ((), (3, 0), "3", 1.5, (2, 1.5), True):
        with pytest.raises((ValueError, TypeError), match="sample: tokens_per_call must"):
            pymdm.Confidence(tokens_per_call=bad)
    for bad in ({"bound": 1.0}, {"rule": "entropy", "bound": -0.1}, {"rule": "entropy", "bound": float("nan")}):
        with pytest.raises(ValueError, match="sample: bound must"):
            pymdm.Confidence(**bad)


def test_an_entropy_bound_takes_the_largest_set():
    p = torch.tensor([[0.9, 0.05, 0.05], [0.98, 0.01, 0.01], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]], dtype=torch.float64)
    entropy = sorted((-(p * p.log()).sum(-1)).tolist())  # .11, .39, .64, 1.09

    def calls(bound):
        sampler = pymdm.Confidence("entropy", bound=bound)
        return pymdm.sample(lambda t: p.log().expand(len(t), L, V), mask_id=V, length=L, seed=1, sampler=sampler).calls

    assert calls(0.0) == 4 and calls(sum(entropy[:3]) + 1e-9) == 1
    assert (
        calls(entropy[0] + 1e-9) == 3
    )  # {.11, .39}, then .64 alone, as .64 > .11 is left out only beside a larger one


@pytest.mark.parametrize("rule", ["probability", "margin", "entropy", "maskgit_plus"])
def test_equal_rows_are_a_tie_and_a_lot_decides(rule):
    """Rotary positions alone: at an all-mask start the rows of a network differ by rounding only."""
    config = ModelConfig(vocab_size=11, mask_id=11, length=16, width=32, layers=2, heads=2)
    model = random_network(config, 3)
    options = dict(mask_id=11, length=16, num_samples=48, seed=8, temperature=0.0, sampler=pymdm.Confidence(rule))
    ours = pymdm.sample(Engine(model), **options)
    theirs = pymdm.sample(lambda tokens: model(tokens).detach()[..., :11], **options)
    assert torch.equal(ours.rank, theirs.rank) and torch.equal(ours.tokens, theirs.tokens)
    first = (ours.rank == 0).int().argmax(1)
    assert len(set(first.tolist())) > 8  # of 16; rounding would choose one for all


def test_near_ties_are_taken_from_within_the_stated_rounding():
    logits = torch.zeros(L, V, dtype=torch.float64)
    logits[:, 0] = torch.tensor([2.0, 2.0 + 5e-5, 2.01, 1.0])

    def firsts(rule):
        sampler = pymdm.Confidence(rule)
        out = pymdm.sample(
            lambda t: logits.expand(len(t), L, V),
            mask_id=V,
            length=L,
            num_samples=64,
            seed=1,
            temperature=0,
            sampler=sampler,
        )
        return out.rank

    for rule in ("probability", "margin", "entropy"):
        order = firsts(rule)
        assert bool((order[:, 2] == 0).all()) and bool((order[:, 3] == 3).all())
        assert 16 < int((order[:, 0] == 1).sum()) < 48  # binomial(64, 1/2): both orders come, 4 standard errors


def test_confident_remasking_uses_the_probability_that_the_token_was_drawn_with():
    from pymdm.reference.remask import remask

    sampler = pymdm.Remask(steps=6, strategy="conf")
    mu = table(31)
    score = network(mu)
    out = draw(sampler, n=32, mu=mu, temperature=0.5)
    for b in range(32):
        mine = remask(
            lambda tokens: np.pad(score(torch.from_numpy(tokens)).numpy(), ((0, 0), (0, 0), (0, 1))), L, mask_id=V, seed=11,
            sequence=b, levels=sampler.levels(), sigma=sampler.sigmas(), confident=True, temperature=0.5,
        )  # fmt: skip
        assert out.tokens[b].tolist() == mine.tokens.tolist()
