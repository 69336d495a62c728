"""Hold a shadow's answers against those that were served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core import resources
from genrepipe.core.errors import UsageError
from genrepipe.pipeline.results import CompareResult, Disagreement, ModelPerformance
from genrepipe.warehouse import ledger, schema

if TYPE_CHECKING:
    from pathlib import Path


def compare(warehouse: Path, run_date: str | None, job: str | None = None) -> CompareResult:
    """Compare the shadow's answers of a job's run date with those that were served.

    Without a date or a job, those of the newest run that has both.

    Raises
    ------
    UsageError
        No run has both.
    """
    day = ledger.parse_date(run_date) if run_date else None
    with schema.open_reading(warehouse, resources.plan()) as database:
        newest = database.rows(
            "SELECT runs.run_date, runs.job FROM runs SEMI JOIN predictions USING (run_id) SEMI JOIN shadow_predictions USING (run_id) "
            "WHERE runs.run_date = coalesce(?, runs.run_date) AND runs.job = coalesce(?, runs.job) "
            "ORDER BY runs.run_date DESC, started_at DESC LIMIT 1",
            [day, job],
        )
        if not newest:
            asked = " of ".join(str(each) for each in (day, job and f"job {job}") if each)
            raise UsageError(
                f"{f'{asked} has no' if asked else 'There are no'} shadow predictions", "Score with --shadow NAME first"
            )
        ((day, job),) = newest
        pairs = database.rows(
            "SELECT p.model, s.model, p.genre, s.genre, count(*) FROM predictions AS p JOIN shadow_predictions AS s USING (run_id, track_id) "
            "WHERE p.run_date = ? AND p.job = ? GROUP BY ALL ORDER BY 5 DESC, 3, 4",
            [day, job],
        )
        performance = database.rows(
            "SELECT role, model, tracks, accuracy, macro_auroc FROM performance WHERE run_date = ? AND job = ? ORDER BY role",
            [day, job],
        )
    tracks = sum(count for *_, count in pairs)
    agreed = sum(count for _, _, served, shadow, count in pairs if served == shadow)
    flips = [Disagreement(served, shadow, count) for *_, served, shadow, count in pairs if served != shadow]
    measured = [ModelPerformance(*row) for row in performance]
    return CompareResult(str(day), str(job), pairs[0][0], pairs[0][1], tracks, agreed / tracks, flips, measured)
