"""What a run measured, as the warehouse has it once the run has ended: for those who watch it from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genrepipe.core import assets, resources
from genrepipe.pipeline import night
from genrepipe.warehouse import schema

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.pipeline.night import Row

QUERIES = ("run", "run_checks", "drift", "causes")


@dataclass(frozen=True)
class Measures:
    """A run's line in the ledger, its checks, its drift and its flips; nothing of a run that left no line."""

    run: Row | None = None
    checks: list[Row] = field(default_factory=list)
    drift: list[Row] = field(default_factory=list)
    flips: list[Row] = field(default_factory=list)  # by cause


def of_run(warehouse: Path, run_id: str) -> Measures:
    """Return what a run measured; nothing of a warehouse that an older version wrote.

    Raises
    ------
    GenrepipeError
        The warehouse cannot be read.
    """
    with schema.open_reading(warehouse, resources.plan()) as database:
        if not schema.is_current(database):
            return Measures()
        run, checks, drift, flips = (
            database.dicts(night.bound(assets.sql(f"report/{name}"), {"run_id": run_id})) for name in QUERIES
        )
    return Measures(run[0] if run else None, checks, drift, flips)
