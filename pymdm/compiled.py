"""The compiled core as a `pymdm.prove.Implementation`: what `make prove` and `pymdm audit` put to the proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pymdm._native import C
from pymdm.network.callable import callable_network
from pymdm.prove.implementation import Batch
from pymdm.sampling.opening import open_state
from pymdm.sampling.options import SampleOptions
from pymdm.sampling.run import RunOptions, run
from pymdm.sampling.samplers import Ancestral, FirstHitting, Remask, Sampler
from pymdm.sampling.samplers.names import KINDS, sampler_call

# Measured against the exact law in a proof.
MEASURED: dict[str, Sampler] = {sampler_call(s): s for kind in KINDS.values() for s in kind.measured}


def _int64(values: ArrayLike, shape: tuple[int, ...]) -> torch.Tensor:
    array = np.broadcast_to(np.asarray(values, dtype=np.uint64), shape).ravel()
    return torch.from_numpy(array.astype(np.int64))


class Compiled:
    """Random stream, choice and samplers of `pymdm._C`.

    >>> Compiled().first_hitting(lambda tokens: torch.zeros(*tokens.shape, 2), 4, 1, length=3, mask_id=2).tokens.shape
    (4, 3)
    """

    name = "pymdm._C"

    def bits(
        self, seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, index: ArrayLike
    ) -> NDArray[np.uint64]:
        shape = np.broadcast_shapes(np.shape(sequence), np.shape(event), np.shape(index))
        sequences, events, indices = (_int64(part, shape) for part in (sequence, event, index))
        out = C.random_bits_at(int(seed), sequences, events, int(purpose), indices)
        return out.numpy().astype(np.uint64).reshape(shape)

    def uniforms(
        self, seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, index: ArrayLike
    ) -> NDArray[np.float64]:
        bits = self.bits(seed, sequence, event, purpose, index)
        return self._of(C.uniform_of_bits, bits)

    def exponential_of(self, bits: ArrayLike) -> NDArray[np.float64]:
        return self._of(C.exponential_of_bits, bits)

    def gumbel_of(self, bits: ArrayLike) -> NDArray[np.float64]:
        return self._of(C.gumbel_of_bits, bits)

    def _of(self, function: Callable[[torch.Tensor], torch.Tensor], bits: ArrayLike) -> NDArray[np.float64]:
        array = np.asarray(bits, dtype=np.uint64)
        return function(_int64(array, array.shape)).numpy().reshape(array.shape)

    def choose(
        self,
        logits: ArrayLike,
        seed: int,
        sequence: ArrayLike = 0,
        event: ArrayLike = 0,
        *,
        base: ArrayLike = 0,
        temperature: float = 1.0,
        banned: ArrayLike | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> NDArray[np.int64]:
        rows = torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float64))
        shape = (rows.shape[0],)
        return C.choose(
            rows,
            int(seed),
            _int64(sequence, shape),
            _int64(event, shape),
            base=_int64(base, shape),
            temperature=temperature,
            banned=None if banned is None else torch.from_numpy(np.array(banned, dtype=bool)),
            top_k=top_k or 0,
            top_p=1.0 if top_p is None else top_p,
        ).numpy()

    def choose_noise(
        self, logits: ArrayLike, seed: int, sequence: ArrayLike, event: ArrayLike, kind: str
    ) -> NDArray[np.int64]:
        rows = torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float64))
        sequences, events = (_int64(part, (rows.shape[0],)) for part in (sequence, event))
        return C.choose_emulated(rows, int(seed), sequences, events, C.Noise.__members__[kind]).numpy()

    def first_hitting(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        tokens_per_call: int | Sequence[int] = 1,
        order: int = 1,
        schedule: str = "linear",
        **options: Any,
    ) -> Batch:
        counts = tokens_per_call if isinstance(tokens_per_call, int) else tuple(tokens_per_call)
        sampler = FirstHitting(tokens_per_call=counts, order=order, schedule=schedule)
        state = self._sample(model, num_samples, seed, sampler, **options)
        parts = (part.view(num_samples, -1).numpy() for part in (state.tokens, state.times, state.rank))
        return Batch.by_position(*parts)

    def ancestral(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        *,
        steps: int = 4,
        form: str = "choose-then-sample",
        noise: str = "exact",
        schedule: str = "linear",
        **options: Any,
    ) -> Batch:
        cache = not options.get("time_conditioned", False)
        sampler = Ancestral(steps=steps, form=form, noise=noise, schedule=schedule, cache=cache)
        state = self._sample(model, num_samples, seed, sampler, **options)
        nothing = np.empty((num_samples, 0))
        return Batch(state.tokens.view(num_samples, -1).numpy(), nothing, nothing.astype(np.int64))

    def remask(
        self, model: Any, num_samples: int, seed: int, *, steps: int, strategy: str, eta: float, **options: Any
    ) -> Batch:
        shape = {name: options.pop(name) for name in ("t_on", "t_off", "alpha_on") if name in options}
        sampler = Remask(steps=steps, strategy=strategy, eta=eta, **shape)
        state = self._sample(model, num_samples, seed, sampler, **options)
        nothing = np.empty((num_samples, 0))
        return Batch(state.tokens.view(num_samples, -1).numpy(), nothing, nothing.astype(np.int64))

    def ahead(
        self, model: Any, num_samples: int, seed: int, window: int, **options: Any
    ) -> tuple[Batch, NDArray[np.int64]]:
        state = self._sample(model, num_samples, seed, FirstHitting(lookahead=window), **options)
        parts = (part.view(num_samples, -1).numpy() for part in (state.tokens, state.times, state.rank))
        return Batch.by_position(*parts), state.rounds.numpy()

    def measured(self) -> dict[str, Callable[..., NDArray[np.int64]]]:
        """The samplers of `MEASURED` as functions (model, seed, sequence ids [B]) -> tokens [B, L]."""

        def draw(sampler: Sampler, model: Any, seed: int, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
            state = self._sample(model, len(ids), seed, sampler, sequences=ids)
            return state.tokens.view(len(ids), -1).numpy()

        return {name: partial(draw, sampler) for name, sampler in MEASURED.items()}

    def _sample(
        self,
        model: Any,
        num_samples: int,
        seed: int,
        sampler: Sampler,
        *,
        sequences: ArrayLike | None = None,
        prompt: ArrayLike | None = None,
        temperature: float = 1.0,
        time_conditioned: bool = False,
        length: int | None = None,
        mask_id: int | None = None,
        banned: ArrayLike | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> C.State:
        length, mask_id = length or model.length, mask_id if mask_id is not None else model.mask_id
        start = np.full(length, mask_id) if prompt is None else np.asarray(prompt)
        starts = np.broadcast_to(start, (num_samples, length)).astype(np.int64)
        # The steps of `pymdm.sample` without its objects per sequence: a proof draws hundreds of millions.
        ids = _int64(np.arange(num_samples) if sequences is None else sequences, (num_samples,))
        state = open_state(sampler, torch.from_numpy(starts), mask_id, int(seed), ids)
        bans = () if banned is None else tuple(np.flatnonzero(np.asarray(banned)).tolist())
        draw = SampleOptions(temperature, top_k, top_p, bans)
        run(state, sampler, callable_network(model, time_conditioned=time_conditioned), RunOptions(draw))
        return state
