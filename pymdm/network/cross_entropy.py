"""Cross-entropy of a linear head in chunks of rows: the logits of all rows never exist at once.

Forward and backward of a chunk happen together, so its logits [m, V] are used while they are in reach and then dropped:
with p = softmax(W h + b), the loss of a row is -log p[y], its gradient by the logits p - onehot(y).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = 1 << 23  # logits of a chunk: 32 MB of float32


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor | None = None,
    chunk: int | None = None,
    mask_id: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of cross-entropies under logits hidden @ weight.T + bias.

    Args:
        hidden: [M, D].
        weight: [V, D]; bias: [V] or None.
        targets: int64 [M].
        weights: [M], of the rows, without gradient; default all 1.
        chunk: rows at a time; default as many as make 2^23 logits, at least 16.
        mask_id: the mask's column, which has no part in the softmax (see `pymdm.network.mu`); V or more, None: none.

    Returns:
        (sum of weights * losses, a scalar with gradient; losses [M] in nats without gradient). Products are taken in
        autocast's dtype where it is on; softmax and sums in float32 (float64 inputs: float64).

    Raises:
        ValueError: shapes that do not fit. RuntimeError: gradients taken a second time.

    Example:
        >>> total, losses = cross_entropy(torch.zeros(3, 4), torch.zeros(8, 4), None, torch.tensor([0, 1, 2]))
        >>> bool(torch.isclose(total, 3 * torch.tensor(8.0).log()))
        True
    """
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            f"cross_entropy: hidden must be [M, D] and weight [V, D], got {list(hidden.shape)} and {list(weight.shape)}"
        )
    M, V = len(hidden), len(weight)
    if targets.shape != (M,) or (weights is not None and weights.shape != (M,)):
        raise ValueError(f"cross_entropy: targets and weights must be [{M}], got {list(targets.shape)}")
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    wide = torch.promote_types(hidden.dtype, torch.float32)
    weights = torch.ones(M, dtype=wide, device=hidden.device) if weights is None else weights.detach().to(wide)
    if chunk is None:
        chunk = max(16, CHUNK_ELEMENTS // V)
    shut = mask_id if mask_id is not None and mask_id < V else None
    inputs = (hidden, weight) if bias is None else (hidden, weight, bias)
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
    total, losses = _Chunked.apply(hidden, weight, bias, targets, weights, chunk, dtype, wide, wanted, shut)
    return total, losses


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        weights: Tensor,
        chunk: int,
        dtype: torch.dtype,
        wide: torch.dtype,
        wanted: bool,
        shut: int | None,
    ) -> tuple[Tensor, Tensor]:
        M = len(hidden)
        matrix = weight.to(dtype)
        losses = torch.empty(M, dtype=wide, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if wanted else None
        d_weight = torch.zeros(weight.shape, dtype=wide, device=weight.device) if wanted else None
        d_bias = torch.zeros(len(weight), dtype=wide, device=weight.device) if wanted and bias is not None else None
        for start in range(0, M, chunk):
            part = slice(start, start + chunk)
            h, y = hidden[part].to(dtype), targets[part, None]
            logits = (h @ matrix.T).to(wide)
            if bias is not None:
                logits += bias
            if shut is not None:
                logits[:, shut] = -torch.inf
            right = logits.gather(1, y).squeeze(1)
            top = logits.amax(1)
            p = logits.sub_(top[:, None]).exp_()
            total = p.sum(1)
            losses[part] = total.log() + top - right
            if d_hidden is None or d_weight is None:
                continue
            w = weights[part]
            p *= (w / total)[:, None]
            p.scatter_add_(1, y, -w[:, None])
            slope = p.to(dtype)
            d_hidden[part] = slope @ matrix
            if dtype == wide:
                d_weight.addmm_(slope.T, h)
            else:
                d_weight += slope.T @ h
            if d_bias is not None:
                d_bias += p.sum(0)
        ctx.gradients = (d_hidden, d_weight, d_bias)
        ctx.dtypes = (weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if ctx.gradients is None:
            raise RuntimeError("cross_entropy: its gradients can be taken once only")
        (d_hidden, d_weight, d_bias), ctx.gradients = ctx.gradients, None  # scaled in place: nothing is held twice
        matrix_dtype, bias_dtype = ctx.dtypes
        rest = None if d_bias is None else d_bias.mul_(grad).to(bias_dtype)
        return d_hidden.mul_(grad.to(d_hidden.dtype)), d_weight.mul_(grad).to(matrix_dtype), rest, *(None,) * 7
