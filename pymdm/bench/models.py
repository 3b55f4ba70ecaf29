"""First-hitting on every family's network: the engine beside the same network as a callable, and that beside bare calls.

Networks are small and random; each has the switches of its family. Sampling through a
callable may cost 2% more than the network's own calls on the same inputs. The engine's rows have no mark: its floor is
measured by `pymdm bench engine`.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch

import pymdm
from pymdm.bench import common
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import interleaved, ratio

EXAMPLE = "pymdm bench models --length 128 --vocab 8192"
QUICK = {"layers": 1, "width": 64, "vocab": 500, "length": 32, "rounds": 1}
FULL = {"rounds": 9}
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


def run(args: argparse.Namespace) -> common.Measured:
    """The rows of every family."""
    rows = [r for name in FAMILIES for r in family(name, args)]
    return common.Measured({k: getattr(args, k) for k in ("layers", "width", "vocab", "length", "seed")}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    for name, value, words in (
        ("layers", 4, "of every network"),
        ("width", 256, "of every network, with 4 heads"),
        ("vocab", 8192, "tokens"),
        ("length", 128, "of the sequence that is drawn"),
        ("rounds", 5, "interleaved rounds"),
    ):
        parser.add_argument(f"--{name}", type=common.at_least(1), default=value, help=words)
    parser.add_argument("--seed", type=common.at_least(0), default=0, help="of the sequence")
