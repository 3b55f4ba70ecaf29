"""The record of a run: a CSV file beside the checkpoint folder, TensorBoard where it is installed, and a picture."""

from __future__ import annotations

import csv
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymdm.report.figure import drawing

EVERY = 10  # steps between rows
COLUMNS = ("step", "tokens", "seconds", "bits_per_char", "held_out_bits_per_char", "learning_rate")


@dataclass(frozen=True)
class Progress:
    """One report of a running training.

    Attributes:
        event: "step", "evaluated" or "saved"; before the first step "reading" and "tokenizing", after the last "evaluating".
        step: steps done.
        fraction: share of the budget spent, 0..1.
        bits_per_char: running average of the training bound.
        held_out_bits_per_char: latest held-out bound, once there is one.
        learning_rate: of the latest step, as a share of the peak.
        seconds, seconds_left: spent, and expected to remain (training only).
        tokens: tokens seen.
        rows: of "evaluating": network rows done.
    """

    event: str
    step: int
    fraction: float
    bits_per_char: float
    held_out_bits_per_char: float | None
    learning_rate: float
    seconds: float
    seconds_left: float
    tokens: int
    rows: int = 0


class CurveLog:
    """Rows of a run in OUT.csv, and the same numbers in OUT.tensorboard where `tensorboard` is installed.

    A run that goes on keeps the rows up to its step; a new run begins anew. A log that cannot be written stops nothing.

    Args:
        out: the checkpoint folder.
        done: steps that a run that goes on has done; 0 of a new one.
    """

    def __init__(self, out: Path, done: int = 0) -> None:
        self.file, self.begun, self.done = log_file(out), False, done
        self.board: Any = None
        self.folder = out.with_name(out.name + ".tensorboard")

    def note(self, progress: Progress) -> None:
        """Write a row for every tenth step and every evaluation."""
        if progress.event not in ("step", "evaluated") or (progress.event == "step" and progress.step % EVERY):
            return
        held = progress.held_out_bits_per_char if progress.event == "evaluated" else None
        row = (
            progress.step,
            progress.tokens,
            round(progress.seconds, 2),
            round(progress.bits_per_char, 5),
            "" if held is None else round(held, 5),
            round(progress.learning_rate, 5),
        )
        try:
            if not self.begun:
                self._begin(progress.step)
            with self.file.open("a", newline="", encoding="utf-8") as f:
                csv.writer(f).writerow(row)
        except OSError:
            return
        if self.board is not None:
            self.board.add_scalar("train/bits_per_char", progress.bits_per_char, progress.step)
            self.board.add_scalar("train/learning_rate", progress.learning_rate, progress.step)
            if held is not None:
                self.board.add_scalar("held_out/bits_per_char", held, progress.step)

    def _begin(self, step: int) -> None:
        """Keep the rows of the steps that are done, drop the others, open TensorBoard."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if self.done and self.file.is_file():
            kept = [r for r in read_curve(self.file) if int(r["step"]) <= self.done]
        # A kill in the middle leaves the old rows. The name is made anew each time, so no link can wait under it.
        handle, fresh = tempfile.mkstemp(prefix=f".{self.file.name}.", suffix=".writing", dir=self.file.parent)
        with open(handle, "w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)
        umask = os.umask(0o022)
        os.umask(umask)
        os.chmod(fresh, 0o666 & ~umask)
        os.replace(fresh, self.file)
        self.begun = True
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(self.folder), purge_step=step)
        except ImportError:
            pass


def log_file(out: Path) -> Path:
    """Where the log of a run lies."""
    return out.with_name(out.name + ".csv")


def is_log(file: Path) -> bool:
    """Whether a file is the log of a run: it begins with our columns, or is empty."""
    try:
        with file.open("rb") as f:
            begin = f.read(len(",".join(COLUMNS)))
    except OSError:
        return False
    return begin in (b"", ",".join(COLUMNS).encode())


def read_curve(file: Path) -> list[dict[str, str]]:
    """Rows of a log."""
    with file.open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def plot_curve(file: Path, picture: Path) -> None:
    """Draw a log: training and held-out bits per character over tokens.

    Raises:
        ValueError: matplotlib is not installed, or the log cannot be read.
    """
    try:
        rows = read_curve(file)
    except OSError as error:
        raise ValueError(f"train: cannot read {file}: {error.strerror}") from None
    bits = [(int(r["tokens"]), float(r["bits_per_char"])) for r in rows]
    held = [(int(r["tokens"]), float(r["held_out_bits_per_char"])) for r in rows if r["held_out_bits_per_char"]]
    with drawing(picture, "train", 7.0) as axes:
        axes.plot(*(zip(*bits, strict=True) if bits else ([], [])), label="training, running mean")
        if held:
            axes.plot(*zip(*held, strict=True), marker="o", label="held out")
        axes.set(xlabel="tokens", ylabel="bits per character")
        axes.legend()
