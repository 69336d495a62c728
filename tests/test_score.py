"""A whole run, as a user sees it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import polars as pl
import pytest

from genrepipe.model import bundle as bundles
from genrepipe.model import features
from genrepipe.model import scorer as scoring
from tests.conftest import ask, genrepipe, track, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

DATE = "2026-11-22"


def test_the_result_has_the_promised_keys_and_balances(tmp_path: Path, sample: Path) -> None:
    result = genrepipe(
        "score", sample, "--warehouse", tmp_path / "w.duckdb", "--run-date", DATE, "--output", "json"
    ).json
    assert {
        "status", "run_id", "run_date", "model", "model_version", "warehouse", "received", "predicted", "quarantined", "duplicates",
        "empty", "imputed", "seconds", "rows_per_second",
    } <= set(result)  # fmt: skip
    assert result["status"] == "published"
    assert result["run_date"] == DATE
    assert (
        result["received"]
        == result["predicted"] + result["quarantined"] + result["duplicates"] + result["empty"]
        == 3001
    )
    assert result["predicted"] == 3000
    ledger = ask(tmp_path / "w.duckdb", "FROM runs")[0]
    assert {
        k: ledger[k] for k in ("received", "predicted", "quarantined", "duplicates", "empty", "run_id", "model")
    } == {k: result[k] for k in ("received", "predicted", "quarantined", "duplicates", "empty", "run_id", "model")}
    assert {"duration_ms": ledger["imputed_duration_ms"], "tempo": ledger["imputed_tempo"]} == result["imputed"]
    assert all(count > 0 for count in result["imputed"].values())


def test_every_row_of_the_real_table_is_predicted(tmp_path: Path, real_tracks: Path) -> None:
    result = genrepipe("score", real_tracks, "--warehouse", tmp_path / "w.duckdb", "--output", "json").json
    assert (result["received"], result["predicted"], result["empty"], result["quarantined"]) == (
        40_510,
        40_505,
        5,
        0,
    )
    agree = ask(
        tmp_path / "w.duckdb",
        "SELECT avg((genre = music_genre)::INT) AS a FROM predictions_latest JOIN tracks USING (track_id)",
    )
    assert agree[0]["a"] > 0.72


def test_predictions_are_what_the_golden_path_gives(scored: Path) -> None:
    """The published numbers are the bundle's answers to the published features, batch boundaries and all."""
    bundle = bundles.load()
    with duckdb.connect(scored, read_only=True) as connection:
        rows = connection.execute(
            "SELECT t.*, p.probability, p.genre, p.runner_up, p.margin, p.imputed, struct_keys(p.probabilities) AS genres, list_value("
            + ", ".join(f"p.probabilities['{g}']" for g in bundle.manifest.labels)
            + ") AS p FROM predictions p JOIN tracks t USING (track_id) WHERE NOT list_contains(p.imputed, 'duration_ms')"
        ).fetchall()
        names = [d[0] for d in connection.description]
    frame = pl.DataFrame(rows, schema=names, orient="row", strict=False, infer_schema_length=None)
    recorded = np.array(frame["p"].to_list(), dtype=np.float32)
    profiles = ask(scored, "FROM artist_profiles")
    profile = pl.DataFrame(profiles, infer_schema_length=None).rename(
        {"tracks": "artist_tracks", "durations": "artist_durations", "tempos": "artist_tempos"}
    )
    keys = frame.with_columns(artist_key=pl.col("artist_name").str.to_uppercase().str.to_lowercase())
    context = features.columns([features.CONTEXT])
    joined = keys.join(profile, on="artist_key", how="left", maintain_order="left").with_columns(
        pl.col(context).fill_null(0)
    )
    again = scoring.Scorer(bundle).probabilities(features.matrix(features.build(joined, bundle.manifest.inputs)))
    assert np.abs(again - recorded).max() < 1e-5
    order = np.argsort(-recorded, axis=1)
    labels = np.array(bundle.manifest.labels)
    assert frame["genres"][0].to_list() == list(labels)
    assert (labels[order[:, 0]] == frame["genre"].to_numpy()).all()
    assert (labels[order[:, 1]] == frame["runner_up"].to_numpy()).all()
    assert np.allclose(frame["margin"].to_numpy(), np.sort(recorded)[:, -1] - np.sort(recorded)[:, -2], atol=1e-6)


def test_the_same_run_again_is_recognised_and_changes_nothing(tmp_path: Path, sample: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    command = ("score", sample, "--warehouse", warehouse, "--run-date", DATE, "--output", "json")
    first, before = genrepipe(*command).json, None
    before = ask(warehouse, "FROM predictions ORDER BY track_id")
    second = genrepipe(*command)
    assert second.code == 0
    assert second.json["status"] == "already published"
    assert second.json["run_id"] == first["run_id"]
    assert ask(warehouse, "FROM predictions ORDER BY track_id") == before
    assert len(ask(warehouse, "FROM runs")) == 1


@pytest.mark.parametrize("change", ["input", "model"])
def test_a_changed_input_or_model_replaces_the_dates_rows_and_no_others(tmp_path: Path, change: str) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(30))
    for day in ("2026-11-21", DATE):
        assert genrepipe("score", source, "--warehouse", warehouse, "--run-date", day).code == 0
    more = () if change == "input" else ("--model", "all-features")
    if change == "input":
        write_csv(source, tracks(20, energy="0.1"))
        more = ("--limit", "flipped_percent=100")
    assert genrepipe("score", source, "--warehouse", warehouse, "--run-date", DATE, *more).code == 0
    rows = ask(
        warehouse,
        "SELECT run_date, count(*) AS n, count(DISTINCT run_id) AS runs FROM predictions GROUP BY 1 ORDER BY 1",
    )
    assert [(r["run_date"], r["n"], r["runs"]) for r in rows] == [
        ("2026-11-21", 30, 1),
        (DATE, 20 if change == "input" else 30, 1),
    ]
    assert len(ask(warehouse, "FROM runs")) == 3
    assert len(ask(warehouse, "FROM tracks")) == 30
    assert len(ask(warehouse, "FROM predictions_latest")) == 30


@pytest.mark.parametrize("existing", [False, True])
def test_a_dry_run_writes_nothing(tmp_path: Path, sample: Path, existing: bool) -> None:
    warehouse = tmp_path / "w.duckdb"
    if existing:
        genrepipe("score", write_csv(tmp_path / "t.csv", tracks(5)), "--warehouse", warehouse)
    before = warehouse.read_bytes() if existing else None
    result = genrepipe("score", sample, "--warehouse", warehouse, "--dry-run", "--output", "json")
    assert result.json["status"] == "dry run"
    assert result.json["predicted"] == 3000
    assert (warehouse.read_bytes() if warehouse.exists() else None) == before


def test_the_quarantine_keeps_rejected_rows_whole(tmp_path: Path) -> None:
    rows = [*tracks(60), track(61, energy="7", key="H", track_name='odd "one", <b>')]
    source = write_csv(tmp_path / "t.csv", rows)
    assert genrepipe("score", source, "--warehouse", tmp_path / "w.duckdb").code == 0
    (row,) = ask(tmp_path / "w.duckdb", "SELECT *, received->>'track_name' AS title FROM quarantine")
    assert row["reasons"] == [
        "energy.maximum: must be at most 1",
        "key.oneOf: must be one of A, A#, B, C, C#, D, D#, E, F, F#, G, G#",
    ]
    assert (row["file"], row["row_number"], row["track_id"], row["title"]) == (
        str(source),
        61,
        "61",
        'odd "one", <b>',
    )
    assert [r["rule"] for r in ask(tmp_path / "w.duckdb", "FROM quarantine_reasons")] == [
        "energy.maximum",
        "key.oneOf",
    ]


def test_every_check_has_a_sentence_and_a_verdict(scored: Path) -> None:
    checks = ask(scored, "FROM checks")
    assert {c["verdict"] for c in checks} == {"passed"}
    assert {"quarantined_percent", "one_prediction_per_track", "as_many_predictions_as_accepted_tracks"} <= {
        c["name"] for c in checks
    }
    assert all(c["sentence"].endswith(".") for c in checks)


def test_the_views_answer(scored: Path) -> None:
    daily = ask(scored, "FROM genre_daily")
    assert sum(row["tracks"] for row in daily) == 3000
    assert sum(row["share"] for row in daily) == pytest.approx(1)
    assert len(ask(scored, "FROM prediction_probabilities")) == 30_000
    (total,) = ask(
        scored,
        "SELECT min(s) AS low, max(s) AS high FROM (SELECT sum(probability) AS s FROM prediction_probabilities GROUP BY track_id)",
    )
    assert total["low"] == pytest.approx(1, abs=1e-4)
    assert total["high"] == pytest.approx(1, abs=1e-4)
    assert ask(scored, "FROM run_history")[0]["predicted"] == 3000


def test_a_table_of_the_warehouse_itself_can_be_scored(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    write_csv(tmp_path / "t.csv", tracks(7))
    with duckdb.connect(warehouse) as connection:
        connection.execute(f"CREATE TABLE raw_tracks AS FROM read_csv('{tmp_path}/t.csv')")
    for status in ("published", "already published"):
        result = genrepipe(
            "score",
            f"{warehouse}::raw_tracks",
            "--warehouse",
            warehouse,
            "--run-date",
            DATE,
            "--output",
            "json",
        )
        assert result.code == 0, result.err
        assert (result.json["status"], result.json["predicted"]) == (status, 7)


def test_batches_do_not_change_answers(tmp_path: Path, sample: Path) -> None:
    """The same rows in another order and as Parquet are scored the same."""
    shuffled = tmp_path / "shuffled.parquet"
    pl.read_csv(sample, infer_schema=False).sample(fraction=1, shuffle=True, seed=3).write_parquet(shuffled)
    answers = []
    for i, source in enumerate((sample, shuffled)):
        warehouse = tmp_path / f"{i}.duckdb"
        assert genrepipe("score", source, "--warehouse", warehouse).code == 0
        answers.append(
            {r["track_id"]: r["probability"] for r in ask(warehouse, "SELECT track_id, probability FROM predictions")}
        )
    assert answers[0].keys() == answers[1].keys()
    assert all(answers[0][k] == pytest.approx(answers[1][k], abs=1e-6) for k in answers[0])


def test_a_failed_audit_stops_the_publish(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that finds a row rolls everything back."""
    from genrepipe.core import assets
    from genrepipe.core.errors import OutputBroken
    from genrepipe.pipeline import score as jobs

    ours = assets.shipped("sql")
    folder = tmp_path / "sql"
    shutil.copytree(ours, folder)
    (folder / "audits" / "always_offends.sql").write_text(
        "-- No track is called anything.\nSELECT track_id FROM predictions LIMIT 3\n"
    )
    kept = assets.shipped
    monkeypatch.setattr(assets, "shipped", lambda name: folder if name == "sql" else kept(name))
    warehouse = tmp_path / "w.duckdb"
    with pytest.raises(OutputBroken, match="always_offends failed with 3 rows: No track is called anything"):
        jobs.score(jobs.ScoreRequest((str(sample),), warehouse))
    assert ask(warehouse, "FROM predictions") == ask(warehouse, "FROM tracks") == []
    (line,) = ask(warehouse, "FROM runs")
    assert (line["status"], line["exit_code"], line["withheld"], line["predicted"]) == ("refused", 70, 3000, 0)
    (failed,) = ask(warehouse, "FROM checks WHERE verdict = 'failed'")
    assert (failed["name"], failed["observed"]) == ("always_offends", 3)


def test_a_failure_in_the_middle_leaves_the_dates_before_as_they_were(
    tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails after it wrote predictions rolls back all of them, and the catalogue with them."""
    from genrepipe.pipeline import score as jobs
    from genrepipe.warehouse.schema import ledger as runs

    warehouse = tmp_path / "w.duckdb"
    jobs.score(jobs.ScoreRequest((str(write_csv(tmp_path / "t.csv", tracks(20))),), warehouse, DATE))
    before = {
        table: ask(warehouse, f"FROM {table} ORDER BY ALL") for table in ("tracks", "predictions", "flips", "drift")
    }

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "keep_bundle", full)
    with pytest.raises(OSError, match="No space left"):
        jobs.score(jobs.ScoreRequest((str(sample),), warehouse, DATE))
    assert {table: ask(warehouse, f"FROM {table} ORDER BY ALL") for table in before} == before


def test_contradicting_rows_are_quarantined_whole(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [track(7, energy="0.25", tempo="?"), *tracks(60), track(7, energy="0.75")])
    assert genrepipe("score", source, "--warehouse", tmp_path / "w.duckdb").code == 0
    rows = ask(
        tmp_path / "w.duckdb",
        "SELECT row_number, reasons[1][1:18] AS reason, received::JSON AS r FROM quarantine ORDER BY 1",
    )
    assert [(row["row_number"], row["reason"]) for row in rows] == [
        (1, "instance_id.unique"),
        (8, "instance_id.unique"),
    ]
    first = json.loads(rows[0]["r"])
    assert set(first) == set(track())
    assert (first["instance_id"], first["energy"], first["tempo"], first["artist_name"]) == (
        "7",
        0.25,
        None,
        "Röyksopp",
    )


def test_two_jobs_keep_their_rows_of_one_date(tmp_path: Path) -> None:
    """What both predict is the later one's: a track has one prediction on a run date."""
    warehouse = tmp_path / "w.duckdb"
    (tmp_path / "j.yaml").write_text(
        f"job: score\nname: other\nsource: {tmp_path}/b.csv\nwarehouse: {warehouse}\nrun_date: {DATE}\n"
    )
    one = write_csv(tmp_path / "a.csv", [*tracks(30), track(31, energy="7")])
    write_csv(tmp_path / "b.csv", [*(track(i) for i in range(21, 61)), track(62, energy="8")])
    command = ("score", one, "--warehouse", warehouse, "--run-date", DATE, "--output", "json")
    other = ("run", tmp_path / "j.yaml", "--output", "json")

    def standing() -> dict[str, int]:
        rows = ask(warehouse, "SELECT job, count(*) AS n FROM predictions JOIN runs USING (run_id) GROUP BY job")
        return {row["job"]: row["n"] for row in rows}

    assert genrepipe(*command).json["status"] == "published"
    assert genrepipe(*other).json["predicted"] == 40
    assert standing() == {"score": 20, "other": 40}
    assert [row["track_id"] for row in ask(warehouse, "FROM quarantine ORDER BY track_id")] == ["31", "62"]
    assert len(ask(warehouse, "SELECT DISTINCT run_id FROM drift")) == 2
    assert [genrepipe(*which).json["status"] for which in (command, other)] == ["already published"] * 2
    assert genrepipe(*command, "--force").json["predicted"] == 30
    assert standing() == {"score": 30, "other": 30}
    both, fixes = tmp_path / "both.csv", tmp_path / "fixes.csv"
    export = ("quarantine", "export", "--run-date", DATE, "--warehouse", warehouse, "--out")
    replay = ("quarantine", "replay", "--run-date", DATE, "--warehouse", warehouse, "--output", "json")
    assert genrepipe(*export, both).code == 0
    assert "holds rows of 2 jobs" in genrepipe(*replay, both).error
    assert genrepipe(*export, fixes, "--job", "other").code == 0
    fixes.write_text(fixes.read_text().replace(",8,", ",0.8,"))
    assert genrepipe(*replay, fixes).json["predicted"] == 1
    assert standing() == {"score": 30, "other": 31}
    assert genrepipe(*other, "--force").json["predicted"] == 40
    assert standing()["other"] == 40


def test_the_example_of_a_reason_is_a_row_that_has_it(tmp_path: Path) -> None:
    for name, bad in (("z", 8), ("a", 2)):
        rows = [track(ord(name) * 100 + i, energy="7" if i == bad else "0.7") for i in range(1, 60)]
        write_csv(tmp_path / f"{name}1.csv", rows)
    assert genrepipe("score", tmp_path / "z1.csv", tmp_path / "a1.csv", "--warehouse", tmp_path / "w.duckdb").code == 0
    (row,) = ask(tmp_path / "w.duckdb", "FROM quarantine_reasons")
    assert (row["rows"], row["example_file"], row["example_row"]) == (2, str(tmp_path / "a1.csv"), 2)


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        (
            "SELECT finished_at - started_at < INTERVAL 1 HOUR AS quick, finished_at - started_at AS took FROM runs",
            None,
        ),
        ("SELECT 1 AS a, 2 AS a", {"a": 1, "a_1": 2}),
        ("SELECT sum(tracks) AS tracks FROM genre_daily", {"tracks": 3000.0}),
        ("SELECT 'a'::BLOB AS b, '101'::BIT AS c", {"b": "a", "c": "101"}),
        (
            "SELECT p.track_id = t.track_id AS same FROM predictions p JOIN tracks t USING (track_id) LIMIT 1;",
            {"same": True},
        ),
    ],
)
def test_queries_of_any_type_are_answered(scored: Path, sql: str, answer: dict[str, object] | None) -> None:
    (row,) = ask(scored, sql)
    assert answer is None or row == answer


def test_an_interrupt_at_any_moment_is_one_line_and_leaves_a_whole_warehouse(tmp_path: Path, sample: Path) -> None:
    seen = set()
    for attempt in range(14):
        warehouse = tmp_path / f"{attempt}.duckdb"
        command = [
            sys.executable,
            "-m",
            "genrepipe",
            "score",
            str(sample),
            "--warehouse",
            str(warehouse),
            "--run-date",
            DATE,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(0.25 + 0.08 * attempt)  # before, the interpreter itself is starting
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        assert process.returncode in {0, 130, -signal.SIGINT}, err
        seen.add(process.returncode)
        if warehouse.exists():
            (line,) = ask(warehouse, "FROM runs")
            assert (line["status"] == "published") == (len(ask(warehouse, "FROM predictions")) > 0)
            assert line["status"] in {"published", "interrupted"}
        again = genrepipe("score", sample, "--warehouse", warehouse, "--run-date", DATE, "--output", "json")
        assert again.json["predicted"] == 3000
    assert 130 in seen


def test_a_warehouse_of_an_older_layout_is_brought_up_to_date(tmp_path: Path) -> None:
    """Derived tables are made anew; history stays."""
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(30))
    assert genrepipe("score", source, "--warehouse", warehouse, "--run-date", "2026-11-21").code == 0
    with duckdb.connect(warehouse) as connection:
        connection.execute("DROP TABLE artist_profiles")
        connection.execute(
            "CREATE TABLE artist_profiles (artist_key VARCHAR, tracks INTEGER, duration_ms_median FLOAT)"
        )
        connection.execute("UPDATE layout SET layout_version = 1")
    result = genrepipe("score", source, "--warehouse", warehouse, "--run-date", DATE)
    assert result.code == 0, result.err
    (row,) = ask(warehouse, "SELECT max(layout_version) AS layout, (SELECT count(*) FROM predictions) AS n FROM layout")
    assert row == {"layout": 4, "n": 60}
    assert ask(warehouse, "SELECT tempos FROM artist_profiles")


def test_a_dry_run_reads_a_warehouse_of_an_older_layout_and_leaves_it(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(30))
    assert genrepipe("score", source, "--warehouse", warehouse, "--run-date", "2026-11-21").code == 0
    with duckdb.connect(warehouse) as connection:
        connection.execute("ALTER TABLE artist_profiles DROP COLUMN tempos")
        connection.execute("UPDATE layout SET layout_version = 1")
    before = warehouse.read_bytes()
    result = genrepipe("score", source, "--warehouse", warehouse, "--run-date", DATE, "--dry-run", "--output", "json")
    assert (result.code, result.json["predicted"]) == (0, 30), result.err
    assert warehouse.read_bytes() == before
