"""Recipes: another catalogue's columns, values, units and ids become the contract's."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import genrepipe as api
from genrepipe.core import resources
from genrepipe.core.errors import ConfigurationError, GenrepipeError, SourceShapeError, UsageError
from genrepipe.ingest import recipes
from genrepipe.warehouse.connection import Database
from tests.support import ask, landed, run, score, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


def read(path: object, recipe: Any, column: str) -> list[Any]:
    """Return a column of the accepted rows, in the order of the source, and let none be kept out."""
    with landed(path, recipe=recipes.load(recipe)) as (steps, found):
        kept_out = steps.database.rows("SELECT broken_rules FROM landed WHERE broken_rules IS NOT NULL")
        assert found.counts.accepted == found.counts.received, kept_out
        return [value for (value,) in steps.database.rows(f'SELECT "{column}" FROM accepted ORDER BY row_id')]


def cells(folder: Path, column: str, values: list[str]) -> Path:
    return write_csv(folder / "t.csv", [track(n, **{column: value}) for n, value in enumerate(values, 1)])


@pytest.mark.parametrize(
    ("column", "said", "received", "meant"),
    [
        ("key", {"values": {"-1": None, 0: "C", "11": "B", "h": "B"}}, ["0", "11.0", "H"], ["C", "B", "B"]),
        ("mode", {"values": {"x": "Major"}, "others": "missing"}, ["x", " X "], ["Major", "Major"]),
        ("mode", {"values": {True: "Major", False: "Minor"}}, ["True", "false"], ["Major", "Minor"]),
        ("duration_ms", {"unit": "s"}, ["200", "200.5", "-1"], [200000.0, 200500.0, None]),
        ("duration_ms", {"unit": "min"}, ["3.5", "2"], [210000.0, 120000.0]),
        ("duration_ms", {"unit": "m:ss"}, ["3:25", "1:02:03", "0:30.5", "-1"], [205000.0, 3723000.0, 30500.0, None]),
        ("duration_ms", {"unit": "auto"}, ["3:25", "3.5", "200", "210000"], [205000.0, 210000.0, 200000.0, 210000.0]),
        ("duration_ms", {"unit": "ms", "missing": ["0", "n/k"]}, ["0", "n/k", "5000"], [None, None, 5000.0]),
        ("energy", {"unit": "percent"}, ["50", "100"], [0.5, 1.0]),
        ("popularity", {"unit": "share"}, ["0.5", "1"], [50.0, 100.0]),
        ("popularity", {"constant": 40}, ["1", "2"], [40.0, 40.0]),
        ("artist_name", {"constant": "Ours"}, ["A", "B"], ["Ours", "Ours"]),
        ("tempo", {"missing": ["n.b."]}, ["n.b.", "120"], [None, 120.0]),
    ],
)  # fmt: skip
def test_what_a_column_says(
    tmp_path: Path, column: str, said: dict[str, Any], received: list[str], meant: list[Any]
) -> None:
    assert read(cells(tmp_path, column, received), {"columns": {column: said}}, column) == meant


@pytest.fixture(scope="module")
def macros() -> Iterator[Database]:
    with Database(None, resources.plan()) as database:
        database.create_macros()
        yield database


@given(seconds=st.integers(1, 86_399), hours=st.booleans())
def test_a_clock_is_read_as_it_is_written(macros: Database, seconds: int, hours: bool) -> None:
    text = str(timedelta(seconds=seconds)) if hours else f"{seconds % 6000 // 60}:{seconds % 60:02d}"
    milliseconds = macros.value(f"SELECT clock_milliseconds('{text}')")
    assert float(milliseconds) == 1000 * (seconds if hours else seconds % 6000)


def test_an_id_is_made_of_columns(tmp_path: Path) -> None:
    rows = [
        track(n, artist_name=a, track_name=t)
        for n, (a, t) in enumerate([("A", "x"), ("A", "y"), ("B", "x"), ("Ax", "")])
    ]
    recipe = {"columns": {"instance_id": {"hash": ["artist_name", "track_name"]}}}
    ids = read(write_csv(tmp_path / "t.csv", rows), recipe, "track_id")
    assert len(set(ids)) == len(rows)
    assert all(each.startswith("h") and len(each) == 21 for each in ids)
    again = [row | {"artist_name": f" {row['artist_name']}\u00a0", "instance_id": "x"} for row in rows]
    assert read(write_csv(tmp_path / "u.csv", again), recipe, "track_id") == ids
    nameless = write_csv(tmp_path / "v.csv", [track(1, artist_name="", track_name="")])
    with landed(nameless, recipe=recipes.load(recipe)) as (steps, _):
        assert steps.database.rows("SELECT broken_rules FROM landed") == [
            (["instance_id.required: must not be missing"],)
        ]


@pytest.mark.parametrize(("rule", "shown"), [("join", "A; B"), ("first", "A")])
def test_a_list_is_read_by_the_rule_that_is_named(tmp_path: Path, rule: str, shown: str) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame([track(1)]).with_columns(pl.Series("artist_name", [["A", None, "B"]])).write_parquet(path)
    with pytest.raises(SourceShapeError, match=r"artist_name is a list.*list: join"):
        read(path, None, "artist_name")
    assert read(path, {"columns": {"artist_name": {"list": rule}}}, "artist_name") == [shown]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [("track", 2), (["track", "single"], 3), ({"not": ["episode"]}, 4), ({"is": ["track"], "not": ["track"]}, 0)],
)
def test_rows_that_are_no_tracks_are_left_out_and_counted(tmp_path: Path, condition: Any, kept: int) -> None:
    kinds = ["track", " Track ", "single", "episode", ""]
    rows = [track(n) | {"type": kind} for n, kind in enumerate(kinds, 1)] + [
        dict.fromkeys(track(1), "") | {"type": "track"}
    ]
    with landed(write_csv(tmp_path / "t.csv", rows), recipe=recipes.load({"filter": {"type": condition}})) as (
        steps,
        found,
    ):
        counts = found.counts
        assert counts.accepted == kept
        assert counts.received + counts.filtered == len(rows)
        assert counts.received == counts.accepted + counts.empty
        assert len(steps.database.rows("FROM accepted")) == kept


def test_a_filter_is_in_the_result_and_the_ledger(tmp_path: Path) -> None:
    rows = [track(n) | {"type": "track" if n % 3 else "episode"} for n in range(1, 31)]
    source, job = write_csv(tmp_path / "t.csv", rows), tmp_path / "job.yaml"
    job.write_text(
        f"job: score\nname: n\nsource: [{source}]\nwarehouse: {tmp_path}/w.duckdb\nrecipe:\n  filter: {{type: track}}\n"
    )
    result = run("run", job, "--output", "json")
    assert (result.code, result.json["received"], result.json["predicted"], result.json["filtered"]) == (0, 20, 20, 10)
    assert ask(tmp_path / "w.duckdb", "SELECT received, filtered FROM runs") == [{"received": 20, "filtered": 10}]
    assert "10 rows by the recipe's filter" in run("run", job, "--force").out
    again = run("run", job, "--output", "json").json
    assert (again["status"], again["filtered"]) == ("already published", 10)
    (run_id,) = ask(
        tmp_path / "w.duckdb", "SELECT run_id FROM runs WHERE status = 'published' ORDER BY finished_at DESC LIMIT 1"
    )
    verified = run("verify", "--run", run_id["run_id"], "--warehouse", tmp_path / "w.duckdb", "--output", "json")
    assert verified.json["status"] == "identical", verified.err


def test_a_recipe_is_part_of_what_was_read(tmp_path: Path) -> None:
    source = cells(tmp_path, "duration_ms", ["200", "210"])
    first = score(source, tmp_path / "w.duckdb")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("columns: {duration_ms: {unit: s}}")
    second = run(
        "score",
        source,
        "--recipe",
        recipe,
        "--warehouse",
        tmp_path / "w.duckdb",
        "--run-date",
        first["run_date"],
        "--output",
        "json",
    )
    assert second.json["status"] == "published", "another reading of the same file is another input"
    assert ask(tmp_path / "w.duckdb", "SELECT max(duration_ms) AS ms FROM tracks") == [{"ms": 210000.0}]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"columns": {"energie": "x"}}, "the contract has no column energie; did you mean energy"),
        ({"columns": {"energy": {"unit": "s"}}}, "energy: the unit s is none of share, percent"),
        ({"columns": {"artist_name": {"unit": "s"}}}, "artist_name: the unit s is none of"),
        ({"columns": {"energy": {"hash": ["a"]}}}, "hash makes the id"),
        ({"columns": {"energy": {"constant": 1, "column": "x"}}}, "a value has one origin"),
        ({"columns": {"energy": {"unite": "percent"}}}, "columns.energy.unite"),
        ({"colums": {}}, "colums"),
        ({"filter": {"type": {"isnt": "x"}}}, "filter.type.isnt"),
        ({"columns": []}, "columns"),
    ],
)
def test_a_recipe_that_cannot_be_says_why(recipe: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        recipes.load(recipe)


@pytest.mark.parametrize(
    ("named", "code", "said"),
    [
        ("kaggle-spotify", 64, "Did you mean kaggle-spotify-tracks"),
        ("none.yaml", 78, "none.yaml: No such file"),
        ("list.yaml", 78, "holds no keys"),
        ("broken.yaml", 78, "is not YAML"),
    ],
)
def test_a_recipe_that_is_not_there_says_so(tmp_path: Path, named: str, code: int, said: str) -> None:
    (tmp_path / "list.yaml").write_text("- a")
    (tmp_path / "broken.yaml").write_text("columns: {energy: [")
    write_csv(tmp_path / "t.csv", tracks(3))
    result = run("score", "t.csv", "--recipe", named, cwd=tmp_path)
    assert (result.code, said in result.error) == (code, True), result.err
    assert not (tmp_path / "warehouse.duckdb").exists()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"columns": {"energy": "nrj"}}, "there is no column 'nrj' to map energy to"),
        ({"columns": {"instance_id": {"hash": ["a", "b"]}}}, "there is no column 'a' to make instance_id of"),
        ({"filter": {"kind": "x"}}, "there is no column 'kind' to filter by"),
    ],
)
def test_a_column_that_the_source_lacks_is_named(tmp_path: Path, recipe: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceShapeError, match=said):
        read(write_csv(tmp_path / "t.csv", tracks(2)), recipe, "energy")


def test_optional_columns_may_be_absent(tmp_path: Path) -> None:
    row = {name: cell for name, cell in track(1).items() if name != "track_name"}
    path = write_csv(tmp_path / "t.csv", [row])
    assert read(path, {"columns": {"track_name": {"optional": True}}}, "track_name") == [None]
    assert read(path, {"columns": {"track_name": None}}, "track_name") == [None]


def test_more_texts_are_missing_where_a_job_says_so(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [track(1, artist_name="tba", tempo="tba"), *tracks(9)[2:]])
    assert api.validate(source).quarantined == 1
    assert api.validate(source, missing=["tba"]).quarantined == 0
    assert run("validate", source, "--missing", "tba", "--output", "json").json["quarantined"] == 0
    result = score(source, tmp_path / "w.duckdb", "2026-11-20", "--missing", "tba")
    assert (result["predicted"], result["imputed"]["tempo"]) == (8, 1)
    assert ask(tmp_path / "w.duckdb", "SELECT artist_name FROM tracks WHERE tempo IS NULL") == [{"artist_name": None}]


def spotify_tracks(folder: Path, count: int) -> Path:
    """Write a table with the columns and habits of the Kaggle table "Spotify tracks dataset"."""
    rows = []
    for n, row in enumerate(tracks(count)):
        for genre in ["rock", "alt-rock"][: 1 + n % 2]:
            rows.append(
                {"": len(rows), "track_id": f"{n:022x}", "artists": f"{row['artist_name']};Guest" if n % 5 == 0 else row["artist_name"],
                 "album_name": "An album", "track_name": row["track_name"], "popularity": 40, "duration_ms": 0 if n % 10 == 3 else 200000 + n,
                 "explicit": "False", "danceability": row["danceability"], "energy": row["energy"], "key": n % 13 - 1 if n % 13 else 0,
                 "loudness": row["loudness"], "mode": n % 2, "speechiness": row["speechiness"], "acousticness": row["acousticness"],
                 "instrumentalness": row["instrumentalness"], "liveness": row["liveness"], "valence": row["valence"],
                 "tempo": "0.0" if n == 4 else row["tempo"], "time_signature": 4, "track_genre": genre}
            )  # fmt: skip
    path = folder / "spotify.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_spotify_tracks_of_kaggle_are_read(tmp_path: Path) -> None:
    source, count = spotify_tracks(tmp_path, 40), 40
    result = score(source, tmp_path / "w.duckdb", "2026-11-20", "--recipe", "kaggle-spotify-tracks")
    assert (result["received"], result["predicted"], result["duplicates"]) == (60, count, 20)
    assert (result["quarantined"], result["imputed"]) == (0, {"duration_ms": 4, "tempo": 1})
    rows = ask(
        tmp_path / "w.duckdb", 'SELECT track_id, artist_name, "key", "mode", music_genre FROM tracks ORDER BY track_id'
    )
    assert [row["track_id"] for row in rows] == [f"{n:022x}" for n in range(count)]
    assert [row["key"] for row in rows[1:5]] == ["C", "C#", "D", "D#"]
    assert [row["mode"] for row in rows[:2]] == ["Minor", "Major"]
    assert rows[0]["artist_name"].endswith(";Guest")
    assert [row["music_genre"] for row in rows[:2]] == ["Rock", None]


def features(count: int) -> list[dict[str, Any]]:
    """Return objects as the Spotify Web API's audio features are."""
    floats = (
        "danceability",
        "energy",
        "loudness",
        "speechiness",
        "acousticness",
        "instrumentalness",
        "liveness",
        "valence",
        "tempo",
    )
    return [
        {name: float(row[name]) for name in floats}
        | {"key": n % 12, "mode": n % 2, "type": "audio_features", "id": f"id{n}", "uri": f"spotify:track:{n}", "duration_ms": 180000 + n}
        | {"name": f"Title \u2028 {n}", "artists": ["A", "B"], "popularity": 33}
        for n, row in enumerate(tracks(count))
    ]  # fmt: skip


def lines(path: Path, objects: list[Any]) -> Path:
    text = "\n".join(json.dumps(each, ensure_ascii=False) for each in objects) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["f.jsonl", "f.ndjson", "f.jsonl.gz"])
def test_the_features_of_the_web_api_are_read(tmp_path: Path, name: str) -> None:
    with landed(lines(tmp_path / name, features(30)), recipe=recipes.load("spotify-web-api")) as (steps, found):
        assert (found.counts.received, found.counts.accepted) == (30, 30)
        assert found.notes == [f"{tmp_path}/{name}: not used: type, uri"]
        row = steps.database.dicts(
            'SELECT track_id, artist_name, track_name, "key", "mode", duration_ms FROM accepted ORDER BY row_id LIMIT 2'
        )[1]
        assert row == {
            "track_id": "id1",
            "artist_name": "A; B",
            "track_name": "Title 1",
            "key": "C#",
            "mode": "Major",
            "duration_ms": 180001.0,
        }


def test_features_without_names_and_popularity_are_imputed(tmp_path: Path) -> None:
    bare = [
        {name: cell for name, cell in each.items() if name not in {"name", "artists", "popularity"}}
        for each in features(30)
    ]
    result = score(
        lines(tmp_path / "f.jsonl", bare), tmp_path / "w.duckdb", "2026-11-20", "--recipe", "spotify-web-api"
    )
    assert (result["predicted"], result["quarantined"], result["imputed"]["popularity"]) == (30, 0, 30)
    assert "imputed_percent" not in result["warnings"], "the recipe says that there is no popularity"
    rows = ask(tmp_path / "w.duckdb", "SELECT DISTINCT imputed, artist_name FROM predictions")
    assert rows == [{"imputed": ["popularity"], "artist_name": None}]


def test_a_source_that_lacks_too_much_is_refused(tmp_path: Path) -> None:
    absent = ["popularity", "energy", "tempo", "valence", "liveness", "loudness", "speechiness"]
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"columns: {{{', '.join(f'{name}: null' for name in absent)}}}")
    source = write_csv(tmp_path / "t.csv", [{n: c for n, c in row.items() if n not in absent} for row in tracks(5)])
    result = run("score", source, "--recipe", recipe, "--warehouse", tmp_path / "w.duckdb")
    assert result.code == 65, result.err
    recipe.write_text(f"columns: {{{', '.join(f'{name}: null' for name in absent[1:])}}}")
    source = write_csv(tmp_path / "t.csv", [{n: c for n, c in row.items() if n not in absent[1:]} for row in tracks(5)])
    assert run("score", source, "--recipe", recipe, "--warehouse", tmp_path / "w.duckdb").code == 0


def test_a_line_that_is_no_object_is_kept_out(tmp_path: Path) -> None:
    path = lines(tmp_path / "f.jsonl", features(4))
    good = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([good[0], "null", "", good[1], good[2][:40], "[1]", good[3]]), encoding="utf-8")
    with landed(path, recipe=recipes.load("spotify-web-api")) as (steps, found):
        assert (found.counts.received, found.counts.accepted, found.counts.quarantined) == (7 - 1, 4 - 1, 3)
        assert steps.database.rows("SELECT row_number_of(row_id), track_id FROM accepted ORDER BY 1") == [
            (1, "id0"), (3, "id1"), (6, "id3"),
        ]  # fmt: skip
        assert {reason for (reason,) in steps.database.rows("SELECT reason FROM unparsed")} == {
            "json: is not a JSON object"
        }


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([features(1)[0] | {"artists": [{"name": "A"}]}], "artists is a list in some lines"),
        ([features(1)[0] | {"artists": {"name": "A"}}], "artists is an object in some lines"),
        ([1, 2], "holds no line that is a JSON object"),
        ([{"id": 1}], "the contract's columns are missing"),
    ],
)
def test_json_that_is_no_table_is_named(tmp_path: Path, objects: list[Any], said: str) -> None:
    with pytest.raises(GenrepipeError, match=said):
        read(lines(tmp_path / "f.jsonl", objects), "spotify-web-api", "track_id")


def test_a_json_document_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text("[]")
    with pytest.raises(UsageError, match="JSON Lines are"):
        read(tmp_path / "f.json", None, "track_id")


def test_every_recipe_that_ships_reads_and_is_listed() -> None:
    listed = run("recipe", "list", "--output", "json").json["recipes"]
    assert [each["recipe"] for each in listed] == list(recipes.shipped())
    assert {"kaggle-music-genre", "kaggle-spotify-tracks", "spotify-web-api"} <= set(recipes.shipped())
    for name in recipes.shipped():
        assert recipes.load(name).recipe == name
        assert run("recipe", "show", name).out == recipes.path_of(name).read_text(encoding="utf-8")


def test_its_own_recipe_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    assert run("sample", "--rows", "300", "--broken", "20", "--out", source).code == 0
    columns = "SELECT * EXCLUDE (received, received_hash) FROM landed ORDER BY row_id"
    with landed(source) as (steps, plain):
        expected = steps.database.rows(columns)
    with landed(source, recipe=recipes.load("kaggle-music-genre")) as (steps, read_by_recipe):
        assert steps.database.rows(columns) == expected
    assert read_by_recipe.counts == plain.counts


def test_a_table_is_read_by_a_recipe_as_a_file_is(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as database:
        database.execute(f"CREATE TABLE t AS FROM read_csv('{spotify_tracks(tmp_path, 6)}')")
    with landed(f"{tmp_path}/d.duckdb::t", recipe=recipes.load("kaggle-spotify-tracks")) as (_, found):
        assert (found.counts.accepted, found.counts.duplicates) == (6, 3)
