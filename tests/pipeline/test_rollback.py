"""Rollback: one generation back, and forward again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import (
    DAY,
    ask,
    run,
    score,
    tracks,
    write_csv,
)

if TYPE_CHECKING:
    pass


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
