"""Tokens a round and sequences scored a token: `python examples/lookahead_counts.py [AntiBERTy's folder] [samples]`.

The counts of lookahead depend on the network, not on the machine or what else it does. Without a folder a small random network
stands for the model, so that the file runs anywhere. With real weights: unpack the package antiberty and give its
trained_models/AntiBERTy_md_smooth (docs/models.md).
"""

import sys
from functools import partial
from pathlib import Path

import torch

import pymdm
from pymdm.data.letters import letters_tokenizer, read_letters

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
# The heavy chain of trastuzumab, its three loops (Kabat) left open: 38 of 120 residues.
LOOPS = "EVQLVESGGGLVQPGGSLRLSCAAS[MASK:10]WVRQAPGKGLEWVA[MASK:17]RFTISADTSKNTAYLQMNSLRAEDTAVYYCSR[MASK:11]WGQGTLVTVSS"
WINDOWS = (4, 8, 0.5)  # copies at most, or the least predicted chance that all guesses in a copy are right

if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
    model = pymdm.load(folder, tokenizer=read_letters(folder.parent), dtype="bfloat16")
    options = {"tokenizer": None}
else:
    torch.manual_seed(0)
    words = letters_tokenizer({piece: i for i, piece in enumerate([*RESIDUES, "<mask>"])})
    config = pymdm.ModelConfig(vocab_size=20, mask_id=20, length=160, width=32, layers=2, heads=2)
    model, options = pymdm.MaskedTransformer(config).eval(), {"tokenizer": words}
samples = int(sys.argv[2]) if len(sys.argv) > 2 else 2

whole = {"num_samples": samples, "length": 120}
loops = {"infill": LOOPS, "num_samples": samples}
tasks = [
    ("whole chain", whole, 1.0, 1),
    ("whole chain, T = 0.7", whole, 0.7, 1),
    ("loops in their frame", loops, 1.0, 1),
    ("loops in their frame, T = 0.7", loops, 0.7, 1),
    *((f"whole chain, {k} tokens a call", whole, 1.0, k) for k in (2, 3, 4)),
]
print(f"{samples} sequences each; tokens a round @ sequences scored a token")
print("| | rounds without | " + " | ".join(f"lookahead {k}" for k in WINDOWS) + " |")
print("|---|---:|" + "---:|" * len(WINDOWS))
for name, what, temperature, per_call in tasks:
    sampler = partial(pymdm.FirstHitting, per_call)
    draw = partial(pymdm.sample, model, seed=1, temperature=temperature, **what, **options)
    alone, cells = draw(sampler=sampler()), []
    for k in WINDOWS:
        out = draw(sampler=sampler(lookahead=k))
        assert torch.equal(out.tokens, alone.tokens), "lookahead changed a token"
        tokens = int((out.rank >= 0).sum())
        cells.append(f"{tokens / sum(out.nfe):.2f} @ {out.rows / tokens:.2f}")
    print(f"| {name} | {alone.rounds} | " + " | ".join(cells) + " |", flush=True)
