"""What `train` may write and beside what: the checkpoint folder OUT, its log OUT.csv and its picture OUT.png."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pymdm.files.read import read_json
from pymdm.files.target import check_target
from pymdm.network.checkpoint import CONFIG, KIND
from pymdm.train.log import is_log, log_file


def check_out(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuse, before anything is read or computed, what a run would not or must not write.

    Args:
        out: the checkpoint folder; `pymdm.files.target` says what it may be.
        resume: a run is there and goes on.
        overwrite: a model or run there may be replaced.

    Raises:
        ValueError: something there would be lost; the message names it.
    """
    target = check_target(out, KIND, "train")
    if target.replaces and not (resume or overwrite):
        training = read_json(target.path / CONFIG, "train")["training"]
        if isinstance(training, dict) and training.get("finished") is False:
            what = f"an unfinished run, at step {training.get('steps')}: go on with --resume"
        else:
            what = "a finished model: name another folder"
        raise ValueError(f"train: {out} holds {what}, or replace it with --overwrite")
    log = log_file(out)
    if log.exists() and not is_log(log):
        raise ValueError(f"train: the log would replace {log}, which is something else; name another folder than {out}")


def check_picture(out: Path, overwrite: bool = False) -> None:
    """Refuse, before a run, a picture OUT.png that cannot be drawn or would replace one that is not of a run.

    Raises:
        ValueError: matplotlib is missing, or there is a file without a log beside it.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("train: --plot needs matplotlib, which is not installed")
    picture = out.with_name(out.name + ".png")
    if picture.exists() and not (log_file(out).exists() or overwrite):
        raise ValueError(f"train: the picture would replace {picture}; name another folder than {out}, or --overwrite")
