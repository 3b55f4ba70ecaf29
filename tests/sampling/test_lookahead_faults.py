"""Lookahead as a float64 reference; the core agrees with it, and each planted fault is caught."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.planted.lookahead import AcceptsOneTooMany, OtherNoise, StaleAfterMiss, StaleSource, WrongEvent

import pymdm
from pymdm.reference.first_hitting import first_hitting
from pymdm.reference.lookahead import Ahead, Lookahead

LENGTH, V, N = 6, 3, 40


def wide():
    """A network whose rows depend on every token, of any length."""

    def score(tokens):
        mix = np.cumsum(tokens + 1, axis=1) * 1.7 + tokens.sum(axis=1, keepdims=True) * 0.9
        return 1.5 * np.stack([np.sin(mix + 2.1 * v) for v in range(V)], axis=-1)

    return score


def blind(tokens):
    """A network that does not look: every guess is right."""
    return np.broadcast_to(np.array([0.3, -0.2, 0.1]), (*tokens.shape, V))


def draw(kind, network, *, window=3, gap=0.0, n=N, length=LENGTH) -> list[Ahead]:
    return [kind(network, length, mask_id=V, seed=9, sequence=i, window=window, gap=gap).run() for i in range(n)]


def wrong_tokens(kind, **options) -> int:
    """Sequences that differ from the sampler's alone."""
    plain = [first_hitting(wide(), LENGTH, mask_id=V, seed=9, sequence=i) for i in range(N)]
    ahead = draw(kind, wide(), **options)
    return sum(not np.array_equal(a.tokens, b.tokens) for a, b in zip(plain, ahead, strict=True))


def missed_rounds(kind) -> int:
    """Rounds more, or fewer, than a network that does not look needs: 1 + ceil((n - 1) / k)."""
    return sum(abs(a.rounds - (1 + -(-(LENGTH - 1) // 3))) for a in draw(kind, blind))


def rounds_unlike_the_core_s(kind) -> int:
    """Sequences whose rounds, or copies in them, are others than the compiled sampler's."""
    logits, found = wide(), 0
    for k in (2, 3, 6):
        out = pymdm.sample(
            lambda tokens: torch.from_numpy(logits(tokens.numpy())), mask_id=V, length=LENGTH, num_samples=N, seed=9,
            sampler=pymdm.FirstHitting(lookahead=k),
        )  # fmt: skip
        for i, one in enumerate(draw(kind, wide(), window=k)):
            found += (out.nfe[i], int(out.state.rows[i])) != (one.rounds, sum(one.widths))
    return found


def windows_that_see(kind) -> int:
    """Rounds whose width changes when the network changes in that round only."""
    seen = 0
    for i in range(N):
        for call in range(1, 4):
            widths = []
            for late in (0.0, 3.0):
                sampler = kind(wide(), LENGTH, mask_id=V, seed=9, sequence=i, window=4, gap=0.3)
                before = sampler.width
                count = [0]

                def width(*args, before=before, count=count):
                    count[0] += 1
                    return before(*args)

                def network(tokens, count=count, late=late, call=call):
                    logits = wide()(tokens)
                    return np.roll(logits, 1, axis=-1) if late and count[0] >= call else logits

                sampler.width, sampler.model = width, network
                widths.append(sampler.run().widths)
            seen += widths[0][:call] != widths[1][:call]
    return seen


class Peeking(Lookahead):
    """An adaptive window that asks the network for the true token before it decides."""

    def width(self, known, event, guesses, gaps):
        width, tokens = 1, known.copy()
        while width <= len(guesses):
            logits = np.asarray(self.model(tokens[None]))[0, :, :V]
            if self.draw(logits, event + width - 1) != guesses[width - 1]:
                break
            tokens[self.positions[event + width - 1]] = guesses[width - 1]
            width += 1
        return width


def test_the_reference_gives_the_sampler_s_tokens_and_nothing_is_found():
    for window, gap in ((1, 0.0), (2, 0.0), (3, 0.0), (6, 0.0), (6, 0.5)):
        assert wrong_tokens(Lookahead, window=window, gap=gap) == 0
    assert missed_rounds(Lookahead) == 0
    assert rounds_unlike_the_core_s(Lookahead) == 0
    assert windows_that_see(Lookahead) == 0


def test_the_core_does_what_the_reference_does():
    logits = wide()
    for k in (1, 2, 3, 6):
        out = pymdm.sample(
            lambda tokens: torch.from_numpy(logits(tokens.numpy())),
            mask_id=V,
            length=LENGTH,
            num_samples=N,
            seed=9,
            sampler=pymdm.FirstHitting(lookahead=k),
        )
        for i, one in enumerate(draw(Lookahead, wide(), window=k)):
            assert out.tokens[i].tolist() == one.tokens.tolist()
            assert out.rank[i].argsort().tolist() == one.order.tolist()
            assert out.nfe[i] == one.rounds
            assert int(out.state.rows[i]) == sum(one.widths)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (AcceptsOneTooMany, wrong_tokens),
        (StaleAfterMiss, wrong_tokens),
        (StaleSource, rounds_unlike_the_core_s),
        (OtherNoise, missed_rounds),
        (WrongEvent, wrong_tokens),
        (Peeking, windows_that_see),
    ],
)
def test_every_planted_fault_is_caught(fault, check):
    assert check(fault) > 0
