"""Options of training: objectives with presets, numbers that are none, options given for nothing, missing extras."""

import importlib.util
import os
import sys

import pytest
from helpers.command_line import run
from helpers.tiny_training import CORPUS, TINY

from pymdm.evaluate.report import NoPicture, _scored, write
from pymdm.network.checkpoint import load_checkpoint
from pymdm.train import PRESETS, Recipe, preset, train
from pymdm.train.objective import OBJECTIVES


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", PRESETS)
def test_every_objective_works_with_every_preset(name, objective):
    block = {"block_length": 2} if objective == "block" else {}
    recipe = preset(name, objective=objective, **(TINY | {"steps": 1, "vocab_size": 4096} | block))
    assert recipe.weight_power == (0.5 if objective in ("count", "order-agnostic") else 1.0)
    assert train(recipe, corpus=CORPUS).training["steps"] == 1
    with pytest.raises(ValueError, match="weights w_n belong to mask counts"):
        preset(name, objective="continuous", weight_power=0.5)


NUMBERS = [
    "--weight-decay",
    "--lr",
    "--muon-lr",
    "--minutes",
    "--warmup",
    "--ema",
    "--neighbours",
    "--dropout",
    "--save-minutes",
]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        *(["train", "no such text", option] for option in NUMBERS),
        ["demo", "--minutes"],
        ["sample", "--temperature"],
        ["sample", "--top-p"],
        ["evaluate", "--samples", "2", "--temperature"],
    ],
    ids=lambda arguments: " ".join((arguments[0], arguments[-1])),
)
def test_a_number_that_is_none_is_refused_everywhere(arguments, value):
    result = run(*arguments, value)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "finite number" in result.stderr and value in result.stderr
    assert arguments[-1][2:].replace("-", "_") in result.stderr


def test_no_setting_of_a_recipe_may_be_nan():
    for name, value in Recipe(steps=1).to_dict().items():
        if isinstance(value, float):
            with pytest.raises(ValueError, match=f"^train: {name} must be a finite number, got nan"):
                Recipe(steps=1, **{name: float("nan")})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--objective", "continuous", "--weight-power", 0.5], "weights w_n belong to mask counts"),
        (["--objective", "continuous", "--weight-power", 1], "--weight-power belongs to mask counts"),
        (["--objective", "autoregressive", "--draw", "independent"], "--draw belongs to objectives that mask"),
        (
            ["--schedule", "cosine"],
            "--schedule belongs to --objective continuous or --conditioning time; got",
        ),
        (["--optimizer", "adamw", "--muon-lr", 0.1], "--muon-lr belongs to --optimizer muon; got --optimizer adamw"),
        (["--vocab", "byte", "--vocab-size", 300], "--vocab-size belongs to --vocab bpe; got --vocab byte"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_an_option_given_for_nothing_is_refused(tmp_path, options, words):
    result = run("train", tmp_path / "no such text", "--out", tmp_path / "m", "--steps", 2, *options)
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [["--vocab", "char"], ["--vocab-size", 300], ["--held-out", "x"]], ids=lambda o: o[0]
)
def test_what_tokens_have_of_their_own_is_refused(tmp_path, options):
    (tmp_path / "text.txt").write_text("".join(CORPUS.train + CORPUS.held_out))
    assert run("data", tmp_path / "text.txt", "--out", tmp_path / "tokens", "--vocab", "char").exit_code == 0
    result = run("train", tmp_path / "tokens", "--out", tmp_path / "m", "--steps", 2, *options)
    assert result.exit_code == 2 and f"{options[0]} belongs to text" in result.stderr


def test_the_recorded_command_is_the_one_that_began_the_run(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("".join(CORPUS.train + CORPUS.held_out))
    monkeypatch.setattr(sys, "argv", ["pymdm", "train", "text.txt", "--steps", "2"])
    small = ["--vocab", "char", "--length", 16, "--width", 16, "--layers", 1, "--heads", 2]
    monkeypatch.chdir(tmp_path)
    assert run("train", "text.txt", "--steps", 2, "--out", "m", *small).exit_code == 0
    first = load_checkpoint("m").training
    monkeypatch.setattr(sys, "argv", ["pymdm", "train", "--resume", "--steps", "3"])
    assert run("train", "--resume", "--steps", 3, "--out", "m").exit_code == 0
    then = load_checkpoint("m").training
    assert first["command"] == then["command"] == "pymdm train text.txt --steps 2"
    assert first["resumed_with"] == [] and then["resumed_with"] == ["pymdm train --resume --steps 3"]
    assert then["recipe"] == first["recipe"] | {"steps": 3}


def test_a_picture_that_cannot_be_drawn_is_told_before_the_training(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else find(name, *a))
    result = run("train", tmp_path / "no such text", "--out", tmp_path / "m", "--steps", 2, "--plot")
    assert result.exit_code == 2 and "--plot needs matplotlib, which is not installed" in result.stderr
    assert not any(tmp_path.iterdir())


RUN = {
    "command": "",
    "seed": 0,
    "checkpoint": {"name": "m", "sha256": ""},
    "text": {"name": "t", "tokens": 1, "characters": 1, "unit": "char"},
    "versions": {},
    "machine": "",
    "commit": "",
}


def test_an_evaluation_is_written_without_its_picture_where_that_cannot_be_drawn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # importing it fails
    with pytest.warns(NoPicture, match=r"^evaluate: .*e\.png is not drawn, matplotlib is not installed$"):
        written = write({"run": RUN}, tmp_path / "e")
    assert sorted(os.listdir(tmp_path)) == ["e.json", "e.md"] == [p.name for p in written]
    assert "png" not in (tmp_path / "e.md").read_text()


def test_a_report_says_how_many_texts_were_scored_in_each_row():
    def row(name, texts):
        return {"name": name, "texts": texts, "length": 8, "sampler": None}

    assert _scored([row("a", 16), row("b", 16)]) == "16 texts of 8 tokens each in every row, all scored."
    found = _scored([row("a", 16), row("b", 8), row("c", 16)])
    assert found == "Texts of 8 tokens each, all scored: 16 of a and of c; 8 of b."
