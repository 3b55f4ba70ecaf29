"""First-hitting on every family's network: the engine beside the same network as a callable, and that beside bare calls.

Networks are random; each has the switches of its family. Sampling through a callable may cost 2% more than the network's own
calls on the same inputs. A wider network of each family computes long sequences, and its rate is compared with the best that
at::linear reaches on such layers in the same rounds.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import pymdm
from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.network import DTYPES, linear_forms
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import interleaved, ratio, spread

EXAMPLE = "pymdm bench models --length 128 --vocab 8192"
QUICK = {
    "layers": 1,
    "width": 64,
    "vocab": 500,
    "length": 32,
    "rounds": 1,
    "rate_layers": 1,
    "rate_width": 64,
    "rate_length": 32,
}
FULL = {"rounds": 9}
RATE = 0.85  # of the best at::linear
MARK = 1.02  # callable over bare calls
MARKED = (
    4,
    256,
    128,
)  # layers, width and length from which it is asked: below, a call costs less than a sampler's step
ENCODER: dict[str, Any] = dict(
    norm_bias=True, qkv_bias=True, out_bias=True, positions="learned", embed_norm=True, post_norm=True,
    head_transform=True, tied_head=True, mlp="gelu_erf",
)  # fmt: skip
LLAMA: dict[str, Any] = dict(norm="rmsnorm", mlp="swiglu", head_bias=False)
FAMILIES: dict[str, dict[str, Any]] = {
    "mdlm": dict(conditioning="constant"),
    "radd": dict(norm_bias=True),
    "sedd": dict(conditioning="time", time_input="sigma"),
    "llada": LLAMA | dict(rope_base=5e5),
    "dream": LLAMA | dict(kv_heads=1, qkv_bias=True, logit_shift=True),
    "a2d": LLAMA | dict(kv_heads=2, qk_norm="head", tied_head=True),
    "bert": ENCODER,
    "albert": ENCODER | dict(shared_layers=True, embed_dim=32, mlp="gelu"),
    "esm2": dict(norm_bias=True, qkv_bias=True, out_bias=True, head_transform=True, mlp="gelu_erf"),
    "esmc": dict(norm_bias=True, mlp="swiglu", qk_norm="all", head_transform=True),
    "modernbert": dict(
        mlp="geglu", mlp_bias=False, embed_norm=True, head_transform=True, first_norm=False, window=16, full_every=3,
        rope_base=1.6e5, local_rope_base=1e4,
    ),
}  # fmt: skip


def family(name: str, args: argparse.Namespace) -> list[Row]:
    """Rows of one family; the two doors must give the same tokens."""
    torch.manual_seed(0)
    config = pymdm.ModelConfig(
        vocab_size=args.vocab, length=args.length, width=args.width, layers=args.layers, heads=4, **FAMILIES[name]
    )
    model = pymdm.MaskedTransformer(config).eval()
    timed = config.conditioning == "time"
    options: dict[str, Any] = {"length": args.length, "seed": args.seed}
    engine = pymdm.Engine(model)
    seen: list[tuple[tuple[torch.Tensor, ...], torch.Tensor]] = []

    @torch.inference_mode()
    def call(*given: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        logits = model(*given, rows=rows)
        assert isinstance(logits, torch.Tensor)
        return logits

    def watched(*given: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        seen.append((tuple(t.clone() for t in given), rows.clone()))
        return call(*given, rows=rows)

    def through(network: Any) -> pymdm.Samples:
        return pymdm.sample(network, mask_id=config.mask_id, time_conditioned=timed, chosen_rows=True, **options)

    native, door = pymdm.sample(engine, **options), through(watched)
    if not torch.equal(torch.as_tensor(native.tokens), torch.as_tensor(door.tokens)):
        raise RuntimeError(f"bench models: {name}: engine and callable gave different tokens; nothing was timed")

    def bare() -> None:
        for given, rows in seen:
            call(*given, rows=rows)

    times = interleaved({"engine": partial(pymdm.sample, engine, **options), "door": partial(through, call), "bare": bare},
                        args.rounds)  # fmt: skip
    large = all(got >= least for got, least in zip((args.layers, args.width, args.length), MARKED, strict=True))
    return [
        row(name, "engine over the callable", ratio(times["door"], times["engine"]), "x", note="equal tokens, checked"),
        row(name, "callable over its bare calls", ratio(times["door"], times["bare"]), "x",
            mark=MARK if large else None, least=False),
    ]  # fmt: skip


def operations(model: pymdm.MaskedTransformer, given: tuple[torch.Tensor, ...]) -> float:
    """Floating-point operations of a forward: what its matrix products are given, and 4 D for each pair that attention sees."""
    with FlopCounterMode(display=False) as counter:
        model(*given)
    products = (torch.ops.aten.mm, torch.ops.aten.addmm)
    linear = sum(n for op, n in counter.get_flop_counts()["Global"].items() if op in products)
    c, L = model.config, given[0].shape[1]
    near = sum(min(L, i + c.window + 1) - max(0, i - c.window) for i in range(L))
    pairs = sum(near if c.local(i) else L * L for i in range(c.layers))
    return float(linear + 4.0 * c.heads * c.head_dim * pairs)


@torch.inference_mode()
def rate(name: str, args: argparse.Namespace) -> list[Row]:
    """The engine's share of the best rate of at::linear on one long sequence; the head scores 16 tokens."""
    torch.manual_seed(0)
    width, L = args.rate_width, args.rate_length
    own = {"embed_dim": width // 6} if "embed_dim" in FAMILIES[name] else {}
    own |= {"window": 64} if "window" in FAMILIES[name] else {}
    settings = {"vocab_size": 16, "length": L, "width": width, "layers": args.rate_layers, "heads": max(4, width // 64)}
    model = pymdm.MaskedTransformer(pymdm.ModelConfig(**(settings | FAMILIES[name] | own))).eval()
    timed = (torch.full((1,), 0.5),) if model.config.conditioning == "time" else ()
    given = (torch.randint(0, 17, (1, L)), *timed)
    work, engine = operations(model, given), pymdm.Engine(model, dtype=args.dtype)
    linears = linear_forms(getattr(torch, args.dtype), width, L)
    forms = {"engine": partial(engine, *given)} | {name: form for name, (_, form) in linears.items()}
    seconds = interleaved(forms, args.rounds)
    best = max(done / spread(seconds[form]).value for form, (done, _) in linears.items())
    share = spread([work / t / best for t in seconds["engine"]])
    full = (width, L, args.dtype) == (768, 1024, "bfloat16")
    note = f"{share.value * best / 1e9:.0f} of {best / 1e9:.0f} GFLOP/s"
    return [
        row(
            f"{name}, {args.dtype}, L={L:,}",
            "of the best at::linear",
            share,
            "%",
            mark=RATE if full else None,
            note=note,
        )
    ]


def run(args: argparse.Namespace) -> common.Measured:
    """The rows of every family."""
    rows = [r for name in FAMILIES for r in family(name, args)]
    rows += [r for name in FAMILIES for r in rate(name, args)]
    shown = ("layers", "width", "vocab", "length", "rate_layers", "rate_width", "rate_length", "dtype", "seed")
    return common.Measured({k: getattr(args, k) for k in shown} | {"threads": C.num_threads()}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    for name, value, words in (
        ("layers", 4, "of every network"),
        ("width", 256, "of every network, with 4 heads"),
        ("vocab", 8192, "tokens"),
        ("length", 128, "of the sequence that is drawn"),
        ("rounds", 5, "interleaved rounds"),
        ("rate-layers", 4, "of the networks whose rate is measured"),
        ("rate-width", 768, "of these networks, with heads of 64"),
        ("rate-length", 1024, "of the sequence that they compute"),
    ):
        parser.add_argument(f"--{name}", type=common.at_least(1), default=value, help=words)
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of the rate (default bfloat16)")
    parser.add_argument("--seed", type=common.at_least(0), default=0, help="of the sequence")
