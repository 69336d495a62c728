"""Two hundred nights in a row, in one process, with readers polling: ``make soak``.

A leak of memory, of files or of locks would grow; what grows must be the data alone. Leaves ``soak.csv`` and ``soak.png``,
and fails where a reader saw an error, a descriptor stays open, a file is left, or memory keeps growing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import altair
import polars as pl

import genrepipe
from genrepipe.synthetic import tracks as samples

NIGHTS, SETTLED = 200, 140  # the catalogue grows every night but the last ones, in which a leak would show
WINDOW = 30  # nights whose mean is taken: the last ones, beside those that end as many nights before
FIRST, GROWTH = 2000, 100  # tracks of the first night, and how many more come each night
KEEP_DAYS = 30
READER = """
import duckdb, pathlib, sys
warehouse, stop = sys.argv[1:]
polls = 0
while not pathlib.Path(stop).exists():
    if pathlib.Path(warehouse).exists():
        with duckdb.connect(warehouse, read_only=True) as c:
            bad = c.execute("SELECT count(*) FROM runs r WHERE run_date = (SELECT max(run_date) FROM runs) AND predicted <> (SELECT count(*) FROM predictions p WHERE p.run_date = r.run_date)").fetchone()[0]
        assert bad == 0
        polls += 1
print(polls)
"""


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def main() -> None:
    catalogue = samples.make(FIRST + GROWTH * (NIGHTS - SETTLED), 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warehouse, stop, source = folder / "w.duckdb", folder / "stop", folder / "tracks.parquet"
        readers = [
            subprocess.Popen([sys.executable, "-c", READER, warehouse, stop], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        lines = []
        for night in range(NIGHTS):
            catalogue.head(FIRST + GROWTH * min(night, NIGHTS - SETTLED)).write_parquet(source)
            day = (date(2026, 1, 1) + timedelta(days=night)).isoformat()
            began = time.perf_counter()
            result = genrepipe.score(source, warehouse, run_date=day, keep_days=KEEP_DAYS)
            lines.append(
                {
                    "night": night,
                    "tracks": result.predicted,
                    "seconds": time.perf_counter() - began,
                    "resident MB": resident_mb(),
                    "warehouse MB": warehouse.stat().st_size / 2**20,
                    "open files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
                    "files beside": len(list(folder.iterdir())),
                }
            )
        stop.touch()
        polls = []
        for reader in readers:
            out, _ = reader.communicate(timeout=60)
            assert reader.returncode == 0, "a reader saw an error, or half a run"
            polls.append(int(out))
    told = pl.DataFrame(lines)
    told.write_csv("soak.csv")
    long = told.unpivot(index="night", variable_name="what", value_name="value")
    value = altair.Y("value", scale=altair.Scale(zero=False), title=None)
    chart = altair.Chart(long).mark_line().encode(x="night", y=value).properties(width=260, height=140)
    titled = altair.Facet("what:N", header=altair.Header(title=None))
    chart.facet(titled, columns=3).resolve_scale(y="independent").save("soak.png")
    earlier, last = told[-3 * WINDOW : -2 * WINDOW], told[-WINDOW:]
    grown = float(last["resident MB"].mean() - earlier["resident MB"].mean())  # type: ignore[operator, arg-type]
    print(
        f"{NIGHTS} nights, {sum(polls):,} polls without an error; tracks {told['tracks'][0]:,} to {told['tracks'][-1]:,}"
    )
    print(
        f"resident {told['resident MB'][0]:.0f} MB after the first night, {told['resident MB'][-1]:.0f} at the end; "
        f"nights {NIGHTS - 3 * WINDOW} to {NIGHTS - 2 * WINDOW} against the last {WINDOW}: {grown:+.1f} MB"
    )
    print(
        f"open files {told['open files'][20]} to {told['open files'][-1]}; warehouse {told['warehouse MB'][-1]:.1f} MB"
    )
    assert told["open files"][-1] <= told["open files"][20]  # type: ignore[operator]
    assert told["files beside"].n_unique() <= 3
    assert grown < WINDOW  # the windows are 60 nights apart: half a megabyte a night


if __name__ == "__main__":
    main()
