"""Loops of an antibody drawn in a frame that is given: `python examples/antibody_loops.py [AntiBERTy's folder]`.

Without a folder a small random network stands for the model, so that the file runs anywhere. With real weights: unpack
the package antiberty and give its trained_models/AntiBERTy_md_smooth (docs/models.md).
"""

import sys
from pathlib import Path

import torch

import pymdm
from pymdm.data.letters import letters_tokenizer, read_letters
from pymdm.data.sequences import Record, written
from pymdm.evaluate.diversity import figures, lines

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
HEAVY = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFTFS[MASK:5]WVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCAK"
    "[MASK:9]WGQGTLVTVSS"
)

if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
    model = pymdm.load(folder, tokenizer=read_letters(folder.parent))
    options = {"tokenizer": None}
else:
    torch.manual_seed(0)
    words = letters_tokenizer({piece: i for i, piece in enumerate([*RESIDUES, "<mask>"])})
    config = pymdm.ModelConfig(vocab_size=20, mask_id=20, length=160, width=32, layers=2, heads=2)
    model, options = pymdm.MaskedTransformer(config).eval(), {"tokenizer": words}

out = pymdm.sample(model, infill=HEAVY, num_samples=4, seed=1, **options)
print(written([Record(f"loops_{i} law={out.law}", text) for i, text in enumerate(out.text)], "fasta"), end="")

# Cysteine forms bonds where nobody wants them: the third loop without it, by allowed sets at its positions.
first = out.tokens.shape[1] - len("WGQGTLVTVSS") - 9 - len(getattr(model, "frame", ((), ()))[1])
tokenizer = getattr(model, "tokenizer", None) or out.tokenizer
ids = [tokenizer.encode(r)[0] for r in RESIDUES if r != "C"]
free = pymdm.sample(model, infill=HEAVY, num_samples=32, seed=2, allowed={first + i: ids for i in range(9)}, **options)
loops = ["".join(text.split())[-len("WGQGTLVTVSS") - 9 :][:9] for text in free.text]
print(f"loops without C: {not any('C' in loop for loop in loops)}, law {free.law}")
print(*lines(figures(loops, "fasta")), sep="\n")
