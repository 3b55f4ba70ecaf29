"""Writes a folder whole or not at all: beside its place first, then moved there in one step."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pymdm.files.held import Hold, hold, machine
from pymdm.files.target import Kind, foreign_entry

STALE = 86_400  # seconds after which what another machine began to write is taken for abandoned


def replace_folder(target: Path, kind: Kind, write: Callable[[Path], None]) -> None:
    """Write a folder; a process killed at any instant leaves the old one or the new one, whole, and on the disk.

    Args:
        target: absolute, without links (`check_target(...).path`); missing parents are made.
        kind: what it is.
        write: puts the content into the empty folder that it is given.

    Raises:
        OSError: something cannot be written; the old folder stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    fresh, lock = _begin(target)
    try:
        fresh.chmod(0o777 & ~_umask())
        write(fresh)
        for file in fresh.rglob("*"):
            file.chmod((0o777 if file.is_dir() else 0o666) & ~_umask())
            _sync(file)
        _sync(fresh)
        _put(fresh, target, kind)
        _sync(target.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        lock.close()


def _begin(target: Path) -> tuple[Path, Hold]:
    """An empty folder beside the target, held, so that no other writer sweeps it away."""
    while True:
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.{machine()}.", suffix=".writing", dir=target.parent))
        lock = hold(fresh, wait=True)
        if fresh.exists():  # or another's sweep came in between
            return fresh, lock
        lock.close()


def last_written(path: str | os.PathLike[str]) -> Path:
    """The folder itself, or its last content where a writer was killed between the two renames of `_put`."""
    folder = Path(path)
    if folder.exists():
        return folder
    previous = _previous(Path(os.path.realpath(folder)))
    return previous if previous.is_dir() else folder


def _umask() -> int:
    value = os.umask(0o022)
    os.umask(value)
    return value


def _sync(path: Path) -> None:
    """Put a file or folder on the disk for good."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(target: Path) -> None:
    """Remove what writers that were killed have left beside the target: no process of this machine holds it, or it is old."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.writing"):
        if left.is_symlink() or not left.is_dir():
            continue
        try:
            ours = f".{target.name}.{machine()}." in left.name
            lock = hold(left)
            if (ours and lock.held) or time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
            lock.close()
        except OSError:
            pass  # gone meanwhile, or another user's


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _put(fresh: Path, target: Path, kind: Kind) -> None:
    """Put `fresh` in the place of `target`; a swap in one step where the system has one."""
    if not target.exists():
        os.rename(fresh, target)
    elif _exchange(fresh, target):
        pass  # `fresh` now holds the old content and is removed by the caller
    else:
        previous = _drop_previous(target, kind)
        os.rename(target, previous)  # from here to the next line a reader finds `previous`
        os.rename(fresh, target)
    _drop_previous(target, kind)


def _drop_previous(target: Path, kind: Kind) -> Path:
    """Remove what a writer that was killed between two renames has left; a folder of another kind is not its."""
    previous = _previous(target)
    if previous.is_dir() and not previous.is_symlink() and not foreign_entry(previous, kind):
        shutil.rmtree(previous, ignore_errors=True)
    return previous


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders atomically (Linux renameat2); False where that is not possible."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if call(here, os.fsencode(a), here, os.fsencode(b), swap) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(b))
