"""One run at a time in a folder: between processes, containers and machines, and after a kill."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.command_line import run
from helpers.tiny_training import CORPUS, TINY

from pymdm.files import held
from pymdm.files.lock import FRESH, locked
from pymdm.network.checkpoint import load_checkpoint
from pymdm.train import Recipe, train

HOLDER = """
import sys, time
from pathlib import Path
from pymdm.files.lock import locked
with locked(Path(sys.argv[1]), "train", "m", "the first command"):
    print("held", flush=True)
    time.sleep(600)
"""
RECIPE = Recipe(**TINY, steps=4, save_every=2, eval_every=0)


@pytest.fixture
def holder(tmp_path):
    """Another process that owns tmp_path/m."""
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "m")], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


def test_a_second_run_is_refused_and_names_the_first_until_that_is_killed(tmp_path, holder):
    result = run("train", tmp_path / "no such text", "--out", tmp_path / "m", "--steps", 3)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"m is being written by process {holder.pid} on host {os.uname().nodename} since " in result.stderr
    assert "(the first command); wait for it, or name another folder" in result.stderr
    with pytest.raises(ValueError, match="being written by process"):
        train(RECIPE, tmp_path / "m", corpus=CORPUS, resume=True)
    train(RECIPE, tmp_path / "other", corpus=CORPUS)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert train(RECIPE, tmp_path / "m", corpus=CORPUS).training["finished"]  # at once
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.csv", "other", "other.csv"]


def left(tmp_path, **owner):
    file = tmp_path / ".m.lock"
    file.write_text(
        json.dumps({"process": 1, "host": "far", "machine": "0" * 12, "begun": "then", "token": "t"} | owner)
    )
    return file


def test_a_run_on_another_machine_lives_while_its_lock_is_touched(tmp_path):
    file = left(tmp_path)
    with pytest.raises(ValueError, match=r"by process 1 on host far since then, seen \d+ s ago; wait for it, or, if"):
        train(RECIPE, tmp_path / "m", corpus=CORPUS)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".m.lock"]
    old = time.time() - FRESH - 60
    os.utime(file, (old, old))
    assert train(RECIPE, tmp_path / "m", corpus=CORPUS).training["finished"] and not file.exists()


def test_a_process_id_that_is_not_seen_proves_nothing_where_there_are_no_locks(tmp_path, monkeypatch):
    """On a file system without flock a fresh lock counts, of this very machine and of a process that does not exist."""

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    file = left(tmp_path, process=2**22 + 1, machine=held.machine())
    with (
        pytest.raises(ValueError, match=r"written by process 4194305 on host far"),
        locked(tmp_path / "m", "train", "m"),
    ):
        pass
    os.utime(file, (1, 1))
    with locked(tmp_path / "m", "train", "m"), pytest.raises(ValueError, match="written by process"):
        with locked(tmp_path / "m", "train", "m"):
            pass
    assert not file.exists()


def test_the_same_machine_after_a_kill_does_not_wait(tmp_path):
    left(tmp_path, machine=held.machine())
    with locked(tmp_path / "m", "train", "m"):
        pass


def test_a_run_whose_folder_was_taken_over_stops_before_it_writes(tmp_path):
    def take_over(report):
        if report.step == 3:
            left(tmp_path)

    with pytest.raises(
        ValueError, match=r"^train: .*m has been taken over by process 1 on host far since then; this run stops$"
    ):
        train(RECIPE, tmp_path / "m", corpus=CORPUS, on_progress=take_over)
    assert load_checkpoint(tmp_path / "m").training["steps"] == 2 and (tmp_path / ".m.lock").exists()


def test_planted_links_are_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".m.csv.writing").symlink_to(tmp_path / "mine")
    train(RECIPE, tmp_path / "m", corpus=CORPUS)
    (tmp_path / ".n.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"^train: cannot lock .*n: .*\.n\.lock: Too many levels of symbolic links"):
        train(RECIPE, tmp_path / "n", corpus=CORPUS)
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "n").exists()


def test_parents_that_were_made_for_nothing_are_removed(tmp_path):
    with locked(tmp_path / "a" / "b" / "m", "train", "m"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not any(tmp_path.iterdir())
