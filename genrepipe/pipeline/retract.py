"""Take back what a job delivered for a run date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core import resources, signals
from genrepipe.core.errors import UsageError
from genrepipe.engines import catalogue, history
from genrepipe.pipeline.results import RetractResult
from genrepipe.pipeline.scoring_run import TRIMMED
from genrepipe.warehouse import lake, ledger, schema
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.session import write_session
from genrepipe.warehouse.steps import KEPT_BY_US, Steps

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from genrepipe.warehouse.connection import Database

# Of each table, the rows that came with the delivery.
OF_DELIVERY = "run_id IN (SELECT run_id FROM runs WHERE run_date = $day AND job = $job)"
ROWS = dict.fromkeys((*TRIMMED, "shadow_predictions"), OF_DELIVERY) | {"performance": "run_date = $day AND job = $job"}


def retract(warehouse: Path, run_date: str, job: str | None = None) -> RetractResult:
    """Take back what a job delivered for a run date, as if it had never come: tracks, profiles, predictions, quarantined rows.

    What the dates before and after it delivered stands. Its lines in the ledger stay too, as ``retracted``. ``run_date``
    may lie in the future: a wrong clock may have made it. ``job`` may be None where only one published the date.

    Raises
    ------
    UsageError
        The date was not published, more than one job published it, or ``keep_days`` has settled it.
    WarehouseUnusable
        There is no such warehouse.
    """
    day = ledger.parse_date(run_date, future=True)
    plan = resources.plan()
    with schema.open_reading(warehouse, plan) as current:
        lake.refuse(current, "Score the date again with --engine spark, or go back: genrepipe rollback")
        run = Run(_job(current, day, job), day, "retract")
    with signals.deferred(), write_session(warehouse, run, plan) as session:
        database = session.begin()
        _job(database, day, run.job)  # another command may have come between
        steps = Steps(database)
        steps.bind_row("run", **run.relation())
        with session.publishing():
            predictions = _take_back(steps, run)
            ledger.append(database, ledger.line(run, "published"))
    return RetractResult(run.run_id, str(warehouse), run.job, day.isoformat(), predictions)


def _job(database: Database, day: date, job: str | None) -> str:
    """Return the job whose delivery of a date is meant."""
    found = [
        name
        for (name,) in database.rows(
            "SELECT DISTINCT job FROM runs WHERE run_date = ? AND status = 'published' AND action = 'score' ORDER BY job",
            [day],
        )
    ]
    jobs = [name for name in found if job in (None, name)]
    if not jobs:
        remedy = (
            f"Jobs that published it: {', '.join(found)}" if found else "SELECT run_date, job FROM runs shows what was"
        )
        raise UsageError(f"{day} has no published run{f' of job {job}' if job else ''}", remedy)
    if len(jobs) > 1:
        raise UsageError(f"{day} was published by jobs {', '.join(jobs)}", "Name one with --job")
    if database.value("SELECT coalesce(max(settled_to) >= ?, false) FROM runs WHERE job = ?", [day, jobs[0]]):
        raise UsageError(
            f"keep_days has settled {day} of job {jobs[0]}: nothing of it can be taken back",
            "Deliver the date again with the right tracks, which replaces those that it has",
        )
    return str(jobs[0])


def _take_back(steps: Steps, run: Run) -> int:
    """Take the standing delivery back, and return how many predictions went with it."""
    database = steps.database
    delivery = {"day": run.run_date, "job": run.job}
    ours = ", ".join(sorted(KEPT_BY_US - {"track_id", "artist_key", "received_hash"}))
    steps.declare("known_rows")
    steps.bind(
        "cleaned",
        f"SELECT NULL::BIGINT AS row_id, NULL::VARCHAR AS quarantine_id, * EXCLUDE ({ours}) FROM track_history LIMIT 0",
        kind="table",
    )
    steps.make("delivery_dates")  # while the delivery still stands
    predictions = database.value(f"SELECT count(*) FROM prediction_history WHERE {history.OF_DATE}", delivery)
    history.cut(steps, run)
    for table, rows in ROWS.items():
        database.execute(f"DELETE FROM {table} WHERE {rows}", delivery)
    database.execute(
        "UPDATE runs SET status = 'retracted' "
        "WHERE run_date = $day AND job = $job AND status = 'published' AND action IN ('score', 'replay')",
        delivery,
    )
    catalogue.deliver(steps)
    catalogue.see(steps)
    return int(predictions)
