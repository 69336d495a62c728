"""Two million rows, beside what DuckDB alone takes to load the same CSV: ``make bench``.

The rows are those of the real table, where it is present, else of the sample, repeated with new ids and artists.
Both are whole processes, run in turn; the ratios of their medians are what counts on a noisy machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import REAL

ROWS = 2_000_000
ROUNDS = 3
LOAD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); c.execute(f\"CREATE TABLE t AS FROM read_csv('{sys.argv[2]}'{sys.argv[3]})\"); c.close()"


MAKE = """
import duckdb, sys
base, out, rows = sys.argv[1:]
c = duckdb.connect(); c.execute('SET enable_progress_bar = false'); c.execute(f'''
    COPY (
        SELECT row_number() OVER ()::VARCHAR || '.0' AS instance_id,
            CASE WHEN artist_name = 'empty_field' THEN artist_name ELSE artist_name || ' ' || copy END AS artist_name,
            t.* EXCLUDE (instance_id, artist_name)
        FROM range(ceil({rows} / (SELECT count(instance_id) FROM read_csv('{base}', all_varchar = true)))::INT) AS c(copy),
            read_csv('{base}', all_varchar = true) AS t
        WHERE instance_id IS NOT NULL
        LIMIT {rows}
    ) TO '{out}' (HEADER)
''')
"""


def make(folder: Path) -> Path:
    """Write the CSV, in a process of its own: a child's peak memory would count that of its parent."""
    base = folder / "base.csv"
    if REAL.exists():
        base = REAL
    else:
        subprocess.run([sys.executable, "-m", "genrepipe", "sample", "--rows", "40000", "--out", base], check=True)
    out = folder / "tracks.csv"
    subprocess.run([sys.executable, "-c", MAKE, base, out, str(ROWS)], check=True)
    return out


def timed(command: list[str], out: Path) -> tuple[float, float]:
    """Return seconds of wall clock and peak resident MB of a process that writes ``out``."""
    out.unlink(missing_ok=True)
    before = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    assert status == 0, command
    return time.perf_counter() - before, usage.ru_maxrss / (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Run, and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make(folder)
        score = [sys.executable, "-m", "genrepipe", "score", str(source), "--warehouse", str(folder / "w.duckdb")]
        commands = {
            "genrepipe score": (score, "w.duckdb"),
            "… --model all-features": ([*score, "--model", "all-features"], "w.duckdb"),
            "duckdb, types sniffed": (
                [sys.executable, "-c", LOAD, str(folder / "a.duckdb"), str(source), ""],
                "a.duckdb",
            ),
            "duckdb, all text": (
                [sys.executable, "-c", LOAD, str(folder / "b.duckdb"), str(source), ", all_varchar = true"],
                "b.duckdb",
            ),
        }
        runs: dict[str, list[tuple[float, float]]] = {label: [] for label in commands}
        for _ in range(ROUNDS):
            for label, (command, out) in commands.items():
                runs[label].append(timed(command, folder / out))
        ours = statistics.median(seconds for seconds, _ in runs["genrepipe score"])
        print(f"{ROWS:,} rows, {source.stat().st_size / 1e6:,.0f} MB of CSV; medians of {ROUNDS} runs in turn")
        for label, measured in runs.items():
            seconds = statistics.median(s for s, _ in measured)
            peak = max(mb for _, mb in measured)
            print(
                f"{label:<24} {seconds:6.2f} s  ({min(measured)[0]:.2f} to {max(measured)[0]:.2f})  peak {peak:5.0f} MB  ratio {ours / seconds:.2f}"
            )


if __name__ == "__main__":
    main()
