"""Hold what one engine leaves against what another one leaves."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import duckdb

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


def differences(one: Path, other: Path) -> list[str]:
    """Return what differs between two warehouses, a line for each table."""
    lines = []
    with ExitStack() as stack:
        left, right = (stack.enter_context(duckdb.connect(path, read_only=True)) for path in (one, other))
        for table, columns in TOLD.items():
            ask = f"SELECT {columns} FROM {table} ORDER BY ALL"
            ours, theirs = (connection.execute(ask).fetchall() for connection in (left, right))
            if ours == theirs:
                continue
            first = next(
                (n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
            )
            lines.append(
                f"{table}: {len(ours)} and {len(theirs)} rows; {ours[first : first + 1]} and {theirs[first : first + 1]}"
            )
    return lines
