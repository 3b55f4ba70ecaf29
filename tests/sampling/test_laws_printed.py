"""The law that a result names is the law of what was run."""

from __future__ import annotations

import functools

import pytest
import torch
from helpers.sampler_tables import V, draw, network, table

import pymdm


@pytest.mark.parametrize(
    ("options", "law"),
    [
        ({}, "exact"),
        ({"temperature": 1}, "exact"),
        ({"temperature": 0.3}, "tempered"),
        ({"temperature": 0}, "tempered"),
        ({"top_k": 1}, "truncated"),
        ({"top_p": 0.5}, "truncated"),
        ({"banned_tokens": [1]}, "truncated"),
        ({"temperature": 0.3, "top_k": 2}, "truncated"),
    ],
)
def test_options_change_the_law(options, law):
    assert draw(pymdm.FirstHitting(), n=2, **options).law == law
    assert pymdm.SampleOptions(**options).law("exact") == law
    assert draw(pymdm.FirstHitting(tokens_per_call=2), n=2, **options).law == "approximate"
    assert draw(pymdm.FirstHitting(), n=2, options=pymdm.SampleOptions(**options)).law == law


def test_a_mixed_resume_is_approximate():
    half = draw(pymdm.FirstHitting(), n=3, max_calls=2)
    out = pymdm.resume(network(table()), half, temperature=0.3, max_calls=1)
    assert out.law == "approximate" and any("other options" in w for w in out.warnings)
    out = pymdm.resume(network(table()), out.to_dict())
    assert out.law == "approximate" and out.options.temperature == 0.3  # and stays so
    same = pymdm.resume(network(table()), half.to_dict(), temperature=1.0)
    assert same.law == "exact" and same.warnings == ()


class Noisy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.drop((tokens[..., None] + 1.0) * torch.arange(1.0, V + 1))


class Holder:
    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.net(tokens)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "door",
    [
        lambda net: net,
        lambda net: net.forward,
        lambda net: lambda tokens: net(tokens),
        lambda net: functools.partial(net),
        Holder,
        lambda net: Holder(net).__call__,
    ],
)
def test_a_module_is_in_evaluation_mode_for_the_run(door, training):
    net = torch.nn.Sequential(Noisy()).train(training)
    net[0].drop.train(not training)  # each module comes back as it was
    options = dict(mask_id=V, length=8, num_samples=5, seed=2)
    a, b = (pymdm.sample(door(net), **options).tokens for _ in range(2))
    assert torch.equal(a, b)
    half = pymdm.sample(door(net), max_calls=3, **options)
    assert torch.equal(pymdm.resume(door(net), half).tokens, a)
    assert (net.training, net[0].training, net[0].drop.training) == (training, training, not training)


def test_modes_come_back_after_an_error():
    net = Noisy()
    with pytest.raises(ValueError, match="banned tokens"):
        pymdm.sample(net, mask_id=V, length=8, banned_tokens=[77])
    assert net.training and net.drop.training


def test_the_literal_form_with_its_cache_refuses_a_network_that_sees_the_time():
    literal = pymdm.Ancestral(steps=3, form="literal")
    with pytest.raises(ValueError, match=r"sample: the literal form keeps outputs .* give cache=False"):
        pymdm.sample(lambda x, t: torch.zeros(*x.shape, V), mask_id=V, length=4, sampler=literal, time_conditioned=True)
    config = pymdm.ModelConfig(vocab_size=5, length=4, width=16, layers=1, heads=2, conditioning="time")
    with pytest.raises(ValueError, match="sample: the literal form keeps outputs"):
        pymdm.sample(pymdm.Engine(pymdm.MaskedTransformer(config)), sampler=literal)
    out = pymdm.sample(
        lambda x, t: torch.zeros(*x.shape, V),
        mask_id=V,
        length=4,
        sampler=pymdm.Ancestral(steps=3, form="literal", cache=False),
        time_conditioned=True,
    )
    assert 1 <= out.calls <= 3
