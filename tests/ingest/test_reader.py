"""The reader of one part: what DuckDB makes of lines, quotes and files that are not what they seem; each ends in one line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
import zstandard

from genrepipe import contracts
from genrepipe.core import resources
from genrepipe.ingest import reader, sources
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps
from tests.support import GOOD, ask, genrepipe, landed, run, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_lines_that_end_in_several_ways_lose_no_cell(tmp_path: Path) -> None:
    lines = write_csv(tmp_path / "raw.csv", tracks(40)).read_bytes().split(b"\r\n")[:-1]
    lines[31] += b",one too many"
    path = tmp_path / "t.csv"
    path.write_bytes(b"".join(line + (b"\n" if i % 4 else b"\r\n") for i, line in enumerate(lines)))
    with landed(path) as (steps, found):
        assert (found.counts.received, found.counts.quarantined, found.counts.accepted) == (40, 1, 39)
        assert steps.database.rows("SELECT row_number_of(row_id) FROM unparsed") == [(31,)]


def test_carriage_returns_alone_with_breaks_in_quotes(tmp_path: Path) -> None:
    rows = [track(i, track_name=f"two\nlines {i}") for i in range(200)]
    with landed(write_csv(tmp_path / "t.csv", rows, lineterminator="\r", quoting=1)) as (steps, found):
        assert (found.counts.received, found.counts.accepted) == (200, 200)
        assert steps.database.value("SELECT track_name FROM landed WHERE track_id = '7'") == "two lines 7"


def test_the_plan_of_the_load_keeps_the_order(tmp_path: Path) -> None:
    """One join in the load, which DuckDB makes of IN (…) by itself, and the order would be gone on some runs only."""
    source = sources.resolve([str(write_csv(tmp_path / "t.csv", tracks(9)))])
    plans: list[str] = []
    with schema.open_memory(resources.plan()) as database:
        steps = Steps(database)

        def explain(received: str) -> int:
            with steps.bound("received", received):
                steps.make("judged")
                database.execute("CREATE TEMP TABLE again AS FROM judged LIMIT 0")
                loads = ("CREATE TEMP TABLE more AS", "INSERT INTO again")
                plans.extend(database.rows(f"EXPLAIN {load} SELECT * FROM judged")[0][1] for load in loads)
            database.execute(f"CREATE TABLE read_now AS {received}")
            return 9

        steps.declare("unparsed")
        reader.read(database, source.parts[0], source, contracts.load("source_tracks").table, 0, explain)
    assert len(plans) == 2
    for plan in plans:
        assert "BATCH" in plan.upper(), plan
        assert "JOIN" not in plan.upper(), plan


def test_a_header_may_come_after_many_blank_lines(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", tracks(2))
    (tmp_path / "b.csv").write_text("\n" * 300 + path.read_text())
    assert run("validate", tmp_path / "b.csv").code == 0


def missing_file(folder: Path) -> object:
    return folder / "none.csv"


def empty_file(folder: Path) -> object:
    (folder / "t.csv").touch()
    return folder / "t.csv"


def header_only(folder: Path) -> object:
    return write_csv(folder / "t.csv", [])


def only_empty_rows(folder: Path) -> object:
    return write_csv(folder / "t.csv", [dict.fromkeys(GOOD, "")] * 3)


def glob_without_match(folder: Path) -> object:
    return f"{folder}/*.csv"


def folder_without_data(folder: Path) -> object:
    (folder / "notes.txt").write_text("nothing")
    return folder


def other_kind_of_file(folder: Path) -> object:
    (folder / "t.xlsx").write_text("PK")
    return folder / "t.xlsx"


def ragged(folder: Path) -> object:
    path = write_csv(folder / "t.csv", tracks(5))
    path.write_text(path.read_text() + "6,short\n" * 5)
    return path


def binary_garbage(folder: Path) -> object:
    (folder / "t.csv").write_bytes(bytes(range(256)) * 100)
    return folder / "t.csv"


def zip_named_csv(folder: Path) -> object:
    (folder / "t.csv.gz").write_bytes(b"PK\x03\x04" + bytes(100))
    return folder / "t.csv.gz"


def latin_1(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(10), encoding="latin-1")


def missing_column(folder: Path) -> object:
    return write_csv(folder / "t.csv", [{k: v for k, v in track().items() if k != "energy"}])


def renamed_columns(folder: Path) -> object:
    return write_csv(
        folder / "t.csv",
        [{{"artist_name": "Artist Name", "tempo": "Tempo_BPM"}.get(k, k): v for k, v in track().items()}],
    )


def doubled_column(folder: Path) -> object:
    return write_csv(folder / "t.csv", [track() | {" Tempo ": "7"}])


def words_for_numbers(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, energy="high"))


def infinities(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, loudness="inf"))


def not_a_number(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, valence="nan"))


def out_of_range(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, popularity="101"))


def ten_megabyte_field(folder: Path) -> object:
    return write_csv(folder / "t.csv", [track(1), track(2, track_name="x" * 10_000_000)])


def unclosed_quote(folder: Path) -> object:
    path = write_csv(folder / "t.csv", tracks(20_000), lineterminator="\n")
    lines = path.read_text().splitlines()
    lines[5000] = lines[5000].replace("Night", '"Night')
    lines[5000] = lines[5000].replace(',Röyksopp,"Night', ',"Röyksopp,Night')
    path.write_text("\n".join(lines) + "\n")
    return path


def two_stray_quotes(folder: Path) -> object:
    path = write_csv(folder / "t.csv", tracks(100), lineterminator="\n")
    lines = path.read_text().splitlines()
    lines[10] = lines[10].replace(",Röyksopp,", ',"Röyksopp,')
    lines[14] = lines[14].replace(",Röyksopp,", ',Röyksopp",')
    path.write_text("\n".join(lines) + "\n")
    return path


def cut_gzip(folder: Path) -> object:
    (folder / "t.csv.gz").write_bytes(gzip.compress(write_csv(folder / "raw", tracks(500)).read_bytes())[:-300])
    return folder / "t.csv.gz"


def damaged_gzip(folder: Path) -> object:
    content = bytearray(gzip.compress(write_csv(folder / "raw", tracks(500)).read_bytes()))
    content[-6] ^= 1  # in the checksum
    (folder / "t.csv.gz").write_bytes(content)
    return folder / "t.csv.gz"


def cut_zstd(folder: Path) -> object:
    content = zstandard.compress(write_csv(folder / "raw", tracks(40_000)).read_bytes())
    (folder / "t.csv.zst").write_bytes(content[: len(content) * 2 // 3])
    return folder / "t.csv.zst"


def cut_parquet(folder: Path) -> object:
    path = folder / "t.parquet"
    pl.DataFrame(tracks(500)).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def csv_named_parquet(folder: Path) -> object:
    return write_csv(folder / "t.parquet", tracks(5))


def table_that_is_not_there(folder: Path) -> object:
    duckdb.connect(folder / "o.duckdb").close()
    return f"{folder}/o.duckdb::nothing"


def duckdb_without_table(folder: Path) -> object:
    duckdb.connect(folder / "o.duckdb").close()
    return folder / "o.duckdb"


SOURCES: list[tuple[Callable[[Path], object], int, str]] = [
    (missing_file, 66, "there is no such file. Check the path"),
    (empty_file, 65, "is empty. Check that the export was complete"),
    (header_only, 65, "holds no tracks"),
    (only_empty_rows, 65, "holds no tracks"),
    (glob_without_match, 66, "no file matches"),
    (folder_without_data, 66, "holds no CSV or Parquet file"),
    (other_kind_of_file, 64, "neither CSV, JSON Lines nor Parquet by its name"),
    (ragged, 65, "5 of 10 rows (50.0 %) break the contract, the limit is 5 %"),
    (binary_garbage, 65, "has no header that can be read"),
    (zip_named_csv, 74, "cannot be read"),
    (latin_1, 65, "--encoding"),
    (missing_column, 65, "1 of the contract's columns are missing: energy"),
    (renamed_columns, 65, '--map artist_name="Artist Name" --map tempo="Tempo_BPM"'),
    (doubled_column, 65, "the column tempo occurs 2 times"),
    (words_for_numbers, 65, "energy.readable: must be a finite number (5 rows)"),
    (infinities, 65, "loudness.readable: must be a finite number"),
    (not_a_number, 65, "mostly_imputed_percent"),
    (out_of_range, 65, "popularity.maximum: must be at most 100 points"),
    (ten_megabyte_field, 65, "1 of 2 rows"),
    (unclosed_quote, 65, "a quote that opens in row 5,000 is not closed and swallows the rows after it"),
    (two_stray_quotes, 65, "a quote that opens in row 10 is not closed"),
    (cut_gzip, 74, "It may be cut short"),
    (damaged_gzip, 74, "CRC check failed"),
    (cut_zstd, 74, "cut short"),
    (cut_parquet, 74, "It may be cut short"),
    (csv_named_parquet, 74, "cannot be read"),
    (table_that_is_not_there, 66, "Check the name after the ::"),
    (duckdb_without_table, 64, "::table"),
]


@pytest.mark.parametrize(("make", "code", "said"), SOURCES, ids=lambda value: getattr(value, "__name__", ""))
def test_bad_sources(tmp_path: Path, make: Callable[[Path], object], code: int, said: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    warehouse = tmp_path / "w.duckdb"
    result = run("score", make(folder), "--warehouse", warehouse, "--output", "json")
    assert result.code == code, result.err
    assert said in result.error
    assert result.json == {
        "status": "failed",
        "error": result.json["error"],
        "message": result.json["message"],
        "exit_code": code,
    }
    assert result.error == f"genrepipe: error: {result.json['message']}"
    assert "Traceback" not in result.err
    # What was asked for wrongly, or is not there, leaves no trace; what was begun is in the ledger.
    assert warehouse.exists() == (code in {65, 74})
    if warehouse.exists():
        assert ask(warehouse, "FROM tracks") == ask(warehouse, "FROM predictions") == []
        (line,) = ask(warehouse, "FROM runs")
        assert (line["exit_code"], line["predicted"]) == (code, 0)
        assert line["status"] == ("refused" if code == 65 else "failed")
        assert line["received"] == line["withheld"] + line["quarantined"] + line["duplicates"] + line["empty"]


@pytest.mark.parametrize(
    ("make", "code"), [(missing_file, 66), (words_for_numbers, 65), (cut_gzip, 74), (other_kind_of_file, 64)]
)
def test_a_bad_source_ends_a_process_with_its_code_and_one_line(
    tmp_path: Path, make: Callable[[Path], object], code: int
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    result = genrepipe("score", make(folder), "--warehouse", tmp_path / "w.duckdb", "--output", "json")
    assert (result.code, result.json["exit_code"]) == (code, code)
    assert result.error == f"genrepipe: error: {result.json['message']}"
