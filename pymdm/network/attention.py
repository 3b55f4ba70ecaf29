"""What a row sees: one definition for every kind of attention. A row sees a prefix of what became known, and its group.

| kind | a known token's row sees | a mask's row sees |
|---|---|---|
| bidirectional | everything | everything |
| causal | the positions up to its own | the same |
| block | the blocks up to its own, masks included | the same |
| block, causal context | the positions up to its own; in a block with masks all of it too | the blocks up to its own |
| any-order | known tokens that became known no later than it | all known tokens, and itself |

Tokens that were given became known together, before all others, and see each other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pymdm.network.config import ModelConfig

UNSEEN = 1 << 30  # rank of a key that only its own group sees


class Sight(NamedTuple):
    """Row i sees key j where rank[j] <= sees[i] or group[j] == group[i].

    Attributes:
        position: int64 [R], where each row stands in its sequence, for the network's positions.
        rank, sees, group: int64 [B, R].
    """

    position: Tensor
    rank: Tensor
    sees: Tensor
    group: Tensor

    def mask(self) -> Tensor:
        """bool [B, 1, R, R]: true where the row (third dimension) sees the key (fourth).

        >>> one = torch.zeros(1, 2, dtype=torch.int64)
        >>> Sight(one[0], torch.tensor([[0, 1]]), torch.tensor([[0, 1]]), torch.tensor([[0, 1]])).mask().int().tolist()
        [[[[1, 0], [1, 1]]]]
        """
        prefix = self.rank[:, None, :] <= self.sees[:, :, None]
        return (prefix | (self.group[:, None, :] == self.group[:, :, None]))[:, None]


def sight_of(config: ModelConfig, tokens: Tensor, rank: Tensor | None = None) -> Sight | None:
    """What the rows of partly masked sequences see; None where all see all, or all positions up to their own.

    Args:
        tokens: int64 [B, L].
        rank: int64 [B, L], of "any-order": when each known token became known, 0, 1, ...; -1 where it was given; entries at
            masks are not read. Default: all were given.
    """
    if config.attention not in ("block", "any-order"):
        return None
    position = torch.arange(tokens.shape[1], device=tokens.device)
    if config.attention == "block":
        K = config.block_length
        block = (position // K).expand_as(tokens)
        if not config.causal_context:
            return Sight(position, block, block, block)
        busy = torch.zeros(len(tokens), int(position[-1]) // K + 1, dtype=torch.bool, device=tokens.device)
        busy = busy.scatter_add(1, block, tokens == config.mask_id).gather(1, block)  # whether its block has a mask
        at = position.expand_as(tokens)
        return Sight(position, at, torch.where(busy, block * K + K - 1, at), at)
    known = tokens != config.mask_id
    when = torch.full_like(tokens, -1) if rank is None else rank
    sees = when.masked_fill(~known, UNSEEN - 1)
    return Sight(position, when.masked_fill(~known, UNSEEN), sees, position.expand_as(tokens))


def two_streams(rank: Tensor) -> Sight:
    """Rows of "any-order" training: L known tokens, then a query for each position that sees what was known before it.

    Args:
        rank: int64 [B, L], rank of each token, 0, 1, ...; -1 for those of the first group, which see each other.
    """
    position = torch.arange(rank.shape[1], device=rank.device)
    both = torch.cat([position, position + rank.shape[1]]).expand(len(rank), -1)
    keys = torch.cat([rank, torch.full_like(rank, UNSEEN)], 1)
    return Sight(position.repeat(2), keys, torch.cat([rank, rank - 1], 1), both)


def two_copies(tokens: Tensor, block_length: int, causal_context: bool = False) -> Sight:
    """Rows of "block" training: L clean tokens, then L noisy ones, whose blocks see the clean blocks before and themselves.

    Args:
        tokens: int64 [B, L], for its shape.
        block_length: K.
        causal_context: of the config: clean tokens see the positions up to their own only.
    """
    position = torch.arange(tokens.shape[1], device=tokens.device)
    block = (position // block_length).expand_as(tokens)
    rank, before = (position.expand_as(tokens), block * block_length - 1) if causal_context else (block, block - 1)
    blocks = tokens.shape[1]  # at least their number
    keys = torch.cat([rank, torch.full_like(block, UNSEEN)], 1)
    return Sight(position.repeat(2), keys, torch.cat([rank, before], 1), torch.cat([rank, block + blocks], 1))
