"""`pymdm compare`: samplers at equal rounds on one model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pymdm.cli.screen import harmless


def compare(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint folder, or bundled:masked, default bundled:any-order, which are in the package."
        ),
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option(help="first-hitting:order=2, ancestral, confidence:margin, remask:strategy=loop ...; repeatable."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Network calls a sequence, where a sampler leaves it open.")] = 16,
    samples: Annotated[int, typer.Option(help="Sequences to draw with each.")] = 32,
    length: Annotated[int | None, typer.Option(help="Tokens of a sequence; default: the model's length.")] = None,
    judge: Annotated[
        str, typer.Option(help="ngram, ngram:K, an autoregressive checkpoint, a Hugging Face folder or a .gguf file.")
    ] = "ngram",
    text: Annotated[
        Path | None, typer.Option(help="UTF-8 text for the certificate's curve; default: what training held out.")
    ] = None,
    windows: Annotated[int, typer.Option(help="Sequences of the text for the curve; 0: no certificates.")] = 32,
    temperature: Annotated[float, typer.Option(help="Of the conditionals; 1 is the model's law.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the samples and the curve.")] = 0,
    batch_size: Annotated[int | None, typer.Option(help="Sequences in one network call; default: all.")] = None,
    png: Annotated[
        Path | None, typer.Option(help="Draw the table with its intervals there (needs matplotlib).")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Samplers at equal rounds: bits per character under a judge, entropy, repetition, certificate, calls, seconds.

    Example: pymdm compare bundled:masked --sampler ancestral --sampler first-hitting:order=2 --rounds 16 --png compare.png
    """
    import pymdm
    from pymdm.evaluate.compare import compared
    from pymdm.evaluate.judges import load_judge
    from pymdm.evaluate.schedule import measure_information
    from pymdm.evaluate.subject import sequences
    from pymdm.evaluate.subject_text import read_with
    from pymdm.report import figure
    from pymdm.report.table import show
    from pymdm.report.terminal import console
    from pymdm.sampling.fitting import with_attention
    from pymdm.sampling.prompt import DEFAULT
    from pymdm.sampling.samplers.names import parse_sampler

    if png is not None:
        figure.require("compare", png)
    loaded = pymdm.load(model)
    subject = read_with(loaded, model, text)
    L = length if length is not None else min(loaded.config.length, DEFAULT)
    names = sampler or compared(loaded.config)
    for name in names:  # bad names are said before the curve is measured
        with_attention(parse_sampler(name, calls=max(1, rounds), tokens=max(1, L)), loaded.config)
    information = None
    if windows and 2 <= L <= loaded.config.length and loaded.config.attention in ("bidirectional", "any-order"):
        information = measure_information(
            loaded.engine,
            sequences(subject.tokens, L, windows),
            mask_id=loaded.config.mask_id,
            drawable=loaded.tokenizer.size,
            seed=seed,
            source=subject.text_name,
        )
    found = pymdm.compare(
        loaded,
        names,
        judges=[load_judge(judge, subject.train_text)],
        rounds=rounds,
        num_samples=samples,
        length=L,
        information=information,
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
        progress=lambda r: print(f"{harmless(r.name)}: {r.seconds:.1f} s", file=sys.stderr),
    )
    if png is not None:
        found.draw(png)
        print(f"wrote {png}", file=sys.stderr)
    if json_output:
        print(json.dumps(found.to_dict()))
    else:
        show(found.table(), console())
