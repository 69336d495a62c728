"""Look at quarantined rows, and write those that are open as a file to correct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genrepipe.core import resources
from genrepipe.pipeline.results import ExportResult, QuarantineList
from genrepipe.quality import quarantine
from genrepipe.warehouse import ledger, schema

if TYPE_CHECKING:
    from pathlib import Path


def list_open(warehouse: Path, run_date: str | None) -> QuarantineList:
    """Return the open rows of one or every run date, by job and rule."""
    day = ledger.parse_date(run_date) if run_date else None
    with schema.open_reading(warehouse, resources.plan()) as database:
        return QuarantineList(quarantine.open_rows(database, day))


def show(warehouse: Path, quarantine_id: str) -> dict[str, Any]:
    """Return one row with every column of table ``quarantine``.

    Raises
    ------
    UsageError
        There is no such row.
    """
    with schema.open_reading(warehouse, resources.plan()) as database:
        return {"status": "shown", **quarantine.row(database, quarantine_id)}


def export(warehouse: Path, run_date: str, out: Path, job: str | None) -> ExportResult:
    """Write the open rows of a run date as CSV.

    Raises
    ------
    UsageError
        No row is open, or the file exists.
    StorageError
        The file cannot be written.
    """
    with schema.open_reading(warehouse, resources.plan()) as database:
        return ExportResult(quarantine.export(database, ledger.parse_date(run_date), out, job), str(out))
