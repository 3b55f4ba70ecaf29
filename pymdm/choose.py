"""`choose`: one token for each row of logits, exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pymdm._native import C
from pymdm.random import EVENTS, PURPOSES, SEEDS, SEQUENCES, Purpose, address, integer

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def choose(
    logits: Tensor,
    *,
    seed: int,
    sequence: Any,
    event: Any,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    banned: Tensor | Sequence[int] | None = None,
    allowed: Tensor | Sequence[Sequence[int] | None] | None = None,
    purpose: int = Purpose.TOKEN,
    out: Tensor | None = None,
) -> Tensor:
    """Draws one token for each row of logits by Gumbel-max with 64-bit noise.

    Law: P(token = v) = exp(x_v / T) / sum over w of exp(x_w / T) over the tokens that are allowed. *Exact*: the token is the
    arg-max of x_v / T + g_v in float64, ties to the lowest index, with noise resolved to 2^-64; noise is only evaluated
    where it can win, so that a row costs about as much as reading it. T = 0 is the plain arg-max.

    Readers who know `sampling_from_logits` of FlashInfer or the samplers of vLLM will miss a generator: the noise of a row is a
    pure function of (seed, sequence, event, purpose), never of the batch slot, the batch size or earlier calls. An address
    gives the same token whatever else is in the batch, and different addresses are independent. Use the request's number as
    `sequence` and the step as `event`; never use an address twice for two draws that should be independent.

    Args:
        logits: [..., V] float16, bfloat16, float32 or float64, on the CPU, or on a CUDA device where this installation has the
            kernels (no top_k and top_p there). Rows may be strided. -inf is a token of probability 0.
        seed: in [0, 2^64).
        sequence: in [0, 2^56): an integer, or integers that broadcast to [...].
        event: in [0, 2^32): an integer, or integers that broadcast to [...].
        temperature: T, finite and at least 0.
        top_k: keep the k largest logits of a row, ties to the lowest index; 0 keeps all.
        top_p: then keep the likeliest tokens, of the tempered law, whose mass reaches top_p in (0, 1]; 1 keeps all.
        banned: tokens that are never drawn: their ids, or bool [V].
        allowed: for each row, in order, the ids of the only tokens that may be drawn, or None for all; or bool [..., V]. Of a
            row with few of them only these logits are read.
        purpose: purpose of the draws; the default gives the tokens that `pymdm.sample` draws at these addresses.
        out: int64 [...] on the device of the logits, to write into.

    Returns:
        int64 [...], on the device of the logits; `out` where it was given.

    Raises:
        TypeError, ValueError: bad arguments, or a row with NaN, +inf or no allowed token above -inf, in one line that begins
            with "choose:".

    Source: Zheng et al., ICLR 2025, section 5; docs/design.md, decision 3.

    >>> logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    >>> both = choose(logits, seed=1, sequence=torch.tensor([4, 9]), event=0)
    >>> int(choose(logits[1], seed=1, sequence=9, event=0)) == int(both[1])
    True
    """
    if not isinstance(logits, Tensor) or logits.dtype not in DTYPES:
        what = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"choose: logits must be a float16, bfloat16, float32 or float64 tensor, got {what}")
    if logits.dim() == 0 or logits.shape[-1] == 0:
        raise ValueError(f"choose: logits must be [..., V] with V at least 1, got {list(logits.shape)}")
    shape, vocab = tuple(logits.shape[:-1]), logits.shape[-1]
    if out is not None and (out.dtype != torch.int64 or tuple(out.shape) != shape or out.device != logits.device):
        raise ValueError(
            f"choose: out must be int64 {list(shape)} on {logits.device}, got {out.dtype} {list(out.shape)} on {out.device}"
        )
    number = integer("choose", "purpose", purpose, PURPOSES)
    try:
        heat, mass = float(temperature), float(top_p)
    except (TypeError, ValueError):
        raise TypeError(f"choose: temperature and top_p must be numbers, got {temperature!r} and {top_p!r}") from None
    if not (math.isfinite(heat) and heat >= 0):
        raise ValueError(f"choose: temperature must be finite and at least 0, got {temperature}")
    rows = C.choose(
        logits.detach().reshape(-1, vocab),
        integer("choose", "seed", seed, SEEDS),
        address("choose", "sequence", sequence, shape, SEQUENCES),
        address("choose", "event", event, shape, EVENTS),
        purpose=number,
        temperature=heat,
        banned=_banned(banned, vocab),
        allowed=_allowed(allowed, shape, vocab),
        top_k=integer("choose", "top_k", top_k, 2**63),
        top_p=mass,
    )
    if out is None:
        return rows.view(shape)
    return out.copy_(rows.view(shape))


def _allowed(
    allowed: Tensor | Sequence[Sequence[int] | None] | None, shape: tuple[int, ...], vocab: int
) -> list[list[int] | None] | None:
    """Ids of each row that may be drawn, None where all may."""
    if allowed is None:
        return None
    if isinstance(allowed, Tensor):
        if allowed.dtype != torch.bool or tuple(allowed.shape) != (*shape, vocab):
            raise ValueError(
                f"choose: allowed must be bool {[*shape, vocab]} or ids for each row, got {allowed.dtype} {list(allowed.shape)}"
            )
        rows = allowed.cpu().view(-1, vocab)
        return [None if bool(row.all()) else row.nonzero().flatten().tolist() for row in rows]
    if len(allowed) != math.prod(shape):
        raise ValueError(f"choose: expected allowed tokens of {math.prod(shape)} rows, got {len(allowed)}")
    return [None if ids is None else [integer("choose", "allowed tokens", i, vocab) for i in ids] for ids in allowed]


def _banned(banned: Tensor | Sequence[int] | None, vocab: int) -> Tensor | None:
    """bool [V] on the CPU, True for tokens that are never drawn."""
    if banned is None or (isinstance(banned, Tensor) and banned.dtype == torch.bool):
        return None if banned is None else banned.cpu()
    ids = address("choose", "banned", banned, tuple(torch.as_tensor(banned).shape), vocab)
    return torch.zeros(vocab, dtype=torch.bool).index_fill_(0, ids, True)
