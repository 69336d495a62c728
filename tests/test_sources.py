"""Sources: whatever form the same table has, the same rows arrive."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
import zstandard

from genrepipe.core import resources
from genrepipe.core.errors import SourceMissing, SourceShapeError, StorageError, UsageError
from genrepipe.ingest import files as csvfiles
from genrepipe.ingest import landing, sources
from genrepipe.warehouse import schema as warehouse
from tests.conftest import GOOD, genrepipe, track, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    track(1),
    track(2, track_name='With "quotes", commas'),
    track(3, track_name="two\nlines"),
    track(4, tempo="?", artist_name=""),
]


def land(*arguments: object, **options: object) -> tuple[landing.Arrival, list[tuple[object, ...]], list[str]]:
    with warehouse.open_memory(resources.plan()) as database:
        arrival, notes = landing.land(database, sources.resolve(map(str, arguments), **options))  # type: ignore[arg-type]
        rows = database.rows("SELECT track_id, artist_name, track_name, energy, tempo, key FROM landed ORDER BY rowid")
    return arrival, rows, notes


@pytest.fixture
def expected(tmp_path: Path) -> list[tuple[object, ...]]:
    rows = land(write_csv(tmp_path / "expected.csv", ROWS))[1]
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
def test_every_form_of_the_same_table_lands_the_same(tmp_path: Path, expected: list[tuple[object, ...]], form) -> None:  # type: ignore[no-untyped-def]
    arrival, rows, _ = land(form(tmp_path))
    assert rows == expected
    assert (arrival.received, arrival.accepted) == (4, 4)


def test_old_mac_newlines(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", tracks(3), lineterminator="\r")
    assert land(path)[0].accepted == 3


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_read_when_named(tmp_path: Path, expected: list[tuple[object, ...]], encoding: str) -> None:
    path = write_csv(tmp_path / "t.csv", ROWS, encoding=encoding)
    assert land(path, encoding=encoding)[1] == expected


def test_optional_columns_may_be_absent_and_extra_ones_are_noted(tmp_path: Path) -> None:
    row = {k: v for k, v in track(1).items() if k not in {"music_genre", "obtained_date"}} | {
        "label": "x",
        "isrc": "y",
    }
    arrival, _, notes = land(write_csv(tmp_path / "t.csv", [row]))
    assert arrival.accepted == 1
    assert notes == [f"{tmp_path}/t.csv: not used: label, isrc"]


def test_a_mapping_reads_a_column_from_another(tmp_path: Path, expected: list[tuple[object, ...]]) -> None:
    renamed = [{{"artist_name": "Artist Name", "tempo": "BPM"}.get(k, k): v for k, v in row.items()} for row in ROWS]
    path = write_csv(tmp_path / "t.csv", renamed)
    with pytest.raises(SourceShapeError) as caught:
        land(path)
    assert '--map artist_name="Artist Name"' in str(caught.value)
    assert "tempo" in str(caught.value)
    assert land(path, mapping={"artist_name": "Artist Name", "tempo": "bpm"})[1] == expected


@pytest.mark.parametrize("mapping", [{"artst_name": "Artist"}, {"tempo": "nowhere"}])
def test_a_mapping_that_cannot_be_is_an_error(tmp_path: Path, mapping: dict[str, str]) -> None:
    with pytest.raises((UsageError, SourceShapeError), match="artist_name|nowhere"):
        land(write_csv(tmp_path / "t.csv", ROWS), mapping=mapping)


def test_text_where_numbers_are_due_never_drops_a_row(tmp_path: Path) -> None:
    """DuckDB pushes casts of bare columns into its CSV reader, where they would drop the row in silence."""
    rows = [track(i, **{column: "many"}) for i, column in enumerate(("popularity", "tempo", "duration_ms", "valence"))]
    arrival, landed, _ = land(write_csv(tmp_path / "t.csv", [*rows, track(9)]))
    assert (len(landed), arrival.received, arrival.quarantined, arrival.accepted) == (5, 5, 4, 1)


def test_rows_that_cannot_be_parsed_are_rows_too(tmp_path: Path) -> None:
    text = write_csv(tmp_path / "t.csv", tracks(40), lineterminator="\n").read_text().splitlines()
    text.insert(3, "77,too,few")
    text.insert(10, text[10] + ",too,many")
    text.insert(20, '78,"un"quoted",x' + ",1" * 15)
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join(text) + "\n")
    result = genrepipe(
        "score", path, "--warehouse", tmp_path / "w.duckdb", "--output", "json", "--run-date", "2026-01-02"
    )
    # three of 43 rows are more than the limit allows, so they are shown by validate; then more good rows come
    assert result.code == 65
    more = write_csv(tmp_path / "more.csv", [track(i) for i in range(100, 200)])
    result = genrepipe(
        "score",
        path,
        more,
        "--warehouse",
        tmp_path / "w.duckdb",
        "--output",
        "json",
        "--run-date",
        "2026-01-02",
    )
    assert result.code == 0, result.err
    assert (result.json["received"], result.json["predicted"], result.json["quarantined"]) == (143, 140, 3)
    with duckdb.connect(tmp_path / "w.duckdb", read_only=True) as connection:
        rows = connection.execute(
            "SELECT row_number, reasons[1], received FROM quarantine ORDER BY row_number"
        ).fetchall()
    assert [(n, reason.split(":")[0]) for n, reason, _ in rows] == [
        (3, "row.columns"),
        (10, "row.columns"),
        (20, "row.quotes"),
    ]
    assert rows[0][2] == "77,too,few"


def test_row_numbers_count_the_rows_that_could_not_be_parsed(tmp_path: Path) -> None:
    text = (
        write_csv(tmp_path / "t.csv", [track(1), track(2), track(3, energy="9"), track(4)], lineterminator="\n")
        .read_text()
        .splitlines()
    )
    text.insert(1, "a,b")
    text.insert(3, "c,d")
    (tmp_path / "r.csv").write_text("\n".join(text) + "\n")
    found = genrepipe(
        "validate", write_csv(tmp_path / "first.csv", tracks(2)), tmp_path / "r.csv", "--output", "json"
    ).json
    examples = {
        e["row"]: r["reason"].split(":")[0]
        for r in found["reasons"]
        for e in r["examples"]
        if e["file"].endswith("r.csv")
    }
    # the second file repeats ids 1 and 2 of the first with the same content: duplicates, not quarantined
    assert examples == {1: "row.columns", 3: "row.columns", 5: "energy.maximum"}
    assert found["duplicates"] == 2


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("no.csv", SourceMissing),
        ("no-*.csv", SourceMissing),
        ("s3://b/k.csv", UsageError),
        ("no.duckdb::t", SourceMissing),
    ],
)
def test_what_is_not_there_says_so(argument: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"no|s3"):
        sources.resolve([argument])


def test_the_fingerprint_follows_content_and_way_of_reading(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ROWS)
    copy = tmp_path / "copy.csv"
    shutil.copy(path, copy)
    other = write_csv(tmp_path / "u.csv", ROWS[:3])
    with warehouse.open_memory(resources.plan()) as database:
        prints = [
            landing.fingerprint(database, sources.resolve([str(p)], **options))  # type: ignore[arg-type]
            for p, options in [
                (path, {}),
                (copy, {}),
                (other, {}),
                (path, {"encoding": "latin-1"}),
                (as_table(tmp_path), {}),
            ]
        ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def test_an_unreadable_file_is_an_input_output_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    path = write_csv(tmp_path / "t.csv", ROWS)
    path.chmod(0)
    assert genrepipe("validate", path).code == 74


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV that DuckDB reads in parallel: ids ascend, every 50,000th row is bad, the first ids come again at the end."""
    path = tmp_path_factory.mktemp("large") / "t.csv"
    lines = [",".join(GOOD)]
    for i in range(300_000):
        row = track(i, popularity="900") if i % 50_000 == 49_999 else track(i)
        lines.append(",".join(row.values()))
    lines += [",".join(track(i, energy="0.5").values()) for i in range(500)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_land_in_source_order_even_when_read_in_parallel(large: Path, tmp_path: Path) -> None:
    small = write_csv(tmp_path / "small.csv", [track(900_000 + i) for i in range(10)])
    for arguments in ([large], [small, large]):  # the first part makes the table, the second is inserted
        with warehouse.open_memory(resources.plan()) as database:
            landing.land(database, sources.resolve(map(str, arguments)))
            ids = [int(i) for (i,) in database.rows("SELECT track_id FROM landed ORDER BY rowid")][-300_500:]
            winners = database.value("SELECT count(*) FROM accepted WHERE track_id::INT < 500 AND energy = 0.5::FLOAT")
        assert ids == [*range(300_000), *range(500)]
        assert winners == 500


def test_the_plan_of_the_load_keeps_the_order(large: Path) -> None:
    """One join in the load, which DuckDB makes of IN (…) by itself, and the order would be gone on some runs only."""
    with warehouse.open_memory(resources.plan()) as database:
        landing.land(database, sources.resolve([str(large)]))
        for statement in ("CREATE TEMP TABLE again AS", "INSERT INTO landed"):
            plan = database.rows(f"EXPLAIN {statement} {landing._judgement()}")[0][1]
            assert "BATCH" in plan.upper(), plan
            assert "JOIN" not in plan.upper(), plan


def test_row_numbers_of_a_large_file(large: Path) -> None:
    found = genrepipe("validate", large, "--output", "json").json
    (reason,) = [r for r in found["reasons"] if r["reason"].startswith("popularity")]
    assert (reason["rows"], [e["row"] for e in reason["examples"]]) == (6, [50_000, 100_000, 150_000, 200_000, 250_000])


def test_lines_that_end_in_several_ways_lose_no_cell(tmp_path: Path) -> None:
    lines = write_csv(tmp_path / "raw.csv", tracks(40)).read_bytes().split(b"\r\n")[:-1]
    lines[31] += b",one too many"
    path = tmp_path / "t.csv"
    path.write_bytes(b"".join(line + (b"\n" if i % 4 else b"\r\n") for i, line in enumerate(lines)))
    arrival, rows, _ = land(path)
    assert (arrival.received, arrival.quarantined, len(rows)) == (40, 1, 39)


def test_carriage_returns_alone_with_breaks_in_quotes(tmp_path: Path) -> None:
    rows = [track(i, track_name=f"two\nlines {i}") for i in range(200)]
    arrival, landed, _ = land(write_csv(tmp_path / "t.csv", rows, lineterminator="\r", quoting=1))
    assert (arrival.received, arrival.accepted) == (200, 200)
    assert landed[7][2] == "two lines 7"


@pytest.mark.parametrize("level", [1, 19])
@pytest.mark.parametrize("checksum", [False, True])
def test_whole_zstd_files_pass_and_every_cut_is_found(tmp_path: Path, level: int, checksum: bool) -> None:
    from genrepipe.core.errors import StorageError

    path = tmp_path / "t.csv.zst"
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=checksum)
    whole = compressor.compress(write_csv(tmp_path / "raw.csv", tracks(3000)).read_bytes())
    for content in (whole, whole + whole, b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + whole):
        path.write_bytes(content)
        csvfiles.check_whole(path, path.name)
    for cut in (3, 5, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(StorageError, match="cut short"):
            csvfiles.check_whole(path, path.name)


@pytest.mark.parametrize("name", ["T.CSV.GZ", "T.CSV.ZST", "T.CSV"])
def test_names_in_capitals_are_read_alike(tmp_path: Path, name: str) -> None:
    """Thousands of rows: packed, some of their bytes are carriage returns."""
    plain = write_csv(tmp_path / "plain.csv", tracks(3000)).read_bytes()
    pack = {"GZ": gzip.compress, "ZST": zstandard.compress}.get(name.rpartition(".")[2], bytes)
    (tmp_path / name).write_bytes(pack(plain))
    arrival = land(tmp_path / name)[0]
    assert (arrival.received, arrival.accepted) == (3000, 3000)
    if pack is not bytes:
        (tmp_path / name).write_bytes(pack(plain) + pack(plain)[:-20])
        with pytest.raises(StorageError, match="cannot be read to its end"):
            land(tmp_path / name)
