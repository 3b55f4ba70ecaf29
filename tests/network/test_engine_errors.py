"""Every bad input of the engine is one clear line that starts with its name."""

import pytest
import torch
from helpers.engine_networks import random_network

from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine

CONFIG = ModelConfig(vocab_size=9, length=6, width=8, layers=1, heads=2)
TIMED = ModelConfig(vocab_size=9, length=6, width=8, layers=1, heads=2, conditioning="time", cond_dim=4)
MODEL, TIMED_MODEL = random_network(CONFIG, 0), random_network(TIMED, 0)
TOKENS = torch.zeros(2, 5, dtype=torch.int64)


def weights(**changes):
    state = dict(MODEL.state_dict())
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


def broken(name, value):
    tensor = MODEL.state_dict()[name].clone()
    tensor.view(-1)[-1] = value
    return weights(**{name.replace(".", "__"): tensor})


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Engine(3), TypeError, "source must be"),
        (lambda: Engine("/no/such/folder"), ValueError, "no such folder"),
        (lambda: Engine(MODEL, dtype="float16"), ValueError, "dtype must be float32 or bfloat16, got float16"),
        (lambda: Engine(MODEL, dtype=torch.float64), ValueError, "got torch.float64"),
        (lambda: Engine(weights()), TypeError, "needs its ModelConfig, got NoneType"),
        (lambda: Engine(MODEL, TIMED), ValueError, "config differs"),
        (lambda: Engine(weights(head__weight=None), CONFIG), ValueError, "head.weight is missing"),
        (lambda: Engine(weights(head__bias=None), CONFIG), ValueError, "head.bias is missing"),
        (lambda: Engine(weights(extra=torch.zeros(3)), CONFIG), ValueError, "extra is not part of this network"),
        (lambda: Engine(weights(extra=3.0), CONFIG), TypeError, "extra must be a tensor"),
        (
            lambda: Engine(weights(blocks__0__qkv__weight=torch.zeros(23, 8)), CONFIG),
            ValueError,
            r"blocks.0.qkv.weight must be \[24, 8\], got \[23, 8\]",
        ),
        (
            lambda: Engine(weights(norm_final__weight=torch.zeros(8, 2, 2)), CONFIG),
            ValueError,
            "norm_final.weight must",
        ),
        (
            lambda: Engine(weights(head__weight=torch.zeros(9, 8, dtype=torch.int64)), CONFIG),
            ValueError,
            "head.weight must be a contiguous floating-point",
        ),
        *[
            (lambda name=name: Engine(broken(name, float("nan")), CONFIG), ValueError, f"{name} has a value")
            for name in MODEL.state_dict()
        ],
        (lambda: Engine(broken("head.bias", float("inf")), CONFIG), ValueError, "head.bias has a value"),
        (lambda: Engine(MODEL)([[1, 2]]), TypeError, "tokens must be a tensor, got list"),
        (lambda: Engine(MODEL)(TOKENS[0]), ValueError, r"tokens must be \[B, L\], got \[5\]"),
        (lambda: Engine(MODEL)(TOKENS.float()), ValueError, "tokens must be 1-dimensional Long"),
        (lambda: Engine(MODEL)(torch.zeros(1, 7, dtype=torch.int64)), ValueError, "1 to 6 tokens, sequence 0 has 7"),
        (lambda: Engine(MODEL)(torch.zeros(1, 0, dtype=torch.int64)), ValueError, "1 to 6 tokens, sequence 0 has 0"),
        (lambda: Engine(MODEL)(TOKENS + 10), ValueError, r"token ids must be in \[0, 10\), got 10"),
        (lambda: Engine(MODEL)(TOKENS - 1), ValueError, "got -1"),
        (lambda: Engine(MODEL)(TOKENS, rows=torch.tensor([10])), ValueError, r"rows must be in \[0, 10\), got 10"),
        (lambda: Engine(MODEL)(TOKENS, rows=torch.tensor([-1])), ValueError, "got -1"),
        (lambda: Engine(MODEL)(TOKENS, rows=torch.tensor([0.0])), ValueError, "rows must be 1-dimensional Long"),
        (lambda: Engine(MODEL)(TOKENS, rows=[1]), TypeError, "rows must be a tensor, got list"),
        (lambda: Engine(TIMED_MODEL)(TOKENS), ValueError, r"conditioned on time; give times \[2\]"),
        (lambda: Engine(TIMED_MODEL)(TOKENS, torch.tensor([1, 2])), ValueError, "times must be floating-point"),
        (lambda: Engine(TIMED_MODEL)(TOKENS, torch.rand(3)), ValueError, "one time for each of 2 sequences, got 3"),
        (lambda: Engine(TIMED_MODEL)(TOKENS, torch.rand(2, 1)), ValueError, "times must be 1-dimensional"),
        (lambda: Engine(TIMED_MODEL)(TOKENS, torch.tensor([0.1, float("nan")])), ValueError, "sequence 1 has time nan"),
        (
            lambda: Engine(MODEL).native.logits(TOKENS[0], torch.tensor([0, 2]), TOKENS[0], torch.zeros(1).double()),
            ValueError,
            "offsets must run from 0 to the 5 tokens",
        ),
        (
            lambda: Engine(MODEL).native.logits(TOKENS[0], TOKENS[0, :0], TOKENS[0], torch.zeros(0).double()),
            ValueError,
            "offsets must run from 0",
        ),
    ],
)
def test_bad_input(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message and message.startswith(("engine: ", "load_checkpoint: "))
