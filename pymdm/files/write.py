"""Errors of writing: a full or failing disk is told from a user's mistake, in one line."""

from __future__ import annotations

import errno
import re

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)  # nothing that another command line would mend


class NotWritten(ValueError):
    """The disk is full, or fails: not the user's mistake. A command ends with 74 (EX_IOERR)."""


def cannot_write(what: str, error: BaseException) -> ValueError:
    """The error to raise: `what`, and why; `NotWritten` where the disk is full or fails.

    >>> type(cannot_write("save: cannot write a", OSError(28, "No space left on device"))).__name__
    'NotWritten'
    """
    code = getattr(error, "errno", None)
    if code is None and (told := re.search(r"os error (\d+)", str(error))):  # as safetensors tells it
        code = int(told[1])
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return (NotWritten if code in FULL else ValueError)(f"{what}: {reason}")
