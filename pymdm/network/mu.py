"""mu, the network's law of a masked token: the softmax of its logits over the ids that stand for tokens, and no others.

Training, evaluation and sampling (`set_banned` in csrc/sample/run.cpp) mean this one law. The mask is never drawn, so a
column of logits at its id has no part in mu; nor have columns beyond the tokenizer, of networks padded to a round width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def closed(width: int, mask_id: int, drawable: int = 0) -> Tensor | None:
    """The columns that mu leaves out, bool [V]; None where it has them all.

    Args:
        width: V, columns of the logits.
        mask_id: id of the mask, which may be V or more.
        drawable: ids from here on stand for no token; 0: all stand for one.

    Example:
        >>> closed(4, 1, 3).tolist()
        [False, True, False, True]
    """
    if mask_id >= width and not 0 < drawable < width:
        return None
    out = torch.zeros(width, dtype=torch.bool)
    if mask_id < width:
        out[mask_id] = True
    if drawable:
        out[drawable:] = True
    return out


def log_mu(logits: Tensor, mask_id: int, drawable: int = 0) -> Tensor:
    """log mu, [..., V]: the log-softmax of logits [..., V] over the open columns, -inf at the others.

    Args:
        logits: floating-point; float16 and bfloat16 are widened to float32.
        mask_id, drawable: see `closed`.

    Example:
        >>> log_mu(torch.tensor([0.0, 5.0, 0.0]), mask_id=1).exp().tolist()
        [0.5, 0.0, 0.5]
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    out = closed(wide.shape[-1], mask_id, drawable)
    if out is not None:
        wide = wide.masked_fill(out.to(wide.device), -torch.inf)
    return wide.log_softmax(-1)
