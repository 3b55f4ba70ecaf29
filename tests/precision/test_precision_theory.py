"""The closed forms of coarse noise against independent numerics: high precision, integration, enumeration, the paper."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate

from pymdm.precision.caps import CAPS, FORMS, cap_of_bits, enumerate_form
from pymdm.precision.predictions import file_predictions, softmax
from pymdm.precision.theory import (
    ancestral_run,
    draw_effect,
    effective_temperature,
    entropy,
    first_step,
    step_effect,
    total_variation,
    zipf,
)
from pymdm.reference.truncated import truncated_law


def by_formula(pi, cap, digits=80):
    """Proposition 5.2 as the paper prints it, in high precision: positive classes only, ascending."""
    with mpmath.workdps(digits):
        p = [mpmath.mpf(float(x)) for x in pi]
        total, K, c = mpmath.fsum(p), len(p), mpmath.exp(-mpmath.mpf(cap))
        p = [x / total for x in p]
        tail = [mpmath.mpf(0)] * (K + 1)
        for i in reversed(range(K)):
            tail[i] = tail[i + 1] + p[i]
        law, beta = [], mpmath.mpf(0)
        for i in range(K):
            first = mpmath.exp((K - i - tail[i] / p[i]) * c)
            second = mpmath.exp((K - i - tail[i] / p[i - 1]) * c) if i else mpmath.mpf(0)
            beta += (first - second) / tail[i]
            law.append(float(p[i] * beta))
    return np.array(law)


def by_integration(pi, cap):
    """P(n) = integral over t of the density of T_n at t times prod_k P(T_k > t), with T_k = (c + Exp(1)) / pi_k."""
    pi = np.asarray(pi) / np.sum(pi)
    c, positive = np.exp(-cap), pi[pi > 0]
    starts = c / positive  # where the integrand has kinks; between them it falls at a rate of at most 1
    ends = np.unique(np.concatenate([starts + d for d in (0, 0.01, 0.1, 1, 5, 60)]))

    def winner(n):
        def density(t):
            return pi[n] * np.exp(-np.sum(np.maximum(0.0, positive * t - c)))

        spans = [(a, b) for a, b in pairwise(ends) if a >= c / pi[n] - 1e-15]
        return sum(integrate.quad(density, a, b, epsabs=1e-14)[0] for a, b in spans)

    return np.array([winner(n) if pi[n] else 0.0 for n in range(len(pi))])


def test_the_papers_check_value():
    law = truncated_law([0.02, 0.08, 0.3, 0.6], 1.0)
    assert law == pytest.approx([9e-10, 0.00272, 0.22983, 0.76746], rel=6e-3)
    assert law == pytest.approx(by_formula([0.02, 0.08, 0.3, 0.6], 1.0), rel=1e-12)


@pytest.mark.parametrize("cap", [-0.5, 1.0, 5.5, 16.6355, 36.7])
@pytest.mark.parametrize("pi", [[1, 1, 1], [0, 3, 0, 1], [0.1, 0.1, 0.4, 0.4], [1e-6, 1, 1e-3, 0], [5]])
def test_closed_form_against_integration_with_ties_and_zeros(pi, cap):
    law = truncated_law(pi, cap)
    assert law == pytest.approx(by_integration(pi, cap), abs=1e-9)
    assert law.sum() == pytest.approx(1, abs=1e-12)
    assert np.all(law[np.asarray(pi) == 0] == 0)
    for a, b in ((i, j) for i in range(len(pi)) for j in range(i) if pi[i] == pi[j]):
        assert law[a] == pytest.approx(law[b], rel=1e-12)


@pytest.mark.parametrize("cap", [8.0, CAPS["float32"]])
def test_closed_form_against_high_precision_for_an_ancestral_step(cap):
    pi = np.sort(np.append(zipf(3000) / 4096, 1 - 1 / 4096))
    assert truncated_law(pi, cap) == pytest.approx(by_formula(pi, cap), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("vocab", [1000, 300_000])
def test_many_equal_tokens_and_a_mask_by_hand(vocab):
    """With all tokens alike, they start at c V / r and the mask at c / (1 - r): P(move) = r exp(-(1 - r) (difference))."""
    move = 1e-3
    for cap in (12.0, CAPS["float32"]):
        start = np.exp(-cap) * (vocab / move - 1 / (1 - move))
        factor = step_effect(np.ones(vocab), move, cap).factor
        assert factor == pytest.approx(np.exp(-(1 - move) * start), rel=1e-9)


def test_stable_at_three_hundred_thousand_classes():
    law = truncated_law(np.append(zipf(300_000) * 1e-4, 1 - 1e-4), CAPS["float32"])
    assert np.isfinite(law).all() and (law >= 0).all() and law.sum() == pytest.approx(1, abs=1e-9)
    assert np.all(np.diff(law[:-1]) <= 0)  # never turns an order round
    assert total_variation(truncated_law(zipf(300_000), 60.0), zipf(300_000)) < 1e-12


def test_the_papers_figures_for_a_zipf_prediction():
    mu, round_ = zipf(50_257), lambda e: (round(e.factor, 2), round(e.tv, 2))
    assert [round_(e) for e in first_step(mu, [2048, 10_000], cap_of_bits(24))] == [(0.58, 0.35), (0.44, 0.47)]
    assert [round_(e) for e in first_step(mu, [2048, 10_000], cap_of_bits(31))] == [(0.96, 0.03), (0.86, 0.11)]
    assert [round_(e) for e in first_step(mu, [2048, 10_000], cap_of_bits(53))] == [(1, 0), (1, 0)]
    assert draw_effect(mu, cap_of_bits(24)).tv == pytest.approx(2e-3, rel=0.25)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_claimed_caps_by_enumeration(form):
    found = enumerate_form(form)
    assert found.agrees and found.gap == pytest.approx(2.0**-form.bits, rel=1e-9)
    assert found.whole == (form.integers <= 24)


def test_a_wrong_cap_is_found():
    from dataclasses import replace

    assert not enumerate_form(replace(FORMS[0], bits=9)).agrees
    rounded = replace(FORMS[0], integers=9, make=lambda k: k.to(torch.bfloat16) * 2.0**-9)  # the top rounds to 1
    assert enumerate_form(rounded).ones > 0


def test_effective_temperature():
    mu = zipf(100)
    for temperature in (0.5, 0.9, 1.3):
        tempered = mu ** (1 / temperature)
        assert effective_temperature(tempered / tempered.sum(), mu) == pytest.approx(temperature, rel=1e-9)
    assert np.isnan(effective_temperature([0.7, 0.3], [0.5, 0.5]))  # no temperature changes a flat law
    effect = draw_effect(mu, 5.5)
    assert effect.entropy_change < 0 and effect.temperature < 1 and 0 < effect.tv < 1


@pytest.mark.parametrize("cap", [6.0, 9.0])
def test_a_whole_run_against_its_chain(cap):
    """By the definition: one step after the other, no interpolation."""
    mu, steps = zipf(300), 200
    masks, law = 1.0, np.zeros(300)
    half = None
    for i in range(steps):
        r = 1 / (steps - i)
        one = truncated_law(np.append(mu * r, 1 - r), cap)
        law += masks * one[:-1]
        masks *= one[-1]
        if i == steps // 2 - 1:
            half = masks
    run = ancestral_run(mu, steps, cap)
    assert total_variation(run.law, law) < 1e-3 and run.masks[steps // 2] == pytest.approx(half, abs=1e-3)
    assert half > 0.51 and entropy(run.law) < entropy(mu) and run.masks[-1] < 1e-12
    exact = ancestral_run(mu, 40, cap, points=64)  # no more steps than points
    assert exact.law.sum() == pytest.approx(1) and ancestral_run(mu, 1, cap).law == pytest.approx(
        truncated_law(mu, cap)
    )


def test_logits_from_files(tmp_path):
    from safetensors.torch import save_file

    logits = torch.randn(3, 5, 7)
    np.save(tmp_path / "a.npy", logits.numpy())
    save_file({"logits": logits.bfloat16(), "x": torch.zeros(1)}, tmp_path / "a.safetensors")
    torch.save(logits, tmp_path / "a.pt")
    want = softmax(logits.reshape(15, 7).numpy())
    assert file_predictions(tmp_path / "a.npy") == pytest.approx(want)
    assert file_predictions(tmp_path / "a.pt") == pytest.approx(want)
    assert file_predictions(tmp_path / "a.safetensors") == pytest.approx(want, abs=0.01)
    assert file_predictions(tmp_path / "a.npy", rows=4).shape == (4, 7)


def test_bad_files_of_logits(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "integers.npy", np.arange(6).reshape(2, 3))
    np.save(tmp_path / "nan.npy", np.array([[np.nan, 0.0]]))
    torch.save({"weights": torch.nn.Linear(2, 2)}, tmp_path / "pickled.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08")
    (tmp_path / "a.txt").write_text("1 2")
    for name in ("objects.npy", "integers.npy", "nan.npy", "pickled.pt", "cut.safetensors", "a.txt", "missing.npy"):
        with pytest.raises(ValueError, match=r"^precision: ") as error:
            file_predictions(tmp_path / name)
        assert "\n" not in str(error.value)
