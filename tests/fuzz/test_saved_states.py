"""Damaged saved states: `resume` refuses them in one line, or runs; it never reads out of bounds."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from helpers.mutated_states import mutated
from helpers.sampler_tables import SAMPLERS, draw

import pymdm

SMALL = 2_000
LARGE = 100_000
REFUSED = (ValueError, TypeError)  # whatever else comes is a leak, a crash ends the process


def fuzz(count: int, seed: int) -> tuple[int, int]:
    """How many of `count` mutated states were refused, and how many ran."""
    random = np.random.default_rng(seed)
    states = [draw(s, n=3, max_calls=calls, sequence_ids=[3, 0, 9]).to_dict() for s in SAMPLERS for calls in (1, 2, 3)]

    def any_network(tokens: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*tokens.shape, 3) + (tokens.cumsum(1) % 7)[..., None] * torch.arange(3)

    refused = 0
    for i in range(count):
        try:
            out = pymdm.resume(any_network, mutated(states[i % len(states)], random))
            assert all(bool((tokens != out.state.mask_id).all()) for tokens in out.tokens)
        except REFUSED as error:
            line = str(error)
            assert line.startswith(("sample: ", "schedule: ")) and "\n" not in line, line
            refused += 1
    return refused, count - refused


@pytest.mark.parametrize("seed", [0])
def test_two_thousand_damaged_states(seed):
    refused, ran = fuzz(SMALL, int(os.environ.get("PYMDM_RESEED", seed)))
    assert refused > SMALL / 2 and ran > 0  # some faults, as another seed or time, leave a state that is whole


@pytest.mark.slow
def test_many_damaged_states():
    refused, ran = fuzz(int(os.environ.get("PYMDM_FUZZ", LARGE)), int(os.environ.get("PYMDM_RESEED", 1)))
    assert refused > 0 and ran > 0
