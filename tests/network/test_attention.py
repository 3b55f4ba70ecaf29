"""What rows see: the trainable network against the float64 reference, and its training passes against what sampling sees."""

import numpy as np
import pytest
import torch
from helpers.engine_networks import random_network, reference

from pymdm.network.attention import sight_of, two_copies, two_streams
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer

V, L = 5, 9
SHAPE = {"vocab_size": V, "length": L, "width": 16, "layers": 2, "heads": 2, "kv_heads": 1, "conditioning": "constant"}
SIGHTS = {
    "causal": {"attention": "causal"},
    "block": {"attention": "block", "block_length": 4},  # the last block is shorter
    "any-order": {"attention": "any-order"},
    "any-order, learned positions": {"attention": "any-order", "positions": "learned"},
}


def network(kind: str) -> MaskedTransformer:
    return random_network(ModelConfig(**SHAPE, **SIGHTS[kind]), 3)


def state(seed: int, rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [rows, L] with masks, and an order in which -1 is among the ranks."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, V, (rows, L))
    tokens[rng.random((rows, L)) < 0.4] = V
    given = rng.integers(0, 4, rows)[:, None]
    order = np.stack([rng.permutation(L) for _ in range(rows)])
    return torch.from_numpy(tokens), torch.from_numpy(np.where(order < given, -1, order))


@pytest.mark.parametrize("kind", SIGHTS)
def test_agrees_with_the_float64_reference(kind):
    model = network(kind)
    tokens, order = state(1)
    order = order if model.config.attention == "any-order" else None
    with torch.no_grad():
        got = model(tokens, rank=order)
    want = reference(model, tokens, rank=order)
    assert np.abs(got.numpy() - want).max() < 1e-4
    if order is not None:  # mu depends on the order of what is known
        with torch.no_grad():
            assert (got - model(tokens)).abs().max() > 0.01
            assert (got - model(tokens, rank=order.clamp(max=-1))).abs().max() > 0.01


def test_a_query_of_training_sees_what_the_sampler_shows_it():
    """Every query of the pass over two streams has the logits of the state just before its token became known."""
    model = network("any-order")
    tokens, order = torch.randint(0, V, (3, L)), state(2, 3)[1]
    both = torch.cat([tokens, torch.full_like(tokens, V)], 1)
    with torch.no_grad():
        queries = model(both, sight=two_streams(order))[:, L:]
        for b in range(3):
            for l in range(L):
                if order[b, l] < 0:
                    continue
                before = tokens[b].masked_fill(order[b] >= order[b, l], V)
                torch.testing.assert_close(queries[b, l], model(before[None], rank=order[b : b + 1])[0, l])


def test_a_noisy_block_of_training_sees_what_the_sampler_shows_it():
    model = network("block")
    K = model.config.block_length
    tokens, masks = torch.randint(0, V, (3, L)), torch.rand(3, L) < 0.5
    both = torch.cat([tokens, tokens.masked_fill(masks, V)], 1)
    block = torch.arange(L) // K
    with torch.no_grad():
        noisy = model(both, sight=two_copies(tokens, K))[:, L:]
        for b in range(int(block[-1]) + 1):
            now = torch.where((block == b) & masks, V, tokens).masked_fill(block > b, V)
            torch.testing.assert_close(noisy[:, block == b], model(now)[:, block == b])


def test_attention_without_a_sight_needs_none():
    tokens, _ = state(1)
    assert sight_of(ModelConfig(**SHAPE), tokens) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attention": "sideways"}, "attention must be one of bidirectional, causal, block, any-order"),
        ({"attention": "block"}, "block_length must be at least 1 with attention 'block'"),
        ({"block_length": 4}, "0 with any other, got 4 with 'bidirectional'"),
        ({"attention": "any-order", "logit_shift": True}, "'any-order' goes without logit_shift"),
        ({"attention": "block", "block_length": 2, "token_dropout": True}, "'block' goes without token_dropout"),
        ({"attention": "any-order", "conditioning": "time"}, "goes with conditioning 'none' or 'constant'"),
    ],
)
def test_what_cannot_be_kept_is_refused(change, words):
    with pytest.raises(ValueError, match=f"^ModelConfig: .*{words}"):
        ModelConfig(**(SHAPE | change))


def test_order_belongs_to_any_order():
    tokens, order = state(1)
    with pytest.raises(ValueError, match=r"^forward: rank \[B, L\] belongs to attention 'any-order'"):
        network("block")(tokens, rank=order)


def test_checkpoints_from_before_say_causal():
    plain = ModelConfig(**SHAPE)
    old = {k: v for k, v in plain.to_dict().items() if k not in ("attention", "block_length")}
    assert ModelConfig.from_dict(old | {"causal": False}) == plain
    assert ModelConfig.from_dict(old | {"causal": True}).attention == "causal"
