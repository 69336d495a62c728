"""A night cleans, scores and writes what is new to it, and leaves what a run that does everything again would leave."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import genrepipe
from genrepipe.pipeline.retract import retract
from tests.support import ask, run, score, track, tracks, write_csv

FIRST, SECOND, THIRD = "2026-11-20", "2026-11-21", "2026-11-22"
FREE = {"flipped_percent": 100, "quarantined_percent": 100, "withdrawn_percent": 100, "volume_drop_percent": 100}
ARTISTS = ["Ann", "ann", "Bob", "Cat feat. Bob", "empty_field"]
# Each of a warehouse's tables without what tells one run from another.
TOLD = {
    "predictions": "* EXCLUDE (run_id, scored_at)",
    "predictions_latest": "* EXCLUDE (run_id, scored_at)",
    "track_history": "*",
    "artist_profiles": "* EXCLUDE (version)",
    "quarantine": "* EXCLUDE (run_id)",
    "runs": "run_date, status, received, predicted, quarantined, duplicates, empty, withdrawn, imputed, delivery",
    "checks": "* EXCLUDE (run_id)",
    "drift": "* EXCLUDE (run_id)",
    "flips": "* EXCLUDE (run_id)",
    "performance": "* EXCLUDE (run_id, measured_at)",
}


def told(warehouse: Path, *without: str) -> dict[str, list[dict[str, Any]]]:
    """Return what a warehouse says."""
    return {
        table: ask(warehouse, f"SELECT {columns} FROM {table} ORDER BY ALL")
        for table, columns in TOLD.items()
        if table not in without
    }


def continued(warehouse: Path, day: str) -> int:
    """Return how many predictions of a date are older."""
    with duckdb.connect(warehouse, read_only=True) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM prediction_history WHERE from_run_date < $1 AND to_run_date >= $1", [day]
        ).fetchall()
    return int(rows[0][0])


def both(warehouse: Path, source: Path, day: str, **words: Any) -> tuple[Path, Path]:
    """Score a date into two copies of a warehouse, once by what is new, and once everything again."""
    again = warehouse.with_name(f"again-{day}.duckdb")
    if warehouse.exists():
        shutil.copy(warehouse, again)
    genrepipe.score(source, warehouse, run_date=day, limits=FREE, **words)
    genrepipe.score(source, again, run_date=day, limits=FREE, force=True, **words)
    return warehouse, again


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["change", "remove", "repeat", "contradict", "respell", "break", "relabel"]), st.integers(1, 14)),
        st.tuples(st.sampled_from(["add", "empty", "shuffle", "unparsed"]), st.integers(15, 18)),
    ),
    max_size=6,
)  # fmt: skip


def tonight(rows: list[dict[str, str]], changes: list[tuple[str, int]]) -> list[dict[str, str]]:
    """Return rows as a later night delivers them."""
    rows = [dict(row) for row in rows]
    for kind, number in changes:
        at = next((i for i, row in enumerate(rows) if row["instance_id"] == f"{number}.0"), None)
        if kind == "add":
            rows.append(track(number, artist_name=ARTISTS[number % len(ARTISTS)]))
        elif kind == "empty":
            rows.insert(0, dict.fromkeys(rows[0] if rows else track(), ""))
        elif kind == "unparsed":
            rows.insert(len(rows) // 2, {"instance_id": "one cell"})
        elif kind == "shuffle":
            random.Random(number).shuffle(rows)
        elif at is None:
            continue
        elif kind == "remove":
            del rows[at]
        elif kind == "repeat":
            rows.append(dict(rows[at]))
        else:
            changed = (
                rows[at]
                | {
                    "change": {"energy": "0.9", "duration_ms": "-1"},
                    "contradict": {"energy": "0.1"},
                    "respell": {"instance_id": str(number), "energy": "0.50"},
                    "break": {"energy": "7"},
                    "relabel": {"music_genre": "Polka" if number % 2 else "Blues"},
                }[kind]
            )
            if kind == "contradict":
                rows.append(changed)
            else:
                rows[at] = changed
    return rows


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as CSV; those with one cell have no other."""
    names = list(track())
    lines = [",".join(names)]
    lines += [
        row["instance_id"] if len(row) == 1 else ",".join('"' + row.get(name, "") + '"' for name in names)
        for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    nights=st.lists(CHANGES, min_size=1, max_size=3),
    kind=st.sampled_from(["increment", "snapshot"]),
    model=st.sampled_from(["artist-context", "all-features"]),
)
def test_a_night_leaves_what_doing_everything_again_leaves(
    nights: list[list[tuple[str, int]]], kind: str, model: str
) -> None:
    rows = [track(n, artist_name=ARTISTS[n % len(ARTISTS)], energy=f"0.{n}") for n in range(1, 15)]
    rows[3]["duration_ms"] = "-1"
    rows[5]["music_genre"] = ""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder, "w.duckdb")
        words = {"delivery": kind, "model": model}
        genrepipe.score(written(Path(folder, "0.csv"), rows), warehouse, run_date=FIRST, limits=FREE, **words)
        for number, changes in enumerate(nights):
            rows = tonight(rows, changes)
            if not any(len(row) > 1 and any(row.values()) for row in rows):
                return
            source = written(Path(folder, f"{number + 1}.csv"), rows)
            by_what_is_new, again = both(warehouse, source, f"2026-11-{21 + number}", **words)
            assert told(by_what_is_new) == told(again)


def test_the_same_again_scores_nothing(tmp_path: Path) -> None:
    source, warehouse = write_csv(tmp_path / "t.csv", tracks(20)), tmp_path / "w.duckdb"
    score(source, warehouse, FIRST)
    result = score(source, warehouse, SECOND)
    assert (result["predicted"], continued(warehouse, SECOND)) == (20, 20)
    dates = ask(
        warehouse,
        "SELECT run_date, run_id, count(*) AS n, min(scored_at) AS at FROM predictions GROUP BY ALL ORDER BY 1",
    )
    assert [(str(each["run_date"]), each["n"]) for each in dates] == [(FIRST, 20), (SECOND, 20)]
    assert dates[1]["run_id"] == result["run_id"]
    assert dates[0]["at"] < dates[1]["at"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".jsonl", "/"])
def test_a_changed_track_is_scored_with_its_artist_and_no_other(tmp_path: Path, suffix: str) -> None:
    """Of whatever the source is: ten tracks of Ann, ten of Bob, and one of nobody."""

    def deliver(number: int, rows: list[dict[str, str]]) -> Path:
        path = tmp_path / f"{number}{suffix}"
        frame = pl.DataFrame(rows)
        if suffix == ".parquet":
            frame.write_parquet(path)
        elif suffix == ".jsonl":
            frame.write_ndjson(path)
        elif suffix == "/":
            path.mkdir()
            frame[:11].write_csv(path / "a.csv")
            frame[11:].write_csv(path / "b.csv")
        else:
            frame.write_csv(path, **({"compression": "gzip"} if suffix == ".csv.gz" else {}))
        return path

    warehouse = tmp_path / "w.duckdb"
    rows = [track(n, artist_name="Ann" if n < 11 else "Bob") for n in range(1, 21)] + [
        track(21, artist_name="empty_field")
    ]
    score(deliver(1, rows), warehouse, FIRST)
    rows[4]["energy"] = "0.9"
    score(deliver(2, rows), warehouse, SECOND, "--limit", "flipped_percent=100")
    scored = ask(
        warehouse, f"SELECT track_id FROM prediction_history WHERE from_run_date = '{SECOND}' ORDER BY track_id::INT"
    )
    assert [int(row["track_id"]) for row in scored] == list(range(1, 11))
    assert continued(warehouse, SECOND) == 11


@pytest.mark.parametrize(
    "reason", ["another bundle", "--force", "an older date", "another job's later date", "taken back in between"]
)
def test_what_forbids_to_continue(tmp_path: Path, reason: str) -> None:
    source, warehouse = write_csv(tmp_path / "t.csv", tracks(20)), tmp_path / "w.duckdb"
    score(source, warehouse, FIRST)
    words = {"another bundle": ["--model", "all-features"], "--force": ["--force"]}.get(reason, [])
    day = SECOND
    if reason == "an older date":
        score(source, warehouse, THIRD)
    if reason == "another job's later date":
        score(write_csv(tmp_path / "o.csv", tracks(20)), warehouse, THIRD, "--name", "other")
    if reason == "taken back in between":
        score(write_csv(tmp_path / "o.csv", [track(99)]), warehouse, SECOND, "--name", "other")
        retract(warehouse, SECOND, "other")
    score(source, warehouse, day, *words, "--limit", "flipped_percent=100")
    assert continued(warehouse, day) == 0


def test_another_jobs_delivery_changes_the_artist(tmp_path: Path) -> None:
    """What a second job says of an artist counts for the first one's next night."""
    source, warehouse = write_csv(tmp_path / "t.csv", tracks(20)), tmp_path / "w.duckdb"
    score(source, warehouse, FIRST)
    score(write_csv(tmp_path / "o.csv", [track(99, energy="0.9")]), warehouse, FIRST, "--name", "other")
    score(source, warehouse, SECOND, "--limit", "flipped_percent=100")
    assert continued(warehouse, SECOND) == 0
    assert ask(warehouse, f"SELECT DISTINCT artist_tracks AS n FROM predictions WHERE run_date = '{SECOND}'") == [
        {"n": 21}
    ]


def test_a_row_that_says_the_same_in_another_text_is_recognised_the_night_after(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    rows = [track(n, energy="0.5") for n in range(1, 21)]
    score(write_csv(tmp_path / "a.csv", rows), warehouse, FIRST)
    before = ask(warehouse, "SELECT received_hash FROM track_history ORDER BY track_id")
    other = write_csv(tmp_path / "b.csv", [row | {"energy": "0.50"} for row in rows])
    score(other, warehouse, SECOND)
    after = ask(warehouse, "SELECT received_hash FROM track_history ORDER BY track_id")
    assert len(after) == 20
    assert not {row["received_hash"] for row in before} & {row["received_hash"] for row in after}
    assert continued(warehouse, SECOND) == 20


def test_keep_days_shortens_what_continues(tmp_path: Path) -> None:
    source, warehouse = write_csv(tmp_path / "t.csv", tracks(20)), tmp_path / "w.duckdb"
    for day in (FIRST, SECOND, THIRD):
        score(source, warehouse, day, "--keep-days", "2")
    assert [str(row["run_date"]) for row in ask(warehouse, "SELECT DISTINCT run_date FROM predictions ORDER BY 1")] == [
        SECOND,
        THIRD,
    ]
    assert ask(warehouse, "SELECT DISTINCT from_run_date, to_run_date FROM prediction_history") == [
        {"from_run_date": SECOND, "to_run_date": THIRD}
    ]


def test_an_audit_that_reads_the_published_predictions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not show the run that is to be judged, so the audit would always pass."""
    from genrepipe.core import assets

    folder = tmp_path / "sql"
    shutil.copytree(assets.shipped("sql"), folder)
    (folder / "audits" / "blind.sql").write_text("-- Nothing.\nSELECT track_id FROM predictions WHERE margin < 0\n")
    kept = assets.shipped
    monkeypatch.setattr(assets, "shipped", lambda name: folder if name == "sql" else kept(name))
    finished = run("score", write_csv(tmp_path / "t.csv", tracks(20)), "--warehouse", tmp_path / "w.duckdb")
    assert finished.code == 78
    assert "blind reads predictions" in finished.error
    assert "run_predictions" in finished.error
