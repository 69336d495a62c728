"""Hold what one engine leaves against what another one leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support import ask

if TYPE_CHECKING:
    from pathlib import Path

# Each of a warehouse's tables without what tells one run from another. Profiles are rounded to FLOAT and compared to the bit.
TOLD = {
    "predictions": "* EXCLUDE (run_id, scored_at)",
    "predictions_latest": "* EXCLUDE (run_id, scored_at)",
    "tracks": "*",
    "track_history": "*",
    "artist_profiles": "*",
    "quarantine": "* EXCLUDE (run_id)",
    "labels": "* EXCLUDE (run_id)",
    "runs": "job, run_date, status, exit_code, error, model, received, predicted, quarantined, duplicates, empty, withdrawn, imputed, "
    "delivery, source_sha256, settled_to, filtered, withheld",
    "checks": "* EXCLUDE (run_id)",
    "drift": "* EXCLUDE (run_id)",
    "flips": "* EXCLUDE (run_id)",
    "performance": "* EXCLUDE (run_id, measured_at)",
    "shadow_predictions": "* EXCLUDE (run_id)",
}


def told(warehouse: Path, *without: str) -> dict[str, list[dict[str, Any]]]:
    """Return what a warehouse says."""
    return {
        table: ask(warehouse, f"SELECT {columns} FROM {table} ORDER BY ALL")
        for table, columns in TOLD.items()
        if table not in without
    }


def differences(one: Path, other: Path) -> list[str]:
    """Return what differs between two warehouses, a line for each table."""
    left, right = told(one), told(other)
    lines = []
    for table in TOLD:
        only = [row for row in left[table] if row not in right[table]][:1]
        others = [row for row in right[table] if row not in left[table]][:1]
        if left[table] != right[table]:
            lines.append(f"{table}: {len(left[table])} and {len(right[table])} rows; {only} and {others}")
    return lines
