"""Trains a small masked diffusion model on a text and samples it: python examples/train_and_sample.py TEXT FOLDER"""

import sys

import pymdm

text, folder = sys.argv[1:3]
size = dict(vocab="char", length=64, width=64, layers=2, heads=2, batch_size=16)
model = pymdm.train(text, out=folder, steps=60, **size)  # the same as pymdm.load(folder) from now on
print(f"held out: {model.training['held_out']['bits_per_char']:.3f} bits per character (a bound)")

out = pymdm.sample(model, num_samples=2, length=48, seed=7)
for sample in out:
    print(repr(sample.text))
print(f"law {out.law}, {out.calls} network calls, seed {out.seed}")
