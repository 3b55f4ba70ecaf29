"""What bfloat16 arithmetic does to the law of a sample: the bfloat16 engine against the float32 one, same weights.

Conditionals: held-out real texts with a random part masked; total variation (TV) between the two distributions of each
masked token. Whole samples: paths (which position, which token, one after the other) of the exact first-hitting sampler
in float32, and the probability Q that bfloat16 gives each beside its own P. The positions have the same law in both, so
KL(P|Q) is the expected sum of the tokens' own, and log P/Q a sum over tokens; TV(P, Q) = E |1 - Q/P| / 2 bounds that of
the texts.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import pymdm
from pymdm.bench import common
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import Spread
from pymdm.data.corpus import load_corpus
from pymdm.data.tokenizer import Tokenizer
from pymdm.network.checkpoint import Checkpoint, load_checkpoint
from pymdm.network.engine import Engine
from pymdm.reference.forward import forward

TIMED = False
EXAMPLE = "pymdm bench bfloat16 --texts 32 --paths 32"
QUICK = {"texts": 4, "paths": 4, "length": 16}
FULL = {"texts": 512, "paths": 1024}
CHUNK = 8  # texts scored at a time
Score = Callable[[Tensor, Tensor, Tensor], Tensor]  # tokens [B, L], times [B], rows [M] -> logits [M, V]


@dataclass(frozen=True)
class Compared:
    """Two distributions [M, V] of M tokens, row by row, and the token that came.

    tv [M]; kl [M], sum p log p/q; changed [M], whether the likeliest token differs; log_ratio [M], log p/q of the token; all
    float64 or bool.
    """

    tv: Tensor
    kl: Tensor
    changed: Tensor
    log_ratio: Tensor


def compare(p_logits: Tensor, q_logits: Tensor, tokens: Tensor) -> Compared:
    """Both softmaxes in float64.

    >>> same = compare(torch.zeros(1, 4), torch.ones(1, 4), torch.tensor([2]))
    >>> float(same.tv), float(same.log_ratio), bool(same.changed)
    (0.0, 0.0, False)
    """
    p, q = (torch.log_softmax(x.double(), -1) for x in (p_logits, q_logits))
    tv = 0.5 * (p.exp() - q.exp()).abs().sum(-1)
    at = tokens.view(-1, 1)
    kl = (p.exp() * (p - q)).sum(-1)
    return Compared(tv, kl, p.argmax(-1) != q.argmax(-1), (p.gather(1, at) - q.gather(1, at)).squeeze(1))


def joined(parts: list[Compared]) -> Compared:
    return Compared(*(torch.cat([getattr(p, name) for p in parts]) for name in ("tv", "kl", "changed", "log_ratio")))


def windows(path: str | None, tokenizer: Tokenizer, length: int, count: int) -> Tensor:
    """int64 [count, length]: pieces of the held-out side of a corpus, spread evenly over it."""
    tokens = torch.tensor(tokenizer.encode(load_corpus(path).held_out_text))
    if len(tokens) < length:
        raise ValueError(f"bench bfloat16: the held-out text has {len(tokens)} tokens, needed are {length}")
    starts = torch.linspace(0, len(tokens) - length, count).long()
    return tokens[starts[:, None] + torch.arange(length)]


def conditionals(engines: tuple[Score, Score], texts: Tensor, mask_id: int, seed: int) -> Compared:
    """Masked tokens of real texts; text i of N has a share (i + u)/N of its positions masked, at least one."""
    N, L = texts.shape
    generator = torch.Generator().manual_seed(seed)
    share = (torch.randperm(N, generator=generator) + torch.rand(N, generator=generator)) / N
    rank = torch.rand(N, L, generator=generator).argsort(1).argsort(1)
    masked = rank < (share * L).long().clamp(min=1)[:, None]
    parts = []
    for i in range(0, N, CHUNK):
        where, real = masked[i : i + CHUNK], texts[i : i + CHUNK]
        rows, shown = where.flatten().nonzero().squeeze(1), real.masked_fill(where, mask_id)
        times = share[i : i + CHUNK]  # the noise level, for networks that are told it
        p, q = (engine(shown, times, rows) for engine in engines)
        parts.append(compare(p, q, real.flatten()[rows]))
    return joined(parts)


def paths(engines: tuple[Engine, Engine], count: int, length: int, seed: int) -> list[Compared]:
    """Exact float32 samples, scored by both along their own order: [count] tokens a step."""
    config = engines[0].config
    out = pymdm.sample(engines[0], num_samples=count, length=length, seed=seed)
    tokens, rank, times = (torch.stack(list(getattr(out, name))) for name in ("tokens", "rank", "times"))
    shown = torch.full_like(tokens, config.mask_id)
    parts = []
    for step in range(length):
        at = (rank == step).int().argmax(1)
        rows = torch.arange(count) * length + at
        when = times.flatten()[rows]
        p, q = (engine(shown, when, rows) for engine in engines)
        drawn = tokens.flatten()[rows]
        parts.append(compare(p, q, drawn))
        shown.view(-1)[rows] = drawn
    return parts


def double(checkpoint: Checkpoint) -> Score:
    """The same weights in float64, straight from the formulas."""
    config, weights = checkpoint.config.to_dict(), {k: t.double().numpy() for k, t in checkpoint.state_dict.items()}

    def score(tokens: Tensor, times: Tensor, rows: Tensor) -> Tensor:
        logits = forward(config, weights, tokens.numpy(), times.double().numpy())
        return torch.from_numpy(logits).flatten(0, 1)[rows]

    return score


def mean(values: Tensor) -> Spread:
    """A mean over independent values with its 95% interval (normal), where a median has its quartiles."""
    value, half = float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
    return Spread(value, value - half, value + half, len(values))


def rows_of(subject: str, c: Compared) -> list[Row]:
    note = f"{len(c.tv):,} tokens"
    return [
        row(subject, "mean TV of a token", float(c.tv.mean()), headline=True, note=note),
        row(subject, "99th percentile", float(c.tv.quantile(0.99))),
        row(subject, "worst", float(c.tv.max()), headline=True),
        row(subject, "likeliest token changes", float(c.changed.double().mean()), "%"),
    ]


@torch.inference_mode()
def run(args: argparse.Namespace) -> common.Measured:
    """Rows of both parts."""
    checkpoint = load_checkpoint(args.model)
    single, half = (Engine(checkpoint, dtype=dtype) for dtype in ("float32", "bfloat16"))
    config = checkpoint.config
    if args.length > config.length:
        raise ValueError(f"bench bfloat16: --length must be at most {config.length}, got {args.length}")
    real = windows(args.text, checkpoint.tokenizer, config.length, args.texts)
    on_text = conditionals((single, half), real, config.mask_id, args.seed)
    on_path = paths((single, half), args.paths, args.length, args.seed)
    subject = "masked real text"
    rows = rows_of(subject, on_text)
    change = float(on_text.log_ratio.mean()) / math.log(2)
    rows.append(row(subject, "a real token costs more", change, "bits", note="mean of log2 p/q"))
    # The same weights as a double precision network, on the first texts: what float32 itself leaves.
    exact = conditionals((single, double(checkpoint)), real[:CHUNK], config.mask_id, args.seed)
    note = f"{len(exact.tv):,} tokens"
    rows.append(row("float32 against float64", "worst TV of a token", float(exact.tv.max()), note=note))
    subject = f"samples of {args.length} tokens"
    rows += rows_of(subject, joined(on_path))
    kl, whole = torch.stack([c.kl for c in on_path]).sum(0), torch.stack([c.log_ratio for c in on_path]).sum(0)
    rows.append(row(subject, "KL of the law of paths", mean(kl), "nats"))
    rows.append(row(subject, "TV of the law of paths", mean(0.5 * (1 - (-whole).exp()).abs()), headline=True))
    settings = {"model": args.model, "texts": args.texts, "paths": args.paths, "length": args.length}
    return common.Measured(settings, rows, ["Intervals are the 95% intervals of means over paths."])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument(
        "--model", metavar="FOLDER", default="bundled:masked", help="a checkpoint (default: bundled:masked)"
    )
    parser.add_argument("--text", metavar="PATH", help="a text file or folder (default: the prose of this Python)")
    parser.add_argument("--texts", type=common.at_least(2), default=128, help="real texts (default 128)")
    parser.add_argument("--paths", type=common.at_least(2), default=256, help="sampled paths (default 256)")
    parser.add_argument("--length", type=common.at_least(1), default=64, help="tokens of a path (default 64)")
    parser.add_argument("--seed", type=common.at_least(0), default=0, help="of masks and paths (default 0)")
