"""Sets of tokens that positions allow, as plain pairs: whatever form a user gives them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymdm.sampling.check import entries, integer

Allowed = tuple[tuple[int, tuple[int, ...]], ...]
MOST = 1 << 22  # ids of all positions together: they are kept in the saved state
LARGEST = 2**31


def allowed_sets(value: Any) -> Allowed:
    """Position -> the ids that may be drawn there, in order, as pairs; rows of a boolean array that allow all are left out.

    Args:
        value: a mapping, pairs of a position and its ids, or a boolean array or tensor [L, V]; None: no restriction.

    Raises:
        ValueError, TypeError: another form, a position twice or without ids, an id or position out of range.

    >>> allowed_sets({3: [7, 5, 5], 0: [1]})
    ((0, (1,)), (3, (5, 7)))
    >>> import torch
    >>> allowed_sets(torch.tensor([[True, True], [False, True]]))
    ((1, (1,)),)
    """
    if value is None or (isinstance(value, tuple) and not value):
        return ()
    import numpy as np  # here, so that the command line shows its help without them
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype != np.bool_ or value.ndim != 2:
            raise ValueError(f"sample: allowed must be boolean [L, V], got {value.dtype} {list(value.shape)}")
        pairs: list[Any] = [(int(i), np.flatnonzero(value[i])) for i in np.flatnonzero(~value.all(1))]
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        pairs = [entries("allowed", pair) for pair in entries("allowed", value)]
    found: dict[int, tuple[int, ...]] = {}
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(f"sample: allowed must be pairs of a position and its ids, got {len(pair)} entries")
        position = integer("positions of allowed", pair[0], 0, LARGEST)
        ids = sorted({integer("allowed tokens", token, 0, LARGEST) for token in entries("allowed", pair[1])})
        if position in found:
            raise ValueError(f"sample: allowed has position {position} twice")
        if not ids:
            raise ValueError(f"sample: allowed has no tokens for position {position}")
        found[position] = tuple(ids)
    if sum(map(len, found.values())) > MOST:
        raise ValueError(f"sample: allowed may name {MOST} tokens in all, got {sum(map(len, found.values()))}")
    return tuple(sorted(found.items()))
