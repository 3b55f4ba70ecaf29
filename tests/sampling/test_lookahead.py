"""Lookahead: the same tokens, order and times in fewer rounds of network calls."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers.command_line import run
from helpers.sampler_tables import L, V, draw, network, table
from scipy import stats

import pymdm

WINDOWS = (2, 3, 4, 5, 8, 13, 32, 0.7, 0.2, 1e-6, "auto")


def assert_same(a: pymdm.Samples, b: pymdm.Samples) -> None:
    for name in ("tokens", "rank", "times"):
        one, other = getattr(a.state, name), getattr(b.state, name)
        assert torch.equal(one.nan_to_num(-1.0), other.nan_to_num(-1.0)), name


def tiny_engine(**options) -> pymdm.Engine:
    torch.manual_seed(0)
    config = pymdm.ModelConfig(vocab_size=11, length=32, width=32, layers=2, heads=2, **options)
    model = pymdm.MaskedTransformer(config)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3.0)  # so that tokens depend on each other
    return pymdm.Engine(model)


@pytest.mark.parametrize("k", WINDOWS, ids=str)
class TestEveryWindow:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"temperature": 0.7},
            {"temperature": 0},
            {"top_k": 2},
            {"top_p": 0.7},
            {"banned_tokens": [1]},
            {"allowed": {0: [0, 2], 2: [1]}},
            {"batch_size": 5},
            {"time_conditioned": True},
        ],
        ids=str,
    )
    def test_tokens_order_and_times_are_those_of_the_sampler_alone(self, k, options):
        score = network(table(2))
        if "time_conditioned" in options:
            plain = score
            score = lambda tokens, times: plain(tokens) * (0.5 + times.to(torch.float64))[:, None, None]  # noqa: E731
        for make in (
            pymdm.FirstHitting,
            lambda lookahead: pymdm.FirstHitting(tokens_per_call=(1, 2), lookahead=lookahead),
            lambda lookahead: pymdm.FirstHitting(schedule="cosine", lookahead=lookahead),
            lambda lookahead: pymdm.FirstHitting(tokens_per_call=3, lookahead=lookahead),
            lambda lookahead: pymdm.Ancestral(steps=5, lookahead=lookahead),
            lambda lookahead: pymdm.Remask(steps=9, eta=0.5, lookahead=lookahead),
            lambda lookahead: pymdm.Remask(steps=40, strategy="loop", eta=0.2, lookahead=lookahead),
            lambda lookahead: pymdm.Ancestral(steps=5, cache=False, lookahead=lookahead),
        ):
            shape = dict(mask_id=V, length=L, num_samples=40, seed=2**63 + 5)
            alone = pymdm.sample(score, sampler=make(lookahead=1), **shape, **options)
            ahead = pymdm.sample(score, sampler=make(lookahead=k), **shape, **options)
            assert_same(alone, ahead)
            assert ahead.law == alone.law
            assert all(0 < r <= n for r, n in zip(ahead.nfe, alone.nfe, strict=True))

    def test_of_the_engine_whatever_the_batch_and_the_threads(self, k):
        engine, infill = tiny_engine(), torch.full((6, 24), 11)
        infill[:, 3:9] = torch.arange(6)
        for options in ({"length": 20, "num_samples": 6}, {"infill": infill}, {"length": [3, 1, 32], "infill": None}):
            if "infill" in options and options["infill"] is None:
                options = {"infill": [[11] * n for n in (3, 1, 32)]}
            alone = pymdm.sample(engine, seed=8, **options)
            threads = torch.get_num_threads()
            try:
                for count, batch_size in ((1, None), (2, 2)):
                    torch.set_num_threads(count)
                    out = pymdm.sample(
                        engine, seed=8, sampler=pymdm.FirstHitting(lookahead=k), batch_size=batch_size, **options
                    )
                    assert_same(alone, out)
            finally:
                torch.set_num_threads(threads)

    def test_of_a_run_that_was_cut(self, k):
        engine, sampler = tiny_engine(), pymdm.FirstHitting(lookahead=k)
        alone = pymdm.sample(engine, length=24, num_samples=3, seed=4)
        whole = pymdm.sample(engine, length=24, num_samples=3, seed=4, sampler=sampler)
        out = pymdm.sample(engine, length=24, num_samples=3, seed=4, sampler=sampler, max_calls=1)
        while int(out.state.remaining.sum()):
            out = pymdm.resume(engine, out.state.to_dict(), sampler=sampler, max_calls=2)
        assert_same(alone, out)
        if isinstance(k, int):  # guesses are saved; what was learned of them and of the cost is not
            assert (out.nfe, out.rows, out.calls) == (whole.nfe, whole.rows, whole.calls)


@pytest.mark.parametrize("k", [2, 5, 0.3, "auto"])
def test_of_remasking_by_the_engine_and_after_a_cut(k):
    """Copies are masked again as the run is; steps that ask nothing are passed."""
    engine = tiny_engine()
    for options in ({"steps": 40, "eta": 0.1}, {"steps": 24, "strategy": "rescale", "eta": 0.4}):
        shape = dict(infill=[[11] * n for n in (24, 3, 17)], seed=4)
        alone = pymdm.sample(engine, sampler=pymdm.Remask(**options), **shape)
        sampler = pymdm.Remask(**options, lookahead=k)
        whole = pymdm.sample(engine, sampler=sampler, **shape)
        assert_same(alone, whole)
        assert sum(whole.nfe) < sum(alone.nfe) or k == "auto"
        out, before = pymdm.sample(engine, sampler=sampler, max_calls=1, batch_size=2, **shape), 0
        while out.calls > before:
            before = out.calls
            out = pymdm.resume(engine, out.state.to_dict(), max_calls=3)
        assert_same(alone, out)


def test_a_network_that_does_not_look_makes_every_guess_right():
    """Then a round brings k tokens after the first: guesses have the noise of their own events."""
    n, logits = 23, torch.randn(7, generator=torch.Generator().manual_seed(1))
    for k in (1, 2, 3, 8, 32):
        out = pymdm.sample(
            lambda tokens: logits.expand(*tokens.shape, 7),
            mask_id=7,
            length=n,
            num_samples=5,
            seed=2,
            sampler=pymdm.FirstHitting(lookahead=k),
        )
        assert out.nfe == [1 + -(-(n - 1) // k)] * 5
        assert out.rows == 5 * n  # no copy in vain


def test_guesses_are_right_as_often_as_two_races_agree():
    """P(arg-max of p and of q agree under shared noise) = sum_v 1 / sum_w max(p_w/p_v, q_w/q_v), by enumeration."""
    length, n = 3, 20_000
    mu = np.random.default_rng(3).dirichlet(np.ones(V), size=((V + 1) ** length, length))
    powers = (V + 1) ** np.arange(length - 1, -1, -1)
    expected = 0.0
    for first, second in itertools.permutations(range(length), 2):
        empty = np.full(length, V)
        for token in range(V):
            one = empty.copy()
            one[first] = token
            p, q = mu[empty @ powers, second], mu[one @ powers, second]
            ratios = np.maximum(p[None, :] / p[:, None], q[None, :] / q[:, None])
            agree, far = (1 / ratios.sum(1)).sum(), 0.5 * np.abs(p - q).sum()
            assert agree >= (1 - far) / (1 + far)
            expected += mu[empty @ powers, first, token] * agree / 6
    logits, weights = torch.from_numpy(np.log(mu)), torch.from_numpy(powers)
    out = pymdm.sample(
        lambda tokens: logits[tokens @ weights],
        mask_id=V,
        length=length,
        num_samples=n,
        seed=5,
        sampler=pymdm.FirstHitting(lookahead=2),
    )
    hits = out.nfe.count(2)  # the guess of event 2 was right, so its copy gave event 3 in the same round
    assert hits + out.nfe.count(3) == n
    assert stats.binomtest(hits, n, expected).pvalue > 1e-7  # off by 0.02 is seen with probability 0.6


@pytest.mark.parametrize("k", [4, 0.05, 0.4])
def test_how_many_copies_are_made_does_not_depend_on_what_they_will_say(k):
    """Two networks that differ in one call only: up to it, and in it, the copies are the same."""
    mu, other = table(5), table(6)
    for call in range(1, 5):
        seen: list[list[int]] = []
        for later in (mu, other):
            sizes: list[int] = []
            first, second = network(mu), network(later)

            def score(tokens, first=first, second=second, sizes=sizes, call=call):
                sizes.append(len(tokens))
                return (first if len(sizes) <= call else second)(tokens)

            pymdm.sample(score, mask_id=V, length=L, num_samples=30, seed=9, sampler=pymdm.FirstHitting(lookahead=k))
            seen.append(sizes)
        assert seen[0][: call + 1] == seen[1][: call + 1]


def test_wrong_guesses_that_cannot_be_drawn_from_do_no_harm():
    """Contexts that the sampler alone never meets may have no distribution at all."""
    mu = table(7)
    alone = draw(pymdm.FirstHitting(), n=200, mu=mu)
    met = {
        tuple(torch.where(rank <= e, tokens, V).tolist())
        for tokens, rank in zip(alone.tokens, alone.rank, strict=True)
        for e in range(-1, L)
    }
    asked = set()
    plain = network(mu)

    def score(tokens: torch.Tensor) -> torch.Tensor:
        logits = plain(tokens).clone()
        for i, row in enumerate(tokens.tolist()):
            asked.add(tuple(row))
            if tuple(row) not in met:
                logits[i] = float("nan")
        return logits

    shape = dict(mask_id=V, length=L, num_samples=200, seed=11)
    for k in (3, 0.01):
        assert_same(alone, pymdm.sample(score, sampler=pymdm.FirstHitting(lookahead=k), **shape))
    assert asked - met  # some guess was wrong in that way

    def broken(tokens: torch.Tensor) -> torch.Tensor:
        return torch.where((tokens != V).any(-1)[:, None, None], float("nan"), plain(tokens))

    with pytest.raises(ValueError, match="nan at token 0"):
        pymdm.sample(broken, sampler=pymdm.FirstHitting(lookahead=3), **shape)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pymdm.FirstHitting(lookahead=0), r"lookahead must be in 1\.\.32, .* got 0"),
        (lambda: pymdm.FirstHitting(lookahead=33), "got 33"),
        (lambda: pymdm.FirstHitting(lookahead=1.5), "got 1.5"),
        (lambda: pymdm.FirstHitting(lookahead=True), "got True"),
        (lambda: pymdm.Ancestral(steps=3, lookahead="many"), "got 'many'"),
        (
            lambda: pymdm.FirstHitting(tokens_per_call=2, order=2, lookahead=2),
            "lookahead is for first-hitting with order",
        ),
        (lambda: pymdm.FirstHitting(noise="float32", lookahead="auto"), "exact noise"),
        (lambda: pymdm.Ancestral(steps=3, form="literal", lookahead=2), 'for form="choose-then-sample" only'),
        (lambda: pymdm.Remask(steps=3, strategy="conf", lookahead=2), 'without strategy "conf" and without a score'),
        (lambda: pymdm.Remask(steps=3, score=lambda t, x: t, lookahead="auto"), "without a score"),
    ],
)
def test_bad_windows_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_command_line_reports_rounds_and_rows():
    base = ["sample", "--length", "24", "--seed", "3"]
    alone, ahead = run(*base), run(*base, "--lookahead", "4")
    assert ahead.stdout == alone.stdout
    assert "law exact, 24 network calls" in alone.stderr
    words = ahead.stderr.split()
    rounds, rows = int(words[words.index("rounds") - 1]), int(words[words.index("sequences,") - 1])
    assert f"law exact, {rounds} rounds for 24 tokens, {rounds} network calls of {rows} sequences" in ahead.stderr
    assert rounds < 24 <= rows
    refused = run("sample", "--sampler", "confidence", "--lookahead", "2")
    assert refused.exit_code == 2
    assert "--lookahead belongs to --sampler first-hitting or ancestral or remask, got" in refused.stderr
