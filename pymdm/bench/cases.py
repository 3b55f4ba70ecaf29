"""The cases of `pymdm bench`, in the order in which they run and are printed, and the tools for their results."""

from __future__ import annotations

CASES = {
    "choose": "exact Gumbel-max beside torch's ways to draw, and a plain maximum",
    "speedup": "first-hitting beside published ancestral sampling in plain PyTorch",
    "scaling": "time and network calls against L, V, B, N and threads, beside a straight line",
    "engine": "the forward beside at::linear, eager PyTorch and torch.compile",
    "models": "every family's network, engine beside the callable, and the callable beside its bare calls",
    "sampling_memory": "peak memory of sampling, engine and plain PyTorch",
    "bfloat16": "what bfloat16 arithmetic does to the law of a sample",
    "lookahead": "tokens a round and rows a token with lookahead, and what a fixed cost a call makes of it",
    "cache": "networks that keep keys and values beside a bidirectional one, and beside the floor of reading memory",
    "second_order": "total variation of the parallel first-hitting variants from the exact law",
    "train": "a training step with the chunked head beside plain PyTorch computing all logits",
    "memory": "peak memory of the loss over a large vocabulary, in chunks and all at once",
}
TOOLS = {"compare": "pymdm.bench.compare", "docs": "pymdm.bench.docs", "gpu": "pymdm.bench.gpu"}


def module_name(case: str) -> str:
    """Module of a case, `second-order` and `second_order` alike.

    Raises:
        ValueError: an unknown case.
    """
    name = case.replace("-", "_")
    if name not in CASES:
        raise ValueError(f"bench: expected one of {', '.join([*CASES, *TOOLS])}, got {case!r}")
    return f"pymdm.bench.{name}"
