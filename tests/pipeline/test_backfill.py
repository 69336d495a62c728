"""Backfills, and the dates that are missing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import (
    DAY,
    ask,
    run,
    score,
    track,
    tracks,
    write_csv,
)


def test_a_backfilled_date_sees_what_was_known_then_and_overwrites_nothing_newer(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "new.csv", [track(1, energy="0.9"), *(track(i) for i in range(2, 9))]), warehouse)
    score(write_csv(tmp_path / "old.csv", [track(1, energy="0.2"), track(100)]), warehouse, "2026-11-10")
    (kept,) = ask(
        warehouse,
        "SELECT round(energy, 3)::DOUBLE AS energy, first_run_date, last_run_date FROM tracks WHERE track_id = '1'",
    )
    assert kept == {"energy": pytest.approx(0.9), "first_run_date": "2026-11-10", "last_run_date": DAY}
    seen = ask(warehouse, "SELECT DISTINCT run_date, artist_tracks FROM predictions ORDER BY 1")
    assert [row["artist_tracks"] for row in seen] == [2, 8]
    assert ask(warehouse, "SELECT tracks FROM artist_profiles") == [{"tracks": 9}]


def test_a_range_of_dates_is_filled_in_and_what_is_missing_is_listed(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    for day in ("2026-11-01", "2026-11-03"):
        write_csv(tmp_path / f"tracks-{day}.csv", tracks(5))
    (tmp_path / "j.yaml").write_text(
        f"job: score\nname: nightly\nsource: {tmp_path}/tracks-{{run_date}}.csv\nwarehouse: {warehouse}\n"
    )
    result = run("run", tmp_path / "j.yaml", "--from", "2026-11-01", "--to", "2026-11-03", "--output", "json")
    assert result.code == 66
    assert [run["status"] for run in result.json["runs"]] == ["published", "failed", "published"]
    again = run("--log-format", "text", "run", tmp_path / "j.yaml", "--from", "2026-11-01", "--to", "2026-11-02")
    first, second = (line for line in again.err.splitlines() if re.match(r"\S+ \S+  2026-11-0[12]  ", line))
    assert "  2026-11-01  already published  5 predicted, 0 quarantined, " in first
    assert f"2026-11-02  failed             {tmp_path}/tracks-2026-11-02.csv" in second
    assert again.out.endswith("2 run dates: 1 already published, 1 failed\n")
    quiet = run("run", tmp_path / "j.yaml", "--run-date", "2026-11-01", "--force", "--quiet", "--log-format", "json")
    assert {json.loads(line)["level"] for line in quiet.err.splitlines()} <= {"warning"}
    found = run("missing", "--from", "2026-10-31", "--to", "2026-11-03", "--warehouse", warehouse, "--output", "json")
    assert found.json["missing"] == ["2026-10-31", "2026-11-02"]
    other = run("missing", "--from", "2026-11-01", "--to", "2026-11-01", "--job", "x", "--warehouse", warehouse)
    assert other.code == 64
    assert "Jobs: nightly" in other.error
    assert run("score", "x", "--warehouse", warehouse, "--from", "2026-11-01").code == 64
