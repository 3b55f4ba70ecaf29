"""`pymdm audit`: the laws of samplers, put to the test."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pymdm.prove.run import Proof

CALLED = "f(model, mask_id, length, num_samples, seed)"


def _drawing(sampler: Any) -> Callable[..., Any]:
    """A sampler of `pymdm.sample` in the form that `pymdm.prove.audit` calls."""
    import pymdm

    def draw(model: Any, mask_id: int, length: int, num_samples: int, seed: int, prompt: Any = None) -> Any:
        start = [[mask_id] * length if prompt is None else [int(t) for t in prompt]] * num_samples
        return pymdm.sample(model, infill=start, mask_id=mask_id, seed=seed, sampler=sampler).tokens

    return draw


def _function(name: str) -> Callable[..., Any]:
    """What a name stands for: one of pymdm's samplers, a user's function, or a user's `CustomSampler`."""
    from pymdm.cli.users_code import load_function
    from pymdm.sampling.samplers import CustomSampler
    from pymdm.sampling.samplers.names import KINDS, parse_sampler

    if name.partition(":")[0] in KINDS or ":" not in name:
        try:
            return _drawing(parse_sampler(name))
        except ValueError as error:
            words = str(error).removeprefix("sample: ")
            raise ValueError(f"audit: expected a sampler's name or module:function; {words}") from None

    def adapt(found: Any) -> Any:
        if isinstance(found, type) and issubclass(found, CustomSampler):
            return _drawing(found())
        return _drawing(found) if isinstance(found, CustomSampler) else found

    return load_function(name, "audit", CALLED, adapt)


def _facts() -> dict[str, str]:
    """What was run where, for the report."""
    from pymdm.environment import environment
    from pymdm.report import facts

    where = environment()
    return {
        "command": " ".join(["pymdm", *sys.argv[1:]]),
        "date": where["date"],
        "versions": f"{facts.versions(where)}; Python {where['python']}",
        "machine": facts.machine(where),
    }


def found(proof: Proof) -> dict[str, Any]:
    """What a proof found, as JSON-ready values."""
    from pymdm.prove.report import able, verdict

    verdicts = [
        {
            "name": v.name,
            "law": v.law,
            "passed": v.passed,
            "p_value": v.p_value,
            "samples": v.fit.n,
            "power": v.power if v.statistical else None,
        }
        for v in proof.plan.verdicts
    ]
    caught = [{"name": c.fault.name, "caught": c.caught, "samples": c.n} for c in proof.caught]
    distances = [{"sampler": d.sampler, "model": d.model, **asdict(d.distance)} for d in proof.distances]
    strong, statistical = able(proof)
    return {
        "outcome": verdict(proof),
        "tests_with_power_above_half": strong,
        "tests_that_chance_decides": statistical,
        "verdicts": verdicts,
        "faults": caught,
        "distances": distances,
        "cells": [asdict(c) | {"z": c.z if math.isfinite(c.z) else None} for c in proof.cells],
    }


def audit(
    sampler: Annotated[
        str | None,
        typer.Argument(
            help="A sampler's name, or module:function or module:Class of yours; default: the compiled core."
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="The whole proof (minutes).")] = False,
    faults: Annotated[
        str | None, typer.Option(help="Module with planted faults (pymdm.prove.faults.fault), which must be caught.")
    ] = None,
    models: Annotated[
        int | None, typer.Option(help="Random models of the compiled core's proof; default: 8, with --full 50.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Samples of each test; default: for power 1 - 1e-6.")] = None,
    reseed: Annotated[bool, typer.Option("--reseed", help="Draw new seeds, and print them.")] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for proof.md and proof.html.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Test the law of a sampler: yours, one of pymdm's by name, or everything that is compiled.

    A function of yours is called as f(model, mask_id, length, num_samples, seed) -> tokens [num_samples, length]. Exit code 1
    if a law is rejected or a planted fault is missed. A sampler that passes has passed at the power that is printed: fewer
    samples see less.

    Example: pymdm audit first-hitting
    """
    if sampler is not None and (full or faults is not None):
        raise ValueError("audit: --full and --faults are for the compiled core, without a sampler's name")
    if models is not None and (sampler is not None or models < 1):
        raise ValueError("audit: --models is for the compiled core, without a sampler's name, and at least 1")
    if sampler is None and samples is not None:
        raise ValueError(
            "audit: --samples is for a sampler by name; the compiled core's sizes are fixed, --full for all"
        )
    from pymdm.cli.users_code import load_module
    from pymdm.compiled import Compiled
    from pymdm.prove.audit import audit as audit_function
    from pymdm.prove.faults import FAULTS
    from pymdm.prove.plan import root_seed
    from pymdm.prove.report import law_table, summary, test_table, write
    from pymdm.prove.run import prove
    from pymdm.report.table import show
    from pymdm.report.terminal import console

    seed = root_seed(reseed=True) if reseed else root_seed()
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)  # a proof that takes long is not lost for its folder
        if not os.access(report, os.W_OK):
            raise ValueError(f"audit: cannot write files in {report}")

    def progress(line: str) -> None:
        print(line, file=sys.stderr)

    if sampler is None:
        core = Compiled()
        if faults is not None:
            load_module(faults, "audit", "a module with planted faults")
            if not FAULTS:
                raise ValueError(f"audit: {faults} enters no fault by pymdm.prove.faults.fault")
        facts = _facts()  # of the tree as it is now, whatever is done to it meanwhile
        proof = prove(
            core,
            fast=not full,
            models=models or (50 if full else 8),
            faults=list(FAULTS.values()) if faults is not None else [],
            approximate=core.measured(),
            seed=seed,
            progress=progress,
        )
        proof.facts = facts
    else:
        proof = audit_function(_function(sampler), samples=samples, seed=seed, name=sampler, progress=progress)
    if report is not None:
        write(proof, report)
    if json_output:
        print(json.dumps({"passed": proof.passed, "seed": seed, **found(proof)}))
    else:
        screen = console()
        tests = law_table(proof.plan.verdicts) if sampler is None else test_table(proof)
        show(replace(tests, title="", text=""), screen)
        for line in reversed(summary(proof)):  # the outcome last, where the eye is
            screen.print(line, markup=False, highlight=False)
    if not proof.passed:
        raise typer.Exit(1)
