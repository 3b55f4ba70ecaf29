"""`pymdm.train` and `pymdm.evaluate`: objects in, objects out, with the settings and the numbers of the commands."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from helpers.command_line import run_json

import pymdm
from pymdm.train import load_corpus

ROOT = Path(__file__).resolve().parents[2]
TINY = {"vocab": "char", "length": 16, "width": 16, "layers": 1, "heads": 2, "batch_size": 4, "steps": 3}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("front") / "notes.txt"
    path.write_text("".join(f"the {a} cat sat on the {b} mat.\n\n" for a in range(30) for b in range(8)))
    return path


@pytest.fixture(scope="module")
def trained(text):
    return pymdm.train(text, **TINY)


def test_what_was_trained_is_sampled_and_evaluated_in_memory(trained):
    out = pymdm.sample(trained, num_samples=2, seed=3)
    assert out.law == "exact" and all(len(t) == 16 for t in out.tokens) and isinstance(out.text[0], str)
    found = pymdm.evaluate(trained, draws=4, seed=1)
    assert 0 < found.bits.interval[0] < found.bits.value < found.bits.interval[1] < 10
    assert found.to_dict()["run"]["checkpoint"] == {"name": "", "sha256": ""}
    assert "* checkpoint in memory; text held-out side of notes.txt" in found.markdown()
    assert repr(found).startswith(f"{found.bits.value:.3f} bits per character (upper bound, 95% ")
    assert "a model in memory" in repr(found) and repr(found).count("\n") == repr(trained).count("\n") == 1
    assert repr(trained).startswith("Model(in memory, pymdm; held out ")


def test_a_folder_gives_the_same_model_and_the_same_numbers(text, trained, tmp_path):
    seen = []
    kept = pymdm.train(text, out=tmp_path / "m", on_progress=seen.append, **TINY)
    loaded = pymdm.load(tmp_path / "m")
    texts = [pymdm.sample(m, seed=3).text for m in (trained, kept, loaded, kept.checkpoint, tmp_path / "m")]
    assert texts == texts[:1] * 5
    numbers = [pymdm.evaluate(m, draws=4, seed=1).bits.value for m in (trained, kept, loaded)]
    shown = run_json("evaluate", tmp_path / "m", "--draws", 4, "--seed", 1)
    assert numbers == [shown["likelihood"]["bits_per_char"]] * 3
    assert [p.step for p in seen if p.event == "step"] == [1, 2, 3] and kept.path == tmp_path / "m"
    more = pymdm.train(out=tmp_path / "m", resume=True, steps=5)
    assert more.training["steps"] == 5


def test_samples_are_judged_and_written(trained, tmp_path):
    told = []
    found = pymdm.evaluate(
        trained, likelihood=False, samples=2, nfes=[4, 16], seed=2, on_progress=lambda *now: told.append(now)
    )
    rows = found.result["generation"]["generations"]
    assert [r["sampler"].get("nfe") for r in rows] == [None, 4, 16, None, None]
    assert math.isnan(found.bits.value) and told == [(f"samples, of {2} settings", n) for n in (1, 2)]
    files = found.save(tmp_path / "e")
    assert json.loads(files[0].read_text()) == found.to_dict() and found.markdown().startswith("# Evaluation")


def test_a_corpus_in_memory_and_the_twin(text):
    corpus = load_corpus(text)
    twin = pymdm.train(corpus, **TINY, objective="autoregressive")
    assert pymdm.evaluate(twin, text=text).to_dict()["likelihood"]["kind"] == "exact"
    with pytest.raises(ValueError, match=r"evaluate: the text .*notes.txt was in memory .*; give one"):
        pymdm.evaluate(twin)
    assert pymdm.sample(twin, num_samples=1, length=4).sampler.block_length == 1  # from the left


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"stepz": 3}, TypeError, "train: unknown setting 'stepz'"),
        ({"steps": 0}, ValueError, "train: steps must be at least 1, got 0"),
        ({"preset": "large"}, ValueError, "train: preset must be one of demo, bundled, got 'large'"),
        ({"vocab": "char", "vocab_size": 400}, ValueError, "train: --vocab-size belongs to --vocab bpe"),
        ({"resume": True}, ValueError, "train: resume needs the folder"),
    ],
)
def test_bad_settings_are_named(text, options, error, words):
    with pytest.raises(error, match=words):
        pymdm.train(text, **options)


def test_bad_evaluations_are_named(trained):
    for options, words in (
        ({"samples": 1}, "samples must be 0 or at least 2"),
        ({"likelihood": False}, "judging needs samples"),
        ({"rule": "margin", "exact": True}, "a rule goes with the likelihood"),
        ({"dtype": "float16"}, "dtype must be float32 or bfloat16"),
    ):
        with pytest.raises(ValueError, match=f"^evaluate: .*{words}"):
            pymdm.evaluate(trained, **options)


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch, text):
    """The code of docs/python.md, on a small text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(text.read_text())
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    code = "".join(part.split("```")[0] for part in page.split("```python\n")[1:])
    assert "pymdm.train(" in code and "pymdm.evaluate(" in code
    exec(compile(code, "docs/python.md", "exec"), {})
    assert (tmp_path / "runs/notes/config.json").is_file()
