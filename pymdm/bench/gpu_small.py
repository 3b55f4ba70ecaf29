"""Every kernel once or twice on small sizes, for compute-sanitizer: `bench/gpu.sh` runs it under memcheck and racecheck.

No graph and no comparison: correctness is the tests' matter. Sizes are odd, so that tails and unaligned rows are walked.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

import pymdm
from pymdm._native import C
from pymdm.network.device import as_device
from pymdm.sampling.opening import open_state
from pymdm.sampling.run import RunOptions, run


def choose() -> None:
    """choose at full size on the card, four times, for ncu's counters of the third."""
    rows, device = 1024, as_device("cuda")
    logits = torch.randn(rows, 50_304, device=device) * 3
    token, event = torch.arange(rows, device=device), torch.zeros(rows, dtype=torch.int32, device=device)
    for _ in range(4):
        C.choose_into(logits, 1, torch.arange(rows, device=device), event, token)
    torch.cuda.synchronize()


def main(name: str = "cuda") -> None:
    """Runs choose of every dtype, the network of each kind, and a few steps of the sampler."""
    if name == "choose":
        return choose()
    device = as_device(name)
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        for rows, vocab in ((3, 9003), (37, 257)):  # three parts of a row, with a tile of whole quads; one
            logits = torch.randn(rows, vocab, generator=generator).to(dtype).to(device)
            token = torch.empty(rows, dtype=torch.int64, device=device)
            at = torch.arange(rows, device=device), torch.zeros(rows, dtype=torch.int32, device=device)
            for temperature in (1.0, 0.0):
                C.choose_into(logits, 1, *at, token, temperature)
            assert int(token.min()) >= 0
    networks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("float32", {"conditioning": "time", "norm_bias": True, "qkv_bias": True, "out_bias": True}),
        ("bfloat16", {"mlp": "swiglu", "norm": "rmsnorm", "kv_heads": 1, "logit_shift": True, "mlp_bias": True}),
    )
    for precision, extra in networks:
        torch.manual_seed(1)
        config = pymdm.ModelConfig(vocab_size=301, length=45, width=44, layers=2, heads=2, mlp_width=53, **extra)
        model = pymdm.MaskedTransformer(config).eval()
        weights = {key: t.detach().contiguous() for key, t in model.state_dict().items()}
        native = C.DeviceEngine(config.to_dict(), weights, precision, device)
        lengths, mask = [7, 45, 7, 1], config.mask_id
        offsets = torch.tensor([0, *lengths]).cumsum(0)
        tokens = torch.full((sum(lengths),), mask)
        wanted = torch.tensor([59, 3, 3, 20])
        assert native.logits(tokens, offsets, wanted, torch.rand(4).double()).isfinite().all()
        if native.sees_time:
            continue
        sampler = pymdm.FirstHitting(tokens_per_call=3)
        state = open_state(sampler, [[mask] * length for length in lengths], mask, seed=5)
        run(state, sampler, native, RunOptions(graphs=False))
        assert int(state.remaining.sum()) == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
    print("every kernel ran")
