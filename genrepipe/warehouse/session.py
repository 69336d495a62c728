"""The one way to write a warehouse.

::

    with write_session(path, run, plan) as session:
        database = session.begin()          # a copy of the current generation, migrated
        ...                                 # what is only for this connection: temporary tables
        with session.publishing():          # one transaction, then the swap
            ...

The session holds the lock and the current generation, records runs that a kill kept from recording themselves, and
publishes the result; or, where the command fails, the line of the ledger that says why.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from genrepipe.core import signals
from genrepipe.core.errors import ConfigurationError, UsageError, WarehouseUnusable
from genrepipe.core.events import Stages
from genrepipe.core.waiting import until_free
from genrepipe.warehouse import ledger, schema
from genrepipe.warehouse.connection import Database, refuse_unusable
from genrepipe.warehouse.generations import Generations, sibling
from genrepipe.warehouse.lock import locked
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from genrepipe.core.resources import Plan
    from genrepipe.warehouse.ledger import Run
    from genrepipe.warehouse.lock import Lock

# What was asked for wrongly is no run: nothing of it is recorded.
NOT_RECORDED = (UsageError, ConfigurationError)


class WriteSession:
    """A warehouse that one command writes; made by ``write_session``.

    Attributes
    ----------
    current
        The generation that users see, open for reading; None where there is none yet.
    record_failure
        Writes why the run failed, in a transaction of its own; by default its line in the ledger.
    """

    def __init__(self, files: Generations, lock: Lock, run: Run, stages: Stages, named: Path) -> None:
        self.current = files.hold()
        self.record_failure: Callable[[Database, Exception], None] = self._record_failure
        self._files, self._lock, self._run, self._stages, self._named = files, lock, run, stages, named
        self._begun = self._committed = False
        self._database: Database | None = None

    @property
    def previous(self) -> Path:
        """The file of the generation to go back to; it may not exist."""
        return self._files.previous

    def require_current(self) -> Database:
        """Return the current generation.

        Raises
        ------
        WarehouseUnusable
            There is none, or the file is not a warehouse.
        """
        if self.current is None:
            raise WarehouseUnusable(
                f"{self._named}: there is no such warehouse", "Run genrepipe score first, or check --warehouse"
            )
        schema.require(self.current)
        return self.current

    def begin(self) -> Database:
        """Copy the current generation, bring the copy up to date, and return it, open for writing."""
        self._stages.start("copy")
        self._begun = True
        self._database = database = self._files.begin()
        schema.migrate(database)
        for note in self._lock.unrecorded:
            ledger.append_unrecorded(database, note)
        self._warn_of_the_future(database)
        return database

    def _warn_of_the_future(self, database: Database) -> None:
        if days := [day for day in ledger.run_dates(database) if day > ledger.latest_date()]:
            self._stages.reporter.warning(
                "future_run_date",
                run_dates=", ".join(map(str, days)),
                today=str(ledger.utc_now().date()),
                remedy="Check the clock. What was published under a wrong one is not served as the newest; "
                f"genrepipe retract --run-date {days[0]} takes it back",
            )

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Commit everything inside at once, and publish it; ``begin`` was called before."""
        if self._database is None:
            msg = "publishing before begin"
            raise RuntimeError(msg)
        with self._database.transaction():
            yield
        self._committed = True  # from here a signal is too late: the run ends as published, or as one that could not be
        self._stages.start("publishing", interruptible=False)
        self._publish(self._database, keep_previous=False)

    def _publish(self, database: Database, *, keep_previous: bool) -> None:
        with signals.uninterrupted():
            warnings = self._files.publish(database, keep_previous=keep_previous)
        for warning in warnings:
            self._stages.reporter.warning("publish", error=warning)
        self._lock.unrecorded = []

    def _record_failure(self, database: Database, error: Exception) -> None:
        ledger.append(database, ledger.line(self._run, **ledger.failure_columns(error)))

    def fail(self, error: Exception) -> None:
        """Publish why the command failed; what cannot be published stays in the lock file for the next command."""
        if not self._begun or self._files.swapped or isinstance(error, NOT_RECORDED):
            return
        if self._database is not None and not self._committed:
            with suppress(Exception):  # the first error is the one to tell
                with signals.uninterrupted(), self._database.transaction():
                    self.record_failure(self._database, error)
                self._publish(self._database, keep_previous=True)
                return
        self._lock.unrecorded.append({**self._run.identity(), **ledger.failure_columns(error)})

    def end(self) -> None:
        """Record the runs that a kill kept from recording themselves, where nothing was published."""
        if self._lock.unrecorded and not self._files.swapped:
            self._publish(self._database or self.begin(), keep_previous=True)


@contextmanager
def dry_session(
    path: Path, run: Run, plan: Plan, stages: Stages | None = None, wait: float = 0
) -> Iterator[tuple[Database, Database | None]]:
    """Yield a database in memory with what a run of this job reads of a warehouse, and the warehouse, if it exists."""
    reporter = (stages or Stages()).reporter
    with ExitStack() as stack:
        memory = stack.enter_context(schema.open_memory(plan))
        stack.enter_context(signals.on_signal(memory.interrupt))
        if not path.exists():
            yield memory, None
            return
        current = until_free(lambda: stack.enter_context(schema.open_reading(path, plan)), wait, reporter)
        steps = Steps(current)
        steps.bind_row("run", **run.relation())
        steps.make("recent_dates")
        dates = [day for (day,) in current.rows("FROM recent_dates")]
        steps.release("run")
        tables = schema.attach(memory, path, plan)
        for table in ("runs", "drift"):
            schema.take_rows(memory, table, tables)
        schema.take_rows(memory, "quarantine", tables, columns="run_id, run_date, track_id, quarantine_id")
        schema.fill_new_columns(memory)
        recent = "WHERE job = ? AND to_run_date >= ?"
        schema.take_rows(
            memory, "prediction_history", tables, where=recent, parameters=[run.job, min([run.run_date, *dates])]
        )
        for table in ("track_history", "labels"):
            schema.take_rows(memory, table, tables)
        schema.fill_new_columns(memory)
        schema.take_rows(memory, "artist_profiles", tables)
        memory.execute(f"DETACH {schema.OTHER}")
        yield memory, current


@contextmanager
def write_session(
    path: Path, run: Run, plan: Plan, stages: Stages | None = None, wait: float = 0
) -> Iterator[WriteSession]:
    """Write a warehouse: take its lock, hold its current generation, and publish the next one or the evidence.

    Where another process has one of the two, it is waited for, for ``wait`` seconds at most.

    Raises
    ------
    WarehouseBusy
        Another command holds the lock, or another process has the warehouse open for writing.
    WarehouseUnusable
        The file is not a warehouse, or one of a newer version.
    StorageError
        The folder cannot be written, or the disk is full.
    """
    refuse_unusable(path, read_only=False)
    stages = stages or Stages()
    named, path = path, path.resolve()  # a link to a warehouse stays one, and leads to the next generation
    if wait:
        stages.start("waiting")  # what is waited for is no part of another stage
    since = time.monotonic()
    with ExitStack() as stack:
        lock = until_free(
            lambda: stack.enter_context(locked(sibling(path, "lock"), path, run.identity())), wait, stages.reporter
        )
        stages.start("lock")
        files = Generations(path, plan, lock.inherited)
        files.recover()
        try:
            left = wait - (time.monotonic() - since)
            session = until_free(lambda: WriteSession(files, lock, run, stages, named), left, stages.reporter)
            try:
                yield session
            except Exception as error:
                session.fail(error)
                raise
            session.end()
        finally:
            files.close()
            files.clear()
