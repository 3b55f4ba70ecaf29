"""Training: it learns, it resumes bit for bit, it survives kill -9, and bad input costs one line and nothing else."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

import pymdm
from pymdm.checkpoint import load_checkpoint
from pymdm.cli.train import train as command
from pymdm.config import ModelConfig
from pymdm.model import MaskedTransformer, rotate
from pymdm.train import Corpus, Recipe, load_corpus, preset, train
from pymdm.train.corpus import cut_documents, embedded_corpus, prose_paragraphs, split_documents
from pymdm.train.log import plot_curve, read_curve
from pymdm.train.optimizer import Average, learning_rate, make_optimizers, orthogonalise
from pymdm.train.packing import Batches, windows
from pymdm.train.ship import ship
from pymdm.train.start import OFFSETS, look_at_neighbours

TINY = {"vocab": "char", "length": 16, "width": 16, "layers": 2, "heads": 2, "batch_size": 4, "threads": 1}
WORDS = "masked tokens fill in one by one until none is left and then the text can be read by all".split()


def words(seed, number):
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(WORDS, 12)) + ".\n" for _ in range(number))


CORPUS = Corpus("words", words(0, 60), words(1, 8))


# ---- the text ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded():
    return embedded_corpus()


def test_embedded_corpus_is_prose_split_without_overlap(embedded):
    train_lines = set(embedded.train_text.lower().split("\n"))
    held_lines = [line for line in embedded.held_out_text.lower().split("\n") if line]
    assert not [line for line in held_lines if line in train_lines]
    share = len(embedded.held_out_text) / len(embedded.train_text + embedded.held_out_text)
    assert 0.02 < share < 0.1 and len(embedded.train_text) > 500_000
    assert embedded.train_text.isascii()
    assert all(d.endswith("\n\n") for d in embedded.train + embedded.held_out)


def test_prose_is_told_from_code_and_tables():
    text = """Return the
        number of items.

        >>> len([1, 2])
        2

        =====  =====
        x[0]   f(y)
        =====  =====

        *args are passed on to the function as they are."""
    assert list(prose_paragraphs(text)) == [
        "Return the number of items.",
        "*args are passed on to the function as they are.",
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab \n", max_size=300), st.integers(1, 40))
def test_cut_documents_lose_nothing(text, size):
    pieces = cut_documents(text, size)
    assert "".join(pieces) == text
    assert all(size <= len(p) <= 2 * size for p in pieces[:-1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=3), min_size=2, max_size=40), st.randoms())
def test_split_keeps_equal_documents_together_and_ignores_order(documents, random):
    first, held = split_documents(documents, 0.1)
    assert not set(first) & set(held) and sorted(first + held) == sorted(documents)
    assert sum(map(len, held)) >= 0.1 * sum(map(len, documents))
    shuffled = random.sample(documents, len(documents))
    assert set(split_documents(shuffled, 0.1)[1]) == set(held)


def test_folder_is_read_whole_and_other_files_are_not(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_text("second text\n" * 40)
    (tmp_path / "sub" / "a.md").write_text("first text\r\n" * 40)
    (tmp_path / "c.bin").write_bytes(b"\xff\x00")
    corpus = load_corpus(tmp_path)
    both = "".join(corpus.train + corpus.held_out)
    assert both.count("second text\n") == 40 and both.count("first text\n") == 40 and "\r" not in both


# ---- batches ----------------------------------------------------------------------------------------------------


def test_batches_are_a_function_of_seed_and_step():
    tokens = np.arange(1000)
    a, b = (Batches(tokens, 16, 4, seed=3) for _ in range(2))
    later = [a.at(s) for s in range(40)]
    assert all(torch.equal(b.at(s), later[s]) for s in reversed(range(40)))
    assert not torch.equal(Batches(tokens, 16, 4, seed=4).at(0), later[0])
    for batch in later:
        assert torch.equal(batch, batch[:, :1] + torch.arange(16))  # each row is one run of the text


def test_an_epoch_reads_each_piece_once():
    batches = Batches(np.arange(16 * 61 + 5), 16, 10, seed=0)
    assert batches.per_epoch == 60
    starts = torch.cat([batches.at(s)[:, 0] for s in range(6)])
    assert len(starts.unique()) == 60 and len((starts % 16).unique()) == 1
    assert (batches.at(6)[0, 0] % 16) != starts[0] % 16  # the next epoch cuts elsewhere


@pytest.mark.parametrize("tokens", [16, 17, 31, 32, 200])
def test_short_texts_stay_in_range(tokens):
    batches = Batches(np.arange(tokens), 16, 3, seed=1)
    rows = torch.cat([batches.at(s) for s in range(20)])
    assert rows.min() >= 0 and rows.max() < tokens
    with pytest.raises(ValueError, match=r"^train: the text has 15 tokens, fewer than one sequence of 16"):
        Batches(np.arange(15), 16, 3, seed=1)


@pytest.mark.parametrize("tokens", [5, 16, 33, 16 * 20])
def test_windows_cover_every_token_once(tokens):
    pieces = list(windows(np.arange(tokens), 16, 4))
    assert torch.equal(torch.cat([p.flatten() for p in pieces]), torch.arange(tokens))
    assert all(p.shape[1] == 16 for p in pieces[:-1])


# ---- the optimiser and the start --------------------------------------------------------------------------------


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(f / 100, 0.1, 0.2) for f in range(101)]
    assert rates[0] == 0 and rates[10] == 1 and rates[100] == pytest.approx(0.2)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_parameter_is_optimised_once_and_only_matrices_decay(name):
    model = MaskedTransformer(ModelConfig(9, 8, 16, 2, 2, qkv_bias=True))
    groups = [g for o in make_optimizers(model, Recipe(**TINY, steps=1, optimizer=name)) for g in o.param_groups]
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in model.parameters())
    assert all((g["weight_decay"] > 0) == (p.dim() == 2) for g in groups for p in g["params"])


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.5 and values.max() < 1.3
    assert (matrix * result).sum() > 0.9 * torch.linalg.svdvals(matrix).sum() * 0.7  # same singular vectors


def test_average_follows_the_weights():
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = Average(model, 0.9)
    model.weight.data.fill_(1.0)
    average.update(model, 0)
    assert average.weights["weight"].item() == pytest.approx(0.9)  # 1 - (1 + 0) / (10 + 0)
    average.update(model, 10_000)
    assert average.weights["weight"].item() == pytest.approx(0.91)


def test_heads_start_at_their_neighbours():
    model = MaskedTransformer(ModelConfig(9, 32, 64, 2, 4, qkv_bias=True, rope_base=1000.0))
    look_at_neighbours(model, 12.0)
    for block, offsets in zip(model.blocks, OFFSETS, strict=True):
        q, k, _ = block.qkv.bias.view(3, 4, 1, 16).expand(3, 4, 32, 16).unsqueeze(1)
        scores = rotate(q, model.cos, model.sin) @ rotate(k, model.cos, model.sin).transpose(-1, -2)
        for h, offset in enumerate(offsets):
            attention = (scores[0, h] / 4).softmax(-1)
            inner = torch.arange(5, 27)
            assert (attention[inner].argmax(-1) == inner + offset).all()
            assert attention[inner, inner + offset].min() > 0.3
    with pytest.raises(ValueError, match=r"^look_at_neighbours: the network needs qkv_bias"):
        look_at_neighbours(MaskedTransformer(ModelConfig(9, 8, 16, 1, 2)), 1.0)


# ---- the loop ---------------------------------------------------------------------------------------------------


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


class Stop(Exception):
    pass


def stop_when_saved(report):
    if report.event == "saved":
        raise Stop


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_ten_steps_and_ten_more_are_twenty_bit_for_bit(tmp_path, optimizer):
    recipe = Recipe(**TINY, steps=20, save_every=10, eval_every=5, dropout=0.1, optimizer=optimizer, tied_head=False)
    whole = train(recipe, tmp_path / "whole", corpus=CORPUS)
    with pytest.raises(Stop):
        train(recipe, tmp_path / "halves", corpus=CORPUS, on_progress=stop_when_saved)
    half = load_checkpoint(tmp_path / "halves")
    assert half.training["steps"] == 10 and not half.training["finished"]
    with pytest.raises(ValueError, match=r"^train: words is not the text that the run"):
        train(recipe, tmp_path / "halves", corpus=Corpus("words", CORPUS.held_out, CORPUS.train), resume=True)
    torch.manual_seed(123)  # the global generator plays no part
    resumed = train(recipe, tmp_path / "halves", corpus=CORPUS, resume=True)
    assert resumed.training["held_out"] == whole.training["held_out"]
    assert resumed.training["train_bits_per_char"] == whole.training["train_bits_per_char"]
    for name, tensor in whole.state_dict.items():
        assert torch.equal(resumed.state_dict[name], tensor), name
        assert not torch.equal(half.state_dict[name], tensor), name
    with pytest.raises(ValueError, match=r"^train: .* holds no unfinished run to resume"):
        train(recipe, tmp_path / "halves", corpus=CORPUS, resume=True)


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


def test_a_loss_that_explodes_stops_the_run_and_keeps_the_last_checkpoint(tmp_path):
    def poison(report):
        if report.event == "saved":
            raise Stop

    with pytest.raises(Stop):
        train(Recipe(**TINY, steps=9, save_every=3), tmp_path / "m", corpus=CORPUS, on_progress=poison)
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(RuntimeError, match=r"^train: the loss is (nan|inf) at step"):
        train(Recipe(**TINY, steps=50, lr=1e30, warmup=0, save_every=0), tmp_path / "m", corpus=CORPUS)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    kept = load_file(tmp_path / "m.failed-batch.safetensors")
    assert kept["tokens"].shape == kept["masks"].shape == (4, 16) and kept["masks"].any(1).all()


def test_the_curve_is_logged_beside_the_checkpoint_and_goes_on(tmp_path):
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
    plot_curve(tmp_path / "whole.csv", tmp_path / "whole.png")
    assert (tmp_path / "whole.png").read_bytes().startswith(b"\x89PNG")


def test_a_full_disk_is_one_error_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    train(Recipe(**TINY, steps=3), tmp_path / "m", corpus=CORPUS)
    before = (tmp_path / "m" / "model.safetensors").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pymdm.checkpoint._sync", full)
    with pytest.raises(ValueError, match=r"^save_checkpoint: cannot write .*/m: No space left on device$"):
        train(Recipe(**TINY, steps=4), tmp_path / "m", corpus=CORPUS)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.csv"]
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "m").training["steps"] == 3


@pytest.mark.parametrize("kind", ["continuous", "order-agnostic", "autoregressive"])
def test_every_objective_learns_and_can_be_loaded(tmp_path, kind):
    recipe = Recipe(**(TINY | {"width": 32}), steps=60, objective=kind, schedule="cosine", lr=1e-2, eval_every=0)
    first = train(Recipe(**(TINY | {"width": 32}), steps=1, objective=kind, eval_every=0), corpus=CORPUS)
    last = train(recipe, tmp_path / "m", corpus=CORPUS)
    assert last.training["held_out"]["bits_per_char"] < 0.85 * first.training["held_out"]["bits_per_char"]
    assert load_checkpoint(tmp_path / "m").config.causal == (kind == "autoregressive")
    if kind == "autoregressive":
        with pytest.raises(ValueError, match=r"^sample: .*m is an autoregressive model"):
            pymdm.sample(pymdm.load(tmp_path / "m"), length=4)


SCRIPT = """
import sys
from pymdm.train import Corpus, Recipe, train
text = tuple(open(sys.argv[1]).read().splitlines(keepends=True))
train(Recipe(**eval(sys.argv[3]), steps=10**6, save_every=1, eval_every=0), sys.argv[2], corpus=Corpus("t", text, text))
"""


def test_kill_9_leaves_the_last_checkpoint_readable(tmp_path):
    (tmp_path / "text").write_text("".join(CORPUS.train))
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "text"), str(tmp_path / "model"), repr(TINY)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    child = subprocess.Popen(arguments, env=env, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / "model").exists():
        assert child.poll() is None, child.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    read = load_checkpoint(tmp_path / "model")
    assert read.training["steps"] >= 1
    read.build()(torch.zeros(1, 4, dtype=torch.long))


@pytest.mark.slow
def test_kills_at_many_random_times_change_nothing(tmp_path):
    """A run that is killed again and again, also while it writes, ends with the bits of one that never was."""
    (tmp_path / "text").write_text("".join(CORPUS.train))
    script = SCRIPT.replace(
        "steps=10**6, save_every=1, eval_every=0)", "steps=400, save_every=1, eval_every=0, dropout=0.1)"
    )
    script = script.replace("corpus=Corpus", "resume=Path(sys.argv[2]).exists(), corpus=Corpus")
    script = "from pathlib import Path\n" + script
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def start(out):
        arguments = [sys.executable, "-c", script, str(tmp_path / "text"), str(tmp_path / out), repr(TINY)]
        return subprocess.Popen(arguments, env=env, stderr=subprocess.PIPE)

    assert start("whole").wait(600) == 0
    rng, kills, steps = np.random.default_rng(0), 0, [0]
    while True:
        child = start("killed")
        try:
            child.wait(3.0 + 3.0 * rng.random())
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        error = child.communicate()[1].decode()
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, error
        kills += 1
        if (tmp_path / "killed").exists():
            steps.append(load_checkpoint(tmp_path / "killed").training["steps"])
        assert kills < 400 and steps == sorted(steps)
    a, b = (load_checkpoint(tmp_path / name) for name in ("whole", "killed"))
    assert kills >= 3 and a.training["held_out"] == b.training["held_out"]
    assert all(torch.equal(t, b.state_dict[name]) for name, t in a.state_dict.items())


# ---- bad input --------------------------------------------------------------------------------------------------

APP = typer.Typer()
APP.command()(command)
SMALL = ["--vocab", "char", "--length", "16", "--width", "16", "--layers", "1", "--heads", "2", "--threads", "1"]


def run(*arguments):
    return CliRunner().invoke(APP, [str(a) for a in arguments])


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text("".join(CORPUS.train + CORPUS.held_out))
    return tmp_path / "text.txt"


def test_command_line_prints_one_object_and_writes_the_checkpoint(text, tmp_path):
    result = run(text, *SMALL, "--steps", 3, "--out", tmp_path / "m", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    stored = load_checkpoint(tmp_path / "m").training
    assert printed == {"checkpoint": str(tmp_path / "m"), **stored}
    assert stored["corpus"]["name"] == str(text) and stored["recipe"]["steps"] == 3
    people = run(text, *SMALL, "--steps", 3, "--out", tmp_path / "m").stdout
    assert "bits per character" in people and "order 5" in people


def bad_input(tmp_path, kind):
    """(arguments, words of the message) of one kind of bad input."""
    file = tmp_path / "bad.txt"
    if kind == "missing":
        return [file], "no such file"
    if kind == "empty":
        file.write_text("  \n")
        return [file], "is empty"
    if kind == "short":
        file.write_text("a few words " * 30)
        return [file, "--length", 400], "fewer than one sequence of 400"
    if kind == "one character":
        file.write_text("a")
        return [file], "too short"
    if kind == "not UTF-8":
        file.write_bytes(b"caf\xe9 " * 200)
        return [file], "is not UTF-8 text (byte 3)"
    if kind == "empty folder":
        (tmp_path / "folder").mkdir()
        return [tmp_path / "folder"], "no .txt"
    file.write_text("".join(CORPUS.train))
    if kind == "output is a file":
        return [file, "--out", file], "is a file, not a folder"
    if kind == "output cannot be made":
        return [file, "--out", file / "x"], "cannot write"
    if kind == "nothing to resume":
        return [file, "--resume"], "no unfinished run"
    options = {
        "steps": (["--steps", 0], "steps must be at least 1, got 0"),
        "both budgets": (["--steps", 3, "--minutes", 1], "either steps or minutes"),
        "negative seed": (["--seed", -1], "seed must be at least 0, got -1"),
        "length": (["--length", 0], "length must be at least 1, got 0"),
        "heads": (["--heads", 3], "width / heads"),
        "rate": (["--lr", "nan"], "lr must be positive"),
        "vocabulary": (["--vocab", "words"], "vocab must be one of char, byte, bpe"),
        "vocabulary size": (["--vocab", "bpe", "--vocab-size", 100], "at least 256"),
        "size without pieces": (["--vocab-size", 300], "for bpe only"),
        "preset": (["--preset", "huge"], "preset must be one of"),
        "device": (["--device", "tpu"], "device must be one of"),
    }
    return [file, *options[kind][0]], options[kind][1]


KINDS = ["missing", "empty", "short", "one character", "not UTF-8", "empty folder", "output is a file"]
KINDS += ["output cannot be made", "nothing to resume", "steps", "both budgets", "negative seed", "length", "heads"]
KINDS += ["rate", "vocabulary", "vocabulary size", "size without pieces", "preset", "device"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(tmp_path, kind):
    arguments, message = bad_input(tmp_path, kind)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    options = [*SMALL, "--out", tmp_path / "out"] + ([] if "--steps" in arguments else ["--steps", 2])
    if kind == "both budgets":
        options = SMALL
    result = run(*options, *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and message in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(text, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    result = run(text, *SMALL, "--steps", 2, "--out", tmp_path / "locked" / "m")
    assert result.exit_code == 2 and "cannot write" in result.stderr


def test_presets_take_changes():
    assert preset("demo").minutes and preset("demo", steps=5).minutes is None
    assert preset("demo", width=64).width == 64
    assert Recipe.from_dict(preset("bundled").to_dict()) == preset("bundled")
    with pytest.raises(ValueError, match=r"^train: unknown setting 'colour'"):
        Recipe.from_dict({"colour": 1})
