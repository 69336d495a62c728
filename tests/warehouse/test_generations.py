"""Generations: readers see whole ones, outside writers are refused, and what a checkpoint cuts off is put back."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from genrepipe.warehouse import generations
from tests.support import (
    DAY,
    NEXT,
    PLAN,
    ask,
    files,
    go_on,
    run,
    run_until,
    score,
    tracks,
    write_csv,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_readers_see_no_error_and_whole_runs_while_a_dozen_runs_publish(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", tmp_path / "t.csv"
    score(write_csv(source, tracks(10)), warehouse, "2026-10-01")
    poll = f"""
import duckdb, pathlib, sys
polls = 0
while not pathlib.Path({str(tmp_path / "stop")!r}).exists():
    with duckdb.connect({str(warehouse)!r}, read_only=True) as c:
        rows = c.execute("SELECT run_date, predicted, (SELECT count(*) FROM predictions p WHERE p.run_date = r.run_date) FROM runs r").fetchall()
    assert all(predicted == there for _, predicted, there in rows), rows
    polls += 1
print(polls, len(rows))
"""
    with subprocess.Popen(
        [sys.executable, "-c", poll], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        for number in range(1, 13):
            write_csv(source, tracks(10 + number))
            score(source, warehouse, (date(2026, 10, 1) + timedelta(days=number)).isoformat())
        (tmp_path / "stop").touch()
        out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    polls, last = map(int, out.split())
    assert polls > 20
    assert last >= 12
    assert files(warehouse) == {"w.duckdb", "w.duckdb.previous"}


def everything(warehouse: Path) -> dict[str, Any]:
    with duckdb.connect(warehouse, read_only=True) as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        return {
            name: connection.execute(f"SELECT count(*), bit_xor(hash(t)) FROM {name} AS t").fetchone()
            for (name,) in tables
        }


def torn(old: Path, new: Path) -> Path:
    """Return what a reader has who opens a file for its header, and again for its blocks after a publish."""
    path = new.with_name("torn.duckdb")
    shutil.copy(new, path)
    with path.open("r+b") as file:
        file.write(old.read_bytes()[: 3 * 4096])
    return path


def test_a_reader_between_two_generations_reads_the_old_one(tmp_path: Path, big: Path) -> None:
    warehouse, old, small = (tmp_path / name for name in ("w.duckdb", "old.duckdb", "small.csv"))
    small.write_text("".join(big.read_text().splitlines(keepends=True)[:4000]))
    refused = write_csv(tmp_path / "r.csv", tracks(20, energy="7"))
    score(big, warehouse, "2026-11-01")
    for command, code in (
        (("score", small, "--run-date", "2026-11-02", "--keep-days", 1), 0),
        (("score", refused, "--run-date", "2026-11-03"), 65),
        (("score", small, "--run-date", "2026-11-02", "--force", "--shadow", "lda-3d"), 0),
        (("score", big, "--run-date", "2026-11-03", "--model", "lda-2d"), 0),
        (("rollback",), 0),
    ):
        shutil.copy(warehouse, old)
        before = everything(old)
        result = run(*command, "--warehouse", warehouse)
        assert result.code == code, result.err
        assert everything(warehouse) != before
        assert everything(torn(old, warehouse)) == before, command


@pytest.mark.parametrize("ours", [True, False])
def test_blocks_that_a_checkpoint_cuts_off_are_put_back(tmp_path: Path, ours: bool) -> None:
    """Without that, the reader between two generations finds its blocks missing."""
    warehouse, old, new = (tmp_path / name for name in ("w.duckdb", "old.duckdb", "new.duckdb"))
    seen = set()
    for statement in (
        "CREATE TABLE a AS SELECT range AS n FROM range(10); CREATE TABLE b AS SELECT hash(range) AS n FROM range(500000)",
        "DROP TABLE b",
        *["INSERT INTO a VALUES (10)"] * 4,
    ):
        if warehouse.exists():
            shutil.copy(warehouse, old)
        if ours:
            generation = generations.Generations(warehouse, PLAN)
            generation.hold()
            database = generation.begin()
            database.execute(statement)
            generation.publish(database)
            generation.close()
        else:
            shutil.copy(old, new) if old.exists() else None
            with duckdb.connect(new) as connection:
                connection.execute(statement)
                connection.execute("CHECKPOINT")
            new.rename(warehouse)
        if old.exists():
            try:
                seen.add(everything(torn(old, warehouse)) == everything(old))
            except duckdb.Error:
                seen.add(False)
    assert seen == {True} if ours else False in seen
    assert warehouse.stat().st_size < 6 * 2**20


def test_an_outside_writer_is_refused_while_a_run_lasts_and_readers_are_not(tmp_path: Path, big: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, "2026-11-01")
    with run_until("scoring", "score", big, "--warehouse", warehouse, "--run-date", DAY) as process:
        with pytest.raises(duckdb.IOException, match=rf"PID {process.pid}"):
            duckdb.connect(warehouse)
        assert len(ask(warehouse, "FROM predictions")) == 5
        late = run("score", big, "--warehouse", warehouse, "--run-date", DAY)
        assert late.code == 75
        assert f"(PID {process.pid} on" in late.err
        assert go_on(process)[0] == 0
    assert len(ask(warehouse, "FROM predictions")) == 20_005


def test_a_write_ahead_log_that_another_program_left_is_taken_in(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    score(source, warehouse)
    died = f"import duckdb, os; c = duckdb.connect({str(warehouse)!r}); c.execute('CREATE TABLE notes AS SELECT 7 AS n'); os._exit(0)"
    subprocess.run([sys.executable, "-c", died], check=True)
    assert "w.duckdb.wal" in files(warehouse)
    score(source, warehouse, "2026-11-21")
    assert ask(warehouse, "FROM notes") == [{"n": 7}]
    assert "w.duckdb.wal" not in files(warehouse)


def test_a_warehouse_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, big: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    with run_until("scoring", "score", big, "--warehouse", warehouse, "--run-date", DAY) as process:
        with duckdb.connect(warehouse) as connection:
            connection.execute("CREATE TABLE mine AS SELECT 1 AS n")
        code, err = go_on(process)
    assert code == 75, err
    assert ask(warehouse, "FROM mine") == [{"n": 1}]


def test_a_link_to_a_warehouse_stays_one_and_its_mode_is_kept(tmp_path: Path, warehouse: Path) -> None:
    source, real = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "volume" / "real.duckdb"
    real.parent.mkdir()
    score(source, real)
    real.chmod(0o640)
    warehouse.symlink_to(real)
    score(source, warehouse, NEXT)
    assert warehouse.is_symlink()
    assert len(ask(real, "FROM predictions")) == 10
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_reader_leaves_what_other_readers_spill_beside_the_warehouse(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(2)), warehouse)
    (tmp_path / "w.duckdb.tmp").mkdir()
    (tmp_path / "w.duckdb.tmp" / "duckdb_temp_storage-0.tmp").write_text("of another query")
    assert ask(warehouse, "SELECT count(*) AS n FROM predictions") == [{"n": 2}]
    assert (tmp_path / "w.duckdb.tmp" / "duckdb_temp_storage-0.tmp").exists()


def test_a_generation_before_that_is_the_current_file_leaves_nothing_beside(warehouse: Path, tmp_path: Path) -> None:
    """A power cut may leave that, where the file system keeps the later rename of a folder without the earlier one."""
    source = write_csv(tmp_path / "t.csv", tracks(10))
    score(source, warehouse, DAY)
    previous = generations.sibling(warehouse, "previous")
    previous.unlink(missing_ok=True)
    previous.hardlink_to(warehouse)
    score(write_csv(source, tracks(12)), warehouse, NEXT)
    assert files(warehouse) == {"w.duckdb", "w.duckdb.previous"}
    assert not previous.samefile(warehouse)
    assert ask(previous, "SELECT DISTINCT run_date FROM predictions") == [{"run_date": DAY}]
