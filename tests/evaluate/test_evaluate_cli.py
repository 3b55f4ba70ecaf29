"""`pymdm evaluate` on tiny checkpoints: what it prints and writes, the same twice, and bad input."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from helpers.command_line import run, run_json

from pymdm.data.tokenizer import Tokenizer
from pymdm.data.tokens import write_data
from pymdm.evaluate.bound import evaluate_bound
from pymdm.evaluate.judges import file_sha256
from pymdm.evaluate.report import _behind
from pymdm.evaluate.subject_text import load_subject
from pymdm.network.checkpoint import load_checkpoint, save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer

TEXT = "".join(
    f"the {a} {b} sat on the {c} and saw a {a}.\n\n" for a in ("cat", "dog", "owl") for b in "xyz" for c in "uvw"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A text, a masked and an autoregressive checkpoint over its characters, of random weights."""
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "notes.txt").write_text(TEXT)
    tokenizer = Tokenizer.train([TEXT], "char")
    training = {"recipe": {"source": str(folder / "notes.txt")}}
    for name, attention in (("mdm", "bidirectional"), ("twin", "causal")):
        torch.manual_seed(0)
        config = ModelConfig(vocab_size=tokenizer.size, length=24, width=16, layers=1, heads=2, attention=attention)
        save_checkpoint(folder / name, config, MaskedTransformer(config).state_dict(), tokenizer, training)
    return folder


def test_default_is_the_bundled_models_held_out_text():
    found = run_json("evaluate", "--windows", 2, "--draws", 2)
    assert found["run"]["checkpoint"]["name"] == "bundled:any-order" and found["run"]["config"]["length"] == 256
    assert found["likelihood"]["kind"] == "bound" and 1.0 < found["likelihood"]["bits_per_char"] < 2.5
    assert found["likelihood"]["draws"] == 4 and found["likelihood"]["tokens"] <= 512


def test_bound_is_that_of_the_text(files):
    found = run_json("evaluate", files / "mdm", "--text", files / "notes.txt", "--draws", 4, "--seed", 5)
    likelihood, checkpoint = found["likelihood"], load_checkpoint(files / "mdm")
    row = torch.tensor(checkpoint.tokenizer.encode(TEXT))
    whole = len(row) // 24 * 24
    pieces = [*row[:whole].view(-1, 24).split(16), row[whole:][None]]
    by_hand = evaluate_bound(
        checkpoint.build(), pieces, checkpoint.config.mask_id, characters=len(TEXT), samples=4, seed=5
    )
    assert likelihood["bits_per_char"] == pytest.approx(by_hand.bits.value, rel=1e-6)
    assert likelihood["monte_carlo_interval95"] == pytest.approx(by_hand.bits.interval, rel=1e-5)
    assert (likelihood["tokens"], likelihood["characters"]) == (len(TEXT), len(TEXT))
    area = sum(
        n * r for n, r in zip(likelihood["curve"]["nats_per_masked_token"], likelihood["curve"]["rows"], strict=True)
    )
    assert area / sum(likelihood["curve"]["rows"]) == pytest.approx(likelihood["nats_per_token"], rel=0.02)
    assert found["run"]["checkpoint"]["sha256"] == file_sha256(files / "mdm" / "model.safetensors")
    exact = run_json("evaluate", files / "mdm", "--windows", 3, "--exact")["likelihood"]
    assert exact["draws"] == 2 * exact["tokens"] and exact["counts"] == "every count n = 1..L"


def test_an_autoregressive_checkpoint_is_exact(files):
    likelihood = run_json("evaluate", files / "twin", "--text", files / "notes.txt")["likelihood"]
    assert likelihood["kind"] == "exact" and "monte_carlo_interval95" not in likelihood
    low, high = likelihood["text_interval95"]
    assert low < likelihood["bits_per_char"] < high


@pytest.mark.parametrize("name", ["mdm", "twin"])
def test_one_sequence_has_no_interval_over_texts(files, tmp_path, name):
    (tmp_path / "short.txt").write_text("cat")
    shown = run("evaluate", files / name, "--text", tmp_path / "short.txt").output
    assert "│ needs more than one sequence │" in shown and "- to -" not in shown, shown
    assert "needs more than" not in run("evaluate", files / name, "--windows", 2).output


def test_frontier_is_written_and_the_same_twice(files, tmp_path):
    options = ["evaluate", files / "mdm", "--skip-likelihood", "--samples", 3, "--length", 12, "--frontier"]
    options += ["--temperature", "0.5,1", "--nfe", "4,12", "--judge", "ngram:3", "--judge", files / "twin", "--seed", 2]
    found = run_json(*options, "--out", tmp_path / "sub" / "result")
    written = json.loads((tmp_path / "sub" / "result.json").read_text())
    generations = found["generation"]["generations"]
    settings = [g["sampler"] for g in generations if g["sampler"]]
    assert [(s["temperature"], s["nfe"], s["law"]) for s in settings] == [
        (0.5, 4, "approximate"),
        (0.5, 12, "tempered"),
        (1.0, 4, "approximate"),
        (1.0, 12, "exact"),
    ]
    assert len({s["first_id"] for s in settings}) == 4 and {s["noise"] for s in settings} == {"exact"}
    assert [g["name"] for g in generations if not g["sampler"]] == ["held-out text", "shuffled words", "random letters"]
    for g in generations:
        assert set(g["judges"]) == {"3-gram", "twin"} and g["entropy"]["mean"] >= 0
        for score in g["judges"].values():
            assert len(score["nats"]) == g["texts"] and all(math.isfinite(n) for n in score["nats"])
    again = run_json(*options)
    for one in (found, written, again):
        for g in one["generation"]["generations"]:
            g["sampler"].pop("seconds", None)
    assert written["generation"] == found["generation"] == again["generation"]
    report = (tmp_path / "sub" / "result.md").read_text()
    assert "entropy, nats" in report and "| noise |" in report and "result.png" in report
    assert "3-gram: interpolated Witten-Bell" in report and "twin: an autoregressive checkpoint" in report
    judged = report[report.index("## Judges, judged") :]
    for judge, facts in found["generation"]["controls"].items():
        row = next(line for line in judged.splitlines() if line.startswith(f"| {judge} |"))
        assert f"| {'yes' if facts['in_order'] else 'NO'} |" in row
        assert all(name in row for name in facts["behind_shuffled_words"]) and ("none" in row) == ("NFE" not in row)
    assert (tmp_path / "sub" / "result.png").stat().st_size > 1000


def test_samples_near_the_shuffled_words_stand_in_brackets():
    sampler = {"name": "FirstHitting", "nfe": 8.0, "temperature": 1.0}
    ends = {"shuffled words": (2.0, 2.2), "a": (2.1, 2.4), "b": (2.3, 2.5)}
    shown = [
        {
            "name": n,
            "sampler": {} if n == "shuffled words" else sampler | {"name": n},
            "judges": {"j": {"interval95": e}},
        }
        for n, e in ends.items()
    ]
    assert _behind(shown, "j", ["a, NFE 8, T 1", "b, NFE 8, T 1"]) == ["(a, NFE 8, T 1)", "b, NFE 8, T 1"]


@pytest.mark.parametrize(
    "options",
    [
        ["nowhere"],
        ["--text", "nowhere.txt"],
        ["--text", "{files}/mdm/model.safetensors"],
        ["--draws", 3],
        ["--windows", -1],
        ["--samples", 1],
        ["--frontier"],
        ["--judge", "ngram"],
        ["--dtype", "float16"],
        ["--samples", 2, "--judge", "nobody"],
        ["--samples", 2, "--judge", "ngram", "--judge", "ngram"],
        ["--samples", 2, "--length", 0],
        ["--samples", 2, "--skip-likelihood", "--nfe", 0],
        ["--samples", 2, "--nfe", "4,8"],
        ["--samples", 2, "--temperature", "warm"],
        ["--samples", 2, "--skip-likelihood", "--temperature", "-1"],
        ["--samples", 2, "--skip-likelihood", "--noise", "loud"],
    ],
)
def test_bad_input_is_one_line_and_code_2(files, options):
    model = [] if options == ["nowhere"] else [files / "mdm"]
    result = run("evaluate", *model, *(str(o).replace("{files}", str(files)) for o in options))
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
    assert result.stderr.startswith("pymdm: ") and not result.stdout


def test_an_autoregressive_checkpoint_is_sampled_from_left_to_right(files):
    result = run("evaluate", files / "twin", "--samples", 2, "--skip-likelihood", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["generation"]


@pytest.mark.parametrize("columns", [80, 160])
def test_tables_fit_and_the_number_that_matters_is_last(files, monkeypatch, columns):
    monkeypatch.setattr("pymdm.report.terminal.FILE_WIDTH", columns)
    options = ["--draws", 4, "--samples", 2, "--length", 8, "--seed", 5]
    shown = run("evaluate", files / "mdm", *options).stdout
    found = run_json("evaluate", files / "mdm", *options)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns and "|---" not in shown and "**" not in shown
    assert lines[-1].startswith(f"{found['likelihood']['bits_per_char']:.3f} bits per character (upper bound, 95% ")
    judged = found["generation"]["generations"][1]["judges"]
    for score in judged.values():
        assert f"{score['bits_per_char']:.3f}" in shown
    for word in ("self-BLEU-4", "bits/char", "FirstHitting", "interval", "Witten-Bell"):
        assert word in shown, word  # whole
    only = run("evaluate", files / "mdm", *options, "--skip-likelihood").stdout.splitlines()
    assert "bits/char under" in " ".join(only[-2:]) and max(map(len, only)) <= columns


def test_data_folders_and_networks_with_time(tmp_path):
    """Bytes made by `pymdm data` are scored in bits per byte; a network that reads the time gets it drawn."""
    text = ("café au lait, s'il vous plaît. " * 12).encode()
    tokenizer = Tokenizer.train([], "byte")
    row = np.frombuffer(text, dtype=np.uint8)
    sides = {"train": row[:200], "held_out": row[200:]}
    write_data(tmp_path / "data", "coffee", tokenizer, sides, {k: len(v) for k, v in sides.items()}, "byte")
    config = ModelConfig(vocab_size=256, length=24, width=16, layers=1, heads=2, conditioning="time", cond_dim=8)
    state = MaskedTransformer(config).state_dict()
    save_checkpoint(tmp_path / "m", config, state, tokenizer, {"recipe": {"source": str(tmp_path / "data")}})
    found = run_json("evaluate", tmp_path / "m", "--draws", 4)
    assert found["likelihood"]["characters"] == found["likelihood"]["tokens"] == len(text) - 200
    assert found["likelihood"]["bits_per_char"] == pytest.approx(8.0, abs=0.3)  # adaLN starts as nothing: near uniform
    assert found["run"]["text"]["unit"] == "byte" and 0 < found["ngram_bits_per_char"]["5"] < 4
    assert "bits per byte" in run("evaluate", tmp_path / "m", "--draws", 2).stdout


def test_with_a_text_a_checkpoint_decides_nothing_that_is_opened(files, tmp_path, monkeypatch):
    """A recipe that names a data set of the Hub, a device or a folder: none is touched with --text, each is without."""
    asked = []
    monkeypatch.setattr("pymdm.data.corpus.load_corpus", lambda *names: asked.append(names) or 1 / 0)
    for source, held_out in (("hf:someone/evil", None), (str(tmp_path / "secret.txt"), None), (None, "hf:a/b")):
        here = tmp_path / "model"
        shutil.copytree(files / "mdm", here, dirs_exist_ok=True)
        content = json.loads((here / "config.json").read_text())
        content["training"]["recipe"] |= {"source": source, "held_out": held_out}
        (here / "config.json").write_text(json.dumps(content))
        asked.clear()
        subject = load_subject(here, files / "notes.txt")
        assert not asked and subject.train_text == "" and len(subject.tokens)
        with pytest.raises(ZeroDivisionError):
            load_subject(here)
        assert asked == [(source, held_out)]
