"""Cleaning and imputation, by the rows that come out: of one night, and of several."""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrepipe.engines import prepare
from genrepipe.ingest import landing, sources
from genrepipe.warehouse import ledger, schema
from genrepipe.warehouse.steps import Steps
from tests.support import PLAN, run_of, track, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from genrepipe.warehouse.ledger import RowCounts

GLOBAL_MEDIAN = 200_000.0
ANY = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.fixture(scope="module")
def memory() -> Iterator[Steps]:
    with schema.open_memory(PLAN) as database:
        yield Steps(database)


@pytest.fixture
def steps(memory: Steps) -> Steps:
    """A warehouse in memory without rows."""
    empty(memory)
    return memory


def empty(steps: Steps) -> None:
    forget(steps)
    for table in ("track_history", "runs", "artist_profiles"):
        steps.database.execute(f"DELETE FROM {table}")


def forget(steps: Steps) -> None:
    """Release what was bound for one night."""
    steps.release("run", "parts", "unparsed", "known_rows", "landed", "medians", "visible_tracks", "profiles")


def take(steps: Steps, path: Path, rows: list[dict[str, str]], day: str) -> RowCounts:
    """Take the rows of a night into the catalogue, and make them scorable."""
    forget(steps)
    steps.bind_row("run", **run_of(day).relation())
    counts = landing.land(steps, sources.resolve([str(write_csv(path / "t.csv", rows))])).counts
    prepare.update_catalogue(steps)
    ledger.append(steps.database, ledger.line(run_of(day), "published"))
    assert prepare.make_scorable(steps, GLOBAL_MEDIAN) == counts.accepted
    return counts


def walk(
    steps: Steps, path: Path, *nights: list[dict[str, str]]
) -> tuple[RowCounts, list[dict[str, Any]], list[dict[str, Any]]]:
    """Take nights of rows into the catalogue; return the counts of the last one, what is scorable, and the catalogue."""
    for number, rows in enumerate(nights):
        counts = take(steps, path, rows, f"2026-11-{20 + number}")
    scorable = pl.concat(prepare.batches(steps, 3)).to_dicts()
    return counts, scorable, steps.database.dicts("FROM tracks ORDER BY track_id")


@pytest.mark.parametrize(
    ("cell", "track_id"),
    [
        ("32894.0", "32894"),
        ("32894", "32894"),
        (" 7.0 ", "7"),
        ("v1.0", "v1.0"),
        ("7.5", "7.5"),
        ("spotify:1", "spotify:1"),
        ("0012.0", "0012"),
    ],
)
def test_track_ids_are_text_without_a_trailing_zero(steps: Steps, tmp_path: Path, cell: str, track_id: str) -> None:
    assert walk(steps, tmp_path, [track(instance_id=cell)])[1][0]["track_id"] == track_id


def test_sentinels_become_null_and_are_imputed_and_recorded(steps: Steps, tmp_path: Path) -> None:
    rows = [
        track(1, duration_ms="100000", tempo="120"),
        track(2, duration_ms="-1"),
        track(3, duration_ms="300000", tempo="?"),
        track(4, duration_ms="-1.0", tempo="0", artist_name="empty_field"),
        track(5, duration_ms="", artist_name="RÖYKSOPP"),
        track(6, duration_ms="-1", artist_name="Someone new"),
    ]
    counts, scorable, kept = walk(steps, tmp_path, rows)
    assert counts.accepted == 6
    assert [row["duration_ms"] for row in scorable] == [
        100_000,
        200_000,
        300_000,
        GLOBAL_MEDIAN,
        200_000,
        GLOBAL_MEDIAN,
    ]
    assert [row["imputed"] for row in scorable] == [
        [],
        ["duration_ms"],
        ["tempo"],
        ["duration_ms", "tempo"],
        ["duration_ms"],
        ["duration_ms"],
    ]
    assert [row["tempo"] is None for row in scorable] == [False, False, True, True, False, False]
    assert [row["artist_tracks"] for row in scorable] == [4, 4, 4, 0, 4, 1]
    assert scorable[3]["artist_name"] is None
    assert [row["duration_ms"] for row in kept] == [100_000, None, 300_000, None, None, None]
    assert kept[4]["artist_name"] == "RÖYKSOPP"


def test_the_artist_median_knows_the_catalogue(steps: Steps, tmp_path: Path) -> None:
    first = [track(i, duration_ms=str(ms)) for i, ms in enumerate((100_000, 120_000, 500_000), 1)]
    _, scorable, kept = walk(steps, tmp_path, first, [track(9, duration_ms="-1")])
    assert scorable[0]["duration_ms"] == 120_000
    assert scorable[0]["artist_tracks"] == 4
    assert len(kept) == 4


def test_a_track_that_comes_again_replaces_itself(steps: Steps, tmp_path: Path) -> None:
    _, _, kept = walk(steps, tmp_path, [track(1, energy="0.1"), track(2)], [track(1, energy="0.9")])
    assert [row["track_id"] for row in kept] == ["1", "2"]
    assert kept[0]["energy"] == pytest.approx(0.9)
    assert [(row["first_run_date"], row["last_run_date"]) for row in kept] == [
        (date(2026, 11, 20), date(2026, 11, 21)),
        (date(2026, 11, 20), date(2026, 11, 20)),
    ]


def test_duplicates_are_counted_and_contradictions_quarantined(steps: Steps, tmp_path: Path) -> None:
    rows = [
        track(1),
        track(2, energy="0.1"),
        track(1),
        track(2, energy="0.2"),
        track(2, energy="0.1"),
        track(1, instance_id="1"),
        track(3),
        track(3, energy="7"),
    ]
    counts, scorable, _ = walk(steps, tmp_path, rows)
    assert (counts.received, counts.duplicates, counts.quarantined, counts.accepted) == (8, 3, 2, 3)
    # the last good row of each stands, in source order
    assert [(row["row_id"], row["track_id"]) for row in scorable] == [(5, "2"), (6, "1"), (7, "3")]
    assert scorable[0]["energy"] == pytest.approx(0.1)


def test_wholly_empty_rows_are_counted(steps: Steps, tmp_path: Path) -> None:
    empty = dict.fromkeys(track(), "")
    counts, scorable, _ = walk(steps, tmp_path, [empty, track(1), {**empty, "mode": "  "}])
    assert (counts.received, counts.empty, counts.accepted, len(scorable)) == (3, 2, 1, 1)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("  Massive   Attack ", "Massive Attack"),
        ("Massive\tAttack", "Massive Attack"),
        ("Massive\u00a0Attack", "Massive Attack"),
        ("Massive\u2003\u2003Attack\u3000", "Massive Attack"),
        ("Beyonce\u0301", "Beyonc\u00e9"),
        ("   ", None),
        ("東京", "東京"),
        ("Robert'); DROP TABLE tracks;--", "Robert'); DROP TABLE tracks;--"),
    ],
)
def test_names_are_tidied_for_display(steps: Steps, tmp_path: Path, cell: str, shown: str | None) -> None:
    row = walk(steps, tmp_path, [track(artist_name=cell, track_name=cell)])[1][0]
    assert (row["artist_name"], row["track_name"]) == (shown, shown)


@settings(max_examples=20, **ANY)  # type: ignore[arg-type]
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
        min_size=1,
        max_size=30,
    )
)
def test_tidied_names_are_stable(steps: Steps, tmp_path: Path, names: list[str]) -> None:
    """Tidying is NFC, has no doubled white space, and changes nothing when done twice."""
    empty(steps)
    once = [
        row["track_name"]
        for row in walk(steps, tmp_path, [track(i, track_name=name) for i, name in enumerate(names)])[1]
    ]
    assert all(
        name is None or (unicodedata.is_normalized("NFC", name) and "  " not in name and name.strip(" ") == name)
        for name in once
    )
    empty(steps)
    again = walk(steps, tmp_path, [track(i, track_name=name or "") for i, name in enumerate(once)])[1]
    assert [row["track_name"] for row in again] == once


FEW = st.sampled_from(["", "?", "-1", "0.5", "0.6", "9", "x", "Rock", "A", "Major", "1", "2"])


@settings(max_examples=40, **ANY)  # type: ignore[arg-type]
@given(st.lists(st.dictionaries(st.sampled_from(sorted(track())), FEW, max_size=18), min_size=1, max_size=20))
def test_nothing_is_lost_whatever_comes(steps: Steps, tmp_path: Path, changes: list[dict[str, str]]) -> None:
    rows = [track(i % 5, **change) for i, change in enumerate(changes)]
    empty(steps)
    counts, database = take(steps, tmp_path, rows, "2026-11-22"), steps.database
    steps.make("quarantined")
    assert database.value("SELECT count(*) FROM quarantined") == counts.quarantined
    assert database.value("SELECT count(*) FROM quarantined WHERE len(reasons) = 0 OR received IS NULL") == 0
    assert sum(len(batch) for batch in prepare.batches(steps, 3)) == counts.accepted
    assert counts.received == len(rows) == counts.accepted + counts.quarantined + counts.duplicates + counts.empty


NAMES = st.text(st.sampled_from("aZ0'[],;-~? \t\n\x7f\x85\u200b\ufeff\u00e9\u0301\ufb01"), max_size=8)
MARKED = st.sampled_from(["nan", " NA ", "empty_field", "['A', \"B\"]", "['nan']", "a  b", " a", "a "])


@settings(max_examples=60, **ANY)  # type: ignore[arg-type]
@given(st.lists(NAMES | st.text(max_size=12) | MARKED, min_size=1, max_size=40))
def test_a_plain_name_is_what_tidying_would_make_of_it(steps: Steps, names: list[str]) -> None:
    """What tells plain names apart may only spare work."""
    frame = pl.DataFrame({"name": [name.replace("\0", "") for name in names]})
    rows = steps.database._connection.from_arrow(frame).query(
        "given", "SELECT name, title_of(name), CASE WHEN NOT is_missing(name) THEN tidy(shown(name)) END FROM given"
    )
    for name, title, slowly in rows.fetchall():
        assert title == slowly, repr(name)


@pytest.mark.parametrize(("one", "other"), [("Beyoncé", "BEYONCÉ"), ("Die STRASSE", "die straße"), ("ΣΑΣ", "σας")])
def test_artists_are_joined_without_regard_to_case(steps: Steps, tmp_path: Path, one: str, other: str) -> None:
    assert [
        row["artist_tracks"]
        for row in walk(steps, tmp_path, [track(1, artist_name=one), track(2, artist_name=other)])[1]
    ] == [2, 2]


def test_an_older_date_does_not_overwrite_newer_tracks(steps: Steps, tmp_path: Path) -> None:
    for day, title in (("2026-02-02", "New title"), ("2026-02-01", "Old title")):
        take(steps, tmp_path, [track(1, track_name=title)], day)
        (scorable,) = pl.concat(prepare.batches(steps, 10)).to_dicts()
        assert scorable["track_name"] == title  # what a date's source said is what that date's run scores
    assert steps.database.rows("SELECT track_name, first_run_date, last_run_date FROM tracks") == [
        ("New title", date(2026, 2, 1), date(2026, 2, 2))
    ]
