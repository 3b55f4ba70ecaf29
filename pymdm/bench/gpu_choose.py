"""choose on a card, for `pymdm bench gpu`: beside reading its logits, and beside Gumbel-max with noise for every element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pymdm._native import C
from pymdm.bench.gpu_timer import Timer
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import ratio, spread

# Time over that of reading the logits at the bandwidth of a copy. The mark of bfloat16 was set before a card had counted:
# its work is float32's, and takes as long (docs/cuda.md).
READING = {torch.float32: 1.3, torch.bfloat16: 1.6}
NOISE = {"Triton float32": 1.0, "Triton float64": 5.0}  # Gumbel-max / choose
CALLS = 20  # timed together


def noise_kernels(logits: torch.Tensor, out: torch.Tensor, notes: list[str]) -> dict[str, Callable[[], Any]]:
    """Gumbel-max in Triton, or nothing and a note where Triton is not there or does not compile them."""
    if logits.device.type != "cuda" or logits.dtype != torch.float32:
        return {}
    try:
        from pymdm.bench.gpu_noise import gumbel_max

        forms: dict[str, Callable[[], Any]] = {
            "Triton float32": lambda: gumbel_max(logits, out, 1, False),
            "Triton float64": lambda: gumbel_max(logits, out, 1, True),
        }
        for form in forms.values():
            form()
        if not bool(((out >= 0) & (out < logits.shape[1])).all()):
            raise RuntimeError("tokens out of range")
        return forms
    except Exception as error:
        notes.append(f"Triton's kernels did not run ({type(error).__name__}: {str(error).partition(chr(10))[0]}).")
        return {}


def choose_rows(rows: int, vocab: int, dtype: torch.dtype, timer: Timer, notes: list[str]) -> list[Row]:
    """choose on logits [rows, vocab]; its first row counts the tokens that are not the CPU's."""
    device = timer.device
    logits = (torch.randn(rows, vocab, generator=torch.Generator().manual_seed(0)) * 3).to(dtype).to(device)
    sequence, event = torch.arange(rows), torch.zeros(rows, dtype=torch.int64)
    there, events = sequence.to(device), event.int().to(device)
    token, copy = torch.empty_like(there), torch.empty_like(logits)
    scratch = C.choose_scratch(device, rows, vocab)
    subject = f"choose, {rows:,} x {vocab:,} {str(dtype).removeprefix('torch.')}"

    def choose() -> None:
        C.choose_into(logits, 1, there, events, token, scratch=scratch)

    choose()
    wrong = int((token.cpu() != C.choose(logits.cpu(), 1, sequence, event)).sum())
    out = [row(subject, "rows that differ from the CPU's", wrong, "", mark=0, least=False)]
    forms: dict[str, Callable[[], Any]] = {"choose": choose, "copy": lambda: copy.copy_(logits)}
    forms |= noise_kernels(logits, torch.empty_like(token), notes)
    seconds = timer(forms, inner=CALLS)
    read = [s / 2 for s in seconds["copy"]]  # a copy reads and writes
    over = ratio(seconds["choose"], read)
    headline = vocab == 50_304
    out.append(
        row(subject, "time / reading the logits", over, "x", mark=READING[dtype], least=False, headline=headline)
    )
    for name in NOISE.keys() & seconds.keys():
        faster = ratio(seconds[name], seconds["choose"])
        out.append(row(subject, f"{name} Gumbel-max / choose", faster, "x", mark=NOISE[name], headline=headline))
    out.append(row(subject, "choose", spread(seconds["choose"]), "s"))
    bandwidth = 2 * logits.nbytes / spread(seconds["copy"]).value / 1e9
    out.append(row(subject, "bandwidth of a copy, read and written", bandwidth, "GB/s"))
    return out


def torch_rows(rows: int, vocab: int, timer: Timer) -> list[Row]:
    """Gumbel-max in torch with float64 noise, on few rows: it needs several float64 copies of what it draws from."""
    few, device = min(rows, 64), timer.device
    logits = torch.randn(few, vocab, device=device)
    there, events = torch.arange(few, device=device), torch.zeros(few, dtype=torch.int32, device=device)
    token, scratch = torch.empty_like(there), C.choose_scratch(device, few, vocab)

    def torch64() -> torch.Tensor:
        uniform = torch.rand(few, vocab, dtype=torch.float64, device=device)
        return (logits - (-uniform.log()).log()).argmax(-1)

    forms = {"torch": torch64, "choose": lambda: C.choose_into(logits, 1, there, events, token, scratch=scratch)}
    seconds = timer(forms)
    faster = ratio(seconds["torch"], seconds["choose"])
    return [row(f"choose, {few:,} x {vocab:,} float32", "torch float64 Gumbel-max / choose", faster, "x")]
