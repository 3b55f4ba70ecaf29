"""Training and likelihood of networks that keep what they have seen: bounds by enumeration, and a run from end to end."""

import itertools

import numpy as np
import pytest
import torch
from helpers.engine_networks import random_network
from helpers.tiny_training import CORPUS, TINY

import pymdm
from pymdm.evaluate.streams import block_losses, evaluate_streams, order_losses
from pymdm.network.checkpoint import load_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.reference.forward import forward
from pymdm.reference.orders import order_law
from pymdm.train import Recipe, train
from pymdm.train.objective import Objective

V, L = 3, 4


def network(**kind):
    return random_network(ModelConfig(V, L, 16, 2, 2, **kind), 4)


def score_of(model):
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    with_rank = model.config.attention == "any-order"
    return lambda tokens, rank: forward(model.config, weights, tokens, rank=rank if with_rank else None)


def every():
    return torch.tensor(list(itertools.product(range(V), repeat=L)))


def test_an_order_has_one_likelihood_and_all_sequences_share_it():
    model = network(attention="any-order")
    for order in ([2, 0, 3, 1], [0, 1, 2, 3]):
        rank = torch.tensor(order).expand(V**L, L)
        assert float(order_losses(model, every(), rank).double().sum(1).neg().exp().sum()) == pytest.approx(1, abs=1e-5)
    given = torch.tensor([-1, 0, 1, -1]).expand(V**L, L)  # the first group has no loss
    p = order_losses(model, every(), given).double().sum(1).neg().exp()
    assert float(p.sum()) == pytest.approx(V**2, abs=1e-4)


def test_the_mean_over_orders_of_the_likelihood_is_the_law_of_the_sampler():
    model = network(attention="any-order")
    orders = list(itertools.permutations(range(L)))
    p = sum(order_losses(model, every(), torch.tensor(o).expand(V**L, L)).double().sum(1).neg().exp() for o in orders)
    law = order_law(score_of(model), V, L).ravel()
    assert np.abs((p / len(orders)).numpy() - law).max() < 1e-5


def test_block_losses_give_the_bound_of_every_block():
    """By enumeration: of the masks of each block, against the conditionals that the sampler uses."""
    model = network(attention="block", block_length=2)
    score, tokens = score_of(model), torch.tensor([[2, 0, 1, 1]])
    x = tokens.numpy()[0]
    for masks in itertools.product([False, True], repeat=L):
        losses = block_losses(model, tokens, torch.tensor([masks]))[0]
        for l in range(L):
            state = np.where(np.array(masks) & (np.arange(L) // 2 == l // 2), V, x)
            state[(l // 2 + 1) * 2 :] = V
            logits = score(state[None], None)[0, l]
            want = np.log(np.exp(logits).sum()) - logits[x[l]] if masks[l] else 0.0
            assert float(losses[l]) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("kind", [{"attention": "any-order"}, {"attention": "block", "block_length": 3}])
def test_the_bound_and_the_loss_of_training_estimate_one_number(kind):
    """Many passes of `evaluate`, and many draws of the objective, against the enumerated bound: within 5 standard errors."""
    model = network(**kind)
    text = torch.tensor([[2, 0, 1, 1]])
    if kind["attention"] == "any-order":
        values = [float(order_losses(model, text, torch.tensor([o])).sum()) for o in itertools.permutations(range(L))]
        want = float(np.mean(values))
    else:
        want = 0.0
        for block in ([0, 1, 2], [3]):
            for n in range(1, len(block) + 1):
                for masked in itertools.combinations(block, n):
                    masks = torch.zeros(1, L, dtype=torch.bool)
                    masks[0, list(masked)] = True
                    subsets = len(list(itertools.combinations(block, n)))
                    want += float(block_losses(model, text, masks).sum()) / n / subsets
    bound = evaluate_streams(model, [text.expand(50, L)], samples=60, characters=200)
    assert abs(bound.nats / 50 - want) < 5 * bound.std_error / 50
    assert bound.bits.interval[0] < bound.bits.value < bound.bits.interval[1]
    rows = 4000
    objective = Objective(kind["attention"], block_length=kind.get("block_length", 0), draw="low-discrepancy")
    noise = objective.noise(rows, L, np.random.default_rng(2))
    tokens, masks = text.expand(rows, L), torch.from_numpy(noise.masks)
    inputs, sight = objective.inputs(tokens, masks, V), objective.sight(tokens, noise)
    with torch.no_grad():
        nll = -model(inputs, sight=sight)[:, L:].log_softmax(-1).gather(-1, tokens[..., None])[..., 0].double().numpy()
    told = noise.bound_weights if noise.bound_weights.ndim == 2 else noise.bound_weights[:, None]
    values = L * (np.where(noise.masks, nll, 0) * told).sum(1)
    own = values[values > 0]  # rows with a given group are not told
    assert abs(values.mean() - want) < 5 * own.std() / np.sqrt(len(own))
    assert len(own) == (3000 if kind["attention"] == "any-order" else rows)


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 8])
def test_a_quarter_of_the_rows_begin_with_a_given_group_whatever_the_batch(rows):
    """Their mean over steps, and that of the number told, within 5 standard errors; no batch is further off than it must be."""
    steps, rng = 4000, np.random.default_rng(5)
    drawn = [Objective("any-order").noise(rows, L, rng) for _ in range(steps)]
    groups = np.array([(noise.rank < 0).any(1).sum() for noise in drawn])
    told = np.array([L * noise.bound_weights.sum() / rows for noise in drawn])
    assert np.abs(groups - rows / 4).max() < 1
    for values, want in ((groups, rows / 4), (told, 1.0)):
        assert abs(values.mean() - want) <= 5 * values.std() / np.sqrt(steps) + 1e-12


@pytest.mark.parametrize(("objective", "options"), [("any-order", {}), ("block", {"block_length": 4})])
def test_trained_networks_are_evaluated_and_sampled(objective, options, tmp_path):
    recipe = Recipe(**TINY, steps=12, eval_every=0, save_every=6, accumulate=2, objective=objective, **options)
    train(recipe, tmp_path / "m", corpus=CORPUS)
    checkpoint = load_checkpoint(tmp_path / "m")
    assert checkpoint.config.attention == objective and checkpoint.config.block_length == options.get("block_length", 0)
    held_out = checkpoint.training["held_out"]
    assert held_out["interval95"][0] < held_out["bits_per_char"] < held_out["interval95"][1]
    out = pymdm.sample(tmp_path / "m", prompt="mask", num_samples=2, seed=1)
    assert out.law == "exact" and all(text.startswith("mask") for text in out.text)


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    recipe = Recipe(**TINY, steps=8, eval_every=0, save_every=4, objective="any-order")
    train(recipe, tmp_path / "whole", corpus=CORPUS)

    class Stop(Exception):
        pass

    def stop(report):
        if report.event == "saved":
            raise Stop

    with pytest.raises(Stop):
        train(recipe, tmp_path / "cut", corpus=CORPUS, on_progress=stop)
    train(recipe, tmp_path / "cut", corpus=CORPUS, resume=True)
    whole, cut = (load_checkpoint(tmp_path / name).state_dict for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "block"}, r"block_length must be in 1\.\.length with the block objective"),
        ({"objective": "count", "block_length": 4}, "and 0 with any other; got 4 with count"),
        ({"objective": "any-order", "conditioning": "time"}, "the any-order objective has no time to condition on"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(options, words):
    with pytest.raises(ValueError, match=f"^train: .*{words}"):
        Recipe(**(TINY | {"steps": 1} | options))
    with pytest.raises(ValueError, match=r"^order_losses: needs attention 'any-order'"):
        order_losses(network(), every()[:1], torch.zeros(1, L, dtype=torch.int64))
