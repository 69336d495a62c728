"""Checks with limits: errors stop a run, warnings are recorded."""

from __future__ import annotations

import os
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import genrepipe as api
from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.core.errors import (
    OutputBroken,
)
from genrepipe.warehouse.connection import Database
from tests.support import (
    DAY,
    PLAN,
    ask,
    refuse,
    run,
    score,
    track,
    tracks,
    write_csv,
)


def test_the_evidence_of_a_refused_run_can_be_read(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    code, failed = refuse(warehouse, write_csv(tmp_path / "t.csv", [*tracks(9), track(10, energy="7")]))
    assert (code, failed["name"], failed["observed"]) == (65, "quarantined_percent", 10)
    assert [row["track_id"] for row in ask(warehouse, "FROM quarantine")] == ["10"]
    run("score", tmp_path / "t.csv", "--warehouse", warehouse, "--run-date", DAY)
    assert len(ask(warehouse, "FROM quarantine")) == 1  # a retry does not pile it up


def nightly(tmp_path: Path, warehouse: Path, count: int = 40) -> None:
    for number in range(3):
        write_csv(tmp_path / "n.csv", tracks(count, tempo=f"{100 + number}"))
        score(tmp_path / "n.csv", warehouse, f"2026-11-1{number}")


@pytest.mark.parametrize(
    ("check", "code", "make", "more"),
    [
        ("quarantined_rows", 65, lambda: [*tracks(60), track(61, energy="7")], ("--limit", "quarantined_rows=0")),
        ("volume_drop_percent", 65, lambda: tracks(3), ()),
        ("mostly_imputed_percent", 65, lambda: tracks(40, tempo="?"), ()),
        ("flipped_percent", 70, lambda: [track(i, energy="0.02", acousticness="0.99", instrumentalness="0.9", popularity="5") for i in range(1, 41)], ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_errors_stop_the_publish(tmp_path: Path, check: str, code: int, make: Any, more: tuple[str, ...]) -> None:
    warehouse = tmp_path / "w.duckdb"
    nightly(tmp_path, warehouse)
    found, failed = refuse(warehouse, write_csv(tmp_path / "t.csv", make()), *more)
    assert (found, failed["name"]) == (code, check)
    assert failed["observed"] > failed["allowed"]
    # Tracks that are all alike flip together.
    limits = [word for name in {check, "flipped_percent"} for word in ("--limit", f"{name}=1000")]
    assert run("score", tmp_path / "t.csv", "--warehouse", warehouse, "--run-date", DAY, *limits).code == 0


@pytest.mark.parametrize(
    ("check", "make"),
    [
        ("volume_change_percent", lambda: tracks(10)),
        ("source_repeated", lambda: tracks(40, tempo="102")),
        ("imputed_percent", lambda: [*tracks(25), *(track(i, tempo="?") for i in range(30, 45))]),
        ("largest_genre_percent", lambda: tracks(40)),
        ("drift_from_training", lambda: tracks(40)),
        ("drift_from_recent_runs", lambda: [track(i, liveness="0.9") for i in range(1, 41)]),
        ("source_age_hours", lambda: tracks(41)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_warnings_are_written_down_and_publish(tmp_path: Path, check: str, make: Any) -> None:
    warehouse = tmp_path / "w.duckdb"
    nightly(tmp_path, warehouse)
    source = write_csv(tmp_path / "t.csv", make())
    day = DAY
    if check == "source_age_hours":
        os.utime(source, (time.time() - 80 * 3600,) * 2)
        day = date.today().isoformat()
    result = score(source, warehouse, day, "--limit", "flipped_percent=100")  # tracks that are all alike flip together
    assert check in result["warnings"]
    (warned,) = ask(warehouse, f"FROM checks WHERE run_date = '{day}' AND name = '{check}'")
    assert warned["verdict"] == "warning"


@pytest.mark.parametrize("rule", ["sum_to_one", "known_genres", "low_margin_percent"])
def test_the_queries_on_the_output_can_fail(scored: Path, rule: str) -> None:
    """Rows that the program never writes are put beside good ones, and the contract's own query finds them."""
    found = contracts.load("predictions").table.checks[rule]
    with Database(scored, PLAN, read_only=True) as database:
        database.execute("CREATE TEMP TABLE run_predictions AS FROM predictions LIMIT 400")
        before = database.value(found.asked_of("run_predictions"))
        database.execute(
            "UPDATE run_predictions SET probabilities = struct_update(probabilities, Rock := 3.0), genre = 'Polka', margin = 0.0"
        )
        after = database.value(found.asked_of("run_predictions"))
    assert before <= found.limit < after


def test_an_unknown_limit_is_an_error_that_names_the_nearest(tmp_path: Path, sample: Path) -> None:
    result = run("score", sample, "--warehouse", tmp_path / "w.duckdb", "--limit", "flip_percent=1")
    assert result.code == 78
    assert "Did you mean flipped_percent?" in result.error


def test_every_check_has_a_sentence_and_a_verdict(scored: Path) -> None:
    checks = ask(scored, "FROM checks")
    assert {c["verdict"] for c in checks} == {"passed"}
    assert {"quarantined_percent", "one_prediction_per_track", "as_many_predictions_as_accepted_tracks"} <= {
        c["name"] for c in checks
    }
    assert all(c["sentence"].endswith(".") for c in checks)


def test_a_failed_audit_stops_the_publish(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that finds a row rolls everything back."""

    ours = assets.shipped("sql")
    folder = tmp_path / "sql"
    shutil.copytree(ours, folder)
    (folder / "audits" / "always_offends.sql").write_text(
        "-- No track is called anything.\nSELECT track_id FROM run_predictions LIMIT 3\n"
    )
    kept = assets.shipped
    monkeypatch.setattr(assets, "shipped", lambda name: folder if name == "sql" else kept(name))
    warehouse = tmp_path / "w.duckdb"
    with pytest.raises(OutputBroken, match="always_offends failed with 3 rows: No track is called anything"):
        api.score(sample, warehouse)
    assert ask(warehouse, "FROM predictions") == ask(warehouse, "FROM tracks") == []
    (line,) = ask(warehouse, "FROM runs")
    assert (line["status"], line["exit_code"], line["withheld"], line["predicted"]) == ("refused", 70, 3000, 0)
    (failed,) = ask(warehouse, "FROM checks WHERE verdict = 'failed'")
    assert (failed["name"], failed["observed"]) == ("always_offends", 3)
