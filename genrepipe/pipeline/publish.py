"""Publish what a warehouse holds: tables by run date for whatever reads Parquet, or a copy that no lock can reach."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genrepipe.core import addresses, resources, signals
from genrepipe.core.errors import UsageError, as_genrepipe_error
from genrepipe.core.events import SILENT, Reporter
from genrepipe.exports import tables
from genrepipe.exports.publishing import Published, Publishing
from genrepipe.exports.targets import open_target
from genrepipe.pipeline.results import FailedPublish, PublishedTable, PublishResult
from genrepipe.warehouse import copies, ledger, schema

if TYPE_CHECKING:
    from datetime import date

    from genrepipe.pipeline.requests import ScoreRequest
    from genrepipe.pipeline.results import ScoreResult

COPY = "duckdb"  # the format that is one file
CATCH_UP = "The run stands. genrepipe publish, or the next run, catches up"


def publish(
    warehouse: Path, to: str, form: str | None = None, *, run_date: str | None = None, missing: bool = False,
    between: tuple[str, str] | None = None, job: str | None = None, reporter: Reporter = SILENT,
) -> PublishResult:  # fmt: skip
    """Publish the newest run date, those after the newest of the target, and those that changed since they were published.

    Parameters
    ----------
    to
        A folder, or an address such as ``s3://bucket/prefix``; of the format ``duckdb`` a file.
    form
        parquet, delta, iceberg or duckdb; None is that of the target, or parquet.
    run_date
        Publish this one alone.
    missing
        Publish every run date that the target lacks, or has in an old version; of those ``between`` two dates alone, where given.
    job
        Publish the rows of this job alone.

    Raises
    ------
    UsageError
        A value does not fit, or the warehouse has no such run date.
    ConfigurationError
        The target holds something else, or the warehouse is none.
    WarehouseBusy
        Another process holds the warehouse for writing, or publishes to the target.
    StorageError
        The target cannot be written.
    """
    if sum((run_date is not None, missing)) > 1 or (between and not missing):
        raise UsageError("--run-date stands alone, and a range of dates needs --missing", "Name one or the other")
    wanted = (date_of(between[0]), date_of(between[1])) if between else None
    if wanted and wanted[0] > wanted[1]:
        raise UsageError(f"--from-date {wanted[0]} is after --to-date {wanted[1]}", "Exchange them")
    day = date_of(run_date) if run_date else None
    _refuse_unusable(to)
    started = time.perf_counter()
    with signals.deferred():
        if form == COPY:
            if day or missing or job:
                raise UsageError("A copy is of the whole warehouse", "Leave out --run-date, --missing and --job")
            return _copy(warehouse, to, started)
        return _publish(warehouse, to, form, day, wanted, job, reporter, started, missing=missing)


def _refuse_unusable(to: str) -> None:
    try:
        usable = bool(to.strip()) and b"\0" not in to.encode()
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise UsageError(f"{to!r} is no name of a target", "Name a folder, or an address such as s3://bucket/prefix")


def date_of(text: str) -> date:
    """Return a run date, which may lie in the future: a wrong clock may have made it."""
    return ledger.parse_date(text, future=True)


def _publish(
    warehouse: Path, to: str, form: str | None, day: date | None, wanted: tuple[date, date] | None, job: str | None,
    reporter: Reporter, started: float, *, missing: bool, also: str | None = None,
) -> PublishResult:  # fmt: skip
    with (
        schema.open_reading(warehouse, resources.plan()) as database,
        signals.on_signal(database.interrupt),
    ):
        generation = tables.of_generation(database, job)
        _refuse_unknown(generation, job)
        with open_target(to) as target:
            publishing = Publishing(database, generation, target, form, job, reporter)
            if day:
                days = publishing.one(day)
            elif missing:
                days = publishing.missing()
            else:
                days = publishing.new() | publishing.changed()
            if also:
                days |= publishing.one(date_of(also))
            if wanted:
                days = {each for each in days if wanted[0] <= each <= wanted[1]}
            done = publishing.publish(days)
    return _result(warehouse, to, done, generation.run_id, started)


def _refuse_unknown(generation: tables.Generation, job: str | None) -> None:
    if job is not None and not generation.standing:
        raise UsageError(
            f"No run of job {job!r} is in the ledger", "SELECT DISTINCT job FROM runs shows those there are"
        )


def _result(warehouse: Path, to: str, done: Published, run_id: str, started: float) -> PublishResult:
    written = [PublishedTable(day.isoformat(), table, entry.rows, entry.bytes) for table, day, entry in done.written]
    dates = sorted({each.run_date for each in written} | {day.isoformat() for _, day in done.removed})
    return PublishResult(
        status="published" if dates else "already published", warehouse=str(warehouse), to=addresses.redacted(to),
        format=done.format, run_id=run_id, run_dates=dates, written=written,
        removed=[f"{table} {day}" for table, day in done.removed],
        held=len(done.held), missing=[day.isoformat() for day in done.lacking],
        seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def _copy(warehouse: Path, to: str, started: float) -> PublishResult:
    if addresses.is_address(to):
        raise UsageError(f"{addresses.redacted(to)}: a copy of the warehouse is a file", "Name a file with --to")
    run_id, size, renewed = copies.copy(warehouse, Path(to), resources.plan())
    return PublishResult(
        status="published" if renewed else "already published", warehouse=str(warehouse), to=to, format=COPY,
        run_id=run_id, run_dates=[], written=[PublishedTable("", Path(to).name, 0, size)] if renewed else [],
        removed=[], held=0, missing=[], seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def after_score(request: ScoreRequest, scored: ScoreResult, reporter: Reporter) -> ScoreResult:
    """Publish after a scoring run, which stands whatever becomes of it: what fails is a warning of the result."""
    assert request.publish is not None  # noqa: S101  it was asked for
    reporter.stage_started("publish")
    started, to = time.perf_counter(), request.publish
    try:
        _refuse_unusable(to)
        if request.publish_format == COPY:
            return replace(scored, publish=_copy(request.warehouse, to, started))
        published = _publish(
            request.warehouse, to, request.publish_format, None, None, None, reporter, started, missing=False,
            also=scored.run_date,
        )  # fmt: skip
        return replace(scored, publish=published)
    except Exception as error:  # noqa: BLE001  the predictions are there, whatever happens here
        failure, shown = signals.received() or as_genrepipe_error(error), addresses.redacted(to)
        reporter.warning("publish", to=shown, error=str(failure), remedy=CATCH_UP)
        failed = FailedPublish(shown, type(failure).__name__, str(failure), failure.exit_code)
        return replace(scored, warnings=[*scored.warnings, "publish"], publish=failed)
