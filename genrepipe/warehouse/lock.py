"""The lock of a warehouse: one writing command at a time, and what a killed one left to be recorded.

The lock is the file ``WAREHOUSE.lock``, locked with flock. It holds the identity of the command that has it, and notes
of runs that the ledger does not know yet: a command that was killed could not record itself.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from genrepipe.core import processes
from genrepipe.core.errors import CHECK, REMEDIES, StorageError, WarehouseBusy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY = "Stop it, or wait for it: --wait 10m does"
HELD = {errno.EWOULDBLOCK, errno.EACCES}  # what flock says of a lock that another process holds; NFS says the latter
UNRECORDED = "unrecorded"
MAX_TEXT = 1 << 20  # characters that are read of a lock file


class Lock:
    """A held lock. ``unrecorded`` are the notes of runs that are not in the ledger."""

    def __init__(self, file: IO[str], identity: dict[str, str]) -> None:
        self._file = file
        self._identity = {**identity, "pid": os.getpid(), "host": socket.gethostname()}
        self.unrecorded: list[dict[str, Any]] = []
        if left := _read(file):
            earlier = left.pop(UNRECORDED, [])
            notes = [*earlier, left] if isinstance(earlier, list) else [left]
            self.unrecorded = [note for note in notes if isinstance(note, dict) and "run_id" in note]

    @property
    def inherited(self) -> tuple[int, ...]:
        """The descriptors that a child process inherits to hold the lock for as long as it lives."""
        return (self._file.fileno(),)

    def write(self) -> None:
        """Write the identity of the holder, and the notes, into the file."""
        self._write({**self._identity, UNRECORDED: self.unrecorded})

    def write_notes(self) -> bool:
        """Leave the notes alone in the file, and return whether there are any."""
        self._write({UNRECORDED: self.unrecorded} if self.unrecorded else None)
        return bool(self.unrecorded)

    def _write(self, content: dict[str, Any] | None) -> None:
        try:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(json.dumps(content) if content else "")
            self._file.flush()
        except OSError:
            pass  # a full disk: the lock holds without its text


@contextmanager
def locked(path: Path, warehouse: Path, identity: dict[str, str]) -> Iterator[Lock]:
    """Hold the lock file ``path`` of a warehouse; it is removed afterwards, unless notes are left in it.

    Raises
    ------
    WarehouseBusy
        Another command holds it.
    StorageError
        The folder cannot be written.
    """
    while True:
        with _opened(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in HELD:
                    raise StorageError(
                        f"{path} cannot be locked: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
                    ) from error
                raise WarehouseBusy(f"{warehouse} is locked by {_holder(_read(file))}", BUSY) from error
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                continue  # the command that held it has removed the file meanwhile
            lock = Lock(file, identity)
            lock.write()
            try:
                yield lock
            finally:
                if not lock.write_notes():
                    with suppress(OSError):  # an empty lock file is no lock
                        path.unlink(missing_ok=True)
            return


def holder(path: Path) -> str | None:
    """Return who holds the lock file ``path``, or None where nobody does; the file is neither made nor removed.

    Raises
    ------
    OSError
        It cannot be looked at.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in HELD:
                raise
            return _holder(_read(file))
    return None


def _opened(path: Path) -> IO[str]:
    """Open the lock file; a link, a pipe or a device in its place is refused, since what it leads to would be emptied."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        what = "is a link" if error.errno == errno.ELOOP else f"cannot be written: {error.strerror}"
        raise StorageError(f"{path} {what}", REMEDIES.get(error.errno or 0, CHECK)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageError(f"{path} is not a regular file", "Remove it: it is the place of the warehouse's lock")
    return os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")


def _read(file: IO[str]) -> dict[str, Any] | None:
    file.seek(0)
    try:
        content = json.loads(file.read(MAX_TEXT) or "null")
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _holder(content: dict[str, Any] | None) -> str:
    if not content:
        return "another run"
    pid, host = content.get("pid"), content.get("host")
    who = f"PID {pid} on {host}"
    if isinstance(pid, int) and host == socket.gethostname():
        who = processes.described(pid).replace(f"PID {pid}", who, 1)
    return f"run {content.get('run_id')} of {content.get('run_date')} ({who})"
