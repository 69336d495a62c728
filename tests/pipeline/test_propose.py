"""recipe propose and recipe check: a recipe is written from what a source shows, and shows what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from genrepipe.ingest import recipes
from tests.ingest.test_recipes import KEYS, features, lines, spotify_tracks
from tests.support import run, tracks, write_csv

COUNT = 60


def foreign(folder: Path, **changes: Any) -> Path:
    """Write a table whose names, units and words are others than the contract's."""
    rows = []
    for n, row in enumerate(tracks(COUNT)):
        rows.append(
            {"Song": row["track_name"], "Artist": row["artist_name"], "BPM": "n.b." if n % 4 == 0 else row["tempo"],
             "Length": f"{3 + n % 3}:{n % 60:02d}", "danceability": row["danceability"], "Energy (%)": f"{30 + n}", "Key": KEYS[n % 12].replace("B", "H"),
             "Mode": ["dur", "moll"][n % 2], "Pop": f"{n / 100:.2f}", "Acousticness": row["acousticness"], "Instrumentalness": "0.5",
             "Liveness": row["liveness"], "Loudness": row["loudness"], "Speechiness": row["speechiness"], "Valence": row["valence"],
             "Genre": ["rock", "Jazz", "polka"][n % 3], "Label": "x"} | changes
        )  # fmt: skip
    return write_csv(folder / "foreign.csv", rows)


def propose(source: object, folder: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    result = run("recipe", "propose", source, "--out", folder / "r.yaml", "--output", "json")
    assert result.code == 0, result.err
    text = (folder / "r.yaml").read_text(encoding="utf-8")
    return result.json, yaml.safe_load(text), text


def test_a_recipe_is_proposed_with_its_reasons(tmp_path: Path) -> None:
    result, recipe, text = propose(foreign(tmp_path), tmp_path)
    columns = recipe["columns"]
    assert columns["instance_id"] == {"hash": ["Artist", "Song"]}
    assert columns["duration_ms"] == {"column": "Length", "unit": "m:ss"}
    assert columns["energy"] == {"column": "Energy (%)", "unit": "percent"}
    assert columns["popularity"] == {"column": "Pop", "unit": "share"}
    assert columns["tempo"] == {"column": "BPM", "missing": ["n.b."]}
    assert (columns["mode"], columns["artist_name"]) == ("Mode", "Artist")
    assert columns["music_genre"] == {"column": "Genre", "values": {"rock": "Rock"}, "others": "missing"}
    assert result["fill_in"] == [
        "key: add to values what these mean: H (5 rows); one of A, A#, B, C, C#, D, D#, E, F, F#, G, G#"
    ]
    assert "# FILL IN key: add to values" in text
    assert "# Not used: Label" in text
    assert "not known: n.b. (15 rows)" in text


def test_what_is_proposed_and_filled_in_is_read(tmp_path: Path) -> None:
    source = foreign(tmp_path)
    propose(source, tmp_path)
    checked = run("recipe", "check", tmp_path / "r.yaml", source, "--output", "json")
    assert checked.code == 65
    (reason,) = checked.json["reasons"]
    assert (reason["rows"], reason["values"]) == (5, [{"value": "H", "rows": 5}])
    text = (tmp_path / "r.yaml").read_text(encoding="utf-8")
    (tmp_path / "r.yaml").write_text(
        text.replace("  key: Key", "  key: {column: Key, values: {H: B}}"), encoding="utf-8"
    )
    checked = run("recipe", "check", tmp_path / "r.yaml", source, "--output", "json")
    assert (checked.code, checked.json["accepted"], checked.json["doubts"]) == (0, COUNT, [])
    shown = run("recipe", "check", tmp_path / "r.yaml", source)
    assert "duration_ms" in shown.out
    scored = run(
        "score", source, "--recipe", tmp_path / "r.yaml", "--warehouse", tmp_path / "w.duckdb", "--output", "json"
    )
    assert (scored.code, scored.json["predicted"]) == (0, COUNT)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Pop": ""}, "popularity: Pop holds no value; null says that there is none"),
        ({"Pop": "high"}, "popularity: Pop holds no numbers, for example 'high'"),
        ({"Loudness": "300"}, "loudness: 60 of 60 values are outside -80 to 20"),
        ({"Length": "0.0001"}, "duration_ms: its unit cannot be told"),
    ],
)
def test_what_cannot_be_told_is_to_fill_in(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    assert any(line.startswith(said) for line in propose(foreign(tmp_path, **changes), tmp_path)[0]["fill_in"])


def test_a_column_that_is_not_there_is_to_fill_in(tmp_path: Path) -> None:
    rows = [
        {name: cell for name, cell in row.items() if name not in {"popularity", "music_genre"}} for row in tracks(5)
    ]
    result, recipe, _ = propose(write_csv(tmp_path / "t.csv", rows), tmp_path)
    assert [line.partition(":")[0] for line in result["fill_in"]] == ["popularity"]
    assert "popularity" not in recipe["columns"]


@pytest.mark.parametrize("kind", ["spotify.csv", "f.jsonl", "t.parquet", "hive"])
def test_every_kind_of_source_is_looked_at(tmp_path: Path, kind: str) -> None:
    source: Path = tmp_path / kind
    if kind == "spotify.csv":
        source = spotify_tracks(tmp_path, 40)
    elif kind == "f.jsonl":
        lines(source, features(40))
    elif kind == "t.parquet":
        pl.DataFrame(tracks(40)).with_columns(pl.Series("artist_name", [["A", "B"]] * 40)).write_parquet(source)
    else:
        (source / "mode=Major").mkdir(parents=True)
        write_csv(source / "mode=Major/t.csv", [{n: c for n, c in row.items() if n != "mode"} for row in tracks(40)])
    result, recipe, _ = propose(source, tmp_path)
    assert result["fill_in"] == []
    with_recipe = run("validate", source, "--recipe", tmp_path / "r.yaml", "--output", "json")
    assert (with_recipe.code, with_recipe.json["quarantined"]) == (0, 0), with_recipe.out
    lists = [name for name, said in recipe["columns"].items() if isinstance(said, dict) and said.get("list") == "join"]
    assert lists == (["artist_name"] if kind in {"f.jsonl", "t.parquet"} else [])


def test_a_recipe_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("mine")
    result = run("recipe", "propose", foreign(tmp_path), "--out", tmp_path / "r.yaml")
    assert (result.code, "is there already" in result.error) == (64, True)
    assert (tmp_path / "r.yaml").read_text() == "mine"
    away = run("recipe", "propose", foreign(tmp_path), "--out", tmp_path / "no/r.yaml")
    assert (away.code, "cannot be written" in away.error) == (74, True)


@pytest.mark.parametrize(
    ("column", "value", "unit"),
    [
        ("duration_ms", "213", "s"),
        ("duration_ms", "3.5", "min"),
        ("energy", "71", "percent"),
        ("popularity", "0.45", "share"),
    ],
)
def test_a_column_that_is_off_by_a_unit_is_told(tmp_path: Path, column: str, value: str, unit: str) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(30, **{column: value}))
    (doubt,) = run("validate", source, "--output", "json").json["doubts"]
    assert doubt.startswith(f"{column}: 95 of 100 values are at most {value}, which looks like {unit}")
    assert f"{column}: {{unit: {unit}}}" in run("validate", source).out
    mended = run(
        "validate",
        source,
        "--map",
        f"{column}={column}",
        "--recipe",
        _recipe(tmp_path, column, unit),
        "--output",
        "json",
    )
    assert (mended.code, mended.json["doubts"]) == (0, [])


def _recipe(folder: Path, column: str, unit: str) -> Path:
    path = folder / "unit.yaml"
    path.write_text(yaml.safe_dump({"columns": {column: {"unit": unit}}}))
    return path


def test_no_unit_is_doubted_of_good_tracks(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    assert run("sample", "--rows", "500", "--out", source).code == 0
    assert run("validate", source, "--output", "json").json["doubts"] == []


def test_what_is_proposed_for_hostile_names_is_yaml(tmp_path: Path) -> None:
    rows = [row | {"a: b": "x", "# c\n- d": "y", "{e}": "z", "tempo": "n/a ]"} for row in tracks(8)]
    rows = [
        {{"artist_name": "Artist: {x}", "track_name": "'title' #1"}.get(n, n): c for n, c in row.items()}
        for row in rows
    ]
    _, recipe, _ = propose(write_csv(tmp_path / "t.csv", rows), tmp_path)
    assert recipes.load(recipe).names()["artist_name"] == "Artist: {x}"
