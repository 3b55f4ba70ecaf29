"""Scores of positions by a function of the user's: a learned planner, a quality head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from pymdm.sampling.check import described


class PositionScore(Protocol):
    """A function that says at which positions to write, or which tokens to keep: (tokens, logits) -> scores.

    tokens: [B, L] int64, sequences of one length as the network has just seen them, the mask's id where masked (with
    `Confidence(proposals=True)` the proposed tokens there). logits: [B, L, V] of every position, in the network's dtype, on
    the CPU, before temperature, bans, top-k and top-p. Scores: [B, L] floats without NaN; higher is unmasked first
    (`Confidence`) or kept (`Remask`). Scores of known positions in `Confidence` and of masked ones in `Remask` are not
    used. Samples do not depend on the batch as long as the scores of a sequence do not.
    """

    def __call__(self, tokens: Tensor, logits: Tensor, /) -> Tensor:
        """[B, L] scores."""


def check_score(score: Any) -> None:
    """TypeError unless the score is None or a function."""
    if score is not None and (not callable(score) or isinstance(score, type)):
        got = f"the class {score.__name__}" if isinstance(score, type) else described(score)
        raise TypeError(f"sample: score must be a function (tokens, logits) -> [B, L], got {got}")


def native_score(score: PositionScore | None) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The function as the compiled core calls it, which checks what it gives.

    >>> native_score(lambda tokens, logits: tokens)(torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3, 2))
    Traceback (most recent call last):
        ...
    ValueError: sample: score must give a float tensor [1, 3], got torch.int64 [1, 3]
    """
    if score is None:
        return None

    def checked(tokens: Tensor, logits: Tensor) -> Tensor:
        with torch.no_grad():
            found = score(tokens, logits)
        shape = list(tokens.shape)
        if not isinstance(found, Tensor):
            raise TypeError(f"sample: score must give a float tensor {shape}, got {described(found)}")
        if list(found.shape) != shape or not found.is_floating_point():
            raise ValueError(f"sample: score must give a float tensor {shape}, got {found.dtype} {list(found.shape)}")
        return found.detach().to("cpu", torch.float64).contiguous()

    return checked
