"""The cache as a float64 reference gives the uncached law, and each planted fault is caught."""

import itertools

import numpy as np
import pytest
import torch
from helpers.engine_networks import random_network

from pymdm.evaluate import streams
from pymdm.network.config import ModelConfig
from pymdm.reference.forward import forward
from pymdm.reference.kept import Kept

V, L = 5, 7
KINDS = {"any-order": {"attention": "any-order"}, "block": {"attention": "block", "block_length": 3}}


def network(kind):
    model = random_network(ModelConfig(V, L, 16, 2, 2, kv_heads=1, **KINDS[kind]), 4)
    return model.config, {name: t.double().numpy() for name, t in model.state_dict().items()}


def farthest(kept_type, kind: str) -> float:
    """Largest error of the logits along runs that go on, miss a guess, and are taken up again from another state."""
    config, weights = network(kind)
    rng, error = np.random.default_rng(1), 0.0

    def away(tokens, rank, l):
        want = forward(config, weights, tokens[None], rank=rank[None] if kind == "any-order" else None)[0, l]
        return float(np.abs(kept.logits(tokens, rank, l) - want).max())

    for _ in range(6):
        kept = kept_type(config, weights)
        tokens, rank = np.full(L, V), np.full(L, -1)
        given = rng.permutation(L)[: rng.integers(0, 3)]
        tokens[given] = rng.integers(0, V, len(given))
        for event in range(L - len(given)):
            masked = np.flatnonzero(tokens == V)
            if kind == "block":
                masked = masked[masked // 3 == masked[0] // 3]
            l = int(rng.choice(masked))
            error = max(error, away(tokens, rank, l))
            others = np.flatnonzero((tokens == V) & (np.arange(L) != l))
            if (event % 2 or len(masked) == 1) and len(others):  # a guess at l that turns out wrong, seen from another
                guessed, later = tokens.copy(), rank.copy()  # position: of the next block where it ends its own
                guessed[l], later[l] = rng.integers(V), event
                error = max(error, away(guessed, later, int(others[0])))
            tokens[l], rank[l] = rng.integers(V), event
            if event == 2:  # another sequence with as many known tokens: a run that is resumed elsewhere
                changed = np.where((tokens != V) & (rank >= 0), (tokens + 1) % V, tokens)
                tokens = changed
    return error


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_that_keeps_agrees_with_the_one_that_does_not(kind):
    assert farthest(Kept, kind) < 1e-10


def test_it_computes_two_rows_a_token():
    config, weights = network("any-order")
    kept, rng = Kept(config, weights), np.random.default_rng(0)
    tokens, rank = np.full(L, V), np.full(L, -1)
    for event, l in enumerate(rng.permutation(L)):
        kept.logits(tokens, rank, int(l))
        tokens[l], rank[l] = rng.integers(V), event
    assert kept.computed == 2 * L - 1


class OneSlotTooMany(Kept):
    """Sees what a longer state left behind."""

    def past(self, slots):
        return min(slots + 1, len(self.keys[0])) if self.keys[0] else slots


class OneSlotTooFew(Kept):
    """Does not see the token that just became known."""

    def past(self, slots):
        return max(slots - 1, 0)


class RotaryBySlot(Kept):
    def angle(self, slot, position):
        return slot if slot >= 0 else position


class StaleAfterResume(Kept):
    """Keeps what stands at the same positions, whatever tokens are there: also a guess that was wrong."""

    def same(self, before, now):
        return before[1:] == now[1:]


class GuessLeft(Kept):
    """Keeps as many slots as there were."""

    def same(self, before, now):
        return True


class MaskKept(Kept):
    """Keeps the row of a mask of a finished block as the key of its token."""

    def same(self, before, now):
        return before == now or before[0] == self.config.mask_id


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (OneSlotTooMany, "any-order"),
        (OneSlotTooFew, "any-order"),
        (RotaryBySlot, "any-order"),
        (StaleAfterResume, "any-order"),
        (StaleAfterResume, "block"),
        (GuessLeft, "any-order"),
        (GuessLeft, "block"),
        (MaskKept, "block"),
    ],
)
def test_planted_faults_are_caught(fault, kind):
    assert farthest(fault, kind) > 1e-3


def test_a_query_that_sees_itself_known_is_caught(monkeypatch):
    """Its likelihoods do not sum to 1."""
    model = random_network(ModelConfig(3, 4, 16, 2, 2, attention="any-order"), 4)
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    rank = torch.tensor([2, 0, 3, 1]).expand(81, 4)

    def total():
        return float(streams.order_losses(model, every, rank).double().sum(1).neg().exp().sum())

    assert total() == pytest.approx(1, abs=1e-5)
    right = streams.two_streams

    def sees_itself(rank):
        sight = right(rank)
        return sight._replace(sees=torch.cat([rank, rank], 1))

    monkeypatch.setattr(streams, "two_streams", sees_itself)
    assert abs(total() - 1) > 0.01
