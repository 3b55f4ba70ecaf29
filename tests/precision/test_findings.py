"""The findings' tests keep their promise at the sizes used, see what is there, and their captions say what the data say."""

import numpy as np
import pytest
from scipy.stats import binom

from pymdm.precision import findings as module
from pymdm.precision.experiment import NOISES, Run
from pymdm.precision.findings import ALPHA, findings, permutation
from pymdm.precision.report import replay_caption
from pymdm.precision.tables import would_show
from pymdm.prove.plan import root_seed


def runs(samples, rng, *, fall=0.0, steps=(64, 512, 2048)):
    """Runs whose entropies are of one skewed law; capped noise at the largest N is lower by `fall`."""

    def run(sampler, noise, n=0):
        lower = fall * (sampler == "ancestral" and noise != "float64" and n == steps[-1])
        return Run(sampler, noise, n, list(3.7 - 0.2 * rng.exponential(size=samples) - lower), {})

    return [run("first-hitting", k) for k in ("exact", *NOISES)] + [
        run("ancestral", k, n) for n in steps for k in NOISES
    ]


@pytest.mark.parametrize("samples", [4, 12])
def test_runs_of_one_law_get_a_no_as_rarely_as_promised(samples, monkeypatch):
    """Three standard errors gave 27% at 4 sequences a run and 8% at 12, where 4% was promised."""
    monkeypatch.setattr(module, "SHUFFLES", 999)
    rng = np.random.default_rng(root_seed())
    false = sum(any(f.verdict == "NO" for f in findings(runs(samples, rng)) if not f.fall) for _ in range(100))
    assert false <= binom.isf(1e-6, 100, ALPHA) and binom.isf(1e-6, 100, ALPHA) < binom.ppf(0.999, 100, 0.27)


def test_a_fall_is_seen_and_one_that_is_not_says_which_size_would():
    rng = np.random.default_rng(root_seed() + 1)
    falls = [f for f in findings(runs(24, rng, fall=0.5)) if f.fall]
    assert len(falls) == 2 and {f.verdict for f in falls} == {"yes"}
    few = findings(runs(6, rng, fall=0.05))
    result = {"findings": [f.to_dict() for f in few], "preset": {"samples": 6}}
    unclear = [f for f in few if f.fall and f.verdict == "unclear"]
    assert unclear and "--samples" in would_show(result)
    needed = min(f.gaps[-1].needed for f in unclear)
    assert needed > 6 and f"--samples {needed:,} would show" in would_show(result)
    result["findings"] = [f.to_dict() for f in falls]
    assert would_show(result) == ""


def test_the_size_that_would_show_a_difference_shows_it():
    """Of two normal groups of that size, the permutation test at the level rejects about nine times of ten."""
    rng = np.random.default_rng(root_seed() + 2)
    found = module._judged(
        [module.Finding("", "entropy", "", False, [module._gap("", *groups(rng, 20, 0.5))] * 10)], 20
    )
    gap, level = found[0].gaps[0], found[0].level
    n, effect = gap.needed, max(abs(gap.difference), gap.error)
    caught = sum(permutation(*groups(rng, n, effect)) <= level for _ in range(40))
    assert level == pytest.approx(0.004) and binom.ppf(1e-4, 40, 0.85) <= caught


def groups(rng, n, effect):
    return tuple((rng.normal(loc=mean, size=n), np.ones(n)) for mean in (0.0, -effect))


def test_permutation_is_exact_for_a_few():
    one, other = (np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4)), (np.array([5.0, 6.0, 7.0, 8.0]), np.ones(4))
    assert permutation(one, other) == pytest.approx(2 / 70, abs=0.005)  # of 70 ways to share, the two most apart
    assert permutation((np.ones(3), np.ones(3)), (np.ones(3), np.ones(3))) == 1


def test_the_replay_says_what_its_panels_show():
    exact = {"name": "exact", "tokens": [1, 2, 3, 4], "times": [0.9, 0.7, 0.6, 0.1]}
    same = replay_caption({"steps": 64, "panels": [exact, dict(exact, name="capped")]})
    assert same.endswith("Both are the same: here the cap did not show.") and "late" not in same
    late = replay_caption({"steps": 64, "panels": [exact, {"tokens": [1, 2, 9, 9], "times": [0.6, 0.4, 0.3, 0.1]}]})
    assert "25% of the tokens of the first and 75% of those of the second" in late and "2 of 4 tokens" in late
