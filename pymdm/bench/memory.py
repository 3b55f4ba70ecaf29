"""Peak memory of the loss over a large vocabulary, forward and backward: chunks of rows beside all logits at once.

Each form runs in a process of its own. What is counted is the growth of resident memory over the inputs; the gradients
of hidden states and head, which both forms return, are part of it. All B * L positions are scored by both.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from pymdm.bench import common
from pymdm.bench.rows import row
from pymdm.network.cross_entropy import cross_entropy

EXAMPLE = "pymdm bench memory --batch 8 --width 768"
QUICK = {"batch": 1, "width": 128}
FORMS = ("plain", "chunked")
MARK = 8.0  # at the sizes of the default or larger ones: what is fixed in both forms hides the rest of smaller ones
MARKED = 8 * 1024 * 50_257  # B * L * V
TIMED = False
MIB = 1 << 20


def peak_growth(form: str, rows: int, vocab: int, width: int) -> tuple[int, float]:
    """(bytes by which resident memory grew at its peak, loss) of one form, in this process."""
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, width, generator=g).requires_grad_()
    weight = (torch.randn(vocab, width, generator=g) * width**-0.5).requires_grad_()
    targets = torch.randint(vocab, (rows,), generator=g)
    before = _reset_peak()
    if form == "plain":
        loss = F.cross_entropy(F.linear(hidden, weight), targets, reduction="sum")
    else:
        loss, _ = cross_entropy(hidden, weight, None, targets)
    loss.backward()
    return _peak() - before, float(loss.detach()) / rows


def _reset_peak() -> int:
    """Bytes resident now; from here on `_peak` counts anew where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return _peak()


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def run(args: argparse.Namespace) -> common.Measured:
    """Both forms, each in a child.

    Raises:
        RuntimeError: a form failed, or they give different losses.
    """
    peaks, losses = {}, []
    for form in FORMS:
        sizes = [str(n) for n in (args.batch * args.length, args.vocab, args.width, torch.get_num_threads())]
        child = subprocess.run(
            [sys.executable, "-m", "pymdm.bench.memory", form, *sizes], capture_output=True, text=True
        )
        if child.returncode:
            raise RuntimeError(f"bench memory: the {form} form failed: {child.stderr.strip()[-300:]}")
        peaks[form], loss = json.loads(child.stdout)
        losses.append(loss)
    if abs(losses[0] - losses[1]) > 1e-4 * losses[0]:
        raise RuntimeError(f"bench memory: the two forms give different losses, {losses}")
    mark = MARK if args.batch * args.length * args.vocab >= MARKED else None
    rows = [row(form, "peak of the loss", peaks[form] / MIB, "MiB") for form in FORMS]
    rows.append(row("chunked", "below plain", peaks["plain"] / peaks["chunked"], "x", mark=mark, headline=True))
    sizes_used = {"batch": args.batch, "length": args.length, "vocab": args.vocab, "width": args.width}
    return common.Measured({**sizes_used, "dtype": "float32"}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this case."""
    parser.add_argument("--batch", type=common.at_least(1), default=8, help="sequences B (default 8)")
    parser.add_argument("--length", type=common.at_least(1), default=1024, help="tokens L (default 1024)")
    parser.add_argument("--vocab", type=common.at_least(2), default=50_257, help="tokens V (default 50257)")
    parser.add_argument("--width", type=common.at_least(1), default=768, help="width D (default 768)")


def _child(form: str, rows: str, vocab: str, width: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    print(json.dumps(peak_growth(form, int(rows), int(vocab), int(width))))


if __name__ == "__main__":
    _child(*sys.argv[1:])
