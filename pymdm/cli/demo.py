"""`pymdm demo`: train on real text in front of the user, then sample it exactly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pymdm.cli.screen import harmless

INFILL = "Return the [MASK:4] of the [MASK:3] if it is not found."


def demo(
    minutes: Annotated[float, typer.Option(help="Training time.")] = 1.75,
    seed: Annotated[int, typer.Option(help="Of training and sampling.")] = 7,
    out: Annotated[Path | None, typer.Option(help="Also keep the trained model in this folder.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that is in --out.")] = False,
) -> None:
    """Train a model on the documentation of this Python, sample it and the one in the package, watch the masks fill in.

    Example: pymdm demo --minutes 1
    """
    from rich.console import Console

    import pymdm
    from pymdm.files.target import check_target
    from pymdm.network.checkpoint import KIND
    from pymdm.network.loading import model_of
    from pymdm.train import preset

    console = Console()
    if out is not None:
        check_target(out, KIND, "train")  # before anything is shown
    console.rule("1. Train a masked diffusion model on the documentation of the running Python")
    trained = _train(console, preset("demo", minutes=minutes, seed=seed), out, overwrite)
    _compare(console, trained.training)
    mine = model_of(trained)

    console.rule("2. Sample what was just trained")
    samples = pymdm.sample(mine, num_samples=2, length=64, seed=seed)
    _show(console, samples)

    console.rule("3. Sample the model in the package, which keeps what it has seen")
    bundled = pymdm.load()
    facts = bundled.training["held_out"]["bits_per_char"]
    console.print(f"held-out bound {facts:.3f} bits/char", highlight=False)
    _show(console, _watch_masks(console, bundled, seed))

    console.rule("4. Fill the holes of a sentence")
    console.print(f"[dim]{INFILL.replace('[', chr(92) + '[')}[/dim]", highlight=False)
    _show(console, pymdm.sample(bundled, infill=INFILL, num_samples=3, seed=seed))
    console.print(f"\nEverything above comes again with: pymdm demo --seed {seed}, up to the clock in the training.")


def _train(console: Any, recipe: Any, out: Path | None, overwrite: bool) -> Any:
    """Trains with a live bar, and returns the checkpoint."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from pymdm.train import Progress as Report
    from pymdm.train import load_corpus, train

    corpus = load_corpus(None)
    console.print(
        f"{len(corpus.train_text):,} characters to learn from, {len(corpus.held_out_text):,} held out", highlight=False
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[bits]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("preparing", total=1.0, bits="")

        def show(report: Report) -> None:
            held = report.held_out_bits_per_char
            bits = f"{report.bits_per_char:.2f} bits/char" + (f", held out {held:.2f}" if held is not None else "")
            bar.update(task, completed=report.fraction, description=f"step {report.step}", bits=bits)

        return train(
            recipe,
            out,
            corpus=corpus,
            on_progress=show,
            overwrite=overwrite,
            command=f"pymdm demo --minutes {recipe.minutes} --seed {recipe.seed}",
        )


def _compare(console: Any, training: dict[str, Any]) -> None:
    """Held-out bits per character beside n-grams on the same split."""
    from pymdm.report.table import Table, show

    bits = training["held_out"]["bits_per_char"]
    rows = [["this model (upper bound)", f"{bits:.3f}"]]
    rows += [
        [f"order-{order} n-gram, interpolated Witten-Bell", f"{bits:.3f}"]
        for order, bits in sorted(training["ngram_bits_per_char"].items())
    ]
    title = f"{training['steps']} steps in {training['seconds']:.0f} s, {training['parameters']:,} weights"
    show(Table(["held out, bits per character", ""], rows, title), console)


def _watch_masks(console: Any, model: Any, seed: int) -> Any:
    """Samples one sequence and shows, while it happens, how its masks fill in."""
    import pymdm
    from pymdm.cli.stream import Stream
    from pymdm.data.wrapped import text_of

    length = 64
    with Stream(console, partial(text_of, model.tokenizer), length, pause=0.06) as live:  # slow enough to watch
        out = pymdm.sample(model, length=length, seed=seed, watch=live.watch)
    return pymdm.sample(model, length=length, seed=seed) if console.is_terminal else out  # undisturbed, an honest clock


def _show(console: Any, samples: Any) -> None:
    """The texts, and the facts of the run."""
    from rich.text import Text

    for sample in samples:
        console.print(Text("| "), Text(harmless(sample.text)), sep="")
    drawn = int((samples.state.rank >= 0).sum())
    console.print(
        f"[bold]law {samples.law}[/bold], {samples.calls} network calls, {samples.seconds:.2f} s, "
        f"{drawn / max(samples.seconds, 1e-9):.0f} tokens/s",
        highlight=False,
    )
