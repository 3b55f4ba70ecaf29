"""Several threads on one device network, and when a step is recorded, replayed or launched.

The device's kernels are walked on the CPU; recording is shown with stand-ins for torch.cuda, whose calls it must make.
"""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace

import pytest
import torch
from helpers.device_networks import DEVICES, device_engine
from helpers.engine_networks import random_network
from torch.utils._python_dispatch import TorchDispatchMode

import pymdm
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine
from pymdm.sampling import device_run
from pymdm.sampling.run import RunOptions, run

CONFIG = ModelConfig(vocab_size=21, length=24, width=16, layers=1, heads=2)


@pytest.fixture(scope="module", params=DEVICES)
def engines(request):
    model = random_network(CONFIG, 1)
    return device_engine(model, "float32", request.param), Engine(model)


@pytest.mark.parametrize("sampler", [pymdm.FirstHitting(), pymdm.Ancestral(steps=12)], ids=str)
def test_threads_that_share_a_network_draw_what_they_draw_alone(engines, sampler):
    """Steps recorded for one shape, and the loop on the host: 16 runs by 4 threads, all of one shape."""
    device, cpu = engines
    options = [dict(num_samples=3, length=24, seed=seed, sampler=sampler) for seed in range(16)]
    want = [pymdm.sample(cpu, **o).state.tokens for o in options]
    got: list[torch.Tensor | None] = [None] * len(options)

    def some(first: int) -> None:
        for i in range(first, len(options), 4):
            got[i] = pymdm.sample(device, **options[i]).state.tokens

    threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = [i for i, tokens in enumerate(got) if tokens is None or not torch.equal(tokens, want[i])]
    assert not wrong


def test_a_run_within_a_watch_does_not_disturb_the_run_that_is_watched(engines):
    device, cpu = engines
    options = dict(num_samples=1, length=6)
    inner = []
    out = pymdm.sample(
        device, seed=1, watch=lambda _: inner.append(pymdm.sample(device, seed=2, **options).state.tokens), **options
    )
    assert torch.equal(out.state.tokens, pymdm.sample(cpu, seed=1, **options).state.tokens)
    want = pymdm.sample(cpu, seed=2, **options).state.tokens
    assert len(inner) == out.calls and all(torch.equal(tokens, want) for tokens in inner)


def test_without_graphs_a_kept_graph_is_not_replayed():
    engine = device_engine(random_network(CONFIG, 1), "float32", "cpu")
    options = dict(num_samples=2, length=24, seed=3)
    pymdm.sample(engine, **options)
    (kept,) = device_run.steps_of(engine.native).values()
    replayed = []
    kept.graph = SimpleNamespace(replay=lambda: replayed.append(1) or kept.step.step())

    def again(graphs: bool) -> torch.Tensor:
        state = pymdm.sample(engine, num_samples=2, length=24, seed=3, max_calls=1).state
        replayed.clear()
        run(state, pymdm.FirstHitting(), engine.native, RunOptions(graphs=graphs))
        return state.tokens

    without = again(False)
    assert not replayed
    with_graph = again(True)
    assert len(replayed) == 23 and torch.equal(with_graph, without)


class FakeCuda:
    """Streams and graphs of torch.cuda that note what is done with them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.made, self.captures, self.fail = "default", [], [], False
        for name in ("Stream", "current_stream", "stream", "graph", "CUDAGraph"):
            monkeypatch.setattr(device_run.torch.cuda, name, getattr(self, name))

    def Stream(self, device):
        self.made.append(SimpleNamespace(wait_stream=lambda other: None))
        return self.made[-1]

    def current_stream(self, device):
        return SimpleNamespace(wait_stream=lambda other: None)

    @contextlib.contextmanager
    def stream(self, stream):
        self.now, before = stream, self.now
        yield
        self.now = before

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: None)

    @contextlib.contextmanager
    def graph(self, graph, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        if self.fail:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
        with self.stream(stream):
            yield
        self.captures.append(stream)


def recorded_on(fake, steps, native, length):
    """A step of one sequence that believes to be on a card; returns it with the streams its calls were queued on."""
    with steps.borrowed(native, (length,), 1, 1.0, CONFIG.mask_id) as recorded:
        streams = []
        recorded.device = torch.device("cuda", 0)
        real = recorded.step
        recorded.step = SimpleNamespace(step=lambda: (streams.append(fake.now), real.step()))
        steps.record(recorded)
    return recorded, streams


def test_every_graph_has_a_stream_of_its_own(monkeypatch):
    """Trial runs and the recording are on one stream, and a stream serves again only when its graph has gone."""
    native = device_engine(random_network(CONFIG, 1), "float32", "cpu").native
    fake, steps = FakeCuda(monkeypatch), device_run.Steps()
    alive = []
    for length in range(1, device_run.KEPT_STEPS + 4):
        recorded, streams = recorded_on(fake, steps, native, length)
        assert len(streams) == 3 and all(s is recorded.stream for s in streams) and recorded.graph is not None
        alive.append(recorded)
        living = [id(r.stream) for r in steps.values()]
        assert len(set(living)) == len(living)
    assert len(fake.made) == device_run.KEPT_STEPS + 1 and len(steps) == device_run.KEPT_STEPS
    assert [r.graph is None for r in alive] == [True] * 3 + [False] * device_run.KEPT_STEPS


def test_a_recording_that_fails_is_a_warning(monkeypatch):
    native = device_engine(random_network(CONFIG, 1), "float32", "cpu").native
    fake, steps = FakeCuda(monkeypatch), device_run.Steps()
    fake.fail = True
    with pytest.warns(UserWarning, match="sample: recording a CUDA graph failed, .* not permitted when stream is capt"):
        recorded, streams = recorded_on(fake, steps, native, 3)
    steps.record(recorded)  # is not tried again
    assert recorded.graph is None and len(streams) == 2
    recorded()
    assert len(streams) == 3 and recorded.launched == 1


def test_short_runs_of_one_shape_are_recorded_when_they_have_become_many(monkeypatch):
    engine = device_engine(random_network(CONFIG, 1), "float32", "cpu")
    monkeypatch.setattr(device_run, "MIN_REPLAYS", 60)
    calls = []
    monkeypatch.setattr(device_run.Recorded, "record", lambda self, stream=None: calls.append(self.launched))
    for seed in range(3):
        pymdm.sample(engine, num_samples=1, length=24, seed=seed)
    assert calls == [48]


class Shapes(TorchDispatchMode):
    """Notes the numbers of queries that attention is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "scaled_dot_product" in str(func):
            self.queries.add(args[0].shape[2])
        return func(*args, **(kwargs or {}))


def test_attention_meets_few_numbers_of_queries():
    """1 to 24 chosen rows a sequence: the libraries' plans are made for few shapes. The logits do not change."""
    model = random_network(CONFIG, 2)
    engine = device_engine(model, "float32", "cpu")
    tokens = torch.full((2, 24), CONFIG.mask_id)
    whole = engine(tokens).flatten(0, 1)
    with Shapes() as shapes:
        for count in (1, 2, 3, 4, 5, 7, 9, 13, 17, 20, 24):
            rows = torch.arange(count)
            torch.testing.assert_close(engine(tokens, rows=rows), whole[rows], rtol=1e-5, atol=1e-5)
    assert shapes.queries == {1, 2, 3, 4, 6, 8, 12, 16, 24}
