"""A known joint law over short sequences, and the denoiser that knows it."""

import torch

V, L, MASK = 3, 4, 3


def joint(seed=0):
    """A random distribution over all V^L sequences, [V] * L."""
    p = torch.rand((V,) * L, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3
    return p / p.sum()


def true_conditionals(p):
    """The denoiser that knows p: log P(x_l = v | the unmasked tokens)."""

    def denoiser(tokens):
        out = torch.zeros(len(tokens), L, V, dtype=torch.float64)
        for b, row in enumerate(tokens.tolist()):
            for l in range(L):
                for v in range(V):
                    index = tuple(v if i == l else slice(None) if t == MASK else t for i, t in enumerate(row))
                    out[b, l, v] = p[index].sum()
        return torch.log(out / out.sum(-1, keepdim=True))

    return denoiser
