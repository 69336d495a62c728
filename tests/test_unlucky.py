"""What unlucky operators do: odd orders of commands, broken pipes, mistyped dates, files that are something else."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

from genrepipe.core.errors import explained
from genrepipe.pipeline.journey import ending
from tests.conftest import ask, genrepipe, track, tracks, write_csv
from tests.test_operations import DAY, score

if TYPE_CHECKING:
    from pathlib import Path

NEXT = "2026-11-21"


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


# Dates


def test_keep_days_never_forgets_the_run_itself_and_counts_scoring_runs_alone(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(5, music_genre=""))
    score(source, warehouse, "2026-01-10")
    labels = write_csv(tmp_path / "l.csv", [{"instance_id": "1", "music_genre": "Rock"}])
    assert genrepipe("labels", labels, "--warehouse", warehouse).code == 0  # its line in the ledger is of today
    score(source, warehouse, "2026-01-11", "--keep-days", 30)
    assert len(ask(warehouse, "FROM predictions")) == 10
    score(source, warehouse, "2026-03-01", "--keep-days", 30)
    score(source, warehouse, "2026-01-11", "--keep-days", 30)  # filled in again, and there until the next night
    assert [row["run_date"] for row in ask(warehouse, "SELECT DISTINCT run_date FROM predictions ORDER BY 1")] == [
        "2026-01-11",
        "2026-03-01",
    ]


def test_a_run_date_in_the_future_is_a_mistake(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(5))
    result = genrepipe("score", source, "--warehouse", warehouse, "--run-date", "2062-11-23")
    assert result.code == 64
    assert "is in the future" in result.error
    both = ("--run-date", DAY, "--from", DAY, "--to", DAY)
    assert genrepipe("score", source, "--warehouse", warehouse, *both).code == 64


# Rows that come back


@pytest.fixture
def day(tmp_path: Path, warehouse: Path) -> tuple[Path, Path]:
    """A night with a broken row, a contradicting one and one that cannot be parsed; its source, and its export."""
    rows = [*tracks(60), track(61, energy="7"), track(5, energy="0.1"), track(5)]
    source, fixes = write_csv(tmp_path / "t.csv", rows), tmp_path / "fixes.csv"
    with source.open("a") as file:
        file.write("62.0,too,few\n")
    score(source, warehouse)
    assert genrepipe("quarantine", "export", "--run-date", DAY, "--out", fixes, "--warehouse", warehouse).code == 0
    return source, fixes


def replay(warehouse: Path, fixes: Path) -> dict[str, Any]:
    result = genrepipe("quarantine", "replay", fixes, "--run-date", DAY, "--warehouse", warehouse, "--output", "json")
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
    again = genrepipe("verify", "--run", run_id, "--warehouse", warehouse)
    assert again.code == 0, again.err  # one more track of the artist is known since


def test_an_export_overwrites_no_file(warehouse: Path, day: tuple[Path, Path]) -> None:
    for there in (warehouse, day[1]):
        result = genrepipe("quarantine", "export", "--run-date", DAY, "--out", there, "--warehouse", warehouse)
        assert result.code == 64
        assert "is there already" in result.error
    nowhere = genrepipe("quarantine", "export", "--run-date", DAY, "--out", "/no/where.csv", "--warehouse", warehouse)
    assert nowhere.code == 74
    assert len(ask(warehouse, "FROM predictions")) == 60


# Labels, shadows, flips


def test_labels_that_came_later_stay_where_the_source_has_none(tmp_path: Path, warehouse: Path) -> None:
    bare = write_csv(tmp_path / "t.csv", tracks(20, music_genre=""))
    score(bare, warehouse)
    given = [{"instance_id": f"{i}.0", "music_genre": "Rock"} for i in range(1, 21)]
    assert genrepipe("labels", write_csv(tmp_path / "l.csv", given), "--warehouse", warehouse).code == 0
    score(write_csv(tmp_path / "t.csv", tracks(19, music_genre="")), warehouse, NEXT)
    assert len(ask(warehouse, "FROM tracks WHERE music_genre = 'Rock'")) == 20
    assert {row["run_date"] for row in ask(warehouse, "FROM performance")} == {DAY, NEXT}


@pytest.mark.parametrize(
    ("text", "code", "received"),
    [
        ("instance_id,music_genre\r\n1,Rock\n2,Rock\r\n", 0, 2),
        ("instance_id,music_genre\n1,Rock\n2\n3,Rock,more\n", 0, 3),
        ('instance_id,music_genre\n1,Rock\n2,"Rock\n3,Rock\n4,Rock\n', 65, 0),
        ("", 65, 0),
    ],
)
def test_no_row_of_labels_is_lost(tmp_path: Path, warehouse: Path, text: str, code: int, received: int) -> None:
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    (tmp_path / "l.csv").write_text(text, newline="")
    result = genrepipe("labels", tmp_path / "l.csv", "--warehouse", warehouse, "--output", "json")
    assert result.code == code, result.err
    if code == 0:
        told = result.json
        assert told["received"] == received
        assert received == told["labelled"] + told["unknown_tracks"] + told["repeated"] + told["not_labels"]
        (line,) = ask(warehouse, "FROM runs WHERE action = 'labels'")
        assert line["received"] == line["withheld"] + line["duplicates"]


def test_a_shadow_goes_with_the_run_that_it_stood_beside(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(5))
    score(source, warehouse)
    asked = score(source, warehouse, DAY, "--shadow", "lda-3d")  # recognised, but the shadow is not there yet
    assert asked["status"] == "published"
    assert score(source, warehouse, DAY, "--shadow", "lda-3d")["status"] == "already published"
    score(write_csv(tmp_path / "t.csv", tracks(4)), warehouse)
    assert ask(warehouse, "FROM shadow_predictions") == []
    assert {row["role"] for row in ask(warehouse, "FROM performance")} == {"served"}


QUIET = {"energy": "0.02", "acousticness": "0.99", "instrumentalness": "0.9", "popularity": "5"}


def test_a_dry_run_finds_what_a_run_would_and_the_evidence_names_the_flips(tmp_path: Path, warehouse: Path) -> None:
    score(write_csv(tmp_path / "t.csv", tracks(40)), warehouse)
    changed = write_csv(tmp_path / "t.csv", tracks(40, **QUIET))
    command = ("score", changed, "--warehouse", warehouse, "--run-date", NEXT)
    dry = genrepipe(*command, "--dry-run")
    assert dry.code == 70
    assert ask(warehouse, "FROM flips") == []
    assert genrepipe(*command).code == 70
    assert {row["cause"] for row in ask(warehouse, "FROM flips")} == {"input"}
    assert genrepipe(*command).code == 70
    assert len(ask(warehouse, f"FROM flips WHERE run_date = '{NEXT}'")) == 40  # a retry does not pile them up
    assert genrepipe("rollback", "--warehouse", warehouse).code == 78  # evidence is no generation to go back from


def test_a_rollback_names_what_it_undoes_refused_nights_apart(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(40))
    first, second = (score(source, warehouse, day)["run_id"] for day in ("2026-11-18", "2026-11-19"))
    broken = write_csv(tmp_path / "b.csv", tracks(40, energy="7"))
    assert genrepipe("score", broken, "--warehouse", warehouse, "--run-date", DAY).code == 65
    result = genrepipe("rollback", "--warehouse", warehouse)
    assert result.out.splitlines()[0].endswith(f"is as run {first} of 2026-11-18 left it")
    assert result.out.splitlines()[1] == f"  undone: score 2026-11-19, run {second}"
    assert len(ask(warehouse, "FROM predictions")) == 40


@pytest.mark.parametrize(("end", "code"), [("", 74), ("\n", 0)])
def test_a_file_that_ends_within_its_last_row_is_not_whole(
    tmp_path: Path, warehouse: Path, end: str, code: int
) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(60))
    source.write_text(source.read_text().rstrip()[:-100] + end)
    result = genrepipe("score", source, "--warehouse", warehouse)
    assert result.code == code
    assert (code == 0) or "ends within row 60" in result.error


def test_a_broken_sample_has_something_to_quarantine(tmp_path: Path, warehouse: Path) -> None:
    assert genrepipe("sample", "--rows", 500, "--broken", 7, "--out", tmp_path / "s.csv").code == 0
    assert score(tmp_path / "s.csv", warehouse)["quarantined"] == 7
    rules = {row["rule"]: row["rows"] for row in ask(warehouse, "FROM quarantine_reasons")}
    assert rules == {"popularity.maximum": 3, "key.oneOf": 2, "energy.readable": 2}


def test_validate_stops_where_a_run_would(tmp_path: Path) -> None:
    result = genrepipe("validate", write_csv(tmp_path / "t.csv", tracks(40, tempo="?")), "--output", "json")
    assert (result.code, result.json["status"]) == (65, "rejected")
    assert "a run would be stopped by mostly_imputed_percent" in result.error
    checks = {check["name"]: check["verdict"] for check in result.json["checks"]}
    assert checks["mostly_imputed_percent"] == "failed"
    assert checks["quarantined_percent"] == "passed"


# Files that are something else


def test_a_pipe_is_no_source(tmp_path: Path, warehouse: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    result = genrepipe("score", tmp_path / "p.csv", "--warehouse", warehouse)
    assert result.code == 64
    assert "neither a file nor a folder" in result.error


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


@pytest.mark.parametrize("command", ["quarantine list", "missing --from 2026-11-01 --to 2026-11-02", "verify --run x", "models compare", "labels {source}"])  # fmt: skip
def test_a_database_of_others_is_no_warehouse(tmp_path: Path, command: str) -> None:
    foreign, source = tmp_path / "f.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    with duckdb.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS n")
    result = genrepipe(*shlex.split(command.format(source=source)), "--warehouse", foreign)
    assert result.code == 78
    assert "has no table" in result.error


@pytest.mark.parametrize("name", ["other", "genrepipe", "source_file"])
def test_any_name_of_a_warehouse_will_do(tmp_path: Path, name: str) -> None:
    warehouse, table = tmp_path / f"{name}.duckdb", tmp_path / "t.duckdb"
    write_csv(tmp_path / "t.csv", tracks(5))
    with duckdb.connect(table) as connection:
        connection.execute(f"CREATE TABLE t AS FROM read_csv('{tmp_path}/t.csv', all_varchar = true)")
        connection.execute("CREATE VIEW v AS FROM read_csv('/etc/passwd')")
    score(f"{table}::t", warehouse)
    score(f"{table}::t", warehouse, NEXT)
    assert genrepipe("rollback", "--warehouse", warehouse).code == 0
    view = genrepipe("score", f"{table}::v", "--warehouse", warehouse)
    assert view.code == 64
    assert "is a view" in view.error


def test_a_shelf_that_is_not_there_is_not_stood_in_for(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(5))
    result = genrepipe("score", source, "--warehouse", warehouse, "--bundles", tmp_path / "none")
    assert result.code == 78
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "champion").write_text("\n")
    assert (
        "names no model" in genrepipe("score", source, "--warehouse", warehouse, "--bundles", tmp_path / "shelf").error
    )


def test_one_broken_bundle_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "bundle.json").write_text("{}")
    told = genrepipe("models", "list", "--bundles", tmp_path, "--output", "json").json["models"]
    assert [row["model"] for row in told if "broken" in row] == ["mine"]
    assert len(told) > 10
    assert "not a manifest" in genrepipe("models", "list", "--bundles", tmp_path).out


def test_an_id_is_not_trimmed_to_nothing(tmp_path: Path, warehouse: Path) -> None:
    score(write_csv(tmp_path / "t.csv", [track(1, instance_id=".0"), track(2, instance_id="7.0")]), warehouse)
    assert {row["track_id"] for row in ask(warehouse, "FROM predictions")} == {".0", "7"}


def test_a_message_stays_a_line_whatever_the_header(tmp_path: Path, warehouse: Path) -> None:
    write_csv(tmp_path / "t.csv", tracks(500))
    result = genrepipe("score", tmp_path / "t.csv", "--warehouse", warehouse, "--encoding", "utf-16")
    assert result.code == 65
    assert len(result.error) < 1500


# Settings


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("source=my #2.csv", "my #2.csv: there is no such file"),
        ("source=2026", "2026: there is no such file"),
        ("source={run_date}", "2026-11-20: there is no such file"),
        ("run_date=2026-02-30", "'2026-02-30' is not a date"),
        ("limits={flipped_percent: -1}", "flipped_percent is -1"),
        ("limits={flipped_percent: .nan}", "flipped_percent is nan"),
        ("keep_days=99999999999", "--set keep_days"),
    ],
)
def test_settings_are_taken_as_they_stand(tmp_path: Path, setting: str, said: str) -> None:
    job = tmp_path / "j.yaml"
    job.write_text(
        f"job: score\nname: n\nsource: s.csv\nwarehouse: {tmp_path}/w.duckdb\nrun_date: 2026-11-20\nlimits:\nmap:\n"
    )
    result = genrepipe("run", job, "--set", setting, GENREPIPE_MODEL="", GENREPIPE_LIMITS="")
    assert result.code in {64, 66, 78}
    assert said in result.error


@pytest.mark.parametrize("text", ["run_date: 2026-02-30", "a: " + "[" * 5000], ids=["date", "nested"])
def test_a_job_file_that_yaml_cannot_read_is_explained(tmp_path: Path, text: str) -> None:
    (tmp_path / "j.yaml").write_text(text)
    result = genrepipe("run", tmp_path / "j.yaml")
    assert result.code == 78
    assert "is not YAML" in result.error


# Pipes, signals, helpers


def shell(command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    program = f'genrepipe() {{ {shlex.quote(sys.executable)} -m genrepipe "$@"; }}; set -o pipefail; '
    return subprocess.run(["bash", "-c", program + command], check=False, capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("genrepipe query 'FROM predictions' --output csv --warehouse {scored} | head -c 10", 0),
        ("genrepipe query 'FROM predictions' --output parquet --warehouse {scored} | head -c 4", 0),
        ("genrepipe models list | true", 0),
        ("genrepipe query 'FROM predictions' --output parquet --warehouse {scored} > /dev/full", 74),
        ("genrepipe query 'FROM predictions' --warehouse {scored} >&-", 0),
        ("genrepipe score {sample} --warehouse {out} 2> >(true) > /dev/null", 0),
        ("genrepipe score {sample} --warehouse {out} 2>&- > /dev/null", 0),
        ("genrepipe score {sample} --warehouse {out} > >(true)", 0),
    ],
)  # fmt: skip
def test_a_reader_that_goes_away_fails_no_command(
    scored: Path, sample: Path, tmp_path: Path, command: str, code: int
) -> None:
    done = shell(command.format(scored=scored, sample=sample, out=tmp_path / "w.duckdb"))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if "score" in command.split():
        assert len(ask(tmp_path / "w.duckdb", "FROM predictions")) == 3000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_query_can_be_stopped(scored: Path, number: int, code: int) -> None:
    endless = "SELECT count(*) FROM range(1000000000) a, range(100000) b"
    command = [sys.executable, "-m", "genrepipe", "query", endless, "--warehouse", str(scored)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(3)
        assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode == code, err


def test_a_dead_mans_switch_that_talks_nonsense_fails_no_run(tmp_path: Path, warehouse: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def babble() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(b"what?\r\n\r\n")

    thread = threading.Thread(target=babble)
    thread.start()
    source, job = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "j.yaml"
    job.write_text(
        f"job: score\nname: n\nsource: {source}\nwarehouse: {warehouse}\nping_start: http://[bad\n"
        f"ping_success: http://127.0.0.1:{server.getsockname()[1]}/\n"
    )
    result = genrepipe("run", job)
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    assert result.code == 0, result.err
    warned = [json.loads(line) for line in result.err.splitlines() if '"ping"' in line]
    assert [line["error"] for line in warned] == ["ValueError", "BadStatusLine"]


def test_a_result_file_that_cannot_be_written_is_told_and_only_jobs_write_one(tmp_path: Path, sample: Path) -> None:
    word, warehouse = tmp_path / "none" / "r.json", tmp_path / "w.duckdb"
    result = genrepipe("score", sample, "--warehouse", warehouse, "--result-file", word)
    assert result.code == 0
    assert f"genrepipe: warning: {word} cannot be written" in result.err
    word.parent.mkdir()
    assert genrepipe("models", "list", GENREPIPE_RESULT_FILE=str(word)).code == 0
    assert not word.exists()


def test_debugging_shows_the_traceback_and_changes_no_exit_code() -> None:
    result = genrepipe("score", "none.csv", "--warehouse", "w.duckdb", GENREPIPE_DEBUG="1")
    assert result.code == 66
    assert "Traceback" in result.err


# What people query


def test_a_track_is_explained(scored: Path) -> None:
    (row,) = ask(scored, "SELECT track_id, genre, probability FROM predictions_latest ORDER BY track_id LIMIT 1")
    told = pl.DataFrame(ask(scored, f"FROM explain_track('{row['track_id']}')"), infer_schema_length=None)
    assert told["what"].to_list() == ["genre"] * 10 + ["feature"] * 11
    assert (told["name"][0], told["value"][0]) == (row["genre"], pytest.approx(row["probability"]))
    energy = told.row(by_predicate=pl.col("name") == "energy", named=True)
    (by_hand,) = ask(
        scored,
        f"SELECT energy, (SELECT median(energy) FROM tracks SEMI JOIN (FROM predictions_latest WHERE genre = '{row['genre']}') USING (track_id)) AS usual "
        f"FROM tracks WHERE track_id = '{row['track_id']}'",
    )
    assert (energy["value"], energy["genre_median"]) == (
        pytest.approx(by_hand["energy"]),
        pytest.approx(by_hand["usual"]),
    )
    assert ask(scored, "FROM explain_track('nobody')") == []


def test_a_reader_leaves_what_other_readers_spill_beside_the_warehouse(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(2)), warehouse)
    (tmp_path / "w.duckdb.tmp").mkdir()
    (tmp_path / "w.duckdb.tmp" / "duckdb_temp_storage-0.tmp").write_text("of another query")
    assert ask(warehouse, "SELECT count(*) AS n FROM predictions") == [{"n": 2}]
    assert (tmp_path / "w.duckdb.tmp" / "duckdb_temp_storage-0.tmp").exists()


def test_what_is_rewritten_leaves_no_scratch_folder(tmp_path: Path) -> None:
    source, scratch = write_csv(tmp_path / "t.csv", tracks(3), lineterminator="\r"), tmp_path / "scratch"
    scratch.mkdir()
    told = genrepipe("validate", source, "--output", "json", TMPDIR=str(scratch))
    assert (told.json["accepted"], list(scratch.iterdir())) == (3, [])


def test_views_and_their_columns_are_described(scored: Path) -> None:
    views = ask(scored, "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal")
    assert len(views) == 5
    assert all(row["comment"] for row in views)
    names = ", ".join(f"'{row['view_name']}'" for row in views)
    columns = ask(
        scored, f"SELECT table_name, column_name, comment FROM duckdb_columns() WHERE table_name IN ({names})"
    )
    assert [row for row in columns if not row["comment"]] == []


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("SELECT 1 AS n ; -- done", {"n": 1}),
        ("SELECT sum(n) AS n FROM range(4) AS t(n);;", {"n": 6}),
        ("SELECT 170141183460469231731687303715884105727::HUGEINT AS n", {"n": "170141183460469231731687303715884105727"}),
    ],
)  # fmt: skip
def test_queries_end_as_people_end_them(scored: Path, query: str, row: dict[str, Any]) -> None:
    assert ask(scored, query) == [row]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 74, "Out of memory"),
        (RuntimeError("can't start new thread"), 74, "Out of memory"),
        (RuntimeError("std::bad_alloc: Bad allocation"), 74, "Out of memory"),
        (PermissionError(13, "Permission denied", "w.csv"), 74, "w.csv: Permission denied"),
        (KeyError("x"), 70, "GENREPIPE_DEBUG=1"),
    ],
)
def test_the_ledger_and_the_exit_code_agree_on_what_ended_a_run(error: Exception, code: int, words: str) -> None:
    told = ending(error)
    assert (told["status"], told["exit_code"], explained(error).exit_code) == ("failed", code, code)
    assert words in told["error"]
