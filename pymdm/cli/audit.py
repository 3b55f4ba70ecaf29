"""`pymdm audit`: the laws of samplers, put to the test."""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def _user_function(name: str) -> Callable[..., Any]:
    """The function that `module:function` names; modules of the current folder included."""
    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        sampler = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"audit: cannot load {name!r}, expected module:function ({error})") from None

    @functools.wraps(sampler)
    def called(*args: Any, **options: Any) -> Any:
        try:
            return sampler(*args, **options)
        except Exception as error:
            called_as = "f(model, mask_id, length, num_samples, seed)"
            raise ValueError(f"audit: {name}, called as {called_as}: {type(error).__name__}: {error}") from error

    return called


def _own_sampler(name: str) -> Callable[..., Any]:
    """A sampler of this package in the form that `pymdm.prove.audit` calls."""
    import pymdm

    samplers: dict[str, pymdm.sampling.samplers.Sampler] = {
        "first-hitting": pymdm.FirstHitting(),
        "first-hitting-2": pymdm.FirstHitting(tokens_per_call=2),
        "extrapolated-2": pymdm.FirstHitting(tokens_per_call=2, order=2),
        "ancestral": pymdm.Ancestral(steps=64),
        "confidence": pymdm.Confidence(),
        "remask": pymdm.Remask(steps=64),
    }
    if name not in samplers:
        raise ValueError(f"audit: expected module:function or one of {', '.join(samplers)}, got {name!r}")

    def draw(model: Any, mask_id: int, length: int, num_samples: int, seed: int, prompt: Any = None) -> Any:
        start = [[mask_id] * length if prompt is None else [int(t) for t in prompt]] * num_samples
        out = pymdm.sample(model, infill=start, mask_id=mask_id, seed=seed, sampler=samplers[name])
        return out.tokens

    return draw


def _models(count: int, seed: int) -> Any:
    """Random models from Hypothesis strategies where it is installed (a development dependency), else drawn directly."""
    import tempfile

    try:
        from hypothesis.configuration import set_hypothesis_home_dir

        from pymdm.prove.strategies import draw_models
    except ImportError:
        return count
    with tempfile.TemporaryDirectory() as folder:
        set_hypothesis_home_dir(folder)  # it keeps files there, by default in the current folder
        return draw_models(count, seed)


def _facts(models: Any) -> dict[str, str]:
    """What was run where, for the report."""
    from pymdm.environment import environment

    where = environment()
    out = {
        "command": " ".join(["pymdm", *sys.argv[1:]]),
        "date": where["date"],
        "versions": f"pymdm {where['pymdm']}, torch {where['torch']}, Python {where['python']}",
        "commit": where["commit"] or "not in a checkout",
        "processor": f"{where['processor']}; in use: {', '.join(where['features']) or 'no vector extension'}",
    }
    if not isinstance(models, int):
        out["random models"] = f"{len(models)}, drawn by Hypothesis strategies from the root seed"
    return out


def audit(
    sampler: Annotated[
        str | None,
        typer.Argument(help="module:function of yours, or a sampler's name; default: the whole compiled core."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="The whole proof with all planted faults (minutes).")] = False,
    faults: Annotated[bool, typer.Option("--faults", help="Plant all faults in the fast subset too.")] = False,
    samples: Annotated[int | None, typer.Option(help="Samples of each test; default: for power 1 - 1e-6.")] = None,
    reseed: Annotated[bool, typer.Option("--reseed", help="Draw new seeds, and print them.")] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for proof.md and proof.html.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Test the law of a sampler: yours, one of pymdm's by name, or everything that is compiled.

    A function of yours is called as f(model, mask_id, length, num_samples, seed) -> tokens [num_samples, length]. Exit code 1
    if a law is rejected or a planted fault is missed.

    Example: pymdm audit first-hitting
    """
    from pymdm.compiled import Compiled
    from pymdm.prove.audit import audit as audit_function
    from pymdm.prove.faults import FAULTS
    from pymdm.prove.plan import root_seed
    from pymdm.prove.report import summary, write
    from pymdm.prove.run import prove

    seed = root_seed(reseed=True) if reseed else root_seed()
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)  # a proof that takes long is not lost for its folder
        if not os.access(report, os.W_OK):
            raise ValueError(f"audit: cannot write files in {report}")

    def progress(line: str) -> None:
        print(line, file=sys.stderr)

    if sampler is None:
        core, models = Compiled(), _models(50 if full else 8, seed)
        planted = list(FAULTS.values()) if full or faults else []
        facts = _facts(models)  # of the tree as it is now, whatever is done to it meanwhile
        proof = prove(
            core,
            fast=not full,
            models=models,
            faults=planted,
            approximate=core.measured(),
            seed=seed,
            progress=progress,
        )
        proof.facts = facts
    else:
        function = _user_function(sampler) if ":" in sampler else _own_sampler(sampler)
        proof = audit_function(function, samples=samples, seed=seed, name=sampler, progress=progress)
    if report is not None:
        write(proof, report)
    if json_output:
        verdicts = [{"name": v.name, "p_value": v.p_value, "passed": v.passed} for v in proof.plan.verdicts]
        caught = [{"name": c.fault.name, "caught": c.caught, "samples": c.n} for c in proof.caught]
        distances = [{"sampler": d.sampler, "model": d.model, "tv": d.distance.tv} for d in proof.distances]
        found = {"verdicts": verdicts, "faults": caught, "distances": distances}
        print(json.dumps({"passed": proof.passed, "seed": seed, **found}))
    else:
        print("\n".join(summary(proof)))
    if not proof.passed:
        raise typer.Exit(1)
