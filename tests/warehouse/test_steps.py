"""Steps: what they declare is what they do, the runner binds and makes, and each is tested alone, rows in and rows out."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.core.errors import ConfigurationError
from genrepipe.pipeline import night
from genrepipe.quality import MONITORS
from genrepipe.quality.checks import OF_RUN
from genrepipe.warehouse import schema, steps
from genrepipe.warehouse.steps import ACCUMULATED, INPUTS, PART, Steps, header, names, referenced_tables, registry
from tests.support import PLAN, relations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from genrepipe.warehouse.connection import Database

SQL = assets.shipped("sql")
TODAY, YESTERDAY = date(2026, 11, 22), date(2026, 11, 21)
RUN = {
    "run_id": "r2",
    "run_date": TODAY,
    "job": "nightly",
    "action": "score",
    "delivery": "increment",
    "started_at": datetime(2026, 11, 22, 2, 15),
}
RUNS = [
    {"run_id": "r0", "run_date": date(2026, 11, 20), "job": "nightly", "status": "published", "action": "score",
     "received": 10, "source_sha256": "a", "finished_at": datetime(2026, 11, 20, 3)},
    {"run_id": "r1", "run_date": YESTERDAY, "job": "nightly", "status": "published", "action": "score",
     "received": 20, "source_sha256": "b", "finished_at": datetime(2026, 11, 21, 3)},
    {"run_id": "x1", "run_date": YESTERDAY, "job": "weekly", "status": "published", "action": "score", "received": 1,
     "source_sha256": "w", "finished_at": datetime(2026, 11, 21, 4)},
    {"run_id": "f2", "run_date": TODAY, "job": "nightly", "status": "refused", "action": "score", "received": 5,
     "source_sha256": "c", "finished_at": datetime(2026, 11, 22, 1)},
]  # fmt: skip


@pytest.fixture
def database() -> Iterator[Database]:
    with schema.open_memory(PLAN) as memory:
        yield memory


# Declared and actual

ANY_NIGHT = {
    "run_id": "r",
    "job": "score",
    "run_date": date(2026, 11, 22),
    "since": date(2026, 10, 24),
    "week": date(2026, 11, 15),
}


def readers() -> list[Path]:
    """Return every SQL file that reads relations."""
    return sorted(path for path in SQL.rglob("*.sql") if "reads" in header(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", readers(), ids=lambda path: path.stem)
def test_what_a_file_declares_to_read_is_what_it_reads(database: Database, path: Path) -> None:
    step = registry().get(path.stem)
    text = step.sql if step else night.bound(path.read_text(encoding="utf-8"), ANY_NIGHT)
    assert referenced_tables(database, text) == set(names(header(text)))


def test_every_file_is_a_step_an_audit_a_view_or_a_macro() -> None:
    steps_, others = set(registry()), {"audits", "views", "macros", "report"}
    assert {path.stem for path in SQL.rglob("*.sql") if path.parent.name not in others} == steps_
    assert {path.stem for path in (SQL / "views").glob("*.sql")} == set(schema.VIEWS)
    assert {path.stem for path in (SQL / "macros").glob("*.sql")} == {
        *schema.SCALAR_MACROS,
        *schema.TABLE_MACROS,
        "shared",
    }


def test_every_relation_has_one_origin(database: Database) -> None:
    """An input, a step and a table of the warehouse never share a name, and nothing is read that has none."""
    tables = {name for (name,) in database.rows("SELECT table_name FROM duckdb_tables() WHERE NOT temporary")}
    views = {name for (name,) in database.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    origins = [*tables, *views, *INPUTS, PART, *ACCUMULATED, *registry()]
    assert len(origins) == len(set(origins))
    headers = [header(path.read_text(encoding="utf-8")) for path in readers()]
    declared = {name for each in headers for key in ("reads", "feeds") for name in names(each, key)}
    assert declared - set(origins) == set()


@pytest.mark.parametrize("contract", ["source_tracks", "predictions"])
def test_the_queries_of_the_contracts_read_relations_that_exist(database: Database, contract: str) -> None:
    tables = {name for (name,) in database.rows("SELECT table_name FROM duckdb_tables() WHERE NOT temporary")}
    known = {*registry(), *INPUTS, *ACCUMULATED, *tables}
    for name, rule in contracts.load(contract).table.checks.items():
        query = rule.asked_of(OF_RUN.get(contract, contract))
        assert referenced_tables(database, query) <= known, name


def test_a_file_that_declares_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.sql").write_text(
        "-- Rows.\n-- reads: landed\n-- makes: lost (view)\n-- scope: row\nFROM landed\n"
    )
    with pytest.raises(ConfigurationError, match="must declare 'makes: kept"):
        steps._read(tmp_path / "kept.sql")


def test_monitors_write_tables_of_the_contract() -> None:
    tables = {table.name for table in contracts.load("operations").tables}
    assert {monitor.table for monitor in MONITORS} <= tables


# The runner


def test_a_name_is_bound_once(database: Database) -> None:
    runner = Steps(database)
    runner.bind("visible_tracks", "FROM tracks")
    with pytest.raises(ValueError, match="visible_tracks is bound already"):
        runner.bind("visible_tracks", "FROM tracks LIMIT 0")
    with pytest.raises(ValueError, match="no step makes it"):
        Steps(database).make("accepted")


def test_a_step_runs_after_those_it_depends_on(database: Database) -> None:
    runner = relations(database, {"landed": [{"row_id": 1, "track_id": "a", "is_empty": False}], "known_rows": []})
    runner.make("accepted")
    assert "superseded" in runner
    assert database.value("SELECT track_id FROM accepted") == "a"
    runner.make("accepted")  # it stands


def test_what_was_made_of_a_relation_goes_with_it(database: Database) -> None:
    runner = relations(database, {"landed": [{"row_id": 1, "track_id": "a", "is_empty": False}], "known_rows": []})
    runner.make("accepted")
    runner.release("superseded")
    assert "accepted" not in runner
    assert "landed" in runner
    runner.make("accepted")
    assert database.value("SELECT count(*) FROM accepted") == 1


def test_a_failed_bind_leaves_the_name_free(database: Database) -> None:
    runner = Steps(database)
    with pytest.raises(Exception, match="nowhere"):
        runner.bind("profiles", "FROM nowhere")
    runner.bind("profiles", "FROM artist_profiles")


def test_relations_of_a_rolled_back_transaction_are_forgotten(database: Database) -> None:
    runner = Steps(database)
    runner.bind_row("run", **RUN)
    database.execute("BEGIN TRANSACTION")
    runner.make("earlier_runs")
    database.execute("ROLLBACK")
    runner.after_rollback()
    runner.make("earlier_runs")
    assert database.value("SELECT count(*) FROM earlier_runs") == 0


# Each step alone: rows in, rows out


def landed(number: int, track: str | None = "a", **columns: Any) -> dict[str, Any]:
    return {"row_id": number, "track_id": track, "is_empty": False, **columns}


def held(track: str, first: date, last: date, **columns: Any) -> dict[str, Any]:
    row = {"job": "nightly", "track_id": track, "from_run_date": first, "to_run_date": last, "since": first}
    return {**row, "is_current": True, **columns}


def predicted(track: str, first: date, last: date, **columns: Any) -> dict[str, Any]:
    return {"job": "nightly", "track_id": track, "from_run_date": first, "to_run_date": last, **columns}


LAST_WEEK, LATER = date(2026, 11, 15), date(2026, 11, 25)
SECOND = 1 << 40
# Every audio feature but the duration and the tempo, in the contract's order without the duration.
KNOWN: dict[str, Any] = {
    **dict.fromkeys(("popularity", "acousticness", "danceability", "energy", "instrumentalness"), 0.5), "key": "A",
    "liveness": 0.5, "loudness": -5.0, "mode": "Major", "speechiness": 0.5, "valence": 0.5,
}  # fmt: skip
CASES: dict[str, list[tuple[str, dict[str, list[dict[str, Any]]], list[dict[str, Any]]]]] = {
    "typed": [
        (
            "sentinels and spaces",
            {"received": [{"instance_id": " 7.0 ", "artist_name": "empty_field", "track_name": "a\u00a0 b", "duration_ms": "-1", "tempo": "?", "key": " A# "}]},
            [{"track_id": "7", "artist_name": None, "track_name": "a b", "duration_ms": None, "tempo": None, "key": "A#", "is_empty": False}],
        ),
        ("a tempo of 0 and a cell that is no number", {"received": [{"instance_id": "x", "tempo": "0.0", "energy": "loud"}]}, [{"track_id": "x", "tempo": None, "energy": None}]),
        ("nothing but spaces", {"received": [{"instance_id": " ", "track_name": "  "}, {"quarantine_id": "q"}]}, [{"is_empty": True}, {"is_empty": True}]),
        ("no id, but a name", {"received": [{"track_name": "x"}]}, [{"track_id": None, "is_empty": False}]),
    ],
    "judged": [
        (
            "a good row keeps no text, a broken one does",
            {"received": [
                {"instance_id": "1", "popularity": "1", "acousticness": "0", "danceability": "0", "energy": "0", "instrumentalness": "0", "key": "A",
                 "liveness": "0", "loudness": "-5", "mode": "Minor", "speechiness": "0", "valence": "0", "duration_ms": "5000", "tempo": "100"},
                {"instance_id": "2", "popularity": "1", "acousticness": "0", "danceability": "0", "energy": "7", "instrumentalness": "0", "key": "A",
                 "liveness": "0", "loudness": "-5", "mode": "Minor", "speechiness": "0", "valence": "0", "duration_ms": "5000", "tempo": "100"},
            ]},
            [{"track_id": "1", "broken_rules": None, "received": None}, {"track_id": "2", "broken_rules": ["energy.maximum: must be at most 1"]}],
        ),
        ("an empty row breaks no rule", {"received": [{"track_name": " "}]}, [{"is_empty": True, "broken_rules": None}]),
        (
            "a row has its artist's key",
            {"received": [{"artist_name": "BEYONCÉ"}, {"artist_name": "Straße feat. Ann"}, {"artist_name": "nan"}]},
            [{"artist_key": "beyoncé"}, {"artist_key": "strasse"}, {"artist_key": None}],
        ),
    ],
    "superseded": [
        (
            "the last stands; the same is a duplicate, another contradicts",
            {"landed": [landed(1, energy=0.5), landed(2, energy=0.7), landed(3, energy=0.7), landed(4, "b")]},
            [{"row_id": 1, "contradicts": True}, {"row_id": 2, "contradicts": False}],
        ),
        ("the order is that of row ids, whatever the order of storage", {"landed": [landed(SECOND + 1, energy=0.5), landed(2, energy=0.7)]}, [{"row_id": 2, "contradicts": True}]),
        ("broken and empty rows replace nothing", {"landed": [landed(1), landed(2, broken_rules=["x"]), landed(3, is_empty=True)]}, []),
        ("two ids of quarantine do not make rows differ", {"landed": [landed(1, quarantine_id="p"), landed(2, quarantine_id="q")]}, [{"row_id": 1, "contradicts": False}]),
    ],
    "cleaned": [
        (
            "one row a track that keeps the contract; a label of no genre is none, and its row is not recognised again",
            {"landed": [
                landed(1, energy=0.5), landed(2, music_genre="Jazz", received_hash=2), landed(3, "b", broken_rules=["x"]), landed(4, "c", music_genre="Polka", received_hash=4),
                landed(5, "d", received_hash=5), landed(6, "e", received_hash=6, quarantine_id="q"),
            ]},
            [
                {"row_id": 2, "track_id": "a", "music_genre": "Jazz", "received_hash": 2}, {"row_id": 4, "track_id": "c", "music_genre": None, "received_hash": None},
                {"row_id": 5, "received_hash": 5}, {"row_id": 6, "received_hash": None},
            ],
        ),
    ],
    "accepted": [
        (
            "what was cleaned, and what is known",
            {
                "cleaned": [{"row_id": 2, "track_id": "a", "energy": 0.5, "quarantine_id": "q"}], "known_rows": [{"row_id": 1, "history_row": 1}],
                "track_history": [held("x", YESTERDAY, YESTERDAY), held("b", YESTERDAY, YESTERDAY, valence=0.25, artist_key="bob")],
            },
            [{"row_id": 1, "track_id": "b", "energy": None, "valence": 0.25, "artist_key": "bob", "quarantine_id": None}, {"row_id": 2, "track_id": "a", "energy": 0.5, "valence": None, "quarantine_id": "q"}],
        ),
    ],
    "quarantined": [
        (
            "broken, contradicting and unparsed rows, each with file and number",
            {
                "run": [RUN], "parts": [{"ordinal": 0, "file": "a.csv"}, {"ordinal": 1, "file": "b.csv"}],
                "landed": [landed(3, broken_rules=["energy.maximum: …"], received="{}"), landed(SECOND + 1, "b", energy=0.5), landed(SECOND + 2, "b")],
                "unparsed": [{"row_id": SECOND + 5, "reason": "columns: …", "received": "1,2"}],
            },
            [
                {"file": "a.csv", "row_number": 3, "track_id": "a", "reasons": ["energy.maximum: …"], "received": "{}"},
                {"file": "b.csv", "row_number": 1, "track_id": "b", "reasons": ["instance_id.unique: a later row of the same track says something else"]},
                {"file": "b.csv", "row_number": 5, "track_id": None, "reasons": ["row.columns: …"], "received": "1,2"},
            ],
        ),
    ],
    "delivery_dates": [
        ("the job's dates on both sides", {"run": [RUN], "runs": [*RUNS, RUNS[0] | {"run_date": LATER}]}, [{"before_date": YESTERDAY, "after_date": LATER, "takes_back": True, "redraws": False}]),
        ("a snapshot comes", {"run": [RUN | {"delivery": "snapshot"}]}, [{"before_date": None, "after_date": None, "redraws": True}]),
        ("a snapshot goes", {"run": [RUN], "runs": [RUNS[0] | {"run_date": TODAY, "delivery": "snapshot"}]}, [{"redraws": True}]),
        ("a replay adds", {"run": [RUN | {"action": "replay"}], "runs": [RUNS[0] | {"run_date": TODAY, "delivery": "snapshot"}]}, [{"takes_back": False, "redraws": False}]),
        ("a settled date", {"run": [RUN], "runs": [RUNS[0] | {"settled_to": TODAY}]}, [{"takes_back": False}]),
    ],
    "same_rows": [
        (
            "the same values on this date, or on the date before; not those of another job, or an older date",
            {
                "run": [RUN], "delivery_dates": [{"before_date": YESTERDAY}],
                "cleaned": [{"row_id": 1, "track_id": "a", "energy": 0.5}, {"row_id": 2, "track_id": "b"}, {"row_id": 3, "track_id": "c"}],
                "known_rows": [],
                "track_history": [
                    held("a", YESTERDAY, YESTERDAY, energy=0.5), held("a", TODAY, TODAY, energy=0.7), held("b", YESTERDAY, LATER, known_genre="Jazz"),
                    held("c", LAST_WEEK, LAST_WEEK), held("c", YESTERDAY, YESTERDAY, job="weekly"),
                ],
            },
            [{"row_id": 1, "history_row": 0, "from_run_date": YESTERDAY, "is_held": False}, {"row_id": 2, "history_row": 2, "from_run_date": YESTERDAY, "is_held": True}],
        ),
        (
            "known rows are the same without a look at them",
            {
                "run": [RUN], "delivery_dates": [{"before_date": YESTERDAY}], "cleaned": [], "known_rows": [{"row_id": 5, "history_row": 1}],
                "track_history": [held("a", YESTERDAY, YESTERDAY), held("b", YESTERDAY, YESTERDAY, known_genre="Jazz")],
            },
            [{"row_id": 5, "track_id": "b", "history_row": 1, "is_held": False, "known_genre": "Jazz", "stays_current": True}],
        ),
        (
            "every value counts, and where it stands; zeros are alike",
            {
                "run": [RUN], "delivery_dates": [{"before_date": YESTERDAY}],
                "known_rows": [],
                "cleaned": [
                    {"row_id": 1, "track_id": "a", "energy": 0.5, "valence": 0.25}, {"row_id": 2, "track_id": "b", "energy": -0.0},
                    {"row_id": 3, "track_id": "c", "artist_name": "Ann"}, {"row_id": 4, "track_id": "d", "music_genre": "Jazz"},
                ],
                "track_history": [
                    held("a", YESTERDAY, YESTERDAY, energy=0.25, valence=0.5), held("b", YESTERDAY, YESTERDAY, energy=0.0),
                    held("c", YESTERDAY, YESTERDAY, track_name="Ann"), held("d", YESTERDAY, YESTERDAY),
                ],
            },
            [{"row_id": 2}],
        ),
    ],
    "continued_rows": [
        ("not where this date is held", {"same_rows": [{"row_id": 1, "history_row": 7, "is_held": False}, {"row_id": 2, "history_row": 8, "is_held": False}, {"row_id": 2, "history_row": 9, "is_held": True}]}, [{"history_row": 7}]),
    ],
    "replaced_rows": [
        (
            "what the date held and this delivery does not say",
            {
                "run": [RUN], "delivery_dates": [{"takes_back": True}], "accepted": [{"track_id": "b"}],
                "same_rows": [{"track_id": "a", "history_row": 0, "is_held": True}],
                "track_history": [held("a", YESTERDAY, TODAY), held("b", TODAY, LATER), held("c", LAST_WEEK, LATER), held("d", YESTERDAY, YESTERDAY), held("e", TODAY, TODAY, job="weekly")],
            },
            [{"track_id": "b"}, {"track_id": "c"}],
        ),
        (
            "of a settled date, its own tracks alone",
            {
                "run": [RUN], "delivery_dates": [{"takes_back": False}], "accepted": [{"track_id": "b"}], "same_rows": [],
                "track_history": [held("b", TODAY, TODAY), held("c", TODAY, TODAY)],
            },
            [{"track_id": "b"}],
        ),
    ],
    "remaining_rows": [
        (
            "the parts before and after the date",
            {
                "run": [RUN], "delivery_dates": [{"before_date": YESTERDAY, "after_date": LATER}],
                "replaced_rows": [held("a", LAST_WEEK, LATER), held("b", TODAY, LATER), held("c", YESTERDAY, TODAY), held("d", TODAY, TODAY)],
            },
            [
                {"track_id": "a", "from_run_date": LAST_WEEK, "to_run_date": YESTERDAY, "since": LAST_WEEK}, {"track_id": "a", "from_run_date": LATER, "to_run_date": LATER, "since": LATER},
                {"track_id": "b", "from_run_date": LATER, "to_run_date": LATER, "since": LATER}, {"track_id": "c", "from_run_date": YESTERDAY, "to_run_date": YESTERDAY, "since": YESTERDAY},
            ],
        ),
    ],
    "added_tracks": [
        (
            "what nobody said before",
            {"cleaned": [{"row_id": 1, "track_id": "a"}, {"row_id": 2, "track_id": "b", "artist_key": "ann"}], "same_rows": [{"row_id": 1}]},
            [{"row_id": 2, "track_id": "b", "artist_key": "ann"}],
        ),
    ],
    "added_rows": [
        (
            "as rows of this date",
            {"run": [RUN], "cleaned": [{"row_id": 1, "track_id": "a"}, {"row_id": 2, "track_id": "b", "energy": 0.5}], "added_tracks": [{"row_id": 2}]},
            [{"job": "nightly", "track_id": "b", "from_run_date": TODAY, "to_run_date": TODAY, "since": TODAY, "energy": 0.5}],
        ),
    ],
    "affected_tracks": [
        (
            "replaced, known already, labelled, or not current any more",
            {
                "run": [RUN], "delivery_dates": [{"redraws": False}], "accepted": [],
                "replaced_rows": [{"track_id": "a"}], "added_tracks": [{"track_id": "b"}, {"track_id": "d"}, {"track_id": "c"}],
                "same_rows": [{"track_id": "e", "stays_current": True}, {"track_id": "f", "stays_current": False}],
                "track_history": [held("b", YESTERDAY, YESTERDAY, job="weekly"), held("z", YESTERDAY, YESTERDAY)], "labels": [{"track_id": "c"}],
            },
            [{"track_id": name} for name in "abcf"],
        ),
        (
            "a snapshot decides about the job's older tracks that it lacks",
            {
                "run": [RUN], "delivery_dates": [{"redraws": True}], "accepted": [{"track_id": "a"}], "replaced_rows": [], "added_tracks": [], "same_rows": [],
                "track_history": [held("a", YESTERDAY, YESTERDAY), held("b", YESTERDAY, YESTERDAY), held("c", YESTERDAY, YESTERDAY, job="weekly"), held("d", LATER, LATER)],
            },
            [{"track_id": "b"}],
        ),
        ("where the job has later dates, every track", {
            "run": [RUN], "delivery_dates": [{"redraws": False, "after_date": LATER}], "accepted": [], "replaced_rows": [], "added_tracks": [{"track_id": "a"}],
            "same_rows": [],
        }, [{"track_id": "a"}]),
    ],
    "standing_deliveries": [
        (
            "the last published one of each job and date, or this run",
            {"run": [RUN], "runs": [*RUNS, RUNS[1] | {"run_id": "r1b", "delivery": "snapshot", "finished_at": datetime(2026, 11, 23)}]},
            [
                {"job": "nightly", "run_date": date(2026, 11, 20), "run_id": "r0", "delivery": None}, {"job": "nightly", "run_date": YESTERDAY, "run_id": "r1b", "delivery": "snapshot"},
                {"job": "nightly", "run_date": TODAY, "run_id": "r2", "delivery": "increment"}, {"job": "weekly", "run_date": YESTERDAY, "run_id": "x1", "delivery": None},
            ],
        ),
        ("labels deliver no tracks", {"run": [RUN | {"action": "labels"}]}, []),
    ],
    "held_back": [
        (
            "quarantined in a snapshot that stands",
            {
                "standing_deliveries": [{"job": "nightly", "run_date": TODAY, "run_id": "s", "delivery": "snapshot"}, {"run_id": "i", "delivery": "increment"}],
                "quarantine": [{"run_id": "s", "track_id": "a"}, {"run_id": "s"}, {"run_id": "i", "track_id": "b"}, {"run_id": "gone", "track_id": "c"}],
            },
            [{"job": "nightly", "run_date": TODAY, "track_id": "a"}],
        ),
    ],
    "standing_rows": [
        (
            "as of a date, and of which run date each is",
            {
                "as_of": [{"run_date": TODAY}], "held_back": [],
                "standing_deliveries": [{"job": "nightly", "run_date": day, "delivery": "increment", "delivered_at": datetime(2026, 11, 22)} for day in (LAST_WEEK, YESTERDAY, LATER)],
                "track_history": [held("a", LAST_WEEK, LATER), held("b", LAST_WEEK, LAST_WEEK), held("c", LATER, LATER)],
            },
            [{"track_id": "a", "run_date": YESTERDAY}, {"track_id": "b", "run_date": LAST_WEEK}],
        ),
        (
            "a snapshot ends older rows of its job, but not of tracks that were held back in it",
            {
                "as_of": [{"run_date": TODAY}], "held_back": [{"job": "nightly", "run_date": YESTERDAY, "track_id": "b"}],
                "standing_deliveries": [{"job": "nightly", "run_date": LAST_WEEK, "delivery": "increment"}, {"job": "nightly", "run_date": YESTERDAY, "delivery": "snapshot"}],
                "track_history": [held("a", LAST_WEEK, LAST_WEEK), held("b", LAST_WEEK, LAST_WEEK), held("c", LAST_WEEK, LAST_WEEK, job="weekly"), held("d", LAST_WEEK, YESTERDAY)],
            },
            [{"track_id": "b"}, {"track_id": "d"}, {"track_id": "c"}],
        ),
    ],
    "visible_tracks": [("of the date", {"tracks_then": [{"track_id": "a"}]}, [{"track_id": "a"}])],
    "tracks_then": [
        (
            "the newest row of each track; of one date, that of the later run",
            {"standing_rows": [
                {"track_id": "a", "run_date": YESTERDAY, "energy": 0.1}, {"track_id": "a", "run_date": TODAY, "energy": 0.2},
                {"track_id": "b", "run_date": TODAY, "energy": 0.3, "delivered_at": datetime(2026, 11, 22)},
                {"track_id": "b", "run_date": TODAY, "energy": 0.4, "delivered_at": datetime(2026, 11, 23)},
            ]},
            [{"track_id": "a", "energy": 0.2}, {"track_id": "b", "energy": 0.4}],
        ),
    ],
    "current_rows": [
        (
            "the newest row and label, and the first date; none of a withdrawn track",
            {
                "affected_tracks": [{"track_id": "a"}, {"track_id": "b"}, {"track_id": "c"}], "standing_deliveries": [],
                "standing_rows": [
                    held("a", YESTERDAY, YESTERDAY, run_date=YESTERDAY), held("a", TODAY, TODAY, run_date=TODAY), held("b", TODAY, TODAY, run_date=TODAY),
                    held("z", TODAY, TODAY, run_date=TODAY),
                ],
                "track_history": [
                    held("a", YESTERDAY, YESTERDAY, music_genre="Jazz"), held("a", TODAY, TODAY), held("b", TODAY, TODAY, music_genre="Rock"), held("c", YESTERDAY, YESTERDAY),
                ],
                "labels": [{"track_id": "b", "music_genre": "Blues", "run_date": TODAY}],
            },
            [
                {"track_id": "a", "from_run_date": TODAY, "first_run_date": YESTERDAY, "known_genre": "Jazz"},
                {"track_id": "b", "from_run_date": TODAY, "first_run_date": TODAY, "known_genre": "Blues"},
            ],
        ),
    ],
    "withdrawn_tracks": [
        (
            "of this job, neither accepted nor quarantined",
            {
                "run": [RUN], "accepted": [{"track_id": "a"}], "quarantined": [{"track_id": "b"}, {"file": "a.csv"}],
                "standing_rows": [{"job": "nightly", "track_id": name} for name in "abc"] + [{"job": "weekly", "track_id": "d"}],
            },
            [{"track_id": "c"}],
        ),
    ],
    "settled_rows": [
        (
            "those that a newer row, or a snapshot, ended",
            {
                "run": [RUN], "as_of": [{"run_date": YESTERDAY}],
                "standing_rows": [held("a", LAST_WEEK, LAST_WEEK), held("a", YESTERDAY, TODAY), held("c", LAST_WEEK, LAST_WEEK, job="weekly")],
                "track_history": [
                    held("a", LAST_WEEK, LAST_WEEK), held("a", YESTERDAY, TODAY), held("b", LAST_WEEK, LAST_WEEK), held("c", LAST_WEEK, LAST_WEEK, job="weekly"),
                    held("d", TODAY, TODAY),
                ],
            },
            [{"track_id": "a", "from_run_date": LAST_WEEK}, {"track_id": "b", "from_run_date": LAST_WEEK}],
        ),
    ],
    "settled_labels": [
        (
            "where nothing newer tells one that stays",
            {
                "run": [RUN], "as_of": [{"run_date": YESTERDAY}],
                "settled_rows": [held(name, LAST_WEEK, LAST_WEEK, music_genre="Jazz") for name in "abce"] + [held("d", LAST_WEEK, LAST_WEEK)],
                "track_history": [held(name, LAST_WEEK, LAST_WEEK, music_genre="Jazz") for name in "abce"] + [
                    held("a", TODAY, TODAY), held("b", TODAY, TODAY, music_genre="Rock"), held("e", YESTERDAY, TODAY, music_genre="Rock"),
                ],
                "labels": [{"track_id": "c", "music_genre": "Blues", "run_date": TODAY}],
                "standing_deliveries": [{"job": "nightly", "run_date": LAST_WEEK, "run_id": "r"}],
            },
            [{"track_id": name, "music_genre": "Jazz", "run_date": LAST_WEEK, "run_id": "r"} for name in "ab"],
        ),
    ],
    "profiles": [
        (
            "one row an artist; none for those without",
            {"visible_tracks": [{"artist_key": "ann", "popularity": 10, "duration_ms": 1000}, {"artist_key": "ann", "popularity": 30}, {"popularity": 5}]},
            [{"artist_key": "ann", "tracks": 2, "duration_ms_count": 1, "tempo_count": 0, "duration_ms_median": 1000.0, "popularity_count": 2, "popularity_mean": 20.0, "popularity_variance": 100.0}],
        ),
        (
            "over known values: what is missing is no bound of a transform, and no mode",
            {"visible_tracks": [{"artist_key": "ann"}, {"artist_key": "ann", "energy": 0.5, "loudness": 5.0, "speechiness": 0.0001, "mode": "Minor"}, {"artist_key": "bob"}]},
            [
                {"artist_key": "ann", "tracks": 2, "energy_count": 1, "energy_mean": 0.0, "energy_variance": 0.0, "loudness_count": 1, "loudness_mean": 0.0, "speechiness_mean": -6.90776, "mode_count": 1, "mode_mean": 1.0, "acousticness_count": 0, "acousticness_mean": None},
                {"artist_key": "bob", "tracks": 1, "energy_count": 0, "energy_mean": None, "energy_variance": None, "loudness_count": 0, "loudness_mean": None, "speechiness_mean": None, "mode_count": 0, "mode_mean": None, "acousticness_count": 0, "acousticness_mean": None},
            ],
        ),
    ],
    "touched_artists": [
        (
            "of tracks that are new, replaced, or of which another row may be current",
            {
                "added_tracks": [{"track_id": "a", "artist_key": "ann"}, {"track_id": "x"}], "replaced_rows": [held("b", YESTERDAY, TODAY, artist_key="bob")],
                "affected_tracks": [{"track_id": "c"}], "track_history": [held("c", YESTERDAY, YESTERDAY, artist_key="cat"), held("d", YESTERDAY, YESTERDAY, artist_key="dan")],
            },
            [{"artist_key": name} for name in ("ann", "bob", "cat")],
        ),
    ],
    "former_profiles": [("all", {"artist_profiles": [{"artist_key": "ann"}]}, [{"artist_key": "ann"}])],
    "renewed_profiles": [
        (
            "what differs has a version that it never had",
            {
                "profiles": [{"artist_key": "ann", "tracks": 2}, {"artist_key": "bob", "tracks": 1}, {"artist_key": "cat", "tracks": 1}],
                "former_profiles": [{"artist_key": "ann", "tracks": 1, "version": 9}, {"artist_key": "bob", "tracks": 1, "version": 1}], "runs": RUNS,
            },
            [
                {"artist_key": "ann", "tracks": 2, "is_as_before": False, "version": 10}, {"artist_key": "bob", "is_as_before": True},
                {"artist_key": "cat", "is_as_before": False, "version": 4},
            ],
        ),
    ],
    "artist_positions": [
        (
            "each artist has one",
            {"profiles": [{"artist_key": "ann", "tracks": 2}, {"artist_key": "bob", "tracks": 1}]},
            [{"artist_position": 1, "artist_key": "ann", "tracks": 2}, {"artist_position": 2, "artist_key": "bob", "tracks": 1}],
        ),
    ],
    "scorable": [
        (
            "the artist's median, else the bundle's",
            {
                "accepted": [KNOWN | {"row_id": 1, "artist_key": "ann"}, KNOWN | {"row_id": 2, "tempo": 100.0}, KNOWN | {"row_id": 3, "artist_key": "ann", "duration_ms": 5.0, "tempo": 9.0}, {"row_id": 4, "duration_ms": 5.0}],
                "medians": [{"duration_ms": 7.0}], "artist_positions": [{"artist_position": 1, "artist_key": "ann", "tracks": 2, "duration_ms_median": 3.0}],
                "known_labels": [],
            },
            [
                {"row_id": 1, "artist_position": 1, "duration_ms": 3.0, "artist_tracks": 2, "imputed": ["duration_ms", "tempo"]},
                {"row_id": 2, "artist_position": 0, "duration_ms": 7.0, "artist_tracks": 0, "imputed": ["duration_ms"]},
                {"row_id": 3, "duration_ms": 5.0, "artist_tracks": 2, "imputed": []},
                {"row_id": 4, "duration_ms": 5.0, "artist_tracks": 0, "imputed": [*list(KNOWN)[:-1], "tempo", "valence"]},
            ],
        ),
        (
            "the label that is known, else the delivered one",
            {
                "accepted": [{"row_id": 1, "music_genre": "Anime"}, {"row_id": 2, "music_genre": "Rock"}, {"row_id": 3, "music_genre": "Rock"}, {"row_id": 4}],
                "medians": [{"duration_ms": 7.0}], "artist_positions": [],
                "known_labels": [{"row_id": 2, "music_genre": "Alternative"}, {"row_id": 3, "music_genre": None}],
            },
            [{"row_id": 1, "label": 1}, {"row_id": 2, "label": 0}, {"row_id": 3, "label": None}, {"row_id": 4, "label": None}],
        ),
    ],
    "known_labels": [
        (
            "of the tracks of which another row may be current, and of those that go on with a newer label",
            {
                "cleaned": [{"row_id": 1, "track_id": "a", "music_genre": "Jazz"}, {"row_id": 2, "track_id": "b"}, {"row_id": 3, "track_id": "c"}, {"row_id": 4, "track_id": "d"}],
                "affected_tracks": [{"track_id": "a"}, {"track_id": "d"}, {"track_id": "e"}], "known_rows": [{"row_id": 5, "history_row": 1}],
                "track_history": [held("a", TODAY, TODAY), held("e", TODAY, TODAY)],
                "tracks": [{"track_id": "a", "music_genre": "Rap"}, {"track_id": "b", "music_genre": "Rock"}, {"track_id": "e", "music_genre": "Anime"}],
                "same_rows": [
                    {"row_id": 2, "track_id": "b", "stays_current": True, "known_genre": "Rock"},
                    {"row_id": 3, "track_id": "c", "stays_current": True, "music_genre": "Rap", "known_genre": "Rap"},
                    {"row_id": 1, "track_id": "a", "stays_current": True, "known_genre": "Blues"},
                ],
            },
            [{"row_id": 1, "music_genre": "Rap"}, {"row_id": 2, "music_genre": "Rock"}, {"row_id": 4, "music_genre": None}, {"row_id": 5, "music_genre": "Anime"}],
        ),
    ],
    "recognisable_rows": [
        (
            "those of the job's date before",
            {
                "run": [RUN], "delivery_dates": [{"before_date": YESTERDAY}],
                "track_history": [
                    held("a", LAST_WEEK, TODAY, received_hash=5), held("b", LAST_WEEK, LAST_WEEK, received_hash=6), held("c", YESTERDAY, YESTERDAY),
                    held("d", YESTERDAY, YESTERDAY, received_hash=7, job="weekly"), held("e", TODAY, TODAY, received_hash=8),
                ],
            },
            [{"history_row": 0, "received_hash": 5}],
        ),
    ],
    "continued_predictions": [
        (
            "the same row, on the date before too, of an artist as it was",
            {
                "run": [RUN], "delivery_dates": [{"before_date": YESTERDAY}],
                "scorable": [{"row_id": n, "artist_position": 1, "profile_version": 3, "label": 1} for n in (1, 2, 3)] + [{"row_id": n, "artist_position": 0} for n in (4, 5, 6)] + [{"row_id": 7, "artist_position": 2}],
                "same_rows": [
                    {"row_id": 1, "track_id": "a", "from_run_date": YESTERDAY}, {"row_id": 2, "track_id": "b", "from_run_date": YESTERDAY},
                    {"row_id": 3, "track_id": "c", "from_run_date": TODAY}, {"row_id": 4, "track_id": "d", "from_run_date": YESTERDAY},
                    {"row_id": 5, "track_id": "e", "from_run_date": YESTERDAY}, {"row_id": 7, "track_id": "g", "from_run_date": YESTERDAY},
                ],
                "prediction_history": [
                    predicted("a", YESTERDAY, YESTERDAY, profile_version=3), predicted("b", YESTERDAY, YESTERDAY, profile_version=2),
                    predicted("c", YESTERDAY, YESTERDAY, profile_version=3), predicted("d", LAST_WEEK, YESTERDAY),
                    predicted("e", LAST_WEEK, LAST_WEEK), predicted("f", YESTERDAY, YESTERDAY), predicted("d", YESTERDAY, YESTERDAY, job="weekly"),
                    predicted("g", YESTERDAY, YESTERDAY),
                ],
            },
            [{"row_id": 1, "label": 1, "history_row": 0}, {"row_id": 4, "label": None, "history_row": 3}],
        ),
    ],
    "scored": [("those that do not continue", {"scorable": [{"row_id": 1}, {"row_id": 2}], "continued_predictions": [{"row_id": 1}]}, [{"row_id": 2}])],
    "delivered": [
        (
            "cleaned or known, of those that are scored",
            {
                "scored": [{"row_id": 2}, {"row_id": 3}], "cleaned": [{"row_id": 1, "track_id": "a"}, {"row_id": 2, "track_id": "b"}],
                "known_rows": [{"row_id": 3, "history_row": 0}, {"row_id": 4, "history_row": 1}],
                "track_history": [held("c", TODAY, TODAY, energy=0.5), held("d", TODAY, TODAY)],
            },
            [{"row_id": 2, "track_id": "b", "energy": None}, {"row_id": 3, "track_id": "c", "energy": 0.5}],
        ),
    ],
    "contextual": [
        (
            "zeros where nothing is known",
            {"scorable": [{"row_id": 1, "artist_position": 7}, {"row_id": 2, "artist_position": 0}], "artist_positions": [{"artist_position": 7, "artist_key": "ann", "energy_count": 4, "energy_mean": 0.5}]},
            [{"row_id": 1, "artist_key": "ann", "energy_count": 4, "energy_mean": 0.5, "energy_variance": 0.0}, {"row_id": 2, "energy_count": 0, "energy_mean": 0.0}],
        ),
    ],
    "recent_dates": [
        ("of this job, before this date, published", {"run": [RUN], "runs": RUNS}, [{"run_date": date(2026, 11, 20)}, {"run_date": YESTERDAY}]),
        (
            "at most seven",
            {"run": [RUN], "runs": [{"run_date": date(2026, 10, day), "job": "nightly", "status": "published", "action": "score"} for day in range(1, 10)]},
            [{"run_date": date(2026, 10, day)} for day in range(3, 10)],
        ),
    ],
    "recent_deliveries": [
        (
            "the last run of each date",
            {"run": [RUN], "runs": [*RUNS, RUNS[1] | {"run_id": "r1b", "received": 30, "finished_at": datetime(2026, 11, 21, 9)}]},
            [{"run_date": date(2026, 11, 20), "received": 10}, {"run_date": YESTERDAY, "received": 30}],
        ),
    ],
    "recent_drift": [
        (
            "against the bundle, of published runs of the job",
            {"run": [RUN], "runs": RUNS, "drift": [
                {"run_id": "r1", "run_date": YESTERDAY, "subject": "energy", "against": "bundle", "shares": [0.5, 0.5]},
                {"run_id": "r1", "run_date": YESTERDAY, "subject": "energy", "against": "recent runs"},
                {"run_id": "x1", "run_date": YESTERDAY, "subject": "energy", "against": "bundle"},
            ]},
            [{"run_date": YESTERDAY, "subject": "energy", "shares": [0.5, 0.5]}],
        ),
    ],
    "earlier_runs": [("of the same job and date", {"run": [RUN], "runs": RUNS}, [{"run_id": "f2", "status": "refused", "action": "score"}])],
    "earlier_predictions": [
        (
            "the newest one on a recent date",
            {
                "run": [RUN], "recent_dates": [{"run_date": date(2026, 11, 20)}, {"run_date": YESTERDAY}],
                "runs": [RUNS[0], RUNS[1] | {"model": "m", "model_version": "2", "model_sha256": "abc"}],
                "prediction_history": [
                    predicted("a", LAST_WEEK, date(2026, 11, 20), genre="Jazz"), predicted("a", YESTERDAY, YESTERDAY, genre="Rock"),
                    predicted("a", date(2026, 1, 1), date(2026, 1, 1), genre="Anime"), predicted("b", YESTERDAY, YESTERDAY), predicted("c", YESTERDAY, YESTERDAY),
                    predicted("a", TODAY, TODAY, genre="Rap"), predicted("a", LATER, LATER, genre="Blues"),
                ],
            },
            [{"track_id": "a", "date_before": YESTERDAY, "genre_before": "Rock", "model_before": "m 2", "model_sha256_before": "abc"}],
        ),
    ],
    "run_predictions": [
        (
            "all of the date that a run scored or continued",
            {"run": [RUN], "prediction_history": [predicted("a", TODAY, TODAY), predicted("b", LAST_WEEK, TODAY, replay_id="p"), predicted("c", YESTERDAY, YESTERDAY), predicted("d", TODAY, TODAY, job="weekly")]},
            [{"track_id": "a", "run_date": TODAY}, {"track_id": "b", "run_date": TODAY}],
        ),
        (
            "of a replay, its own",
            {"run": [RUN | {"action": "replay"}], "prediction_history": [predicted("a", TODAY, TODAY), predicted("b", TODAY, TODAY, replay_id="r2")]},
            [{"track_id": "b"}],
        ),
    ],
    "run_flips": [("of this run", {"run": [RUN], "flips": [{"run_id": "r2", "track_id": "a"}, {"run_id": "r1", "track_id": "b"}]}, [{"track_id": "a"}])],
    "run_drift": [("of this run", {"run": [RUN], "drift": [{"run_id": "r2", "subject": "a"}, {"run_id": "r1", "subject": "b"}]}, [{"subject": "a"}])],
    "flipped": [
        (
            "scored on this date, and another genre than before",
            {
                "run": [RUN],
                "prediction_history": [
                    predicted("a", TODAY, TODAY, genre="Rock"), predicted("b", TODAY, TODAY, genre="Jazz"), predicted("c", TODAY, TODAY, genre="Jazz"),
                    predicted("a", YESTERDAY, YESTERDAY, genre="Jazz"), predicted("a", TODAY, TODAY, job="weekly", genre="Rap"),
                ],
                "earlier_predictions": [{"track_id": "a", "genre_before": "Jazz"}, {"track_id": "b", "genre_before": "Jazz"}],
            },
            [{"track_id": "a", "genre": "Rock", "genre_before": "Jazz"}],
        ),
    ],
    "rescorable": [
        (
            "the wanted tracks, with their own duration beside the imputed one",
            {
                "wanted": [{"track_id": "a"}], "accepted": [{"row_id": 1, "track_id": "a"}, {"row_id": 2, "track_id": "b"}],
                "contextual": [{"row_id": 1, "duration_ms": 3.0}, {"row_id": 2}],
            },
            [{"track_id": "a", "own_duration_ms": None, "duration_ms": 3.0}],
        ),
    ],
}  # fmt: skip


def test_every_step_has_cases() -> None:
    assert set(CASES) == set(registry())


@pytest.mark.parametrize(
    ("step", "given", "expected"),
    [
        pytest.param(step, given, expected, id=f"{step}: {title}")
        for step, cases in CASES.items()
        for title, given, expected in cases
    ],
)
def test_a_step(
    database: Database, step: str, given: dict[str, list[dict[str, Any]]], expected: list[dict[str, Any]]
) -> None:
    relations(database, given).make(step)
    found = database.dicts(f"FROM {step} ORDER BY ALL")
    columns = list(dict.fromkeys(name for row in expected for name in row))
    kept = [{name: _rounded(row[name]) for name in columns} for row in found]
    wanted = [
        {name: row.get(name, kept[i][name] if i < len(kept) else None) for name in columns}
        for i, row in enumerate(expected)
    ]
    assert kept == wanted


def _rounded(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value


@pytest.mark.parametrize("sql", ["SELECT count(* FROM t", "DROP TABLE t", "\ufffdQ"])
def test_a_query_that_is_no_select_is_a_fault_of_what_was_set_up(sql: str) -> None:
    with schema.open_memory(PLAN) as database, pytest.raises(ConfigurationError):
        referenced_tables(database, sql)
