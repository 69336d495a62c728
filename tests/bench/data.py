"""The tables that are scored, each written by a process of its own: a child's peak memory would count that of its parent.

``python -m tests.bench.data tracks OUT ROWS``; OUT is a CSV file, a Parquet file, or a folder of 16 CSV files.
``python -m tests.bench.data night OUT TRACKS NUMBER`` writes a table in which one track in a hundred has changed since the night before.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import REAL

FILES = 16
SAMPLE = 40_000


def tracks(out: Path, rows: int) -> Path:
    """Write so many tracks, and return the file or folder."""
    if not out.exists():
        subprocess.run([sys.executable, "-m", "tests.bench.data", "tracks", str(out), str(rows)], check=True)
    return out


def night(out: Path, source: Path, number: int) -> Path:
    """Write the tracks of a source as a later night delivers them."""
    out.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "tests.bench.data", "night", str(out), str(source), str(number)], check=True)
    return out


def _write_tracks(out: Path, rows: int) -> None:
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        base = REAL
        if not base.exists():
            base = Path(folder, "base.csv")
            command = [sys.executable, "-m", "genrepipe", "sample", "--rows", str(SAMPLE), "--out", str(base)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        database = duckdb.connect(str(Path(folder, "scratch.duckdb")))
        database.execute("SET enable_progress_bar = false")
        database.execute(
            f"CREATE TABLE base AS FROM read_csv('{base}', all_varchar = true) WHERE instance_id IS NOT NULL"
        )
        query = f"""
            SELECT row_number() OVER ()::VARCHAR || '.0' AS instance_id,
                CASE WHEN artist_name = 'empty_field' THEN artist_name ELSE artist_name || ' ' || copy END AS artist_name,
                base.* EXCLUDE (instance_id, artist_name)
            FROM range(ceil({rows} / (SELECT count(*) FROM base))::INT) AS copies(copy), base
            LIMIT {rows}
        """
        if out.suffix:
            database.execute(f"COPY ({query}) TO '{out}' ({'HEADER' if out.suffix == '.csv' else 'FORMAT parquet'})")
            return
        out.mkdir()
        database.execute(
            f"CREATE TABLE every AS SELECT (row_number() OVER () - 1) * {FILES} // {rows} AS file, * FROM ({query})"
        )
        for file in range(FILES):
            part = f"SELECT * EXCLUDE (file) FROM every WHERE file = {file}"
            database.execute(f"COPY ({part}) TO '{out / f'part-{file:02}.csv'}' (HEADER)")


def _write_night(out: Path, source: Path, number: int) -> None:
    import duckdb

    database = duckdb.connect()
    database.execute("SET enable_progress_bar = false")
    database.execute(
        f"COPY (SELECT * REPLACE (CASE WHEN hash(instance_id) % 100 BETWEEN 1 AND {number} THEN "
        f"round(0.1 + 0.8 * (hash(instance_id || 'x') % 1000) / 1000, 3)::VARCHAR ELSE energy END AS energy) "
        f"FROM read_csv('{source}', all_varchar = true)) TO '{out}' (HEADER)"
    )


if __name__ == "__main__":
    what, target, *rest = sys.argv[1:]
    if what == "tracks":
        _write_tracks(Path(target), int(rest[0]))
    else:
        _write_night(Path(target), Path(rest[0]), int(rest[1]))
