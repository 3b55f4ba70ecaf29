"""A training of seconds that tests share, and what a process does in it before it is killed."""

import contextlib
import os
import signal
import sys

import numpy as np

import pymdm.files.replace
from pymdm.network.checkpoint import load_checkpoint
from pymdm.train import Corpus, Recipe, train

TINY = {"vocab": "char", "length": 16, "width": 16, "layers": 2, "heads": 2, "batch_size": 4, "threads": 1}
WORDS = "masked tokens fill in one by one until none is left and then the text can be read by all".split()


def words(seed, number):
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(WORDS, 12)) + ".\n" for _ in range(number))


CORPUS = Corpus("words", words(0, 60), words(1, 8))


class Stop(Exception):
    pass


def stop_when_saved(report):
    if report.event == "saved":
        raise Stop


KILLED = Recipe(**TINY, steps=101, save_every=1, eval_every=0, dropout=0.1, tied_head=False)  # saves after every step


def saved_steps(out):
    """Steps in the last checkpoint of a run; None before the first."""
    try:
        return load_checkpoint(out).training["steps"]
    except ValueError as error:
        assert "no such folder" in str(error)
        return None


def train_until(steps, out, tell):
    """Begin the run KILLED or go on with it until so many steps are saved; `tell` hears of every report."""

    def note(report):
        tell(report)
        if report.event == "saved" and report.step == steps:
            raise Stop

    done = saved_steps(out)
    if done == steps:
        return
    with contextlib.suppress(Stop):
        train(KILLED, out, corpus=CORPUS, on_progress=note, resume=done is not None)


def train_and_tell(steps, out, pipe):
    """In a process of its own: `train_until`, with the events sent on."""
    train_until(steps, out, lambda report: pipe.send(report.event))


def die_while_saving(number, out, swap):
    """In a process of its own: one more step, killed just before file operation `number` of saving it, if there are so many.

    Without `swap` as on a system that cannot exchange two folders in one step.
    """
    if not swap:
        pymdm.files.replace._exchange = lambda *_: False
    left, saving = number, False

    def hook(event, _):
        nonlocal left
        if saving and event.startswith(("open", "os.", "shutil.", "tempfile.", "ctypes.dlsym")):
            left -= 1
            if left == -1:
                os.kill(os.getpid(), signal.SIGKILL)  # itself one such event

    def tell(report):
        nonlocal saving
        saving = report.event == "step"

    sys.addaudithook(hook)
    train_until((saved_steps(out) or 0) + 1, out, tell)
