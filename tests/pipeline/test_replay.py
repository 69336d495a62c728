"""Quarantined rows and their way back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.support import (
    DAY,
    ask,
    go_on,
    refuse,
    run,
    run_until,
    score,
    track,
    tracks,
    write_csv,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_rejected_rows_come_back(tmp_path: Path) -> None:
    warehouse, fixes = tmp_path / "w.duckdb", tmp_path / "fixes.csv"
    rows = [*tracks(60), track(61, energy="7", track_name="=HYPERLINK(1)"), track(62, key="H", artist_name="-5")]
    first = score(write_csv(tmp_path / "t.csv", rows), warehouse)
    before = ask(warehouse, "FROM predictions ORDER BY track_id")
    (group, other) = run("quarantine", "list", "--warehouse", warehouse, "--output", "json").json["groups"]
    assert (group["rows"], other["rows"], len(group["examples"])) == (1, 1, 1)
    shown = run("quarantine", "show", group["examples"][0]["id"], "--warehouse", warehouse)
    assert "row 61" in shown.out
    assert "=HYPERLINK(1)" in shown.out
    args = ("--run-date", DAY, "--warehouse", warehouse, "--output", "json")
    assert run("quarantine", "export", *args, "--out", fixes).json["rows"] == 2
    with fixes.open(newline="") as file:
        exported = list(csv.DictReader(file))
    assert exported[0]["track_name"] == "'=HYPERLINK(1)"
    assert exported[1]["artist_name"] == "-5"
    exported[0]["energy"] = "0.7"  # the other one stays wrong
    write_csv(fixes, exported)
    replayed = run("quarantine", "replay", fixes, *args)
    assert replayed.code == 0, replayed.err
    counted = [replayed.json[k] for k in ("received", "predicted", "quarantined", "resolved", "open")]
    assert counted == [2, 1, 1, 1, 1]
    after = ask(warehouse, "FROM predictions ORDER BY track_id")
    assert len(after) == 61
    assert [row for row in after if row["track_id"] != "61"] == before
    assert {row["track_name"] for row in after if row["track_id"] == "61"} == {"=HYPERLINK(1)"}
    resolved = ask(warehouse, "SELECT resolved_by, count(*) AS n FROM quarantine GROUP BY 1 ORDER BY 1 NULLS LAST")
    assert resolved == [{"resolved_by": replayed.json["run_id"], "n": 1}, {"resolved_by": None, "n": 1}]
    again = run("score", tmp_path / "t.csv", "--warehouse", warehouse, "--run-date", DAY, "--output", "json")
    assert (again.json["status"], again.json["run_id"]) == ("already published", first["run_id"])


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        (["retract"], "are not in the quarantine"),
        (["score", "--force", "--model", "all-features"], "was scored again meanwhile"),
    ],
)  # fmt: skip
def test_a_date_that_changes_before_a_replay_has_the_lock(
    tmp_path: Path, warehouse: Path, meanwhile: list[str], said: str
) -> None:
    fixes, args = tmp_path / "fixes.csv", ("--run-date", DAY, "--warehouse", warehouse)
    source = write_csv(tmp_path / "t.csv", [*tracks(60), track(61, energy="7")])
    score(source, warehouse)
    assert run("quarantine", "export", *args, "--out", fixes).code == 0
    fixes.write_text(fixes.read_text().replace(",7,", ",0.7,"))
    with run_until("bundle", "quarantine", "replay", fixes, *args) as process:
        command, *options = meanwhile
        sources = [source] if command == "score" else []
        assert run(command, *sources, *options, *args).code == 0
        before = ask(warehouse, "FROM predictions ORDER BY track_id")
        code, err = go_on(process)
    assert (code, said in err) == (64, True), err
    assert ask(warehouse, "FROM predictions ORDER BY track_id") == before


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_an_export_that_a_spreadsheet_saved_comes_back(tmp_path: Path, warehouse: Path, delimiter: str) -> None:
    fixes, args = tmp_path / "fixes.csv", ("--run-date", DAY, "--warehouse", warehouse, "--output", "json")
    score(write_csv(tmp_path / "t.csv", [*tracks(60), track(61, energy="7", track_name="one; two, three")]), warehouse)
    assert run("quarantine", "export", *args, "--out", fixes).code == 0
    with fixes.open(newline="") as file:
        (row,) = csv.DictReader(file)
    with fixes.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(row), delimiter=delimiter)
        writer.writeheader()
        writer.writerow(row | {"energy": "0.7"})
    replayed = run("quarantine", "replay", fixes, *args)
    assert (replayed.code, replayed.json["resolved"]) == (0, 1), replayed.err
    assert ask(warehouse, "SELECT track_name FROM predictions WHERE track_id = '61'") == [
        {"track_name": "one; two, three"}
    ]


def test_a_parse_failure_is_exported_with_its_line_and_replayed(tmp_path: Path) -> None:
    warehouse, source, fixes = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(60)), tmp_path / "f.csv"
    with source.open("a") as file:
        file.write("61.0,too,few\n")
    score(source, warehouse)
    args = ("--run-date", DAY, "--warehouse", warehouse, "--output", "json")
    run("quarantine", "export", *args, "--out", fixes)
    with fixes.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert "61.0,too,few" in row["reasons"]
    write_csv(fixes, [{**row, **track(61)}])
    assert run("quarantine", "replay", fixes, *args).json["open"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("replay", "{export}", "--run-date", DAY), 64, f"1 of its rows are not in the quarantine of {DAY}"),
        (("replay", "{csv}", "--run-date", DAY), 64, "has no column quarantine_id"),
        (("replay", "{void}", "--run-date", DAY), 64, "holds no rows"),
        (("replay", "none.csv", "--run-date", DAY), 66, "there is no such file"),
        (("show", "0"), 64, "There is no quarantined row"),
        (("export", "--run-date", DAY, "--out", "e2.csv"), 64, f"No row of {DAY} is open"),
    ],
)
def test_the_quarantine_commands_say_what_is_wrong(
    scored_day: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    path = write_csv(tmp_path / "t.csv", tracks(2))
    export = write_csv(tmp_path / "e.csv", [{**row, "quarantine_id": "none"} for row in tracks(2)])
    (tmp_path / "v.csv").write_text(export.read_text().splitlines()[0] + "\n")
    named = {"{csv}": str(path), "{export}": str(export), "{void}": str(tmp_path / "v.csv")}
    words = [named.get(word, word) for word in arguments]
    result = run("quarantine", *words, "--warehouse", scored_day)
    assert result.code == code
    assert said in result.err


def test_rows_of_a_date_that_was_refused_are_not_replayed(tmp_path: Path) -> None:
    warehouse, fixes = tmp_path / "w.duckdb", tmp_path / "f.csv"
    refuse(warehouse, write_csv(tmp_path / "t.csv", tracks(5, energy="7")))
    run("quarantine", "export", "--run-date", DAY, "--out", fixes, "--warehouse", warehouse)
    result = run("quarantine", "replay", fixes, "--run-date", DAY, "--warehouse", warehouse)
    assert result.code == 64
    assert "has no published run of job score. Run the whole date again" in result.error


@pytest.fixture(scope="module")
def scored_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("day")
    score(write_csv(folder / "t.csv", tracks(5)), folder / "w.duckdb")
    return folder / "w.duckdb"


@pytest.fixture
def day(tmp_path: Path, warehouse: Path) -> tuple[Path, Path]:
    """A night with a broken row, a contradicting one and one that cannot be parsed; its source, and its export."""
    rows = [*tracks(60), track(61, energy="7"), track(5, energy="0.1"), track(5)]
    source, fixes = write_csv(tmp_path / "t.csv", rows), tmp_path / "fixes.csv"
    with source.open("a") as file:
        file.write("62.0,too,few\n")
    score(source, warehouse)
    assert run("quarantine", "export", "--run-date", DAY, "--out", fixes, "--warehouse", warehouse).code == 0
    return source, fixes


def replay(warehouse: Path, fixes: Path) -> dict[str, Any]:
    result = run("quarantine", "replay", fixes, "--run-date", DAY, "--warehouse", warehouse, "--output", "json")
    assert result.code == 0, result.err
    return result.json


def correct(fixes: Path) -> Path:
    with fixes.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return write_csv(fixes, [{**row, "energy": "0.7"} if row["energy"] == "7" else row for row in rows])


def test_an_export_replayed_as_it_is_resolves_nothing_and_piles_nothing_up(
    warehouse: Path, day: tuple[Path, Path]
) -> None:
    _, fixes = day
    first, second = (replay(warehouse, fixes) for _ in range(2))
    for result in (first, second):
        assert (result["predicted"], result["resolved"], result["open"]) == (0, 0, 3)
    assert {reason["reason"].split(":")[0] for reason in first["reasons"]} == {"energy.maximum", "instance_id.unique"}
    assert second["status"] == "already published"
    assert len(ask(warehouse, "FROM quarantine")) == 3
    (line,) = {(row["received"], row["predicted"], row["quarantined"], row["duplicates"], row["empty"]) for row in ask(warehouse, "FROM runs WHERE action = 'replay'")}  # fmt: skip
    assert line[0] == sum(line[1:]) == 3


def test_a_contradicting_row_does_not_replace_the_one_that_stands(warehouse: Path, day: tuple[Path, Path]) -> None:
    _, fixes = day
    before = ask(warehouse, "FROM predictions WHERE track_id = '5'")
    result = replay(warehouse, correct(fixes))
    assert (result["predicted"], result["resolved"], result["open"]) == (1, 1, 2)
    assert ask(warehouse, "FROM predictions WHERE track_id = '5'") == before
    assert len(ask(warehouse, "FROM predictions")) == 61
    assert {row["rule"] for row in ask(warehouse, "FROM quarantine_reasons")} == {"instance_id.unique", "row.columns"}
    (line,) = ask(warehouse, "FROM runs WHERE action = 'replay'")
    assert line["sources"] == [str(fixes)]


def test_a_replay_counts_again_once_the_date_was_scored_again(warehouse: Path, day: tuple[Path, Path]) -> None:
    source, fixes = day
    correct(fixes)
    assert replay(warehouse, fixes)["status"] == "published"
    assert replay(warehouse, fixes)["status"] == "already published"
    score(source, warehouse, DAY, "--force")
    assert len(ask(warehouse, "FROM predictions")) == 60
    assert replay(warehouse, fixes)["status"] == "published"
    assert len(ask(warehouse, "FROM predictions")) == 61
    run_id = ask(warehouse, "SELECT run_id FROM runs WHERE action = 'score' ORDER BY started_at DESC LIMIT 1")[0][
        "run_id"
    ]
    again = run("verify", "--run", run_id, "--warehouse", warehouse)
    assert again.code == 0, again.err  # one more track of the artist is known since


def test_an_export_overwrites_no_file(warehouse: Path, day: tuple[Path, Path]) -> None:
    for there in (warehouse, day[1]):
        result = run("quarantine", "export", "--run-date", DAY, "--out", there, "--warehouse", warehouse)
        assert result.code == 64
        assert "is there already" in result.error
    nowhere = run("quarantine", "export", "--run-date", DAY, "--out", "/no/where.csv", "--warehouse", warehouse)
    assert nowhere.code == 74
    assert len(ask(warehouse, "FROM predictions")) == 60


def test_two_jobs_that_read_one_file_have_each_their_rows(tmp_path: Path, warehouse: Path) -> None:
    source, fixes = write_csv(tmp_path / "t.csv", [*tracks(60), track(61, energy="7")]), tmp_path / "fixes.csv"
    for job in ("one", "two"):
        score(source, warehouse, DAY, "--name", job)
    groups = run("quarantine", "list", "--warehouse", warehouse, "--output", "json").json["groups"]
    assert [(group["job"], group["rows"]) for group in groups] == [("one", 1), ("two", 1)]
    args = ("--run-date", DAY, "--warehouse", warehouse)
    both = tmp_path / "both.csv"
    assert run("quarantine", "export", *args, "--out", both).code == 0
    refused = run("quarantine", "replay", both, *args)
    assert refused.code == 64
    assert "holds rows of 2 jobs: one, two. Export the rows of one: --job NAME" in refused.error
    assert run("quarantine", "export", *args, "--out", fixes, "--job", "one").code == 0
    result = replay(warehouse, correct(fixes))
    assert (result["predicted"], result["resolved"], result["open"]) == (1, 1, 0)
    assert ask(warehouse, "SELECT job FROM predictions WHERE track_id = '61'") == [{"job": "one"}]
    still_open = "SELECT job FROM quarantine JOIN runs USING (run_id) WHERE resolved_by IS NULL"
    assert ask(warehouse, still_open) == [{"job": "two"}]
