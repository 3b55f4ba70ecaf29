"""Sets of tokens that rows allow, inside the choice: the tokens of rows whose other logits are -inf, on every path."""

import numpy as np
import pytest
import torch

import pymdm
from pymdm import _C_testing as T
from pymdm._native import C

ROWS, V = 12, 1003
ALL = torch.float16, torch.bfloat16, torch.float32, torch.float64


def rows(dtype, seed=0):
    """Logits with -inf and, outside of every set, NaN; and the sets: none, one token, few, many, all but few."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(ROWS, V, generator=generator)
    logits[torch.rand(ROWS, V, generator=generator) < 0.1] = -torch.inf
    sizes = [None, 1, 2, 7, 15, 16, 40, 500, V - 3, None, V, 3]
    sets = [None if n is None else sorted(torch.randperm(V, generator=generator)[:n].tolist()) for n in sizes]
    for row, ids in zip(logits, sets, strict=True):
        if ids is not None and len(ids) < 500:
            outside = torch.ones(V, dtype=torch.bool).index_fill_(0, torch.tensor(ids), False).nonzero().flatten()
            row[outside[:: len(outside) // 3]] = torch.tensor([torch.nan, torch.inf, 50.0, 0.0])[
                : len(outside[:: len(outside) // 3])
            ]
        if ids is not None:
            row[ids[0]] = 0.5  # at least one can be drawn
    return logits.to(dtype), sets


def cut(logits, sets):
    out = logits.clone()
    for row, ids in zip(out, sets, strict=True):
        if ids is not None:
            row[torch.ones(V, dtype=torch.bool).index_fill_(0, torch.tensor(ids), False)] = -torch.inf
    return out


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.6}, {"temperature": 0}, {"top_k": 4}, {"top_p": 0.7}], ids=str
)
@pytest.mark.parametrize("threads", [1, 3])
def test_tokens_are_those_of_rows_cut_to_their_sets(dtype, options, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    C.set_num_threads(threads)
    try:
        for seed in range(3):
            logits, sets = rows(dtype, seed)
            where = dict(seed=seed, sequence=torch.arange(ROWS), event=torch.arange(ROWS) + 5, banned=[11, 12])
            want = pymdm.choose(cut(logits, sets), **where, **options)
            assert torch.equal(pymdm.choose(logits, allowed=sets, **where, **options), want)
            mask = torch.tensor([[ids is None or v in set(ids) for v in range(V)] for ids in sets])
            assert torch.equal(pymdm.choose(logits, allowed=mask, **where, **options), want)
            assert all(ids is None or t in ids for ids, t in zip(sets, want.tolist(), strict=True))
    finally:
        torch.set_num_threads(before)
        C.set_num_threads(before)


def test_the_cut_of_long_rows_into_parts_changes_nothing():
    """Rows of 200,000 columns are cut into parts for three threads; a set too."""
    logits = torch.randn(2, 200_000, generator=torch.Generator().manual_seed(1))
    for n in (3, 2_000, 100_000):
        ids = torch.randperm(200_000, generator=torch.Generator().manual_seed(n))[:n].tolist()
        mask = torch.full_like(logits, -torch.inf)
        mask[:, ids] = logits[:, ids]
        where = dict(seed=4, sequence=torch.arange(2), event=0)
        want = pymdm.choose(mask, **where)
        for threads in (1, 3):
            C.set_num_threads(threads)
            assert torch.equal(pymdm.choose(logits, allowed=[ids, ids], **where), want)
    C.set_num_threads(torch.get_num_threads())


@pytest.mark.parametrize("dtype", ALL)
def test_the_definition_knows_sets(dtype):
    logits, sets = rows(dtype)
    where = (9, torch.arange(ROWS), torch.zeros(ROWS, dtype=torch.int64))
    good = cut(logits, sets)
    assert torch.equal(C.choose(logits, *where, allowed=sets), T.choose_full(good, *where))
    assert torch.equal(T.choose_full(good, *where, allowed=sets), T.choose_full(good, *where))


def test_law_within_a_set():
    """Frequencies of 20,000 draws beside the cut softmax, for a small set and for one taken as bans."""
    logits = torch.linspace(0, 2, 300)
    for ids in ([5, 100, 299], list(range(0, 300, 25))):
        n = 20_000
        tokens = pymdm.choose(logits.expand(n, 300), seed=3, sequence=torch.arange(n), event=0, allowed=[ids] * n)
        law = logits[ids].double().softmax(-1).numpy()
        seen = np.array([int((tokens == i).sum()) for i in ids])
        assert seen.sum() == n
        chi = float(((seen - n * law) ** 2 / (n * law)).sum())
        assert chi < len(ids) - 1 + 12 * (2 * (len(ids) - 1)) ** 0.5  # beyond 1e-9 for these degrees of freedom


def test_a_device_reads_only_what_is_allowed():
    """The kernels' walk on the CPU behind the engine's door: the tokens of the host."""
    torch.manual_seed(0)
    config = pymdm.ModelConfig(vocab_size=200, length=10, width=16, layers=1, heads=2)
    model = pymdm.MaskedTransformer(config).eval()
    host = pymdm.Engine(model)
    device = C.DeviceEngine(host.config.to_dict(), dict(model.state_dict()), "float32", torch.device("cpu"))
    allowed = {1: [3, 4], 5: list(range(7, 120)), 9: [0]}
    state = lambda: pymdm.sample(host, length=10, num_samples=1, seed=2, max_calls=1).state  # noqa: E731, F841
    for sampler in (pymdm.FirstHitting(), pymdm.FirstHitting(tokens_per_call=3), pymdm.Ancestral(steps=4)):
        want = pymdm.sample(host, length=10, num_samples=6, seed=2, sampler=sampler, allowed=allowed)
        got = run_on(device, sampler, allowed)
        assert torch.equal(got, want.tokens)


def run_on(device, sampler, allowed):
    tokens, offsets = torch.full((60,), 200), torch.arange(0, 61, 10)
    state = C.State(tokens, offsets, torch.arange(6), 200, 2)
    from pymdm.sampling.allowed import allowed_sets

    native = sampler.native()
    native.init(state)
    C.run(state, native, device, C.RunOptions(allowed=allowed_sets(allowed)))
    return state.tokens.view(6, 10)


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ([[1]], "expected allowed tokens of 2 rows, got 1"),
        ([[1], []], "row 1 allows no token"),
        ([[1], [V]], r"must be in \[0, 1003\)"),
        ([[1], [-1]], r"must be in \[0, 1003\)"),
        (torch.ones(2, V), "must be bool"),
        (torch.ones(2, V - 1, dtype=torch.bool), "must be bool"),
        ([[1], [2]], "row 1 has no token to choose: every logit is -inf, banned or not allowed"),
        ([[1], [3]], "row 1 has nan at token 3"),
    ],
)
def test_bad_sets_are_one_line(allowed, words):
    logits = torch.zeros(2, V)
    logits[1, 2], logits[1, 3] = -torch.inf, torch.nan
    with pytest.raises((ValueError, TypeError), match=words) as error:
        pymdm.choose(logits, seed=1, sequence=torch.arange(2), event=0, allowed=allowed)
    assert "\n" not in str(error.value)
