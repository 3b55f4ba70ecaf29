"""The audit catches planted coarse sources and passes good ones."""

import numpy as np
import pytest
import torch
from scipy import stats

from pymdm.cli.users_code import load_function
from pymdm.precision.audit import CATEGORICAL_DRAWS, LEVEL, MOVES, NOISE_DRAWS, audit_source
from pymdm.precision.sources import OURS, QUICK, SOURCES
from pymdm.precision.tables import audit_table

DRAWS = 1 << 20
RACES = ("torch.multinomial", "torch.distributions.Categorical", "F.gumbel_softmax")


def lattice(bits):
    """Uniforms k / 2^bits."""
    generator = torch.Generator().manual_seed(bits)
    return lambda n: torch.randint(0, 1 << bits, (n,), generator=generator).double() * 2.0**-bits


@pytest.mark.parametrize("kind", ["uniform", "exponential", "gumbel"])
def test_a_capped_source_is_caught_and_a_fine_one_is_not(kind):
    shapes = {"uniform": lambda u: u, "exponential": lambda u: -u.log(), "gumbel": lambda u: -(-u.log()).log()}
    coarse, fine = lattice(16), lattice(50)
    capped = audit_source(lambda n: shapes[kind](coarse(n)), kind, draws=DRAWS)
    assert capped.verdict == "capped" and capped.tail_hits == 0 and capped.p_value < 1e-6
    assert capped.cap == pytest.approx(-np.log(-np.log1p(-(2.0**-16))), rel=1e-6)
    assert capped.step_factor < 0.5 and capped.step_tv > 0.1 and capped.draw_tv > 0
    good = audit_source(lambda n: shapes[kind](fine(n)), kind, draws=DRAWS)
    assert not good.faulty and good.cap > 12.5 and good.step_factor == 1 and good.step_tv == 0
    assert good.verdict == "too few draws" and good.visible == pytest.approx(np.log(DRAWS / 15))


def test_few_draws_say_what_they_could_see():
    """A million draws of the float32 source that the command's own help names as capped say nothing of its cap."""
    few = audit_source(torch.rand, "uniform", draws=1_000_000)
    assert few.verdict == "too few draws" and not few.sound and not few.faulty
    words, *_, factor, tv, draw = audit_table([few.to_dict()]).rows[0]
    assert words == "too few draws to see a cap above 11.1" and (factor, tv, draw) == ("-", "-", "-")
    for bits in (13, 16):  # what is called visible is seen: a cap just below it leaves nothing in the tail
        draws = int(15 * 2**bits * 1.02)
        found = audit_source(lattice(bits), "uniform", draws=draws)
        assert found.verdict == "capped" and found.visible > found.cap - 1e-4
    assert np.log(NOISE_DRAWS / 15) > 16.64


def test_infinite_and_heavy_sources_are_told_apart():
    fine = lattice(50)

    def with_ones(n):
        u = fine(n)
        u[0] = 1.0
        return u

    assert audit_source(with_ones, "uniform", draws=DRAWS).verdict == "infinite"
    assert audit_source(lambda n: fine(n).sqrt().sqrt(), "uniform", draws=DRAWS).verdict == "heavy"  # the largest of 4


@pytest.mark.parametrize("kind", ["categorical", "logits"])
def test_a_categorical_with_coarse_noise_is_caught_and_a_fine_one_is_not(kind):
    def gumbel_max(u):
        return lambda x: ((x if kind == "logits" else x.log()) - (-u(x.numel()).view(x.shape).log()).log()).argmax(-1)

    capped = audit_source(gumbel_max(lattice(16)), kind, draws=1 << 24)
    assert capped.verdict == "capped" and capped.tail_hits < 6 and 23 < capped.expected_hits < 25
    assert capped.cap < 12.5 and capped.step_factor < 0.5
    good = audit_source(gumbel_max(lattice(50)), kind, draws=1 << 24)
    assert not good.faulty and good.cap is None and good.step_factor == 1 and 12 < good.visible < 13


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (kind, _) in SOURCES.items() if kind in ("categorical", "logits")])
def test_categorical_samplers_at_full_size(name):
    """An audit of this size misses float32 noise once in 20,000 and takes a right sampler for a wrong one once in 100,000."""
    kind, function = SOURCES[name]
    torch.manual_seed(0)
    found = audit_source(function, kind, name=name)
    coarse = "float32" in name
    if name in RACES:  # as fine as the exponentials that this build of torch draws
        exponential = SOURCES["torch exponential_, float32"]
        coarse = not audit_source(exponential[1], exponential[0]).sound
    assert found.verdict == ("capped" if coarse else "sound")


def test_builtin_sources_speak_the_audits_language():
    assert set(OURS) | set(QUICK) <= set(SOURCES)
    for name, (kind, function) in SOURCES.items():
        found = audit_source(function, kind, name=name, draws=1 << 16)
        assert found.name == name and found.draws > 0 and 0 <= found.p_value <= 1


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (torch.rand, "normal", "kind must be one of"),
        (lambda n: torch.rand(n + 1), "uniform", "expected .* floating point"),
        (lambda n: torch.ones(n, dtype=torch.int64), "uniform", "floating point"),
        (lambda n: torch.full((n,), float("nan")), "gumbel", "NaN"),
        (lambda n: torch.rand(n) + 0.5, "uniform", r"must be in \[0, 1\]"),
        (lambda p: p.argmax(), "categorical", "expected .* classes"),
    ],
)
def test_bad_functions(function, kind, words):
    with pytest.raises(ValueError, match=f"^precision audit: .*{words}"):
        audit_source(function, kind, draws=1 << 16)


def test_functions_by_name():
    assert load_function("torch:rand", "audit", "f(n)")(7).shape == (7,)
    for name in ("torch:nothing", "no_such_module:f", "torch", ":f"):
        with pytest.raises(ValueError, match=r"audit: .*expected module:function"):
            load_function(name, "audit", "f(n)")


def test_the_default_size_of_a_categorical_audit_shows_float32_noise():
    """K tokens share `move`; their E are multiples of d = 2^-24, and the mask has E > E_min (1 - move) K / move."""
    classes, d = 1 << 16, 2.0**-24
    rows = CATEGORICAL_DRAWS // (classes + 1)
    move = MOVES / rows
    later, beaten = (1 - d) ** classes, np.exp(-classes * d * (1 - move) / move)  # of each further multiple
    rate = (1 - later) * beaten / (1 - later * beaten)
    caught = [hits for hits in range(MOVES) if stats.binomtest(hits, rows, move).pvalue < LEVEL]
    assert stats.binom.sf(max(caught), rows, rate) < 1e-4


def test_float32_gumbel_noise_is_caught_at_the_default_size():
    """Its smallest E, 2^-24, comes as often as a right source's E below it, so the bound must lie under it."""
    largest = float(-torch.log(-torch.log(torch.tensor(1 - 2.0**-24))))
    rng = np.random.default_rng(3)

    def noise(n):
        out = torch.zeros(n)
        out[: rng.binomial(n, 2.0**-24)] = largest
        return out

    found = audit_source(noise, "gumbel")
    assert found.verdict == "capped" and found.tail_hits == 0
