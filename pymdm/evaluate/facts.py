"""The facts that make two evaluations comparable, as JSON: what was run where, and what a likelihood is."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pymdm.bundled import name_of
from pymdm.environment import commit, processor
from pymdm.evaluate.autoregressive import Likelihood
from pymdm.evaluate.bound import Bound
from pymdm.evaluate.judges import file_sha256
from pymdm.evaluate.rule import RuleLikelihood
from pymdm.evaluate.subject import Subject
from pymdm.network.checkpoint import WEIGHTS
from pymdm.sampling.samplers import sampler_name


def run_facts(subject: Subject, seed: int, command: str = "") -> dict[str, Any]:
    """What was run where: versions, machine, weights' hash, configuration, seed."""
    import pymdm

    path = subject.checkpoint.path
    facts: dict[str, Any] = {
        "command": command,
        "seed": seed,
        "checkpoint": {
            "name": name_of(path) or path.name if path else "",
            "sha256": file_sha256(path / WEIGHTS) if path else "",
        },
        "config": subject.config.to_dict(),
        "text": {
            "name": subject.text_name,
            "tokens": len(subject.tokens),
            "characters": subject.characters,
            "unit": subject.unit,
            "lost": subject.lost,
        },
        "versions": {"pymdm": pymdm.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{processor()}, {torch.get_num_threads()} threads",
        "commit": commit() or "",
    }
    if subject.note:
        facts["text"]["note"] = subject.note
    return facts


def likelihood_facts(found: Bound | Likelihood, counts: str) -> dict[str, Any]:
    """JSON-ready numbers of a likelihood; intervals are of bits per character."""
    facts: dict[str, Any] = {
        "kind": "bound" if isinstance(found, Bound) else "exact",
        "bits_per_char": found.bits.value,
        "nats_per_token": found.nats_per_token,
        "perplexity": found.perplexity,
        "tokens": found.tokens,
        "characters": found.characters,
        "text_interval95": list(found.bits_elsewhere.interval),
    }
    if isinstance(found, Bound):
        facts |= {"monte_carlo_interval95": list(found.bits.interval), "draws": found.draws, "counts": counts}
        facts["caveat"] = found.caveat
        facts["curve"] = found.curve.to_dict() if found.curve is not None else None
    if isinstance(found, RuleLikelihood):
        facts |= {
            "rule": sampler_name(found.rule).removeprefix("confidence:"),
            "step_maps": [r.tolist() for r in found.rank],
        }
        facts["log_prob"] = [p.tolist() for p in found.log_prob]
    return facts


def finite(value: Any) -> Any:
    """The same JSON value with null in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
