"""Hold a shadow's answers against those that were served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core import resources
from genrepipe.core.errors import UsageError
from genrepipe.pipeline.results import CompareResult, Disagreement, ModelPerformance
from genrepipe.warehouse import ledger, schema

if TYPE_CHECKING:
    from pathlib import Path


def compare(warehouse: Path, run_date: str | None) -> CompareResult:
    """Compare the shadow's answers of a run date with those that were served; None is the newest date that has both.

    Raises
    ------
    UsageError
        No date has both.
    """
    with schema.open_reading(warehouse, resources.plan()) as database:
        newest = "SELECT max(run_date) FROM shadow_predictions"
        day = ledger.parse_date(run_date) if run_date else database.value(newest)
        pairs = database.rows(
            "SELECT p.model, s.model, p.genre, s.genre, count(*) FROM predictions AS p JOIN shadow_predictions AS s USING (run_id, track_id) "
            "WHERE p.run_date = ? GROUP BY ALL ORDER BY 5 DESC, 3, 4",
            [day],
        )
        if not pairs:
            raise UsageError(f"{day or 'No run date'} has no shadow predictions", "Score with --shadow NAME first")
        performance = database.rows(
            "SELECT role, model, tracks, accuracy, macro_auroc FROM performance WHERE run_date = ? ORDER BY role", [day]
        )
    tracks = sum(count for *_, count in pairs)
    agreed = sum(count for _, _, served, shadow, count in pairs if served == shadow)
    flips = [Disagreement(served, shadow, count) for *_, served, shadow, count in pairs if served != shadow]
    measured = [ModelPerformance(*row) for row in performance]
    return CompareResult(str(day), pairs[0][0], pairs[0][1], tracks, agreed / tracks, flips, measured)
