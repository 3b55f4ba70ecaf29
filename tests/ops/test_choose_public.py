"""`pymdm.choose` against the float64 reference, on every form of input that it takes."""

import numpy as np
import pytest
import torch

import pymdm
from pymdm.random import Purpose
from pymdm.reference.choose import choose as reference

V = 97


def logits(rows, dtype=torch.float32, seed=0):
    return (3 * torch.randn(rows, V, generator=torch.Generator().manual_seed(seed))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.7}, {"temperature": 0}, {"top_k": 5, "top_p": 0.6}])
def test_is_the_reference_on_every_dtype(dtype, options):
    x = logits(200, dtype)
    ids, events = torch.arange(200) * 2**40, 7 + torch.arange(200)
    tokens = pymdm.choose(x, seed=2**64 - 5, sequence=ids, event=events, **options)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == reference(x.double().numpy(), 2**64 - 5, ids.numpy(), events.numpy(), **options).tolist()


def test_takes_leading_dimensions_and_broadcasts_addresses():
    x = logits(12).view(3, 4, V)
    tokens = pymdm.choose(x, seed=1, sequence=torch.arange(3)[:, None], event=np.arange(4))
    assert tokens.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            assert tokens[i, j] == pymdm.choose(x[i, j], seed=1, sequence=np.int64(i), event=j)


def test_takes_strided_rows_and_columns():
    wide = logits(10, seed=1).repeat(1, 3)
    expected = pymdm.choose(wide[::2, V : 2 * V].clone(), seed=1, sequence=torch.arange(5), event=0)
    assert torch.equal(pymdm.choose(wide[::2, V : 2 * V], seed=1, sequence=torch.arange(5), event=0), expected)
    columns = wide[::2, V : 2 * V].t().contiguous().t()
    assert columns.stride(1) != 1
    assert torch.equal(pymdm.choose(columns, seed=1, sequence=torch.arange(5), event=0), expected)


def test_writes_into_out():
    x, out = logits(6), torch.full((6, 2), -7)
    returned = pymdm.choose(x, seed=1, sequence=torch.arange(6), event=0, out=out[:, 1])
    assert returned.data_ptr() == out[:, 1].data_ptr()
    assert torch.equal(out[:, 1], pymdm.choose(x, seed=1, sequence=torch.arange(6), event=0))
    assert (out[:, 0] == -7).all()


def test_bans_by_ids_and_by_mask_are_the_same():
    x = logits(300)
    ids = torch.arange(300)
    mask = torch.zeros(V, dtype=torch.bool)
    mask[:60] = True
    tokens = pymdm.choose(x, seed=1, sequence=ids, event=0, banned=list(range(60)))
    assert int(tokens.min()) >= 60
    assert torch.equal(tokens, pymdm.choose(x, seed=1, sequence=ids, event=0, banned=mask))


def test_draws_what_sample_draws():
    x = logits(1)[0]
    out = pymdm.sample(lambda tokens: x.expand(*tokens.shape, V), mask_id=V, length=5, num_samples=3, seed=9)
    for sample in out:
        # Event n of a run draws its n-th token.
        for position, rank in enumerate(sample.rank.tolist()):
            drawn = pymdm.choose(x, seed=9, sequence=sample.sequence_id, event=rank)
            assert int(drawn) == int(sample.tokens[position])


def test_the_noise_is_public():
    x = logits(4).double()
    noise = pymdm.random.gumbel(V, seed=5, sequence=torch.arange(4), event=2, purpose=Purpose.TOKEN)
    assert torch.equal((x + noise).argmax(-1), pymdm.choose(x, seed=5, sequence=torch.arange(4), event=2))
    free = pymdm.choose(x, seed=5, sequence=torch.arange(4), event=2, purpose=Purpose.FREE)
    noise = pymdm.random.gumbel(V, seed=5, sequence=torch.arange(4), event=2)
    assert torch.equal((x + noise).argmax(-1), free)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"event": 1.5}, "event must be an integer, got float"),
        ({"event": torch.zeros(2)}, "event must be integers, got torch.float32"),
        ({"event": -1}, r"event must be in \[0, 4294967296\), got -1"),
        ({"sequence": 2**56}, "sequence must be in"),
        ({"sequence": torch.arange(5)}, r"sequence must broadcast to \[4\], got \[5\]"),
        ({"seed": "7"}, "seed must be an integer, got str"),
        ({"seed": 2**64}, "seed must be in"),
        ({"top_k": 1.5}, "top_k must be an integer, got float"),
        ({"top_p": 0}, "top_p must be in"),
        ({"banned": [V]}, "banned must be in"),
        ({"banned": torch.zeros(3, dtype=torch.bool)}, "banned must have V = 97 entries, got 3"),
        ({"purpose": 0}, "purpose must be in"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"temperature": "hot"}, "temperature and top_p must be numbers"),
        ({"out": torch.zeros(4)}, r"out must be int64 \[4\]"),
        ({"logits": torch.zeros(4, V, dtype=torch.long)}, "logits must be a float16, .* got torch.int64"),
        ({"logits": [[1.0]]}, "logits must be .* got list"),
        ({"logits": torch.zeros(())}, r"logits must be \[..., V\]"),
        ({"logits": torch.full((1, 3), float("nan")), "sequence": 0}, "row 0"),
    ],
)
def test_bad_input_is_one_line(options, words):
    given = {"logits": logits(4), "seed": 1, "sequence": 0, "event": 0, **options}
    with pytest.raises((TypeError, ValueError), match=f"^choose: .*{words}"):
        pymdm.choose(given.pop("logits"), **given)
