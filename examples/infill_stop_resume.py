"""Fills holes of a sentence; stops a run, saves it as plain data, and goes on with it: python examples/infill_stop_resume.py"""

import io

import torch

import pymdm

model = pymdm.load()  # the model that comes with the package
sentence = "Return the [MASK:4] of the [MASK:3] if it is not found."
whole = pymdm.sample(model, infill=sentence, num_samples=3, seed=3)
for sample in whole:
    print(sample.text)

half = pymdm.sample(model, infill=sentence, num_samples=3, seed=3, max_calls=3)
file = io.BytesIO()  # a file's name does as well
torch.save(half.state.to_dict(), file)
file.seek(0)
rest = pymdm.resume(model, torch.load(file, weights_only=True))
print(
    f"stopped after {half.calls} calls, {rest.calls} in all; the same tokens: {torch.equal(rest.tokens, whole.tokens)}"
)
