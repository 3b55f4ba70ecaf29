"""The device form of `run`: calls of plain first-hitting that are alike, recorded once and replayed.

A recorded graph has a fixed batch, so the run is cut into phases, each of as many calls as one batch stays the same. How
many calls a sequence takes is known beforehand, ceil(masks / tokens_per_call), so the host never asks the device whether
anything has ended. What the options mean, which sequences wait for which, and when the watch is due are those of the loop on
the host: `C.RunOptions`, `C.Queue`, `C.Watch` (csrc/binding/run.cpp).
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from pymdm._native import C
from pymdm.sampling.options import SampleOptions
from pymdm.sampling.samplers.common import FixedStep, Sampler

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


def phases(lengths: Sequence[int], masks: Sequence[int], tokens_per_call: int, queue: C.Queue) -> Iterator[Phase]:
    """Phases that bring every sequence of a queue to its end, or use up its calls.

    While sequences wait, one that has ended is replaced at once; after that a batch shrinks to the next border below.
    """
    left = [-(-n // tokens_per_call) for n in masks]
    while active := queue.next([calls == 0 for calls in left]):
        by_calls = sorted((left[b] for b in active), reverse=True)
        calls = min(by_calls[-1] if queue.waits else by_calls[border_below(len(active))], queue.calls_left)
        yield Phase(tuple(sorted(active, key=lambda b: (lengths[b], b))), calls)
        queue.spend(calls)
        for b in active:
            left[b] = max(0, left[b] - calls)


class Recorded:
    """A step for sequences of fixed lengths and, on a CUDA device, its graph with the stream that it was recorded on.

    No two graphs that live at one time share a stream: from torch 2.13 on a graph that ends frees the cuBLAS workspaces of
    its stream, and another graph recorded there would go on writing into them.
    """

    def __init__(
        self, native: C.DeviceEngine, lengths: Sequence[int], tokens_per_call: int, temperature: float, mask_id: int
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
            return  # the current device is this one, see `replay`
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
    def borrowed(self, native: C.DeviceEngine, *shape: Any) -> Iterator[Recorded]:
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


# Of each device network that has been sampled, as long as it lives.
_STEPS: WeakKeyDictionary[C.DeviceEngine, Steps] = WeakKeyDictionary()
_LOCK = threading.Lock()  # of _STEPS


def steps_of(network: C.DeviceEngine) -> Steps:
    """The steps kept for a device network, one object for all threads."""
    with _LOCK:
        return _STEPS.setdefault(network, Steps())


def replayed_step(sampler: Sampler, network: Any, draw: SampleOptions) -> FixedStep | None:
    """The step that a run can replay on its device; None where the loop on the host runs, which calls any network.

    The step draws by temperature and bans; what cuts the conditionals by their values is the host's.
    """
    if not isinstance(network, C.DeviceEngine) or network.sees_time:
        return None
    return None if draw.top_k > 0 or draw.top_p < 1 or draw.allowed else sampler.fixed_step()


def replay(
    state: C.State,
    step: FixedStep,
    network: C.DeviceEngine,
    options: C.RunOptions,
    watch: C.Watch,
    graphs: bool = True,
) -> None:
    """Continues a state by calls of `step` on the network's device.

    Args:
        state, network, options, watch: as of `run`, in their compiled forms.
        step: of `replayed_step`.
        graphs: record and replay on a CUDA device; without, every kernel of every call is launched anew.

    Raises:
        ValueError: a token out of range, or a row of logits with NaN, +inf or nothing to draw.
    """
    steps, lengths = steps_of(network), state.offsets.diff().tolist()
    per_call = min(step.tokens_per_call, max(lengths, default=1))
    never = options.never_drawn(state.mask_id, network.vocab_size)
    on_device = torch.cuda.device(network.device) if network.device.type == "cuda" else contextlib.nullcontext()
    with C.Claim(state), on_device:
        for phase in phases(lengths, state.remaining.tolist(), per_call, options.queue(len(lengths))):
            shape = tuple(lengths[b] for b in phase.sequences)
            with steps.borrowed(network, shape, per_call, options.temperature, state.mask_id) as recorded:
                if graphs and recorded.launched + phase.calls >= MIN_REPLAYS:
                    steps.record(recorded)
                recorded.step.load(state, list(phase.sequences), never)
                stored = 0
                for call in range(1, phase.calls + 1):
                    recorded(graphs)
                    if watch.due():
                        recorded.step.store(state, step.schedule, call - stored)
                        stored = call
                        watch.show(state)
                if stored < phase.calls:
                    recorded.step.store(state, step.schedule, phase.calls - stored)
