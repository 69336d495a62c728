"""The tables and views of a warehouse: comments, older layouts, files that are something else."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.warehouse import schema
from tests.support import (
    DATE,
    NEXT,
    ROOT,
    ask,
    run,
    score,
    track,
    tracks,
    write_csv,
)


def test_a_warehouse_of_an_older_layout_is_brought_up_to_date(tmp_path: Path) -> None:
    """Derived tables are made anew; history stays."""
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(30))
    assert run("score", source, "--warehouse", warehouse, "--run-date", "2026-11-21").code == 0
    with duckdb.connect(warehouse) as connection:
        connection.execute("DROP TABLE artist_profiles")
        connection.execute(
            "CREATE TABLE artist_profiles (artist_key VARCHAR, tracks INTEGER, duration_ms_median FLOAT)"
        )
        connection.execute("UPDATE layout SET layout_version = 1")
    result = run("score", source, "--warehouse", warehouse, "--run-date", DATE)
    assert result.code == 0, result.err
    (row,) = ask(warehouse, "SELECT max(layout_version) AS layout, (SELECT count(*) FROM predictions) AS n FROM layout")
    assert row == {"layout": schema.LAYOUT_VERSION, "n": 60}
    assert ask(warehouse, "SELECT tempo_count FROM artist_profiles")


def test_a_dry_run_reads_a_warehouse_of_an_older_layout_and_leaves_it(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(30))
    assert run("score", source, "--warehouse", warehouse, "--run-date", "2026-11-21").code == 0
    with duckdb.connect(warehouse) as connection:
        connection.execute("ALTER TABLE artist_profiles DROP COLUMN tempo_count")
        connection.execute("UPDATE layout SET layout_version = 1")
    before = warehouse.read_bytes()
    result = run("score", source, "--warehouse", warehouse, "--run-date", DATE, "--dry-run", "--output", "json")
    assert (result.code, result.json["predicted"]) == (0, 30), result.err
    assert warehouse.read_bytes() == before


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


@pytest.mark.parametrize("command", ["quarantine list", "missing --from 2026-11-01 --to 2026-11-02", "verify --run x", "models compare", "labels {source}"])  # fmt: skip
def test_a_database_of_others_is_no_warehouse(tmp_path: Path, command: str) -> None:
    foreign, source = tmp_path / "f.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    with duckdb.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS n")
    result = run(*shlex.split(command.format(source=source)), "--warehouse", foreign)
    assert result.code == 78
    assert "has no table" in result.error


@pytest.mark.parametrize("name", ["other", "genrepipe", "source_file"])
def test_any_name_of_a_warehouse_will_do(tmp_path: Path, name: str) -> None:
    warehouse, table = tmp_path / f"{name}.duckdb", tmp_path / "t.duckdb"
    write_csv(tmp_path / "t.csv", tracks(5))
    with duckdb.connect(table) as connection:
        connection.execute(f"CREATE TABLE t AS FROM read_csv('{tmp_path}/t.csv', all_varchar = true)")
        connection.execute("CREATE VIEW v AS FROM read_csv('/etc/passwd')")
        connection.execute("CREATE VIEW İ AS FROM t WHERE instance_id::INT < 4")
    score(f"{table}::t", warehouse)
    score(f"{table}::t", warehouse, NEXT)
    assert run("rollback", "--warehouse", warehouse).code == 0
    assert score(f"{table}::İ", warehouse, NEXT, "--limit", "volume_drop_percent=100")["received"] == 3
    view = run("score", f"{table}::v", "--warehouse", warehouse)
    assert view.code == 64
    assert "is a view that reads other files. Make a table of it" in view.error


def test_a_track_is_explained(scored: Path) -> None:
    (row,) = ask(scored, "SELECT track_id, genre, probability FROM predictions_latest ORDER BY track_id LIMIT 1")
    told = pl.DataFrame(ask(scored, f"FROM explain_track('{row['track_id']}')"), infer_schema_length=None)
    assert told["what"].to_list() == ["genre"] * 10 + ["feature"] * 11
    assert (told["name"][0], told["probability"][0]) == (row["genre"], pytest.approx(row["probability"], abs=5e-4))
    assert told["value"][:10].null_count() == told["probability"][10:].null_count() - 1 == 10
    energy = told.row(by_predicate=pl.col("name") == "energy", named=True)
    (by_hand,) = ask(
        scored,
        f"SELECT energy, (SELECT median(energy) FROM tracks SEMI JOIN (FROM predictions_latest WHERE genre = '{row['genre']}') USING (track_id)) AS usual "
        f"FROM tracks WHERE track_id = '{row['track_id']}'",
    )
    assert (energy["value"], energy["genre_median"]) == (
        pytest.approx(by_hand["energy"], abs=5e-4),
        pytest.approx(by_hand["usual"], abs=5e-4),
    )
    assert ask(scored, "FROM explain_track('nobody')") == []


def test_similar_tracks_are_those_that_the_model_weighs_alike(scored: Path) -> None:
    """Held against the same distance, computed in Polars for all tracks."""
    latest = pl.DataFrame(
        ask(scored, "SELECT track_id, genre, probabilities FROM predictions_latest ORDER BY track_id")
    )
    logs = latest["probabilities"].struct.unnest().select(pl.all().clip(lower_bound=1e-6).log()).to_numpy()
    centred = logs - logs.mean(1, keepdims=True)
    distances = ((centred - centred[0]) ** 2).sum(1) ** 0.5
    wanted = latest.with_columns(pl.Series("distance", distances))[1:].sort("distance", "track_id").head(7)
    found = ask(scored, f"FROM similar_tracks('{latest['track_id'][0]}', 7)")
    assert [row["distance"] for row in found] == pytest.approx(wanted["distance"].to_list(), abs=2e-3)
    assert {row["track_id"] for row in found[:5]} <= set(wanted["track_id"])
    assert ask(scored, "FROM similar_tracks('nobody', 7)") == []


def test_the_views_for_people_agree_with_the_tables(scored: Path) -> None:
    (counted,) = ask(scored, "SELECT count(*) AS n, sum(tracks) AS tracks FROM artist_genres")
    (named,) = ask(scored, "SELECT count(*) AS tracks FROM predictions_latest WHERE artist_name IS NOT NULL")
    assert counted["tracks"] == named["tracks"] > counted["n"]
    assert ask(scored, "FROM artist_genres WHERE abs(share - tracks / artist_tracks) > 1e-9") == []
    unsure = ask(scored, "SELECT count(*) AS n, max(margin) AS most FROM low_confidence")
    assert unsure == ask(scored, "SELECT count(*) AS n, max(margin) AS most FROM predictions_latest WHERE margin < 0.1")
    (quality,) = ask(scored, "SELECT accuracy, card_accuracy FROM model_quality WHERE role = 'served'")
    (accuracy,) = ask(
        scored,
        "SELECT avg((genre = music_genre)::INT) AS a FROM predictions_latest JOIN tracks USING (track_id) WHERE music_genre IS NOT NULL",
    )
    assert quality["accuracy"] == pytest.approx(accuracy["a"])
    assert 0.7 < quality["card_accuracy"] < 0.8


def test_views_and_their_columns_are_described(scored: Path) -> None:
    views = ask(scored, "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal")
    assert len(views) == len(schema.VIEWS)
    assert all(row["comment"] for row in views)
    names = ", ".join(f"'{row['view_name']}'" for row in views)
    columns = ask(
        scored, f"SELECT table_name, column_name, comment FROM duckdb_columns() WHERE table_name IN ({names})"
    )
    assert [row for row in columns if not row["comment"]] == []


@pytest.mark.parametrize("name", ["tracks", "predictions"])
def test_a_view_of_a_contract_has_its_columns(scored: Path, name: str) -> None:
    table = next(t for document in ("tracks", "predictions") for t in contracts.load(document).tables if t.name == name)
    columns = ask(scored, f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{name}' ORDER BY column_index")
    assert sorted(row["column_name"] for row in columns) == sorted(table.columns)


QUIET = {"energy": "0.02", "acousticness": "0.99", "instrumentalness": "0.9", "popularity": "5"}  # another genre
LAYOUT_4 = Path(__file__).parent.parent / "data" / "layout-4"


@pytest.fixture
def layout_4(tmp_path: Path) -> Path:
    """A warehouse as an earlier version wrote it: two published nights, a shadow, flips, and a refused night."""
    warehouse = tmp_path / "w.duckdb"
    with duckdb.connect(warehouse) as connection:
        connection.execute((LAYOUT_4 / "schema.sql").read_text())
        for path in LAYOUT_4.glob("*.parquet"):
            connection.execute(f"COPY {path.stem} FROM '{path}'")
    return warehouse


def test_a_warehouse_of_layout_4_goes_on(tmp_path: Path, layout_4: Path) -> None:
    """History stays, the next night compares with it, and what people query is renewed."""
    tables = ("predictions", "flips", "drift", "quarantine", "shadow_predictions", "runs", "checks", "bundles")
    before = {table: ask(layout_4, f"FROM {table} ORDER BY ALL") for table in tables}
    rows = [*tracks(30, **QUIET), track(40), track(32, artist_name="BEYONCÉ"), track(33, artist_name="Beyoncé")]
    result = score(write_csv(tmp_path / "t.csv", rows), layout_4, "2026-11-22", "--limit", "flipped_percent=100")
    assert (result["predicted"], result["flips"]) == (33, 31)
    for table in set(tables) - {"bundles", "quarantine"}:
        added = {"predictions": "EXCLUDE (job)", "shadow_predictions": "EXCLUDE (job)"}
        added |= {
            "runs": "EXCLUDE (delivery, withdrawn, settled_to, filtered, imputed, profile, stages)",
            "checks": "EXCLUDE (severity)",
        }
        old = ask(layout_4, f"SELECT * {added.get(table, '')} FROM {table} WHERE run_date < '2026-11-22' ORDER BY ALL")
        assert old == [row for row in before[table] if row["run_date"] < "2026-11-22"], table
    assert len(ask(layout_4, "FROM flips WHERE run_date = '2026-11-22' AND genre <> genre_before")) == 31
    assert ask(layout_4, "SELECT layout_version FROM layout") == [{"layout_version": schema.LAYOUT_VERSION}]
    assert ask(layout_4, "SELECT DISTINCT job FROM predictions") == [{"job": "score"}]
    assert ask(layout_4, "SELECT DISTINCT job FROM shadow_predictions") == [{"job": "score"}]
    assert ask(layout_4, "SELECT DISTINCT job FROM performance") == [{"job": "score"}]
    statuses = ask(layout_4, "SELECT status FROM runs ORDER BY started_at")
    assert [row["status"] for row in statuses] == ["published", "published", "refused", "published"]


def test_a_dry_run_on_a_warehouse_of_layout_4_finds_what_a_run_would(tmp_path: Path, layout_4: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(30, **QUIET))
    words = ("score", source, "--warehouse", layout_4, "--run-date", "2026-11-22", "--limit", "flipped_percent=100")
    dry = run(*words, "--dry-run", "--output", "json")
    wet = run(*words, "--output", "json")
    assert (dry.code, wet.code) == (0, 0), dry.err + wet.err
    assert dry.json["flips"] == wet.json["flips"] > 0


@pytest.mark.parametrize(
    "words", [("labels", "{labels}"), ("rollback",), ("score", "{labels}", "--limit=flipped_percent=100")]
)
def test_every_command_that_writes_brings_an_older_layout_up_to_date(
    tmp_path: Path, layout_4: Path, words: tuple[str, ...]
) -> None:
    shutil.copy(layout_4, f"{layout_4}.previous")
    with duckdb.connect(f"{layout_4}.previous") as connection:
        connection.execute("DELETE FROM runs WHERE run_date > '2026-11-20'")
    labels = write_csv(tmp_path / "labels.csv", tracks(30))
    result = run(*(word.format(labels=labels) for word in words), "--warehouse", layout_4)
    assert result.code == 0, result.err
    assert ask(layout_4, "SELECT layout_version FROM layout") == [{"layout_version": schema.LAYOUT_VERSION}]
    assert len(ask(layout_4, "FROM artist_profiles")) >= 2
    assert ask(layout_4, "FROM explain_track('1')") != []


def test_an_artist_is_explained_as_the_profiles_know_him(tmp_path: Path) -> None:
    """Folded alike, whatever the case: 'ß' and 'SS' too."""
    warehouse = tmp_path / "w.duckdb"
    rows = [track(1, artist_name="Straße", energy="0.2"), track(2, artist_name="STRASSE", energy="0.8")]
    score(write_csv(tmp_path / "t.csv", rows), warehouse)
    (energy,) = ask(warehouse, "SELECT artist_mean FROM explain_track('1') WHERE name = 'energy'")
    assert energy["artist_mean"] == pytest.approx(0.5)
    assert ask(warehouse, "SELECT tracks FROM artist_profiles WHERE artist_key = artist_key_of('strasse')") == [
        {"tracks": 2}
    ]


@pytest.mark.parametrize("macro", [path.stem for path in (ROOT / "sql/macros").glob("*.sql") if path.stem != "shared"])
def test_macros_are_written_in_words_that_clients_of_1_4_and_1_5_read(macro: str) -> None:
    """A macro is stored as it was parsed: DuckDB 1.4.0 reads none with WITH, 1.5.0 none with UNPIVOT. Views are stored as text."""
    statement = re.sub(r"--.*", "", assets.sql(f"macros/{macro}"))
    assert re.findall(r"\b(WITH|UNPIVOT|PIVOT)\b", statement, re.IGNORECASE) == []
