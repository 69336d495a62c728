"""A scoring run as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import genrepipe as api
from genrepipe.core.errors import (
    ContractBroken,
    OutputBroken,
)
from genrepipe.model import bundle as bundles
from genrepipe.model import features
from genrepipe.model import scorer as scoring
from genrepipe.warehouse.connection import ROW_GROUP, Database
from tests.support import (
    DATE,
    DAY,
    GOOD,
    NEXT,
    PLAN,
    ask,
    run,
    score,
    track,
    tracks,
    write_csv,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_the_result_has_the_promised_keys_and_balances(tmp_path: Path, sample: Path) -> None:
    result = run("score", sample, "--warehouse", tmp_path / "w.duckdb", "--run-date", DATE, "--output", "json").json
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
    result = run("score", real_tracks, "--warehouse", tmp_path / "w.duckdb", "--output", "json").json
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
    profile = pl.DataFrame(profiles, infer_schema_length=None).rename({"tracks": "artist_tracks"})
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
    first, before = run(*command).json, None
    before = ask(warehouse, "FROM predictions ORDER BY track_id")
    second = run(*command)
    assert second.code == 0
    assert second.json["status"] == "already published"
    assert second.json["run_id"] == first["run_id"]
    assert ask(warehouse, "FROM predictions ORDER BY track_id") == before
    assert len(ask(warehouse, "FROM runs")) == 1


@pytest.mark.parametrize("change", ["input", "model"])
def test_a_changed_input_or_model_replaces_the_dates_rows_and_no_others(tmp_path: Path, change: str) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(30))
    for day in ("2026-11-21", DATE):
        assert run("score", source, "--warehouse", warehouse, "--run-date", day).code == 0
    more = () if change == "input" else ("--model", "all-features")
    if change == "input":
        write_csv(source, tracks(20, energy="0.1"))
        more = ("--limit", "flipped_percent=100")
    assert run("score", source, "--warehouse", warehouse, "--run-date", DATE, *more).code == 0
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
        run("score", write_csv(tmp_path / "t.csv", tracks(5)), "--warehouse", warehouse)
    before = warehouse.read_bytes() if existing else None
    result = run("score", sample, "--warehouse", warehouse, "--dry-run", "--output", "json")
    assert result.json["status"] == "dry run"
    assert result.json["predicted"] == 3000
    assert (warehouse.read_bytes() if warehouse.exists() else None) == before


@pytest.mark.parametrize("model", ["artist-context", "known-artist", "all-features"])
def test_a_profile_names_every_step_and_changes_no_answer(tmp_path: Path, sample: Path, model: str) -> None:
    plain, profiled = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    without = run("score", sample, "--warehouse", plain, "--model", model, "--output", "json")
    assert without.json["profile"] == []
    result = run("score", sample, "--warehouse", profiled, "--model", model, "--profile", "--output", "json")
    steps = {(cost["stage"], cost["step"]): cost for cost in result.json["profile"]}
    assert {stage for stage, _ in steps} == set(result.json["stages"])
    for step in ("fetch", "graph", "assemble", "prediction_history"):
        assert steps["scoring", step]["rows"] == 3000
    assert steps["landing", "landed"]["rows"] == result.json["received"]
    measured = sum(cost["seconds"] for cost in steps.values())
    assert measured == pytest.approx(sum(result.json["stages"].values()), rel=0.05)
    (kept,) = ask(profiled, "SELECT profile FROM runs")
    assert {(cost["stage"], cost["step"]) for cost in json.loads(kept["profile"])} <= set(steps)
    assert ask(plain, "SELECT profile FROM runs") == [{"profile": None}]
    answers = "SELECT track_id, genre, probabilities, genre_set FROM predictions ORDER BY track_id"
    assert ask(plain, answers) == ask(profiled, answers)
    shown = run("score", sample, "--warehouse", profiled, "--model", model, "--profile", "--force").out
    assert "CPU s" in shown
    assert "graph" in shown


def test_the_quarantine_keeps_rejected_rows_whole(tmp_path: Path) -> None:
    rows = [*tracks(60), track(61, energy="7", key="H", track_name='odd "one", <b>')]
    source = write_csv(tmp_path / "t.csv", rows)
    assert run("score", source, "--warehouse", tmp_path / "w.duckdb").code == 0
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


def test_a_table_of_the_warehouse_itself_can_be_scored(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    write_csv(tmp_path / "t.csv", tracks(7))
    with duckdb.connect(warehouse) as connection:
        connection.execute(f"CREATE TABLE raw_tracks AS FROM read_csv('{tmp_path}/t.csv')")
    for status in ("published", "already published"):
        result = run(
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
        assert run("score", source, "--warehouse", warehouse).code == 0
        answers.append(
            {r["track_id"]: r["probability"] for r in ask(warehouse, "SELECT track_id, probability FROM predictions")}
        )
    assert answers[0].keys() == answers[1].keys()
    assert all(answers[0][k] == pytest.approx(answers[1][k], abs=1e-6) for k in answers[0])


def test_contradicting_rows_are_quarantined_whole(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [track(7, energy="0.25", tempo="?"), *tracks(60), track(7, energy="0.75")])
    assert run("score", source, "--warehouse", tmp_path / "w.duckdb").code == 0
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
    """What both predict is kept of each; the later run's is served."""
    warehouse = tmp_path / "w.duckdb"
    (tmp_path / "j.yaml").write_text(
        f"job: score\nname: other\nsource: {tmp_path}/b.csv\nwarehouse: {warehouse}\nrun_date: {DATE}\n"
    )
    one = write_csv(tmp_path / "a.csv", [*tracks(30), track(31, energy="7")])
    write_csv(tmp_path / "b.csv", [*(track(i) for i in range(21, 61)), track(62, energy="8")])
    command = ("score", one, "--warehouse", warehouse, "--run-date", DATE, "--output", "json")
    other = ("run", tmp_path / "j.yaml", "--output", "json")

    def standing() -> dict[str, int]:
        rows = ask(warehouse, "SELECT job, count(*) AS n FROM predictions GROUP BY job")
        return {row["job"]: row["n"] for row in rows}

    assert run(*command).json["status"] == "published"
    assert run(*other).json["predicted"] == 40
    assert standing() == {"score": 30, "other": 40}
    latest = "SELECT job, count(*) AS n FROM predictions_latest GROUP BY job ORDER BY job"
    assert ask(warehouse, latest) == [{"job": "other", "n": 40}, {"job": "score", "n": 20}]
    assert [row["track_id"] for row in ask(warehouse, "FROM quarantine ORDER BY track_id")] == ["31", "62"]
    assert len(ask(warehouse, "SELECT DISTINCT run_id FROM drift")) == 2
    assert [run(*which).json["status"] for which in (command, other)] == ["already published"] * 2
    assert run(*command, "--force").json["predicted"] == 30
    assert standing() == {"score": 30, "other": 40}
    assert ask(warehouse, latest) == [{"job": "other", "n": 30}, {"job": "score", "n": 30}]
    shares = ask(warehouse, "SELECT job, sum(share) AS share FROM genre_daily GROUP BY job")
    assert [row["share"] for row in shares] == [pytest.approx(1)] * 2
    both, fixes = tmp_path / "both.csv", tmp_path / "fixes.csv"
    export = ("quarantine", "export", "--run-date", DATE, "--warehouse", warehouse, "--out")
    replay = ("quarantine", "replay", "--run-date", DATE, "--warehouse", warehouse, "--output", "json")
    assert run(*export, both).code == 0
    assert "holds rows of 2 jobs" in run(*replay, both).error
    assert run(*export, fixes, "--job", "other").code == 0
    fixes.write_text(fixes.read_text().replace(",8,", ",0.8,"))
    assert run(*replay, fixes).json["predicted"] == 1
    assert standing() == {"score": 30, "other": 41}
    assert run(*other, "--force").json["predicted"] == 40
    assert standing()["other"] == 40


def test_a_job_that_is_delivered_again_takes_nothing_from_another(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    source = write_csv(tmp_path / "a.csv", [track(i) for i in range(1, 31)])
    assert api.score(source, warehouse, run_date=DATE, name="a").predicted == 30
    for first in (20, 31):
        source_b = write_csv(tmp_path / "b.csv", [track(i) for i in range(first, 51)])
        api.score(source_b, warehouse, run_date=DATE, name="b", limits={"flipped_percent": 100})
    assert len(ask(warehouse, "FROM predictions WHERE job = 'a'")) == 30
    assert len(ask(warehouse, "FROM predictions_latest")) == 50
    assert api.score(source, warehouse, run_date=DATE, name="a").status == "already published"


def test_the_example_of_a_reason_is_a_row_that_has_it(tmp_path: Path) -> None:
    for name, bad in (("z", 8), ("a", 2)):
        rows = [track(ord(name) * 100 + i, energy="7" if i == bad else "0.7") for i in range(1, 60)]
        write_csv(tmp_path / f"{name}1.csv", rows)
    assert run("score", tmp_path / "z1.csv", tmp_path / "a1.csv", "--warehouse", tmp_path / "w.duckdb").code == 0
    (row,) = ask(tmp_path / "w.duckdb", "FROM quarantine_reasons")
    assert (row["rows"], row["example_file"], row["example_row"]) == (2, str(tmp_path / "a1.csv"), 2)


def test_retention_trims_old_dates_and_the_ledger_stays(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    for day in ("2026-11-01", "2026-11-18", "2026-11-20"):
        score(source, warehouse, day, "--keep-days", 3)
    kept = ask(warehouse, "SELECT DISTINCT run_date FROM predictions ORDER BY 1")
    assert [row["run_date"] for row in kept] == ["2026-11-18", "2026-11-20"]
    assert len(ask(warehouse, "FROM runs")) == 3
    assert score(source, warehouse, "2026-11-01")["status"] == "published"  # it is not there any more


def test_force_scores_again_what_would_be_recognised(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    assert [score(source, warehouse, DAY, *more)["status"] for more in ((), (), ("--force",))] == [
        "published",
        "already published",
        "published",
    ]
    assert len(ask(warehouse, "FROM runs")) == 2


CELLS = st.sampled_from(
    ["", "?", "-1", "0.5", "nan", "7", "A", "Minor", "Rock", "empty_field", "\u202e", "=1+1", "1e9", "x"]
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(st.dictionaries(st.sampled_from([name for name in GOOD if name != "instance_id"]), CELLS, max_size=3), min_size=1, max_size=12),
    ids=st.lists(st.integers(1, 6), min_size=12, max_size=12),
)  # fmt: skip
def test_any_table_is_balanced_or_refused_and_either_way_in_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, str]], ids: list[int]
) -> None:

    folder = tmp_path_factory.mktemp("any")
    source = write_csv(
        folder / "t.csv", [track(number, **change) for number, change in zip(ids, changes, strict=False)]
    )
    warehouse = folder / "w.duckdb"
    try:
        result = api.score(source, warehouse, run_date=DAY, limits={"quarantined_percent": 60})
        assert (
            result.received == result.predicted + result.quarantined + result.duplicates + result.empty == len(changes)
        )
    except (ContractBroken, OutputBroken):
        result = None
    with Database(warehouse, PLAN, read_only=True) as database:
        (line,) = database.rows(
            "SELECT received, predicted, quarantined, duplicates, empty, withheld, status FROM runs"
        )
        kept = database.value("SELECT count(*) FROM quarantine")
    assert line[0] == sum(line[1:6]) == len(changes)
    assert line[6] == ("published" if result else "refused")
    assert kept == line[2]


def test_keep_days_never_forgets_the_run_itself_and_counts_scoring_runs_alone(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(5, music_genre=""))
    score(source, warehouse, "2026-01-10")
    labels = write_csv(tmp_path / "l.csv", [{"instance_id": "1", "music_genre": "Rock"}])
    assert run("labels", labels, "--warehouse", warehouse).code == 0  # its line in the ledger is of today
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
    result = run("score", source, "--warehouse", warehouse, "--run-date", "2062-11-23")
    assert result.code == 64
    assert "is in the future" in result.error
    both = ("--run-date", DAY, "--from", DAY, "--to", DAY)
    assert run("score", source, "--warehouse", warehouse, *both).code == 64


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
    dry = run(*command, "--dry-run")
    assert dry.code == 70
    assert ask(warehouse, "FROM flips") == []
    assert run(*command).code == 70
    assert {row["cause"] for row in ask(warehouse, "FROM flips")} == {"input"}
    assert run(*command).code == 70
    assert len(ask(warehouse, f"FROM flips WHERE run_date = '{NEXT}'")) == 40  # a retry does not pile them up
    assert run("rollback", "--warehouse", warehouse).code == 78  # evidence is no generation to go back from


def test_a_broken_sample_has_something_to_quarantine(tmp_path: Path, warehouse: Path) -> None:
    assert run("sample", "--rows", 500, "--broken", 7, "--out", tmp_path / "s.csv").code == 0
    assert score(tmp_path / "s.csv", warehouse)["quarantined"] == 7
    rules = {row["rule"]: row["rows"] for row in ask(warehouse, "FROM quarantine_reasons")}
    assert rules == {"popularity.maximum": 3, "key.oneOf": 2, "energy.readable": 2}


def test_an_id_is_not_trimmed_to_nothing(tmp_path: Path, warehouse: Path) -> None:
    score(write_csv(tmp_path / "t.csv", [track(1, instance_id=".0"), track(2, instance_id="7.0")]), warehouse)
    assert {row["track_id"] for row in ask(warehouse, "FROM predictions")} == {".0", "7"}


def test_a_date_of_more_than_a_row_group_is_scored_again(tmp_path: Path) -> None:
    """DuckDB sees no row of what a transaction inserts in whole row groups after an insert of no row."""
    source, warehouse = tmp_path / "t.csv", tmp_path / "w.duckdb"
    assert run("sample", "--rows", 2 * ROW_GROUP + 100, "--broken", 0, "--out", source).code == 0
    score(source, warehouse, DAY)
    assert score(source, warehouse, DAY, "--force")["status"] == "published"
