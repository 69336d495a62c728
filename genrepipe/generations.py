"""Generations of the warehouse: users read one file while a run writes the next, and a rename swaps them.

A run holds ``WAREHOUSE.lock``, so that there is one run at a time, and holds the file that users see open for
reading, so that nobody else writes it meanwhile (readers are not kept out). It works in ``WAREHOUSE.next``, a copy.
Publishing keeps the generation before as ``WAREHOUSE.previous`` and renames the next one over the file. A kill at any
instant leaves the old generation whole; what it leaves beside it, the next run removes.

A reader's DuckDB opens the file twice, for its header and then for its blocks, and a rename may fall in between. So
the next generation is a copy of this one with one checkpoint, which overwrites no block that the old header names, and
blocks that the checkpoint cut off the end are put back: an old header reads the old generation out of the new file. The
file keeps its largest size therefore; free blocks are used again.

DuckDB's file locks belong to the process (POSIX): opening and closing the held file by any other way would drop the
hold in silence. So it is copied by a child process and never opened here.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from genrepipe import interrupts
from genrepipe.database import Database, refuse_unusable
from genrepipe.errors import StorageError, WarehouseBusy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.resources import Plan

BUSY = "Wait for it, or stop it; then run again"
COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
TAIL = """
import shutil, sys
origin, target, start = *sys.argv[1:3], int(sys.argv[3])
with open(origin, "rb") as old, open(target, "r+b") as new:
    old.seek(start), new.seek(start)
    shutil.copyfileobj(old, new)
"""


def beside(path: Path, kind: str) -> Path:
    """Return the file of a generation: ``next``, ``previous`` or ``lock``."""
    return path.with_name(f"{path.name}.{kind}")


class Generations:
    """The files of one warehouse, locked for one run; made by ``locked``."""

    def __init__(self, path: Path, plan: Plan, abandoned: dict[str, Any] | None) -> None:
        self.path, self.next, self.previous = path, beside(path, "next"), beside(path, "previous")
        self.abandoned = abandoned  # what a run that could not say more had said of itself
        self.unsaid: dict[str, Any] | None = None  # what this run could not publish of itself; the next one will
        self.swapped = False  # whether this run's generation is the one that users see
        self._plan = plan
        self._stack = ExitStack()
        self.current: Database | None = None

    def hold(self) -> Database | None:
        """Open the current generation for reading until the run ends, and return it, or None where there is none.

        Raises
        ------
        WarehouseBusy
            Another process has it open for writing.
        """
        if self.path.exists():
            if self.path.with_name(f"{self.path.name}.wal").exists():
                # Another program died while it wrote here; what it had committed belongs into the file before a copy.
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
            _copy(self.path, self.next)
        database = Database(self.next, self._plan, stands_for=self.path)
        database.execute("SET checkpoint_threshold = '1000TB'")  # one checkpoint, by publish
        self._stack.push(lambda *_: database.close())
        self._stack.enter_context(interrupts.stopping(database.interrupt))
        return database

    def publish(self, database: Database, *, keep_previous: bool = False) -> None:
        """Make what was committed visible to users, all at once; the generation before becomes the one to go back to.

        With ``keep_previous`` that stays the one before it: what is published says why a run was refused, and there is
        nothing in it that would be undone.

        Raises
        ------
        WarehouseBusy
            Another program made the first warehouse meanwhile.
        StorageError
            The disk is full, or the folder cannot be written.
        """
        try:
            with interrupts.unheard():
                database.execute("CHECKPOINT")
                database.close()
            self._keep_tail()
            _sync(self.next)
            if self.current is None:
                os.link(self.next, self.path)  # unlike a rename, refuses to replace
                self.next.unlink()
            else:
                if not keep_previous:
                    aside = beside(self.path, "previous.new")
                    aside.unlink(missing_ok=True)
                    os.link(self.path, aside)
                    aside.replace(self.previous)
                self.next.replace(self.path)
            self.swapped = True
            _sync(self.path.parent)
        except FileExistsError as error:
            raise WarehouseBusy(f"{self.path} was made by another program meanwhile", BUSY) from error
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be published: {error.strerror}",
                "Check the disk, its permissions, and that its file system has hard links",
            ) from error

    def _keep_tail(self) -> None:
        start = self.next.stat().st_size
        if self.current and start < self.path.stat().st_size:
            tail = [sys.executable, "-c", TAIL, self.path, self.next, start]
            _child(self.path, self.next, tail, hears=False)

    def close(self) -> None:
        """Let go of the current generation."""
        self._stack.close()


@contextmanager
def locked(path: Path, plan: Plan, who: dict[str, Any]) -> Iterator[Generations]:
    """Hold the lock of a warehouse, and clear away what a killed run left.

    ``who`` is written into the lock file, for those who find it taken, and for the run after a kill.

    Raises
    ------
    WarehouseBusy
        Another run holds it.
    StorageError
        The folder cannot be written.
    """
    refuse_unusable(path, read_only=False)
    path = path.resolve()  # a link to a warehouse stays one, and leads to the next generation
    with _taken(beside(path, "lock"), path) as file:
        generations = Generations(path, plan, _read(file))
        try:
            clear(path)
            _write(file, {**who, "pid": os.getpid(), "host": socket.gethostname()})
            yield generations
        finally:
            generations.close()
            clear(path)
            _write(file, generations.unsaid)
            if generations.unsaid is None:
                beside(path, "lock").unlink(missing_ok=True)


@contextmanager
def _taken(lock: Path, path: Path) -> Iterator[IO[str]]:
    """Open the lock file and lock it; who finds another file in its place afterwards came late, and tries again."""
    while True:
        try:
            file = lock.open("a+", encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"{lock} cannot be written: {error.strerror}", "Check the folder's permissions"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise WarehouseBusy(f"{path} is locked by {_told(_read(file))}", BUSY) from error
            if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
                yield file
                return


def clear(path: Path) -> None:
    """Remove the unfinished generation of a run that did not publish."""
    for leftover in ("next", "next.wal", "previous.new"):
        beside(path, leftover).unlink(missing_ok=True)
    shutil.rmtree(beside(path, "next.tmp"), ignore_errors=True)


def _read(file: IO[str]) -> dict[str, Any] | None:
    file.seek(0)
    try:
        found = json.loads(file.read() or "null")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(file: IO[str], who: dict[str, Any] | None) -> None:
    try:
        file.seek(0)
        file.truncate()
        file.write(json.dumps(who) if who else "")
        file.flush()
    except OSError:
        pass  # a full disk: the lock holds without its note


def _told(who: dict[str, Any] | None) -> str:
    if not who:
        return "another run"
    return f"run {who.get('run_id')} of {who.get('run_date')} (PID {who.get('pid')} on {who.get('host')})"


def _copy(origin: Path, target: Path) -> None:
    tool = shutil.which("cp")
    if tool and sys.platform == "linux":
        # Who may read the old generation may read the next one.
        _child(origin, target, [tool, "--reflink=auto", "--preserve=mode,ownership", "--", origin, target])
    else:
        _child(origin, target, [sys.executable, "-c", COPY, origin, target])


def _child(origin: Path, target: Path, command: list[object], *, hears: bool = True) -> None:
    """Copy in a process of its own, see above; where it ``hears``, a signal stops it."""
    arguments = [str(argument) for argument in command]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True) as copying:  # noqa: S603
        while copying.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                copying.wait(0.05)
            if hears and interrupts.received():
                copying.kill()
        said = copying.stderr.read() if copying.stderr else ""
    if hears:
        interrupts.check()
    if copying.returncode:
        lines = said.strip().splitlines() or ["no reason given"]
        raise StorageError(
            f"{origin} cannot be copied to {target.name}: {lines[-1].rpartition(': ')[2]}",
            "Free disk space for a second copy of the warehouse, then run again",
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
