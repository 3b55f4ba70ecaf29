"""Advisory locks (flock) on files and folders: the kernel releases one when the process that holds it ends.

It holds between all processes of one kernel, so also between containers, where a process id means nothing. Other machines may
not see it; `machine` tells them apart.
"""

from __future__ import annotations

import functools
import os
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing is ever known to be held
    fcntl = None  # type: ignore[assignment]


@functools.cache
def machine() -> str:
    """Name of the running kernel, 12 hexadecimal digits: the same in all its containers, another after a restart."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        text = f"{uuid.getnode():x}"
    return uuid.uuid5(uuid.NAMESPACE_OID, text.strip()).hex[:12]


class Hold:
    """An open file or folder: `held`, this process now has its lock; `busy`, another has; neither: there are no locks here."""

    def __init__(self, handle: int, wait: bool = False) -> None:
        self.handle, self.held, self.busy = handle, False, False
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                self.held = True
            except BlockingIOError:
                self.busy = True
            except OSError:
                pass

    def close(self) -> None:
        """End the hold."""
        os.close(self.handle)


def hold(path: Path, wait: bool = False) -> Hold:
    """Open a folder and take its lock if it is free, or once it is.

    Raises:
        OSError: it cannot be opened.
    """
    return Hold(os.open(path, os.O_RDONLY), wait)
