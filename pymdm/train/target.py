"""What `train` may write and beside what: the checkpoint folder OUT, its log OUT.csv and its picture OUT.png."""

from __future__ import annotations

import json
from pathlib import Path

from pymdm.files.target import check_target
from pymdm.network.checkpoint import CONFIG, KIND
from pymdm.train.log import is_log


def check_out(out: Path, *, resume: bool = False, overwrite: bool = False, plot: bool = False) -> None:
    """Refuse, before anything is read or computed, what a run would not or must not write.

    Args:
        out: the checkpoint folder; `pymdm.files.target` says what it may be.
        resume: an unfinished run is there and goes on.
        overwrite: a model or run there may be replaced.
        plot: a picture will be drawn.

    Raises:
        ValueError: something there would be lost; the message names it.
    """
    target = check_target(out, KIND, "train")
    if target.replaces and not (resume or overwrite):
        training = json.loads((target.path / CONFIG).read_text(encoding="utf-8"))["training"]
        if isinstance(training, dict) and training.get("finished") is False:
            what = f"an unfinished run, at step {training.get('steps')}: go on with --resume"
        else:
            what = "a finished model: name another folder"
        raise ValueError(f"train: {out} holds {what}, or replace it with --overwrite")
    log, picture = out.with_name(out.name + ".csv"), out.with_name(out.name + ".png")
    if log.exists() and not is_log(log):
        raise ValueError(f"train: the log would replace {log}, which is something else; name another folder than {out}")
    if plot and picture.exists() and not (log.exists() or overwrite):
        raise ValueError(f"train: the picture would replace {picture}; name another folder than {out}, or --overwrite")
