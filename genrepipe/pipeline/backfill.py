"""Fill in run dates: score every date of a range, or list those without a published run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from genrepipe.core import resources
from genrepipe.core.errors import GenrepipeError, Interrupted, UsageError
from genrepipe.core.events import NIGHT, SILENT, Reporter
from genrepipe.pipeline.results import BackfillResult, FailedDate, MissingResult, ScoreResult
from genrepipe.pipeline.score import score
from genrepipe.warehouse import ledger, schema

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.pipeline.requests import ScoreRequest


def run_dates(first: str, last: str) -> list[str]:
    """Return the run dates from first to last, both included.

    Raises
    ------
    UsageError
        One is not a date, or they are the wrong way round.
    """
    begin, end = ledger.parse_date(first), ledger.parse_date(last)
    if begin > end:
        raise UsageError(f"--from {first} is after --to {last}", "Exchange them")
    return [(begin + timedelta(days=n)).isoformat() for n in range((end - begin).days + 1)]


def backfill(
    request: ScoreRequest, first: str, last: str, reporter: Reporter = SILENT
) -> tuple[BackfillResult, GenrepipeError | None]:
    """Score every date in turn, the oldest first; one that fails does not stop the others.

    Returns
    -------
    The result of each date, and the first failure, if there was one.

    Raises
    ------
    UsageError
        A date is not one, or the request names a run date too.
    Interrupted
        A signal came.
    """
    if request.run_date is not None:
        raise UsageError(f"--from and --to beside the run date {request.run_date}", "Name a range, or one date")
    days = run_dates(first, last)
    if len(days) > 1 and not any("{run_date}" in source for source in request.source):
        raise UsageError(
            f"{', '.join(request.source)} is the same for every date from {first} to {last}",
            "Write {run_date} into the source, where the dates differ; one date may have a source without it",
        )
    runs: list[ScoreResult | FailedDate] = []
    failures: list[GenrepipeError] = []
    for day in days:
        try:
            result = score(request.model_copy(update={"run_date": day}), reporter)
            runs.append(result)
            reporter.note(
                NIGHT, run_date=day, status=result.status, predicted=result.predicted, quarantined=result.quarantined,
                seconds=result.seconds,
            )  # fmt: skip
        except Interrupted:
            raise
        except GenrepipeError as error:
            failures.append(error)
            runs.append(FailedDate(day, type(error).__name__, str(error), error.exit_code))
            reporter.note(NIGHT, run_date=day, status="failed", error=str(error), exit_code=error.exit_code)
    failure = failures[0] if failures else None
    status = "failed" if failure else "published"
    return BackfillResult(status, runs, failure.exit_code if failure else 0), failure


def missing(warehouse: Path, first: str, last: str, job: str | None) -> MissingResult:
    """Return the dates without a published run, of any job or of one.

    Raises
    ------
    UsageError
        A date is not one, or the ledger does not know the job.
    """
    wanted = run_dates(first, last)
    with schema.open_reading(warehouse, resources.plan()) as database:
        published = {day.isoformat() for day in ledger.run_dates(database, job)}
        jobs = {name for (name,) in database.rows("SELECT DISTINCT job FROM runs WHERE action = 'score'")}
    if job is not None and job not in jobs:
        raise UsageError(f"No run of job {job!r} is in the ledger", f"Jobs: {', '.join(sorted(jobs))}")
    return MissingResult([day for day in wanted if day not in published], len(wanted))
