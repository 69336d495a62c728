"""validate: a source against its contract."""

from __future__ import annotations

from pathlib import Path

from tests.support import (
    run,
    tracks,
    write_csv,
)


def test_validate_stops_where_a_run_would(tmp_path: Path) -> None:
    result = run("validate", write_csv(tmp_path / "t.csv", tracks(40, tempo="?")), "--output", "json")
    assert (result.code, result.json["status"]) == (65, "rejected")
    assert "a run would be stopped by mostly_imputed_percent" in result.error
    checks = {check["name"]: check["verdict"] for check in result.json["checks"]}
    assert checks["mostly_imputed_percent"] == "failed"
    assert checks["quarantined_percent"] == "passed"


def test_validate_reports_by_rule_with_at_most_five_examples(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [*tracks(9, energy="8"), *tracks(200)[10:]])
    result = run("validate", source, "--output", "json")
    assert result.code == 0
    (reason,) = result.json["reasons"]
    assert (reason["reason"], reason["rows"], [e["row"] for e in reason["examples"]]) == (
        "energy.maximum: must be at most 1",
        9,
        [1, 2, 3, 4, 5],
    )
    assert f"'8' 9\n            {source} row 1, 2, 3, 4, 5\n" in run("validate", source).out
    assert run("validate", write_csv(tmp_path / "u.csv", tracks(9, energy="8"))).code == 65
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "u.csv"]


def test_validate_shows_the_values_that_a_check_counts(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [*tracks(3, music_genre="Polka"), *tracks(40)[3:]])
    result = run("validate", source, "--output", "json").json
    (check,) = (check for check in result["checks"] if check["name"] == "unknown_labels")
    assert (check["verdict"], check["values"]) == ("warning", [{"value": "Polka", "rows": 3}])
    assert "            'Polka' 3\n" in run("validate", source).out
