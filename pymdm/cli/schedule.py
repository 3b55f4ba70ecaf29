"""`pymdm schedule`: how many network calls are enough."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

SHOWN = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)


def schedule(
    model: Annotated[Path | None, typer.Argument(help="Checkpoint folder; default: the model in the package.")] = None,
    calls: Annotated[int | None, typer.Option(help="The best schedule for so many network calls a sequence.")] = None,
    nats: Annotated[float | None, typer.Option(help="The fewest calls that cost at most so much a sequence.")] = None,
    share: Annotated[float | None, typer.Option(help="The same, as a share of the cost of a single call.")] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="UTF-8 text file or folder to measure on; default: what the model's training held out."),
    ] = None,
    windows: Annotated[int, typer.Option(help="Sequences of the text, evenly spread.")] = 64,
    length: Annotated[int | None, typer.Option(help="Tokens in a sequence; default: the model's length.")] = None,
    given: Annotated[int, typer.Option(help="Tokens known before the first call, randomly placed.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the orders, and of the interval.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write the schedule there, for `pymdm sample --call-schedule`.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw excess nats over calls there (needs matplotlib).")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The certificate of drawing several tokens a call: nats a sequence from the exact law, and the best schedule.

    The information curve is measured on text; the schedule follows by dynamic programming, its 95% interval by resampling
    texts.

    Example: pymdm schedule --calls 32 --out calls32.json
    """
    import pymdm
    from pymdm.evaluate.schedule import best_sizes, excess, measure_information, see_both_ways, uniform_sizes
    from pymdm.evaluate.subject import load_subject, sequences

    for path in (out, png):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"schedule: there is no folder {path.absolute().parent}")
    if windows < 2:
        raise ValueError(f"schedule: windows must be at least 2, got {windows}")
    if sum(v is not None for v in (calls, nats, share)) > 1:
        raise ValueError("schedule: give one of --calls, --nats and --share")
    loaded = pymdm.load(model)
    see_both_ways(loaded.engine)
    subject = load_subject(model, text)
    L = length if length is not None else loaded.config.length
    if not 2 <= L <= loaded.config.length:
        raise ValueError(f"schedule: length must be in 2..{loaded.config.length}, got {L}")
    texts = sequences(subject.tokens, L, windows)
    information = measure_information(
        loaded.engine,
        texts,
        mask_id=loaded.config.mask_id,
        drawable=loaded.tokenizer.size,
        seed=seed,
        source=subject.text_name,
    )
    if calls is None and nats is None and share is None:
        calls = max(1, (L - given) // 8)
    found = pymdm.schedule(information=information, calls=calls, nats=nats, share=share, given=given, seed=seed)
    curve, free = information.curve(), L - given
    best = best_sizes(curve, given, lambda k, _: k >= max(2 * found.calls, min(free, 64)))
    table = [
        (k, excess(curve, uniform_sizes(free, k), given), excess(curve, best[k - 1], given))
        for k in sorted({*SHOWN, found.calls, 2 * found.calls})
        if k <= len(best)
    ]
    result: dict[str, Any] = found.to_dict() | {
        "length": L,
        "texts": len(texts),
        "seed": seed,
        "curve": {"known": information.known.tolist(), "nats": curve[information.known].tolist()},
        "by_calls": [{"calls": k, "uniform_nats": u, "best_nats": b} for k, u, b in table],
    }
    if png is not None:
        _draw(png, table)
        print(f"wrote {png}", file=sys.stderr)
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        print(f"wrote {out}", file=sys.stderr)
    if json_output:
        print(json.dumps(result))
        return
    print(f"{len(texts)} sequences of {L} tokens of {subject.text_name}; nats a sequence from the exact law\n")
    print("calls   uniform      best")
    for k, u, b in table:
        print(f"{k:5d} {u:9.3f} {b:9.3f}{'   <- this one' if k == found.calls else ''}")
    print(f"\n{found.calls} calls: {found.law}; calls of equal size: {found.uniform_nats:.2f}")
    print("tokens a call:", " ".join(map(str, found.sizes)))


def _draw(path: Path, table: list[tuple[int, float, float]]) -> None:
    """Excess nats over calls, uniform and best, as PNG.

    Raises:
        ValueError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("schedule: the picture needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    ax = figure.subplots()
    for column, name in ((1, "calls of equal size"), (2, "best schedule")):
        ax.plot([row[0] for row in table], [row[column] for row in table], marker="o", markersize=3, label=name)
    ax.set(xlabel="network calls a sequence", ylabel="nats from the exact law", xscale="log")
    ax.set_yscale("symlog", linthresh=0.1)
    ax.legend()
    figure.savefig(path, dpi=120)
