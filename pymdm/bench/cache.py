"""Networks that keep what they have seen: a whole run beside first-hitting on a bidirectional network of the same size.

Ratios within one run. The floor of a run is the time to read, once a call, the weights that a row meets and the keys and
values that it sees, at the bandwidth that a sum over more memory than the caches hold reaches. What bidirectional calls would
take in all is extrapolated from a few: they cost alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import pymdm
from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import interleaved, ratio, spread

EXAMPLE = "pymdm bench cache --width 256 --layers 4 --length 256"
QUICK = {"width": 64, "layers": 2, "vocab": 512, "length": 32, "blocks": [4], "rounds": 1}
FULL = {"rounds": 3}
CALLS = 4  # of the bidirectional network, timed
READ = 1 << 28  # bytes that the bandwidth is measured on


def network(args: argparse.Namespace, **kind: Any) -> pymdm.Engine:
    """A random network of the wanted size."""
    torch.manual_seed(0)
    heads = max(1, args.width // 64)
    config = pymdm.ModelConfig(args.vocab, args.length, args.width, args.layers, heads, **kind)
    return pymdm.Engine(pymdm.MaskedTransformer(config), dtype=args.dtype)


def bytes_read(engine: pymdm.Engine, length: int) -> float:
    """Weights and keys and values that a run over `length` tokens must read, one call a token."""
    c = engine.config
    size = 4 if engine.dtype == "float32" else 2
    kept = 2 * c.layers * c.kv_heads * c.head_dim * size
    return length * engine.native.weight_bytes + kept * length * (length - 1) / 2


def run(args: argparse.Namespace) -> common.Measured:
    """Times the forms.

    Raises:
        RuntimeError: lookahead changed a token.
    """
    L = args.length
    both = network(args)
    forms: dict[str, Callable[[], Any]] = {
        "bidirectional": partial(pymdm.sample, both, length=L, seed=args.seed, max_calls=CALLS)
    }
    engines = {"any-order": network(args, attention="any-order"), "causal": network(args, attention="causal")}
    engines |= {f"block of {K}": network(args, attention="block", block_length=K) for K in args.blocks}
    forms |= {name: partial(pymdm.sample, engine, length=L, seed=args.seed) for name, engine in engines.items()}
    guess = pymdm.FirstHitting(lookahead=args.lookahead)
    ahead = f"any-order, lookahead {args.lookahead}"
    forms[ahead] = partial(pymdm.sample, engines["any-order"], length=L, seed=args.seed, sampler=guess)
    plain, guessed = forms["any-order"](), forms[ahead]()
    if not torch.equal(plain.tokens, guessed.tokens):
        raise RuntimeError("bench cache: lookahead changed a token")
    memory = torch.ones(READ // 4)
    times = interleaved(forms | {"read": memory.sum}, args.rounds)
    bandwidth = memory.nbytes / spread(times["read"]).value
    whole = [t * L / CALLS for t in times["bidirectional"]]
    marked = (args.width, args.layers, args.length, args.dtype) == (768, 12, 1024, "bfloat16")
    rows: list[Row] = [row(f"L={L:,}", "bandwidth of a sum", bandwidth / 1e9, "GB/s")]
    for name in engines:
        subject = f"{name}, L={L:,}"
        block = engines[name].config.block_length
        mark = 0.8 * L / (block + 1) if block else 20.0  # a block's rows at every token, and once when it is finished
        speed = ratio(whole, times[name])
        rows.append(
            row(
                subject,
                "over bidirectional",
                speed,
                "x",
                mark=mark if marked else None,
                extrapolated=True,
                headline=marked,
            )
        )
        if not block:
            floor = bytes_read(engines[name], L) / bandwidth
            share = ratio([floor] * len(times[name]), times[name])
            rows.append(row(subject, "floor over time", share, "%", mark=0.6 if marked else None))
    note = f"{L / guessed.calls:.2f} tokens a round"
    rows.append(
        row(
            ahead,
            "over one token a call",
            ratio(times["any-order"], times[ahead]),
            "x",
            mark=2.0 if marked else None,
            note=note,
        )
    )
    settings = {k: getattr(args, k) for k in ("width", "layers", "vocab", "length", "dtype", "blocks", "seed")}
    return common.Measured(settings | {"threads": C.num_threads()}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    for name, default in (("width", 768), ("layers", 12), ("vocab", 50_258), ("length", 1024), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=common.at_least(1), default=default, help=f"default {default:,}")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="default bfloat16")
    parser.add_argument("--blocks", type=common.at_least(1), nargs="+", default=[4, 32], help="block lengths")
    parser.add_argument("--lookahead", type=common.at_least(2), default=8, help="copies in a call (default 8)")
    parser.add_argument("--seed", type=common.at_least(0), default=1, help="of the samples")
