"""Allowed sets: the conditionals cut to each position's set and normalised again, in every sampler and through both doors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.sampler_tables import ALPHA, POWERS, SAMPLERS, L, V, chi_square, draw, histogram, network, table

import pymdm
from pymdm.reference import laws

SETS = {0: [0, 2], 2: [1], 3: [0, 1]}
INSIDE = torch.tensor([[v in SETS.get(l, range(V)) for v in range(V)] for l in range(L)])


def restricted(mu):
    cut = mu * INSIDE.numpy()
    return cut / cut.sum(-1, keepdims=True)


def test_law_is_that_of_the_cut_conditionals():
    """20,000 samples of 81 cells; the law of whole sequences given that they keep to the sets is another one, and refused."""
    mu = table(3)
    out = draw(pymdm.FirstHitting(), n=20_000, mu=mu, allowed=SETS)
    assert out.law == "truncated" and INSIDE[torch.arange(L), out.tokens].all()
    assert chi_square(out, laws.first_hitting_law(restricted(mu))) > ALPHA
    whole = laws.first_hitting_law(mu)
    digits = np.arange(len(whole))[:, None] // POWERS.numpy() % (V + 1)
    inside = np.array([all(d < V and INSIDE[l, d] for l, d in enumerate(row)) for row in digits])
    given = whole * inside / (whole * inside).sum()
    assert chi_square(out, given) < ALPHA


def test_a_leak_is_caught():
    """Planted fault: what is not allowed is made unlikely instead of impossible."""
    mu = table(3)
    logits = torch.from_numpy(np.log(mu))
    leaking = lambda tokens: logits[tokens @ POWERS] - 6.0 * ~INSIDE  # noqa: E731
    out = pymdm.sample(leaking, mask_id=V, length=L, num_samples=20_000, seed=11)
    law = laws.first_hitting_law(restricted(mu))
    assert histogram(out)[law == 0].sum() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_sampler_sees_the_cut_conditionals(sampler, dtype):
    """The same tokens as from a network whose own logits are cut, with one thread or three."""
    logits = torch.from_numpy(np.log(table(4))).to(dtype)
    whole = lambda tokens: logits[tokens @ POWERS]  # noqa: E731
    cut = lambda tokens: whole(tokens).masked_fill(~INSIDE, -torch.inf)  # noqa: E731
    options = dict(mask_id=V, length=L, num_samples=32, seed=11, sampler=sampler)
    want, threads = pymdm.sample(cut, **options), torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            got = pymdm.sample(whole, allowed=INSIDE, **options)
        finally:
            torch.set_num_threads(threads)
        assert torch.equal(got.tokens, want.tokens) and torch.equal(got.rank, want.rank)
        assert torch.equal(got.log_prob.nan_to_num(7.0), want.log_prob.nan_to_num(7.0))
        assert got.law in ("truncated", "approximate")


def test_a_score_of_the_users_sees_what_a_position_allows():
    seen = []

    def score(tokens, logits):
        seen.append(logits.clone())
        return logits.max(-1).values

    net = lambda tokens: torch.arange(float(V)).expand(*tokens.shape, V).clone()  # noqa: E731
    pymdm.sample(net, mask_id=V, length=L, seed=1, sampler=pymdm.Confidence(score=score), allowed=SETS)
    assert seen and all(torch.equal(logits[0].isinf(), ~INSIDE) for logits in seen)


def test_engine_and_callable_give_the_same_tokens_and_a_stop_changes_nothing(tmp_path):
    torch.manual_seed(0)
    config = pymdm.ModelConfig(vocab_size=20, length=12, width=16, layers=1, heads=2)
    model = pymdm.MaskedTransformer(config).eval()
    allowed = {1: [3, 4], 5: range(7, 12), 11: [0]}
    options = dict(length=12, num_samples=8, seed=2, allowed=allowed)
    engine = pymdm.Engine(model)
    whole = pymdm.sample(engine, **options)
    door = pymdm.sample(model.forward, mask_id=20, **options)
    assert torch.equal(whole.tokens, door.tokens)
    assert all(set(whole.tokens[:, l].tolist()) <= set(ids) for l, ids in allowed.items())
    assert not torch.equal(whole.tokens, pymdm.sample(engine, **{**options, "allowed": None}).tokens)
    half = pymdm.sample(engine, max_calls=5, **options)
    half.save(tmp_path / "half.safetensors")
    rest = pymdm.resume(engine, pymdm.Samples.load(tmp_path / "half.safetensors"))
    assert torch.equal(rest.tokens, whole.tokens) and rest.law == "truncated"
    assert rest.options.allowed == ((1, (3, 4)), (5, (7, 8, 9, 10, 11)), (11, (0,)))


@pytest.mark.parametrize("sampler", [pymdm.FirstHitting(), pymdm.FirstHitting(tokens_per_call=2, order=2)], ids=str)
def test_half_precision_logits(sampler):
    """-inf in the logits' own type."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        net = lambda tokens, dtype=dtype: torch.zeros(*tokens.shape, V, dtype=dtype)  # noqa: E731
        out = pymdm.sample(net, mask_id=V, length=L, num_samples=200, seed=1, sampler=sampler, allowed=SETS)
        assert INSIDE[torch.arange(L), out.tokens].all() and out.tokens[:, 0].unique().tolist() == [0, 2]


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({0: []}, "no tokens for position 0"),
        ({0: [V + 5]}, r"allowed tokens must be in \[0, 3\), got 8 at position 0"),
        ({9: [1]}, "position 9"),
        ({0: [-1]}, "at least 0"),
        ({-1: [1]}, "at least 0"),
        (torch.ones(L, V), "boolean"),
        ([(1, [1]), (1, [2])], "position 1 twice"),
        ({0: "ab"}, "must be a sequence"),
        (3, "must be a sequence"),
    ],
)
def test_bad_sets_are_one_line(allowed, words):
    with pytest.raises((ValueError, TypeError), match=words) as error:
        pymdm.sample(network(table()), mask_id=V, length=L, allowed=allowed)
    assert "\n" not in str(error.value)


def test_a_set_whose_tokens_are_all_banned_names_the_position():
    with pytest.raises(ValueError, match=r"position 2.*no token to choose"):
        draw(pymdm.FirstHitting(), n=2, allowed={2: [1]}, banned_tokens=[1])
