"""Training that is stopped, killed or out of disk space loses nothing: it resumes bit for bit."""

import errno
import itertools
import json
import multiprocessing
import os
import signal
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_training import (
    CORPUS,
    KILLED,
    TINY,
    Stop,
    die_while_saving,
    saved_steps,
    stop_when_saved,
    train_and_tell,
    train_until,
)
from safetensors.torch import load_file

from pymdm.network.checkpoint import WEIGHTS, load_checkpoint
from pymdm.train import Corpus, Recipe, train
from pymdm.train.log import read_curve
from pymdm.train.state import STATE_NUMBERS, STATE_TENSORS, read_state


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


def test_a_loss_that_explodes_stops_the_run_and_keeps_the_last_checkpoint(tmp_path):
    def poison(report):
        if report.event == "saved":
            raise Stop

    with pytest.raises(Stop):
        train(Recipe(**TINY, steps=9, save_every=3), tmp_path / "m", corpus=CORPUS, on_progress=poison)
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(RuntimeError, match=r"^train: the loss is (nan|inf) at step"):
        train(Recipe(**TINY, steps=50, lr=1e30, warmup=0, save_every=0), tmp_path / "m", corpus=CORPUS, overwrite=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    kept = load_file(tmp_path / "m.failed-batch.safetensors")
    assert kept["tokens"].shape == kept["masks"].shape == (4, 16) and kept["masks"].any(1).all()


def test_a_full_disk_is_one_error_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    train(Recipe(**TINY, steps=3), tmp_path / "m", corpus=CORPUS)
    before = (tmp_path / "m" / "model.safetensors").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pymdm.files.replace._sync", full)
    with pytest.raises(ValueError, match=r"^save_checkpoint: cannot write .*/m: No space left on device$"):
        train(Recipe(**TINY, steps=4), tmp_path / "m", corpus=CORPUS, overwrite=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.csv"]
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "m").training["steps"] == 3


# ---- kill -9 ----------------------------------------------------------------------------------------------------


@pytest.fixture
def processes(monkeypatch):
    """Makes processes that are forked from one that has the package loaded: a kill costs no new start of torch."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["helpers.tiny_training", "torch._dynamo"]
    )  # the latter comes with an optimiser's first step
    return context


def same_run(a, b):
    """Whether two runs stand at the same step with the same bits: weights, average, optimisers, and what noise depends on."""
    states = [json.loads((f / STATE_NUMBERS).read_text()) for f in (a, b)]
    clocks = [state.pop("seconds") for state in states if state.pop("sha256")]  # of the clock too
    assert states[0] == states[1] and min(clocks) > 0
    kinds = {name.split(".")[0] for name in read_state(a).tensors}
    assert kinds == {"weight", "average", "optimizer"}
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in (STATE_TENSORS, WEIGHTS))


EVERY_KILL = [pytest.param(swap, 1, marks=pytest.mark.slow, id=f"swap={swap}") for swap in (True, False)]


@pytest.mark.parametrize(("swap", "stride"), [*EVERY_KILL, pytest.param(True, 7, id="every seventh")])
def test_a_kill_before_any_file_operation_of_a_save_loses_at_most_a_step(tmp_path, processes, swap, stride):
    train_until(1, tmp_path / "killed", lambda _: None)
    for number in itertools.count(0, stride):
        before = saved_steps(tmp_path / "killed")
        child = processes.Process(target=die_while_saving, args=(number, tmp_path / "killed", swap))
        child.start()
        child.join()
        after = saved_steps(tmp_path / "killed")
        assert after == read_state(tmp_path / "killed").numbers.step and after - before in (0, 1)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert number >= 20 and after >= 3  # and it died also after the new folder had come
    train_until(after, tmp_path / "whole", lambda _: None)
    assert same_run(tmp_path / "whole", tmp_path / "killed")
    assert {p.name for p in tmp_path.iterdir()} <= {"whole", "whole.csv", "killed", "killed.csv"}


@pytest.mark.slow
def test_kills_at_many_random_times_change_nothing(tmp_path, processes):
    """A run that is killed again and again, while it computes and while it writes, ends with the bits of one that never was.

    Each kill comes a random time after a random report of the training, so machine speed does not matter.
    """
    steps, times = 100, []
    train_until(steps, tmp_path / "whole", lambda _: times.append(time.monotonic()))
    pause = statistics.median(b - a for a, b in itertools.pairwise(times))
    rng, killed_after = np.random.default_rng(0), []
    while True:
        heard, pipe = processes.Pipe(duplex=False)
        child = processes.Process(target=train_and_tell, args=(steps, tmp_path / "killed", pipe))
        child.start()
        pipe.close()
        try:
            for _ in range(rng.integers(1, 8)):
                event = heard.recv()
            time.sleep(2 * pause * rng.random())
            child.kill()
        except EOFError:  # it came to its end
            pass
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        killed_after.append(event)
        assert len(killed_after) < 400
    assert min(killed_after.count("step"), killed_after.count("saved")) >= 10, killed_after
    assert same_run(tmp_path / "whole", tmp_path / "killed")
    ends = [train(KILLED, tmp_path / name, corpus=CORPUS, resume=True) for name in ("whole", "killed")]
    assert ends[0].training["held_out"] == ends[1].training["held_out"]
    assert all(torch.equal(t, ends[1].state_dict[name]) for name, t in ends[0].state_dict.items())
    whole, killed = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_curve(tmp_path / f"{name}.csv")]
        for name in ("whole", "killed")
    )
    assert whole == killed
