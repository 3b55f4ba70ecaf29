"""The batch reference equals the one-sequence reference, passes every check, and planted faults do not."""

import numpy as np
import pytest
import torch
from helpers.planted import FAULTS
from helpers.small_models import draw_models, models, prompts
from hypothesis import given, settings
from hypothesis import strategies as st

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.check_samplers import first_hitting as check_first_hitting
from pymdm.prove.checks import CHECKS, suite
from pymdm.prove.distance import total_variation
from pymdm.prove.faults import catch_all
from pymdm.prove.plan import Plan, root_seed
from pymdm.prove.run import model_verdicts, prove
from pymdm.prove.tables import TableModel, random_model
from pymdm.reference import laws
from pymdm.reference.ancestral import ancestral
from pymdm.reference.first_hitting import first_hitting
from pymdm.reference.remask import remask, strategy_grid

BATCH = BatchReference()
SLOW = {"literal precision"}  # checks whose rows are wide
QUICK = [f for f in FAULTS.values() if f.check not in SLOW]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data())
def test_batch_equals_single_sequences(data):
    model = data.draw(models())
    prompt = data.draw(st.none() | prompts(model))
    k, temperature = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1.0, 0.6, 0.0]))
    ids = np.array([0, 1, 2**32, 2**56 - 1], dtype=np.uint64)
    common = dict(prompt=prompt, temperature=temperature, schedule="linear")
    batch = BATCH.first_hitting(model, 4, 9, sequences=ids, tokens_per_call=k, **common)
    grid = {f: BATCH.ancestral(model, 4, 9, sequences=ids, form=f, **common) for f in ("literal", "choose-then-sample")}
    single = dict(mask_id=model.mask_id, seed=9, prompt=prompt, temperature=temperature)
    for i, sequence in enumerate(ids):
        one = first_hitting(model, model.length, sequence=int(sequence), tokens_per_call=k, **single)
        assert np.array_equal(one.tokens, batch.tokens[i]) and np.array_equal(one.order, batch.order[i])
        assert np.allclose(one.times, batch.times[i], rtol=1e-12)
        for form, result in grid.items():
            one = ancestral(model, model.length, sequence=int(sequence), steps=4, form=form, **single)
            assert np.array_equal(one.tokens, result.tokens[i])


@pytest.mark.parametrize("strategy", ["conf", "loop"])
def test_batch_remasking_equals_single_sequences(strategy):
    model, ids = suite()["path"], np.array([0, 1, 2**32, 2**56 - 1], dtype=np.uint64)
    options = dict(steps=6, strategy=strategy, eta=0.8)
    levels, sigma = strategy_grid(strategy, 6, 0.8)
    prompt = np.array([2, 1, 2])
    batch = BATCH.remask(model, 4, 9, sequences=ids, prompt=prompt, temperature=0.7, **options)
    for i, sequence in enumerate(ids):
        one = remask(
            model, 3, mask_id=2, seed=9, sequence=int(sequence), levels=levels, sigma=sigma, confident=strategy == "conf",
            prompt=prompt, temperature=0.7,
        )  # fmt: skip
        assert np.array_equal(one.tokens, batch.tokens[i])


def test_prompts_of_different_sizes_in_one_batch():
    model = suite()["five"]
    prompt = np.array([[5, 5, 5], [1, 5, 5], [5, 2, 0], [3, 3, 3]])
    together = BATCH.first_hitting(model, 4, 3, prompt=prompt)
    for i in range(4):
        alone = BATCH.first_hitting(model, 1, 3, sequences=[i], prompt=prompt[i])
        assert np.array_equal(together.tokens[i], alone.tokens[0])
    assert np.isnan(together.times[3]).all() and (together.order[1] >= 0).sum() == 2


def test_table_model_speaks_torch_and_numpy():
    model = suite()["consistent"]
    tokens = laws.all_states(3, 3)[[0, 5, 17, 63]]
    out = model(torch.from_numpy(tokens))
    assert out.dtype == torch.float64 and out.shape == (4, 3, 3) and np.array_equal(out.numpy(), model(tokens))
    assert np.array_equal(model.rows(tokens, np.array([0, 1, 2, 0])), model(tokens)[np.arange(4), [0, 1, 2, 0]])
    wide = TableModel("wide", model.mu, mask_column=True)
    assert wide(tokens).shape == (4, 3, 4) and np.array_equal(wide(tokens)[..., :3], model(tokens))
    known = tokens < 3
    softmax = np.exp(model(tokens)) / np.exp(model(tokens)).sum(-1, keepdims=True)
    assert not np.allclose(softmax[known], model.mu[laws.state_index(tokens, 3)][known])  # garbage where known


def test_drawn_models_cover_what_they_should():
    drawn = draw_models(50, root_seed())
    assert len({m.name for m in drawn}) == 50 and all(m.sequences <= 4096 and m.length >= 3 for m in drawn)
    assert {m.vocab_size for m in drawn} == {2, 3, 4, 5}
    assert sum(m.mu.min() < 1e-3 for m in drawn) > 10
    assert {m.name.split()[0] for m in drawn} == {"consistent", "inconsistent"}
    assert [m.name for m in draw_models(50, root_seed())] == [m.name for m in drawn]
    assert 1 <= sum(m.sequences > 1024 for m in drawn) <= 5 and max(m.sequences for m in drawn) > 2000


def test_reference_passes_the_fast_subset():
    proof = prove(BATCH, fast=True, models=draw_models(6, root_seed()))
    assert proof.passed, [v.line() for v in proof.plan.verdicts if not v.passed]
    assert len(proof.plan.verdicts) > 100


def test_faults_are_caught():
    results = catch_all(Plan(tests=1000, seed=root_seed()), QUICK)
    assert len(results) >= 70
    assert all(r.caught for r in results), [r.fault.name for r in results if not r.caught]


def test_the_registry_is_large_and_bound_to_checks():
    assert len(FAULTS) >= 30 and all(f.check in CHECKS for f in FAULTS.values())


@pytest.mark.slow
def test_wide_faults_are_caught():
    wide = [f for f in FAULTS.values() if f.check in SLOW]
    results = catch_all(Plan(tests=1000, seed=root_seed()), wide)
    assert results and all(r.caught for r in results), results


@pytest.mark.slow
def test_reference_passes_the_whole_proof():
    proof = prove(BATCH, models=draw_models(3, root_seed()), faults=[], progress=lambda line: print(line, flush=True))
    assert proof.passed, [v.line() for v in proof.plan.verdicts if not v.passed]


def test_long_orders_are_tested_pair_by_pair():
    model = random_model(2, 9, "inconsistent", np.random.default_rng(0))
    verdicts = check_first_hitting(BATCH, model, 6000, root_seed(), 1e-9, wanted=("order", "times"))
    assert all(v.p_value > 1e-9 for v in verdicts) and len(verdicts) == 3
    broken = FAULTS["last mask never chosen"].make()
    assert check_first_hitting(broken, model, 6000, 1, 1e-9, wanted=("order",))[0].p_value < 1e-9


def test_distance_is_the_enumerated_one():
    model = suite()["inconsistent"]
    exact, approximate = (laws.first_hitting_law(model.mu, tokens_per_call=k) for k in (1, 2))

    def draw(ids):
        return BATCH.first_hitting(model, len(ids), 5, sequences=ids, tokens_per_call=2).tokens

    measured = total_variation(draw, model, 60_000)
    assert abs(measured.tv - 0.5 * np.abs(exact - approximate).sum()) < 6 * measured.error


def test_a_fault_fails_the_random_models_too():
    broken = FAULTS["greedy last step"].make()
    model = draw_models(1, 3)[0]
    plan = Plan(tests=100, seed=root_seed())
    assert min(v.p_value for v in model_verdicts(broken, model, plan, 8192)) < plan.level
