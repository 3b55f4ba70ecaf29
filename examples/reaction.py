"""A piece of a reaction's product filled in, as SMILES: `python examples/reaction.py [rxnmapper's model folder]`.

Without a folder a small random network stands for the model. With real weights: unpack the package rxnmapper and give its
models/transformers/albert_heads_8_uspto_all_1310k (docs/models.md).
"""

import sys

import torch

import pymdm
from pymdm.data.letters import letters_tokenizer
from pymdm.data.sequences import Record, written

REACTION = "CC(=O)O.OCC>>CC(=O)[MASK:3].O"

if len(sys.argv) > 1:
    model, options = pymdm.load(sys.argv[1]), {}
else:
    torch.manual_seed(0)
    pieces = [*"CcNnOoSF().=#123", "Cl", "Br", ">>", "[C@H]", "[MASK]"]
    words = letters_tokenizer({piece: i for i, piece in enumerate(pieces)})
    mask = len(pieces) - 1
    config = pymdm.ModelConfig(vocab_size=mask, mask_id=mask, length=64, width=32, layers=2, heads=2)
    model, options = pymdm.MaskedTransformer(config).eval(), {"tokenizer": words}

out = pymdm.sample(model, infill=REACTION, num_samples=4, seed=3, **options)
print(written([Record(f"sample_{i}", text) for i, text in enumerate(out.text)], "smiles"), end="")
print(f"law {out.law}, {out.calls} network calls, {len(set(out.text))} different products")
