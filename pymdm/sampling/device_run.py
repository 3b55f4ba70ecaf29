"""The first-hitting sampler whole on a device: the host plans phases, each of which replays one recorded step.

How many calls a sequence takes is known beforehand, ceil(masks / tokens_per_call), so the host never asks the device
whether anything has ended: batches are packed anew at borders that it computes.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pymdm._native import C
from pymdm.sampling.samplers import FirstHitting, Sampler
from pymdm.sampling.samplers.common import ahead
from pymdm.sampling.schedules import as_schedule

# Calls of one shape before a recording pays: 0.1 to 0.3 s over what a launched call takes longer, both estimates until
# `pymdm bench gpu` has measured them on a card.
MIN_REPLAYS = 256
KEPT_STEPS = 4  # shapes whose memory and graph are kept with the network


@dataclass(frozen=True)
class Phase:
    """`calls` network calls on a fixed set of sequences, given in the order of their lengths.

    Some may end before the phase does; they are carried along and write nothing.
    """

    sequences: tuple[int, ...]
    calls: int


def border_below(count: int) -> int:
    """The largest of 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, ... below `count`: where a batch is packed anew.

    >>> [border_below(n) for n in (1, 2, 5, 6, 8, 100)]
    [0, 1, 4, 4, 6, 96]
    """
    borders = [0, 1, 2, 3]
    while borders[-1] < count:
        borders += [2 * borders[-2], 2 * borders[-1]]
    return max(b for b in borders if b < count)


def phases(
    lengths: Sequence[int], masks: Sequence[int], tokens_per_call: int, batch_size: int, max_calls: int
) -> Iterator[Phase]:
    """Phases that bring every sequence to its end, at most `batch_size` at a time (0: all), within `max_calls` (0: any).

    While sequences wait, one that has ended is replaced at once; after that a batch shrinks to the next border below.
    """
    left = [-(-n // tokens_per_call) for n in masks]
    waiting = [b for b, calls in enumerate(left) if calls > 0]
    budget = max_calls or sum(left)
    active: list[int] = []
    while budget > 0:
        active = [b for b in active if left[b] > 0]
        room = (batch_size or len(left)) - len(active)
        active, waiting = active + waiting[:room], waiting[room:]
        if not active:
            return
        by_calls = sorted((left[b] for b in active), reverse=True)
        calls = min(by_calls[-1] if waiting else by_calls[border_below(len(active))], budget)
        yield Phase(tuple(sorted(active, key=lambda b: (lengths[b], b))), calls)
        budget -= calls
        for b in active:
            left[b] = max(0, left[b] - calls)


class Recorded:
    """A step for sequences of fixed lengths and, on a CUDA device, its graph with the stream that it was recorded on.

    No two graphs that live at one time share a stream: from torch 2.13 on a graph that ends frees the cuBLAS workspaces of
    its stream, and another graph recorded there would go on writing into them.
    """

    def __init__(
        self, native: Any, lengths: Sequence[int], tokens_per_call: int, temperature: float, mask_id: int
    ) -> None:
        self.step = C.FirstHittingStep(native, list(lengths), tokens_per_call, temperature, mask_id)
        self.device: torch.device = native.device
        self.stream: Any = None
        self.graph: Any = None
        self.record_seconds = 0.0
        self.launched = 0  # calls without a graph so far
        self.refused = False  # a recording has failed

    def record(self, stream: Any = None) -> None:
        """Records the graph on `stream` (default a new one), after trial runs on it that let the libraries set up.

        The step's memory is written: call `load` afterwards. Where recording fails a warning says so, and calls are
        launched from then on.
        """
        if self.graph is not None or self.refused or self.device.type != "cuda":
            return  # the current device is this one, see `run`
        began = time.perf_counter()
        self.stream = stream or torch.cuda.Stream(self.device)
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            for _ in range(2):
                self.step.step()
        torch.cuda.current_stream(self.device).wait_stream(self.stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.step.step()
        except RuntimeError as error:
            self.refused = True
            reason = str(error).partition("\n")[0]
            warnings.warn(f"sample: recording a CUDA graph failed, calls are launched instead: {reason}", stacklevel=2)
            return
        self.graph = graph
        self.record_seconds = time.perf_counter() - began

    def __call__(self, graphs: bool = True) -> None:
        """One call, queued: replays the graph where there is one, launches every kernel without `graphs`."""
        if graphs and self.graph is not None:
            self.graph.replay()
        else:
            self.launched += 1
            self.step.step()


class Steps:
    """The last few steps of a network, for runs to come. A run takes its step out, so that no two threads share one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Recorded] = OrderedDict()
        self._streams: list[Any] = []  # of steps that have gone, for those to come
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def values(self) -> list[Recorded]:
        """The steps that no run holds at the moment."""
        return list(self._kept.values())

    @contextlib.contextmanager
    def borrowed(self, native: Any, *shape: Any) -> Iterator[Recorded]:
        """The step of a shape, kept from an earlier run or new. A run that fails does not give its step back."""
        with self._lock:
            recorded = self._kept.pop(shape, None)
        recorded = recorded or Recorded(native, *shape)
        yield recorded
        with self._lock:
            gone = self._kept.pop(shape, None)  # another thread's, of the same shape
            self._kept[shape] = recorded
            if len(self._kept) > KEPT_STEPS:
                _, gone = self._kept.popitem(last=False)
            if gone is not None and gone.stream is not None:
                gone.graph = None  # before its stream serves another
                self._streams.append(gone.stream)

    def record(self, recorded: Recorded) -> None:
        """Records a step's graph, one thread at a time, on a stream that no living graph uses."""
        with self._lock:
            recorded.record(self._streams.pop() if self._streams and recorded.graph is None else None)


def steps_of(native: Any) -> Steps:
    """The steps kept with a network."""
    steps: Steps = native.__dict__.setdefault("steps", Steps())  # one operation: threads get one object
    return steps


def replays(native: Any, sampler: Sampler, top_k: int, top_p: float) -> bool:
    """Whether a run can stay on the device: plain first-hitting with one number of tokens a call and the model's law.

    Other samplers run their loop on the host and call the device's network, so does lookahead by a number or a chance, whose
    guesses are checked on the host; "auto" is left to the step on the device.
    """
    if not isinstance(native, C.DeviceEngine) or not isinstance(sampler, FirstHitting) or native.sees_time:
        return False
    counts = set(sampler._counts())
    plain = (
        sampler.noise == "exact"
        and not sampler.block_length
        and (counts == {1} or not (sampler.corrector or sampler.order == 2))
    )
    looks = ahead(sampler.lookahead)
    plain = plain and (looks["window"] == 1 or looks["timed"])
    return plain and len(counts) == 1 and top_k == 0 and top_p == 1


def run(
    state: Any,
    native: Any,
    sampler: FirstHitting,
    *,
    batch_size: int = 0,
    max_calls: int = 0,
    temperature: float = 1.0,
    banned: Sequence[int] = (),
    drawable: int = 0,
    watch: Callable[[Any], None] | None = None,
    watch_interval: float = 0.0,
    graphs: bool = True,
) -> None:
    """Continues a state to its end, or for `max_calls` network calls; arguments as of `C.run`.

    Args:
        graphs: record and replay on a CUDA device; without, every kernel of every call is launched anew.

    Raises:
        ValueError: a token out of range, or a row of logits with NaN, +inf or nothing to draw.
    """
    vocab, mask_id = native.vocab_size, state.mask_id
    closed = torch.zeros(vocab, dtype=torch.bool)
    for token in banned:
        if not 0 <= token < vocab:
            raise ValueError(f"sample: banned tokens must be in [0, {vocab}), got {token}")
        closed[token] = True
    if mask_id < vocab:
        closed[mask_id] = True
    if drawable:
        closed[drawable:] = True
    lengths, steps = state.offsets.diff().tolist(), steps_of(native)
    tokens_per_call, schedule = (
        min(sampler._counts()[0], max(lengths, default=1)),
        as_schedule(sampler.schedule).native(),
    )
    seen = time.perf_counter() - watch_interval  # the first call is always shown
    with torch.cuda.device(native.device) if native.device.type == "cuda" else contextlib.nullcontext():
        for phase in phases(lengths, state.remaining.tolist(), tokens_per_call, batch_size, max_calls):
            shape = tuple(lengths[b] for b in phase.sequences)
            with steps.borrowed(native, shape, tokens_per_call, temperature, mask_id) as recorded:
                if graphs and recorded.launched + phase.calls >= MIN_REPLAYS:
                    steps.record(recorded)
                recorded.step.load(state, list(phase.sequences), closed)
                stored = 0
                for call in range(1, phase.calls + 1):
                    recorded(graphs)
                    if watch is not None and time.perf_counter() - seen >= watch_interval:
                        recorded.step.store(state, schedule, call - stored)
                        stored, seen = call, time.perf_counter()
                        watch(state)
                if stored < phase.calls:
                    recorded.step.store(state, schedule, phase.calls - stored)
