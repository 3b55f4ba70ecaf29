"""Puts a sampler of your own to the test: python examples/audit_your_sampler.py

`mine` unmasks one position a call in random order, as first-hitting does, but at temperature 0.8, which its author forgot
to say. The same from the command line: pymdm audit examples.audit_your_sampler:mine
"""

import torch

from pymdm.prove.audit import audit


def mine(model, mask_id: int, length: int, num_samples: int, seed: int) -> torch.Tensor:
    """[num_samples, length] tokens drawn from `model`, tokens [B, L] -> logits [B, L, V]."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.full((num_samples, length), mask_id)
    order = torch.rand(num_samples, length, generator=generator).argsort(dim=1)
    rows = torch.arange(num_samples)
    for step in range(length):
        position = order[:, step]
        probabilities = torch.softmax(model(tokens)[rows, position] / 0.8, dim=-1)
        tokens[rows, position] = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
    return tokens


if __name__ == "__main__":
    proof = audit(mine, samples=20_000, wide=False)
    failed = [verdict.name for verdict in proof.plan.verdicts if not verdict.passed]
    print(f"passed: {proof.passed}; rejected by {len(failed)} of {len(proof.plan.verdicts)} tests")
