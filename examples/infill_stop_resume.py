"""Fills holes of a sentence; stops a run, saves it to a file, and goes on with it: python examples/infill_stop_resume.py"""

import tempfile
from pathlib import Path

import torch

import pymdm

model = pymdm.load()  # the any-order model that comes with the package
sentence = "Return the [MASK:4] of the [MASK:3] if it is not found."
whole = pymdm.sample(model, infill=sentence, num_samples=3, seed=3)
for sample in whole:
    print(sample.text)

half = pymdm.sample(model, infill=sentence, num_samples=3, seed=3, max_calls=3)
with tempfile.TemporaryDirectory() as folder:
    half.save(Path(folder) / "run.safetensors")
    saved = pymdm.Samples.load(Path(folder) / "run.safetensors")
rest = pymdm.resume(model, saved)
same = torch.equal(rest.tokens, whole.tokens)
print(f"stopped after {half.calls} calls, {rest.calls} in all; the same tokens: {same}")
