"""Every example runs, and prints what it is there to show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = "masked tokens fill in one by one until none is left and then the text can be read by all. " * 60


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_train_and_sample(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    printed = run("train_and_sample", tmp_path / "text.txt", tmp_path / "model")
    assert "bits per character" in printed and "law exact, 48 network calls, seed 7" in printed
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_hugging_face():
    pytest.importorskip("transformers")
    *texts, last = run("hugging_face").splitlines()
    assert last == "law exact, 4 network calls for 6 sequences together"
    assert [text.split()[:1] + text.split()[-1:] for text in texts] == [["the", "."]] * 3 + [["a", "."]] * 3
    assert not any("[" in text for text in texts)  # neither the frame nor a special token


def test_infill_stop_resume():
    printed = run("infill_stop_resume")
    assert "stopped after 3 calls" in printed and "the same tokens: True" in printed


def test_audit_your_sampler():
    assert "passed: False" in run("audit_your_sampler")


def test_left_to_right():
    assert "rank [-1" in run("left_to_right")


def test_compare_samplers(tmp_path):
    pytest.importorskip("matplotlib")
    printed = run("compare_samplers", tmp_path / "plot.png").splitlines()
    values = {line[:24].strip(): [float(word) for word in line.split() if "." in word] for line in printed}
    assert values["first-hitting"][-1] < 0.04 < values["first-hitting"][0]  # one token a call is exact
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_every_example_is_run_and_listed():
    names = {p.stem for p in (ROOT / "examples").glob("*.py")}
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    listed = (ROOT / "examples" / "README.md").read_text()
    assert names <= tests
    assert all(f"`{name}.py`" in listed for name in names)


def test_antibody_loops():
    printed = run("antibody_loops")
    assert printed.count(">loops_") == 4 and "loops without C: True, law truncated" in printed
    assert "distinct sequences" in printed and "pairwise identity" in printed


def test_reaction():
    printed = run("reaction")
    assert printed.count("CC(=O)O.OCC>>CC(=O)") == 4 and "3 network calls" in printed


def test_lookahead_counts():
    lines = [line for line in run("lookahead_counts").splitlines() if "@" in line and line.startswith("| ")]
    assert len(lines) == 7  # of every task, and tokens are equal, or it ends with an error
    for line in lines:
        rounds, *cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
        tokens = 38 if "loops" in line else 120
        for cell in cells:
            assert tokens / int(rounds) <= float(cell.split(" @ ")[0]) <= tokens
