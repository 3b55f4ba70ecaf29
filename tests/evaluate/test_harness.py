"""The adapter for lm_eval: its own logic without the package, and two small local tasks where it is installed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

import pymdm
from pymdm.evaluate.harness import Harness, harness_model

MODEL = pymdm.load()
PAIRS = [("Return the name of", " the class."), ("", "A file object."), ("The value must be", " an integer")]


def split(context: str, rest: str) -> tuple[list[int], list[int]]:
    whole = list(MODEL.tokenizer.encode(context + rest))
    known = len(MODEL.tokenizer.encode(context))
    assert whole[:known] == list(MODEL.tokenizer.encode(context))
    return whole[:known], whole[known:]


@pytest.mark.parametrize("rule", ["margin", pymdm.Confidence("entropy", tokens_per_call=2)], ids=str)
def test_by_a_rule_it_is_the_rule_s_likelihood_of_the_continuation(rule):
    found = Harness(MODEL, rule).loglikelihood(PAIRS)
    for (context, rest), (nats, greedy) in zip(PAIRS, found, strict=True):
        known, scored = split(context, rest)
        exact = pymdm.log_likelihood(MODEL, [known + scored], rule=rule, given=[range(len(known))])
        assert nats == pytest.approx(-exact.nats, abs=1e-9) and exact.tokens == len(scored)
        sampler = rule if isinstance(rule, pymdm.Confidence) else pymdm.Confidence(rule)
        start = [[*known, *[MODEL.config.mask_id] * len(scored)]]
        drawn = pymdm.sample(MODEL, infill=start, seed=0, temperature=0.0, sampler=sampler).tokens[0].tolist()
        assert greedy == (drawn == known + scored)


def test_what_decoding_gives_is_greedy_and_anything_else_is_not():
    adapter = Harness(MODEL, "margin")
    answer = adapter.generate_until([("The value must be", {"max_gen_toks": 4, "until": []})])[0]
    assert answer and adapter.generate_until([("The value must be", {"max_gen_toks": 4})])[0] == answer
    known = list(MODEL.tokenizer.encode("The value must be"))
    start = [[*known, *[MODEL.config.mask_id] * 3]]
    best = (
        pymdm.sample(MODEL, infill=start, seed=0, temperature=0.0, sampler=pymdm.Confidence("margin"))
        .tokens[0]
        .tolist()
    )
    assert adapter._scored(known, best[len(known) :])[1]
    assert not adapter._scored(known, [*best[len(known) : -1], (best[-1] + 1) % 100])[1]


def test_the_bound_is_below_the_mean_over_orders_and_exact_for_one_token():
    known, scored = split(*PAIRS[0])
    one = Harness(MODEL, "bound", draws=2)._nats(known, scored[:1])
    assert one == pytest.approx(
        -pymdm.log_likelihood(MODEL, [known + scored[:1]], given=[range(len(known))]).nats, rel=1e-4
    )
    two = scored[:2]  # by hand: both masked, or one of the two, with equal chance
    row = torch.tensor([known + two])
    mask = MODEL.config.mask_id

    def cost(hidden):
        tokens = row.clone()
        tokens[0, hidden] = mask
        logits = MODEL.engine(tokens)[0].double()[:, : MODEL.tokenizer.size].log_softmax(-1)
        return -sum(float(logits[l, row[0, l]]) for l in hidden)

    n = len(known)
    exact = 0.5 * cost([n, n + 1]) + 0.5 * (2 * cost([n]) + 2 * cost([n + 1])) / 2
    costs = sorted([2 * cost([n]), 2 * cost([n + 1])])
    found = -Harness(MODEL, "bound", draws=400)._nats(known, two)
    spread = (costs[1] - costs[0]) / 2 / math.sqrt(200) / 2  # of the 200 draws with one mask, half the weight
    assert abs(found - exact) < 6 * spread + 1e-3


def test_whole_texts_are_scored_in_windows():
    adapter = Harness(MODEL, "margin")
    adapter.length = 4
    row = list(MODEL.tokenizer.encode("Return the name of the class. A file object."))
    parts = [row[i : i + 4] for i in range(0, len(row), 4)]
    expected = -sum(pymdm.log_likelihood(MODEL, [p]).nats for p in parts)
    assert adapter.loglikelihood_rolling(["Return the name of the class. A file object."])[0] == pytest.approx(expected)


def test_generation_ends_at_a_stop_string_and_reads_no_further_block():
    adapter = Harness(MODEL, block=8, seed=3)
    free = adapter.generate_until([("Return the name of", {"max_gen_toks": 16, "do_sample": True})])[0]
    stop = free[5:8]
    settings = {"max_gen_toks": 16, "do_sample": True, "until": [stop, "\0never"]}
    assert adapter.generate_until([("Return the name of", settings)])[0] == free[: free.index(stop)]
    again = adapter.generate_until([("Return the name of", settings | {"until": stop})])
    assert again == [free[: free.index(stop)]]
    assert len(MODEL.tokenizer.encode(free)) <= 17


def test_an_encoder_of_others_stands_in_its_frame(tmp_path):
    """BERT's layout with a vocabulary of residues: the frame is known, special tokens are never an answer."""
    transformers = pytest.importorskip("transformers", reason="the small encoder is transformers' BERT")
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=25, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    residues = "ACDEFGHIKLMNPQRSTVWY"
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *residues]))
    adapter = Harness(tmp_path, "margin")
    nats, _ = adapter.loglikelihood([("AC", "DEF")])[0]
    want = pymdm.log_likelihood(adapter.model, ["ACDEF"], given=[[0, 1]])
    assert nats == pytest.approx(-want.nats, abs=1e-9) and want.tokens == 3
    assert adapter.loglikelihood_rolling(["ACDEF"])[0] == pytest.approx(
        -pymdm.log_likelihood(adapter.model, ["ACDEF"]).nats
    )
    assert adapter.loglikelihood([("AC", "[UNK]")])[0] == (-math.inf, False)
    made = adapter.generate_until([("AC", {"max_gen_toks": 6, "until": ["W"], "do_sample": True})])[0]
    assert set(made) <= set(residues) - {"W"} and len(made) <= 6
    assert math.isfinite(Harness(adapter.model, "bound", draws=4).loglikelihood([("AC", "DEF")])[0][0])


def test_bad_wishes_are_refused():
    with pytest.raises(ValueError, match="has no exact likelihood"):
        Harness(MODEL, "probability")
    with pytest.raises(ValueError, match=r"a model of pymdm\.load, got function"):
        Harness(lambda tokens: torch.zeros(*tokens.shape, 4))
    config = pymdm.ModelConfig(
        vocab_size=MODEL.tokenizer.size, length=8, width=8, layers=1, heads=2, attention="causal"
    )
    causal = replace(MODEL, engine=pymdm.Engine(pymdm.MaskedTransformer(config)), config=config)
    with pytest.raises(ValueError, match=r"^harness: the likelihood of a causal network is exact without a rule"):
        Harness(causal, "margin")
    with pytest.raises(ValueError, match="the model has no tokenizer"):
        Harness(replace(MODEL, tokenizer=None))
    with pytest.raises(ValueError, match="a continuation has no tokens"):
        Harness(MODEL).loglikelihood([("a", "")])
    with pytest.raises(ValueError, match="draws, block and batch_size"):
        Harness(MODEL, draws=0)
    adapter = Harness(MODEL)
    adapter.length = 1
    with pytest.raises(ValueError, match="the model reads 1"):
        adapter.loglikelihood([("a", " file object of the class")])


def test_two_local_tasks_through_lm_eval(tmp_path):
    lm_eval = pytest.importorskip("lm_eval", reason="lm_eval is not installed")
    from lm_eval.tasks import TaskManager

    questions = [
        {"q": "Return the", "a": [" name", " zebra"], "i": 0},
        {"q": "The value must be", "a": [" an", " zzz"], "i": 0},
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(q) for q in questions))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "data.jsonl")}},
        "test_split": "test",
        "doc_to_text": "{{q}}",
    }
    choice = {
        "task": "choice",
        "output_type": "multiple_choice",
        "doc_to_choice": "{{a}}",
        "doc_to_target": "i",
    } | common
    written = {
        "task": "written",
        "output_type": "generate_until",
        "doc_to_target": "{{a[0]}}",
        "generation_kwargs": {"until": ["."], "max_gen_toks": 4},
        "metric_list": [{"metric": "exact_match"}],
    } | common
    for task in (choice, written):
        (tmp_path / f"{task['task']}.yaml").write_text(json.dumps(task))  # JSON is YAML
    found = lm_eval.simple_evaluate(
        model=harness_model(MODEL, likelihood="margin"),
        tasks=["choice", "written"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    assert found["results"]["choice"]["acc,none"] == 1.0
    assert 0 <= found["results"]["written"]["exact_match,none"] <= 1


def test_without_lm_eval_one_line_says_so(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    with pytest.raises(ValueError, match="this needs lm_eval"):
        harness_model(MODEL)
