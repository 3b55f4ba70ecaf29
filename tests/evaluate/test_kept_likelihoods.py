"""Likelihoods, rules, certificates and the harness's numbers of networks that keep what they have seen: by enumeration.

Chi-square tests use alpha 1e-7 each and fixed seeds (3 of them); means of draws are held to 6 standard errors.
"""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from helpers.command_line import run
from helpers.engine_networks import KEPT, random_network, sharp_network
from helpers.tiny_training import CORPUS, TINY
from scipy import stats

import pymdm
from pymdm.evaluate import compare as comparing
from pymdm.evaluate.autoregressive import causal_losses
from pymdm.evaluate.bound import evaluate_bound
from pymdm.evaluate.call_sizes import excess
from pymdm.evaluate.excess import measure_excess, path_log_probs
from pymdm.evaluate.harness import Harness
from pymdm.evaluate.judges import load_judge
from pymdm.evaluate.schedule import measure_information
from pymdm.evaluate.streams import block_losses, order_losses
from pymdm.network.checkpoint import load_checkpoint
from pymdm.network.engine import Engine
from pymdm.network.loading import model_of
from pymdm.train import Recipe, train

V, L, ALPHA = 3, 4, 1e-7
EVERY = torch.tensor(list(product(range(V), repeat=L)))
ORDERS = np.array(list(permutations(range(L))))


def network(kind: str, seed: int = 7):
    return sharp_network(kind, V, L, seed)


def along(model, text: torch.Tensor, order: np.ndarray, given: int = 0) -> np.ndarray:
    """-log mu of the token at each place in an order [L]; 0 at those that are given."""
    rank = torch.from_numpy(np.maximum(np.argsort(order) - given, -1))
    return order_losses(model, text[None], rank[None])[0].numpy()[order]


def curve_of(model, text: torch.Tensor, given: int = 0) -> np.ndarray:
    """h(m) of a text: the mean over orders of the cost of the token that comes after m others, m >= given."""
    return np.mean([along(model, text, order, given) for order in ORDERS], axis=0)


def fits(tokens: torch.Tensor, law: np.ndarray) -> float:
    index = np.ravel_multi_index(tuple(tokens.numpy().T), (V,) * L)
    counts = np.bincount(index, minlength=law.size)
    kept = law * len(tokens) >= 5
    observed, wanted = (np.append(a[kept], a[~kept].sum()) for a in (counts, law * len(tokens)))
    observed, wanted = (a[: len(a) - (wanted[-1] == 0)] for a in (observed, wanted))
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


# ---- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["margin", "entropy", pymdm.Confidence("margin", tokens_per_call=2)], ids=str)
@pytest.mark.parametrize("kind", ["any-order", "block"])
def test_the_likelihood_under_a_rule_sums_to_one_and_is_the_samplers(kind, rule):
    engine = Engine(network(kind))
    found = pymdm.log_likelihood(engine, EVERY.tolist(), rule=rule)
    assert np.exp(-found.by_sequence).sum() == pytest.approx(1, abs=1e-5)
    sampler = pymdm.Confidence(rule) if isinstance(rule, str) else rule
    out, compared = pymdm.sample(engine, num_samples=200, length=L, seed=3, sampler=sampler), 0
    for sample in out:
        text = int(np.ravel_multi_index(tuple(sample.tokens.tolist()), (V,) * L))
        if torch.equal(sample.rank, found.rank[text]):  # the lots among equals are each sequence's own
            assert float(sample.log_prob.sum()) == pytest.approx(-found.by_sequence[text], abs=1e-9)
            compared += 1
    assert compared >= 20
    if kind == "block":
        assert all(bool((r // 2 == torch.arange(L) // 2).all()) for r in found.rank)


@pytest.mark.parametrize("rule", ["margin", "entropy"])
def test_a_rule_tells_an_any_order_network_its_own_order(rule):
    """The likelihood is that of the rule's order, of one pass over both streams; not that of tokens given together."""
    model = network("any-order")
    found = pymdm.log_likelihood(Engine(model), EVERY.tolist(), rule=rule)
    losses = order_losses(model, EVERY, torch.stack(found.rank))
    torch.testing.assert_close(-torch.stack(found.log_prob).float(), losses, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        together = []
        for text, rank in zip(EVERY, found.rank, strict=True):
            for r in range(L):
                state = text.masked_fill(rank >= r, V)
                law = model(state[None])[0].log_softmax(-1)
                together.append(float(law[(rank == r).nonzero()[0, 0], text[rank == r][0]]))
    assert np.abs(np.array(together).reshape(-1, L).sum(1) + found.by_sequence).max() > 0.1


def test_rules_say_what_they_do_not_go_with():
    with pytest.raises(
        ValueError, match=r"^log_likelihood: the likelihood of a causal network is exact without a rule"
    ):
        pymdm.log_likelihood(Engine(network("causal")), EVERY[:1].tolist())
    with pytest.raises(ValueError, match=r"block_length must divide 2"):
        pymdm.log_likelihood(
            Engine(network("block")), EVERY[:1].tolist(), rule=pymdm.Confidence("margin", block_length=3)
        )
    with pytest.raises(ValueError, match=r"^sample: the mask of this network is 3, got mask_id=7"):
        pymdm.log_likelihood(Engine(network("block")), EVERY[:1].tolist(), mask_id=7)


# ---- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [0, 2])
def test_the_curve_of_an_any_order_network_is_the_enumerated_one(given):
    """And not the curve of tokens that are given together, which a network that is not told the order would measure."""
    model, text = network("any-order"), torch.tensor([[2, 0, 1, 1]])
    runs = [measure_information(Engine(model), text, mask_id=V, orders=2, seed=s, given=given) for s in range(100)]
    assert runs[0].known.tolist() == list(range(given, L)) and runs[0].given == given
    values = np.array([r.costs[0] for r in runs])
    error = values.std(axis=0, ddof=1) / len(values) ** 0.5 + 1e-6
    assert bool((np.abs(values.mean(axis=0) - curve_of(model, text[0], given)[given:]) < 6 * error).all())
    rank = np.random.default_rng([9, 17]).permutation(L)  # the order of one run, by hand
    (costs,) = measure_information(Engine(model), text, mask_id=V, seed=9, given=given).costs
    for told, right in ((np.maximum(rank - given, -1), True), (np.full(L, -1), False)):
        with torch.no_grad():
            laws = [
                model(text.masked_fill(torch.from_numpy(rank >= m), V), rank=torch.from_numpy(told)[None])[
                    0
                ].log_softmax(-1)
                for m in range(given, L)
            ]
        by_hand = [
            -float(law.gather(1, text[0, :, None])[torch.from_numpy(rank >= m)].mean())
            for m, law in enumerate(laws, given)
        ]
        assert (np.abs(np.array(by_hand) - costs).max() < 1e-4) == right


def test_the_law_along_an_order_is_that_of_the_sampler():
    """One token a call: that of the pass over both streams. Two, of order 1 and 2: by chi-square, 20,000 samples each."""
    model = network("any-order")
    engine = Engine(model)
    for text in EVERY[::17]:
        alone = path_log_probs(engine, text, ORDERS, (1,) * L, mask_id=V)
        assert alone == pytest.approx([-along(model, text, order).sum() for order in ORDERS], abs=1e-4)
        after = path_log_probs(engine, text, ORDERS, (1, 1), mask_id=V, given=2)
        assert after == pytest.approx([-along(model, text, order, 2).sum() for order in ORDERS], abs=1e-4)
    laws = {
        order: np.array(
            [np.exp(path_log_probs(engine, text, ORDERS, (2, 2), mask_id=V, order=order)).mean() for text in EVERY]
        )
        for order in (1, 2)
    }
    for order, law in laws.items():
        assert law.sum() == pytest.approx(1, abs=1e-5)
        sampler = pymdm.FirstHitting(tokens_per_call=2, order=order)
        out = pymdm.sample(engine, num_samples=20_000, length=L, seed=5, sampler=sampler)
        assert out.law == "approximate" and fits(out.tokens, law) > ALPHA
    assert fits(out.tokens, laws[1]) < ALPHA


def test_a_schedule_is_predicted_measured_and_run():
    """Prediction and measurement of one text are sums over the same orders: equal where all orders are taken."""
    model = network("any-order")
    engine, texts = Engine(model), EVERY[[5, 40, 40, 77, 13, 62]]
    information = measure_information(engine, texts, mask_id=V, orders=30, seed=1)
    plan = pymdm.schedule(engine, texts=texts, calls=2)
    assert sum(plan.sizes) == L and pymdm.sample(engine, length=L, sampler=pymdm.FirstHitting(plan)).nfe == [2]
    behind = pymdm.schedule(engine, texts=texts, calls=1, given=2)
    assert behind.sizes == (2,) and behind.given == 2
    with pytest.raises(ValueError, match=r"^schedule: this curve is for 0 given tokens, got given 1"):
        pymdm.schedule(information=information, calls=1, given=1)
    for text in texts[:2]:
        curve = curve_of(model, text)
        cost = path_log_probs(engine, text, ORDERS, (1,) * L, mask_id=V) - path_log_probs(
            engine, text, ORDERS, (1, 3), mask_id=V
        )
        assert cost.mean() == pytest.approx(excess(curve, (1, 3)), abs=1e-4)

    def draw(sampler):
        return pymdm.sample(engine, num_samples=8, length=L, sampler=sampler, seed=2).tokens

    rows = measure_excess(engine, texts, information, [2], mask_id=V, orders=4, draw=draw)
    assert [r.name for r in rows] == ["equal calls", "best calls", "equal calls, order=2"]
    assert all(np.isfinite(r.samples[0]) for r in rows) and rows[0].measured is not None


@pytest.mark.parametrize(
    ("kind", "words"),
    [("causal", "a causal network draws one token a call"), ("block", "a token's cost depends on its block too")],
)
def test_networks_without_a_certificate_are_refused(kind, words):
    engine = Engine(network(kind))
    with pytest.raises(ValueError, match=f"^schedule: .*{words}"):
        pymdm.schedule(engine, texts=EVERY[:4], calls=2)
    with pytest.raises(ValueError, match=f"^schedule: .*{words}"):
        measure_information(network(kind), EVERY[:4], mask_id=V)
    with pytest.raises(ValueError, match=f"^evaluate_bound: masks anywhere are not what .* {kind!r} samples from; use"):
        evaluate_bound(engine, [EVERY[:2]], V)


def test_the_bound_of_an_any_order_network_is_the_mean_over_orders():
    """Through the engine, masks drawn at random: what `evaluate_streams` gives too."""
    model, text = network("any-order"), torch.tensor([[2, 0, 1, 1]])
    bound = evaluate_bound(Engine(model), [text.expand(60, L)], V, samples=40)
    assert abs(bound.nats / 60 - curve_of(model, text[0]).sum()) < 6 * bound.std_error / 60


def test_certificates_are_not_given_to_blocks():
    information = measure_information(Engine(network("any-order")), EVERY[:4], mask_id=V)
    engine = Engine(network("any-order"))
    plain = pymdm.sample(engine, length=L, seed=1, sampler=pymdm.FirstHitting(2))
    blocks = pymdm.sample(engine, length=L, seed=1, sampler=pymdm.FirstHitting(2, block_length=2))
    assert comparing.certificate(plain, information) == pytest.approx(excess(information.curve(), (2, 2)))
    assert comparing.certificate(blocks, information) is None
    behind = measure_information(engine, EVERY[:4], mask_id=V, given=1)
    assert comparing.certificate(plain, behind) is None


# ---- a harness's likelihoods, and comparisons ----------------------------------------------------------------------


@pytest.fixture(scope="module", params=KEPT)
def model(request, tmp_path_factory):
    """A model with a tokenizer, its weights random and large."""
    objective = {"causal": "autoregressive"}.get(request.param, request.param)
    blocks = {"block_length": 3} if objective == "block" else {}
    folder = tmp_path_factory.mktemp("m") / objective
    train(Recipe(**TINY, steps=1, eval_every=0, objective=objective, **blocks), folder, corpus=CORPUS)
    checkpoint = load_checkpoint(folder)
    weights = random_network(replace(checkpoint.config, tied_head=False), 3).state_dict()
    return model_of(replace(checkpoint, config=replace(checkpoint.config, tied_head=False), state_dict=weights))


def test_the_harness_gives_the_bound_of_the_law_that_is_sampled(model):
    """Of a continuation of three tokens after five: enumerated over orders, or over masks in each block."""
    known, scored = model.tokenizer.encode("maske"), model.tokenizer.encode("d t")
    network, row = model.checkpoint.build(), torch.tensor([[*known, *scored]])
    c = model.config
    if c.causal:
        want = float(causal_losses(network, row)[0, 5:].sum())
    elif c.attention == "any-order":
        ranks = [[-1] * 5 + list(order) for order in permutations(range(3))]
        want = float(np.mean([float(order_losses(network, row, torch.tensor([r])).sum()) for r in ranks]))
    else:  # blocks of 3: position 5 alone in the second, 6 and 7 in the third
        want = 0.0
        for masked, weight in (([5], 1.0), ([6, 7], 0.5), ([6], 0.5), ([7], 0.5)):
            masks = torch.zeros(1, 8, dtype=torch.bool)
            masks[0, masked] = True
            want += weight * float(block_losses(network, row, masks).sum())
    found = [-Harness(model, draws=16, seed=s)._nats(known, scored) for s in range(30)]
    error = np.std(found, ddof=1) / len(found) ** 0.5
    assert abs(np.mean(found) - want) < 6 * error + 1e-4
    assert (error < 1e-9) == c.causal


def test_the_harness_generates_and_compares_greedily(model):
    adapter = Harness(model, draws=2, block=4)
    ((nats, greedy),) = adapter.loglikelihood([("masked", " tok")])
    assert nats < 0 and greedy in (True, False)
    (text,) = adapter.generate_until([("masked", {"max_gen_toks": 6, "until": []})])
    again = pymdm.sample(model, prompt="masked", length=10, temperature=0.0, seed=0, sequence_ids=[0])
    assert text.startswith(model.tokenizer.decode(again.tokens[0, 6:].tolist()))


def test_the_default_samplers_of_a_comparison_are_those_that_go(model):
    judge = load_judge("ngram:2", "some text")
    found = pymdm.compare(model, judges=[judge], rounds=2, num_samples=2, length=6)
    want = {
        "causal": ["first-hitting"],
        "block": ["first-hitting", "first-hitting:order=2", "confidence:margin"],
        "any-order": ["first-hitting", "first-hitting:order=2", "confidence:margin"],
    }
    assert [r.name for r in found.results] == want[model.config.attention]
    with pytest.raises(ValueError, match=r"^sample: a network of attention .* is sampled by"):
        pymdm.compare(model, ["first-hitting", "ancestral"], judges=[judge], rounds=2, num_samples=2, length=6)


def test_the_command_line_says_what_a_checkpoint_does_not_have(tmp_path):
    for objective, words in (("autoregressive", "is exact without a rule"), ("block", "")):
        folder = tmp_path / objective
        blocks = {"block_length": 4} if objective == "block" else {}
        train(Recipe(**TINY, steps=1, eval_every=0, objective=objective, **blocks), folder, corpus=CORPUS)
        (tmp_path / "text.txt").write_text("masked tokens fill in one by one.\n")
        made = run("evaluate", folder, "--text", tmp_path / "text.txt", "--rule", "margin")
        assert made.exit_code == (2 if words else 0) and words in made.stderr, made.output
        made = run("schedule", folder, "--text", tmp_path / "text.txt")
        assert made.exit_code == 2 and made.stderr.count("\n") == 1 and "schedule: " in made.stderr
