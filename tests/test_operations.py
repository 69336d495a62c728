"""What operations trust: generations, identity, interrupts, the breaker, and rows that come back."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrepipe import contracts
from genrepipe.core import resources
from genrepipe.core.errors import SourceShapeError, StorageError, WarehouseBusy
from genrepipe.ingest import files as csvfiles
from genrepipe.warehouse.connection import Database
from genrepipe.warehouse.schema import generations
from tests.conftest import GOOD, ask, genrepipe, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = "2026-11-20"


def score(source: object, warehouse: Path, day: str = DAY, *more: object, **environment: str) -> dict[str, Any]:
    words = ("score", source, "--warehouse", warehouse, "--run-date", day, "--output", "json", *more)
    result = genrepipe(*words, **environment)
    assert result.code == 0, result.err
    return result.json


def files(warehouse: Path) -> set[str]:
    return {path.name for path in warehouse.parent.glob(f"{warehouse.name}*")}


@contextmanager
def run_until(stage: str, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run and stop its process, as a debugger would, where it says that a stage begins."""
    command = [sys.executable, "-m", "genrepipe", *map(str, arguments)]
    env = os.environ | environment
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("{") and json.loads(line).get("stage") == stage:
                process.send_signal(signal.SIGSTOP)
                break
        else:
            pytest.fail(f"there was no stage {stage}")
        yield process
        process.kill()


def go_on(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


# Generations


def test_readers_see_no_error_and_whole_runs_while_twenty_runs_publish(tmp_path: Path) -> None:
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
        for number in range(1, 21):
            write_csv(source, tracks(10 + number))
            score(source, warehouse, (date(2026, 10, 1) + timedelta(days=number)).isoformat())
        (tmp_path / "stop").touch()
        out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    polls, last = map(int, out.split())
    assert polls > 40
    assert last >= 20
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
        result = genrepipe(*command, "--warehouse", warehouse)
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
            with generations.locked(warehouse, resources.plan(), {}) as files:
                files.hold()
                database = files.begin()
                database.execute(statement)
                files.publish(database)
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
        late = genrepipe("score", big, "--warehouse", warehouse, "--run-date", DAY)
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


def test_rollback_goes_back_one_generation_and_says_so_and_can_be_undone(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    assert genrepipe("rollback", "--warehouse", warehouse).code == 78
    first = score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    second = score(write_csv(tmp_path / "t.csv", tracks(8)), warehouse, "2026-11-21")
    back = genrepipe("rollback", "--warehouse", warehouse, "--output", "json").json
    assert (back["to"]["run_id"], [done["run_id"] for done in back["undone"]]) == (first["run_id"], [second["run_id"]])
    assert len(ask(warehouse, "FROM predictions")) == 5
    (line,) = ask(warehouse, "FROM runs WHERE action = 'rollback'")
    assert second["run_id"] in line["error"]
    assert genrepipe("rollback", "--warehouse", warehouse).code == 0
    assert len(ask(warehouse, "FROM predictions")) == 13


def test_retention_trims_old_dates_and_the_ledger_stays(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    for day in ("2026-11-01", "2026-11-18", "2026-11-20"):
        score(source, warehouse, day, "--keep-days", 3)
    kept = ask(warehouse, "SELECT DISTINCT run_date FROM predictions ORDER BY 1")
    assert [row["run_date"] for row in kept] == ["2026-11-18", "2026-11-20"]
    assert len(ask(warehouse, "FROM runs")) == 3
    assert score(source, warehouse, "2026-11-01")["status"] == "published"  # it is not there any more


# Identity


def test_force_scores_again_what_would_be_recognised(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    assert [score(source, warehouse, DAY, *more)["status"] for more in ((), (), ("--force",))] == [
        "published",
        "already published",
        "published",
    ]
    assert len(ask(warehouse, "FROM runs")) == 2


def test_a_backfilled_date_sees_what_was_known_then_and_overwrites_nothing_newer(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "new.csv", [track(1, energy="0.9"), *(track(i) for i in range(2, 9))]), warehouse)
    score(write_csv(tmp_path / "old.csv", [track(1, energy="0.2"), track(100)]), warehouse, "2026-11-10")
    (kept,) = ask(
        warehouse, "SELECT round(energy, 3) AS energy, first_run_date, last_run_date FROM tracks WHERE track_id = '1'"
    )
    assert kept == {"energy": 0.9, "first_run_date": "2026-11-10", "last_run_date": DAY}
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
    result = genrepipe("run", tmp_path / "j.yaml", "--from", "2026-11-01", "--to", "2026-11-03", "--output", "json")
    assert result.code == 66
    assert [run["status"] for run in result.json["runs"]] == ["published", "failed", "published"]
    found = genrepipe(
        "missing", "--from", "2026-10-31", "--to", "2026-11-03", "--warehouse", warehouse, "--output", "json"
    )
    assert found.json["missing"] == ["2026-10-31", "2026-11-02"]
    other = genrepipe("missing", "--from", "2026-11-01", "--to", "2026-11-01", "--job", "x", "--warehouse", warehouse)
    assert other.code == 64
    assert "Jobs: nightly" in other.error
    assert genrepipe("score", "x", "--warehouse", warehouse, "--from", "2026-11-01").code == 64


# Interrupts and kills


def test_a_signal_just_before_a_wait_ends_the_wait() -> None:
    code = (
        "import os, signal, time; from genrepipe import interrupts, errors\n"
        "interrupts.listen()\n"
        "with interrupts.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    for last in (False, True):\n"
        "        try: interrupts.heeding(lambda: time.sleep(60), 0.5, last=last)\n"
        "        except (errors.Terminated, TimeoutError) as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["Terminated", "TimeoutError"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stage", ["landing", "scoring", "checks"])
def test_a_signal_rolls_back_writes_the_ledger_and_ends_in_time(
    tmp_path: Path, big: Path, stage: str, number: int, code: int
) -> None:
    warehouse, word = tmp_path / "w.duckdb", tmp_path / "result.json"
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, "2026-11-01")
    with run_until(stage, "score", big, "--warehouse", warehouse, "--run-date", DAY, "--result-file", word) as process:
        process.send_signal(number)
        since = time.monotonic()
        ended, err = go_on(process)
        took = time.monotonic() - since
    assert ended == code, err
    assert took < 5
    assert json.loads(word.read_text())["exit_code"] == code
    assert [line for line in err.splitlines() if not line.startswith("{")] == [err.splitlines()[-1]]
    (line,) = ask(warehouse, f"FROM runs WHERE run_date = '{DAY}'")
    assert (line["status"], line["exit_code"]) == ("interrupted", code)
    assert len(ask(warehouse, "FROM predictions")) == len(ask(warehouse, "FROM tracks")) == 5
    assert files(warehouse) == {"w.duckdb"}


@pytest.mark.parametrize("stage", ["lock", "copy", "landing", "scoring", "ledger", "publishing"])
def test_a_killed_run_leaves_the_old_generation_whole_and_the_next_one_cleans_up(
    tmp_path: Path, big: Path, stage: str
) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, "2026-11-01")
    with run_until(stage, "score", big, "--warehouse", warehouse, "--run-date", DAY) as process:
        process.kill()
        process.wait()
    assert len(ask(warehouse, "FROM predictions")) == len(ask(warehouse, "FROM tracks")) == 5
    score(big, warehouse)
    lines = ask(warehouse, f"SELECT status, exit_code FROM runs WHERE run_date = '{DAY}' ORDER BY started_at")
    assert lines == [{"status": "killed", "exit_code": None}, {"status": "published", "exit_code": 0}]
    assert files(warehouse) == {"w.duckdb", "w.duckdb.previous"}


def test_what_a_run_could_not_write_for_lack_of_room_the_next_one_does(tmp_path: Path) -> None:
    said = {"run_id": "20261101T000000.000000Z-aaaaaa", "job": "score", "run_date": DAY, "action": "score",
            "started_at": "2026-11-20T01:00:00", "status": "failed", "exit_code": 74, "error": "no space"}  # fmt: skip
    warehouse = tmp_path / "w.duckdb"
    generations.beside(warehouse, "lock").write_text(json.dumps(said))
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    assert ask(warehouse, "SELECT status, exit_code, error FROM runs WHERE exit_code <> 0") == [
        {"status": "failed", "exit_code": 74, "error": "no space"}
    ]


# The breaker


def refuse(warehouse: Path, source: Path, *more: object, day: str = DAY) -> tuple[int, dict[str, Any]]:
    result = genrepipe("score", source, "--warehouse", warehouse, "--run-date", day, *more)
    (failed,) = ask(warehouse, f"FROM checks WHERE verdict = 'failed' AND run_date = '{day}'")
    (line,) = ask(warehouse, f"FROM runs WHERE run_date = '{day}' AND status = 'refused'")
    assert failed["run_id"] == line["run_id"]
    assert ask(warehouse, f"FROM predictions WHERE run_date = '{day}'") == []
    assert line["received"] == line["withheld"] + line["quarantined"] + line["duplicates"] + line["empty"]
    return result.code, failed


def test_the_evidence_of_a_refused_run_can_be_read(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    code, failed = refuse(warehouse, write_csv(tmp_path / "t.csv", [*tracks(9), track(10, energy="7")]))
    assert (code, failed["name"], failed["observed"]) == (65, "quarantined_percent", 10)
    assert [row["track_id"] for row in ask(warehouse, "FROM quarantine")] == ["10"]
    genrepipe("score", tmp_path / "t.csv", "--warehouse", warehouse, "--run-date", DAY)
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
    assert (
        genrepipe(
            "score", tmp_path / "t.csv", "--warehouse", warehouse, "--run-date", DAY, "--limit", f"{check}=1000"
        ).code
        == 0
    )


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
    result = score(source, warehouse, day)
    assert check in result["warnings"]
    (warned,) = ask(warehouse, f"FROM checks WHERE run_date = '{day}' AND name = '{check}'")
    assert warned["verdict"] == "warning"


@pytest.mark.parametrize("rule", ["sum_to_one", "known_genres", "low_margin_percent"])
def test_the_queries_on_the_output_can_fail(scored: Path, rule: str) -> None:
    """Rows that the program never writes are put beside good ones, and the contract's own query finds them."""
    found = contracts.load("predictions").table.limits[rule]
    with Database(scored, resources.plan(), read_only=True) as database:
        database.execute("CREATE TEMP TABLE tonight AS FROM predictions LIMIT 400")
        before = database.value(found.query or "")
        database.execute(
            "UPDATE tonight SET probabilities = struct_update(probabilities, Rock := 3.0), genre = 'Polka', margin = 0.0"
        )
        after = database.value(found.query or "")
    assert before <= found.limit < after


def test_an_unknown_limit_is_an_error_that_names_the_nearest(tmp_path: Path, sample: Path) -> None:
    result = genrepipe("score", sample, "--warehouse", tmp_path / "w.duckdb", "--limit", "flip_percent=1")
    assert result.code == 78
    assert "Did you mean flipped_percent?" in result.error


# The quarantine


def test_rejected_rows_come_back(tmp_path: Path) -> None:
    warehouse, fixes = tmp_path / "w.duckdb", tmp_path / "fixes.csv"
    rows = [*tracks(60), track(61, energy="7", track_name="=HYPERLINK(1)"), track(62, key="H", artist_name="-5")]
    first = score(write_csv(tmp_path / "t.csv", rows), warehouse)
    before = ask(warehouse, "FROM predictions ORDER BY track_id")
    (group, other) = genrepipe("quarantine", "list", "--warehouse", warehouse, "--output", "json").json["groups"]
    assert (group["rows"], other["rows"], len(group["examples"])) == (1, 1, 1)
    shown = genrepipe("quarantine", "show", group["examples"][0]["id"], "--warehouse", warehouse)
    assert "row 61" in shown.out
    assert "=HYPERLINK(1)" in shown.out
    args = ("--run-date", DAY, "--warehouse", warehouse, "--output", "json")
    assert genrepipe("quarantine", "export", *args, "--out", fixes).json["rows"] == 2
    with fixes.open(newline="") as file:
        exported = list(csv.DictReader(file))
    assert exported[0]["track_name"] == "'=HYPERLINK(1)"
    assert exported[1]["artist_name"] == "-5"
    exported[0]["energy"] = "0.7"  # the other one stays wrong
    write_csv(fixes, exported)
    replayed = genrepipe("quarantine", "replay", fixes, *args)
    assert replayed.code == 0, replayed.err
    counted = [replayed.json[k] for k in ("received", "predicted", "quarantined", "resolved", "open")]
    assert counted == [2, 1, 1, 1, 1]
    after = ask(warehouse, "FROM predictions ORDER BY track_id")
    assert len(after) == 61
    assert [row for row in after if row["track_id"] != "61"] == before
    assert {row["track_name"] for row in after if row["track_id"] == "61"} == {"=HYPERLINK(1)"}
    resolved = ask(warehouse, "SELECT resolved_by, count(*) AS n FROM quarantine GROUP BY 1 ORDER BY 1 NULLS LAST")
    assert resolved == [{"resolved_by": replayed.json["run_id"], "n": 1}, {"resolved_by": None, "n": 1}]
    again = genrepipe("score", tmp_path / "t.csv", "--warehouse", warehouse, "--run-date", DAY, "--output", "json")
    assert (again.json["status"], again.json["run_id"]) == ("already published", first["run_id"])


def test_a_parse_failure_is_exported_with_its_line_and_replayed(tmp_path: Path) -> None:
    warehouse, source, fixes = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(60)), tmp_path / "f.csv"
    with source.open("a") as file:
        file.write("61.0,too,few\n")
    score(source, warehouse)
    args = ("--run-date", DAY, "--warehouse", warehouse, "--output", "json")
    genrepipe("quarantine", "export", *args, "--out", fixes)
    with fixes.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert "61.0,too,few" in row["reasons"]
    write_csv(fixes, [{**row, **track(61)}])
    assert genrepipe("quarantine", "replay", fixes, *args).json["open"] == 0


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
    result = genrepipe("quarantine", *words, "--warehouse", scored_day)
    assert result.code == code
    assert said in result.err


def test_rows_of_a_date_that_was_refused_are_not_replayed(tmp_path: Path) -> None:
    warehouse, fixes = tmp_path / "w.duckdb", tmp_path / "f.csv"
    refuse(warehouse, write_csv(tmp_path / "t.csv", tracks(5, energy="7")))
    genrepipe("quarantine", "export", "--run-date", DAY, "--out", fixes, "--warehouse", warehouse)
    result = genrepipe("quarantine", "replay", fixes, "--run-date", DAY, "--warehouse", warehouse)
    assert result.code == 64
    assert "has no published run of job score. Run the whole date again" in result.error


@pytest.fixture(scope="module")
def scored_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("day")
    score(write_csv(folder / "t.csv", tracks(5)), folder / "w.duckdb")
    return folder / "w.duckdb"


# Safety


def test_a_sealed_database_reaches_no_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", tracks(2))
    with Database(tmp_path / "w.duckdb", resources.plan()) as database:
        assert database.value(f"SELECT count(*) FROM '{tmp_path}/t.csv'") == 2
        database.seal()
        for statement in (
            f"FROM '{tmp_path}/t.csv'",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            f"ATTACH '{tmp_path}/x.duckdb'",
            "SET enable_external_access = true",
        ):
            with pytest.raises((duckdb.Error, StorageError)):
                database.execute(statement)
        database.execute("CREATE TABLE t AS SELECT 1")


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst"])
def test_a_compressed_file_has_a_limit(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv.gz":
        path.write_bytes(gzip.compress(b"0" * 3_000_000))
    else:
        import zstandard

        path.write_bytes(zstandard.compress(b"0" * 3_000_000))
    csvfiles.check_whole(path, path.name)
    monkeypatch.setattr(csvfiles, "MAX_UNPACKED_BYTES", 2_000_000)
    with pytest.raises(SourceShapeError, match="unpacks to more than"):
        csvfiles.check_whole(path, path.name)


def test_control_characters_never_reach_a_terminal(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(
        write_csv(tmp_path / "t.csv", [*tracks(40), track(41, track_name="a\x1b[2Jb"), track(42, key="\x1b]0;x\x07")]),
        warehouse,
    )
    row = ask(warehouse, "SELECT quarantine_id FROM quarantine")[0]["quarantine_id"]
    for command in (("query", "SELECT track_name FROM tracks"), ("quarantine", "list"), ("quarantine", "show", row)):
        out = genrepipe(*command, "--warehouse", warehouse).out
        assert "\x1b" not in out, command
    missing = genrepipe("score", "\x1b[31mred.csv", "--warehouse", warehouse)
    assert missing.code == 66
    assert "\x1b" not in missing.err


def test_one_lock_and_no_second(tmp_path: Path) -> None:
    path, plan, who = tmp_path / "w.duckdb", resources.plan(), {"run_id": "r", "run_date": DAY}
    busy = pytest.raises(WarehouseBusy, match=rf"run r of {DAY} \(PID {os.getpid()} on")
    with generations.locked(path, plan, who), busy, generations.locked(path, plan, who):
        pytest.fail("two runs at once")
    assert list(tmp_path.iterdir()) == []


# Any table


CELLS = st.sampled_from(
    ["", "?", "-1", "0.5", "nan", "7", "A", "Minor", "Rock", "empty_field", "\u202e", "=1+1", "1e9", "x"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(st.dictionaries(st.sampled_from([name for name in GOOD if name != "instance_id"]), CELLS, max_size=3), min_size=1, max_size=12),
    ids=st.lists(st.integers(1, 6), min_size=12, max_size=12),
)  # fmt: skip
def test_any_table_is_balanced_or_refused_and_either_way_in_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, str]], ids: list[int]
) -> None:
    from genrepipe.core.errors import ContractBroken, OutputBroken
    from genrepipe.pipeline import score as jobs

    folder = tmp_path_factory.mktemp("any")
    source = write_csv(
        folder / "t.csv", [track(number, **change) for number, change in zip(ids, changes, strict=False)]
    )
    warehouse = folder / "w.duckdb"
    request = jobs.ScoreRequest((str(source),), warehouse, DAY, limits={"quarantined_percent": 60})
    try:
        result = jobs.score(request)
        assert (
            result["received"]
            == result["predicted"] + result["quarantined"] + result["duplicates"] + result["empty"]
            == len(changes)
        )
    except (ContractBroken, OutputBroken):
        result = None
    with Database(warehouse, resources.plan(), read_only=True) as database:
        (line,) = database.rows(
            "SELECT received, predicted, quarantined, duplicates, empty, withheld, status FROM runs"
        )
        kept = database.value("SELECT count(*) FROM quarantine")
    assert line[0] == sum(line[1:6]) == len(changes)
    assert line[6] == ("published" if result else "refused")
    assert kept == line[2]
