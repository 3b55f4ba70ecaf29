"""Wraps anything that gives logits in the one form that the sampling loop calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pymdm._native import C

Score = Callable[[Tensor, Tensor, Tensor], Tensor]


def callable_network(
    model: Callable[..., Any], *, time_conditioned: bool = False, chosen_rows: bool = False, logit_shift: bool = False
) -> Score:
    """Wraps a user's network as score(tokens [b, L], times [b], rows [m]) -> logits [m, V] for the sampling loop.

    Args:
        model: tokens [B, L] int64 -> logits [B, L, V], floating point; a Hugging Face output object with `.logits` is
            accepted too. Positions that are not masked may hold anything.
        time_conditioned: the model is called as model(tokens, times) with times [B] float64 in (0, 1].
        chosen_rows: the model is called with keyword rows [M] int64, flat indices into B * L, and gives [M, V].
        logit_shift: the model's logits for position l stand at l - 1 (position 0 has its own), as of networks that were
            made from autoregressive ones (Dream).

    Returns:
        A function the compiled loop calls. Logits keep their dtype. On a CUDA device they stay there: samplers that only
        draw from them do so on the device, for the others the loop copies them to the CPU. From elsewhere they come to
        the CPU here.

    Raises:
        TypeError, ValueError: at the first call, if what came back is not logits of that shape.
    """

    def score(tokens: Tensor, times: Tensor, rows: Tensor) -> Tensor:
        arguments: list[Any] = [tokens]
        if logit_shift:
            rows = torch.where(rows % tokens.shape[1] == 0, rows, rows - 1)
        if time_conditioned:
            arguments.append(times)
        with torch.no_grad():
            out = model(*arguments, rows=rows) if chosen_rows else model(*arguments)
        logits = getattr(out, "logits", out)
        if not isinstance(logits, Tensor) and hasattr(logits, "__dlpack__"):  # of NumPy, JAX, MLX
            logits = torch.from_dlpack(logits)
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            kind = f"{logits.dtype} tensor" if isinstance(logits, Tensor) else type(logits).__name__
            raise TypeError(f"sample: the network must return a floating point tensor of logits, got {kind}")
        if chosen_rows:
            if logits.dim() != 2 or logits.shape[0] != rows.numel():
                raise ValueError(
                    f"sample: the network must return logits [{rows.numel()}, V], got {tuple(logits.shape)}"
                )
            return _kept(logits)
        if logits.dim() != 3 or logits.shape[:2] != tokens.shape:
            b, length = tokens.shape
            raise ValueError(f"sample: the network must return logits [{b}, {length}, V], got {tuple(logits.shape)}")
        return _kept(logits.flatten(0, 1)[rows.to(logits.device)])

    return score


def _kept(logits: Tensor) -> Tensor:
    """Logits where the loop can draw from them."""
    return logits if logits.is_cuda and C.cuda_built else logits.cpu()
