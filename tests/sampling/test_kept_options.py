"""Every way of drawing on networks that keep what they have seen: a cache, a batch or a stop changes nothing.

A run that stops after every call rebuilds its cache from the state each time, so that it computes all that its rows see.
"""

import numpy as np
import pytest
import torch
from helpers.engine_networks import random_network
from hypothesis import given, settings
from hypothesis import strategies as st

import pymdm
from pymdm._native import C
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine

V = 11  # and the mask
KINDS = {
    "causal": {"attention": "causal"},
    "causal, a mask inside": {"attention": "causal", "mask_id": 4},
    "block of 1": {"attention": "block", "block_length": 1},
    "block of 5": {"attention": "block", "block_length": 5},
    "block of 6, shifted": {"attention": "block", "block_length": 6, "logit_shift": True},
    "block of 6, shifted, causal context": {
        "attention": "block", "block_length": 6, "logit_shift": True, "causal_context": True,
    },
    "any-order": {"attention": "any-order"},
    "any-order, a mask inside": {"attention": "any-order", "mask_id": 4},
    "any-order, learned positions": {"attention": "any-order", "positions": "learned", "kv_heads": 1},
}  # fmt: skip
LAWS = {
    "as it is": {},
    "tempered": {"temperature": 0.6},
    "most likely": {"temperature": 0},
    "truncated": {"top_k": 4, "top_p": 0.8, "temperature": 1.3},
    "banned": {"banned_tokens": [1, 3]},
    "allowed": {"allowed": {2: [5, 7], 9: [6], 14: [0, 2, 8]}},
}
SAMPLERS = [
    pymdm.FirstHitting(),
    pymdm.FirstHitting(tokens_per_call=3),
    pymdm.FirstHitting(tokens_per_call=(1, 4, 2)),
    pymdm.FirstHitting(lookahead=3),
    pymdm.FirstHitting(lookahead=0.3),
    pymdm.FirstHitting(tokens_per_call=2, lookahead=4),
]
RULES = [
    pymdm.Confidence("margin"),
    pymdm.Confidence("entropy", tokens_per_call=3),
    pymdm.Confidence("probability", threshold=0.4),
    pymdm.Confidence("random", tokens_per_call=2),
]


def engine_of(kind: str, dtype: str, seed: int, length: int = 40) -> Engine:
    model = random_network(ModelConfig(V, length, 32, 2, 2, mlp_width=48, **KINDS[kind]), seed)
    with torch.no_grad():
        model.head.weight *= 3  # far from uniform
    return Engine(model, dtype=dtype)


def starts_of(engine: Engine, rng: np.random.Generator, least: int) -> list[list[int]]:
    """Ragged sequences with given tokens: a prefix of a causal network, else some anywhere; one may have nothing to draw."""
    mask, out = engine.config.mask_id, []
    ids = [i for i in range(V) if i != mask]
    for length in rng.integers(least, 29, rng.integers(1, 5)):
        places = rng.permutation(length)[: rng.integers(0, length + 1)]
        places = np.arange(len(places)) if engine.config.causal else places
        row = np.full(length, mask)
        row[places] = rng.choice(ids, len(places))
        out.append(row.tolist())
    return out


def equal(a: pymdm.Samples, b: pymdm.Samples) -> bool:
    return all(
        torch.equal(x.tokens, y.tokens)
        and torch.equal(x.rank, y.rank)
        and torch.equal(x.times.nan_to_num(-1), y.times.nan_to_num(-1))
        and torch.equal(x.log_prob.nan_to_num(-1), y.log_prob.nan_to_num(-1))
        for x, y in zip(a, b, strict=True)
    )


def samplers_of(kind: str) -> list:
    lines = [pymdm.FirstHitting(2, order=2), pymdm.FirstHitting((1, 3), order=2)]
    return SAMPLERS if kind.startswith("causal") else [*SAMPLERS, *RULES, *lines]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), seed=st.integers(0, 2**31))
@settings(max_examples=12, deadline=None)
def test_the_cache_the_batch_and_stops_change_nothing(kind, dtype, data, seed):
    rng = np.random.default_rng(seed)
    engine, sampler = engine_of(kind, dtype, seed % 5), data.draw(st.sampled_from(samplers_of(kind)))
    law = LAWS[data.draw(st.sampled_from(list(LAWS)))]
    starts = starts_of(engine, rng, least=15 if "allowed" in law else 1)
    ids = (rng.choice(50, len(starts), replace=False)).tolist()
    how = {"sampler": sampler, "seed": int(seed), **law}
    whole = pymdm.sample(engine, infill=starts, sequence_ids=ids, **how)
    cut = pymdm.sample(engine, infill=starts, sequence_ids=ids, max_calls=1, **how)
    while int(cut.state.remaining.sum()):
        cut = pymdm.resume(engine, cut.state.to_dict(), max_calls=1)  # the cache begins empty
    assert equal(whole, cut)
    if getattr(sampler, "lookahead", 1) == 1:  # how many guesses pay is learnt anew after a stop
        assert whole.calls == cut.calls
    small = pymdm.sample(engine, infill=starts, sequence_ids=ids, batch_size=2, **how)
    assert equal(whole, small)
    one = int(rng.integers(len(starts)))
    alone = pymdm.sample(engine, infill=[starts[one]], sequence_ids=[ids[one]], **how)
    assert equal(whole[one : one + 1], alone)
    if isinstance(sampler, pymdm.FirstHitting) and sampler.lookahead != 1:
        plain = pymdm.FirstHitting(tokens_per_call=sampler.tokens_per_call)
        assert equal(whole, pymdm.sample(engine, infill=starts, sequence_ids=ids, **(how | {"sampler": plain})))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", ["causal", "block of 5", "block of 6, shifted, causal context"])
def test_a_callable_that_keeps_nothing_draws_the_same(kind, law):
    """The engine's forward of whole sequences, called as any function is."""
    engine = engine_of(kind, "float32", 2)
    c = engine.config

    def forward(tokens):
        if c.causal:
            tokens = torch.cat([torch.full_like(tokens[:, :1], c.mask_id), tokens[:, :-1]], 1)
        return engine(tokens)

    how = dict(prompt=[2, 5, 7], length=23, num_samples=3, seed=4, **LAWS[law])
    for sampler in (
        pymdm.FirstHitting(),
        pymdm.FirstHitting(3, order=1 if c.causal else 2),
        pymdm.FirstHitting(lookahead=3),
    ):
        kept = pymdm.sample(engine, sampler=sampler, **how)
        calls = {
            "tokens_per_call": sampler.tokens_per_call,
            "order": sampler.order,
            "block_length": c.block_length or 1,
        }
        assert equal(kept, pymdm.sample(forward, mask_id=c.mask_id, sampler=pymdm.FirstHitting(**calls), **how))


def test_prompts_of_several_lengths_each_give_their_samples():
    for kind in ("causal", "block of 5", "any-order"):
        engine = engine_of(kind, "float32", 1)
        prompts = [[1], [2, 3, 4, 5, 6, 7], [], [8, 9]]
        out = pymdm.sample(engine, prompt=prompts, num_samples=2, length=17, seed=3)
        assert out.nfe == [16, 16, 11, 11, 17, 17, 15, 15]
        for i, sample in enumerate(out):
            own = prompts[i // 2]
            assert sample.tokens[: len(own)].tolist() == own and len(sample.tokens) == 17
            again = pymdm.sample(engine, prompt=[own], length=17, seed=3, sequence_ids=[i])
            assert torch.equal(again[0].tokens, sample.tokens)


@pytest.mark.parametrize("kind", ["block of 5", "block of 6, shifted, causal context"])
def test_rules_take_the_networks_blocks_from_position_0(kind):
    """Also behind a prompt that ends inside a block, where other networks begin to count."""
    engine = engine_of(kind, "float32", 1)
    K, prompt = engine.config.block_length, [1, 2, 3, 5, 6, 7, 8]
    out = pymdm.sample(engine, prompt=prompt, length=28, num_samples=3, seed=1, sampler=pymdm.Confidence("margin"))
    assert out.sampler.block_length == K and out.sampler.aligned and out.law == "approximate"
    order = out.rank[:, 7:].argsort(1) + 7
    assert torch.equal(order // K, (torch.arange(7, 28) // K).expand(3, -1))
    other = pymdm.sample(
        lambda tokens: engine(tokens), mask_id=V, prompt=prompt, length=28, seed=1,
        sampler=pymdm.Confidence("margin", block_length=K),
    )  # fmt: skip
    order = other.rank[:, 7:].argsort(1)
    assert torch.equal(order // K, (torch.arange(21) // K).expand(1, -1))
    smaller = pymdm.sample(engine, length=12, seed=1, sampler=pymdm.Confidence("margin", block_length=1))
    assert smaller.rank[0].tolist() == list(range(12))


@pytest.mark.parametrize(
    ("kind", "sampler", "words"),
    [
        ("causal", pymdm.Confidence("margin"), "'causal' is sampled by FirstHitting with order=1 and no corrector, got"),
        ("block of 5", pymdm.Confidence("margin", block_length=2), "block_length must divide 5"),
        ("causal", pymdm.FirstHitting(2, order=2), "'causal' is sampled by FirstHitting with order=1 and no corrector, got"),
        ("block of 5", pymdm.FirstHitting(2, corrector=True), "'block' is sampled by FirstHitting without a corrector, or"),
        ("any-order", pymdm.FirstHitting(2, corrector=True), "'any-order' is sampled by FirstHitting without a corrector, or"),
        ("any-order", pymdm.Confidence(score=lambda t, x: x.amax(-1)), "or Confidence by a rule, got"),
        ("any-order", pymdm.Remask(steps=4), "or Confidence by a rule, got"),
    ],
)  # fmt: skip
def test_samplers_that_do_not_go_with_a_network_are_refused(kind, sampler, words):
    with pytest.raises(ValueError, match=f"^sample: .*{words}"):
        pymdm.sample(engine_of(kind, "float32", 1), length=8, sampler=sampler)


def test_a_window_is_refused():
    engine = Engine(random_network(ModelConfig(V, 20, 16, 2, 2, attention="causal", window=3, full_every=2), 1))
    with pytest.raises(ValueError, match=r"^engine: keys and values are kept of networks without a window"):
        C.KeptRun(engine.native)


def test_blocks_say_their_law():
    """One position a block is one token a call; a certificate of random order does not hold of blocks."""
    assert pymdm.FirstHitting(tokens_per_call=8, block_length=1).law == "exact"
    assert pymdm.FirstHitting(tokens_per_call=8, block_length=1, noise="float32").law == "approximate"
    assert pymdm.FirstHitting(tokens_per_call=8, block_length=8).law == "approximate"
    out = pymdm.sample(engine_of("causal", "float32", 1), length=9, sampler=pymdm.FirstHitting(tokens_per_call=4))
    assert out.law == "exact" and out.nfe == [9]
    plan = pymdm.CallSchedule((4, 5), 0.5, (0.4, 0.6), 0.7, 0, "a text")
    assert pymdm.FirstHitting(tokens_per_call=plan, block_length=3).law == "approximate"
    out = pymdm.sample(
        engine_of("block of 5", "float32", 1), length=9, sampler=pymdm.FirstHitting(tokens_per_call=plan)
    )
    assert out.law == "approximate" and out.sampler.block_length == 5
    assert pymdm.sample(engine_of("any-order", "float32", 1), length=9, sampler=pymdm.FirstHitting(plan)).nfe == [2]


def test_a_state_that_a_causal_network_could_not_have_made_is_refused():
    """Begun on a network that sees both ways, with a token after a hole."""
    both = Engine(random_network(ModelConfig(V, 40, 32, 2, 2), 1))
    left = pymdm.FirstHitting(block_length=1)
    half = pymdm.sample(both, infill=[[1, V, V, 2, V]], seed=1, sampler=left, max_calls=1)
    with pytest.raises(
        ValueError, match=r"^sample: a causal network .* sequence 0 has a token at position 3, after a hole"
    ):
        pymdm.resume(engine_of("causal", "float32", 1), half.to_dict())
    half = pymdm.sample(both, prompt=[1], length=5, seed=1, sampler=left, max_calls=1)
    assert pymdm.resume(engine_of("causal", "float32", 1), half.to_dict()).nfe == [4]
