"""The certificate of several tokens a call, proved by enumeration, and the schedules that follow from it."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from helpers import published
from helpers.command_line import run
from tokenizers import Tokenizer, models, pre_tokenizers

import pymdm
from pymdm.evaluate.call_sizes import best_sizes, excess, uniform_sizes
from pymdm.evaluate.schedule import Information, falling, measure_information
from pymdm.reference import laws


def exact_curve(joint: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """h(m): mean over x ~ joint, sets of m known positions and masked positions of -log mu, by enumeration."""
    length, v = joint.ndim, joint.shape[0]
    curve = np.zeros(length)
    for m in range(length):
        sets = list(itertools.combinations(range(length), m))
        for known in sets:
            for x in itertools.product(range(v), repeat=length):
                state = [x[l] if l in known else v for l in range(length)]
                costs = [-np.log(mu[laws.state_index(state, v), l, x[l]]) for l in range(length) if l not in known]
                curve[m] += joint[x] * np.mean(costs) / len(sets)
    return curve


def enumerated_kl(joint: np.ndarray, mu: np.ndarray, sizes: tuple[int, ...]) -> float:
    """Mean over orders of KL(joint || law of the scheduled sampler along that order)."""
    length, v = joint.ndim, joint.shape[0]
    total, orders = 0.0, list(itertools.permutations(range(length)))
    for order in orders:
        for x in itertools.product(range(v), repeat=length):
            state, at, log_q = [v] * length, 0, 0.0
            for size in sizes:
                call = order[at : at + size]
                row = mu[laws.state_index(state, v)]
                log_q += sum(np.log(row[l, x[l]]) for l in call)
                for l in call:
                    state[l] = x[l]
                at += size
            total += joint[x] * (np.log(joint[x]) - log_q) / len(orders)
    return total


@pytest.fixture(scope="module")
def law():
    joint = np.random.default_rng(4).dirichlet(np.full(16, 0.5)).reshape((2,) * 4)
    mu = laws.conditionals(joint)
    return joint, mu, exact_curve(joint, mu)


@pytest.mark.parametrize("sizes", [(4,), (1, 3), (2, 2), (3, 1), (1, 1, 2), (1, 1, 1, 1)])
def test_the_certificate_is_the_divergence(law, sizes):
    joint, mu, curve = law
    assert excess(curve, sizes) == pytest.approx(enumerated_kl(joint, mu, sizes), abs=1e-9)


def test_the_best_schedule_is_the_best_of_all():
    rng = np.random.default_rng(5)
    for _ in range(20):
        curve = np.sort(rng.random(9))[::-1]
        given = int(rng.integers(0, 4))
        free = 9 - given
        every = best_sizes(curve, given)
        assert len(every) == free
        for calls, sizes in enumerate(every, 1):
            assert len(sizes) == calls and sum(sizes) == free
            cuts = itertools.combinations(range(1, free), calls - 1)
            all_sizes = [np.diff([0, *cut, free]).tolist() for cut in cuts]
            least = min(excess(curve, s, given) for s in all_sizes)
            assert excess(curve, sizes, given) == pytest.approx(least, abs=1e-12)
            assert excess(curve, sizes, given) <= excess(curve, uniform_sizes(free, calls), given) + 1e-12


def test_the_fewest_calls_for_a_budget():
    curve = np.array([3.0, 2.0, 1.5, 1.2, 1.1, 1.05])
    information = Information(np.arange(6), np.stack([curve, curve]), 6, "a curve")
    costs = [excess(curve, s) for s in best_sizes(curve)]
    for budget in (0.0, 0.1, 0.5, 1.0, 9.0):
        found = pymdm.schedule(information=information, nats=budget)
        assert found.calls == next(k for k, c in enumerate(costs, 1) if c <= budget + 1e-9)
        assert found.excess_nats <= budget + 1e-9
    assert pymdm.schedule(information=information, share=1.0).sizes == (6,)
    assert pymdm.schedule(information=information, calls=6).law == "exact"
    half = pymdm.schedule(information=information, calls=2, given=2)
    assert sum(half.sizes) == 4 and half.interval95 == pytest.approx((half.excess_nats,) * 2)


def test_the_measured_curve_is_the_enumerated_one(law):
    joint, mu, curve = law
    flat = joint.ravel()
    x = np.random.default_rng(1).choice(len(flat), size=3000, p=flat)
    texts = torch.from_numpy(np.stack(np.unravel_index(x, joint.shape), -1)).long()
    logits, powers = torch.from_numpy(np.log(mu)), torch.tensor([27, 9, 3, 1])
    found = measure_information(lambda tokens: logits[tokens @ powers], texts, mask_id=2, seed=2)
    assert found.known.tolist() == [0, 1, 2, 3]
    error = found.costs.std(axis=0, ddof=1) / len(texts) ** 0.5
    assert bool((np.abs(found.costs.mean(axis=0) - curve) < 6 * error).all())
    low, high = found.interval((2, 2))
    assert low < high and low - (high - low) < excess(curve, (2, 2)) < high + (high - low)


def test_a_curve_is_made_to_fall():
    values = np.random.default_rng(0).normal(size=30).cumsum()
    found = falling(values)
    assert bool((np.diff(found) <= 1e-12).all()) and found.sum() == pytest.approx(values.sum())
    assert falling(np.array([3.0, 2.0, 2.0])).tolist() == [3.0, 2.0, 2.0]


def test_the_schedule_is_run_and_its_certificate_carried(law):
    _, mu, curve = law
    information = Information(np.arange(4), np.stack([curve, curve]), 4, "a law")
    plan = pymdm.schedule(information=information, calls=2)
    logits, powers = torch.from_numpy(np.log(mu)), torch.tensor([27, 9, 3, 1])
    out = pymdm.sample(
        lambda tokens: logits[tokens @ powers],
        mask_id=2,
        length=4,
        num_samples=3,
        seed=1,
        sampler=pymdm.FirstHitting(tokens_per_call=plan),
    )
    assert out.nfe == [2] * 3
    nats = f"{plan.excess_nats:.2f}"
    assert out.law == f"approximate, {nats} nats from the exact law a sequence (95% {nats} to {nats}, on a law)"
    same = pymdm.sample(
        lambda tokens: logits[tokens @ powers],
        mask_id=2,
        length=4,
        num_samples=3,
        seed=1,
        sampler=pymdm.FirstHitting(tokens_per_call=plan.sizes),
    )
    assert torch.equal(out.tokens, same.tokens)
    assert pymdm.CallSchedule.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_certificate_is_of_the_sequences_it_was_made_for():
    """Other lengths and other shares of given tokens have another cost, and blocks another order."""
    plan = pymdm.CallSchedule((1, 3), 0.5, (0.4, 0.6), 0.7, 1, "a law")
    sampler = pymdm.FirstHitting(tokens_per_call=plan)
    options = dict(mask_id=2, seed=1, sampler=sampler)
    net = lambda tokens: torch.zeros(*tokens.shape, 2)  # noqa: E731
    assert "0.50 nats" in pymdm.sample(net, infill=[[0, 2, 2, 2, 2], [2, 2, 1, 2, 2]], **options).law
    for wrong, words in (
        ({"length": 4}, "for sequences with 1 tokens given, got one with 0"),
        ({"infill": [[0, 2, 2, 2]]}, "for 4 tokens, got a sequence of 3 to draw"),
        (
            {"infill": [[0, 1, 2, 2, 2, 2]]},
            "for sequences with 1 tokens given, got one with 2; make one with given=2, or",
        ),
    ):
        with pytest.raises(ValueError, match=f"^sample: the call schedule is {words}"):
            pymdm.sample(net, **wrong, **options)
    assert pymdm.sample(net, length=4, mask_id=2, sampler=pymdm.FirstHitting(plan.sizes)).law == "approximate"
    assert pymdm.FirstHitting(plan, block_length=2).law == "approximate"


def test_a_published_checkpoint_on_a_text(tmp_path):
    """LLaDA's layout with a tokenizer of words: a schedule of calls, samplers side by side, and what is missing in one line."""
    folder = published.write(tmp_path / "m", published.LLADA, published.llada(3, published.LLADA))
    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(44)}, "w0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "a.txt").write_text(" ".join(f"w{i * i % 44}" for i in range(400)))
    text = ("--text", tmp_path / "a.txt", "--length", 8, "--windows", 4)
    missing = run("schedule", folder, *text)
    assert missing.exit_code == 2 and "has no tokenizer" in missing.stderr and missing.stderr.count("\n") == 1
    inner.save(str(folder / "tokenizer.json"))
    made = run("schedule", folder, *text, "--calls", 3, "--out", tmp_path / "calls.json")
    assert made.exit_code == 0, made.output
    drawn = run("sample", folder, "--length", 8, "--call-schedule", tmp_path / "calls.json", "--seed", 1)
    assert drawn.exit_code == 0 and "on a.txt" in drawn.stderr and "3 network calls" in drawn.stderr
    texts = torch.arange(32).view(4, 8)
    same = pymdm.schedule(pymdm.load(folder), texts=texts, calls=3)
    assert sum(same) == 8 and same.calls == 3
    with pytest.raises(ValueError, match="needs texts and mask_id"):
        pymdm.schedule(pymdm.load(folder), calls=3)
    beside = run("compare", folder, *text, "--rounds", 2, "--samples", 2, "--sampler", "first-hitting", "--json")
    assert beside.exit_code == 0, beside.output
    row = json.loads(beside.stdout)["samplers"][0]
    assert row["certificate_nats"] >= 0 and row["rounds"] == 2
    for command in ("schedule", "compare"):
        untold = run(command, folder)
        assert untold.exit_code == 2 and "does not say what it was trained on; give a text" in untold.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give one of calls, nats and share"),
        ({"calls": 2, "nats": 1.0}, "give one of calls, nats and share"),
        ({"calls": 0}, r"calls must be in 1\.\.4, got 0"),
        ({"calls": 5}, r"calls must be in 1\.\.4, got 5"),
        ({"nats": -1.0}, "budget must be at least 0"),
        ({"calls": 1, "given": 4}, r"given must be in 0\.\.3"),
    ],
)
def test_bad_wishes_are_refused(options, words):
    information = Information(np.arange(4), np.ones((2, 4)), 4, "a law")
    with pytest.raises(ValueError, match=words):
        pymdm.schedule(information=information, **options)


def test_a_callable_needs_texts():
    with pytest.raises(ValueError, match="needs texts and mask_id"):
        pymdm.schedule(lambda tokens: torch.zeros(*tokens.shape, 2), calls=2)


def test_the_command_line_finds_and_samples_a_schedule(tmp_path):
    file, picture = tmp_path / "calls.json", tmp_path / "calls.png"
    made = run("schedule", "--length", "24", "--calls", "6", "--windows", "4", "--out", file, "--png", picture)
    assert made.exit_code == 0, made.output
    assert "tokens a call:" in made.stdout and picture.stat().st_size > 1000
    saved = json.loads(file.read_text())
    assert sum(saved["tokens_per_call"]) == 24 and saved["calls"] == 6
    assert saved["excess_nats"] <= saved["uniform_nats"]
    drawn = run("sample", "--length", "24", "--call-schedule", file, "--seed", "1")
    assert drawn.exit_code == 0 and "6 network calls" in drawn.stderr and "nats from the exact law" in drawn.stderr
    wrong = run("sample", "--length", "12", "--call-schedule", file)
    assert wrong.exit_code == 2 and "the call schedule is for 24 tokens, got a sequence of 12" in wrong.stderr
    bad = run("sample", "--length", "24", "--call-schedule", picture)
    assert bad.exit_code == 2 and "cannot read" in bad.stderr
