"""`pymdm train`: one JSON object out, and bad input costs one line and nothing else."""

import errno
import json
import os
from pathlib import Path

import pytest
from helpers.command_line import run
from helpers.tiny_training import CORPUS

from pymdm.network.checkpoint import load_checkpoint

SMALL = ["--vocab", "char", "--length", "16", "--width", "16", "--layers", "1", "--heads", "2", "--threads", "1"]


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text("".join(CORPUS.train + CORPUS.held_out))
    return tmp_path / "text.txt"


def test_command_line_prints_one_object_and_writes_the_checkpoint(text, tmp_path):
    result = run("train", text, *SMALL, "--steps", 3, "--out", tmp_path / "m", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    stored = load_checkpoint(tmp_path / "m").training
    assert printed == {"checkpoint": str(tmp_path / "m"), **stored}
    assert stored["corpus"]["name"] == str(text) and stored["recipe"]["steps"] == 3
    people = run("train", text, *SMALL, "--steps", 3, "--out", tmp_path / "m", "--overwrite").stdout
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
        return [file], "needs 2 different pieces of text, got 1"
    if kind == "one piece over and over":
        file.write_text("the quick brown fox jumps over the lazy dog, said the scribe to his dozing cat\n" * 180)
        return [file], "needs 2 different pieces of text, got 1"
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
        "rate": (["--lr", "nan"], "lr must be a finite number, got nan"),
        "vocabulary": (["--vocab", "words"], "vocab must be one of char, byte, bpe"),
        "vocabulary size": (["--vocab", "bpe", "--vocab-size", 100], "at least 256"),
        "size without pieces": (["--vocab-size", 300], "--vocab-size belongs to --vocab bpe"),
        "preset": (["--preset", "huge"], "preset must be one of"),
        "device": (["--device", "tpu"], "device must be one of"),
    }
    return [file, *options[kind][0]], options[kind][1]


KINDS = [
    "missing",
    "empty",
    "short",
    "one character",
    "one piece over and over",
    "not UTF-8",
    "empty folder",
    "output is a file",
]
KINDS += ["output cannot be made", "nothing to resume", "steps", "both budgets", "negative seed", "length", "heads"]
KINDS += ["rate", "vocabulary", "vocabulary size", "size without pieces", "preset", "device"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(tmp_path, kind):
    arguments, message = bad_input(tmp_path, kind)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    options = [*SMALL, "--out", tmp_path / "out"] + ([] if "--steps" in arguments else ["--steps", 2])
    if kind == "both budgets":
        options = SMALL
    result = run("train", *options, *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and message in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("pymdm: ")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("code", "leaves"), [(errno.ENOSPC, 74), (errno.EDQUOT, 74), (errno.EIO, 74), (errno.EACCES, 2)]
)
def test_a_full_disk_while_saving_is_74_and_keeps_what_was_there(text, tmp_path, monkeypatch, code, leaves):
    assert run("train", text, *SMALL, "--steps", 2, "--out", tmp_path / "m").exit_code == 0

    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("pymdm.files.replace._sync", full)
    result = run("train", text, *SMALL, "--steps", 3, "--out", tmp_path / "m", "--overwrite")
    lines = [line for line in result.stderr.splitlines() if line.startswith("pymdm: ")]
    assert result.exit_code == leaves
    assert lines == [f"pymdm: save_checkpoint: cannot write {tmp_path / 'm'}: {os.strerror(code)}"]
    assert load_checkpoint(tmp_path / "m").training["steps"] == 2


def test_a_folder_that_cannot_be_written_is_told_before_the_training(text, tmp_path):
    """Nor is the text read first: here it does not exist."""
    locked = Path("/proc") if os.geteuid() == 0 else tmp_path / "locked"  # root may write anywhere else
    if locked.parent == tmp_path:
        locked.mkdir(mode=0o500)
    if not locked.is_dir():
        pytest.skip("root, and no /proc")
    result = run("train", tmp_path / "no text", *SMALL, "--steps", 10**9, "--out", locked / "m")
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith(f"pymdm: train: cannot write {locked / 'm'}: ")
