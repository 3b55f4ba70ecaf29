"""The front door, `import pymdm`: a value of another type ends in one line that begins with the operation; every result shows
itself in a line or two."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import pymdm
from pymdm.train import Corpus

V = 4


def uniform(tokens):
    return torch.zeros(*tokens.shape, V)


def state():
    return pymdm.sample(uniform, mask_id=V, length=4, num_samples=2, seed=1)


WRONG = {
    # of files and models
    "load: path must be": lambda: pymdm.load(5),
    "load: path must be a folder, a file or the id of a model, got list": lambda: pymdm.load(["a"]),
    "sample: model must be a loaded model": lambda: pymdm.sample(None),
    "MaskedTransformer: config must be a ModelConfig, got dict": lambda: pymdm.MaskedTransformer({"width": 4}),
    "ModelConfig: width": lambda: pymdm.ModelConfig(vocab_size=4, length=4, width="8", layers=1, heads=1),
    "engine: source must be": lambda: pymdm.Engine(5),
    "tokenizer: path must be": lambda: pymdm.Tokenizer.load(5),
    "tokenizer: texts must be a sequence of strings, got str": lambda: pymdm.Tokenizer.train("abc", "char"),
    "tokenizer: texts must be a sequence of strings, got int": lambda: pymdm.Tokenizer.train(5, "char"),
    "encode: a text must be a string, got int": lambda: pymdm.Tokenizer.train(["abc"], "char").encode(5),
    "tokenizer: expected a pymdm.Tokenizer": lambda: pymdm.sample(uniform, tokenizer=5, mask_id=V, length=4),
    # of samples
    "sample: a saved state is a dict, got int": lambda: pymdm.resume(uniform, 5),
    "sample: path must be a path, got 5": lambda: pymdm.Samples.load(5),
    "sample: path must be a path, got NoneType": lambda: state().save(None),
    "sample: nothing.safetensors does not hold samples": lambda: pymdm.Samples.load("nothing.safetensors"),
    "sample: cannot write /nothing/x": lambda: state().save("/nothing/x"),
    "sample: temperature must be a number": lambda: pymdm.SampleOptions(temperature="warm"),
    "sample: steps must be an integer": lambda: pymdm.Ancestral("8"),
    "sample: schedule must be a name": lambda: pymdm.FirstHitting(schedule=5),
    "schedule: expected linear, cosine": lambda: pymdm.Schedule(5),
    "choose: logits must be": lambda: pymdm.choose([1.0], seed=1, sequence=0, event=0),
    "random: n must be an integer": lambda: pymdm.random.bits("3", seed=1),
    "sequence_ids_of_rank: count must be": lambda: pymdm.sequence_ids_of_rank("3"),
    # of training
    "train: source must be a path, got 5": lambda: pymdm.train(5),
    "train: out must be a path, got 5": lambda: pymdm.train(out=5, steps=1),
    "train: steps must be an integer, got '3'": lambda: pymdm.train(steps="3"),
    "train: steps must be an integer, got 3.5": lambda: pymdm.train(steps=3.5),
    "train: minutes must be a number, got list": lambda: pymdm.train(minutes=[1]),
    "train: lr must be a number, got 'fast'": lambda: pymdm.train(steps=1, lr="fast"),
    "train: vocab must be a string, got 5": lambda: pymdm.train(steps=1, vocab=5),
    "train: tied_head must be True or False, got 1": lambda: pymdm.train(steps=1, tied_head=1),
    "train: weights must be a sequence, got 1.0": lambda: pymdm.train(steps=1, weights=1.0),
    "train: preset must be one of": lambda: pymdm.train(preset=5),
    "train: resume must be True or False, got 'yes'": lambda: pymdm.train(out="m", resume="yes"),
    "train: on_progress must be a function, got 5": lambda: pymdm.train(steps=1, on_progress=5),
    # of evaluation
    "evaluate: model must be a checkpoint folder": lambda: pymdm.evaluate(5),
    "evaluate: model must be a checkpoint folder or a loaded model, got function": lambda: pymdm.evaluate(uniform),
    "evaluate: text must be a path, got list": lambda: pymdm.evaluate(text=["a text"]),
    "evaluate: draws must be an integer, got 1.5": lambda: pymdm.evaluate(draws=1.5),
    "evaluate: windows must be an integer, got 'all'": lambda: pymdm.evaluate(windows="all"),
    "evaluate: full must be True or False, got 1": lambda: pymdm.evaluate(full=1),
    "evaluate: samples must be an integer, got '2'": lambda: pymdm.evaluate(samples="2"),
    "evaluate: temperatures must be a sequence, got 0.5": lambda: pymdm.evaluate(samples=2, temperatures=0.5),
    "evaluate: nfes must be a sequence, got 8": lambda: pymdm.evaluate(samples=2, nfes=8),
    "evaluate: nfes must be at least 1, got 0": lambda: pymdm.evaluate(samples=2, nfes=[0]),
    "evaluate: judges must be a sequence, got 'ngram'": lambda: pymdm.evaluate(samples=2, judges="ngram"),
    "evaluate: judges must be names or functions": lambda: pymdm.evaluate(samples=2, judges=[5]),
    "evaluate: dtype must be a string": lambda: pymdm.evaluate(dtype=torch.bfloat16),
    "evaluate: seed must be an integer, got '1'": lambda: pymdm.evaluate(seed="1"),
    "compare: samplers must be a sequence, got 'ancestral'": lambda: pymdm.compare(None, "ancestral"),
    "compare: samplers must be names or objects such as": lambda: pymdm.compare(
        None, [pymdm.FirstHitting], length=4, rounds=2
    ),
    "compare: judges must be a sequence, got 'ngram'": lambda: pymdm.compare(judges="ngram"),
    "compare: judges must be names or functions": lambda: pymdm.compare(judges=[5], length=16),
    "compare: rounds must be an integer, got '4'": lambda: pymdm.compare(rounds="4"),
    "compare: num_samples must be an integer, got 2.5": lambda: pymdm.compare(num_samples=2.5),
    "log_likelihood: texts must be a sequence, got 'abc'": lambda: pymdm.log_likelihood(None, "abc"),
    "log_likelihood: tokens must be an integer, got 1.5": lambda: pymdm.log_likelihood(uniform, [[1.5]], mask_id=V),
    "log_likelihood: each text must be a sequence, got 5": lambda: pymdm.log_likelihood(uniform, [5], mask_id=V),
    "schedule: calls must be an integer, got '4'": lambda: pymdm.schedule(None, calls="4"),
    "schedule: nats must be a number, got list": lambda: pymdm.schedule(None, nats=[1]),
    "schedule: texts must be a tensor": lambda: pymdm.schedule(uniform, texts=[[1, 2]], mask_id=V, calls=1),
}


@pytest.mark.parametrize("line", WRONG)
def test_another_type_is_one_line_that_begins_with_the_operation(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError)) as caught:
        WRONG[line]()
    said = str(caught.value)
    assert said.startswith(line) and "\n" not in said and len(said) < 300, said
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_settings():
    size = {"vocab": "char", "length": np.int64(16), "width": np.int32(16), "layers": 1, "heads": 2}
    text = "".join(f"the {a} cat sat on the {b} mat.\n\n" for a in range(30) for b in range(8))
    corpus = Corpus("cats", (text,), (text[:600],))
    made = pymdm.train(corpus, steps=np.int64(1), lr=np.float32(1e-3), eval_tokens=np.int64(512), **size)
    assert made.training["recipe"]["length"] == 16 and type(made.training["recipe"]["steps"]) is int


def test_results_show_themselves_in_two_lines():
    out = state()
    plan = pymdm.CallSchedule((1, 3), 0.5, (0.4, 0.6), 0.7, 0, "a text")
    scored = pymdm.log_likelihood(uniform, [[0, 1, 2]], mask_id=V)
    scheduled = pymdm.sample(uniform, mask_id=V, length=4, seed=1, sampler=pymdm.FirstHitting(plan))
    for result, first in (
        (out, r"Samples\(2 of 4 tokens, law exact, 4 network calls, seed 1, .*\)"),
        (out[1], r"Sample\(4 tokens, 4 drawn, 4 network calls, sequence id 1\)"),
        (scheduled, r"Samples\(1 of 4 tokens, law approximate, .*CallSchedule\(2 calls for 4 tokens, 0\.50 nats .*\)"),
        (scored, r"RuleLikelihood\(1 texts, 3 tokens, exact, 1\.3863 nats per token,"),
        (pymdm.load(), r"Model\(bundled:any-order, pymdm; held out \d\.\d{3} bits/char,"),
    ):
        lines = repr(result).splitlines()
        assert len(lines) == 2 and re.fullmatch(first, lines[0]), repr(result)
    assert repr(plan) == "CallSchedule(2 calls for 4 tokens, 0.50 nats from the exact law)"
    assert repr(out[1]).splitlines()[1] == repr(out[1].tokens.tolist())
