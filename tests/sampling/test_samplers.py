"""Samplers on the compiled core: invariances, resumption, and what they refuse."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.sampler_tables import POWERS, SAMPLERS, SCORED, L, V, draw, network, table

import pymdm


@pytest.mark.parametrize("sampler", [*SAMPLERS, *SCORED], ids=str)
class TestEverySampler:
    def test_is_the_same_for_any_packing(self, sampler):
        whole = draw(sampler)
        for batch_size in (1, 2, 3, 7, 16):
            out = draw(sampler, batch_size=batch_size)
            assert torch.equal(out.tokens, whole.tokens)
            assert out.nfe == whole.nfe
        ids = list(range(63, -1, -1))
        assert torch.equal(draw(sampler, sequence_ids=ids).tokens.flip(0), whole.tokens)
        part = draw(sampler, n=5, sequence_ids=[40, 41, 42, 43, 44])
        assert torch.equal(part.tokens, whole.tokens[40:45])

    def test_is_the_same_after_a_stop(self, sampler):
        whole = draw(sampler)
        out, before = draw(sampler, max_calls=1), 0
        while out.calls > before:
            before = out.calls
            out = pymdm.resume(network(table()), out.state.to_dict(), sampler=sampler, max_calls=1)
        assert torch.equal(out.tokens, whole.tokens)
        assert torch.equal(out.rank, whole.rank)
        assert torch.equal(out.times, whole.times)
        assert (out.nfe, out.calls, out.draws) == (whole.nfe, whole.calls, whole.draws)

    def test_is_the_same_on_any_processor(self, sampler, monkeypatch):
        whole, threads = draw(sampler), torch.get_num_threads()
        try:
            for count in (1, 2):
                torch.set_num_threads(count)
                assert torch.equal(draw(sampler).tokens, whole.tokens)
        finally:
            torch.set_num_threads(threads)
        for disabled in ("avx512", "avx2", "avx512,avx2"):
            monkeypatch.setenv("PYMDM_CPU_DISABLE", disabled)
            assert torch.equal(draw(sampler).tokens, whole.tokens)

    def test_temperature_divides_the_logits(self, sampler):
        warm = draw(sampler, temperature=0.7)
        if "Confidence(rule='probability'" in repr(sampler):  # LLaDA's confidences are those of the network itself
            assert not torch.equal(warm.tokens, draw(sampler).tokens)
            return
        logits = torch.from_numpy(np.log(table()) / 0.7)
        divided = pymdm.sample(
            lambda tokens: logits[tokens @ POWERS], mask_id=V, length=L, num_samples=64, seed=11, sampler=sampler
        )
        assert torch.equal(warm.tokens, divided.tokens) and not torch.equal(warm.tokens, draw(sampler).tokens)

    def test_keeps_what_is_given(self, sampler):
        infill = torch.full((50, L), V)
        infill[:, 1] = torch.arange(50) % V
        out = pymdm.sample(network(table()), mask_id=V, infill=infill, seed=3, sampler=sampler)
        assert torch.equal(out.tokens[:, 1], infill[:, 1])
        assert bool((out.rank[:, 1] == -1).all()) and bool(out.times[:, 1].isnan().all())
        ranks = out.rank[:, [0, 2, 3]].sort(1).values
        assert torch.equal(ranks, torch.arange(3).expand(50, 3))

    def test_sequences_of_several_lengths(self, sampler):
        def score(tokens: torch.Tensor) -> torch.Tensor:  # depends on the whole sequence, of any length
            mix = (tokens + 1).cumsum(1) * 7 + tokens.sum(1, keepdim=True)
            return torch.stack([torch.sin(mix + v).double() for v in range(V)], -1)

        lengths = [1, 5, 3, 5, 2]
        options = dict(mask_id=V, seed=5, sampler=sampler)
        out = pymdm.sample(score, infill=[[V] * n for n in lengths], **options)
        for i, n in enumerate(lengths):
            alone = pymdm.sample(score, infill=[[V] * n], sequence_ids=[i], **options)
            assert torch.equal(out[i].tokens, alone[0].tokens)
            assert out[i].nfe == alone[0].nfe


def test_sequences_may_be_split_across_processes():
    # Another process draws the second half, the last ones first; together they are the samples of one process.
    code = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from helpers.sampler_tables import SAMPLERS, draw
ids = list(range(63, 31, -1))
print([draw(s, n=32, sequence_ids=ids, batch_size=7).tokens.flip(0).tolist() for s in SAMPLERS])
"""
    folder = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == [draw(s).tokens[32:].tolist() for s in SAMPLERS]


def test_temperature_zero_is_the_arg_max():
    mu = table(3)
    out = draw(pymdm.FirstHitting(), mu=mu, temperature=0)
    for tokens, rank in zip(out.tokens, out.rank, strict=True):
        state = torch.full((L,), V)
        for position in rank.argsort().tolist():
            assert int(tokens[position]) == int(mu[int(state @ POWERS), position].argmax())
            state[position] = tokens[position]


def test_banned_tokens_and_a_mask_column_are_never_drawn():
    def score(tokens: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*tokens.shape, V + 1)
        logits[..., V] = 50.0  # the mask's column
        return logits

    for sampler in (pymdm.FirstHitting(), pymdm.Ancestral(steps=3, form="literal"), pymdm.Confidence()):
        out = pymdm.sample(score, mask_id=V, length=L, num_samples=200, seed=1, banned_tokens=[1], sampler=sampler)
        assert set(out.tokens.unique().tolist()) == {0, 2}


def test_warnings_name_the_distorting_noise():
    assert draw(pymdm.Ancestral(steps=3)).warnings == ()
    assert "float32" in draw(pymdm.Ancestral(steps=3, form="literal", noise="float32")).warnings[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pymdm.FirstHitting(tokens_per_call=0), "tokens_per_call must be at least 1, got 0"),
        (lambda: pymdm.FirstHitting(order=3), "order must be 1 or 2, got 3"),
        (lambda: pymdm.FirstHitting(order=2, corrector=True), "not both"),
        (lambda: pymdm.Ancestral(), "needs steps or times"),
        (lambda: pymdm.Ancestral(steps=-1), "steps must be at least 1"),
        (lambda: pymdm.Ancestral(times=(1.0, 0.5, 0.6, 0.0)), "must decrease"),
        (lambda: pymdm.Ancestral(times=(1.0, 0.5)), "must run from 1 to 0"),
        (lambda: pymdm.Ancestral(steps=3, noise="float32"), 'for form="literal" only'),
        (lambda: pymdm.Ancestral(steps=3, noise="double"), "noise must be one of"),
        (lambda: pymdm.Confidence("best"), "rule must be one of"),
        (lambda: pymdm.Confidence(block_length=0), "block_length must be at least 1"),
        (lambda: pymdm.Remask(steps=0), "steps must be at least 1"),
        (lambda: pymdm.Remask(steps=4, strategy="always"), "strategy must be one of cap, rescale, conf, loop"),
        (lambda: pymdm.Remask(steps=4, eta=1.5), r"eta must be in \[0, 1\], got 1.5"),
        (lambda: pymdm.Remask(steps=4, strategy="loop", t_on=0.1, t_off=0.2), "0 < t_off < t_on < 1"),
        (lambda: pymdm.Schedule("quadratic"), "expected linear, cosine, geometric or user"),
        (lambda: pymdm.Schedule("user", masked=lambda t: 1 - t, time_of_masked=lambda m: 1 - m), "must increase"),
    ],
)
def test_bad_samplers_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_bad_networks_are_refused():
    with pytest.raises(ValueError, match=r"sample: the network must return logits \[1, 4, V\], got \(1, 3\)"):
        pymdm.sample(lambda t: torch.zeros(1, 3), mask_id=V, length=L)
    with pytest.raises(TypeError, match=r"sample: the network must return .* got list"):
        pymdm.sample(lambda t: [0], mask_id=V, length=L)
    with pytest.raises(ValueError, match="nan"):
        pymdm.sample(lambda t: torch.full((1, L, V), float("nan")), mask_id=V, length=L)
    with pytest.raises(ValueError, match="banned tokens must be in"):
        draw(pymdm.FirstHitting(), banned_tokens=[9])
    with pytest.raises(RuntimeError, match="mine"):

        def broken(tokens: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("mine")

        pymdm.sample(broken, mask_id=V, length=L)


def tiny_engine() -> pymdm.Engine:
    torch.manual_seed(0)
    return pymdm.Engine(
        pymdm.MaskedTransformer(pymdm.ModelConfig(vocab_size=11, length=32, width=32, layers=2, heads=2))
    )


def test_engine_and_callable_draw_the_same_tokens():
    engine = tiny_engine()
    native = pymdm.sample(engine, num_samples=5, length=12, seed=3)
    wrapped = pymdm.sample(lambda tokens: engine(tokens), mask_id=11, num_samples=5, length=12, seed=3)
    rows = pymdm.sample(
        lambda tokens, rows: engine(tokens, rows=rows), mask_id=11, num_samples=5, length=12, seed=3, chosen_rows=True
    )
    assert torch.equal(native.tokens, wrapped.tokens) and torch.equal(native.tokens, rows.tokens)


def test_samples_do_not_depend_on_threads_or_cpu_features(monkeypatch):
    engine = tiny_engine()
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(pymdm.sample(engine, num_samples=6, length=20, seed=8).tokens)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(tokens, found[0]) for tokens in found)
    mu = table(4)
    whole = draw(pymdm.FirstHitting(), mu=mu).tokens  # the choice has one result on every processor
    for disabled in ("avx512", "avx512,avx2"):
        monkeypatch.setenv("PYMDM_CPU_DISABLE", disabled)
        assert torch.equal(draw(pymdm.FirstHitting(), mu=mu).tokens, whole)


def test_ctrl_c_is_honoured_between_steps():
    import os
    import signal
    import threading

    engine, done = tiny_engine(), threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored

    def press() -> None:  # more than once: a press that falls into a destructor of Python's is lost
        wait = 0.3
        while not done.wait(wait):
            os.kill(os.getpid(), signal.SIGINT)
            wait = 5.0

    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pymdm.sample(engine, num_samples=50_000, length=32, seed=1, batch_size=1)
    finally:
        done.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


def test_a_watch_sees_every_step_and_may_stop_the_run():
    left = []

    def watch(state) -> None:
        left.append(int(state.remaining.sum()))
        if len(left) == 3:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        draw(pymdm.FirstHitting(), n=2, watch=watch)
    assert left == [6, 4, 2]
