"""A sampler written in Python: python examples/left_to_right.py, or pymdm audit examples.left_to_right:LeftToRight

It unmasks from the left. Its law is prod_l mu(x_1 .. x_{l-1})[l][x_l]: exact for networks that were trained to be read from the
left, and another law than first-hitting's for all others, which is what the audit finds.
"""

import pymdm


class LeftToRight(pymdm.CustomSampler):
    law = "approximate"

    def plan(self, sequence):
        return pymdm.Step(positions=sequence.masked[:1])


if __name__ == "__main__":
    model = pymdm.load("bundled:masked")  # sees both ways, as samplers of your own need
    out = pymdm.sample(model, prompt="Return the ", length=24, num_samples=2, seed=7, sampler=LeftToRight())
    for sample in out:
        print(repr(sample.text))
    print(f"law {out.law}, {out.calls} network calls, rank {out[0].rank.tolist()}")
