"""What callers pass to `sample`: NumPy's numbers are taken, everything else that is wrong ends in one line that says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.sampler_tables import SAMPLERS, L, V, draw, network, table

import pymdm


def uniform(tokens: torch.Tensor) -> torch.Tensor:
    return torch.zeros(*tokens.shape, V)


def run(**options):
    return pymdm.sample(uniform, **{"mask_id": V, "length": L, "seed": 3, **options})


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"seed": np.int64(4)}, {"seed": 4}),
        ({"seed": np.uint64(2**64 - 1)}, {"seed": 2**64 - 1}),
        ({"length": np.int32(6), "num_samples": np.int8(3)}, {"length": 6, "num_samples": 3}),
        ({"length": np.array([5, 6]), "num_samples": 2}, {"length": [5, 6], "num_samples": 2}),
        ({"length": torch.tensor(5)}, {"length": 5}),
        ({"prompt": np.array([1, 2])}, {"prompt": [1, 2]}),
        ({"prompt": [np.int64(1), 2]}, {"prompt": [1, 2]}),
        ({"prompt": np.array([[1, 2], [0, 1]])}, {"prompt": [[1, 2], [0, 1]]}),
        ({"prompt": [np.array([1, 2]), torch.tensor([0])]}, {"prompt": [[1, 2], [0]]}),
        ({"prompt": torch.tensor([1, 2])}, {"prompt": [1, 2]}),
        ({"prompt": ((1, 2), (0, 1))}, {"prompt": [[1, 2], [0, 1]]}),
        ({"sequence_ids": np.array([7])}, {"sequence_ids": [7]}),
        ({"banned_tokens": np.array([0]), "top_k": np.int64(1)}, {"banned_tokens": [0], "top_k": 1}),
        ({"temperature": np.float32(0.5), "top_p": np.float64(0.5)}, {"temperature": 0.5, "top_p": 0.5}),
        ({"batch_size": np.int64(1), "max_calls": np.int64(2)}, {"batch_size": 1, "max_calls": 2}),
    ],
)
def test_numbers_of_numpy_and_torch(given, plain):
    a, b = run(**given), run(**plain)
    assert all(torch.equal(x, y) for x, y in zip(a.tokens, b.tokens, strict=True)) and a.seed == b.seed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1.0}, "seed must be an integer, got 1.0"),
        ({"seed": True}, "seed must be an integer, got bool"),
        ({"seed": -1}, "seed must be in [0, 2^64), got -1"),
        ({"seed": 10**5000}, "seed must be in [0, 2^64), got an integer of"),
        ({"length": 4.0}, "length must be an integer, got 4.0"),
        ({"length": "4"}, "length must be an integer, got '4'"),
        ({"length": [5, 6]}, "length must be one number or one for each of the 1 sequences (num_samples is 1), got 2"),
        ({"length": []}, "got 0 of them"),
        ({"length": [4.0]}, "length must be an integer, got 4.0"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"prompt": [[1.7, 2.2]]}, "tokens of prompt must be an integer, got 1.7"),
        ({"prompt": [1.7, 2.2]}, "prompt must be texts or integer tokens, got 1.7"),
        ({"prompt": np.array([1.7])}, "prompt must be integer tokens [L] or [B, L], got float64 (1,)"),
        ({"prompt": torch.tensor([True])}, "prompt must be integer tokens [L] or [B, L], got torch.bool (1,)"),
        ({"prompt": [[-1]]}, "tokens of prompt must be in [0, 2^63), got -1"),
        ({"prompt": [[2**63]]}, "tokens of prompt must be in [0, 2^63)"),
        ({"prompt": [[True]]}, "tokens of prompt must be an integer, got bool"),
        ({"prompt": 5}, "prompt must be a sequence, got 5"),
        ({"prompt": {}}, "prompt must be a sequence, got dict"),
        ({"prompt": "text"}, "a text prompt needs a tokenizer"),
        ({"infill": [[]], "length": None}, "length must be at least 1, got an empty infill"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"num_samples": 1.5}, "num_samples must be an integer, got 1.5"),
        ({"num_samples": 10**12}, "num_samples must be at most 268435456, got 1000000000000"),
        ({"num_samples": 10**8}, "sequences of 400000000 tokens in all are too many for one call"),
        ({"length": 10**30}, "too many for one call"),
        ({"sequence_ids": [0.0]}, "sequence_ids must be an integer, got 0.0"),
        ({"sequence_ids": [-1]}, "sequence_ids must be at least 0, got -1"),
        ({"sequence_ids": 3}, "sequence_ids must be a sequence, got 3"),
        ({"temperature": "warm"}, "temperature must be a number, got 'warm'"),
        ({"temperature": float("nan")}, "temperature must be finite and at least 0, got nan"),
        ({"temperature": 10**400}, "temperature must be a number that a float can hold"),
        ({"top_k": 1.5}, "top_k must be an integer, got 1.5"),
        ({"top_k": -1}, "top_k must be at least 0, got -1"),
        ({"top_p": 0.0}, "top_p must be in (0, 1], got 0.0"),
        ({"banned_tokens": 3}, "banned_tokens must be a sequence, got 3"),
        ({"banned_tokens": [2**70]}, "banned_tokens must be at most"),
        ({"banned_tokens": [1.0]}, "banned_tokens must be an integer, got 1.0"),
        ({"mask_id": -1}, "mask_id must be at least 0, got -1"),
        ({"mask_id": 3.0}, "mask_id must be an integer, got 3.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"max_calls": 2**70}, "max_calls must be at most"),
        ({"sampler": "first-hitting"}, "sampler must be an object such as pymdm.FirstHitting(), got 'first-hitting'"),
        (
            {"sampler": pymdm.FirstHitting},
            "sampler must be an object such as pymdm.FirstHitting(), got the class First",
        ),
        ({"options": {"top_k": 1}}, "options must be SampleOptions, got dict"),
        ({"watch": 5}, "watch must be a function, got 5"),
        ({"watch_interval": "often"}, "watch_interval must be a number, got 'often'"),
    ],
)
def test_wrong_values_end_in_one_line(options, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        run(**options)
    line = str(caught.value)
    assert line.startswith("sample: ") and words in line and "\n" not in line and len(line) < 300, line


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pymdm.Ancestral(steps=10**8), "steps must be at most 1000000, got 100000000"),
        (lambda: pymdm.Ancestral(steps=2.0), "steps must be an integer, got 2.0"),
        (lambda: pymdm.Ancestral(times=5), "times must be a sequence, got 5"),
        (lambda: pymdm.Ancestral(times=("a", "b")), "times must be a number, got 'a'"),
        (lambda: pymdm.Ancestral(steps=2, cache="no"), "cache must be True or False, got 'no'"),
        (lambda: pymdm.Ancestral(steps=2, form=["literal"]), "form must be one of"),
        (lambda: pymdm.Remask(steps=10**8), "steps must be at most 1000000"),
        (lambda: pymdm.Remask(steps=4, eta="much"), "eta must be a number, got 'much'"),
        (lambda: pymdm.Confidence(threshold="high"), "threshold must be a number, got 'high'"),
        (lambda: pymdm.Confidence(block_length=1.5), "block_length must be an integer, got 1.5"),
        (lambda: pymdm.FirstHitting(tokens_per_call=1.5), "tokens_per_call must be an integer, got 1.5"),
        (lambda: pymdm.FirstHitting(tokens_per_call=2**63), "tokens_per_call must be at most"),
        (lambda: pymdm.FirstHitting(tokens_per_call="2"), "tokens_per_call must be an integer, got '2'"),
        (lambda: pymdm.FirstHitting(tokens_per_call=()), "tokens_per_call must have an entry"),
        (lambda: pymdm.FirstHitting(order="2"), "order must be an integer, got '2'"),
        (lambda: pymdm.FirstHitting(corrector=1), "corrector must be True or False, got 1"),
        (lambda: pymdm.FirstHitting(schedule=5), "schedule must be a name or a pymdm.Schedule, got 5"),
    ],
)
def test_samplers_say_what_they_expect(make, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert str(caught.value).startswith("sample: ") and words in str(caught.value), caught.value


def test_numbers_of_numpy_make_samplers():
    made = pymdm.FirstHitting(tokens_per_call=np.array([1, 2]), order=np.int64(1))
    assert made == pymdm.FirstHitting(tokens_per_call=(1, 2)) and made.tokens_per_call == (1, 2)
    assert pymdm.Ancestral(steps=np.int64(3), cache=np.bool_(True)) == pymdm.Ancestral(steps=3)
    assert draw(pymdm.FirstHitting(tokens_per_call=2**62), n=2).calls == 1
    assert draw(pymdm.FirstHitting(tokens_per_call=2**62, order=2), n=2).calls == 1
    assert draw(pymdm.FirstHitting(tokens_per_call=2**62, corrector=True), n=2).calls == 1


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_bad_row_is_named_by_sequence_and_position(sampler):
    for bad in (float("nan"), float("inf")):

        def broken(tokens: torch.Tensor, bad: float = bad) -> torch.Tensor:
            logits = torch.zeros(*tokens.shape, V)
            logits[tokens[:, 0] == 1, 2] = bad
            return logits

        infill = [[0, V, V, V], [1, V, V, V], [2, V, V, V]]
        with pytest.raises(ValueError) as caught:
            pymdm.sample(broken, mask_id=V, infill=infill, seed=1, sampler=sampler, sequence_ids=[5, 6, 7])
        line = str(caught.value)
        assert line.startswith("sample: the logits of sequence 1 (id 6), position 2: the row has "), line


def test_calls_are_those_of_the_callable():
    seen = []

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(tokens.shape))
        return torch.zeros(*tokens.shape, 50)

    out = pymdm.sample(counted, mask_id=49, infill=[[49] * n for n in range(10, 42)], seed=1)
    assert out.calls == len(seen) == 816 and out.rounds == 41
    seen.clear()
    half = pymdm.sample(counted, mask_id=49, infill=[[49] * n for n in range(10, 42)], seed=1, max_calls=100)
    assert half.calls == len(seen) and 100 <= half.calls < 132  # the round that reaches 100 is the last
    assert torch.equal(pymdm.resume(counted, half)[31].tokens, out[31].tokens) and len(seen) == 816


def test_results_of_equal_lengths_count_rounds():
    calls = []
    out = pymdm.sample(network(table(), calls), mask_id=V, length=L, num_samples=5, seed=1)
    assert out.calls == len(calls) == L
