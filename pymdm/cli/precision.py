"""`pymdm precision`: what coarse random numbers do to samples, on this machine and this model."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

EXAMPLE = "Example: pymdm precision"
MODEL = "bundled:masked"  # ancestral sampling needs a network that sees both ways


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _beside(path: Path, stem: str) -> str:
    """The name of another file of this kind beside a path, "" where there is none."""
    other = path.with_stem(stem)
    return other.name if other != path and other.is_file() else ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    _say(f"wrote {path}")


def precision(
    context: typer.Context,
    model: Annotated[
        Path | None, typer.Option(help="Checkpoint folder; default: bundled:masked, which is in the package.")
    ] = None,
    logits: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also for these predictions: .npy, .safetensors or .pt, [..., V]."),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="ngram, ngram:K, a checkpoint, a Hugging Face folder or a .gguf; repeatable."),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Text of the n-gram judge and of the comparison; default: that of the models in the package."
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="More steps and samples.")] = False,
    steps: Annotated[
        list[int] | None, typer.Option(help="N of the ancestral runs; repeatable. Default: 64, 512, 2048.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Sequences of each run; default 12, with --full 48.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one self-contained HTML page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables as Markdown.")] = None,
    result: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Measure nothing: an earlier --json output.")
    ] = None,
    seed: Annotated[int, typer.Option(help="In [0, 2^64).")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what 32-bit noise does to samples: by theory, in a model's samples, and in the sources of random numbers.

    About 2 minutes on 2 cores; progress goes to stderr. `pymdm precision audit` measures your own random numbers.

    Example: pymdm precision --report precision.html
    """
    if context.invoked_subcommand:
        return
    from pymdm.precision.report import html_page
    from pymdm.precision.report import markdown as markdown_text
    from pymdm.precision.tables import facts, tables
    from pymdm.report.table import show
    from pymdm.report.terminal import console

    for path in (report, markdown):
        if path is not None and path.is_dir():
            raise ValueError(f"precision: {path} is a folder, expected a file to write")
    found = (
        _read(result, "precision", "runs")
        if result is not None
        else _measure(model, logits, judge or ["ngram"], corpus, full, steps, samples, seed)
    )
    if report is not None:
        _write(report, html_page(found))
    if markdown is not None:
        _write(markdown, markdown_text(found, _beside(markdown, f"{markdown.stem}_audit")))
    if json_output:
        print(json.dumps(found))
        return
    screen = console()
    for line in facts(found):
        screen.print(line, markup=False)
    for table in reversed(tables(found)):  # the findings last, where the eye is
        screen.print()
        show(table, screen)


def _read(path: Path, command: str, key: str) -> dict[str, Any]:
    from pymdm.files.read import read_json
    from pymdm.precision.lab import SCHEMA

    found = read_json(path, command)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or key not in found or "environment" not in found:
        raise ValueError(f"{command}: {path} is no JSON output of this command with schema {SCHEMA}")
    return found


def _measure(
    model: Path | None,
    logits: Path | None,
    names: list[str],
    corpus: Path | None,
    full: bool,
    steps: list[int] | None,
    samples: int | None,
    seed: int,
) -> dict[str, Any]:
    from dataclasses import replace

    import pymdm
    from pymdm.data.corpus import load_corpus
    from pymdm.evaluate.judges import load_judge
    from pymdm.precision.lab import FULL, QUICK, run
    from pymdm.sampling.opening import check_seed

    check_seed(seed)
    preset = FULL if full else QUICK
    preset = replace(preset, steps=tuple(steps or preset.steps), samples=samples or preset.samples)
    if (samples is not None and samples < 2) or min(preset.steps) < 1:
        raise ValueError("precision: expected at least 2 samples and 1 step")
    loaded = pymdm.load(model or MODEL)
    text = load_corpus(corpus)
    judges = [load_judge(name, text.train_text) for name in names]
    found = run(
        loaded,
        judges=judges,
        preset=preset,
        logits=logits,
        held_out=text.held_out_text,
        seed=seed,
        progress=_say,
    )
    words = ["pymdm", "precision", *(["--full"] if full else []), *([f"--seed={seed}"] if seed else [])]
    words += [w for n in steps or [] for w in ("--steps", str(n))]
    words += ["--samples", str(samples)] if samples else []
    for option, value in (("--model", model), ("--corpus", corpus), ("--logits", logits)):
        words += [option, value.name] if value is not None else []
    if names != ["ngram"]:
        words += [w for name in names for w in ("--judge", Path(name).name)]
    c = loaded.config
    what = MODEL if model is None else model.name
    shape = f"{what}, V = {c.vocab_size:,}, {c.layers} layers of {c.width}"
    return found | {"command": shlex.join(words), "model": shape}


def audit(
    function: Annotated[
        str | None, typer.Argument(help="module:function of yours; default: the sources that samplers draw from.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            help="What the function gives. uniform, exponential, gumbel: n -> [n] numbers; categorical: probabilities "
            "[B, K] -> [B] classes; logits: the same from logits."
        ),
    ] = "categorical",
    draws: Annotated[int | None, typer.Option(help="Noise values; default: 2^28, or 2^31 for a categorical.")] = None,
    seed: Annotated[int, typer.Option(help="Of torch's generator.")] = 0,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    result: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Measure nothing: an earlier --json output.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the cap and the tail of random numbers: a function of yours, or torch's, NumPy's and pymdm's own.

    Exit code 1 if your function, or one of pymdm's own, is faulty. Few draws show little: what they could see is printed.

    Example: pymdm precision audit torch:rand --kind uniform
    """
    from pymdm.precision.audit import FAULTY
    from pymdm.precision.report import audit_markdown
    from pymdm.precision.sources import OURS
    from pymdm.precision.tables import audit_table, audit_verdict
    from pymdm.report.table import show
    from pymdm.report.terminal import console

    found = _audit(function, kind, draws, seed) if result is None else _read(result, "precision audit", "audits")
    if markdown is not None:
        _write(markdown, audit_markdown(found, _beside(markdown, markdown.stem.removesuffix("_audit"))))
    if json_output:
        print(json.dumps(found))
    else:
        screen = console()
        show(audit_table(found["audits"]), screen)
        for a in found["audits"]:
            screen.print(f"{a['name']}: {audit_verdict(a)}", markup=False)
    if any(a["verdict"] in FAULTY for a in found["audits"] if a["name"] in OURS or a["yours"]):
        raise typer.Exit(1)


def _audit(function: str | None, kind: str, draws: int | None, seed: int) -> dict[str, Any]:
    import torch

    from pymdm.cli.users_code import load_function
    from pymdm.environment import environment
    from pymdm.precision.audit import audit_source
    from pymdm.precision.lab import SCHEMA
    from pymdm.precision.sources import SOURCES
    from pymdm.precision.tables import audit_verdict

    torch.manual_seed(seed)
    form = "f(n)" if kind in ("uniform", "exponential", "gumbel") else "f([B, K] tensor)"
    sources = SOURCES if function is None else {function: (kind, load_function(function, "precision audit", form))}
    audits = []
    for name, (its_kind, source) in sources.items():
        found = audit_source(source, its_kind, name=name, draws=draws)
        audits.append(found.to_dict() | {"yours": function is not None})
        _say(f"{name}: {audit_verdict(audits[-1])}")
    words = ["pymdm", "precision", "audit", *([function, "--kind", kind] if function else [])]
    words += (["--draws", str(draws)] if draws else []) + (["--seed", str(seed)] if seed else [])
    record = {"schema": SCHEMA, "command": shlex.join(words), "environment": environment(), "seed": seed}
    return record | {"audits": audits}
