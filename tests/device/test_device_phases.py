"""What a device run plans, and its random words, against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.device_networks import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st

from pymdm import _C_testing as T
from pymdm._native import C
from pymdm.sampling import device_run


@pytest.mark.parametrize("device", DEVICES)
def test_random_words_are_the_same_bits(device):
    rng = np.random.default_rng(3)
    at = [torch.from_numpy(rng.integers(0, top, 5000)) for top in (2**56, 2**32, 2**34)]
    where = torch.device("cpu") if device == "cpu" else torch.device("cuda", torch.cuda.current_device())
    for seed, purpose in ((0, 1), (2**64 - 1, 3), (12345, 6)):
        assert torch.equal(
            T.device_bits(where, seed, at[0], at[1], purpose, at[2]), C.random_bits_at(seed, *at[:2], purpose, at[2])
        )


def planned(lengths, masks, per_call=1, batch_size=0, max_calls=0):
    queue = C.RunOptions(batch_size=batch_size, max_calls=max_calls).queue(len(lengths))
    return device_run.phases(lengths, masks, per_call, queue)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    per_call=st.integers(1, 4),
    batch_size=st.integers(0, 12),
    seed=st.integers(0, 999),
)
@settings(max_examples=200, deadline=None)
def test_phases_finish_every_sequence_in_its_number_of_calls(lengths, per_call, batch_size, seed):
    rng = np.random.default_rng(seed)
    masks = [int(rng.integers(0, n + 1)) for n in lengths]
    wanted = [-(-n // per_call) for n in masks]
    done = [0] * len(masks)
    for phase in planned(lengths, masks, per_call, batch_size, 0):
        assert phase.calls >= 1 and len(phase.sequences) <= (batch_size or len(masks))
        assert [lengths[b] for b in phase.sequences] == sorted(lengths[b] for b in phase.sequences)
        assert all(done[b] < wanted[b] for b in phase.sequences)  # nobody who has ended is taken along again
        for b in phase.sequences:
            done[b] += min(phase.calls, wanted[b] - done[b])
    assert done == wanted
    whole = sum(p.calls for p in planned(lengths, masks, per_call, batch_size, 0))
    if not batch_size:
        assert whole == max(wanted)
    if whole:
        stop = 1 + seed % whole
        assert sum(p.calls for p in planned(lengths, masks, per_call, batch_size, stop)) == stop


def test_equal_sequences_make_one_phase_and_a_batch_shrinks_at_borders():
    assert [p.calls for p in planned([8] * 32, [8] * 32)] == [8]
    sizes = [len(p.sequences) for p in planned([99] * 9, list(range(1, 10)))]
    assert sizes == [9, 8, 6, 4, 3, 2, 1]
