"""Samplers of networks that keep what they have seen, and blocks: laws by enumeration, invariances, what is refused.

Chi-square tests use alpha 1e-7 each and fixed seeds (15 of them).
"""

import itertools

import numpy as np
import pytest
import torch
from helpers.command_line import run, run_json
from helpers.engine_networks import KEPT, random_network, sharp_network
from helpers.sampler_tables import ALPHA, POWERS, network, table
from scipy import stats

import pymdm
from pymdm.network.attention import two_streams
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine
from pymdm.reference.forward import forward
from pymdm.reference.laws import complete
from pymdm.reference.orders import order_law
from pymdm.reference.second_order import extrapolated_law

V, L, N = 3, 4, 10_000


def model_of(kind: str, length: int = L, vocab: int = V):
    """For any-order the noncentrality of `fit` is 550 at N samples."""
    return sharp_network(kind, vocab, length)


def score_of(model, rank_of=lambda rank: rank):
    """The uncached float64 reference as `order_law` calls it; a causal network reads each token one place later."""
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    c = model.config

    def score(tokens, rank):
        if c.causal:
            tokens = np.concatenate([np.full((len(tokens), 1), c.mask_id), tokens[:, :-1]], 1)
        return forward(c, weights, tokens, rank=rank_of(rank) if c.attention == "any-order" else None)

    return score


def fit(out, law) -> float:
    """p-value of samples [N, L] under a law [V] * L; cells below 5 expected are pooled."""
    index = np.ravel_multi_index(tuple(out.tokens.numpy().T), law.shape)
    counts, expected = np.bincount(index, minlength=law.size), law.ravel() * len(out)
    small = expected < 5
    observed, wanted = (
        np.append(counts[~small], counts[small].sum()),
        np.append(expected[~small], expected[small].sum()),
    )
    if wanted[-1] == 0:
        assert observed[-1] == 0
        observed, wanted = observed[:-1], wanted[:-1]
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


@pytest.mark.parametrize(
    ("kind", "block", "prompt"),
    [
        ("causal", 1, [V] * 4),
        ("causal", 1, [2, V, V, V]),
        ("block", 2, [V] * 4),
        ("block", 1, [V] * 4),
        ("block", 2, [V, V, 1, V]),  # a token after a hole: its block sees it
        ("any-order", 0, [V] * 4),
        ("any-order", 2, [V] * 4),
        ("any-order", 0, [V, 0, V, 2]),  # given together
    ],
)
def test_law_by_enumeration(kind, block, prompt):
    model = model_of(kind)
    law = order_law(score_of(model), V, L, prompt, block)
    assert abs(law.sum() - 1) < 1e-9
    sampler = pymdm.FirstHitting(block_length=block) if block else None
    out = pymdm.sample(Engine(model), infill=[prompt] * N, seed=6, sampler=sampler)
    assert out.law == "exact" and fit(out, law) > ALPHA


def test_the_law_of_any_order_depends_on_the_order_of_what_is_known():
    model = model_of("any-order")
    together = order_law(score_of(model, lambda rank: np.minimum(rank, -1)), V, L)
    out = pymdm.sample(Engine(model), num_samples=N, length=L, seed=6)
    assert fit(out, together) < ALPHA


def test_blocks_on_a_bidirectional_network():
    mu = table(3)
    log_mu = np.log(mu)
    weights = POWERS.numpy()
    laws = {}
    for block in (1, 2, 3):
        laws[block] = order_law(lambda tokens, rank: log_mu[tokens @ weights], V, L, None, block)
        out = pymdm.sample(
            network(mu), mask_id=V, length=L, num_samples=N, seed=2, sampler=pymdm.FirstHitting(block_length=block)
        )
        assert fit(out, laws[block]) > ALPHA
        assert bool((out.rank // block == torch.arange(L) // block).all())
    assert fit(out, laws[1]) < ALPHA


def test_one_block_is_plain_first_hitting_and_blocks_have_times_of_their_own():
    mu = table(3)
    base = dict(mask_id=V, length=L, num_samples=50, seed=2)
    plain = pymdm.sample(network(mu), **base)
    whole = pymdm.sample(network(mu), sampler=pymdm.FirstHitting(block_length=L), **base)
    assert torch.equal(plain.tokens, whole.tokens) and torch.equal(plain.times, whole.times)
    halves = pymdm.sample(network(mu), sampler=pymdm.FirstHitting(block_length=2), **base)
    largest = halves.times.view(50, 2, 2).amax(2)
    assert (
        stats.kstest(largest[:, 1], lambda m: m**2).pvalue > ALPHA
    )  # the larger of two uniforms, in the second block too
    several = pymdm.sample(network(mu), sampler=pymdm.FirstHitting(3, block_length=2), **base)
    assert several.nfe == [2] * 50 and torch.equal(several.times, halves.times)


@pytest.mark.parametrize("counts", [2, (1, 2)])
def test_extrapolation_in_blocks_has_its_law(counts):
    """Each block has a line and a coefficient of its own; the law of calls of order 1 in the same blocks is rejected."""
    mu = table(3)
    for prompt in ([V, 1, V, V], [V] * 4):
        law = extrapolated_law(mu, counts, prompt, block_length=3)
        how = dict(mask_id=V, infill=[prompt] * 30_000, seed=3)
        out = pymdm.sample(network(mu), sampler=pymdm.FirstHitting(counts, order=2, block_length=3), **how)
        law = complete(law, V, L)
        assert law.sum() == pytest.approx(1) and fit(out, law.reshape((V,) * L)) > ALPHA
        assert bool((out.rank[:, 3] == (np.array(prompt) == V).sum() - 1).all())  # alone in the second block
    plain = pymdm.sample(network(mu), sampler=pymdm.FirstHitting(counts, block_length=3), **how)
    assert fit(plain, law.reshape((V,) * L)) < ALPHA
    assert torch.equal(plain.rank, out.rank) and torch.equal(plain.times.nan_to_num(-1), out.times.nan_to_num(-1))


@pytest.mark.parametrize("kind", KEPT)
def test_samples_do_not_depend_on_batch_threads_or_cuts(kind):
    engine = Engine(model_of(kind, 20, 7))
    prompt = [[1, 2] + [7] * 18, [7] * 20, [3] + [7] * 8, [7] * 3, [5, 5, 5] + [7] * 17]
    run = dict(infill=prompt, seed=8)
    whole = pymdm.sample(engine, **run)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        for size in (1, 2):
            part = pymdm.sample(engine, batch_size=size, **run)
            assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(part, whole, strict=True))
    finally:
        torch.set_num_threads(threads)
    cut = pymdm.sample(engine, max_calls=2, **run)
    while int(cut.state.remaining.sum()):
        cut = pymdm.resume(engine, cut.state.to_dict(), max_calls=3)
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(cut, whole, strict=True))
    assert all(torch.equal(a.rank, b.rank) for a, b in zip(cut, whole, strict=True))


AHEAD = {
    "any-order": {"attention": "any-order"},
    "block of 2": {"attention": "block", "block_length": 2},
    "block of 7": {"attention": "block", "block_length": 7},
    "block of 6, shifted": {"attention": "block", "block_length": 6, "logit_shift": True},
    "block of 6, causal context": {"attention": "block", "block_length": 6, "causal_context": True},
    "causal": {"attention": "causal"},
}


@pytest.mark.parametrize("ahead", [2, 5, 0.2, "auto"])
@pytest.mark.parametrize("kind", AHEAD)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lookahead_gives_the_same_samples(kind, ahead, dtype):
    """Wrong guesses, also across the end of a block, leave nothing behind: the same tokens, ranks and log-probabilities."""
    engine = Engine(random_network(ModelConfig(7, 40, 16, 2, 2, **AHEAD[kind]), 7), dtype=dtype)
    given = [1, 3, 3] if kind == "causal" else [1, 7, 3]
    run = dict(infill=[[7] * 40, given + [7] * 30, [7] * 11], seed=3)
    alone, out = pymdm.sample(engine, **run), pymdm.sample(engine, sampler=pymdm.FirstHitting(lookahead=ahead), **run)
    for a, b in zip(alone, out, strict=True):
        assert torch.equal(a.tokens, b.tokens) and torch.equal(a.rank, b.rank)
        assert torch.equal(a.log_prob[b.rank >= 0], b.log_prob[b.rank >= 0])
    if isinstance(ahead, int):
        assert out.calls < alone.calls


def test_lookahead_inside_smaller_blocks_and_after_a_stop():
    """Fast-dLLM's sub-blocks: the sampler's blocks divide the network's."""
    engine = Engine(random_network(ModelConfig(7, 40, 16, 2, 2, attention="block", block_length=8), 7))
    run = dict(length=37, num_samples=3, seed=4)
    alone = pymdm.sample(engine, sampler=pymdm.FirstHitting(block_length=4), **run)
    sampler = pymdm.FirstHitting(block_length=4, lookahead=4)
    cut = pymdm.sample(engine, sampler=sampler, max_calls=3, **run)
    while int(cut.state.remaining.sum()):
        cut = pymdm.resume(engine, cut.state.to_dict(), max_calls=4)
    assert torch.equal(alone.tokens, cut.tokens) and torch.equal(alone.rank, cut.rank)
    assert cut.state.rounds.max() < 37


def test_leaving_out_rows_of_little_use_costs_hardly_a_round_where_all_guesses_are_right():
    """A network that answers alike whatever it sees; copies before the last then ask for hardly any row to guess from."""
    model = random_network(ModelConfig(7, 200, 16, 1, 2, attention="any-order"), 7)
    with torch.no_grad():
        model.blocks[0].out.weight.zero_()
    engine = Engine(model)
    out = pymdm.sample(engine, length=200, seed=1, sampler=pymdm.FirstHitting(lookahead=8))
    assert 1 + -(-199 // 8) <= out.calls <= 3 + -(-199 // 8)


def test_log_prob_is_the_likelihood_of_the_order():
    """The sampler's log-probabilities, with the cache, are those of one training pass over both streams."""
    model = model_of("any-order", 30, 7)
    out = pymdm.sample(Engine(model), num_samples=3, length=30, seed=4)
    both = torch.cat([out.tokens, torch.full_like(out.tokens, 7)], 1)
    with torch.no_grad():
        log_mu = model(both, sight=two_streams(out.rank))[:, 30:].log_softmax(-1)
    torch.testing.assert_close(
        out.log_prob.float(), log_mu.gather(-1, out.tokens[..., None])[..., 0], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("causal", {"infill": [[V, V, 1, V]]}, "only a prefix may be given; sequence 0 has a token at position 2"),
        ("causal", {"sampler": pymdm.FirstHitting(block_length=2)}, "block_length must divide 1"),
        ("block", {"sampler": pymdm.FirstHitting(block_length=3)}, "block_length must divide 2"),
        ("any-order", {"sampler": pymdm.Ancestral(steps=3)}, "is sampled by FirstHitting"),
        ("block", {"sampler": pymdm.FirstHitting(2, corrector=True)}, "is sampled by FirstHitting"),
        ("any-order", {"mask_id": 1}, "the mask of this network is 3, got mask_id=1"),
    ],
)
def test_what_a_network_cannot_see_is_refused(kind, options, words):
    with pytest.raises(ValueError, match=f"^sample: .*{words}"):
        pymdm.sample(Engine(model_of(kind)), **({"length": L} if "infill" not in options else {}), **options)


def test_block_length_is_checked():
    for options in (
        {"block_length": 0},
        {"block_length": 1.5},
        {"block_length": 2, "corrector": True, "tokens_per_call": 2},
    ):
        with pytest.raises((ValueError, TypeError), match=r"^sample: .*block_length"):
            pymdm.FirstHitting(**options)


def test_orders_are_those_of_the_blocks():
    from pymdm.reference.orders import block_orders

    assert set(block_orders([0, 1, 2, 3], 2)) == {(*a, *b) for a in ((0, 1), (1, 0)) for b in ((2, 3), (3, 2))}
    assert sorted(block_orders([0, 2, 3])) == sorted(itertools.permutations([0, 2, 3]))


def test_the_command_line_takes_blocks():
    left = run_json("sample", "--length", "12", "--seed", "3", "--block-length", "1")
    right = pymdm.sample(pymdm.load(), length=12, seed=3, sampler=pymdm.FirstHitting(block_length=1))
    assert left["samples"][0]["tokens"] == right[0].tokens.tolist() and right[0].rank.tolist() == list(range(12))
    refused = run("sample", "--sampler", "remask", "--block-length", "2")
    assert refused.exit_code == 2
    assert "--block-length belongs to --sampler first-hitting or confidence" in refused.stderr
