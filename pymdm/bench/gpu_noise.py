"""Gumbel-max kernels of the usual kind in Triton, for `pymdm bench gpu`: noise for every element, then the arg-max."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def _draw(best, where, x, at, low, high, vocab, WIDE: tl.constexpr):
    """One element a lane: x plus noise from one 32-bit word (float32) or two (float64), kept where it is the largest."""
    if WIDE:
        bits = (high.to(tl.uint32, bitcast=True).to(tl.uint64) << 32) | low.to(tl.uint32, bitcast=True).to(tl.uint64)
        u = ((bits >> 11).to(tl.float64) + 0.5) * 1.1102230246251565e-16
        score = x.to(tl.float64) - tl.log(-tl.log(u))
    else:
        u = ((low.to(tl.uint32, bitcast=True) >> 8).to(tl.float32) + 0.5) * 5.9604644775390625e-08
        score = x - tl.log(-tl.log(u))
    take = (score > best) & (at < vocab)
    return tl.where(take, score, best), tl.where(take, at, where)


@triton.jit
def _gumbel_max(logits, out, vocab, seed, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """One program a row; four blocks of columns share one Philox call (two in float64)."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    best = tl.full([BLOCK], float("-inf"), tl.float64 if WIDE else tl.float32)
    where = tl.zeros([BLOCK], tl.int32)
    for start in range(0, vocab, 4 * BLOCK):
        a = start + columns
        b, c, d = a + BLOCK, a + 2 * BLOCK, a + 3 * BLOCK
        base = logits + row * vocab
        x = tl.load(base + a, mask=a < vocab, other=float("-inf"))
        y = tl.load(base + b, mask=b < vocab, other=float("-inf"))
        z = tl.load(base + c, mask=c < vocab, other=float("-inf"))
        w = tl.load(base + d, mask=d < vocab, other=float("-inf"))
        counter = (row * vocab + a).to(tl.int32)
        r0, r1, r2, r3 = tl.randint4x(seed, counter)
        if WIDE:
            s0, s1, s2, s3 = tl.randint4x(seed + 1, counter)
        else:
            s0, s1, s2, s3 = r0, r1, r2, r3
        best, where = _draw(best, where, x, a, r0, s0, vocab, WIDE)
        best, where = _draw(best, where, y, b, r1, s1, vocab, WIDE)
        best, where = _draw(best, where, z, c, r2, s2, vocab, WIDE)
        best, where = _draw(best, where, w, d, r3, s3, vocab, WIDE)
    top = tl.argmax(best, axis=0)
    tl.store(out + row, tl.sum(tl.where(columns == top, where, 0), axis=0).to(tl.int64))


def gumbel_max(logits: torch.Tensor, out: torch.Tensor, seed: int, wide: bool) -> None:
    """out [M] int64 = arg-max of logits [M, V] float32, contiguous, plus float32 noise, or float64 noise if `wide`."""
    _gumbel_max[(logits.shape[0],)](logits, out, logits.shape[1], seed, BLOCK=1024, WIDE=wide, num_warps=8)
