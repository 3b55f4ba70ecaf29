"""Philox4x32-10 and the address of a draw, in numpy.

The cipher is Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): ten rounds of two
32x32 -> 64 bit products. A draw is a pure function of (seed, sequence, event, purpose, index):

    key     = (seed mod 2^32, seed div 2^32)
    counter = (index div 4, event, sequence mod 2^32, word_purpose * 2^24 + sequence div 2^32)
    word    = output[index mod 4]

and the 64-bit draw of purpose p has its high word at word_purpose 2p and its low word at 2p + 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

HITTING, POSITION, TOKEN, MOVE, LITERAL, CONFIDENCE, CORRECTOR, REMASK, FREE, LENGTH = range(1, 11)

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # fractional parts of the golden ratio and of sqrt(3): the key's step per round
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def philox4x32(counter: ArrayLike, key: tuple[int, int], rounds: int = 10) -> NDArray[np.uint32]:
    """Encrypts counters with one key; Salmon et al. 2011, table 2.

    Args:
        counter: [..., 4] integers below 2^32.
        key: two integers below 2^32.
        rounds: number of rounds, 10 in everything this package draws.

    Returns:
        [..., 4] uint32.

    Example:
        >>> [f"{word:08x}" for word in philox4x32([0, 0, 0, 0], (0, 0))]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    array = np.asarray(counter)
    if array.shape[-1:] != (4,):
        raise ValueError(f"philox4x32: counter must have a last axis of 4, got shape {array.shape}")
    c0, c1, c2, c3 = (array[..., i].astype(np.uint64) for i in range(4))
    words = encrypt(c0, c1, c2, c3, key, rounds)
    return np.stack(words, axis=-1).astype(np.uint32)


def encrypt(c0, c1, c2, c3, key: tuple[int, int], rounds: int = 10) -> tuple[NDArray[np.uint64], ...]:
    """The rounds themselves on four broadcastable uint64 arrays that hold 32-bit values; returns four such arrays."""
    m0, m1 = (np.uint64(m) for m in _MULTIPLIERS)
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = c0 * m0, c2 * m1
        c0 = (p1 >> _32) ^ c1 ^ np.uint64(k0)
        c2 = (p0 >> _32) ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def block(seed: int, sequence: ArrayLike, event: ArrayLike, word_purpose: int, index4: ArrayLike, rounds: int = 10):
    """The four words of the counter block index4 = index div 4.

    Args:
        seed: integer in [0, 2^64).
        sequence: integers in [0, 2^56), any shape that broadcasts with event and index4.
        event: integers in [0, 2^32).
        word_purpose: integer in [0, 256).
        index4: integers in [0, 2^32).

    Returns:
        Four uint64 arrays of the broadcast shape, each holding 32-bit values.
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"philox: seed must be in [0, 2^64), got {seed}")
    sequence, event, index4 = (np.asarray(a, dtype=np.uint64) for a in (sequence, event, index4))
    sequence, event, index4 = np.broadcast_arrays(sequence, event, index4)
    last = np.uint64(word_purpose << 24) | ((sequence >> _32) & np.uint64(0xFFFFFF))
    return encrypt(index4 & _LOW, event & _LOW, sequence & _LOW, last, (seed & 0xFFFFFFFF, seed >> 32), rounds)


def bits(seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, index: ArrayLike) -> NDArray[np.uint64]:
    """64 random bits at an address; sequence, event and index broadcast.

    Args:
        seed: integer in [0, 2^64).
        sequence: sequence ids in [0, 2^56), the caller's, never the batch slot.
        event: integers in [0, 2^32).
        purpose: one of the purposes of this module.
        index: integers in [0, 2^34).

    Returns:
        uint64 of the broadcast shape.

    Example:
        >>> hex(int(bits(7, 0, 0, TOKEN, 0)))
        '0x43bf9385e302f591'
    """
    index = np.asarray(index, dtype=np.uint64)
    word = (index & np.uint64(3)).astype(np.int64)
    high, low = (
        np.choose(word, np.broadcast_arrays(*block(seed, sequence, event, 2 * purpose + half, index >> np.uint64(2))))
        for half in (0, 1)
    )
    return (high << _32) | low


def bits_row(seed: int, sequence: ArrayLike, event: ArrayLike, purpose: int, base: ArrayLike, count: int):
    """The draws base, base + 1, ..., base + count - 1 of each row: [M, count] uint64; every base is a multiple of 4."""
    sequence, event, base = np.broadcast_arrays(*(np.asarray(a, dtype=np.uint64) for a in (sequence, event, base)))
    if np.any(base & np.uint64(3)):
        raise ValueError("bits_row: base must be a multiple of 4")
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    index4 = (base >> np.uint64(2))[:, None] + blocks  # [M, ceil(count / 4)]
    high, low = (
        np.stack(block(seed, sequence[:, None], event[:, None], 2 * purpose + half, index4), axis=-1) for half in (0, 1)
    )
    return ((high << _32) | low).reshape(len(base), 4 * index4.shape[1])[:, :count]
