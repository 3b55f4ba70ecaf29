"""Trains a small masked diffusion model on a text and samples it: python examples/train_and_sample.py TEXT FOLDER"""

import sys

import pymdm
from pymdm.train import Recipe, train

text, folder = sys.argv[1:3]
recipe = Recipe(source=text, vocab="char", length=64, width=64, layers=2, heads=2, batch_size=16, steps=60)
made = train(recipe, folder)
print(f"held out: {made.training['held_out']['bits_per_char']:.3f} bits per character (a bound)")

model = pymdm.load(folder)
out = pymdm.sample(model, num_samples=2, length=48, seed=7)
for sample in out:
    print(repr(sample.text))
print(f"law {out.law}, {out.calls} network calls, seed {out.seed}")
