"""The cases of `pymdm bench`, in the order in which they run and are printed, and the tools for their results."""

from __future__ import annotations

CASES = {
    "choose": "exact Gumbel-max beside torch's ways to draw, and a plain maximum",
    "speedup": "first-hitting beside published ancestral sampling in plain PyTorch",
    "engine": "the forward beside at::linear, eager PyTorch and torch.compile",
    "second_order": "total variation of the parallel first-hitting variants from the exact law",
}
TOOLS = {"compare": "pymdm.bench.compare", "gpu": "pymdm.bench.gpu"}


def module_name(case: str) -> str:
    """Module of a case, `second-order` and `second_order` alike.

    Raises:
        ValueError: an unknown case.
    """
    name = case.replace("-", "_")
    if name not in CASES:
        raise ValueError(f"bench: expected one of {', '.join([*CASES, *TOOLS])}, got {case!r}")
    return f"pymdm.bench.{name}"
