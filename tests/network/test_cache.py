"""Keys and values that are kept: the engine's rows against the float64 reference, and the same bits with and without them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.engine_networks import TOLERANCE, random_network, reference, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from pymdm import _native
from pymdm.network.config import ModelConfig
from pymdm.network.describe import kept_bytes
from pymdm.network.engine import Engine

C = _native.C
KINDS = {
    "causal": {"attention": "causal"},
    "block": {"attention": "block", "block_length": 5},
    "any-order": {"attention": "any-order"},
}
SHAPES = {
    "plain": {},
    "shared heads, rmsnorm, swiglu": {"kv_heads": 1, "norm": "rmsnorm", "mlp": "swiglu", "conditioning": "constant"},
    "learned positions, after the sums": {"positions": "learned", "post_norm": True, "qkv_bias": True},
}
seeds = st.integers(0, 2**31)


def network(kind: str, shape: str = "plain", length: int = 40, seed: int = 1):
    config = ModelConfig(
        vocab_size=20, length=length, width=64, layers=2, heads=2, mlp_width=96, **KINDS[kind], **SHAPES[shape]
    )
    return random_network(config, seed)


def some_state(rng, length: int, mask: int):
    """Tokens with masks, and ranks in which several were given."""
    tokens = torch.from_numpy(rng.integers(0, mask, length))
    tokens[torch.from_numpy(rng.random(length) < rng.random())] = mask
    rank = torch.from_numpy(rng.permutation(length)) - int(rng.integers(0, 1 + length // 2))
    return tokens, rank.clamp(min=-1)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("kind", ["block", "any-order"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_ragged_batch_matches_float64(dtype, kind, shape):
    model = network(kind, shape)
    rng, engine = np.random.default_rng(5), Engine(model, dtype=dtype)
    states = [some_state(rng, length, 20) for length in (40, 1, 13, 7, 40)]
    tokens, rank = (torch.cat(part) for part in zip(*states, strict=True))
    offsets = torch.tensor([0, 40, 41, 54, 61, 101])
    rows = torch.from_numpy(rng.permutation(101)[:90])
    got = engine.native.logits(tokens, offsets, rows, torch.zeros(5, dtype=torch.float64), rank=rank)
    want = np.concatenate(
        [reference(model, t[None], rank=r[None] if kind == "any-order" else None)[0] for t, r in states]
    )
    assert relative_error(got, want[rows]) < TOLERANCE[dtype]


class History:
    """Sequences whose tokens become known, are taken back and known again, as a sampler with wrong guesses makes them."""

    def __init__(self, rng, kind: str, lengths: list[int], mask: int) -> None:
        self.rng, self.kind, self.mask = rng, kind, mask
        self.tokens = [torch.full((length,), mask) for length in lengths]
        self.rank = [torch.full((length,), -1) for length in lengths]
        for tokens in self.tokens:  # a prompt: a prefix, or anywhere
            given = rng.permutation(len(tokens))[: rng.integers(0, 1 + len(tokens) // 2)]
            given = np.arange(len(given)) if kind == "causal" else given
            tokens[given] = torch.from_numpy(rng.integers(0, mask, len(given)))

    def reveal(self, b: int) -> None:
        masked = (self.tokens[b] == self.mask).nonzero().flatten()
        if len(masked) == 0:
            return
        l = masked[0] if self.kind == "causal" else masked[self.rng.integers(len(masked))]
        self.tokens[b][l] = int(self.rng.integers(self.mask))
        self.rank[b][l] = self.rank[b].max() + 1

    def take_back(self, b: int) -> None:
        last = int(self.rank[b].argmax())
        if self.rank[b][last] >= 0:
            self.tokens[b][last], self.rank[b][last] = self.mask, -1

    def wanted(self, b: int) -> list[int]:
        masked = (self.tokens[b] == self.mask).nonzero().flatten().tolist()
        masked = masked[:1] if self.kind == "causal" else self.rng.permutation(masked).astype(int).tolist()
        return masked[: self.rng.integers(1, 4)]


def uncached(engine: Engine, tokens: torch.Tensor, rank: torch.Tensor, wanted: list[int]) -> torch.Tensor:
    rows = torch.tensor(wanted, dtype=torch.int64)
    if engine.config.causal:
        return engine(torch.cat([torch.tensor([engine.config.mask_id]), tokens[:-1]])[None], rows=rows)
    return engine(tokens[None], rows=rows, rank=rank[None] if engine.config.attention == "any-order" else None)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, shape=st.sampled_from(list(SHAPES)), threads=st.integers(1, 3))
@settings(max_examples=8, deadline=None)
def test_kept_rows_give_the_bits_of_rows_computed_anew(dtype, kind, seed, shape, threads):
    rng = np.random.default_rng(seed)
    engine = Engine(network(kind, shape, length=150, seed=seed % 7), dtype=dtype)
    history = History(rng, kind, rng.integers(1, 151, 4).tolist(), 20)
    run = C.KeptRun(engine.native)
    before = C.num_threads()
    try:
        for call in range(12):
            C.set_num_threads(1 + (call + threads) % 3)
            part = [b for b in rng.permutation(4)[: rng.integers(1, 5)].tolist() if history.wanted(b)]
            for b in part:
                for _ in range(rng.integers(0, 9)):
                    history.reveal(b)
                if rng.random() < 0.3:
                    history.take_back(b)
            asked = {b: history.wanted(b) for b in part}
            asked = {b: wanted for b, wanted in asked.items() if wanted}
            if not asked:
                continue
            offsets = np.cumsum([0, *(len(history.tokens[b]) for b in asked)])
            rows = [int(offsets[i]) + l for i, wanted in enumerate(asked.values()) for l in wanted]
            got = run.logits(
                torch.cat([history.tokens[b] for b in asked]),
                torch.from_numpy(offsets),
                torch.tensor(rows),
                torch.zeros(len(asked), dtype=torch.float64),
                rank=torch.cat([history.rank[b] for b in asked]),
                owner=torch.tensor(list(asked)),
            )
            want = torch.cat([uncached(engine, history.tokens[b], history.rank[b], w) for b, w in asked.items()])
            assert torch.equal(got, want)
    finally:
        C.set_num_threads(before)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_copies_that_know_more_share_their_sequences_slots(dtype):
    """What lookahead asks for, over several blocks of keys, and then what it asks after a guess that was wrong."""
    engine = Engine(network("any-order", length=1200), dtype=dtype)
    rng = np.random.default_rng(3)
    order = rng.permutation(1200)
    run = C.KeptRun(engine.native)
    truth = torch.from_numpy(rng.integers(0, 20, 1200))
    known = 505
    for width in (4, 1, 13, 2):  # the last copy's tokens are then changed
        copies, rows, want = [], [], []
        for j in range(width):
            tokens, rank = torch.full((1200,), 20), torch.full((1200,), -1)
            now = order[: known + j]
            tokens[now], rank[now] = truth[now], torch.arange(len(now))
            copies.append((tokens, rank))
            wanted = order[known + j : known + j + 3].tolist()
            rows += [1200 * j + l for l in wanted]
            want.append(uncached(engine, tokens, rank, wanted))
        got = run.logits(
            torch.cat([t for t, _ in copies]),
            torch.arange(width + 1) * 1200,
            torch.tensor(rows),
            torch.zeros(width, dtype=torch.float64),
            rank=torch.cat([r for _, r in copies]),
            owner=torch.zeros(width, dtype=torch.int64),
        )
        assert torch.equal(got, torch.cat(want))
        known += 2
        truth[order[known:]] = torch.from_numpy(rng.integers(0, 20, 1200 - known))


def test_what_is_kept_is_bounded_and_said():
    """Two numbers a layer, position and width for each sequence at a time, whole panels of 64 slots."""
    engine = Engine(network("any-order"))
    run = C.KeptRun(engine.native)
    assert run.bytes == 0
    for owner in range(30):
        run.logits(
            torch.full((40,), 20),
            torch.tensor([0, 40]),
            torch.tensor([3]),
            torch.zeros(1, dtype=torch.float64),
            owner=torch.tensor([owner]),
        )
    assert run.bytes == 2 * 2 * 64 * 64 * 4 == kept_bytes(engine.config, "float32")  # one at a time
    with pytest.raises(ValueError, match=r"^engine: a bidirectional network keeps nothing"):
        C.KeptRun(Engine(random_network(ModelConfig(9, 8, 8, 1, 2), 0)).native)
    with pytest.raises(ValueError, match=r"^engine: rank \[B, L\] belongs to attention 'any-order'"):
        Engine(network("block"))(torch.zeros(1, 4, dtype=torch.int64), rank=torch.zeros(1, 4, dtype=torch.int64))


NARROW = """
import resource
from pathlib import Path
import pymdm
config = pymdm.ModelConfig(9, 16, 16, 1, 2, attention="any-order")
engine = pymdm.Engine(pymdm.MaskedTransformer(config))
pymdm.sample(engine, length=1, num_samples=2)
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (200 << 20),) * 2)
try:
    pymdm.sample(engine, length=1, num_samples=40_000)
except ValueError as error:
    print(error)
print(pymdm.sample(engine, length=1, num_samples=4_000, batch_size=1_000).law)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the process's size is read from /proc")
def test_memory_that_is_not_there_is_told_in_one_line():
    """40,000 sequences of 12 KiB each, with 200 MiB to spare; in small batches they fit."""
    made = subprocess.run([sys.executable, "-c", NARROW], capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    words, law = made.stdout.splitlines()
    assert words == (
        "engine: keys and values of 40000 sequences take 491520000 bytes, which are not there; give a smaller batch_size"
    )
    assert law == "exact"


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_a_value_that_is_not_finite_reaches_only_rows_that_see_it(dtype):
    """A guess whose value overflows, in the last copy's slots: the copies before it have their bits, and it is not finite."""
    config = ModelConfig(20, 80, 64, 2, 2, mlp_width=96, attention="any-order", norm="rmsnorm")
    model = random_network(config, 1)
    with torch.no_grad():
        model.embed.weight[:, 0] = 0
        model.embed.weight[19, 0] = 8.0
        model.blocks[0].qkv.weight[128, 0] = 3e38  # the first value of token 19 overflows
    engine = Engine(model, dtype=dtype)
    tokens, rank = torch.full((2, 80), 20), torch.full((2, 80), -1)
    for copy in (0, 1):
        tokens[copy, 30:50], rank[copy, 30:50] = torch.arange(20) % 19, torch.arange(20)
    tokens[1, 60], rank[1, 60] = 19, 20
    run = C.KeptRun(engine.native)
    got = run.logits(
        tokens.flatten(), torch.tensor([0, 80, 160]), torch.tensor([5, 80 + 5]), torch.zeros(2, dtype=torch.float64),
        rank=rank.flatten(), owner=torch.zeros(2, dtype=torch.int64),
    )  # fmt: skip
    assert torch.equal(got[:1], uncached(engine, tokens[0], rank[0], [5])) and torch.isfinite(got[0]).all()
    assert not torch.isfinite(got[1]).any()
    after = run.logits(
        tokens[0], torch.tensor([0, 80]), torch.tensor([6]), torch.zeros(1, dtype=torch.float64), rank=rank[0],
        owner=torch.zeros(1, dtype=torch.int64),
    )  # fmt: skip
    assert torch.equal(after, uncached(engine, tokens[0], rank[0], [6]))
