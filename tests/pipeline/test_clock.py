"""A run that was made while the machine's clock was wrong: its date is not the newest for ever, and not in silence."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING

import pytest

from genrepipe.warehouse import ledger
from tests.support import Finished, ask, run, score, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

FUTURE = "2199-01-01"
PUBLISHED = "SELECT run_date FROM runs WHERE status = 'published' AND action = 'score' ORDER BY ALL"


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """A warehouse of two dates; the second run was made by a clock of 2199."""
    source = write_csv(tmp_path / "s.csv", tracks(6))
    score(source, tmp_path / "w.duckdb", "2026-11-19")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "utc_now", lambda: datetime(2199, 1, 1, 3))
        result = run("score", source, "--warehouse", tmp_path / "w.duckdb", "--keep-days", 30)
        assert result.code == 0, result.err
    return tmp_path / "w.duckdb"


def tonight(warehouse: Path, day: str, *more: object) -> Finished:
    source = warehouse.parent / "s.csv"
    result = run("score", source, "--warehouse", warehouse, "--run-date", day, *more)
    assert result.code == 0, result.err
    return result


def warnings(result: Finished, check: str) -> list[dict[str, str]]:
    return [each for line in result.err.splitlines() if (each := json.loads(line)).get("check") == check]


def test_a_run_by_a_clock_that_leapt_removes_nothing(warehouse: Path) -> None:
    assert [row["run_date"] for row in ask(warehouse, PUBLISHED)] == ["2026-11-19", FUTURE]
    assert len(ask(warehouse, "FROM predictions WHERE run_date = '2026-11-19'")) == 6


def test_a_date_in_the_future_is_not_the_newest(warehouse: Path) -> None:
    assert {row["run_date"] for row in ask(warehouse, "FROM predictions_latest")} == {"2026-11-19"}
    result = tonight(warehouse, "2026-11-20", "--keep-days", 1)
    assert {row["run_date"] for row in ask(warehouse, "FROM predictions_latest")} == {"2026-11-20"}
    assert {row["run_date"] for row in ask(warehouse, "FROM predictions")} == {"2026-11-20", FUTURE}
    assert warnings(result, "keep_days") == []


def test_one_warning_says_which_date_and_how_to_take_it_back(warehouse: Path) -> None:
    (warning,) = warnings(tonight(warehouse, "2026-11-20"), "future_run_date")
    assert (warning["run_dates"], warning["level"]) == (FUTURE, "warning")
    words = warning["remedy"].partition("genrepipe ")[2].partition(" takes it back")[0]
    assert run(*words.split(), "--warehouse", warehouse).code == 0
    assert warnings(tonight(warehouse, "2026-11-21"), "future_run_date") == []
    for table in ("predictions", "track_history"):
        assert "2199" not in str(ask(warehouse, f"FROM {table}"))
    assert {row["last_run_date"] for row in ask(warehouse, "FROM tracks")} == {"2026-11-21"}


def test_rollback_removes_the_last_run_whatever_its_date(warehouse: Path) -> None:
    assert run("rollback", "--warehouse", warehouse).code == 0
    assert [row["run_date"] for row in ask(warehouse, PUBLISHED)] == ["2026-11-19"]
    assert warnings(tonight(warehouse, "2026-11-20"), "future_run_date") == []


def test_a_clock_that_is_behind_removes_nothing_and_is_named(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "utc_now", lambda: datetime(1975, 1, 1, 3))
    result = run("score", warehouse.parent / "s.csv", "--warehouse", warehouse, "--keep-days", 1)
    assert result.code == 0, result.err
    (warning,) = warnings(result, "future_run_date")
    assert (warning["today"], warning["run_dates"]) == ("1975-01-01", f"2026-11-19, {FUTURE}")
    assert {row["run_date"] for row in ask(warehouse, "FROM predictions")} == {"1975-01-01", "2026-11-19", FUTURE}


def test_tomorrow_is_no_future() -> None:
    assert (ledger.latest_date() - ledger.parse_date(None)).days == 1
    assert ledger.parse_date(ledger.latest_date().isoformat()) == ledger.latest_date()
    assert isinstance(ledger.latest_date(), date)
