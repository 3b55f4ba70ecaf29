"""The whole network with AMX, AVX-512 and AVX2 switched off in turn: near the float64 answer, and one row, one answer."""

import pytest
import torch
from helpers.engine_networks import (
    LEAST_NORM,
    TOLERANCE,
    configs,
    least_norm,
    random_network,
    reference,
    relative_error,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import pymdm
from pymdm.network.engine import Engine

DISABLED = ["", "amx", "avx512_bf16", "avx512", "avx2"]


@pytest.mark.parametrize("disabled", DISABLED, ids=lambda d: d or "all")
@pytest.mark.parametrize("dtype", list(TOLERANCE))
@given(config=configs(), seed=st.integers(0, 2**31), sequences=st.integers(1, 3))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_path_matches_float64_and_ignores_the_batch(monkeypatch, disabled, dtype, config, seed, sequences):
    assume(least_norm(config) >= LEAST_NORM[dtype])
    monkeypatch.setenv("PYMDM_CPU_DISABLE", disabled)
    model = random_network(config, seed)
    engine = Engine(model, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, config.embed_rows, (sequences, config.length), generator=generator)
    times = torch.rand(sequences, generator=generator, dtype=torch.float64)
    got = engine(tokens, times)
    assert relative_error(got, reference(model, tokens, times)) < TOLERANCE[dtype]
    for b in range(sequences):
        assert torch.equal(engine(tokens[b : b + 1], times[b : b + 1])[0], got[b])


@pytest.mark.parametrize("disabled", DISABLED, ids=lambda d: d or "all")
def test_the_bundled_model_samples_on_every_path(monkeypatch, disabled):
    monkeypatch.setenv("PYMDM_CPU_DISABLE", disabled)
    alone = pymdm.sample(pymdm.load(), num_samples=1, length=12, seed=3)
    both = pymdm.sample(pymdm.load(), num_samples=2, length=12, seed=3)
    assert torch.equal(alone.tokens[0], both.tokens[0])
    assert list(alone.nfe) == [12] and (alone.tokens != pymdm.load().config.mask_id).all()
