"""`pymdm sample`: text out of a checkpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def _progress(total: int) -> tuple[Any, Callable[[Any], None]]:
    """A bar on stderr over the tokens to be drawn, and the function the sampling loop calls."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("sampling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tokens, {task.fields[calls]} network calls"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("sampling", total=total, calls=0)

    def watch(state: Any) -> None:
        bar.update(task, completed=total - int(state.remaining.sum()), calls=state.calls)

    return bar, watch


def sample(
    model: Annotated[Path | None, typer.Argument(help="Checkpoint folder; default: the model in the package.")] = None,
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", help="Sequences to draw.")] = 1,
    length: Annotated[int | None, typer.Option(help="Tokens in a sequence; default: the model's length.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Text to begin with.")] = None,
    infill: Annotated[str | None, typer.Option(help='Text with holes, e.g. "The [MASK:12] is".')] = None,
    seed: Annotated[int | None, typer.Option(help="In [0, 2^64); default: drawn from the system and printed.")] = None,
    nfe: Annotated[int | None, typer.Option(help="Network calls to spend; fewer than tokens is approximate.")] = None,
    temperature: Annotated[float, typer.Option(help="1 is the model's law; 0 takes the most likely token.")] = 1.0,
    batch_size: Annotated[int | None, typer.Option(help="Sequences in one network call; changes no sample.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Sample text from a masked diffusion model, exactly.

    Example: pymdm sample --num-samples 4 --length 256 --seed 7
    """
    import pymdm
    from pymdm.prompt import start_tokens

    loaded = pymdm.load(model, dtype=dtype)
    config = loaded.config
    starts = start_tokens(
        prompt=prompt,
        infill=infill,
        length=length,
        num_samples=num_samples,
        mask_id=config.mask_id,
        default_length=config.length,
        vocabulary=loaded.vocabulary,
    )
    masks = [start.count(config.mask_id) for start in starts]
    if nfe is not None and nfe < 1:
        raise ValueError(f"sample: nfe must be at least 1, got {nfe}")
    per_call = 1 if nfe is None else max(1, -(-max(masks) // nfe))
    bar, watch = _progress(sum(masks))
    with bar:
        out = pymdm.sample(
            loaded,
            infill=starts,
            seed=seed,
            sampler=pymdm.FirstHitting(tokens_per_call=per_call),
            temperature=temperature,
            batch_size=batch_size,
            watch=watch,
            watch_interval=0.1,
        )
    drawn = sum(masks)
    facts = {
        "law": out.law,
        "nfe": out.calls,
        "seconds": round(out.seconds, 3),
        "tokens_per_second": round(drawn / out.seconds, 1) if out.seconds else None,
        "seed": out.seed,
        "dtype": dtype,
        "temperature": temperature,
    }
    if json_output:
        samples = [
            {"text": s.text, "tokens": s.tokens.tolist(), "nfe": s.nfe, "law": out.law, "sequence_id": s.sequence_id}
            for s in out
        ]
        print(json.dumps({"samples": samples, **facts}))
        return
    for i, s in enumerate(out):
        if len(out) > 1:
            print(f"--- sample {i}")
        print(s.text)
    print(
        f"law {out.law}, {out.calls} network calls, {out.seconds:.2f} s, {drawn / max(out.seconds, 1e-9):.0f} tokens/s, "
        f"seed {out.seed}",
        file=sys.stderr,
    )
