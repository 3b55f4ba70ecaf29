"""Lets one run at a time write a folder: a lock file beside it names who and since when, and is touched while the run lives.

Who may take a lock that is there:
* a process of the same kernel (`machine`), any container: once nobody holds it (flock), so at once after a kill;
* of another machine, or where the file system has no locks: once it has not been touched for `FRESH` seconds, by the clock of
  the file system. A process id that is not seen proves nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymdm.files.held import Hold, machine

BEAT, FRESH = 15.0, 120.0  # seconds between touches; without one for so long a run counts as dead


class Lock:
    """A lock that is held.

    Args:
        file: the lock file. where: the operation, with which messages begin. out: the folder as the user named it.
    """

    def __init__(self, file: Path, where: str, out: str, command: str) -> None:
        self.file, self.where, self.out = file, where, out
        self.hold = self._take()
        self.owner = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "machine": machine(),
            "begun": time.strftime("%Y-%m-%d %H:%M:%S"),
            "command": command,
            "token": uuid.uuid4().hex,
        }
        os.ftruncate(self.hold.handle, 0)
        os.pwrite(self.hold.handle, json.dumps(self.owner).encode(), 0)
        self._ended = threading.Event()
        self._beat = threading.Thread(target=self._touch, name="lock", daemon=True)
        self._beat.start()

    def check(self) -> None:
        """Before writing: this run is still the owner.

        Raises:
            ValueError: another run has taken over, as after this one was suspended for long.
        """
        owner = _read(self.file)
        if owner.get("token") != self.owner["token"]:
            raise ValueError(f"{self.where}: {self.out} has been taken over by {_words(owner)}; this run stops")

    def end(self) -> None:
        """Give the folder free."""
        self._ended.set()
        self._beat.join()
        with contextlib.suppress(OSError):
            if _read(self.file).get("token") == self.owner["token"]:
                self.file.unlink()
        self.hold.close()

    def _take(self) -> Hold:
        while True:
            try:
                hold, new = _open(self.file)
            except OSError as error:
                raise ValueError(f"{self.where}: cannot lock {self.out}: {self.file}: {error.strerror}") from None
            owner, age = _read(self.file), _age(hold.handle, self.file.parent)
            taken = f"{self.where}: {self.out} is being written by {_words(owner)}"
            if hold.busy:
                hold.close()
                raise ValueError(f"{taken}; wait for it, or name another folder")
            same = hold.held and owner.get("machine") == machine()
            if not same and not new and age < FRESH:
                hold.close()
                raise ValueError(f"{taken}, seen {age:.0f} s ago; wait for it, or, if it is dead, {FRESH - age:.0f} s")
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(hold.handle), os.stat(self.file)):
                    return hold
            hold.close()  # its owner has ended and removed it meanwhile

    def _touch(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self.hold.handle if os.utime in os.supports_fd else self.file)


@contextmanager
def locked(target: Path, where: str, out: str, command: str = "") -> Iterator[Lock]:
    """Own a folder for the time of the block.

    Args:
        target: the folder, absolute, without links; missing parents are made, and removed if they stay empty.
        where: the operation, with which messages begin.
        out: the folder as the user named it.
        command: what owns it, for others' messages.

    Raises:
        ValueError: another run owns it; the message names that run.
    """
    made = []
    parent = target.parent
    while not parent.exists():
        made.append(parent)
        parent = parent.parent
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{where}: cannot write {out}: {error.strerror}") from None
    try:
        lock = Lock(target.with_name(f".{target.name}.lock"), where, out, command)
        try:
            yield lock
        finally:
            lock.end()
    finally:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _open(file: Path) -> tuple[Hold, bool]:
    """The lock file, and whether this call has made it; a link there is not followed."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        with contextlib.suppress(FileExistsError):
            return Hold(os.open(file, flags | os.O_CREAT | os.O_EXCL, 0o666)), True
        with contextlib.suppress(FileNotFoundError):
            return Hold(os.open(file, flags)), False


def _read(file: Path) -> dict[str, Any]:
    """The owner in a lock file; empty where none is told yet."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _age(handle: int, folder: Path) -> float:
    """Seconds since the last touch, by the clock that dates files in this folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as now:
            return os.fstat(now.fileno()).st_mtime - os.fstat(handle).st_mtime
    except OSError:
        return time.time() - os.fstat(handle).st_mtime


def _words(owner: dict[str, Any]) -> str:
    if not owner:
        return "another run"
    command = f" ({owner['command']})" if owner.get("command") else ""
    return f"process {owner.get('process')} on host {owner.get('host')} since {owner.get('begun')}{command}"
