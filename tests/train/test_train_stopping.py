"""A run that is asked to stop has saved itself; what it saved is checked when it goes on, and so is what goes on with it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from helpers.command_line import run
from helpers.tiny_training import CORPUS, TINY, Stop

from pymdm.distributed import Processes
from pymdm.network.checkpoint import PREVIOUS, STATE_NUMBERS, STATE_TENSORS, load_checkpoint
from pymdm.train import PRESETS, Recipe, loop, preset, train
from pymdm.train.log import read_curve
from pymdm.train.saving import Saver
from pymdm.train.state import DamagedState, Numbers, read_state
from pymdm.train.stop import Stopped

RECIPE = Recipe(**TINY, steps=12, save_every=4, eval_every=0, dropout=0.1)
SMALL = ["--vocab", "char", "--length", "16", "--width", "16", "--layers", "1", "--heads", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def whole():
    """The weights of the run that nothing stops."""
    return train(RECIPE, corpus=CORPUS).state_dict


def same(a, b):
    return all(torch.equal(t, b[name]) for name, t in a.items())


def at_step(step, what):
    def tell(report):
        if report.event == "step" and report.step == step:
            what()

    return tell


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 7, 12])
def test_a_signal_saves_after_the_step_and_the_run_goes_on_bit_for_bit(tmp_path, whole, number, step):
    before = signal.getsignal(number)
    with pytest.raises(
        Stopped, match=rf"^train: stopped after step {step} and saved in .*m; --resume goes on$"
    ) as stopped:
        train(RECIPE, tmp_path / "m", corpus=CORPUS, on_progress=at_step(step, lambda: os.kill(os.getpid(), number)))
    assert stopped.value.signal == number and isinstance(stopped.value, KeyboardInterrupt)
    assert signal.getsignal(number) is before and load_checkpoint(tmp_path / "m").training["steps"] == step
    assert same(train(RECIPE, tmp_path / "m", corpus=CORPUS, resume=True).state_dict, whole)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_saves_when_stopped_and_by_the_clock(tmp_path, name):
    recipe = preset(name, **(TINY | {"vocab_size": 4096}))
    assert recipe.minutes and recipe.save_minutes > 0
    with pytest.raises(Stopped):
        train(
            recipe, tmp_path / "m", corpus=CORPUS, on_progress=at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        )
    assert read_state(tmp_path / "m").numbers.step == 2


def test_the_clock_says_when_to_save_and_slow_saves_come_less_often(tmp_path):
    group = Processes(0, 1, torch.device("cpu"))
    saver = Saver(tmp_path, replace(RECIPE, save_every=0, save_minutes=2.0), group, None, None, seconds=30.0)
    assert not saver.due(Numbers("", 5, 149.0)) and saver.due(Numbers("", 5, 150.0))
    saver.saved(150.0, 160.0)  # ten seconds: not again within 200
    assert not saver.due(Numbers("", 6, 359.0)) and saver.due(Numbers("", 6, 360.0))
    never = Saver(tmp_path, replace(RECIPE, save_every=0, save_minutes=0.0), group, None, None, 0.0)
    assert not never.due(Numbers("", 6, 1e9))
    saved = []
    train(
        replace(RECIPE, save_every=0, save_minutes=1e-9),
        tmp_path / "m",
        corpus=CORPUS,
        on_progress=saved.append,
    )
    assert next(r.step for r in saved if r.event == "saved") == 1


def test_ctrl_c_in_the_last_evaluation_loses_no_step(tmp_path, whole, monkeypatch):
    evaluate = loop.held_out_bound

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "held_out_bound", interrupted)
    with pytest.raises(Stopped, match="stopped after step 12 and saved"):
        train(RECIPE, tmp_path / "m", corpus=CORPUS)
    monkeypatch.setattr(loop, "held_out_bound", evaluate)
    resumed = train(RECIPE, tmp_path / "m", corpus=CORPUS, resume=True)
    assert same(resumed.state_dict, whole) and resumed.training["finished"]


def test_a_command_that_is_interrupted_says_so_in_one_line(tmp_path):
    (tmp_path / "text.txt").write_text("".join(CORPUS.train + CORPUS.held_out))
    command = [
        sys.executable,
        "-m",
        "pymdm",
        "train",
        "text.txt",
        "--out",
        "m",
        "--minutes",
        "5",
        "--save-minutes",
        "0.0001",
    ]
    child = subprocess.Popen([*command, *SMALL], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "m").exists() and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    error = child.communicate(timeout=120)[1]
    assert child.returncode == 128 + signal.SIGTERM, error
    assert error.strip().splitlines()[-1].startswith("pymdm: train: stopped after step ")
    assert "Traceback" not in error and not load_checkpoint(tmp_path / "m").training["finished"]


# ---- damage -----------------------------------------------------------------------------------------------------


def flip(file):
    """Another bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.fixture
def stopped(tmp_path):
    """A run stopped at step 8, with the state of step 4 as the one before."""

    def stop(report):
        if report.event == "saved" and report.step == 8:
            raise Stop

    with pytest.raises(Stop):
        train(RECIPE, tmp_path / "m", corpus=CORPUS, on_progress=stop)
    assert read_state(tmp_path / "m").numbers.step == 8
    return tmp_path / "m"


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
@pytest.mark.parametrize("name", [STATE_TENSORS, STATE_NUMBERS])
def test_a_damaged_state_is_named_and_the_one_before_is_used(stopped, whole, name, damage):
    file = stopped / name
    if damage == "flip":
        flip(file)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.unlink()
    with pytest.warns(DamagedState, match=rf"^train: .*m/{name} .*; going on from the state before, of step 4$"):
        resumed = train(RECIPE, stopped, corpus=CORPUS, resume=True)
    assert same(resumed.state_dict, whole)


def test_two_damaged_states_are_an_error_that_names_both(stopped):
    flip(stopped / STATE_TENSORS)
    flip(stopped / PREVIOUS / STATE_TENSORS)
    before = {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()}
    with pytest.raises(
        ValueError, match=rf"^train: .*m/{STATE_TENSORS} is damaged.*; .*{PREVIOUS}/{STATE_TENSORS} is damaged"
    ):
        train(RECIPE, stopped, corpus=CORPUS, resume=True)
    assert {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()} == before


def test_the_command_tells_of_damage_in_one_line(stopped, tmp_path):
    flip(stopped / STATE_TENSORS)
    result = run("train", "--out", stopped, "--resume")  # the text was given in memory: this one is another
    assert result.exit_code == 2 and result.stderr.count("\n") == 2
    assert (
        result.stderr.startswith("pymdm: note: train: ")
        and "going on from the state before, of step 4" in result.stderr
    )
    assert "embedded is not the text that the run in" in result.stderr


# ---- what goes on with a run ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a.txt, b.txt and a run on a.txt, named relative to it, that was stopped at step 8 of 24."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("".join(CORPUS.train + CORPUS.held_out))
    (tmp_path / "b.txt").write_text("".join(CORPUS.held_out + CORPUS.train[:50]))
    recipe = Recipe(**TINY, source="a.txt", steps=24, save_every=8, eval_every=0)
    with pytest.raises(Stop):
        train(recipe, "m", on_progress=at_saved, command="pymdm train a.txt")
    return tmp_path


def at_saved(report):
    if report.event == "saved":
        raise Stop


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lr", 0.5], "the run in m has lr 0.002, which cannot become 0.5"),
        (["--batch-size", 8], "batch_size 4, which cannot become 8"),
        (["--width", 64], "width 16, which cannot become 64"),
        (["--seed", 1], "seed 0, which cannot become 1"),
        (["--preset", "demo"], "which cannot become"),
        (["--steps", 4], "has done 8 steps already, more than 4"),
        (["--steps", 60, "--lr", 0.5, "--batch-size", 4], "lr 0.002, which cannot become 0.5"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_settings_that_contradict_the_run_are_refused(folder, options, words):
    result = run("train", "a.txt", "--out", "m", "--resume", *options)
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
    assert load_checkpoint("m").training["steps"] == 8


def test_another_text_is_refused_and_the_same_elsewhere_is_not(folder):
    result = run("train", "b.txt", "--out", "m", "--resume")
    assert result.exit_code == 2 and "b.txt is not the text that the run in m began with" in result.stderr
    (folder / "a.txt").rename(folder / "moved.txt")
    result = run("train", "moved.txt", "--out", "m", "--resume", "--steps", 10, "--batch-size", 4)
    assert result.exit_code == 0, result.stderr
    training = load_checkpoint("m").training
    assert training["steps"] == 10 and training["recipe"]["source"] == str(folder / "moved.txt")


def test_resume_and_evaluate_work_from_another_folder(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    result = run("train", "--out", folder / "m", "--resume", "--minutes", 0.001)  # another kind of budget, spent
    assert result.exit_code == 0, result.stderr
    training = load_checkpoint(folder / "m").training
    assert training["recipe"]["source"] == str(folder / "a.txt") and training["command"] == "pymdm train a.txt"
    assert len(training["resumed_with"]) == 1 and training["finished"]
    assert run("evaluate", folder / "m", "--windows", 4).exit_code == 0


def test_a_finished_run_goes_on_for_more_steps(tmp_path):
    train(replace(RECIPE, steps=4), tmp_path / "m", corpus=CORPUS)
    with pytest.raises(
        ValueError, match=r"holds no unfinished run to resume; more --steps or --minutes lets this one go on"
    ):
        train(replace(RECIPE, steps=4), tmp_path / "m", corpus=CORPUS, resume=True)
    more = train({"steps": 9}, tmp_path / "m", corpus=CORPUS, resume=True).training
    assert more["steps"] == 9 and more["recipe"]["steps"] == 9 and more["finished"]


def test_the_log_of_a_run_killed_before_step_10_keeps_its_rows(tmp_path):
    recipe = Recipe(**TINY, steps=9, save_every=5, eval_every=2)
    with pytest.raises(Stop):
        train(recipe, tmp_path / "m", corpus=CORPUS, on_progress=at_saved)
    train(recipe, tmp_path / "m", corpus=CORPUS, resume=True)
    assert [int(row["step"]) for row in read_curve(tmp_path / "m.csv")] == [2, 4, 6, 8, 9]
