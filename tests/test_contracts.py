"""Contracts: every rule bites, both engines agree, and the warehouse says what the documents say."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING

import jsonschema
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrepipe import contracts
from genrepipe.contracts import schemas as checks
from genrepipe.core import assets, resources
from genrepipe.core.errors import ConfigurationError, OutputBroken
from genrepipe.ingest import landing, sources
from genrepipe.pipeline import prepare as catalogue
from genrepipe.warehouse import schema as warehouse
from tests.conftest import ROOT, ask, track, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = sorted(assets.shipped("contracts").glob("*.odcs.yaml"))
INPUT_RULES = contracts.load("source_tracks").table.rules

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
        for kind, cell in (("readable", "loud"), ("required", ""), ("minimum", "-80.5"), ("maximum", "100.5"))
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
    "key.required": {"key": ""},
    "key.oneOf": {"key": "H"},
    "mode.required": {"mode": " "},
    "mode.oneOf": {"mode": "Dorian"},
    "music_genre.oneOf": {"music_genre": "Polka"},
    "quarantine_id.maxLength": {"quarantine_id": "x" * 65},
}


def judge(path: Path) -> list[tuple[list[str] | None, str | None]]:
    """Return (broken rules, received text) of each landed row."""
    with warehouse.open_memory(resources.plan()) as database:
        landing.land(database, sources.resolve([str(path)]))
        return database.rows("SELECT broken_rules, received FROM landed ORDER BY rowid")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_pass_the_standards_own_schema(path: Path) -> None:
    schema = json.loads((ROOT / "tests/data/odcs-3.1.0.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft201909Validator(schema).validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    contract = contracts.read(path)
    assert re.fullmatch(r"\d+\.\d+\.\d+", contract.version)
    assert all(column.description for table in contract.tables for column in table.properties)


@pytest.mark.parametrize("change", [{"minimun": 0}, {"minimum": "low"}])
def test_an_unknown_key_or_value_is_an_error(tmp_path: Path, change: dict[str, object]) -> None:
    document = yaml.safe_load(DOCUMENTS[0].read_text(encoding="utf-8"))
    document["schema"][0]["properties"][0]["logicalTypeOptions"] = change
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=str(path)):
        contracts.read(path)


def test_every_rule_has_a_mutant() -> None:
    assert set(MUTANTS) == {rule.name for rule in INPUT_RULES}


@pytest.mark.parametrize("name", MUTANTS)
def test_one_mutant_row_for_each_rule_is_caught_by_it(tmp_path: Path, name: str) -> None:
    column = dict.fromkeys(MUTANTS[name], "") if name.startswith("quarantine_id") else {}
    rows = [track(1, **column), track(2, **MUTANTS[name]), track(3, **column)]
    path = write_csv(tmp_path / "t.csv", rows)
    (before, _), (broken, received), (after, _) = judge(path)
    assert before is after is None
    assert [reason.split(":")[0] for reason in broken or []] == [name]
    column, cell = next(iter(MUTANTS[name].items()))
    assert json.loads(received or "")[column] == (cell or None)


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-inf", "1e999"])
def test_what_is_not_finite_is_not_a_number(tmp_path: Path, cell: str) -> None:
    path = write_csv(tmp_path / "t.csv", [track(1, energy=cell), track(2, tempo=cell), track(3)])
    first, second, good = (broken for broken, _ in judge(path))
    assert first == ["energy.readable: must be a finite number"]
    assert second == ["tempo.readable: must be a finite number"]
    assert good is None


cells = st.one_of(
    st.sampled_from(
        [
            "",
            "?",
            "-1",
            "-1.0",
            " ",
            "0",
            "1",
            "0.5",
            "100",
            "-60",
            "x",
            "nan",
            "inf",
            "-0.0",
            "1e-8",
            "A",
            "Major",
            "Rock",
        ]
    ),
    st.floats(-200, 500, width=32).map(repr),
    st.integers(-5, 10**9).map(str),
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.dictionaries(st.sampled_from(RULED), cells, max_size=4), min_size=1, max_size=12))
def test_pandera_agrees_with_sql_on_every_row(tmp_path: Path, changes: list[dict[str, str]]) -> None:
    """A row that SQL lets through passes pandera; one that SQL rejects for its values fails pandera."""
    path = write_csv(tmp_path / "t.csv", [track(i, **change) for i, change in enumerate(changes, 1)])
    columns = [c for c in contracts.load("tracks").table.columns if c not in {"first_run_date", "last_run_date"}]
    with warehouse.open_memory(resources.plan()) as database:
        landing.land(database, sources.resolve([str(path)]))
        landed = database.frame("SELECT * FROM landed ORDER BY rowid")
    typed = landed.select(columns).with_columns(
        pl.col("key").cast(pl.Enum(contracts.load("tracks").table.column("key").valid_values), strict=False),  # type: ignore[arg-type]
        pl.col("mode").cast(pl.Enum(["Major", "Minor"]), strict=False),
        pl.col("music_genre").cast(pl.Enum(contracts.genres()), strict=False),
    )
    broken = {i for i, reasons in enumerate(landed["broken_rules"]) if reasons is not None}
    # What cannot be read is NULL once typed; pandera sees that only where a value is required.
    unseen = {
        i
        for i in broken
        if all(
            r.split(":")[0] in {"tempo.readable", "duration_ms.readable", "music_genre.oneOf"}
            for r in landed["broken_rules"][i]
        )
    }
    failing = checks.failing_rows("tracks", typed, tuple(columns))
    assert broken - unseen <= failing <= broken


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy": 1.5}, "energy less_than_or_equal_to"),
        ({"energy": None}, "energy not_nullable"),
        ({"key": 12.0}, "key less_than_or_equal_to"),
        ({"loudness": -81.0}, "loudness greater_than_or_equal_to"),
    ],
)
def test_the_proof_of_a_batch_can_fail(change: dict[str, float | None], said: str) -> None:
    good = dict.fromkeys(contracts.load("features").table.columns, 1.0)
    frame = pl.DataFrame([good, {**good, **change}], schema=dict.fromkeys(good, pl.Float32))
    checks.prove("features", frame[:1])
    with pytest.raises(OutputBroken, match=said):
        checks.prove("features", frame)


AUDIO = contracts.load("features").table.columns
maybe = st.one_of(st.floats(-1, 2, width=32), st.sampled_from([None, float("nan"), 0.5, 1.0]))


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(st.lists(st.lists(maybe, min_size=13, max_size=13), max_size=4), min_size=1, max_size=3),
    good=st.booleans(),
)
def test_witnesses_fail_exactly_where_a_row_does(batches: list[list[list[float | None]]], good: bool) -> None:
    frames = [
        pl.DataFrame(
            [[0.5] * 13 for _ in rows] if good else rows, schema=dict.fromkeys(AUDIO, pl.Float32), orient="row"
        )
        for rows in batches
    ]
    proof = checks.Proof()
    for frame in frames:
        proof.add("features", "audio_features", frame)
    failing = [checks.failing_rows("features", frame) for frame in frames]
    try:
        proof.hold()
    except OutputBroken:
        assert any(failing)
    else:
        assert not any(failing)


def test_comments_and_columns_of_the_warehouse_are_the_contracts(scored: Path) -> None:
    rows = ask(
        scored,
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main'",
    )
    views = set(warehouse.VIEWS)
    found = {(r["table_name"], r["column_name"]): r["comment"] for r in rows if r["table_name"] not in views}
    tables = [t for c in ("tracks", "predictions", "operations") for t in contracts.load(c).tables]
    assert set(found) == {(t.name, c.name) for t in tables for c in t.properties}
    assert all(found[t.name, c.name].startswith(c.description) for t in tables for c in t.properties)
    described = {r["table_name"]: r["comment"] for r in ask(scored, "SELECT table_name, comment FROM duckdb_tables()")}
    assert described == {t.name: t.description for t in tables}


@pytest.mark.parametrize("column", ["artist_name", "duration_ms", "tempo"])
def test_the_sentinels_that_the_contract_lists_are_the_ones_that_sql_knows(tmp_path: Path, column: str) -> None:
    quality = contracts.load("source_tracks").table.column(column).quality
    listed = [text for rule in quality if rule.metric == "missingValues" for text in rule.arguments["missingValues"]]
    assert listed
    path = write_csv(tmp_path / "t.csv", [track(i, **{column: str(text)}) for i, text in enumerate(listed)])
    with warehouse.open_memory(resources.plan()) as database:
        landing.land(database, sources.resolve([str(path)]))
        assert database.rows(f"SELECT {column}, broken_rules FROM landed") == [(None, None)] * len(listed)


def test_the_limit_of_the_breaker_is_the_contracts(tmp_path: Path) -> None:
    limit = contracts.load("source_tracks").table.limits["quarantined_percent"].limit
    with warehouse.open_memory(resources.plan()) as database:
        catalogue.begin(database, "run", date(2026, 11, 22))
        rows = tracks(100)
        for i in range(int(limit)):
            rows[i]["energy"] = "7"
        at_limit, _ = landing.land(database, sources.resolve([str(write_csv(tmp_path / "a.csv", rows))]))
        landing.check_breaker(database, at_limit, "a")
        rows[50]["energy"] = "7"
        above, _ = landing.land(database, sources.resolve([str(write_csv(tmp_path / "b.csv", rows))]))
        with pytest.raises(
            landing.TooManyRejected,
            match=r"6 of 100 rows \(6.0 %\) break the contract.*energy.maximum: must be at most 1 \(6 rows\)",
        ):
            landing.check_breaker(database, above, "b")
