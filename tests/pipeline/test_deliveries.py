"""A run date's rows are what its standing deliveries say, whatever came before, in between and after."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import genrepipe
from genrepipe.core.errors import GenrepipeError, WarehouseUnusable
from genrepipe.pipeline import labels, quarantine, replay, retract, rollback, verify
from genrepipe.warehouse.connection import Database
from genrepipe.warehouse.steps import Steps
from tests.pipeline.deliveries import Model
from tests.support import PLAN, ask, run, score, track, tracks, write_csv
from tests.torture.torture import build

DAYS = [date(2026, 11, 10) + timedelta(days=n) for n in range(5)]
JOBS = ("nightly", "weekly")
LIMITS = {"flipped_percent": 100, "quarantined_percent": 100, "withdrawn_percent": 100, "volume_drop_percent": 100}


def content(warehouse: Path) -> dict[str, Any]:
    """Return what a warehouse says, without ids and times of runs."""
    queries = {
        "tracks": "FROM tracks ORDER BY ALL",
        "artist_profiles": "SELECT * EXCLUDE (version) FROM artist_profiles ORDER BY ALL",
        "predictions": "SELECT * EXCLUDE (run_id, scored_at) FROM predictions ORDER BY ALL",
        "latest": "SELECT * EXCLUDE (run_id, scored_at) FROM predictions_latest ORDER BY ALL",
    }
    return {name: ask(warehouse, sql) for name, sql in queries.items()}


def test_a_corrected_delivery_leaves_no_trace_of_the_wrong_one(tmp_path: Path) -> None:
    wrong = write_csv(
        tmp_path / "wrong.csv", [track(n, artist_name="Röyksopp", duration_ms="900000") for n in range(1, 40)]
    )
    right = [track(n, artist_name="Röyksopp") for n in range(30, 41)]
    source = write_csv(tmp_path / "right.csv", [*right, track(41, artist_name="Röyksopp", duration_ms="-1")])
    for sources, name in (((wrong, source), "corrected.duckdb"), ((source,), "fresh.duckdb")):
        for each in sources:
            score(each, tmp_path / name, "2026-11-20", "--limit", "flipped_percent=100")
    corrected, fresh = content(tmp_path / "corrected.duckdb"), content(tmp_path / "fresh.duckdb")
    assert corrected == fresh
    assert len(fresh["tracks"]) == 12


def test_a_correction_gives_back_what_the_dates_before_and_after_said(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    one = write_csv(tmp_path / "one.csv", tracks(10))
    two = write_csv(tmp_path / "two.csv", tracks(10, energy="0.3"))
    few = write_csv(tmp_path / "few.csv", tracks(3, energy="0.3"))
    for source, day in ((one, "2026-11-18"), (one, "2026-11-19"), (two, "2026-11-20"), (few, "2026-11-20")):
        score(source, warehouse, day, "--limit", "flipped_percent=100", "--limit", "volume_drop_percent=100")
    assert ask(
        warehouse, "SELECT round(energy, 1)::DOUBLE AS energy, count(*) AS n FROM tracks GROUP BY 1 ORDER BY 1"
    ) == [
        {"energy": pytest.approx(0.3), "n": 3},
        {"energy": pytest.approx(0.9), "n": 7},
    ]
    score(few, warehouse, "2026-11-19", "--limit", "flipped_percent=100", "--limit", "volume_drop_percent=100")
    assert ask(warehouse, "SELECT last_run_date, count(*) AS n FROM tracks GROUP BY 1 ORDER BY 1") == [
        {"last_run_date": "2026-11-18", "n": 7},
        {"last_run_date": "2026-11-20", "n": 3},
    ]


def test_a_job_that_delivers_less_does_not_take_from_another_job(tmp_path: Path) -> None:
    warehouse, day = tmp_path / "w.duckdb", "2026-11-20"
    for job, first, last in (("a", 1, 30), ("b", 20, 50), ("b", 31, 50)):
        source = write_csv(tmp_path / f"{job}-{first}.csv", [track(n) for n in range(first, last + 1)])
        score(source, warehouse, day, "--name", job)
    assert ask(warehouse, "SELECT job, count(*) AS n FROM predictions GROUP BY job ORDER BY job") == [
        {"job": "a", "n": 30},
        {"job": "b", "n": 20},
    ]
    assert len(ask(warehouse, "FROM predictions_latest")) == len(ask(warehouse, "FROM tracks")) == 50


def test_a_snapshot_withdraws_what_it_lacks_from_its_date_on(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    whole = write_csv(tmp_path / "whole.csv", tracks(10))
    less = write_csv(tmp_path / "less.csv", [*tracks(8), track(9, energy="7")])
    score(write_csv(tmp_path / "other.csv", [*tracks(1, artist_name="Other"), track(99)]), warehouse, "2026-11-17", "--name", "other")  # fmt: skip
    score(whole, warehouse, "2026-11-18")
    words = ("--delivery", "snapshot", "--limit", "quarantined_percent=50")
    dry = score(less, warehouse, "2026-11-19", *words, "--dry-run")
    result = score(less, warehouse, "2026-11-19", *words)
    assert dry["withdrawn"] == result["withdrawn"] == 1
    known = [row["track_id"] for row in ask(warehouse, "SELECT track_id FROM tracks ORDER BY track_id::INT")]
    assert known == [str(n) for n in (*range(1, 10), 99)]  # 9 was quarantined, 99 is another job's
    assert ask(warehouse, "SELECT sum(tracks)::INT AS n FROM artist_profiles") == [{"n": 10}]
    assert len(ask(warehouse, "FROM predictions_latest")) == 10
    assert len(ask(warehouse, "FROM predictions WHERE run_date = '2026-11-18'")) == 10
    assert ask(warehouse, "SELECT withdrawn, delivery FROM runs ORDER BY started_at") == [
        {"withdrawn": None, "delivery": "increment"},
        {"withdrawn": None, "delivery": "increment"},
        {"withdrawn": 1, "delivery": "snapshot"},
    ]
    assert score(less, warehouse, "2026-11-19", *words)["status"] == "already published"
    score(less, warehouse, "2026-11-19", *words[2:])  # as an increment it withdraws nothing
    assert len(ask(warehouse, "FROM tracks")) == 11


def test_a_snapshot_that_lacks_a_great_part_is_refused(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "whole.csv", tracks(10)), warehouse, "2026-11-18")
    half = write_csv(tmp_path / "half.csv", tracks(5))
    words = ("score", half, "--warehouse", warehouse, "--run-date", "2026-11-19", "--delivery", "snapshot")
    refused = run(*words)
    assert refused.code == 65
    assert "withdrawn_percent" in refused.err
    assert len(ask(warehouse, "FROM tracks")) == 10
    assert run(*words, "--limit", "withdrawn_percent=50").code == 0
    assert len(ask(warehouse, "FROM tracks")) == 5


def test_a_delivery_is_taken_back(tmp_path: Path) -> None:
    warehouse, fresh = tmp_path / "w.duckdb", tmp_path / "fresh.duckdb"
    good = write_csv(tmp_path / "good.csv", tracks(4))
    wrong = write_csv(tmp_path / "wrong.csv", [*tracks(3, artist_name="Nobody"), track(9), track(10, energy="7")])
    limits = ("--limit", "quarantined_percent=50", "--limit", "volume_drop_percent=100")
    for target in (warehouse, fresh):
        score(good, target, "2026-11-19")
    score(wrong, warehouse, "2026-11-20", *limits)
    done = run("retract", "--run-date", "2026-11-20", "--warehouse", warehouse)
    assert (done.code, done.out.strip()) == (0, "retracted: 2026-11-20 of job score, 4 predictions")
    assert content(warehouse) == content(fresh)
    assert ask(warehouse, "FROM quarantine") == []
    assert [row["status"] for row in ask(warehouse, "FROM runs ORDER BY started_at")] == [
        "published",
        "retracted",
        "published",
    ]
    assert score(wrong, warehouse, "2026-11-20", *limits)["status"] == "published"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("2026-11-19",), "was published by jobs a, b. Name one with --job"),
        (("2026-11-18", "--job", "a"), "has no published run of job a"),
        (("2026-11-19", "--job", "c"), "Jobs that published it: a, b"),
        (("2026-11-10", "--job", "a"), "keep_days has settled 2026-11-10 of job a"),
        (("20261119",), "is not a date"),
    ],
)
def test_what_cannot_be_taken_back_says_why(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    warehouse = tmp_path / "w.duckdb"
    source = write_csv(tmp_path / "one.csv", tracks(3))
    score(source, warehouse, "2026-11-10", "--name", "a")
    score(source, warehouse, "2026-11-19", "--name", "a", "--keep-days", 3)
    score(source, warehouse, "2026-11-19", "--name", "b")
    refused = run("retract", "--run-date", *words, "--warehouse", warehouse)
    assert refused.code == 64
    assert says in refused.err


def test_labels_wait_for_tracks_that_are_still_to_come(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "one.csv", tracks(2)), warehouse, "2026-11-18")
    taken = labels.take_labels(
        warehouse,
        (str(write_csv(tmp_path / "l.csv", [{"instance_id": str(n), "music_genre": "Jazz"} for n in (1, 3)])),),
    )
    assert (taken.labelled, taken.unknown_tracks) == (1, 1)
    score(write_csv(tmp_path / "two.csv", [track(3, music_genre="")]), warehouse, "2026-11-19")
    rows = ask(warehouse, "SELECT track_id FROM tracks WHERE music_genre = 'Jazz' ORDER BY 1")
    assert rows == [{"track_id": "1"}, {"track_id": "3"}]


def test_what_a_settled_date_brought_stays(tmp_path: Path) -> None:
    """keep_days has removed what was known before it, so a correction of it adds and replaces, and takes nothing back."""
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "a.csv", tracks(4)), warehouse, "2026-11-10")
    score(write_csv(tmp_path / "b.csv", tracks(4, energy="0.9")), warehouse, "2026-11-11", "--limit", "flipped_percent=100")  # fmt: skip
    score(write_csv(tmp_path / "c.csv", [track(9)]), warehouse, "2026-11-20", "--keep-days", "5", "--limit", "volume_drop_percent=100")  # fmt: skip
    assert ask(warehouse, "SELECT count(*) AS n, min(first_run_date) AS f, min(last_run_date) AS l FROM tracks") == [
        {"n": 5, "f": "2026-11-10", "l": "2026-11-11"}
    ]
    assert len(ask(warehouse, "FROM track_history")) == 5
    score(write_csv(tmp_path / "d.csv", [track(1, energy="0.3"), track(8)]), warehouse, "2026-11-11")
    assert len(ask(warehouse, "FROM tracks")) == 6
    assert ask(warehouse, "SELECT energy::DOUBLE AS e FROM tracks WHERE track_id = '1'") == [{"e": pytest.approx(0.3)}]


# Whatever comes, in any order

NUMBERS = st.integers(1, 6)
SOUNDS = {  # of another genre each, so that there are flips
    "100000": {"acousticness": "0.99", "instrumentalness": "0.9", "loudness": "-30"},
    "200000": {"acousticness": "0.01", "instrumentalness": "0", "loudness": "-4"},
}
ROWS = st.dictionaries(
    NUMBERS,
    st.tuples(
        st.sampled_from(["Ann", "Bob"]),
        st.sampled_from(["100000", "200000"]),
        st.sampled_from(["", "", "Jazz", "Rock"]),
        st.sampled_from([False, False, False, True]),  # whether the row is broken
    ),
    max_size=6,
)


@cache
def library() -> Path:
    """Return the compiled library that injects faults."""
    return build(Path(tempfile.mkdtemp()))


class Deliveries(RuleBasedStateMachine):
    """A warehouse beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.warehouse = self.folder / "w.duckdb"
        self.now, self.before = Model(), None
        self.delivered: dict[tuple[str, date], object] = {}
        self.number = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _next_file(self, rows: list[dict[str, str]]) -> str:
        self.number += 1
        return str(write_csv(self.folder / f"{self.number}.csv", rows))

    def _source(self, drawn: dict[int, tuple[str, str, str, bool]]) -> tuple[str, dict[str, dict[str, str]], set[str]]:
        rows = {
            n: track(
                n,
                artist_name=artist,
                duration_ms=duration,
                music_genre=genre,
                energy="7" if broken else "0.5",
                **SOUNDS[duration],
            )
            for n, (artist, duration, genre, broken) in {**drawn, 7: ("Ann", "100000", "", False)}.items()
        }
        good = {str(n): row for n, row in rows.items() if row["energy"] != "7"}
        return self._next_file(list(rows.values())), good, {str(n) for n in rows} - set(good)

    @rule(
        job=st.sampled_from(JOBS), day=st.sampled_from(DAYS), kind=st.sampled_from(["increment", "increment", "snapshot"]),
        drawn=ROWS, keep=st.sampled_from([None, None, None, 2]), dry=st.booleans(), verified=st.booleans(),
        model=st.sampled_from(["lda-2d", "lda-2d", "artist-context"]),
    )  # fmt: skip
    def deliver(
        self, job: str, day: date, kind: str, drawn: dict[int, Any], keep: int | None, dry: bool, verified: bool, model: str
    ) -> None:  # fmt: skip
        """Deliver a date for the first time, or correct it."""
        if day <= self.now.horizon:
            return
        source, rows, held_back = self._source(drawn)
        words: dict[str, Any] = {
            "warehouse": self.warehouse, "run_date": day.isoformat(), "name": job, "model": model, "limits": LIMITS,
            "delivery": kind, "keep_days": keep,
        }  # fmt: skip
        expected = genrepipe.score(source, dry_run=True, **words) if dry else None
        result = genrepipe.score(source, **words)
        if result.status == "already published":
            assert self.now.deliveries[job, day].rows.keys() >= rows.keys()
            return
        self.before = self.now.copy()
        self.now.deliver(job, day, kind, rows, held_back)
        assert result.withdrawn == self.now.withdrawn(job, day)
        if expected is not None:
            for name in ("predicted", "quarantined", "withdrawn", "flips", "warnings", "imputed"):
                assert getattr(expected, name) == getattr(result, name), name
        if verified:  # what it continued is what it would have scored
            assert verify.verify(self.warehouse, result.run_id).status == "identical"
        if keep is not None:
            newest = max(on for of, on in self.now.deliveries if of == job)
            self.now.trim(job, min(newest - timedelta(days=keep), day - timedelta(days=1)))

    @precondition(lambda self: self.now.deliveries)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """The same again is recognised, and changes nothing."""
        lines = ask(
            self.warehouse,
            "SELECT job, run_date, sources[1] AS source, delivery, model FROM runs WHERE status = 'published' AND action = 'score' ORDER BY finished_at",
        )
        standing = {(line["job"], line["run_date"]): line for line in lines}
        standing = {
            key: line for key, line in standing.items() if (key[0], date.fromisoformat(key[1])) in self.now.predictions
        }
        if not standing:
            return
        (job, day), line = data.draw(st.sampled_from(sorted(standing.items(), key=lambda item: item[0])))
        result = genrepipe.score(
            line["source"], self.warehouse, run_date=day, name=job, model=line["model"], limits=LIMITS, delivery=line["delivery"]
        )  # fmt: skip
        assert result.status == "already published"

    @precondition(lambda self: any(delivery.held_back for delivery in self.now.deliveries.values()))
    @rule(data=st.data())
    def replay_corrected_rows(self, data: st.DataObject) -> None:
        """Correct what is quarantined of a date."""
        keys = sorted(key for key, delivery in self.now.deliveries.items() if delivery.held_back - set(delivery.rows))
        if not keys:
            return
        job, day = data.draw(st.sampled_from(keys))
        self.number += 1
        fixes = self.folder / f"{self.number}.csv"
        quarantine.export(self.warehouse, day.isoformat(), fixes, job)
        lines = fixes.read_text().replace(",7,", ",0.5,")
        fixes.write_text(lines)
        result = replay.replay(self.warehouse, fixes, day.isoformat())
        delivery = self.now.deliveries[job, day]
        corrected = sorted(delivery.held_back - set(delivery.rows))
        assert result.predicted == len(corrected)
        self.before = self.now.copy()
        found = ask(
            self.warehouse, f"SELECT track_id, artist_name, music_genre, duration_ms FROM track_history WHERE job = '{job}' "
            f"AND DATE '{day}' BETWEEN from_run_date AND to_run_date",
        )  # fmt: skip
        rows = {
            row["track_id"]: {"artist_name": row["artist_name"], "duration_ms": str(row["duration_ms"]), "music_genre": row["music_genre"] or ""}
            for row in found if row["track_id"] in corrected
        }  # fmt: skip
        assert sorted(rows) == corrected
        self.now.replay(job, day, rows)

    @precondition(lambda self: self.now.deliveries)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        """A delivery is as if it had never come."""
        job, day = data.draw(st.sampled_from(sorted(self.now.deliveries)))
        result = retract.retract(self.warehouse, day.isoformat(), job)
        assert result.predictions == len(self.now.predictions[job, day])
        self.before = self.now.copy()
        self.now.retract(job, day)

    @precondition(lambda self: self.now.deliveries)
    @rule(taken=st.dictionaries(NUMBERS, st.sampled_from(["Blues", "Country"]), min_size=1, max_size=3))
    def take_labels(self, taken: dict[int, str]) -> None:
        """Labels that come later."""
        source = self._next_file([{"instance_id": str(n), "music_genre": genre} for n, genre in taken.items()])
        labels.take_labels(self.warehouse, (source,))
        self.before = self.now.copy()
        today = datetime.now(UTC).date()
        self.now.labels |= {str(n): (today, float("inf"), genre) for n, genre in taken.items()}

    @precondition(lambda self: self.before is not None)
    @rule()
    def go_back(self) -> None:
        """One step, or forward again."""
        assert self.before is not None
        if not self.before.has_published:
            with pytest.raises(WarehouseUnusable):
                rollback.rollback(self.warehouse)
            return
        rollback.rollback(self.warehouse)
        self.now, self.before = self.before, self.now.copy()

    @rule(
        job=st.sampled_from(JOBS), day=st.sampled_from(DAYS), drawn=ROWS, operation=st.integers(1, 45),
        fault=st.sampled_from(["kill-before", "kill-after", "torn", "SIGTERM", "EIO"]),
    )  # fmt: skip
    def break_off(self, job: str, day: date, drawn: dict[int, Any], operation: int, fault: str) -> None:
        """A run is killed, or ends early, at one of its file operations: it is published or it is not."""
        if day <= self.now.horizon or shutil.which("cc") is None:
            return
        source, rows, held_back = self._source(drawn)
        limits = [word for name, limit in LIMITS.items() for word in ("--limit", f"{name}={limit}")]
        words = ["score", source, "--run-date", day.isoformat(), "--name", job, "--model", "lda-2d", *limits]
        shared = self.folder / "shared"
        shared.write_bytes(bytes(32))
        environment = os.environ | {
            "LD_PRELOAD": str(library()), "INJECT_FOLDER": str(self.warehouse), "INJECT_SHARED": str(shared),
            "INJECT_FAULT": fault, "INJECT_AT": str(operation),
        }  # fmt: skip
        command = [sys.executable, "-X", "faulthandler", "-m", "genrepipe", *words]
        with subprocess.Popen(
            [*command, "--warehouse", str(self.warehouse), "--output", "json"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                out, _ = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # its threads say where they are
                pytest.fail(f"it hangs: {process.communicate()[1]}")
        if not self.warehouse.exists():
            return
        lines = ask(
            self.warehouse, f"SELECT sources[1] AS s FROM runs WHERE status = 'published' AND sources[1] = '{source}'"
        )
        assert bool(lines) or process.returncode != 0 or json.loads(out)["status"] == "already published"
        if lines:
            self.before = self.now.copy()
            self.now.deliver(job, day, "increment", rows, held_back)

    @precondition(lambda self: self.now.deliveries)
    @rule(drawn=ROWS)
    def fail(self, drawn: dict[int, Any]) -> None:
        """A run that is refused changes nothing."""
        source, _, _ = self._source(drawn)
        with pytest.raises(GenrepipeError, match="low_margin|quarantined|rejected|limit|flipped|allowed"):
            genrepipe.score(
                source, self.warehouse, run_date=DAYS[-1].isoformat(), name="nightly", model="lda-3d",
                limits={**LIMITS, "largest_genre_percent": -1}, force=True,
            )  # fmt: skip

    @invariant()
    def agrees(self) -> None:
        """The warehouse is what the model says."""
        if not self.warehouse.exists():
            return
        with duckdb.connect(self.warehouse, read_only=True) as connection:
            rows = connection.execute(
                "SELECT track_id, artist_name, duration_ms, music_genre, first_run_date, last_run_date FROM tracks"
            ).fetchall()
            names = ("artist_name", "duration_ms", "music_genre", "first_run_date", "last_run_date")
            assert {track: dict(zip(names, rest, strict=True)) for track, *rest in rows} == self.now.tracks()
            predictions: dict[tuple[str, date], dict[str, int]] = {}
            for job, day, number, visible in connection.execute(
                "SELECT job, run_date, track_id, artist_tracks FROM predictions"
            ).fetchall():
                predictions.setdefault((job, day), {})[number] = visible
            assert predictions == {key: rows for key, rows in self.now.predictions.items() if rows}
            profiles = dict(connection.execute("SELECT artist_key, tracks FROM artist_profiles").fetchall())
            artists = [row["artist_name"].lower() for row in self.now.tracks().values()]
            assert profiles == {artist: artists.count(artist) for artist in artists}
            latest = {number for (number,) in connection.execute("SELECT track_id FROM predictions_latest").fetchall()}
            predicted = {number for rows in predictions.values() for number in rows}
            assert latest == set(self.now.tracks()) & predicted
            overlapping = connection.execute(
                "FROM track_history AS a JOIN track_history AS b USING (job, track_id) "
                "WHERE a.from_run_date < b.from_run_date AND a.to_run_date >= b.from_run_date"
            ).fetchall()
            assert overlapping == []
            overlapping = connection.execute(
                "FROM prediction_history AS a JOIN prediction_history AS b USING (job, track_id) "
                "WHERE a.from_run_date < b.from_run_date AND a.to_run_date >= b.from_run_date"
            ).fetchall()
            assert overlapping == []
        with Database(self.warehouse, PLAN, read_only=True) as database:
            steps = Steps(database)
            steps.bind("visible_tracks", "FROM track_history WHERE is_current")
            steps.make("profiles")
            renewed = database.rows("SELECT * EXCLUDE (version) FROM profiles ORDER BY ALL")
            assert renewed == database.rows("SELECT * EXCLUDE (version) FROM artist_profiles ORDER BY ALL")


def machine(examples: int, steps: int) -> Any:
    """Return a test case of this many sequences of this many steps."""
    case = Deliveries.TestCase
    case.settings = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, print_blob=True, phases=(Phase.generate,),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    return case


def test_every_sequence_leaves_what_the_model_says() -> None:
    machine(4, 20)("runTest").runTest()


@pytest.mark.slow
def test_thousands_of_steps_leave_what_the_model_says() -> None:
    machine(60, 40)("runTest").runTest()
