"""Row rules: each one bites, alone, and both engines agree on every row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrepipe import contracts
from genrepipe.contracts import rules_of, schemas
from genrepipe.core.errors import TooManyRejected
from genrepipe.ingest import landing, sources
from genrepipe.quality import checks
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps
from tests.support import PLAN, landed, run_of, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = contracts.load("source_tracks").table

# One mutant for each rule of the input contract: the cell that breaks it, and nothing else.
MUTANTS = {
    **{
        f"{name}.{kind}": {name: cell}
        for name in (
            "popularity",
            "acousticness",
            "danceability",
            "energy",
            "instrumentalness",
            "liveness",
            "loudness",
            "speechiness",
            "valence",
        )
        for kind, cell in (("readable", "loud"), ("minimum", "-80.5"), ("maximum", "100.5"))
    },
    "duration_ms.readable": {"duration_ms": "four minutes"},
    "duration_ms.minimum": {"duration_ms": "0"},
    "duration_ms.maximum": {"duration_ms": "86400001000"},
    "tempo.readable": {"tempo": "allegro"},
    "tempo.minimum": {"tempo": "0.5"},
    "tempo.maximum": {"tempo": "401"},
    "instance_id.required": {"instance_id": ""},
    "instance_id.maxLength": {"instance_id": "x" * 201},
    "artist_name.maxLength": {"artist_name": "x" * 1001},
    "track_name.maxLength": {"track_name": "x" * 2001},
    "key.oneOf": {"key": "H"},
    "mode.oneOf": {"mode": "Dorian"},
    "instance_id.exact": {"instance_id": "7.67681E+15"},
    "quarantine_id.maxLength": {"quarantine_id": "x" * 65},
}


def judge(path: Path) -> list[tuple[list[str] | None, str | None]]:
    """Return (broken rules, received text) of each landed row."""
    with landed(path) as (steps, _):
        return steps.database.rows("SELECT broken_rules, received FROM landed ORDER BY row_id")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[list[str] | None, str | None]]]:
    """Each mutant between two good rows, as they are judged."""
    rows = [
        {"quarantine_id": "", **row}
        for number, change in enumerate(MUTANTS.values())
        for row in (track(3 * number), track(3 * number + 1, **change), track(3 * number + 2))
    ]
    found = judge(write_csv(tmp_path_factory.mktemp("mutants") / "t.csv", rows))
    assert len(found) == len(rows)
    return {name: found[3 * number : 3 * number + 3] for number, name in enumerate(MUTANTS)}


def test_every_rule_has_a_mutant() -> None:
    assert set(MUTANTS) == {rule.name for column in SOURCE.properties for rule in rules_of(column)}


@pytest.mark.parametrize("name", MUTANTS)
def test_one_mutant_row_for_each_rule_is_caught_by_it(
    judged: dict[str, list[tuple[list[str] | None, str | None]]], name: str
) -> None:
    (before, _), (broken, received), (after, _) = judged[name]
    assert before is after is None
    assert [reason.split(":")[0] for reason in broken or []] == [name]
    column, cell = next(iter(MUTANTS[name].items()))
    assert json.loads(received or "")[column] == (cell or None)


def test_a_row_has_every_reason(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [track(1, energy="2", mode="Dorian", key="H", tempo="fast")])
    ((broken, _),) = judge(path)
    assert {reason.split(":")[0] for reason in broken or []} == {
        "energy.maximum",
        "mode.oneOf",
        "key.oneOf",
        "tempo.readable",
    }


AUDIO = contracts.load("features").named("audio_features").columns


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    missing=st.lists(st.sets(st.sampled_from(AUDIO)), min_size=1, max_size=20), cell=st.sampled_from(["", "?", "NaN"])
)
def test_a_row_may_lack_six_features_and_no_more(
    tmp_path: Path, steps: Steps, missing: list[set[str]], cell: str
) -> None:
    path = write_csv(tmp_path / "t.csv", [track(i, **dict.fromkeys(names, cell)) for i, names in enumerate(missing, 1)])
    steps.release("landed", "parts", "unparsed", "known_rows")
    landing.land(steps, sources.resolve([str(path)]))
    found = [reasons for (reasons,) in steps.database.rows("SELECT broken_rules FROM landed ORDER BY row_id")]
    reason = ["row.features: more than 6 of the 13 audio features are missing"]
    assert found == [reason if len(names) > 6 else None for names in missing]


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999"])
def test_what_is_not_finite_is_not_a_number(tmp_path: Path, cell: str) -> None:
    path = write_csv(tmp_path / "t.csv", [track(1, energy=cell), track(2, tempo=cell), track(3)])
    first, second, good = (broken for broken, _ in judge(path))
    assert first == ["energy.readable: must be a finite number"]
    assert second == ["tempo.readable: must be a finite number"]
    assert good is None


@pytest.fixture(scope="module")
def steps() -> Iterator[Steps]:
    """A run in memory, into which one source after the other is landed."""
    with schema.open_memory(PLAN) as database:
        found = Steps(database)
        found.bind_row("run", **run_of().relation())
        yield found


WORDS = ("", "?", "-1", "-1.0", " ", "0", "1", "0.5", "100", "-60", "x", "nan", "inf", "-0.0", "1e-8", "A", "Major")
cells = st.one_of(
    st.sampled_from([*WORDS, "Rock"]), st.floats(-200, 500, width=32).map(repr), st.integers(-5, 10**9).map(str)
)
RULED = (
    "popularity",
    "acousticness",
    "duration_ms",
    "energy",
    "key",
    "loudness",
    "mode",
    "tempo",
    "valence",
    "music_genre",
)
# What cannot be read is NULL once it is typed, and pandera sees one column at a time.
UNSEEN = {*(f"{name}.readable" for name in RULED), "key.oneOf", "mode.oneOf", "music_genre.oneOf", "row.features"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.dictionaries(st.sampled_from(RULED), cells, max_size=4), min_size=1, max_size=40))
def test_pandera_agrees_with_sql_on_every_row(tmp_path: Path, steps: Steps, changes: list[dict[str, str]]) -> None:
    """A row that SQL lets through passes pandera; one that SQL rejects for its values fails pandera."""
    path = write_csv(tmp_path / "t.csv", [track(i, **change) for i, change in enumerate(changes, 1)])
    columns = [c for c in contracts.load("tracks").table.columns if c not in {"first_run_date", "last_run_date"}]
    steps.release("landed", "parts", "unparsed", "known_rows")
    landing.land(steps, sources.resolve([str(path)]))
    rows = steps.database.frame("FROM landed ORDER BY row_id")
    typed = rows.select(columns).with_columns(
        pl.col("key").cast(pl.Enum(contracts.load("tracks").table.column("key").valid_values), strict=False),  # type: ignore[arg-type]
        pl.col("mode").cast(pl.Enum(["Major", "Minor"]), strict=False),
        pl.col("music_genre").cast(pl.Enum(contracts.genres()), strict=False),
    )
    broken = {i for i, reasons in enumerate(rows["broken_rules"]) if reasons is not None}
    unseen = {i for i in broken if {r.split(":")[0] for r in rows["broken_rules"][i]} <= UNSEEN}
    failing = schemas.failing_rows("tracks", typed, tuple(columns))
    assert broken - unseen <= failing <= broken


@pytest.mark.parametrize("column", ["artist_name", "duration_ms", "tempo"])
def test_the_sentinels_that_the_contract_lists_are_the_ones_that_sql_knows(tmp_path: Path, column: str) -> None:
    listed = sorted(SOURCE.column(column).missing_values)
    assert listed
    path = write_csv(tmp_path / "t.csv", [track(i, **{column: str(text)}) for i, text in enumerate(listed)])
    with landed(path) as (steps, _):
        assert steps.database.rows(f"SELECT {column}, broken_rules FROM landed") == [(None, None)] * len(listed)


def test_the_limit_of_the_breaker_is_the_contracts(tmp_path: Path) -> None:
    limit = int(SOURCE.checks["quarantined_percent"].limit)
    rows = [track(i, energy="7") if i < limit else track(i) for i in range(100)]
    with landed(write_csv(tmp_path / "a.csv", rows)) as (steps, at_limit):
        checks.refuse_rejected(steps, at_limit.counts, "a", {})
        with pytest.raises(TooManyRejected, match=r"5 of 100 rows \(5.0 %\) break the contract, the limit is 4 %"):
            checks.refuse_rejected(steps, at_limit.counts, "a", {"quarantined_percent": 4})
    rows[50] = track(50, energy="7")
    said = r"^b: 6 of 100 rows \(6.0 %\) break the contract.*energy.maximum: must be at most 1 \(6 rows\)"
    with (
        landed(write_csv(tmp_path / "b.csv", rows)) as (steps, above),
        pytest.raises(TooManyRejected, match=said),
    ):
        checks.refuse_rejected(steps, above.counts, "b", {})


def test_wholly_empty_rows_are_no_reason_to_stop(tmp_path: Path) -> None:
    """The share is that of the rows that hold anything."""
    empty = dict.fromkeys(track(), "")
    with landed(write_csv(tmp_path / "t.csv", [*tracks(19), track(20, energy="7"), *[empty] * 30])) as (_, found):
        assert found.counts.quarantined_percent == 5
