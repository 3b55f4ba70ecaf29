"""`run`: brings a state on with a sampler and a network; the one place where a run's options become what the loop is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from pymdm._native import C
from pymdm.sampling import device_run
from pymdm.sampling.check import boolean, described, integer, number
from pymdm.sampling.options import MAX_COUNT, SampleOptions
from pymdm.sampling.progress import beside, progress_bar
from pymdm.sampling.samplers.common import Sampler


@dataclass(frozen=True)
class RunOptions:
    """How a run goes; but for `draw`, `closed` and `drawable` the samples do not depend on it.

    Args:
        draw: how tokens are drawn from the network's conditionals.
        closed: ids that have no part in the model's law.
        drawable: tokens that the vocabulary has, the first of the classes; 0: all are drawn.
        batch_size: sequences in one network call; None is all of them.
        max_calls: network calls after which the run stops; None is no limit.
        watch: called with the state after network calls, at most every `watch_interval` seconds and after the first one.
        progress: show a bar on stderr.
        graphs: on a CUDA device, record calls that are alike and replay them; without, every kernel is launched.

    Raises:
        ValueError, TypeError: a value out of range or of another type.
    """

    draw: SampleOptions = field(default_factory=SampleOptions)
    closed: tuple[int, ...] = ()
    drawable: int = 0
    batch_size: int | None = None
    max_calls: int | None = None
    watch: Callable[[Any], None] | None = None
    watch_interval: float = 0.0
    progress: bool = False
    graphs: bool = True

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_calls"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, integer(name, getattr(self, name), 1, MAX_COUNT))
        if self.watch is not None and not callable(self.watch):
            raise TypeError(f"sample: watch must be a function, got {described(self.watch)}")
        object.__setattr__(self, "watch_interval", number("watch_interval", self.watch_interval))
        object.__setattr__(self, "progress", boolean("progress", self.progress))
        object.__setattr__(self, "graphs", boolean("graphs", self.graphs))

    def native(self) -> C.RunOptions:
        """The compiled form."""
        draw = self.draw
        return C.RunOptions(
            batch_size=self.batch_size or 0,
            max_calls=self.max_calls or 0,
            temperature=draw.temperature,
            banned=sorted({*draw.banned_tokens, *self.closed}),
            top_k=draw.top_k,
            top_p=draw.top_p,
            drawable=self.drawable,
            allowed=draw.allowed,
        )


def run(state: C.State, sampler: Sampler, network: Any, options: RunOptions | None = None) -> float:
    """Continues a state to its end, or for `max_calls` network calls.

    The loop is csrc/sample/run.cpp. Where the network is on a CUDA device and all calls of the sampler are alike, its
    device form replays a recorded call instead: the same options, batching and watch, the same addresses, the same tokens.

    Args:
        state: a `C.State` that this sampler, or one of its kind, has begun.
        sampler: what plans and writes.
        network: a native engine, or a score function (tokens, times, rows) -> logits as `callable_network` makes it.
        options: default `RunOptions()`.

    Returns:
        Seconds that it took.

    Raises:
        ValueError: a state or token out of range, or logits that cannot be drawn from; what the network raises.
    """
    options = options or RunOptions()
    C.set_num_threads(torch.get_num_threads())
    with ExitStack() as stack:
        watch = C.Watch(options.watch, options.watch_interval)
        if options.progress:
            bar = stack.enter_context(progress_bar(int(state.remaining.sum())))
            watch = C.Watch(beside(bar, watch))
        began = time.perf_counter()
        native, step = sampler.native(), device_run.replayed_step(sampler, network, options.draw)
        if step is None:
            C.run(state, native, network, options.native(), watch)
        else:
            native.admit(state)
            device_run.replay(state, step, network, options.native(), watch, options.graphs)
        return time.perf_counter() - began
