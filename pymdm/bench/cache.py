"""Networks that keep what they have seen: a whole run beside first-hitting on a bidirectional network of the same size.

Ratios within one run. A token's floor has two parts, one after the other. In the blocks it is the larger of two times: to read,
once a call, the weights and the keys and values that a row sees, at the bandwidth that a sum over more memory than the caches
hold reaches; and to compute the rows at the rate of the bidirectional calls. The head then scores one row: the time of reading
its weights, during which there is nothing to compute. What the bidirectional calls would take in all is extrapolated from a
few: they cost alike. A block network's mark is 80% of the floor where rows make it, 60% where bytes do. How the cost of a token
grows is measured on calls with so many tokens known.
"""

from __future__ import annotations

import argparse
import mmap
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import pymdm
from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import SPIN, interleaved, ratio, spread

EXAMPLE = "pymdm bench cache --width 256 --layers 4 --length 256"
QUICK = {"width": 64, "layers": 2, "vocab": 512, "length": 32, "blocks": [4], "rounds": 1, "context": [64, 96, 128]}
FULL = {"rounds": 3}
CALLS = 4  # of the bidirectional network, timed
READ = 1 << 28  # bytes that the bandwidth is measured on
TOKENS = 8  # of each length that the growth is measured at


def network(args: argparse.Namespace, length: int = 0, **kind: Any) -> pymdm.Engine:
    """A random network of the wanted size, for sequences of `length`."""
    torch.manual_seed(0)
    heads = max(1, args.width // 64)
    config = pymdm.ModelConfig(args.vocab, length or args.length, args.width, args.layers, heads, **kind)
    return pymdm.Engine(pymdm.MaskedTransformer(config), dtype=args.dtype)


def bytes_read(engine: pymdm.Engine, length: int) -> tuple[float, float]:
    """What a run over `length` tokens must read, one call a token: in the blocks, with keys and values, and in the head."""
    c = engine.config
    size = 4 if engine.dtype == "float32" else 2
    head, kept = c.vocab_size * c.embed_dim * size, 2 * c.layers * c.kv_heads * c.head_dim * size
    looked_up = c.embed_rows * c.embed_dim * 4  # the embedding, float32: a row for each token, not the whole
    blocks = engine.native.weight_bytes - looked_up - head
    return length * blocks + kept * length * (length - 1) / 2, float(length * head)


def memory() -> torch.Tensor:
    """Float32 numbers on huge pages, as the engine's weights are: small pages cost a sum a tenth of its bandwidth."""
    pages = mmap.mmap(-1, READ)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.float32).fill_(1.0)


def token_seconds(engine: pymdm.Engine, known: int, seed: int) -> list[float]:
    """Seconds of TOKENS calls, each with one token more known than the last; the first of them after `known`."""
    assert isinstance(engine.native, C.Engine)
    run, L = C.KeptRun(engine.native), known + TOKENS + 1
    tokens, rank = torch.full((L,), engine.config.mask_id), torch.full((L,), -1)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(L))
    tokens[order[:known]] = 1
    call = partial(run.logits, tokens, torch.tensor([0, L]), owner=torch.tensor([0]), rank=rank)
    zero = torch.zeros(1, dtype=torch.float64)
    call(order[known : known + 1], zero)
    seconds = []
    for event in range(TOKENS):
        tokens[order[known + event]], rank[order[known + event]] = 1, event
        form = partial(call, order[known + event + 1 : known + event + 2], zero)
        seconds.append(interleaved({"token": form}, 1, {"token": SPIN})["token"][0])
    return seconds


def growth(args: argparse.Namespace) -> list[Row]:
    """What a token costs by how many are known, and how far that is from a straight line, the bytes that are read."""
    engine = network(args, length=max(args.context) + TOKENS + 1, attention="any-order")
    times = {n: spread(token_seconds(engine, n, args.seed)) for n in sorted(args.context)}
    values = np.array([t.value for t in times.values()])
    line = np.polyval(np.polyfit(list(times), values, 1), list(times))
    rows = [row("any-order", f"a token after {n:,}", t, "s") for n, t in times.items()]
    marked = at_full_size(args) and max(args.context) >= 8192
    away = float(np.abs(values / line - 1).max())
    return [
        *rows,
        row("any-order", "farthest from a straight line", away, "%", mark=0.2 if marked else None, least=False),
    ]


def at_full_size(args: argparse.Namespace) -> bool:
    """Whether the marks hold for these sizes."""
    return (args.width, args.layers, args.length, args.dtype) == (768, 12, 1024, "bfloat16")


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
    numbers = memory()
    times = interleaved(forms | {"read": numbers.sum}, args.rounds)
    bandwidth = numbers.nbytes / spread(times["read"]).value
    whole = [t * L / CALLS for t in times["bidirectional"]]
    marked = at_full_size(args)
    rows: list[Row] = [row(f"L={L:,}", "bandwidth of a sum", bandwidth / 1e9, "GB/s")]
    for name in engines:
        subject = f"{name}, L={L:,}"
        block = engines[name].config.block_length
        computed = block + 1 if block else 2  # rows a token: a block's at every token, and once when it is finished
        blocks, head = bytes_read(engines[name], L)
        rows_of_blocks = computed / L * spread(whole).value
        floor = max(blocks / bandwidth, rows_of_blocks) + head / bandwidth
        mark = (0.8 if rows_of_blocks > blocks / bandwidth else 0.6) * spread(whole).value / floor if block else 20.0
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
        if block:
            saved = spread([a * block / b / L for a, b in zip(whole, times[name], strict=False)])
            rows.append(row(subject, "of the rows' saving, L / K", saved, "%"))
        share = ratio([floor] * len(times[name]), times[name])
        rows.append(row(subject, "floor over time", share, "%", mark=0.6 if marked and not block else None))
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
    rows += growth(args)
    shown = ("width", "layers", "vocab", "length", "dtype", "blocks", "context", "lookahead", "seed")
    settings = {k: getattr(args, k) for k in shown}
    return common.Measured(settings | {"threads": C.num_threads()}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    for name, default in (("width", 768), ("layers", 12), ("vocab", 50_258), ("length", 1024), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=common.at_least(1), default=default, help=f"default {default:,}")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="default bfloat16")
    parser.add_argument("--blocks", type=common.at_least(1), nargs="+", default=[4, 32], help="block lengths")
    contexts = [1024, 2048, 4096, 8192]
    parser.add_argument(
        "--context", type=common.at_least(1), nargs="+", default=contexts, help="tokens known, of the growth"
    )
    parser.add_argument("--lookahead", type=common.at_least(2), default=8, help="copies in a call (default 8)")
    parser.add_argument("--seed", type=common.at_least(0), default=1, help="of the samples")
