"""Sampling on a device against the loop on the host: the same addresses, so the same tokens, times and orders.

On the CPU the device's kernels are walked; where there is a CUDA device the same tests run on it.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from helpers.device_networks import DEVICES, ON_CUDA, device_engine
from helpers.engine_networks import random_network

import pymdm
from pymdm._native import C
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine
from pymdm.sampling import device_run
from pymdm.sampling.opening import open_state
from pymdm.sampling.run import RunOptions, run

CONFIG = ModelConfig(vocab_size=21, length=70, width=32, layers=2, heads=2)
MASK = CONFIG.mask_id
SAMPLERS = [
    pymdm.FirstHitting(tokens_per_call=2, order=2),
    pymdm.FirstHitting(tokens_per_call=2, corrector=True),
    pymdm.FirstHitting(tokens_per_call=(1, 3)),
    pymdm.FirstHitting(noise="float32"),
    pymdm.Ancestral(steps=4),
    pymdm.Ancestral(steps=4, form="literal"),
    pymdm.Ancestral(steps=40, cache=False),  # with steps in which nothing moves
    pymdm.Confidence("probability"),
    pymdm.Confidence("random", tokens_per_call=2),
]


@pytest.fixture(scope="module", params=DEVICES)
def engines(request):
    """The device's engine and the CPU's, of one network."""
    model = random_network(CONFIG, 1)
    return device_engine(model, "float32", request.param), Engine(model)


def replays(engine, sampler, **draw):
    """Whether a run stays on the device."""
    return device_run.replayed_step(sampler, engine.native, pymdm.SampleOptions(**draw)) is not None


def starts(seed=0, lengths=(5, 70, 33, 5, 1, 64, 33, 33)):
    """Sequences of several lengths with given tokens here and there; the fourth has nothing to draw."""
    rng = np.random.default_rng(seed)
    out = []
    for n in lengths:
        tokens = rng.integers(0, MASK, n)
        tokens[rng.random(n) < 0.7] = MASK
        out.append(tokens)
    out[0][:], out[3][:] = MASK, 2
    return [t.tolist() for t in out]


def same(a, b):
    """Equal tokens, orders, counts; hitting times to the last few bits of float64, whose exp is each device's own."""
    assert torch.equal(a.state.tokens, b.state.tokens)
    assert torch.equal(a.state.rank, b.state.rank)
    assert (a.nfe, a.draws, a.calls) == (b.nfe, b.draws, b.calls)
    torch.testing.assert_close(a.state.times, b.state.times, rtol=1e-13, atol=0, equal_nan=True)


def agree(device, cpu, *, seed, **options):
    """Both engines' samples are the same, and the device's are returned.

    Logits of a card differ from the CPU's by float32 rounding, which flips a token in a few of a hundred runs, and what
    follows it. So there a second seed decides: flips in both are rarer than one in a thousand, a fault is in both.
    """
    seeds = (seed, seed + 1000) if device.device.type == "cuda" else (seed,)
    for last, key in zip((*[False] * (len(seeds) - 1), True), seeds, strict=True):
        a, b = (pymdm.sample(engine, seed=key, **options) for engine in (device, cpu))
        if last or torch.equal(a.state.tokens, b.state.tokens):
            break
    same(a, b)
    return a


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.5}, {"temperature": 0.0}, {"banned_tokens": (0, 7)}], ids=str
)
@pytest.mark.parametrize(
    "sampler",
    [pymdm.FirstHitting(), pymdm.FirstHitting(tokens_per_call=3), pymdm.FirstHitting(schedule="cosine")],
    ids=str,
)
def test_first_hitting_is_that_of_the_cpu(engines, sampler, options):
    device, cpu = engines
    assert replays(device, sampler)
    agree(device, cpu, infill=starts(), seed=3, sampler=sampler, **options)


def test_rows_beyond_the_tokenizer_are_never_drawn(engines):
    """A tokenizer of 6 for a network of 21: without `drawable` three tokens of four are beyond it."""
    device, cpu = engines
    few = pymdm.Tokenizer.train(["abcdef"], "char")
    options = dict(tokenizer=few, length=40, num_samples=3, seed=5)
    assert replays(device, pymdm.FirstHitting())
    a, b = (pymdm.sample(engine, **options) for engine in (device, cpu))
    same(a, b)
    assert int(a.tokens.max()) < few.size == 6 and all(a.text)
    whole = pymdm.sample(device, length=40, num_samples=3, seed=5)
    assert (whole.tokens >= few.size).float().mean() > 0.5


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_sampler_runs_on_a_device(engines, sampler):
    device, cpu = engines
    assert not replays(device, sampler)
    # Where everything is masked all positions have one distribution: confidences would tie, and rounding decide.
    infill = [[1, *tokens] for tokens in starts(1, lengths=(5, 69, 33, 5, 1, 64, 33, 33))]
    agree(device, cpu, infill=infill, seed=4, sampler=sampler)


@pytest.mark.parametrize(
    "kind", [pymdm.FirstHitting, lambda **o: pymdm.FirstHitting(3, **o), lambda **o: pymdm.Remask(9, eta=0.3, **o)]
)
@pytest.mark.parametrize("k", [4, 0.3, "auto"])
def test_lookahead_runs_through_the_host_s_loop(engines, kind, k):
    """Equal tokens, in fewer calls where the window is given; "auto" leaves first-hitting to the device's step."""
    device, cpu = engines
    sampler = kind(lookahead=k)
    assert replays(device, sampler) == (k == "auto" and isinstance(sampler, pymdm.FirstHitting))
    alone = pymdm.sample(cpu, infill=starts(), seed=8, sampler=kind())
    out = pymdm.sample(device, infill=starts(), seed=8, sampler=sampler)
    assert torch.equal(out.state.tokens, alone.state.tokens) and torch.equal(out.state.rank, alone.state.rank)
    assert k == "auto" or out.calls < alone.calls


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.8}, {"allowed": {2: [1, 4, 5]}}], ids=str)
def test_truncated_laws_run_on_a_device(engines, options):
    device, cpu = engines
    assert replays(device, pymdm.FirstHitting()) and not replays(device, pymdm.FirstHitting(), **options)
    agree(device, cpu, infill=starts(2), seed=5, **options)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_packing_does_not_change_samples(engines, batch_size):
    device, cpu = engines
    a = pymdm.sample(device, infill=starts(), seed=6, batch_size=batch_size)
    b = pymdm.sample(cpu, infill=starts(), seed=6)
    assert torch.equal(a.state.tokens, b.state.tokens) and a.nfe == b.nfe
    ids = [3, 2, 1, 0, 7, 6, 5, 4]
    c = pymdm.sample(device, infill=[starts()[i] for i in ids], sequence_ids=ids, seed=6)
    for place, i in enumerate(ids):
        assert torch.equal(c[place].tokens, b[i].tokens)


def test_a_stop_does_not_change_samples(engines):
    device, cpu = engines
    whole = pymdm.sample(cpu, infill=starts(), seed=7)
    out = pymdm.sample(device, infill=starts(), seed=7, max_calls=5)
    assert out.calls == 5
    while int(out.state.remaining.sum()):
        out = pymdm.resume(device, out.state.to_dict(), max_calls=20)
    same(out, whole)


@pytest.mark.parametrize("batch_size", [None, 2, 3])
def test_both_forms_put_the_same_sequences_into_a_call(engines, batch_size):
    """Stopped after any number of calls, each sequence is as far as the loop on the host has brought it."""
    for calls in (1, 2, 7, 20):
        options = dict(length=[9, 3, 9, 9, 1], num_samples=5, seed=2, batch_size=batch_size, max_calls=calls)
        a, b = (pymdm.sample(engine, **options) for engine in engines)
        assert a.calls == b.calls and a.state.remaining.tolist() == b.state.remaining.tolist()
        same(a, b)


def test_the_watch_of_both_forms_keeps_its_interval_and_is_shown_the_first_call(engines):
    for engine in engines:
        seen = []
        options = dict(watch=lambda state, seen=seen: seen.append(state.calls), watch_interval=1e9)
        assert pymdm.sample(engine, length=7, seed=1, **options).calls == 7
        assert seen == [1]


def test_a_state_is_changed_by_one_run_at_a_time_on_both_forms(engines):
    sampler = pymdm.FirstHitting()
    for engine in engines:

        def again(state, engine=engine):
            run(state, sampler, engine.native)

        with pytest.raises(ValueError, match="sample: this state is being sampled already"):
            pymdm.sample(engine, length=3, seed=1, watch=again)
        state = open_state(sampler, [[MASK] * 3], MASK, seed=1)
        run(state, sampler, engine.native, RunOptions(max_calls=1))
        run(state, sampler, engine.native)  # a run that has ended holds it no longer
        assert int(state.remaining.sum()) == 0


def test_kept_outputs_of_another_sampler_are_refused_on_both_forms(engines):
    for engine in engines:
        kept = pymdm.sample(engine, length=6, seed=1, max_calls=1, sampler=pymdm.FirstHitting(2, corrector=True)).state
        with pytest.raises(ValueError, match="keeps outputs that this sampler would not have kept"):
            run(kept, pymdm.FirstHitting(), engine.native)


def test_steps_are_kept_as_long_as_their_network(engines):
    kind = "cuda" if engines[0].device.type == "cuda" else "cpu"
    engine = device_engine(random_network(CONFIG, 3), "float32", kind)
    pymdm.sample(engine, length=5, seed=1)
    before = len(device_run._STEPS)
    assert len(device_run.steps_of(engine.native)) == 1 and not hasattr(engine.native, "__dict__")
    del engine
    gc.collect()
    assert len(device_run._STEPS) == before - 1


def test_other_kinds_of_network(engines):
    kind = "cuda" if engines[0].device.type == "cuda" else "cpu"
    shape = {"vocab_size": 12, "length": 20, "width": 32, "layers": 2, "heads": 2}
    for extra in (
        {"logit_shift": True},
        {"mask_id": 0},
        {"conditioning": "constant"},
        {"conditioning": "time"},
        {"kv_heads": 1, "mlp": "swiglu", "norm": "rmsnorm"},
    ):
        model = random_network(ModelConfig(**shape, **extra), 2)
        options = dict(num_samples=3, length=20, seed=8)
        agree(device_engine(model, "float32", kind), Engine(model), **options)


@pytest.mark.parametrize("attention", ["causal", "block", "any-order"])
def test_networks_that_keep_what_they_have_seen_stay_on_the_cpu(engines, attention):
    kind = "cuda" if engines[0].device.type == "cuda" else "cpu"
    shape = {"vocab_size": 12, "length": 20, "width": 32, "layers": 2, "heads": 2, "attention": attention}
    model = random_network(ModelConfig(**shape, block_length=4 if attention == "block" else 0), 2)
    with pytest.raises(ValueError, match=r"attention .*CPU"):
        pymdm.sample(device_engine(model, "float32", kind), num_samples=1, length=20)


def test_watching_sees_every_call_and_changes_nothing(engines):
    device, cpu = engines
    seen = []
    out = pymdm.sample(
        device, infill=starts(), seed=9, watch=lambda state: seen.append((state.calls, int(state.remaining.sum())))
    )
    assert [calls for calls, _ in seen] == list(range(1, out.calls + 1))
    left = [n for _, n in seen]
    assert left == sorted(left, reverse=True) and left[-1] == 0
    same(out, pymdm.sample(cpu, infill=starts(), seed=9))


def test_kept_steps_serve_other_seeds_and_are_few(engines):
    device, cpu = engines
    for seed in (1, 2**63 + 5):
        for length in (4, 5, 6, 7, 8, 9):
            options = dict(num_samples=2, length=length, seed=seed)
            agree(device, cpu, **options)
    assert len(device_run.steps_of(device.native)) <= device_run.KEPT_STEPS


def test_rows_that_cannot_be_drawn_from_are_an_error(engines):
    device, _ = engines
    with pytest.raises(ValueError, match=r"sample: the logits of sequence 1, position \d have NaN, \+inf or no token"):
        # Everything is banned: the first call finds nothing to draw for sequence 1, whose tokens are masked.
        pymdm.sample(device, infill=[[1, 2], [MASK, 3]], seed=1, banned_tokens=range(MASK))
    with pytest.raises(ValueError, match=r"sample: the logits of sequence 0 \(id 0\), position 0: the row has NaN"):
        pymdm.sample(device, length=2, seed=1, banned_tokens=range(MASK), sampler=pymdm.Ancestral(steps=2))
    with pytest.raises(ValueError, match=r"sample: banned tokens must be in \[0, 21\), got 21"):
        pymdm.sample(device, length=2, seed=1, banned_tokens=[21])


@ON_CUDA
class TestOnCuda:
    """What has no counterpart on the CPU."""

    def test_a_replayed_graph_gives_what_launches_give(self, monkeypatch):
        monkeypatch.setattr(device_run, "MIN_REPLAYS", 1)
        engine = Engine(random_network(CONFIG, 1), device="cuda")
        states = []
        for graphs in (True, False):
            state = open_state(pymdm.FirstHitting(), torch.full((4, 64), MASK), MASK, seed=5)
            run(state, pymdm.FirstHitting(), engine.native, RunOptions(graphs=graphs))
            states.append(state)
            (step,) = device_run.steps_of(engine.native).values()
            assert step.graph is not None and step.launched == (0 if graphs else 64)
        assert torch.equal(states[0].tokens, states[1].tokens) and torch.equal(states[0].rank, states[1].rank)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
    def test_choose_gives_the_cpus_tokens(self, dtype):
        generator = torch.Generator().manual_seed(1)
        for rows, vocab in ((1, 1), (3, 7), (64, 1000), (5, 50_257), (700, 513)):
            x = (torch.randn(rows, vocab, generator=generator) * 4).to(dtype)
            at = (torch.arange(rows) * 3, torch.arange(rows) * 5)
            banned = torch.rand(vocab, generator=generator) < 0.2
            banned[0] = False
            for options in ({}, {"temperature": 0.3}, {"temperature": 0.0}, {"banned": banned}):
                want = C.choose(x, 9, *at, **options)
                assert torch.equal(C.choose(x.cuda(), 9, *at, **options).cpu(), want)

    def test_a_callable_with_logits_on_cuda_gives_the_cpus_tokens(self):
        table = torch.randn(CONFIG.embed_rows, 21, generator=torch.Generator().manual_seed(2))

        def network(tokens: torch.Tensor, device: str) -> torch.Tensor:
            return (table[tokens] + tokens.sum(1).sin()[:, None, None]).to(device)

        for sampler in (pymdm.FirstHitting(), pymdm.Ancestral(steps=5), pymdm.Confidence("margin")):
            options = dict(mask_id=MASK, infill=starts(), seed=3, sampler=sampler)
            a, b = (pymdm.sample(lambda t, d=d: network(t, d), **options) for d in ("cuda", "cpu"))
            same(a, b)

    def test_large_vocabulary_step(self):
        config = ModelConfig(vocab_size=50_258, length=130, width=64, layers=1, heads=1, mlp_width=64)
        model = random_network(config, 3)
        agree(Engine(model, device="cuda"), Engine(model), num_samples=2, length=130, seed=2)
