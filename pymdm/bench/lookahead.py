"""Lookahead: tokens a round and sequences scored a token, and what that is worth where a call has a fixed cost.

The counts of the bundled masked model do not depend on the machine or its load. The seconds are of a callable whose calls
take equally long whatever they are given, as those of a remote network or of a small batch on a device do: a small BERT of
transformers (our own network where that package is not installed) computes the logits, and the call sleeps for what is left
of its time.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor

import pymdm
from pymdm.bench import common
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import interleaved, ratio

EXAMPLE = "pymdm bench lookahead --lengths 64 --lengths 128 --samples 8"
QUICK = {"lengths": [64], "samples": 1, "latency": 0.002, "rounds": 1}
FULL = {"samples": 16, "latency": 0.02}
WINDOWS: tuple[int | float, ...] = (4, 8, 0.5)
TOKENS = (2, 3, 4)  # a call
MARKS = {64: (3.3, 1.2), 256: (5.5, 1.2)}  # tokens a round and rows a token of the adaptive window


def sampler(k: Any) -> pymdm.FirstHitting:
    """First-hitting with this lookahead."""
    return pymdm.FirstHitting(lookahead=k)


def name(k: Any) -> str:
    """How a window is called in a row."""
    return f"adaptive, chance {k}" if isinstance(k, float) else f"lookahead {k}"


def counts(
    length: int,
    samples: int,
    seed: int,
    temperature: float = 1.0,
    infill: bool = False,
    make: Any = sampler,
    of: str = "",
) -> list[Row]:
    """Tokens a round and rows a token on the bundled masked model; with `infill` half of the tokens are given.

    `make` gives the sampler of a window, and `of` says which sampler it is where it is not first-hitting, a token a call.
    """
    model = pymdm.load("bundled:masked")
    start = None
    if infill:
        drawn = pymdm.sample(model, num_samples=samples, length=length, seed=seed, sampler=pymdm.Ancestral(steps=16))
        start = _even(drawn.tokens).clone()
        start[:, length // 4 : 3 * length // 4] = model.config.mask_id
    options = {"infill": start} if infill else {"num_samples": samples, "length": length}
    rows: list[Row] = []
    for k in WINDOWS:
        out = pymdm.sample(model, seed=seed, sampler=make(k), temperature=temperature, **options)
        tokens = int((_even(out.rank) >= 0).sum())
        if of:
            alone = pymdm.sample(model, seed=seed, sampler=make(1), temperature=temperature, **options)
            if not torch.equal(_even(out.tokens), _even(alone.tokens)):
                raise RuntimeError("bench lookahead: lookahead changed a token")
        subject = (
            f"L={length:,}"
            + (f", {of}" if of else "")
            + (f", T={temperature}" if temperature != 1 else "")
            + (", infilling" if infill else "")
        )
        marks = MARKS.get(length) if isinstance(k, float) and temperature == 1 and not infill and not of else None
        note = "equal tokens, by test"
        rows += [
            row(subject, f"{name(k)}: tokens a round", tokens / sum(out.nfe), mark=marks and marks[0], note=note),
            row(subject, f"{name(k)}: rows a token", out.rows / tokens, mark=marks and marks[1], least=False),
        ]
    return rows


def _even(rows: Tensor | list[Tensor]) -> Tensor:
    """[B, L] of sequences that are known to have one length."""
    assert isinstance(rows, Tensor)
    return rows


def delayed(network: Any, seconds: float) -> Any:
    """A callable whose calls take `seconds` each, the network's own work among them."""

    @torch.inference_mode()
    def score(tokens: Tensor) -> Tensor:
        end = time.perf_counter() + seconds
        logits: Tensor = network(tokens)
        time.sleep(max(0.0, end - time.perf_counter()))
        return logits

    return score


def small_network(length: int, vocab: int = 64) -> tuple[str, Any]:
    """Name and logits [B, L, V + 1] of a random network for V tokens and the mask."""
    torch.manual_seed(0)
    try:
        from transformers import BertConfig, BertForMaskedLM
    except ImportError:
        config = pymdm.ModelConfig(vocab_size=vocab, length=length, width=64, layers=2, heads=2)
        return "callable", pymdm.Engine(pymdm.MaskedTransformer(config))
    settings = BertConfig(vocab_size=vocab + 1, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
                          intermediate_size=256, max_position_embeddings=length)  # fmt: skip
    bert = BertForMaskedLM(settings).eval()
    return "BERT", lambda tokens: bert(tokens).logits


def latency(seconds: float, length: int, rounds: int, seed: int) -> list[Row]:
    """Speedup of the windows through a callable with a fixed cost a call, beside their tokens a round."""
    kind, network = small_network(length)
    score = delayed(network, seconds)
    draw = partial(pymdm.sample, score, mask_id=64, length=length, seed=seed)
    windows: tuple[Any, ...] = (1, *WINDOWS, "auto")
    outs = {k: draw(sampler=sampler(k)) for k in windows}
    if any(not torch.equal(_even(out.tokens), _even(outs[1].tokens)) for out in outs.values()):
        raise RuntimeError("bench lookahead: lookahead changed a token")
    times = interleaved({str(k): partial(draw, sampler=sampler(k)) for k in windows}, rounds)
    rows: list[Row] = []
    for k in windows[1:]:
        per_round = length / outs[k].rounds
        mark = 0.9 * per_round if seconds >= 0.02 and k != "auto" else None
        subject = f"{kind}, {seconds * 1e3:.0f} ms a call, L={length}"
        rows.append(
            row(
                subject,
                f"{name(k)}: speedup",
                ratio(times["1"], times[str(k)]),
                "x",
                mark=mark,
                note=f"{per_round:.2f} tokens a round",
            )
        )
    return rows


def never_slower(length: int, rounds: int, seed: int) -> list[Row]:
    """`lookahead="auto"` where a call costs what its rows cost, beside one token a call."""
    model = pymdm.load("bundled:masked")
    kind, network = small_network(length)
    own = pymdm.Engine(pymdm.MaskedTransformer(pymdm.ModelConfig(1024, length, 192, 3, 3)))
    cases: dict[str, Any] = {
        "bundled:masked": partial(pymdm.sample, model, length=length, seed=seed),
        "a random network": partial(pymdm.sample, own, length=length, seed=seed),
        f"{kind}, no latency": partial(
            pymdm.sample, torch.inference_mode()(network), mask_id=64, length=length, seed=seed
        ),
    }
    rows: list[Row] = []
    for subject, draw in cases.items():
        times = interleaved({str(k): partial(draw, sampler=sampler(k)) for k in (1, "auto")}, rounds)
        value = ratio(times["1"], times["auto"])
        rows.append(row(f"{subject}, L={length}", "auto over one token a call", value, "x", mark=0.95))
    return rows


def run(args: argparse.Namespace) -> common.Measured:
    """Counts for every length; at the shortest for T = 0.7, infilling, several tokens a call, remasking; the latency."""
    rows = [r for length in args.lengths for r in counts(length, args.samples, args.seed)]
    shortest = min(args.lengths)
    rows += counts(shortest, args.samples, args.seed, temperature=0.7)
    rows += counts(shortest, args.samples, args.seed, infill=True)
    for n in TOKENS:
        make = partial(pymdm.FirstHitting, n)
        rows += counts(
            shortest, args.samples, args.seed, make=lambda k, m=make: m(lookahead=k), of=f"{n} tokens a call"
        )
    again = partial(pymdm.Remask, 2 * shortest, eta=0.02)
    rows += counts(shortest, args.samples, args.seed, make=lambda k: again(lookahead=k), of="remasking")
    rows += latency(args.latency, 64, args.rounds, args.seed)
    rows += never_slower(128 if max(args.lengths) >= 128 else shortest, args.rounds, args.seed)
    settings = {"lengths": args.lengths, "samples": args.samples, "latency": args.latency, "seed": args.seed}
    return common.Measured(settings, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument(
        "--lengths", type=common.at_least(2), nargs="+", default=[64, 128, 256], help="of bundled:masked"
    )
    parser.add_argument("--samples", type=common.at_least(1), default=8, help="sequences for each count (default 8)")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds added to a call of the callable")
    parser.add_argument("--rounds", type=common.at_least(1), default=3, help="timed rounds (default 3)")
    parser.add_argument("--seed", type=common.at_least(0), default=1, help="of the samples")
