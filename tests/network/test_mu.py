"""One law of a masked token: what is trained, evaluated and drawn leaves out the mask's column and the surplus."""

import math

import pytest
import torch
import torch.nn.functional as F

import pymdm
from pymdm.data.tokenizer import Tokenizer
from pymdm.evaluate.autoregressive import causal_inputs, causal_losses
from pymdm.evaluate.bound import evaluate_bound, token_losses
from pymdm.network.config import ModelConfig
from pymdm.network.cross_entropy import cross_entropy
from pymdm.network.mu import closed, log_mu
from pymdm.network.transformer import MaskedTransformer

INSIDE = ModelConfig(vocab_size=5, length=6, width=16, layers=1, heads=2, mask_id=2)
BYTE = Tokenizer.train([], "byte")
SAMPLERS = [
    pymdm.FirstHitting(),
    pymdm.FirstHitting(tokens_per_call=2, order=2),
    pymdm.FirstHitting(tokens_per_call=2, corrector=True),
    pymdm.Ancestral(steps=4),
    pymdm.Ancestral(steps=4, form="literal"),
    pymdm.Confidence("entropy", tokens_per_call=2),
    pymdm.Remask(steps=6),
]


def high_mask(tokens):
    """Logits (0, 5, 0): the law of a token is 1/2, 0, 1/2 where 1 is the mask."""
    return torch.tensor([0.0, 5.0, 0.0]).expand(*tokens.shape, 3)


def test_columns_left_out():
    assert closed(4, 4) is None and closed(4, 9, 4) is None and closed(4, 4, 9) is None
    assert closed(4, 3).tolist() == [False, False, False, True]
    assert closed(5, 7, 3).tolist() == [False, False, False, True, True]
    assert log_mu(torch.zeros(2, 4, dtype=torch.bfloat16), 4).exp().tolist() == [[0.25] * 4] * 2
    assert log_mu(torch.zeros(4, dtype=torch.float64), 0, 3).tolist() == [-math.inf, *[-math.log(2)] * 2, -math.inf]


def test_evaluation_is_of_the_law_that_is_drawn():
    """One position: 0.693 nats, where a softmax over all columns would say 5.013."""
    found = evaluate_bound(high_mask, [torch.tensor([[0], [2]])], 1, samples=2)
    assert found.nats_per_token == pytest.approx(math.log(2), abs=1e-6)
    out = pymdm.sample(high_mask, mask_id=1, length=4000, seed=3, sampler=pymdm.FirstHitting(tokens_per_call=4000))
    zeros = int((out.tokens == 0).sum())
    assert int((out.tokens == 2).sum()) == 4000 - zeros
    assert abs(zeros - 2000) < 5 * math.sqrt(4000) / 2  # false alarm 6e-7; with 1/4 in place of 1/2 it fails surely


def test_training_softmax_leaves_the_mask_out():
    """The chunked head, its gradients too, against the same loss from logits; and the loss of a model with such a mask."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((7, 4), (5, 4), (5,)))
    targets, weights = torch.tensor([0, 1, 3, 4, 0, 3, 1]), torch.rand(7, generator=generator, dtype=torch.float64)
    parts = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
    logits = (parts[0] @ parts[1].T + parts[2]).index_fill(1, torch.tensor([2]), -torch.inf)
    (F.cross_entropy(logits, targets, reduction="none") * weights).sum().backward()
    wanted = F.cross_entropy(logits.detach(), targets, reduction="none")
    gradients = [[p.grad for p in parts]]
    for chunk in (3, 100):
        parts = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
        total, losses = cross_entropy(*parts, targets, weights, chunk=chunk, mask_id=2)
        assert torch.allclose(losses, wanted, rtol=1e-12)
        total.backward()
        gradients.append([p.grad for p in parts])
    for others in gradients[1:]:
        assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in zip(gradients[0], others, strict=True))
    assert not gradients[1][1][2].any() and not gradients[1][2][2]  # the mask's row of the head learns nothing here


@pytest.mark.parametrize("causal", [False, True])
def test_training_evaluation_and_engine_agree_on_a_mask_within_the_vocabulary(causal):
    torch.manual_seed(4)
    config = ModelConfig(**{**INSIDE.to_dict(), "attention": "causal" if causal else "bidirectional"})
    model = MaskedTransformer(config).eval()
    with torch.no_grad():
        model.head.bias[2] = 3.0  # what an untrained column may say
    tokens = torch.tensor([[0, 1, 3, 4, 0, 3]])
    masks = torch.ones(1, 6, dtype=torch.bool)
    noisy = causal_inputs(tokens, 2) if causal else tokens.masked_fill(masks, 2)
    _, losses = model(noisy, rows=torch.arange(6), targets=tokens[0])
    by_hand = -model(noisy)[0][:, [0, 1, 3, 4]].log_softmax(-1)[torch.arange(6), torch.tensor([0, 1, 2, 3, 0, 2])]
    assert torch.allclose(losses, by_hand, rtol=1e-5)
    if causal:
        assert torch.allclose(losses, causal_losses(model, tokens)[0], rtol=1e-5)
        return
    for network in (model, pymdm.Engine(model), lambda t: model(t)):
        assert torch.allclose(token_losses(network, tokens, masks, 2), losses.detach(), rtol=1e-4)
    found = evaluate_bound(model, [tokens], 2, samples=4, seed=1)
    assert found.nats < 6 * math.log(4) + 1 and 2 not in pymdm.sample(model, length=6, num_samples=50, seed=1).tokens


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__ + str(getattr(s, "order", "")))
def test_surplus_logits_are_never_drawn(sampler):
    """A callable padded to 320 columns whose tokenizer has 256 ids: the text can be read whatever the surplus says."""
    surplus = torch.zeros(320)
    surplus[256:] = 4.0

    def net(tokens):
        return surplus.expand(*tokens.shape, 320)

    out = pymdm.sample(net, mask_id=256, tokenizer=BYTE, length=16, num_samples=4, seed=2, sampler=sampler)
    assert max(map(max, out.tokens.tolist())) < 256 and all(len(t) for t in out.text)
    assert evaluate_bound(net, [out.tokens], 256, samples=2, drawable=256).nats == pytest.approx(64 * math.log(256))
    assert (pymdm.sample(net, mask_id=256, length=64, seed=2).tokens >= 256).any()  # without a tokenizer they stay
