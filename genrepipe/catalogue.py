"""The middle of the journey: accepted rows enter the catalogue, and come out ready for features.

Scoring and training both walk it, so that a model sees in training what it will see at night.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import polars as pl

    from genrepipe.database import Database


def begin(database: Database, run_id: str, run_date: date, job: str = "") -> None:
    """Leave the run's identity where the SQL files find it: the temporary table ``run``.

    The view ``own_runs`` has the runs before of the same job and date: what they wrote is what this one replaces.
    """
    database.execute(
        "CREATE OR REPLACE TEMP TABLE run AS SELECT ?::VARCHAR AS run_id, ?::DATE AS run_date, ?::VARCHAR AS job, "
        "current_localtimestamp()::TIMESTAMP AS started_at, 0::BIGINT AS predicted_before",
        [run_id, run_date, job],
    )
    database.execute(
        "CREATE OR REPLACE TEMP VIEW own_runs AS SELECT runs.run_id FROM runs SEMI JOIN run USING (job, run_date)"
    )


def take(database: Database) -> None:
    """Let the accepted rows replace those of the same tracks in the catalogue, and renew the artist profiles."""
    database.view("clean/50_tracks", "incoming")
    if database.value("SELECT count(*) FROM (FROM tracks LIMIT 1)"):
        database.execute(
            "UPDATE tracks SET first_run_date = run.run_date FROM accepted CROSS JOIN run "
            "WHERE tracks.track_id = accepted.track_id AND run.run_date < tracks.first_run_date"
        )
        # The incoming rows look at those they replace, so they are fixed before these go.
        database.execute("CREATE OR REPLACE TEMP TABLE replacing AS FROM incoming")
        database.execute("DELETE FROM tracks USING replacing WHERE tracks.track_id = replacing.track_id")
        database.execute("INSERT INTO tracks BY NAME FROM replacing")
        database.execute("DROP TABLE replacing")
    else:
        database.execute("INSERT INTO tracks BY NAME FROM incoming")
    database.execute("CREATE OR REPLACE TEMP VIEW visible AS FROM tracks")
    database.view("clean/60_artist_profiles", "profiled")
    database.execute("DELETE FROM artist_profiles")
    database.execute("INSERT INTO artist_profiles BY NAME FROM profiled")
    if database.value("SELECT count(*) FROM tracks CROSS JOIN run WHERE tracks.first_run_date > run.run_date"):
        # An older date: its artists are as they were then, for this run alone.
        database.execute(
            "CREATE OR REPLACE TEMP VIEW visible AS SELECT tracks.* FROM tracks CROSS JOIN run "
            "WHERE tracks.first_run_date <= run.run_date"
        )
        database.execute("CREATE OR REPLACE TEMP TABLE profiled_then AS FROM profiled")
        database.execute("CREATE OR REPLACE TEMP VIEW profiles AS FROM profiled_then")
    else:
        database.execute("CREATE OR REPLACE TEMP VIEW profiles AS FROM artist_profiles")


def prepare(database: Database, duration_ms: float | None) -> int:
    """Make the temporary table ``scorable`` and return its number of rows.

    ``duration_ms`` is the bundle's global median, which stands in where the artist's tracks have no known duration;
    None leaves such durations missing.
    """
    database.execute("CREATE OR REPLACE TEMP TABLE medians AS SELECT ?::FLOAT AS duration_ms", [duration_ms])
    database.table("clean/70_scorable")
    return int(database.value("SELECT count(*) FROM scorable"))


def batches(database: Database, rows: int, *, context: bool = False) -> Iterator[pl.DataFrame]:
    """Yield the scorable tracks in source order, from at most ``rows`` received ones at a time.

    With ``context``, beside what their artist's visible tracks say together.
    """
    if context:
        database.view("clean/80_contextual", "contextual")
    added_by = "contextual" if context else "scorable"
    end = database.value("SELECT coalesce(max(row_id) + 1, 0) FROM scorable")
    for start in range(0, end, rows):
        bounds = [start, start + rows]
        added = database.frame(f"FROM {added_by} WHERE row_id >= ? AND row_id < ?", bounds)
        landed = database.frame(
            "SELECT rowid AS row_id, * EXCLUDE (is_empty, broken_rules, received, duration_ms) "
            "FROM landed WHERE rowid >= ? AND rowid < ?",
            bounds,
        )
        # Joined here, where both are in order already; DuckDB would copy the names of all rows once more.
        yield landed.join(added, on="row_id", maintain_order="left")
