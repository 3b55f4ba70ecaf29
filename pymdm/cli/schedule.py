"""`pymdm schedule`: how many network calls are enough."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from pymdm.evaluate.excess import Excess
    from pymdm.report.table import Table

SHOWN = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)


def schedule(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint folder, or bundled:masked, default bundled:any-order, which are in the package."
        ),
    ] = None,
    calls: Annotated[int | None, typer.Option(help="The best schedule for so many network calls a sequence.")] = None,
    nats: Annotated[float | None, typer.Option(help="The fewest calls that cost at most so much a sequence.")] = None,
    share: Annotated[float | None, typer.Option(help="The same, as a share of the cost of a single call.")] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            help="UTF-8 text file or folder to measure on; default: what the training of a model of ours held out."
        ),
    ] = None,
    windows: Annotated[int, typer.Option(help="Sequences of the text, evenly spread.")] = 64,
    length: Annotated[int | None, typer.Option(help="Tokens in a sequence; default: the model's length.")] = None,
    given: Annotated[int, typer.Option(help="Tokens known before the first call, randomly placed.")] = 0,
    measure: Annotated[
        list[int] | None,
        typer.Option(
            help="Also measure so many calls, on the half of the texts that no schedule was found on; repeatable."
        ),
    ] = None,
    orders: Annotated[int, typer.Option(help="Random orders of each text, where it is measured.")] = 8,
    samples: Annotated[
        int, typer.Option(help="Samples of each sampler, where it is measured, order=2 among them; 0: none.")
    ] = 32,
    seed: Annotated[int, typer.Option(help="Of the orders, and of the interval.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write the schedule there, for `pymdm sample --call-schedule`.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw excess nats over calls there (needs matplotlib).")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The certificate of drawing several tokens a call: nats a sequence from the exact law, and the best schedule.

    The information curve is measured on text; the schedule follows by dynamic programming, its 95% interval by resampling
    texts. With --measure, predictions from one half of the texts stand beside measurements on the other, and order=2 too.

    Example: pymdm schedule --calls 32 --out calls32.json

    Example: pymdm schedule --length 64 --measure 16 --measure 32 --png schedule.png
    """
    import pymdm
    from pymdm.evaluate.call_sizes import best_sizes, excess, uniform_sizes
    from pymdm.evaluate.excess import measure_excess
    from pymdm.evaluate.facts import finite
    from pymdm.evaluate.schedule import check_order_free, measure_information
    from pymdm.evaluate.subject import sequences
    from pymdm.evaluate.subject_text import read_with
    from pymdm.report import figure
    from pymdm.report.table import Table, show
    from pymdm.report.terminal import console
    from pymdm.sampling.prompt import DEFAULT

    if out is not None and not out.absolute().parent.is_dir():
        raise ValueError(f"schedule: there is no folder {out.absolute().parent}")
    if png is not None:
        figure.require("schedule", png)
    least = 4 if measure else 2
    if windows < least:
        raise ValueError(f"schedule: windows must be at least {least}, got {windows}")
    if orders < 1 or samples < 0 or samples == 1:
        raise ValueError(
            f"schedule: at least 1 order and 2 samples are needed, or no samples, got {orders} and {samples}"
        )
    if sum(v is not None for v in (calls, nats, share)) > 1:
        raise ValueError("schedule: give one of --calls, --nats and --share")
    loaded = pymdm.load(model)
    check_order_free(loaded.engine)
    subject = read_with(loaded, model, text)
    L = length if length is not None else min(loaded.config.length, DEFAULT)
    if not 2 <= L <= loaded.config.length:
        raise ValueError(f"schedule: length must be in 2..{loaded.config.length}, got {L}")
    if not 0 <= given < L or any(not 1 <= k <= L - given for k in measure or []):
        raise ValueError(
            f"schedule: --measure takes 1..{L - given} calls of {L} tokens with {given} given, got {measure}"
        )
    texts = sequences(subject.tokens, L, windows)
    information = measure_information(
        loaded.engine,
        texts,
        mask_id=loaded.config.mask_id,
        given=given,
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

    def draw(sampler: pymdm.FirstHitting) -> Tensor:
        found = pymdm.sample(
            loaded, num_samples=samples, length=L, sampler=sampler, seed=seed, batch_size=min(samples, 32)
        )
        return cast("Tensor", found.tokens)

    measured = []
    if measure:
        measured = measure_excess(
            loaded.engine,
            texts,
            information,
            sorted(set(measure)),
            mask_id=loaded.config.mask_id,
            drawable=loaded.tokenizer.size,
            given=given,
            orders=orders,
            draw=draw if samples and not given else None,
            seed=seed,
            progress=lambda words: print(words, file=sys.stderr),
        )
    result: dict[str, Any] = found.to_dict() | {
        "length": L,
        "texts": len(texts),
        "seed": seed,
        "curve": {"known": information.known.tolist(), "nats": curve[information.known].tolist()},
        "by_calls": [{"calls": k, "uniform_nats": u, "best_nats": b} for k, u, b in table],
        "measured": finite([m.to_dict() for m in measured]),
        "orders": orders if measure else None,
        "samples": samples if measure and not given else None,
    }
    if png is not None:
        with figure.styled():
            figure.save(picture(table, measured), png)
        print(f"wrote {png}", file=sys.stderr)
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        print(f"wrote {out}", file=sys.stderr)
    if json_output:
        print(json.dumps(result))
        return
    screen = console()
    rows = [[str(k), f"{u:.3f}", f"{b:.3f}", "this one" if k == found.calls else ""] for k, u, b in table]
    how = f"{len(texts)} sequences of {L} tokens of {subject.text_name}; nats a sequence from the exact law"
    show(Table(["calls", "calls of equal size", "best", ""], rows, text=how), screen)
    if measured:
        show(_measured_table(measured, orders, samples), screen)
    print(f"\n{found.calls} calls: {found.law}; calls of equal size: {found.uniform_nats:.2f}")
    print("tokens a call:", " ".join(map(str, found.sizes)))


def _measured_table(measured: list[Excess], orders: int, samples: int) -> Table:
    """Predicted and measured, a row a sampler and number of calls."""
    from pymdm.report.table import Table

    def cell(found: tuple[float, tuple[float, float]] | None) -> str:
        return "" if found is None else f"{found[0]:.2f} ({found[1][0]:.2f} to {found[1][1]:.2f})"

    rows = [
        [str(len(m.sizes)), m.name, *map(cell, (m.predicted, m.measured)), f"{m.impossible:.0%}", cell(m.samples)]
        for m in measured
    ]
    head = ["calls", "sampler", "predicted", "measured", "impossible", "samples"]
    text = (
        "Nats a sequence against one token a call, with 95% intervals. predicted: from the half of the texts that the "
        f"schedules were found on; measured: on the others, along {orders} random orders each; impossible: texts and orders to "
        "which the line of order=2, cut at 0, gives probability 0, so that it has no such number; samples: what "
        f"{samples} samples cost under the network's own bound, less what those of one token a call do: 0 is right, above 0 "
        "they fit together worse, below 0 they are too likely."
    )
    return Table(head, rows, text=text)


def picture(table: list[tuple[int, float, float]], measured: list[Excess]) -> Any:
    """Excess nats over calls as a figure: predicted as lines, measured as dots with intervals; samples in a second panel."""
    from matplotlib.figure import Figure

    from pymdm.evaluate.excess import BEST, EQUAL, SECOND
    from pymdm.report import figure

    panels = 2 if any(m.samples for m in measured) else 1
    drawn = Figure(figsize=(5.6 * panels, 4.2), layout="constrained")
    left, *right = drawn.subplots(1, panels, squeeze=False)[0]
    colours = {EQUAL: "tab:blue", BEST: "tab:orange", SECOND: "tab:red"}
    for column, name in ((1, EQUAL), (2, BEST)):
        left.plot(
            [row[0] for row in table], [row[column] for row in table], color=colours[name], label=f"{name}, predicted"
        )
    for axes, of, words in ((left, "measured", ", measured"), *((axes, "samples", "") for axes in right)):
        for i, (name, marker) in enumerate(((EQUAL, "o"), (BEST, "s"), (SECOND, "^"))):
            points = [
                (len(m.sizes), *value) for m in measured if m.name == name and (value := getattr(m, of)) is not None
            ]
            if points:
                x = [k * 1.04 ** (i - 1) for k, _, _ in points]  # side by side, not on top of each other
                ends = [[v - low for _, v, (low, _) in points], [high - v for _, v, (_, high) in points]]
                style = {"fmt": marker, "color": colours[name], "ms": 4, "capsize": 2, "lw": 1, "label": name + words}
                axes.errorbar(x, [v for _, v, _ in points], yerr=ends, **style)
        axes.axhline(0, color=figure.REFERENCE, lw=1, label="one token a call: exact")
        axes.set(xscale="log", xlabel="network calls a sequence")
    left.set(ylabel="nats from the exact law, 95% intervals")
    left.set_yscale("symlog", linthresh=0.1)
    left.set_ylim(bottom=-0.05)
    figure.ticks_at(left.xaxis, [row[0] for row in table])
    for axes in right:
        axes.set(ylabel="samples' cost under the network, nats beyond exact")
        figure.ticks_at(axes.xaxis, [len(m.sizes) for m in measured])
    for axes in (left, *right):
        axes.legend()
    return drawn
