"""Exact likelihoods under deterministic rules, and the log-probabilities that every result carries."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from helpers.command_line import run
from helpers.sampler_tables import SAMPLERS, SCORED, L, V, chi_square, draw, network, table
from scipy import stats

import pymdm
from pymdm.data.folder_tokenizer import read_tokenizer
from pymdm.reference.laws import state_index

EVERY = list(itertools.product(range(V), repeat=L))


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("margin", {}),
        ("entropy", {}),
        (pymdm.Confidence("margin", tokens_per_call=2), {}),
        (pymdm.Confidence("entropy", block_length=2), {}),
        (pymdm.Confidence("entropy", bound=0.7), {}),
        (pymdm.Confidence("entropy", bound=1.2, block_length=3), {"temperature": 0.8}),
        ("margin", {"temperature": 0.7}),
        ("entropy", {"top_k": 2}),
    ],
    ids=str,
)
def test_the_sum_over_all_sequences_is_one_and_the_sampler_follows_it(rule, options):
    mu = table(8)
    found = pymdm.log_likelihood(network(mu), EVERY, rule=rule, mask_id=V, **options)
    law = np.exp(-found.by_sequence)
    assert abs(law.sum() - 1) < 1e-9
    assert found.tokens == L * len(EVERY)
    sampler = pymdm.Confidence(rule) if isinstance(rule, str) else rule
    n = 20_000
    out = draw(sampler, n=n, mu=mu, **options)
    whole = np.zeros((V + 1) ** L)
    whole[state_index(np.array(EVERY), V)] = law
    assert chi_square(out, whole) > 1e-7  # power: a law off by TV 0.02 is rejected with probability above 0.5
    for i in range(20):  # what a sample says of itself
        text = tuple(out.tokens[i].tolist())
        assert float(out.log_prob[i].sum()) == pytest.approx(-found.by_sequence[EVERY.index(text)], abs=1e-12)
        assert torch.equal(out.rank[i], found.rank[EVERY.index(text)])


@pytest.mark.parametrize(
    "name", ["margin,tokens_per_call=2", "entropy,bound=0.7", "entropy,block_length=2,threshold=-0.3"]
)
def test_a_rule_by_its_name_and_options(name):
    rule, _, options = name.partition(",")
    made = pymdm.Confidence(
        rule, **{k: float(v) if "." in v else int(v) for k, v in (o.split("=") for o in options.split(","))}
    )
    one, other = (pymdm.log_likelihood(network(table(8)), EVERY[:9], rule=r, mask_id=V) for r in (name, made))
    assert one.rule == made and one.by_sequence.tolist() == other.by_sequence.tolist()


def test_given_tokens_are_not_scored():
    mu = table(9)
    texts = [(0, *rest) for rest in itertools.product(range(V), repeat=L - 1)]
    found = pymdm.log_likelihood(network(mu), texts, mask_id=V, given=[[0]] * len(texts))
    assert abs(np.exp(-found.by_sequence).sum() - 1) < 1e-9
    assert bool(found.log_prob[0].isnan()[0]) and int(found.rank[0][0]) == -1 and found.tokens == (L - 1) * len(texts)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("probability", "has no exact likelihood: it looks at the probability of the token it has drawn"),
        ("maskgit_plus", "has no exact likelihood: it looks at the probability of the token it has drawn"),
        (pymdm.Confidence("maskgit_plus", tokens_per_call=2), "so the order depends on the draw"),
        ("random", "its order is random"),
        (pymdm.FirstHitting(), "FirstHitting has no exact likelihood of a text"),
        (pymdm.Remask(steps=4), "tokens are drawn again"),
        ("best", "rule must be one of margin, entropy, got 'best'"),
        ("probability,threshold=0.9", "has no exact likelihood"),
        ("margin,steps=3", "options of confidence are rule"),
    ],
    ids=str,
)
def test_rules_without_an_exact_likelihood_are_refused_with_the_reason(rule, words):
    with pytest.raises(ValueError, match=words):
        pymdm.log_likelihood(network(table()), [[0] * L], rule=rule, mask_id=V)


def test_bad_texts_are_refused():
    with pytest.raises(ValueError, match="text 1 holds the mask"):
        pymdm.log_likelihood(network(table()), [[0] * L, [V] * L], mask_id=V)
    with pytest.raises(ValueError, match="text 0 has no tokens"):
        pymdm.log_likelihood(network(table()), [[]], mask_id=V)
    with pytest.raises(ValueError, match="mask_id is needed"):
        pymdm.log_likelihood(network(table()), [[0] * L])


@pytest.mark.parametrize("sampler", [*SAMPLERS, *SCORED], ids=str)
def test_every_result_carries_log_probabilities(sampler):
    """Of tokens drawn one by one or together, given what was there before: recomputed from the table."""
    mu = table(4)
    out = draw(sampler, n=30, mu=mu)
    known = "corrector" not in repr(sampler) or "corrector=False" in repr(sampler)
    if not known or "float32" in repr(sampler):
        assert bool(out.log_prob.isnan().all())
        return
    assert not bool(out.log_prob.isnan().any()) and bool((out.log_prob <= 0).all())
    if not isinstance(sampler, pymdm.FirstHitting) or sampler.counts() != [1]:
        return
    for tokens, rank, found in zip(out.tokens.numpy(), out.rank.numpy(), out.log_prob.numpy(), strict=True):
        for l in range(L):
            before = np.where(rank < rank[l], tokens, V)
            assert found[l] == pytest.approx(np.log(mu[state_index(before, V), l, tokens[l]]), abs=1e-12)


def test_the_log_probability_is_of_the_law_that_was_run():
    mu = table(4)
    for options in ({"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.6}, {"banned_tokens": [1]}):
        out = draw(pymdm.FirstHitting(), n=30, mu=mu, **options)
        for tokens, rank, found in zip(out.tokens.numpy(), out.rank.numpy(), out.log_prob.numpy(), strict=True):
            for l in range(L):
                p = mu[state_index(np.where(rank < rank[l], tokens, V), V), l]
                p = p ** (1 / options.get("temperature", 1.0))
                if "banned_tokens" in options:
                    p = p * (np.arange(V) != 1)
                kept = np.argsort(-p)[: options.get("top_k", V)]
                if "top_p" in options:
                    shares = np.cumsum(p[kept]) / p.sum()
                    kept = kept[: int(np.argmax(shares >= options["top_p"])) + 1]
                assert found[l] == pytest.approx(np.log(p[tokens[l]] / p[kept].sum()), abs=1e-12)


def test_given_and_masked_positions_have_none_and_a_stop_keeps_them():
    infill = [[V, 1, V, V]]
    half = pymdm.sample(network(table()), mask_id=V, infill=infill, seed=1, max_calls=1)
    assert int(half.log_prob.isnan().sum()) == 3
    rest = pymdm.resume(network(table()), half.state.to_dict())
    whole = pymdm.sample(network(table()), mask_id=V, infill=infill, seed=1)
    assert torch.equal(rest.log_prob.nan_to_num(9), whole.log_prob.nan_to_num(9))
    assert whole[0].log_prob.isnan().tolist() == [False, True, False, False]


def test_an_encoder_s_frame_is_given_and_its_special_tokens_have_no_part(tmp_path):
    """The law of what `sample` draws, through both doors: all pairs of residues in the hole sum to 1."""
    transformers = pytest.importorskip("transformers", reason="the small encoder is transformers' BERT")
    residues = "ACDEFGHIKL"
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=15, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    network = transformers.BertForMaskedLM(config)
    network.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *residues]))
    words = read_tokenizer(tmp_path)
    texts = [f"A{x}{y}C" for x in residues for y in residues]
    given = [[0, 3]] * len(texts)
    native = pymdm.log_likelihood(pymdm.load(tmp_path), texts, rule="entropy", given=given)
    door = pymdm.log_likelihood(network.train(), texts, rule="entropy", given=given, tokenizer=words, mask_id=4)
    assert abs(np.exp(-native.by_sequence).sum() - 1) < 1e-6 and network.training
    assert np.allclose(native.by_sequence, door.by_sequence, atol=1e-5)
    assert native.rank[0].tolist() == [-1, -1, *native.rank[0][2:4].tolist(), -1, -1]
    out = pymdm.sample(pymdm.load(tmp_path), infill="A[MASK:2]C", num_samples=20, sampler=pymdm.Confidence("entropy"))
    framed = pymdm.log_likelihood(
        pymdm.load(tmp_path), list(out.tokens), rule="entropy", given=[[1, 4]] * 20, seed=out.seed
    )
    assert framed.by_sequence == pytest.approx(-out.log_prob.nansum(1).numpy(), abs=1e-9)
    free = pymdm.log_likelihood(pymdm.load(tmp_path), texts, given=given, special_tokens=True)
    assert np.exp(-free.by_sequence).sum() < 0.99
    never = pymdm.log_likelihood(pymdm.load(tmp_path), ["A[UNK]C"])
    assert never.nats == np.inf


def test_allowed_sets_bans_and_shifted_logits_are_part_of_the_law():
    mu = table(8)
    options = dict(mask_id=V, banned_tokens=[1], allowed={2: [0]})
    found = pymdm.log_likelihood(network(mu), EVERY, **options)
    law = np.exp(-found.by_sequence)
    assert abs(law.sum() - 1) < 1e-9
    assert all((p > 0) == (1 not in x and x[2] == 0) for p, x in zip(law, EVERY, strict=True))
    plain = network(mu)
    rolled = lambda tokens: plain(tokens)[:, [0, 0, 1, 2]]  # noqa: E731
    shifted = pymdm.log_likelihood(plain, EVERY, mask_id=V, logit_shift=True)
    assert np.allclose(shifted.by_sequence, pymdm.log_likelihood(rolled, EVERY, mask_id=V).by_sequence)


def test_first_hitting_paths_have_the_probability_they_say():
    """Mean of exp(log_prob) over orders is the law: importance weights 1 / P(path) sum to the number of sequences."""
    mu, n = table(6), 20_000
    out = draw(pymdm.FirstHitting(), n=n, mu=mu)
    weights = np.exp(-out.log_prob.sum(1).numpy())  # E[1 / P(x | order)] = V^L
    error = weights.std(ddof=1) / n**0.5
    assert abs(weights.mean() - V**L) < 6 * error and stats.norm.sf(6) < 1e-8


def test_the_command_line_prints_step_maps(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Return the name of the class.\n")
    result = run("evaluate", "--text", text, "--rule", "entropy", "--windows", "1", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["likelihood"]
    assert (found["kind"], found["rule"]) == ("exact", "entropy")
    (steps,), (log_prob,) = found["step_maps"], found["log_prob"]
    assert sorted(steps) == list(range(found["tokens"]))
    assert -sum(log_prob) == pytest.approx(found["nats_per_token"] * found["tokens"], rel=1e-9)
    model = pymdm.load()
    same = pymdm.log_likelihood(model, ["Return the name of the class.\n"], rule="entropy")
    assert same.nats == pytest.approx(-sum(log_prob), rel=1e-6)
    words = run("evaluate", "--text", text, "--rule", "entropy,tokens_per_call=2", "--windows", "1")
    assert "exact, entropy,tokens_per_call=2" in " ".join(words.stdout.split())
    refused = run("evaluate", "--text", text, "--rule", "random")
    assert refused.exit_code == 2 and "its order is random" in refused.stderr
