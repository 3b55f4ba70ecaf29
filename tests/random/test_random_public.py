"""`pymdm.random` against the reference's own stream."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import pymdm
from pymdm.reference import philox
from pymdm.reference.gumbel import gumbel
from pymdm.reference.uniform import exponential, uniform
from pymdm.sampling.lengths import PURPOSE


def test_is_the_reference_stream():
    where = {"seed": 2**63 + 5, "sequence": torch.tensor([3, 2**50])[:, None], "event": torch.tensor([0, 9, 2**32 - 1])}
    drawn = pymdm.random.bits(6, **where, purpose=pymdm.random.Purpose.POSITION, first=4093)
    at = [np.asarray(where[name], dtype=np.uint64)[..., None] for name in ("sequence", "event")]
    expected = philox.bits(2**63 + 5, *at, philox.POSITION, np.arange(4093, 4099, dtype=np.uint64))
    assert drawn.shape == (2, 3, 6)
    assert np.array_equal(drawn.numpy().astype(np.uint64), expected)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(pymdm.random.uniform, uniform), (pymdm.random.exponential, exponential), (pymdm.random.gumbel, gumbel)],
    ids=["uniform", "exponential", "gumbel"],
)
def test_variates_are_those_of_the_bits(ours, theirs):
    bits = pymdm.random.bits(500, seed=4, sequence=2).numpy().astype(np.uint64)
    assert np.allclose(ours(500, seed=4, sequence=2).numpy(), theirs(bits), rtol=1e-14, atol=0)


def test_purposes_are_those_of_the_reference_and_of_the_core():
    names = ["HITTING", "POSITION", "TOKEN", "MOVE", "LITERAL", "CONFIDENCE", "CORRECTOR", "REMASK", "FREE"]
    names += ["LENGTH"]
    assert [int(p) for p in pymdm.random.Purpose] == [getattr(philox, name) for name in names]
    header = (Path(__file__).parents[2] / "csrc/random/address.h").read_text()
    core = {name.upper(): int(value) for name, value in re.findall(r"^  k(\w+) = (\d+),", header, re.MULTILINE)}
    assert core == {p.name.replace("_", ""): int(p) for p in pymdm.random.Purpose}
    assert PURPOSE == pymdm.random.Purpose.LENGTH


def test_an_address_gives_the_same_however_it_is_asked():
    many = pymdm.random.bits(8, seed=1, sequence=torch.arange(5), event=3)
    for i in range(5):
        one = torch.cat([pymdm.random.bits(1, seed=1, sequence=i, event=3, first=j) for j in range(8)])
        assert torch.equal(many[i], one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": -1}, "n must be in"),
        ({"n": 2, "first": 2**34 - 1}, "n must be in"),
        ({"n": 1.0}, "n must be an integer, got float"),
        ({"seed": -1}, "seed must be in"),
        ({"purpose": 0}, "purpose must be in"),
        ({"purpose": 128}, "purpose must be in"),
        ({"sequence": torch.arange(2), "event": torch.arange(3)}, "sequence and event must broadcast"),
        ({"sequence": torch.ones(2)}, "sequence must be integers"),
    ],
)
def test_bad_addresses_are_one_line(options, words):
    with pytest.raises((TypeError, ValueError), match=f"^random: {words}"):
        pymdm.random.bits(**{"n": 1, "seed": 1, **options})
