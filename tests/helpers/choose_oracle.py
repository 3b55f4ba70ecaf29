"""What choose must give, from its contract, and every path of it beside that."""

from __future__ import annotations

import numpy as np
import torch

from pymdm import _C_testing as T
from pymdm._native import C

PATHS = {"avx512": "", "avx2": "avx512", "portable": "avx2"}  # path -> PYMDM_CPU_DISABLE
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def oracle(x, seed, sequence, event, base=0, purpose=3, temperature=1.0, banned=None, top_k=0, top_p=1.0) -> int:
    """One row, from the contract: arg-max of x / T + g over what is left, in float64, ties to the lowest index."""
    x = x.to(torch.float64).numpy()
    stay = x > -np.inf if banned is None else (x > -np.inf) & ~banned.numpy()
    if temperature == 0:
        return int(np.argmax(np.where(stay, x, -np.inf)))
    inverse = 1.0 / temperature
    order = [v for v in np.lexsort((np.arange(x.size), -x)) if stay[v]]  # descending logits, ties by index
    if top_k:
        order = order[:top_k]
    if top_p < 1:
        weight = np.exp(x[order] * inverse - x[order[0]] * inverse)
        order = order[: int(np.argmax(np.cumsum(weight) >= top_p * weight.sum())) + 1]
    noise = C.gumbel(seed, sequence, event, purpose, base, x.size).numpy()
    order = np.sort(order)
    with np.errstate(over="ignore"):
        return int(order[np.argmax(x[order] * inverse + noise[order])])


def address(rows: int, seed: int = 11) -> dict:
    return {"seed": seed, "sequence": torch.arange(rows) * 7 + 1, "event": torch.arange(rows) * 3}


def expected(x, **k) -> list[int]:
    base = k.pop("base", torch.zeros(len(x), dtype=torch.long))
    sequence, event = k.pop("sequence"), k.pop("event")
    return [oracle(x[i], sequence=int(sequence[i]), event=int(event[i]), base=int(base[i]), **k) for i in range(len(x))]


def check_all(monkeypatch, x, want=None, paths=PATHS, **k) -> None:
    """Every path gives `want`, or the arg-max of all scores as C++ evaluates them."""
    full = T.choose_full(x, **k).tolist() if not k.get("top_k") and k.get("top_p", 1.0) == 1 else None
    want = full if want is None else want
    assert full is None or full == want
    for path in paths:
        monkeypatch.setenv("PYMDM_CPU_DISABLE", PATHS[path])
        assert C.choose(x, **k).tolist() == want, path
    if full is not None:
        assert T.choose_tiles(x, **k).tolist() == want
