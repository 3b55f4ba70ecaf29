"""The optimisers, the average of the weights, and the start of the heads."""

import pytest
import torch
from helpers.tiny_training import TINY

from pymdm.network.config import ModelConfig
from pymdm.network.layers import rotate
from pymdm.network.transformer import MaskedTransformer
from pymdm.train import Recipe
from pymdm.train.optimizer import Average, learning_rate, make_optimizers, orthogonalise
from pymdm.train.start import OFFSETS, look_at_neighbours


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(f / 100, 0.1, 0.2) for f in range(101)]
    assert rates[0] == 0 and rates[10] == 1 and rates[100] == pytest.approx(0.2)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_parameter_is_optimised_once_and_only_matrices_decay(name):
    model = MaskedTransformer(ModelConfig(9, 8, 16, 2, 2, qkv_bias=True))
    groups = [g for o in make_optimizers(model, Recipe(**TINY, steps=1, optimizer=name)) for g in o.param_groups]
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in model.parameters())
    assert all((g["weight_decay"] > 0) == (p.dim() == 2) for g in groups for p in g["params"])


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.5 and values.max() < 1.3
    assert (matrix * result).sum() > 0.9 * torch.linalg.svdvals(matrix).sum() * 0.7  # same singular vectors


def test_average_follows_the_weights():
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = Average(model, 0.9)
    model.weight.data.fill_(1.0)
    average.update(model, 0)
    assert average.weights["weight"].item() == pytest.approx(0.9)  # 1 - (1 + 0) / (10 + 0)
    average.update(model, 10_000)
    assert average.weights["weight"].item() == pytest.approx(0.91)


def test_heads_start_at_their_neighbours():
    model = MaskedTransformer(ModelConfig(9, 32, 64, 2, 4, qkv_bias=True, rope_base=1000.0))
    look_at_neighbours(model, 12.0)
    for block, offsets in zip(model.blocks, OFFSETS, strict=True):
        q, k, _ = block.qkv.bias.view(3, 4, 1, 16).expand(3, 4, 32, 16).unsqueeze(1)
        scores = rotate(q, model.cos, model.sin) @ rotate(k, model.cos, model.sin).transpose(-1, -2)
        for h, offset in enumerate(offsets):
            attention = (scores[0, h] / 4).softmax(-1)
            inner = torch.arange(5, 27)
            assert (attention[inner].argmax(-1) == inner + offset).all()
            assert attention[inner, inner + offset].min() > 0.3
    with pytest.raises(ValueError, match=r"^look_at_neighbours: the network needs qkv_bias"):
        look_at_neighbours(MaskedTransformer(ModelConfig(9, 8, 16, 1, 2)), 1.0)
