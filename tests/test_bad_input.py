"""Bad input of every kind: one clear line, the right exit code, nothing half-written."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
import zstandard

from tests.conftest import GOOD, ask, genrepipe, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable


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


def utf_16(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(10), encoding="utf-16")


def missing_column(folder: Path) -> object:
    return write_csv(folder / "t.csv", [{k: v for k, v in track().items() if k != "energy"}])


def renamed_columns(folder: Path) -> object:
    return write_csv(
        folder / "t.csv",
        [{{"artist_name": "Artist Name", "tempo": "Tempo (BPM)"}.get(k, k): v for k, v in track().items()}],
    )


def doubled_column(folder: Path) -> object:
    return write_csv(folder / "t.csv", [track() | {" Tempo ": "7"}])


def semicolons(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(3), delimiter=";")


def words_for_numbers(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, energy="high"))


def infinities(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, loudness="inf"))


def not_a_number(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, valence="nan"))


def out_of_range(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, popularity="101"))


def foreign_genre(folder: Path) -> object:
    return write_csv(folder / "t.csv", tracks(5, music_genre="Polka"))


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
    (other_kind_of_file, 64, "neither CSV nor Parquet by its name"),
    (ragged, 65, "5 of 10 rows (50.0 %) break the contract, the limit is 5 %"),
    (binary_garbage, 65, "has no header that can be read"),
    (zip_named_csv, 74, "cannot be read"),
    (latin_1, 65, "--encoding"),
    (utf_16, 65, "--encoding"),
    (missing_column, 65, "1 of the contract's columns are missing: energy"),
    (renamed_columns, 65, '--map artist_name="Artist Name" --map tempo="Tempo (BPM)"'),
    (doubled_column, 65, "the column tempo stands there 2 times"),
    (semicolons, 65, "another delimiter than a comma"),
    (words_for_numbers, 65, "energy.readable: must be a finite number (5 rows)"),
    (infinities, 65, "loudness.readable: must be a finite number"),
    (not_a_number, 65, "valence.readable: must be a finite number"),
    (out_of_range, 65, "popularity.maximum: must be at most 100 points"),
    (foreign_genre, 65, "music_genre.oneOf"),
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
    result = genrepipe("score", make(folder), "--warehouse", warehouse, "--output", "json")
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
    if warehouse.exists():
        assert ask(warehouse, "FROM tracks") == ask(warehouse, "FROM predictions") == []
        (line,) = ask(warehouse, "FROM runs")
        assert (line["exit_code"], line["predicted"]) == (code, 0)
        assert line["status"] == ("refused" if code == 65 else "failed")
        assert line["received"] == line["withheld"] + line["quarantined"] + line["duplicates"] + line["empty"]


def a_folder(path: Path) -> None:
    path.mkdir()


def in_no_folder(path: Path) -> None:
    path.parent.rmdir()


def not_duckdb(path: Path) -> None:
    path.write_text("artist,genre\n" * 1000)


def strange_table(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE tracks (id INTEGER)")


def table_named_as_a_view(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE predictions_latest (id INTEGER)")


def foreign_layout(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE layout (room VARCHAR)")


def newer_layout(path: Path) -> None:
    assert genrepipe("score", write_csv(path.parent / "t.csv", tracks(3)), "--warehouse", path).code == 0
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE layout SET layout_version = 99")


def newer_duckdb(path: Path) -> None:
    duckdb.connect(path).close()
    content = bytearray(path.read_bytes())
    content[12:20] = (9999).to_bytes(8, "little")  # the storage version in the file's header
    path.write_bytes(content)
    with pytest.raises(duckdb.Error, match="checksum") as caught:
        duckdb.connect(path)
    computed = re.search(r"computed checksum (\d+)", str(caught.value))
    assert computed is not None
    content[:8] = int(computed.group(1)).to_bytes(8, "little")
    path.write_bytes(content)


def damaged(path: Path) -> None:
    duckdb.connect(path).close()
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


WAREHOUSES: list[tuple[Callable[[Path], None], int, str]] = [
    (a_folder, 78, "is a folder, not a warehouse file"),
    (in_no_folder, 74, "mkdir -p"),
    (not_duckdb, 78, "is not a DuckDB file"),
    (strange_table, 78, "has a table tracks that genrepipe did not make"),
    (table_named_as_a_view, 78, "has a table predictions_latest that genrepipe did not make"),
    (foreign_layout, 78, "has a table layout that genrepipe did not make"),
    (newer_layout, 78, "Upgrade genrepipe"),
    (damaged, 78, "is damaged"),
    (newer_duckdb, 78, "another version of DuckDB"),
]


@pytest.mark.parametrize(("spoil", "code", "said"), WAREHOUSES, ids=lambda value: getattr(value, "__name__", ""))
def test_bad_warehouses(tmp_path: Path, sample: Path, spoil: Callable[[Path], None], code: int, said: str) -> None:
    folder = tmp_path / "house"
    folder.mkdir()
    warehouse = folder / "w.duckdb"
    spoil(warehouse)
    before = warehouse.read_bytes() if warehouse.is_file() else None
    for more in ((), ("--dry-run",)) if said != "mkdir -p" else ((),):
        result = genrepipe("score", sample, "--warehouse", warehouse, *more)
        assert result.code == code, result.err
        assert said in result.error
    assert (warehouse.read_bytes() if warehouse.is_file() else None) == before


def test_a_warehouse_that_another_process_has_open(tmp_path: Path, sample: Path, scored: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    warehouse.write_bytes(scored.read_bytes())
    holder = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, warehouse], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        result = genrepipe("score", sample, "--warehouse", warehouse, "--run-date", "2026-11-23")
        assert process.stdin is not None
        process.stdin.close()
    assert result.code == 75
    assert f"PID {process.pid}" in result.error
    assert genrepipe("score", sample, "--warehouse", warehouse, "--run-date", "2026-11-23").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("score",), 64, "Missing argument"),
        (("sample", "--rows", "3"), 64, "--out"),
        (("scor", "x"), 64, "Did you mean score?"),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--run-date", "yesterday"), 64, "is not a date"),
        (
            ("score", "{sample}", "--warehouse", "w.duckdb", "--model", "all-feature"),
            78,
            "Did you mean all-features?",
        ),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--encoding", "klingon"), 64, "--encoding utf-8"),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--map", "tempo"), 64, "--map key=value"),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--map", "tmpo=x"), 64, "Did you mean tempo?"),
        (("query", "SELECT 1", "--warehouse", "none.duckdb"), 78, "there is no such warehouse"),
        (("query", "SELEC 1", "--warehouse", "{scored}"), 64, "The query failed"),
        (("query", "DELETE FROM tracks", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", "SELECT 1; SELECT 2", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", " ; ", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", "COPY (SELECT 1) TO 'leak.csv'", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", "FROM read_csv('/etc/passwd')", "--warehouse", "{scored}"), 64, "The query failed"),
        (("score", "", "--warehouse", "w.duckdb"), 64, "empty text"),
        (("score", "{sample}", "--warehouse", ":memory:"), 78, "cannot be a warehouse"),
        (("score", "{sample}", "--warehouse", "md:cloud"), 78, "cannot be a warehouse"),
        (("score", "{sample}", "--warehouse", "w.parquet"), 78, "cannot be a warehouse"),
        (("sample", "--seed", "-1", "--out", "t.csv"), 64, "--seed"),
        ((), 64, "A command is missing"),
        (("query", "SELECT nothing FROM tracks", "--warehouse", "{scored}"), 64, "The query failed"),
        (("models", "show", "none"), 78, "There is no model 'none'"),
        (("sample", "--out", "t.xlsx"), 64, "neither .csv nor .parquet"),
        (("sample", "--out", "none/t.csv"), 74, "cannot be written"),
        (("run", "none.yaml"), 78, "Name a job file"),
    ],
)
def test_bad_commands(
    tmp_path: Path, sample: Path, scored: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    filled = [argument.format(sample=sample, scored=scored) for argument in arguments]
    result = genrepipe(*filled, cwd=tmp_path)
    assert result.code == code, result.err
    assert said in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("models", "list", "--output", "json"), ("models", "show"), ("nonsense", "--output", "json")]
)
def test_output_that_cannot_be_written_is_no_traceback(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "genrepipe", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == (64 if words[0] == "nonsense" else 74), done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(scored: Path) -> None:
    query = f"{sys.executable} -m genrepipe query 'FROM prediction_probabilities' --warehouse {scored} --output csv | head -1"
    done = subprocess.run(query, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout.startswith("run_date"), done.stderr) == (True, "")
