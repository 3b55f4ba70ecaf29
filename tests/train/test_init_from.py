"""Fine-tuning: a run that begins with a checkpoint, takes its tokenizer and shape, and contradicts neither."""

from __future__ import annotations

import pytest
import torch
from helpers.command_line import run

import pymdm
from pymdm.data.prepare import prepare
from pymdm.network.checkpoint import load_checkpoint

TINY = {"vocab": "char", "length": 16, "width": 16, "layers": 1, "heads": 2, "batch_size": 4, "steps": 4}
TEXT = "".join(f"the {a} cat sat on the {b} mat.\n\n" for a in range(30) for b in range(8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two texts, and a model of the first."""
    path = tmp_path_factory.mktemp("start")
    (path / "one.txt").write_text(TEXT)
    (path / "two.txt").write_text(TEXT.replace("cat", "mat").replace("sat", "cat"))
    pymdm.train(path / "one.txt", out=path / "one", **TINY)
    return path


def test_it_begins_with_the_weights_and_goes_on_for_its_own_steps(folder, tmp_path):
    start = load_checkpoint(folder / "one")
    still = pymdm.train(folder / "two.txt", init_from=str(folder / "one"), steps=1, lr=1e-12, muon_lr=1e-12, ema=0.0)
    assert still.config == start.config and still.tokenizer.to_json() == start.tokenizer.to_json()
    for name, tensor in still.checkpoint.state_dict.items():
        assert torch.allclose(tensor, start.state_dict[name].float(), atol=1e-6), name
    seen = []
    options = ["--init-from", folder / "one", "--steps", 7, "--eval-every", 0, "--out", tmp_path / "two"]
    assert run("train", folder / "two.txt", *options).exit_code == 0
    tuned = load_checkpoint(tmp_path / "two")
    assert tuned.training["steps"] == 7 and tuned.training["recipe"]["init_from"] == str(folder / "one")
    (folder / "one").rename(folder / "moved")  # a run that goes on needs it no more
    try:
        more = pymdm.train(out=tmp_path / "two", resume=True, steps=9, on_progress=seen.append)
    finally:
        (folder / "moved").rename(folder / "one")
    assert more.training["steps"] == 9
    events = [p.event for p in seen]
    assert events[:2] == ["reading", "tokenizing"] and "evaluating" in events[events.index("step") :]
    assert max(p.rows for p in seen) > 0


def test_tokens_of_the_same_tokenizer_are_taken_and_of_another_refused(folder, tmp_path):
    tokenizer = load_checkpoint(folder / "one").tokenizer
    prepare(folder / "two.txt", tmp_path / "same", tokenizer, end_of_text=False)
    prepare(folder / "two.txt", tmp_path / "other", "byte", end_of_text=False)
    assert pymdm.train(tmp_path / "same", init_from=str(folder / "one"), steps=1).training["steps"] == 1
    with pytest.raises(ValueError, match=r"train: the tokens of .* are of another tokenizer than that of"):
        pymdm.train(tmp_path / "other", init_from=str(folder / "one"), steps=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--width", 32], "which the run begins with, has width 16, got 32"),
        (["--length", 8], "has length 16, got 8"),
        (["--vocab", "byte"], "has vocab char, got byte"),
        (["--objective", "autoregressive"], "is a masked model, objective autoregressive needs an autoregressive one"),
    ],
)
def test_a_contradiction_is_one_line(folder, tmp_path, options, words):
    done = run("train", folder / "two.txt", "--init-from", folder / "one", *options, "--out", tmp_path / "x")
    assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.output
    assert not (tmp_path / "x").exists()


def test_what_keeps_what_it_has_seen_begins_with_its_own_objective(folder, tmp_path):
    """A masked model may become one; one of them stays what it is, whose objective need not be named."""
    again = {"steps": 1, "eval_every": 0, "eval_tokens": 200}
    for objective, blocks in (("any-order", 0), ("block", 4)):
        named = {"objective": objective} | ({"block_length": blocks} if blocks else {})
        out = tmp_path / objective
        made = pymdm.train(folder / "one.txt", out=out, init_from=str(folder / "one"), **named, **again)
        assert (made.config.attention, made.config.block_length) == (objective, blocks)
        assert pymdm.sample(made, length=8, seed=1).law == "exact"
        more = pymdm.train(folder / "one.txt", init_from=str(out), **again)
        assert more.config == made.config and more.training["recipe"]["objective"] == objective
        for wrong, words in (
            ({"objective": "count"}, f"has objective {objective}, got count"),
            ({"objective": "autoregressive"}, f"has objective {objective}, got autoregressive"),
            ({"objective": "block", "block_length": 3}, f"has (objective {objective}, got|block_length 4, got 3)"),
        ):
            with pytest.raises(ValueError, match=words):
                pymdm.train(folder / "one.txt", init_from=str(out), **wrong, **again)


def test_a_missing_start_is_one_line(folder, tmp_path):
    done = run("train", folder / "two.txt", "--init-from", tmp_path / "none", "--out", tmp_path / "x")
    assert done.exit_code == 2 and done.stderr.startswith("pymdm: train: init_from: no such folder"), done.stderr


def test_help_shows_defaults_and_the_budget():
    shown = " ".join(run("train", "--help").stdout.split())
    for words in ("Default: 128.", "Default: 1.75.", "Default: bpe.", "Default: 8192.", "Default: count.", "init-from"):
        assert words in shown, words
