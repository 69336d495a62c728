"""Generations of the warehouse: users read one file while a command writes the next, and a rename swaps them.

A command works in ``WAREHOUSE.next``, a copy. Publishing gives the current generation a second name, renames the next one
over the file, which is the instant at which everything becomes visible, and renames the second name to
``WAREHOUSE.previous``. A kill before that instant leaves the old generation whole, a kill after it the new one; the next
command finishes the last rename, or removes what is left.

A reader's DuckDB opens the file twice, for its header and then for its blocks, and a rename may fall in between. So the
next generation is a copy of this one with one checkpoint, which overwrites no block that the old header names, and blocks
that the checkpoint cut off the end are put back: an old header reads the old generation out of the new file. The file
therefore keeps its largest size; free blocks are used again.

DuckDB's file locks are POSIX locks, which belong to the process: opening and closing the held file by any other way would
silently drop the hold. So it is copied by a child process and never opened here.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from genrepipe.core import signals
from genrepipe.core.errors import REMEDIES, StorageError, WarehouseBusy, errno_in
from genrepipe.warehouse.connection import Database
from genrepipe.warehouse.lock import BUSY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genrepipe.core.resources import Plan

COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
TAIL = """
import shutil, sys
origin, target, start = *sys.argv[1:3], int(sys.argv[3])
with open(origin, "rb") as old, open(target, "r+b") as new:
    old.seek(start), new.seek(start)
    shutil.copyfileobj(old, new)
"""


def sibling(path: Path, kind: str) -> Path:
    """Return the file ``next``, ``previous`` or ``lock`` of a warehouse."""
    return path.with_name(f"{path.name}.{kind}")


class Generations:
    """The files of one warehouse, whose lock is held."""

    def __init__(self, path: Path, plan: Plan, inherited: tuple[int, ...] = ()) -> None:
        self.path, self.next, self.previous = path, sibling(path, "next"), sibling(path, "previous")
        self._kept = sibling(path, "previous.new")  # the second name of the current generation
        self._inherited = inherited
        self.current: Database | None = None
        self.swapped = False  # whether users see what this command wrote
        self._plan = plan
        self._stack = ExitStack()

    def hold(self) -> Database | None:
        """Open the current generation for reading until ``close``, and return it, or None where there is none.

        Raises
        ------
        WarehouseBusy
            Another process has it open for writing.
        """
        if self.path.exists():
            if self.path.with_name(f"{self.path.name}.wal").exists():
                # Another program died while it wrote here; what it committed belongs into the file before a copy.
                with Database(self.path, self._plan) as database:
                    database.execute("CHECKPOINT")
            self.current = self._stack.enter_context(Database(self.path, self._plan, read_only=True))
        return self.current

    def begin(self) -> Database:
        """Copy the current generation, if there is one, and open the copy for writing.

        Raises
        ------
        StorageError
            It cannot be copied, or there is no room for it.
        """
        if self.current:
            copy_file(self.path, self.next, self._inherited)
        database = Database(self.next, self._plan, shown_as=self.path)
        database.execute("SET checkpoint_threshold = '1000TB'")  # one checkpoint, by publish
        self._stack.push(lambda *_: database.close())
        self._stack.enter_context(signals.on_signal(database.interrupt))
        return database

    def publish(self, database: Database, *, keep_previous: bool = False) -> list[str]:
        """Make what was committed visible to users, all at once; the generation before becomes the one to go back to.

        With ``keep_previous`` the one before it stays that: what is published then is no more than a line of the ledger
        and its evidence, and there is nothing to undo.

        Returns
        -------
        What went wrong after the generation was published, which is no reason to call it unpublished.

        Raises
        ------
        WarehouseBusy
            Another program made the first warehouse meanwhile.
        StorageError
            The disk is full, or the folder cannot be written; nothing was published.
        """
        try:
            database.execute("CHECKPOINT")
            database.close()
            self._keep_tail()
            _sync(self.next)
            if self.current is None:
                os.link(self.next, self.path)  # unlike a rename, does not replace a file
            else:
                if not keep_previous:
                    self._kept.unlink(missing_ok=True)
                    os.link(self.path, self._kept)
                self.next.replace(self.path)
        except FileExistsError as error:
            raise WarehouseBusy(f"{self.path} was made by another program meanwhile", BUSY) from error
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be published: {error.strerror}",
                "Check the disk, its permissions, and that its file system has hard links",
            ) from error
        self.swapped = True
        return self._after_publish()

    def _after_publish(self) -> list[str]:
        warnings = []
        for finish in (self._keep_previous, lambda: self.next.unlink(missing_ok=True), lambda: _sync(self.path.parent)):
            try:
                finish()
            except OSError as error:
                warnings.append(f"{error.filename or self.path}: {error.strerror}")
        return warnings

    def _keep_previous(self) -> None:
        """Make the second name of the generation before ``WAREHOUSE.previous``; it is none where nothing was published."""
        if not self._kept.exists():
            return
        if self.path.exists() and self._kept.samefile(self.path):
            self._kept.unlink()
        else:
            self._kept.replace(self.previous)
            self._kept.unlink(missing_ok=True)  # a rename between two names of one file leaves both

    def _keep_tail(self) -> None:
        start = self.next.stat().st_size
        if self.current and start < self.path.stat().st_size:
            tail = [sys.executable, "-c", TAIL, self.path, self.next, start]
            _run(self.path, self.next, tail, self._inherited, interruptible=False)

    def close(self) -> None:
        """Close what is open."""
        self._stack.close()

    def recover(self) -> None:
        """Finish or remove what a killed command left."""
        with suppress(OSError):
            self._keep_previous()
        self.clear()

    def clear(self) -> None:
        """Remove a generation that was not published, as far as the disk lets us: the next command tries again."""
        leftovers = [sibling(self.path, "next"), sibling(self.path, "next.wal")]
        for leftover in [*leftovers, *([] if self.swapped else [self._kept])]:
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
        shutil.rmtree(sibling(self.path, "next.tmp"), ignore_errors=True)


def copy_file(origin: Path, target: Path, inherited: tuple[int, ...] = ()) -> None:
    """Copy a file that this process may hold, in a child process, see above, which has ``inherited`` descriptors too.

    Raises
    ------
    StorageError
        It cannot be copied, or there is no room for it.
    """
    tool = shutil.which("cp")
    if tool and sys.platform == "linux":
        # Who may read the old file may read the new one.
        command = [tool, "--reflink=auto", "--preserve=mode,ownership", "--", origin, target]
    else:
        command = [sys.executable, "-c", COPY, origin, target]
    _run(origin, target, command, inherited)


def _run(
    origin: Path, target: Path, command: Sequence[object], inherited: tuple[int, ...], *, interruptible: bool = True
) -> None:
    """Copy in a child process; where it is ``interruptible``, a signal stops it.

    The child holds the lock too: it outlives a kill of this process, and must not outlive the lock.
    """
    arguments = [str(argument) for argument in command]
    with subprocess.Popen(  # noqa: S603
        arguments, stderr=subprocess.PIPE, text=True, start_new_session=True, pass_fds=inherited
    ) as copying:
        while copying.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                copying.wait(0.05)
            if interruptible and signals.received():
                copying.kill()
        stderr = copying.stderr.read() if copying.stderr else ""
    if interruptible:
        signals.check()
    if copying.returncode:
        killed = signal.strsignal(-copying.returncode) if copying.returncode < 0 else None
        said = (stderr.strip().splitlines() or [killed or "no reason given"])[-1]
        number = errno.EFBIG if copying.returncode == -signal.SIGXFSZ else errno_in(said)
        raise StorageError(
            f"{origin} cannot be copied to {target.name}: {said.rpartition(': ')[2]}",
            "Free disk space for a second copy of the warehouse, then run again"
            if number in {None, errno.ENOSPC}
            else REMEDIES[number],
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
