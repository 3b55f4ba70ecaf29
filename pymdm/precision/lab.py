"""Everything that `pymdm precision` measures, as one JSON-ready result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pymdm.evaluate.judges import Judge
from pymdm.precision.audit import audit_source
from pymdm.precision.caps import CAPS, FORMS, enumerate_form
from pymdm.precision.experiment import experiment
from pymdm.precision.findings import findings
from pymdm.precision.predictions import file_predictions, model_predictions
from pymdm.precision.sources import QUICK as QUICK_SOURCES
from pymdm.precision.sources import SOURCES
from pymdm.precision.theory import (
    ancestral_run,
    draw_effect,
    effective_temperature,
    entropy,
    first_step,
    total_variation,
    zipf,
)
from pymdm.precision.zipf import known_law

SCHEMA = 3
GRID = (16, 64, 256, 1024, 2048, 4096, 10_000)  # N of the theory
WHOLE_RUNS = (64, 256, 1024, 4096)  # N at which whole runs are worked out
ENTRIES = 1 << 19  # rows times V of a prediction, at most
ZIPF_VOCAB = 50_257


@dataclass(frozen=True)
class Preset:
    """How much is measured.

    Attributes:
        steps, samples, length: N, B and L of the experiment with the model.
        known_steps, known_samples: N and B of the one whose law is known.
        rows: predictions of the model or of a file, at most.
        sources: of the audit.
    """

    steps: tuple[int, ...]
    samples: int
    length: int
    known_steps: tuple[int, ...]
    known_samples: int
    rows: int
    sources: tuple[str, ...]


QUICK = Preset((64, 512, 2048), 12, 64, (2048,), 2, 32, QUICK_SOURCES)
FULL = Preset((64, 256, 1024, 4096), 48, 64, (256, 2048), 8, 64, QUICK_SOURCES)


def run(
    model: Any,
    *,
    judges: Sequence[Judge],
    preset: Preset = QUICK,
    logits: str | os.PathLike[str] | None = None,
    held_out: str = "",
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Theory, experiment and audit.

    Args:
        model: a `pymdm.Model` with a tokenizer.
        judges: of its samples.
        preset: sizes.
        logits: file of predictions to work out the theory for as well (`file_predictions`).
        held_out: text to judge beside the samples.
        seed: of everything that is drawn with addresses; torch's own generator, for the audit, is seeded with it too.
        progress: told one line at a time.

    Returns:
        "caps", "predictions", "known", "runs", "findings", "audits", "replay", "environment", "preset", "seed" and
        "seconds".
    """
    from pymdm.environment import environment

    say = progress or (lambda line: None)
    began = time.perf_counter()
    record = environment()
    mine = None if logits is None else file_predictions(logits, preset.rows)  # bad input is told first
    say("caps by enumeration")
    caps = [enumerate_form(form).to_dict() for form in FORMS]
    predictions = [describe("Zipf", zipf(ZIPF_VOCAB)[None], say)]
    predictions.append(describe("this model", model_predictions(model, preset.rows, seed, preset.length), say))
    if mine is not None and logits is not None:
        predictions.append(describe(os.path.basename(logits), mine, say))
    known = known_law(steps=preset.known_steps, samples=preset.known_samples, seed=seed, progress=say)
    runs = experiment(
        model,
        judges=judges,
        steps=preset.steps,
        samples=preset.samples,
        length=preset.length,
        seed=seed,
        held_out=held_out,
        progress=say,
    )
    replay = replay_pair(model, preset.steps[-1], preset.length, seed)
    audits = []
    torch.manual_seed(seed)
    for name in preset.sources:
        kind, function = SOURCES[name]
        found = audit_source(function, kind, name=name)
        say(f"audit of {name}: {found.verdict}, caps up to {found.visible:.2f} would be seen")
        audits.append(found.to_dict())
    return {
        "schema": SCHEMA,
        "environment": record,
        "preset": {k: v for k, v in preset.__dict__.items() if k != "sources"},
        "seed": seed,
        "judges": [{"name": judge.name, **judge.facts} for judge in judges],
        "caps": caps,
        "predictions": predictions,
        "known": [k.to_dict() for k in known],
        "runs": [r.to_dict() for r in runs],
        "findings": [f.to_dict() for f in findings(runs)],
        "audits": audits,
        "replay": replay,
        "seconds": time.perf_counter() - began,
    }


def describe(name: str, mu: NDArray[np.float64], say: Callable[[str], None]) -> dict[str, Any]:
    """What each cap does to predictions [M, V]: to one draw, to the first ancestral step, to whole runs; means over rows.

    Rows are thinned out so that M V stays below 2^19; whole runs are those of a position that predicts a row at all times.
    """
    keep = max(1, min(len(mu), ENTRIES // mu.shape[1]))
    mu = mu[np.unique(np.linspace(0, len(mu) - 1, keep).round().astype(int))]
    say(f"theory for {name}: {len(mu)} rows of {mu.shape[1]:,} tokens")
    out: dict[str, Any] = {"name": name, "rows": len(mu), "vocab_size": mu.shape[1]}
    out["entropy"] = float(np.mean([entropy(row) for row in mu]))
    out["draw"], out["step"], out["run"] = {}, {}, {}
    for form, cap in CAPS.items():
        effects = [draw_effect(row, cap) for row in mu]
        temperature = [e.temperature for e in effects if np.isfinite(e.temperature)]
        out["draw"][form] = {
            "tv": float(np.mean([e.tv for e in effects])),
            "entropy_change": float(np.mean([e.entropy_change for e in effects])),
            "temperature": float(np.mean(temperature)) if temperature else None,
        }
        steps = [first_step(row, GRID, cap) for row in mu]
        out["step"][form] = [
            {
                "steps": n,
                "factor": float(np.mean([s[i].factor for s in steps])),
                "factor_range": [float(f([s[i].factor for s in steps])) for f in (np.min, np.max)],
                "tv": float(np.mean([s[i].tv for s in steps])),
            }
            for i, n in enumerate(GRID)
        ]
    few = mu[np.unique(np.linspace(0, len(mu) - 1, min(len(mu), 8)).round().astype(int))]
    for form in ("float32", "float64"):
        out["run"][form] = [_whole_run(few, n, CAPS[form]) for n in WHOLE_RUNS]
    return out


def _whole_run(mu: NDArray[np.float64], steps: int, cap: float) -> dict[str, Any]:
    runs = [(row, ancestral_run(row, steps, cap)) for row in mu]
    temperature = [effective_temperature(run.law, row) for row, run in runs]
    temperature = [t for t in temperature if np.isfinite(t)]
    return {
        "steps": steps,
        "tv": float(np.mean([total_variation(run.law, row) for row, run in runs])),
        "entropy_change": float(np.mean([entropy(run.law) - entropy(row) for row, run in runs])),
        "temperature": float(np.mean(temperature)) if temperature else None,
        "masked_at_half": float(np.mean([run.masks[steps // 2] for _, run in runs])),
    }


def replay_pair(model: Any, steps: int, length: int, seed: int) -> dict[str, Any]:
    """One sequence twice, ancestral with N steps from the same random bits: exact noise, and truncated at the 32-bit cap.

    Returns:
        "steps", "pieces" id -> text, and "panels": name, tokens [L], times [L].
    """
    import pymdm

    panels: list[dict[str, Any]] = []
    pieces: dict[int, str] = {}
    for name, noise in (("exact noise", "exact"), ("noise truncated at the 32-bit cap", "truncated")):
        sampler = pymdm.Ancestral(steps=steps, form="literal", noise=noise)
        out = pymdm.sample(model, length=length, seed=seed, sampler=sampler, sequence_ids=[1 << 40])
        tokens = torch.as_tensor(out.tokens)[0].tolist()
        times = torch.as_tensor(out.times)[0].tolist()
        pieces |= {t: model.tokenizer.decode([t]) for t in tokens}
        panels.append({"name": name, "tokens": tokens, "times": [round(t, 6) for t in times]})
    return {"steps": steps, "pieces": {str(t): piece for t, piece in pieces.items()}, "panels": panels}
