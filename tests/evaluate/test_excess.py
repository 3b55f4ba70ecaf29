"""Predicted and measured cost of several tokens a call: path by path against enumeration, on disjoint halves of the texts."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from helpers.command_line import run

from pymdm.cli.schedule import picture
from pymdm.evaluate.call_sizes import best_sizes, excess, uniform_sizes
from pymdm.evaluate.excess import BEST, EQUAL, SECOND, line_coefficient, measure_excess, path_log_probs
from pymdm.evaluate.schedule import Information
from pymdm.reference import laws, second_order

L, V = 4, 2
ORDERS = np.array(list(itertools.permutations(range(L))))
SEQUENCES = torch.tensor(list(itertools.product(range(V), repeat=L)))


@pytest.fixture(scope="module")
def law():
    """A joint law, its conditionals, and a network that has them by table, told nothing of the order."""
    joint = np.random.default_rng(4).dirichlet(np.full(V**L, 0.5)).reshape((V,) * L)
    mu = laws.conditionals(joint)
    logits, powers = torch.from_numpy(np.log(mu)), torch.tensor([27, 9, 3, 1])
    return joint, mu, lambda tokens: logits[tokens @ powers]


def paths(network, sizes, order, text):
    return path_log_probs(network, text, ORDERS, sizes, mask_id=V, order=order, batch_size=3)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 2), (1, 3), (4,), (1, 2, 1)])
@pytest.mark.parametrize("order", [1, 2])
def test_the_mean_over_all_orders_is_the_law(law, sizes, order):
    _, mu, network = law
    enumerated = laws.first_hitting_law(mu, None, sizes) if order == 1 else second_order.extrapolated_law(mu, sizes)
    enumerated = laws.complete(enumerated, V, L)
    found = [np.exp(paths(network, sizes, order, x)).mean() for x in SEQUENCES]
    assert found == pytest.approx(enumerated, abs=1e-12)
    assert line_coefficient(sizes) == second_order.line_coefficient(sizes)


@pytest.mark.parametrize("sizes", [(2, 2), (1, 3), (4,)])
def test_along_the_order_it_is_the_certificate_and_order_2_costs_more(law, sizes):
    """The certificate from h(m) by enumeration: texts by their probability, all sets of m known positions."""
    joint, _, network = law
    cost, curve = {1: 0.0, 2: 0.0}, np.zeros(L)
    for p, x in zip(joint.ravel(), SEQUENCES, strict=True):
        exact = paths(network, (1,) * L, 1, x)
        for order in cost:
            cost[order] += p * float((exact - paths(network, sizes, order, x)).mean())
    for m in range(L):
        for known in itertools.combinations(range(L), m):
            state = SEQUENCES.clone()
            hidden = [l for l in range(L) if l not in known]
            state[:, hidden] = V
            logs = network(state).gather(2, SEQUENCES[..., None]).squeeze(2)[:, hidden].mean(1).numpy()
            curve[m] -= float(joint.ravel() @ logs) / len(list(itertools.combinations(range(L), m)))
    assert cost[1] == pytest.approx(excess(curve, sizes), abs=1e-9)
    assert cost[2] > cost[1] if len(sizes) > 1 else cost[2] == cost[1]


def test_given_tokens_come_first(law):
    _, mu, network = law
    x, order = SEQUENCES[5], np.array([[2, 0, 3, 1]])
    found = path_log_probs(network, x, order, (1, 2), mask_id=V, given=1)
    state, expected = [V, V, int(x[2]), V], 0.0
    for call in ((0,), (3, 1)):
        row = mu[laws.state_index(state, V)]
        expected += sum(np.log(row[l, x[l]]) for l in call)
        for l in call:
            state[l] = int(x[l])
    assert found == pytest.approx([expected], abs=1e-12)


def test_a_line_cut_at_0_makes_a_text_impossible():
    """mu of the last two positions falls from 0.9 to 0.1 for token 0 once the first is known: the line is below 0 there."""
    sure = torch.tensor([0.9, 0.1]).log()

    def network(tokens):
        seen = (tokens != V).any(1)[:, None, None]
        return torch.where(seen, sure.flip(0), sure).expand(*tokens.shape, V)

    text, way = torch.zeros(L, dtype=torch.int64), np.arange(L)[None]
    assert path_log_probs(network, text, way, (2, 2), mask_id=V, order=2) == [-np.inf]
    information = Information(np.arange(L), np.ones((4, L)), L, "zeros")
    found = measure_excess(network, text.repeat(4, 1), information, [2], mask_id=V, orders=2)
    assert [m.impossible for m in found] == [0.0, 0.0, 1.0] and found[2].measured is None


def test_samples_are_compared_under_the_networks_own_bound():
    """Independent tokens: a sequence of zeros costs -L log 0.9, one of ones -L log 0.1, whatever the masks are."""
    logits = torch.tensor([0.9, 0.1], dtype=torch.float64).log()
    texts, asked = torch.zeros(4, L, dtype=torch.int64), []

    def draw(sampler):
        asked.append(sampler)
        return torch.full((3, L), sampler.order - 1)

    information = Information(np.arange(L), np.ones((4, L)), L, "zeros")
    found = measure_excess(
        lambda tokens: logits.expand(*tokens.shape, V), texts, information, [2], mask_id=V, orders=1, draw=draw
    )
    assert [(s.order, s.tokens_per_call) for s in asked[:2]] == [(1, (1,) * L), (1, (2, 2))]
    assert [s.order for s in asked] == [1, 1, 1, 2]
    assert [m.samples[0] for m in found] == pytest.approx([0.0, 0.0, L * np.log(9)])
    assert found[2].samples[1] == pytest.approx((L * np.log(9),) * 2)


def test_schedules_are_found_on_one_half_and_measured_on_the_other():
    def network(tokens):
        """Nobody may ask about the texts of zeros."""
        assert not bool((tokens == 0).any())
        return torch.zeros(*tokens.shape, V)

    texts = torch.tensor([[0] * 8, [1] * 8] * 3)
    steep, flat = np.linspace(3.0, 1.0, 8) ** 2, np.ones(8)
    information = Information(np.arange(8), np.stack([steep, flat] * 3), 8, "two kinds of text")
    found = measure_excess(network, texts, information, [2, 4], mask_id=V, orders=3, seed=1)
    assert [(m.name, len(m.sizes), m.order) for m in found] == [
        (name, k, 1 + (name == SECOND)) for k in (2, 4) for name in (EQUAL, BEST, SECOND)
    ]
    for m in found:
        assert m.sizes == (best_sizes(steep)[len(m.sizes) - 1] if m.name == BEST else uniform_sizes(8, len(m.sizes)))
        assert m.impossible == 0 and m.samples is None
        if m.order == 1:
            assert m.predicted[0] == pytest.approx(excess(steep, m.sizes)) and m.measured[0] == pytest.approx(
                0.0, abs=1e-6
            )
        else:
            assert m.predicted is None and m.measured is None
    for wrong, words in (([9], r"1\.\.8"), ([0], r"1\.\.8")):
        with pytest.raises(ValueError, match=words):
            measure_excess(network, texts, information, wrong, mask_id=V)
    with pytest.raises(ValueError, match="at least 4 texts"):
        measure_excess(network, texts[:2], information, [2], mask_id=V)


def test_the_command_line_measures(tmp_path):
    options = ["schedule", "--length", 12, "--calls", 3, "--windows", 4, "--orders", 2, "--samples", 3]
    options += ["--measure", 3, "--measure", 6]
    made = run(*options, "--png", tmp_path / "a.png")
    assert made.exit_code == 0, made.output
    assert (
        "under the network's own bound" in " ".join(made.stdout.split())
        and made.stdout.count("equal calls, order=2") == 2
    )
    found = json.loads(run(*options, "--json").stdout)
    assert found["orders"] == 2 and [m["calls"] for m in found["measured"]] == [3, 3, 3, 6, 6, 6]
    assert found["measured"][2]["predicted"] is None and found["measured"][2]["samples"]["nats"] is not None
    assert found["samples"] == 3 and found["measured"][0]["predicted"]["nats"] > 0
    for option, value, words in (
        ("--measure", 13, "takes 1..12 calls"),
        ("--windows", 3, "at least 4"),
        ("--orders", 0, "at least 1"),
        ("--samples", 1, "2 samples"),
    ):
        refused = run(*options, option, value)
        assert refused.exit_code == 2 and words in refused.stderr and refused.stderr.count("\n") == 1


def test_the_picture():
    pytest.importorskip("matplotlib")
    from helpers.pictures import faults

    from pymdm.evaluate.excess import Excess
    from pymdm.report import figure

    table = [(k, 30.0 / k, 20.0 / k) for k in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)]
    estimate = (2.0, (1.5, 2.5))
    measured = [
        Excess(name, (4,) * k, order, *((estimate, estimate) if order == 1 else (None, None)), 0.0, estimate)
        for k in (8, 16)
        for name, order in ((EQUAL, 1), (BEST, 1), (SECOND, 2))
    ]
    with figure.styled():
        assert faults(picture(table, measured)) == [] and faults(picture(table, [])) == []
