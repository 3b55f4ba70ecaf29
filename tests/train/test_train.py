"""Training: it learns with every objective, and reports, logs and ships what it learnt."""

import itertools
import json
import time

import pytest
import torch
from helpers.pictures import watched
from helpers.tiny_training import CORPUS, TINY, Stop, stop_when_saved

import pymdm
from pymdm.network.checkpoint import load_checkpoint
from pymdm.train import Corpus, Recipe, preset, train
from pymdm.train.log import plot_curve, read_curve
from pymdm.train.ship import ship


def test_it_learns_and_reports():
    reports = []
    recipe = Recipe(**(TINY | {"width": 32, "length": 32, "batch_size": 12}), steps=150, eval_every=75, lr=1e-2)
    result = train(recipe, corpus=CORPUS, on_progress=reports.append).training
    ngrams = result["ngram_bits_per_char"]
    assert result["held_out"]["bits_per_char"] < ngrams["2"]  # spells words, not only pairs of letters
    assert result["finished"] and result["steps"] == 150 and result["tokens"] == 150 * 12 * 32
    assert [r.step for r in reports if r.event == "step"] == list(range(1, 151))
    assert [r.step for r in reports if r.event == "evaluated"] == [75, 150]
    assert reports[-1].held_out_bits_per_char == result["held_out"]["bits_per_char"]
    assert all(b.fraction >= a.fraction for a, b in itertools.pairwise(reports))
    assert json.loads(json.dumps(result)) == result


def test_shipped_weights_are_rounded_and_judged_anew(tmp_path):
    train(Recipe(**TINY, steps=5), tmp_path / "full", corpus=CORPUS)
    shipped = ship(tmp_path / "full", tmp_path / "small", corpus=CORPUS)
    full, small = load_checkpoint(tmp_path / "full"), load_checkpoint(tmp_path / "small")
    assert all(torch.equal(t, full.state_dict[k].bfloat16()) for k, t in small.state_dict.items())
    assert small.training == shipped.training and small.training["stored"] == "bfloat16"
    a, b = full.training["held_out"], small.training["held_out"]
    assert b["draws"] == 4 * a["draws"] and b["bits_per_char"] == pytest.approx(a["bits_per_char"], rel=0.02)
    with pytest.raises(ValueError, match=r"^ship: other is not the text"):
        ship(tmp_path / "full", tmp_path / "no", corpus=Corpus("other", CORPUS.train, CORPUS.train))


def test_clock_budget_ends():
    begin = time.monotonic()
    result = train(Recipe(**TINY, minutes=0.01, eval_every=0), corpus=CORPUS).training
    assert result["steps"] >= 1 and result["seconds"] >= 0.6 and time.monotonic() - begin < 30


def test_the_curve_is_logged_beside_the_checkpoint_and_goes_on(tmp_path, monkeypatch):
    recipe = Recipe(**TINY, steps=40, save_every=20, eval_every=20)
    train(recipe, tmp_path / "whole", corpus=CORPUS)
    rows = read_curve(tmp_path / "whole.csv")
    assert [int(r["step"]) for r in rows] == [10, 20, 20, 30, 40, 40]
    assert [r["held_out_bits_per_char"] != "" for r in rows] == [False, False, True, False, False, True]
    with pytest.raises(Stop):
        train(recipe, tmp_path / "halves", corpus=CORPUS, on_progress=stop_when_saved)
    with (tmp_path / "halves.csv").open("a") as f:
        f.write("30,1,1,1,,1\n")  # a step that the checkpoint does not know of
    train(recipe, tmp_path / "halves", corpus=CORPUS, resume=True)
    again = read_curve(tmp_path / "halves.csv")
    same = ("step", "tokens", "bits_per_char", "held_out_bits_per_char")
    assert [[r[k] for k in same] for r in again] == [[r[k] for k in same] for r in rows]
    pictures = watched(monkeypatch)
    plot_curve(tmp_path / "whole.csv", tmp_path / "whole.png")
    assert pictures == [[]]
    assert (tmp_path / "whole.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["continuous", "order-agnostic", "autoregressive"])
def test_every_objective_learns_and_can_be_loaded(tmp_path, kind):
    recipe = Recipe(**(TINY | {"width": 32}), steps=60, objective=kind, schedule="cosine", lr=1e-2, eval_every=0)
    first = train(Recipe(**(TINY | {"width": 32}), steps=1, objective=kind, eval_every=0), corpus=CORPUS)
    last = train(recipe, tmp_path / "m", corpus=CORPUS)
    assert last.training["held_out"]["bits_per_char"] < 0.85 * first.training["held_out"]["bits_per_char"]
    assert load_checkpoint(tmp_path / "m").config.causal == (kind == "autoregressive")
    if kind == "autoregressive":
        out = pymdm.sample(pymdm.load(tmp_path / "m"), length=4)
        assert out.law == "exact" and out.rank.tolist() == [[0, 1, 2, 3]]


def test_presets_take_changes():
    assert preset("demo").minutes and preset("demo", steps=5).minutes is None
    assert preset("demo", width=64).width == 64
    assert Recipe.from_dict(preset("bundled").to_dict()) == preset("bundled")
    with pytest.raises(ValueError, match=r"^train: unknown setting 'colour'"):
        Recipe.from_dict({"colour": 1})
