"""Saved states with one to three random faults each, for the fuzz of `resume`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch

NUMBERS = (0, 1, -1, 2, 3, 7, 2**31, 2**32, 2**32 + 1, 2**56, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e300, float("nan"), float("inf"), float("-inf"), 5e-324)


def mutated(saved: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A copy with 1 to 3 faults: entries, lengths, types, missing parts, swapped tensors, edited settings."""
    state = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in saved.items()}
    for _ in range(random.integers(1, 4)):
        name = str(random.choice(sorted(state)))
        value = state[name]
        if isinstance(value, torch.Tensor):
            state[name] = _mutated_tensor(value, state, random)
        elif isinstance(value, str):
            state[name] = _mutated_text(value, random)
        elif random.random() < 0.1:
            del state[name]
        else:
            state[name] = _pick((*NUMBERS, 2**64, -(2**64), None, "x", 1.5, [1]), random)
    return state


def _pick(values: tuple[Any, ...], random: np.random.Generator) -> Any:
    return values[random.integers(len(values))]


def _mutated_tensor(t: torch.Tensor, state: dict[str, Any], random: np.random.Generator) -> Any:
    if t.dim() != 1 or t.device.type != "cpu":
        return t  # has its fault
    kind = random.integers(10)
    if kind < 6 and t.numel() > 0:
        values = FLOATS if t.is_floating_point() else NUMBERS
        for _ in range(random.integers(1, 3)):
            near = int(random.integers(-2, 3)) + t[random.integers(t.numel())].item()
            chosen = near if random.random() < 0.5 and math.isfinite(near) else _pick(values, random)
            t[random.integers(t.numel())] = max(-(2**63), min(2**63 - 1, chosen)) if t.dtype == torch.int64 else chosen
        return t
    if kind == 6:
        return t[: int(random.integers(0, t.numel() + 1))]
    if kind == 7:
        return torch.cat([t, t[:1]])
    if kind == 8:
        return state[str(random.choice([n for n in sorted(state) if isinstance(state[n], torch.Tensor)]))]
    return _pick((t.to(torch.float32), t.view(1, -1), t.flip(0), t.tolist(), None, t.to("meta")), random)


def _mutated_text(text: str, random: np.random.Generator) -> str:
    if random.random() < 0.3 or not _is_settings(text):
        at = int(random.integers(len(text)))
        return text[:at] + str(random.choice(list('{}[]",:0 9e'))) + text[at + 1 :]
    values = json.loads(text)
    part = values["options"] if random.random() < 0.4 else values["sampler"]["fields"]
    part[str(random.choice(sorted(part)))] = _pick((*NUMBERS, 10**40, None, "x", [1, 2], [], {}, 0.5, True), random)
    return json.dumps(values)


def _is_settings(text: str) -> bool:
    try:
        values = json.loads(text)
    except ValueError:
        return False
    return isinstance(values, dict) and {"options", "sampler"} <= values.keys() and isinstance(values["sampler"], dict)
