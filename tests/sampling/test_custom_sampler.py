"""Samplers written in Python: run by the same loop, with the law that they plan, and held to what they promise."""

import numpy as np
import pytest
import torch
from helpers.command_line import run
from helpers.sampler_tables import ALPHA, POWERS, L, V, chi_square, draw, network, table

import pymdm
from pymdm.sampling.samplers.custom import CustomSampler, Step


class LeftToRight(CustomSampler):
    def plan(self, sequence):
        return Step(sequence.masked[:1])


class Pairs(LeftToRight):
    """Two positions a step, tokens drawn by hand from log mu at the rows' addresses."""

    def plan(self, sequence):
        return Step(sequence.masked[-2:], time=0.5)

    def write(self, rows):
        return pymdm.choose(rows.log_mu, seed=rows.seed, sequence=rows.sequence_ids, event=rows.events)


def left_to_right_law(mu):
    """Law over (V + 1)^L states of unmasking from the left: all mass is on states without a mask."""
    law = np.zeros((V + 1) ** L)
    for x in np.ndindex(*(V,) * L):
        state, p = np.full(L, V), 1.0
        for l in range(L):
            p *= mu[int(state @ POWERS.numpy()), l, x[l]]
            state[l] = x[l]
        law[int(state @ POWERS.numpy())] = p
    return law


def test_law_is_that_of_the_plan():
    mu = table(5)
    out = draw(LeftToRight(), n=40_000, mu=mu)
    assert chi_square(out, left_to_right_law(mu)) > ALPHA
    assert out.rank.tolist()[0] == list(range(L))
    assert out.law == "approximate" and out.nfe == [L] * 40_000
    # The test has the power to tell it from the random order.
    assert chi_square(draw(pymdm.FirstHitting(), n=40_000, mu=mu), left_to_right_law(mu)) < ALPHA


@pytest.mark.parametrize("sampler", [LeftToRight(), Pairs()], ids=["default", "write"])
def test_is_the_same_for_any_packing_and_after_a_stop(sampler):
    whole = draw(sampler)
    for batch_size in (1, 5):
        assert torch.equal(draw(sampler, batch_size=batch_size).tokens, whole.tokens)
    half = draw(sampler, max_calls=1)
    rest = pymdm.resume(network(table()), half.state.to_dict(), sampler=sampler)
    assert torch.equal(rest.tokens, whole.tokens) and torch.equal(rest.rank, whole.rank)


def test_default_write_draws_as_choose_does():
    class ByHand(LeftToRight):
        write = Pairs.write

    assert torch.equal(draw(ByHand()).tokens, draw(LeftToRight()).tokens)


def test_takes_the_options_of_sample():
    out = draw(LeftToRight(), n=200, banned_tokens=[1])
    assert not (out.tokens == 1).any()
    cold = draw(LeftToRight(), n=3, temperature=0)
    assert torch.equal(cold.tokens[0], cold.tokens[1])
    given = pymdm.sample(network(table()), infill=[[V, 2, V, 0]] * 5, mask_id=V, seed=1, sampler=LeftToRight())
    assert given.tokens[:, [1, 3]].tolist() == [[2, 0]] * 5 and given.nfe == [2] * 5


class Wrong(LeftToRight):
    def __init__(self, step):
        self.step = step

    def plan(self, sequence):
        return self.step


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step([]), "different positions, at least one"),
        (Step([1, 1]), "different positions"),
        (Step([L]), r"position must be in \[0, 4\)"),
        (Step([-1]), "position must be in"),
        (Step([0], level=2.0), "a level in"),
        (Step([0], time=-1.0), "a time in"),
        ([0], "must give a Step, got list"),
    ],
)
def test_a_wrong_plan_is_one_line(step, words):
    with pytest.raises((TypeError, ValueError), match=f"^sample: .*{words}"):
        draw(Wrong(step))


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([V] * 64, "not the mask"),
        ([-2] * 64, "must be -1 or in"),
        ([0], "must give 64 tokens, got 1"),
        ([9] * 64, "in"),
    ],
)
def test_a_wrong_token_is_one_line(tokens, words):
    class Writes(LeftToRight):
        def write(self, rows):
            return torch.tensor(tokens)

    with pytest.raises(ValueError, match=f"^sample: .*{words}"):
        draw(Writes())


def test_an_error_of_the_user_comes_through_as_it_is():
    class Fails(LeftToRight):
        def init(self, sequence):
            raise KeyError(f"sequence {sequence.sequence_id}")

    with pytest.raises(KeyError, match="sequence 0"):
        draw(Fails())


def test_is_audited_by_name(monkeypatch):
    # Against first-hitting's law: unmasking from the left has another one for networks whose conditionals do not agree.
    monkeypatch.chdir(__file__.rpartition("/tests/")[0])
    result = run("audit", "examples.left_to_right:LeftToRight", "--samples", 3000)
    assert result.exit_code == 1, result.output
    assert run("audit", "first-hitting:2", "--samples", 3000).exit_code == 1
    assert run("audit", "first-hitting:lookahead=2", "--samples", 1000).exit_code == 0
