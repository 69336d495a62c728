"""Sources: whatever form the same table has, the same rows arrive; what is not there or not a source says so."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
import zstandard

import genrepipe as api
from genrepipe.core.errors import GenrepipeError, SourceMissing, SourceShapeError, StorageError, UsageError
from genrepipe.ingest import sources
from genrepipe.ingest.recipes import SourceRecipe
from tests.support import GOOD, landed, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [
    track(1),
    track(2, track_name='With "quotes", commas'),
    track(3, track_name="two\nlines"),
    track(4, tempo="?", artist_name=""),
]


def land(*arguments: object, **options: object) -> list[tuple[object, ...]]:
    with landed(*arguments, **options) as (steps, found):
        assert found.counts.received == found.counts.accepted
        return steps.database.rows(
            "SELECT track_id, artist_name, track_name, energy, tempo, key FROM landed ORDER BY row_id"
        )


@pytest.fixture
def expected(tmp_path: Path) -> list[tuple[object, ...]]:
    rows = land(write_csv(tmp_path / "expected.csv", ROWS))
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert rows[1][2] == 'With "quotes", commas'
    assert rows[2][2] == "two lines"
    assert rows[3][1] is rows[3][4] is None
    return rows


def raw(tmp_path: Path, **options: object) -> bytes:
    return write_csv(tmp_path / "raw.csv", ROWS, **options).read_bytes()


def as_plain(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.csv", ROWS)


def as_gzip(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(raw(tmp_path)))
    return path


def as_zstd(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv.zst"
    path.write_bytes(zstandard.compress(raw(tmp_path)))
    return path


def as_lf(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.csv", ROWS, lineterminator="\n")


def as_bom(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.csv", ROWS, encoding="utf-8-sig")


def as_mixed_newlines(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    lines = raw(tmp_path, lineterminator="\r\n").split(b"\r\n")
    path.write_bytes(b"\r\n".join(lines[:2]) + b"\n" + b"\r\n".join(lines[2:]))
    return path


def as_quoted(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.csv", ROWS, quoting=1)


def as_tsv(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.tsv", ROWS, delimiter="\t")


def as_other_order(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.csv", [dict(reversed(row.items())) for row in ROWS])


def as_other_case(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.csv", [{f" {name.upper()} ": cell for name, cell in row.items()} for row in ROWS])


def as_text_parquet(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    return path


def typed() -> pl.DataFrame:
    numbers = [
        name for name, cell in GOOD.items() if name != "instance_id" and cell.lstrip("-").replace(".", "").isdigit()
    ]
    frame = pl.DataFrame(ROWS).with_columns(pl.col(numbers).replace("?", None).cast(pl.Float64))
    return frame.with_columns(
        pl.col("instance_id").cast(pl.Float64).cast(pl.Int64), pl.col("artist_name").replace("", None)
    )


def as_typed_parquet(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    typed().write_parquet(path)
    return path


def as_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder" / "deeper"
    folder.mkdir(parents=True)
    write_csv(folder / "a.csv", ROWS[:2])
    pl.DataFrame(ROWS[2:]).write_parquet(folder / "b.parquet")
    (folder / "readme.txt").write_text("not data")
    return folder.parent


def as_glob(tmp_path: Path) -> str:
    for i, row in enumerate(ROWS):
        write_csv(tmp_path / f"part-{i}.csv", [row])
    return str(tmp_path / "part-*.csv")


def as_odd_name(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "what's [new]*?.csv", ROWS)


def as_table(tmp_path: Path) -> str:
    write_csv(tmp_path / "t.csv", ROWS)
    with duckdb.connect(tmp_path / "other.duckdb") as connection:
        connection.execute(
            f"CREATE SCHEMA raw; CREATE TABLE raw.\"the tracks\" AS FROM read_csv('{tmp_path}/t.csv', all_varchar = true)"
        )
    return f"{tmp_path}/other.duckdb::raw.the tracks"


FORMS = [value for name, value in list(globals().items()) if name.startswith("as_")]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_of_the_same_table_lands_the_same(
    tmp_path: Path, expected: list[tuple[object, ...]], form: Callable[[Path], object]
) -> None:
    assert land(form(tmp_path)) == expected


def test_old_mac_newlines(tmp_path: Path) -> None:
    assert len(land(write_csv(tmp_path / "t.csv", tracks(3), lineterminator="\r"))) == 3


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "LATIN-1"])
def test_other_encodings_are_read_when_named(tmp_path: Path, expected: list[tuple[object, ...]], encoding: str) -> None:
    path = write_csv(tmp_path / "t.csv", ROWS, encoding=encoding)
    assert land(path, encoding=encoding) == expected


def test_optional_columns_may_be_absent_and_extra_ones_are_noted(tmp_path: Path) -> None:
    row = {k: v for k, v in track(1).items() if k not in {"music_genre", "obtained_date"}} | {"label": "x", "isrc": "y"}
    with landed(write_csv(tmp_path / "t.csv", [row])) as (_, found):
        assert found.counts.accepted == 1
        assert found.notes == [f"{tmp_path}/t.csv: not used: label, isrc"]


def test_a_mapping_reads_a_column_from_another(tmp_path: Path, expected: list[tuple[object, ...]]) -> None:
    renamed = [{{"artist_name": "Artist Name", "tempo": "BPM"}.get(k, k): v for k, v in row.items()} for row in ROWS]
    path = write_csv(tmp_path / "t.csv", renamed)
    with pytest.raises(SourceShapeError) as caught:
        land(path)
    assert '--map artist_name="Artist Name"' in str(caught.value)
    assert "tempo" in str(caught.value)
    assert land(path, recipe=SourceRecipe().with_keys({"artist_name": "Artist Name", "tempo": "bpm"})) == expected
    assert api.validate(path, map={"artist_name": "Artist Name", "tempo": "bpm"}).accepted == len(ROWS)


@pytest.mark.parametrize(
    ("mapping", "error", "said"),
    [
        ({"artst_name": "Artist"}, UsageError, "Did you mean artist_name"),
        ({"tempo": "nowhere"}, SourceShapeError, "there is no column 'nowhere' to map tempo to"),
    ],
)
def test_a_mapping_that_cannot_be_is_an_error(
    tmp_path: Path, mapping: dict[str, str], error: type[GenrepipeError], said: str
) -> None:
    with pytest.raises(error, match=said):
        land(write_csv(tmp_path / "t.csv", ROWS), recipe=SourceRecipe().with_keys(mapping))


@pytest.mark.parametrize(
    ("argument", "error", "said"),
    [
        ("no.csv", SourceMissing, "no.csv: there is no such file"),
        ("no-*.csv", SourceMissing, "no file matches"),
        ("s3://b/k.csv", UsageError, "addresses are not read here"),
        ("no.duckdb::t", SourceMissing, "no.duckdb: there is no such database"),
        ("", UsageError, "empty text"),
    ],
)
def test_what_is_not_there_says_so(argument: str, error: type[GenrepipeError], said: str) -> None:
    with pytest.raises(error, match=said):
        sources.resolve([argument])


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", tracks(3))
    assert len(land(path, f"{tmp_path}/*.csv", path)) == 3


def test_an_unreadable_file_is_an_input_output_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    path = write_csv(tmp_path / "t.csv", ROWS)
    path.chmod(0)
    with pytest.raises(StorageError):
        api.validate(path)
