"""Rollback: one generation back, and forward again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import (
    DAY,
    ask,
    run,
    score,
    tracks,
    write_csv,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_rollback_goes_back_one_generation_and_says_so_and_can_be_undone(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    assert run("rollback", "--warehouse", warehouse).code == 78
    first = score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    second = score(write_csv(tmp_path / "t.csv", tracks(8)), warehouse, "2026-11-21")
    back = run("rollback", "--warehouse", warehouse, "--output", "json").json
    assert (back["to"]["run_id"], [done["run_id"] for done in back["undone"]]) == (first["run_id"], [second["run_id"]])
    assert len(ask(warehouse, "FROM predictions")) == 5
    (line,) = ask(warehouse, "FROM runs WHERE action = 'rollback'")
    assert second["run_id"] in line["error"]
    assert run("rollback", "--warehouse", warehouse).code == 0
    assert len(ask(warehouse, "FROM predictions")) == 13


def test_a_rollback_names_what_it_undoes_refused_nights_apart(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(40))
    first, second = (score(source, warehouse, day)["run_id"] for day in ("2026-11-18", "2026-11-19"))
    broken = write_csv(tmp_path / "b.csv", tracks(40, energy="7"))
    assert run("score", broken, "--warehouse", warehouse, "--run-date", DAY).code == 65
    result = run("rollback", "--warehouse", warehouse)
    assert result.out.splitlines()[0].endswith(f"is as run {first} of 2026-11-18 left it")
    assert result.out.splitlines()[1] == f"  undone: score 2026-11-19, run {second}"
    assert len(ask(warehouse, "FROM predictions")) == 40


def test_a_refused_run_survives_a_rollback_with_its_evidence(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    source = write_csv(tmp_path / "t.csv", tracks(40))
    score(source, warehouse, "2026-11-18")
    score(source, warehouse, "2026-11-19")
    broken = write_csv(tmp_path / "b.csv", tracks(40, energy="7"))
    assert run("score", broken, "--warehouse", warehouse, "--run-date", DAY).code == 65
    evidence = {
        "runs": "SELECT * FROM runs WHERE status = 'refused'",
        "quarantine": "FROM quarantine ORDER BY quarantine_id",
        "checks": f"FROM checks WHERE run_date = '{DAY}' ORDER BY name",
    }
    before = {table: ask(warehouse, sql) for table, sql in evidence.items()}
    assert all(before.values())
    for _ in range(2):  # and once more forward
        assert run("rollback", "--warehouse", warehouse).code == 0
        assert {table: ask(warehouse, sql) for table, sql in evidence.items()} == before
    assert len(ask(warehouse, "FROM predictions")) == 80
    assert len(ask(warehouse, "FROM runs WHERE action = 'rollback'")) == 2


def test_a_rollback_refuses_where_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    nothing = run("rollback", "--warehouse", warehouse)
    assert (nothing.code, "there is no such warehouse" in nothing.error) == (78, True)
    broken = write_csv(tmp_path / "b.csv", tracks(5, energy="7"))
    assert run("score", broken, "--warehouse", warehouse, "--run-date", DAY).code == 65
    none = run("rollback", "--warehouse", warehouse)
    assert (none.code, "has no generation before" in none.error) == (78, True)
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    refused_before = run("rollback", "--warehouse", warehouse)
    assert (refused_before.code, "There is nothing to go back to" in refused_before.error) == (78, True)
    assert len(ask(warehouse, "FROM predictions")) == 5
    shutil.copy(warehouse, tmp_path / "w.duckdb.previous")
    same = run("rollback", "--warehouse", warehouse)
    assert (same.code, "has the same runs" in same.error) == (78, True)
