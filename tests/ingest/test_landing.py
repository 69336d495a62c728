"""Landing: no row is lost, and the quarantine says of each in which file it stands, and at which number."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import genrepipe as api
from genrepipe.core import resources
from genrepipe.core.errors import TooManyRejected
from genrepipe.ingest import landing, sources
from genrepipe.ingest.recipes import SourceRecipe
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps
from tests.support import DATE, GOOD, PLAN, ask, landed, run_of, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

PACKING: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


class Numbered(NamedTuple):
    """Rows by their file and number: all, the ids of those that were accepted, the first reasons of the quarantined."""

    numbers: list[tuple[str, int]]
    accepted: dict[tuple[str, int], str]
    quarantined: dict[tuple[str, int], str]


def numbered(steps: Steps) -> Numbered:
    database = steps.database
    steps.make("quarantined")
    accepted = database.rows(
        "SELECT file, row_number_of(row_id), track_id FROM accepted JOIN parts ON ordinal = part_of(row_id)"
    )
    quarantined = database.rows("SELECT file, row_number, reasons[1] FROM quarantined")
    numbers = database.rows(
        "SELECT file, row_number_of(row_id) FROM (SELECT row_id FROM landed UNION ALL SELECT row_id FROM unparsed) "
        "JOIN parts ON ordinal = part_of(row_id)"
    )
    assert len(set(numbers)) == len(numbers)
    found = Numbered(
        numbers,
        {(file, number): track_id for file, number, track_id in accepted},
        {(file, number): reason.partition(":")[0] for file, number, reason in quarantined},
    )
    assert len(found.accepted) == len(accepted)
    assert len(found.quarantined) == len(quarantined)
    return found


def land(steps: Steps, *paths: object, **options: Any) -> Numbered:
    """Land a source in a run that may have landed another one."""
    steps.release("landed", "parts", "unparsed", "known_rows")
    landing.land(steps, sources.resolve(map(str, paths), **options))
    return numbered(steps)


def line(number: int, **changes: str) -> str:
    """Return a row as a line of CSV, with quotes where they are needed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(track(number, **changes).values())
    return text.getvalue().removesuffix("\r\n")


HEADER = ",".join(GOOD)
BROKEN, FEW, MANY = "energy.maximum", "row.columns", "row.columns"

# What stands in the file after the header, and the number of each row that is not accepted.
LAYOUTS: dict[str, tuple[list[str], dict[int, str]]] = {
    "no blank lines": ([line(1), "a,b", line(3, energy="9"), line(4)], {2: FEW, 3: BROKEN}),
    "blank lines after the header": (["", "", "a,b", line(2, energy="9"), line(3)], {1: FEW, 2: BROKEN}),
    "blank lines between": (
        [line(1), "", "a,b", "", "", line(3, energy="9"), "", line(4), "", "c", line(6, energy="9")],
        {2: FEW, 3: BROKEN, 5: FEW, 6: BROKEN},
    ),
    "blank lines at the end": ([line(1), line(2, energy="9"), "a,b", "", ""], {2: BROKEN, 3: FEW}),
    "line breaks in quoted cells": (
        [line(1, track_name="a\nb"), "a,b", line(3, track_name="a\r\nb\nc", energy="9"), line(4), "c"],
        {2: FEW, 3: BROKEN, 5: FEW},
    ),
    "blank lines in quoted cells": (
        [line(1, track_name="a\n\n\nb"), "", "a,b", line(3, artist_name="\n\n", energy="9"), "c"],
        {2: FEW, 3: BROKEN, 4: FEW},
    ),
    "blank lines in cells of rows that cannot be parsed": (
        [line(1), 'a,"b\n\nc"', "", 'd,"\n\n"', "e", line(5, energy="9"), line(6)],
        {2: FEW, 3: FEW, 4: FEW, 5: BROKEN},
    ),
    "too many cells": ([line(1) + ",more", "", line(2) + ",x" * 30, line(3, energy="9")], {1: MANY, 2: MANY, 3: BROKEN}),
    "quotes that end too early": (
        ['"a"b,' + "1," * 16 + "1", "", line(2, energy="9"), line(3)],
        {1: "row.quotes", 2: BROKEN},
    ),
    "quotes within a cell that has none around it": (
        [line(1, track_name="X").replace("X", 'a\t"b'), "", "a,b", line(3, track_name="X").replace("X", 'a"b'), "", "c"],
        {2: FEW, 4: FEW},
    ),
    "rejected rows first and last": (["a", "b", line(3, energy="9"), line(4), "c", "d"], {1: FEW, 2: FEW, 3: BROKEN, 5: FEW, 6: FEW}),
    "lines of blanks are rows": (["   ", line(2, energy="9"), "\t", line(4)], {1: FEW, 2: BROKEN, 3: FEW}),
}  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("before", [0, 2], ids=["header first", "blank lines first"])
@pytest.mark.parametrize("packing", PACKING, ids=lambda suffix: suffix or "plain")
def test_rows_have_their_numbers_whatever_stands_between_them(
    steps: Steps, tmp_path: Path, end: str, before: int, packing: str
) -> None:
    """Each layout is a file of its own, and all of them are one source."""
    rejected, others, paths = {}, set(), []
    for name, (lines, expected) in LAYOUTS.items():
        path = tmp_path / f"{name}.csv{packing}"
        path.write_bytes(PACKING[packing]((end * before + end.join([HEADER, *lines]) + end).encode()))
        paths.append(str(path))
        rejected |= {(str(path), number): reason for number, reason in expected.items()}
        rows = len([text for text in lines if text])
        others |= {(str(path), number) for number in range(1, rows + 1) if number not in expected}
    found = land(steps, *paths)
    assert {at: why for at, why in found.quarantined.items() if why != "instance_id.unique"} == rejected
    assert set(found.numbers) - rejected.keys() == others


@pytest.fixture(scope="module")
def steps() -> Iterator[Steps]:
    """A run in memory, into which one source after the other is landed."""
    with schema.open_memory(PLAN) as database:
        found = Steps(database)
        found.bind_row("run", **run_of().relation())
        yield found


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("before", [0, 1])
def test_row_numbers_in_other_encodings(steps: Steps, tmp_path: Path, encoding: str, before: int) -> None:
    text = (
        "\n" * before
        + "\n".join([HEADER, line(1, track_name="é\n\né"), "", "a,b", "", line(3, energy="9"), "c"])
        + "\n"
    )
    (tmp_path / "t.csv").write_text(text, encoding=encoding, newline="")
    found = land(steps, tmp_path / "t.csv", encoding=encoding.removesuffix("-sig"))
    assert {number: reason for (_, number), reason in found.quarantined.items()} == {2: FEW, 3: BROKEN, 4: FEW}
    assert {number: track_id for (_, number), track_id in found.accepted.items()} == {1: "1"}


def test_rows_of_several_files_are_numbered_file_by_file(tmp_path: Path) -> None:
    texts = {
        "a.csv": [line(1), "", "x", line(3, energy="9")],
        "b.csv": ["", "y", line(4), line(5, energy="9"), line(6)],
        "c.csv.gz": [line(7, energy="9"), "", "", "z", line(8)],
        "d.csv": [line(9), line(10)],
        "e.tsv": [line(11).replace(",", "\t"), "", line(12, energy="9").replace(",", "\t"), "w"],
    }
    paths = {}
    for name, lines in texts.items():
        header = HEADER.replace(",", "\t") if name.endswith(".tsv") else HEADER
        content = ("\n".join([header, *lines]) + "\n").encode()
        paths[name] = str(tmp_path / name)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    order = ["d.csv", "a.csv", "e.tsv", "c.csv.gz", "b.csv"]
    with landed(*(paths[name] for name in order)) as (steps, arrived):
        found = numbered(steps)
        in_order = [row[0] for row in steps.database.rows("SELECT track_id FROM landed ORDER BY row_id")]
    assert found.quarantined == {
        (paths["a.csv"], 2): FEW, (paths["a.csv"], 3): BROKEN,
        (paths["b.csv"], 1): FEW, (paths["b.csv"], 3): BROKEN,
        (paths["c.csv.gz"], 1): BROKEN, (paths["c.csv.gz"], 2): FEW,
        (paths["e.tsv"], 2): BROKEN, (paths["e.tsv"], 3): FEW,
    }  # fmt: skip
    assert found.accepted == {
        (paths["a.csv"], 1): "1", (paths["b.csv"], 2): "4", (paths["b.csv"], 4): "6", (paths["c.csv.gz"], 3): "8",
        (paths["d.csv"], 1): "9", (paths["d.csv"], 2): "10", (paths["e.tsv"], 1): "11",
    }  # fmt: skip
    assert in_order == ["9", "10", "1", "3", "11", "12", "7", "8", "4", "5", "6"]
    assert arrived.counts.received == 15


# Cells of any content, and rows with too few or too many of them, as the csv module writes and numbers them.

words = st.text(st.sampled_from('ab,"\n\r\t é;'), max_size=8)
good_rows = st.builds(lambda name, energy: {"track_name": name, "energy": energy}, words, st.sampled_from(["0.5", "9"]))
bad_rows = st.one_of(st.lists(words, min_size=1, max_size=4), st.integers(1, 3).map(lambda extra: ["1"] * (18 + extra)))
blank_lines = st.integers(0, 3)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(blank_lines, st.one_of(good_rows, bad_rows)), max_size=8),
    blank=st.tuples(blank_lines, blank_lines),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    form=st.sampled_from([".csv", ".csv", ".csv.gz", ".csv.zst", ".tsv"]),
    quote_all=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_rows_are_numbered_as_the_csv_module_numbers_them(
    steps: Steps, tmp_path: Path, rows: list[tuple[int, dict[str, str] | list[str]]], blank: tuple[int, int], end: str,
    form: str, quote_all: bool, encoding: str,
) -> None:  # fmt: skip
    delimiter = "\t" if form == ".tsv" else ","

    def written(cells: Iterable[str]) -> str:
        """Quotes as RFC 4180 has them; the csv module leaves a carriage return unquoted where it ends no line."""
        special = (delimiter, '"', "\n", "\r")
        return delimiter.join(
            '"' + cell.replace('"', '""') + '"' if quote_all or any(mark in cell for mark in special) else cell
            for cell in cells
        )

    text = end * blank[0] + written(GOOD) + end
    for number, (lines, row) in enumerate(rows):
        cells = list(track(number, **row).values()) if isinstance(row, dict) else row
        text += end * lines + (written(cells) or '""') + end
    text += end * blank[1]
    path = tmp_path / f"t{form}"
    path.write_bytes(PACKING[form.removeprefix(".csv").removeprefix(".tsv")](text.encode(encoding)))

    read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    records = [cells for cells in read if cells][1:]
    assert len(records) == len(rows)
    energy = list(GOOD).index("energy")
    quarantined = {
        number: FEW if len(cells) != len(GOOD) else BROKEN
        for number, cells in enumerate(records, 1)
        if len(cells) != len(GOOD) or cells[energy] == "9"
    }
    found = land(steps, path)
    assert {number: reason for (_, number), reason in found.quarantined.items()} == quarantined
    assert {number: track_id for (_, number), track_id in found.accepted.items()} == {
        number: str(number - 1) for number in range(1, len(records) + 1) if number not in quarantined
    }
    assert len(found.numbers) == len(records)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV that DuckDB reads in parallel: ids ascend, every 50,000th row is bad, the first ids come again at the end."""
    path = tmp_path_factory.mktemp("large") / "t.csv"
    rest = ",".join(list(GOOD.values())[1:])
    bad = rest.replace(",27.0,", ",900,")
    lines = [HEADER, *(f"{i}.0,{bad if i % 50_000 == 49_999 else rest}" for i in range(300_000))]
    again = rest.replace(",0.941,", ",0.5,")
    lines += [f"{i}.0,{again}" for i in range(500)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert path.stat().st_size > 2**25  # DuckDB's reader takes 32 MB at a time
    return path


def test_rows_land_in_source_order_even_when_read_in_parallel(large: Path, tmp_path: Path) -> None:
    small = write_csv(tmp_path / "small.csv", [track(900_000 + i) for i in range(10)])
    for arguments in ([large], [small, large]):  # the first part makes the table, the second is inserted
        with landed(*arguments) as (steps, _):
            ids = [int(i) for (i,) in steps.database.rows("SELECT track_id FROM landed ORDER BY row_id")][-300_500:]
            numbers = steps.database.rows(
                "SELECT min(row_number_of(row_id)), max(row_number_of(row_id)), count(DISTINCT row_id) FROM landed "
                "WHERE part_of(row_id) = ?",
                [len(arguments) - 1],
            )
            winners = steps.database.value(
                "SELECT count(*) FROM accepted WHERE track_id::INT < 500 AND energy = 0.5::FLOAT"
            )
        assert ids == [*range(300_000), *range(500)]
        assert numbers == [(1, 300_500, 300_500)]
        assert winners == 500


def test_row_numbers_of_a_large_file(large: Path) -> None:
    found = api.validate(large)
    (reason,) = [r for r in found.reasons if r.reason.startswith("popularity")]
    assert (reason.rows, [e["row"] for e in reason.examples]) == (6, [50_000, 100_000, 150_000, 200_000, 250_000])


def test_row_numbers_of_a_large_file_with_rows_that_cannot_be_parsed(large: Path, tmp_path: Path) -> None:
    """Each thread of DuckDB's reader counts lines of its own part of the file."""
    lines = large.read_text(encoding="utf-8").splitlines()
    inserted = {10: "a,b", 120_000: "c,d", 250_000: "e", 300_400: "f,g,h"}  # by the row number that each then has
    for number, text in inserted.items():
        lines.insert(number, text)  # the header is line 0
    lines[200_000:200_000] = [""] * 3
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with landed(tmp_path / "t.csv") as (steps, arrived):
        found = numbered(steps).quarantined
    assert arrived.counts.received == 300_504
    parsed = {number: reason for (_, number), reason in found.items()}
    assert {number for number, reason in parsed.items() if reason == FEW} == set(inserted)
    assert {number for number, reason in parsed.items() if reason == "popularity.maximum"} == {
        50_001, 100_001, 150_002, 200_002, 250_003, 300_003,
    }  # fmt: skip


def test_rows_that_cannot_be_parsed_are_rows_too(tmp_path: Path) -> None:
    text = write_csv(tmp_path / "t.csv", tracks(40), lineterminator="\n").read_text().splitlines()
    text.insert(3, "77,too,few")
    text.insert(10, text[10] + ",too,many")
    text.insert(20, '78,"un"quoted",x' + ",1" * 15)
    path, warehouse = tmp_path / "ragged.csv", tmp_path / "w.duckdb"
    path.write_text("\n".join(text) + "\n")
    # three of 43 rows are more than the limit allows; then more good rows come
    with pytest.raises(TooManyRejected):
        api.score(path, warehouse, run_date=DATE)
    more = write_csv(tmp_path / "more.csv", [track(i) for i in range(100, 200)])
    result = api.score([path, more], warehouse, run_date=DATE)
    assert (result.received, result.predicted, result.quarantined) == (143, 140, 3)
    rows = ask(warehouse, "SELECT file, row_number AS n, reasons[1] AS reason, received FROM quarantine ORDER BY n")
    assert [(row["file"], row["n"], row["reason"].split(":")[0]) for row in rows] == [
        (str(path), 3, "row.columns"),
        (str(path), 10, "row.columns"),
        (str(path), 20, "row.quotes"),
    ]
    assert rows[0]["received"] == "77,too,few"


def test_row_numbers_count_the_rows_that_could_not_be_parsed(tmp_path: Path) -> None:
    rows = [track(1), track(2), track(3, energy="9"), track(4)]
    text = write_csv(tmp_path / "t.csv", rows, lineterminator="\n").read_text().splitlines()
    text.insert(1, "a,b")
    text.insert(3, "c,d")
    (tmp_path / "r.csv").write_text("\n".join(text) + "\n")
    found = api.validate([write_csv(tmp_path / "first.csv", tracks(2)), tmp_path / "r.csv"])
    examples = {e["row"]: r.reason.split(":")[0] for r in found.reasons for e in r.examples}
    assert {e["file"] for r in found.reasons for e in r.examples} == {str(tmp_path / "r.csv")}
    # the second file repeats ids 1 and 2 of the first with the same content: duplicates, not quarantined
    assert examples == {1: "row.columns", 3: "row.columns", 5: "energy.maximum"}
    assert found.duplicates == 2


def test_what_cannot_be_parsed_is_kept_without_the_blank_lines_before_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join([HEADER, *map(line, range(60)), "", "", "1,2,3"]) + "\n")
    with landed(tmp_path / "t.csv") as (steps, _):
        assert steps.database.rows("SELECT received FROM unparsed") == [("1,2,3",)]


def test_text_where_numbers_are_due_never_drops_a_row(tmp_path: Path) -> None:
    """DuckDB pushes casts of bare columns into its CSV reader, where they would drop the row in silence."""
    rows = [track(i, **{column: "many"}) for i, column in enumerate(("popularity", "tempo", "duration_ms", "valence"))]
    with landed(write_csv(tmp_path / "t.csv", [*rows, track(9)])) as (steps, arrived):
        assert steps.database.value("SELECT count(*) FROM landed") == 5
    counts = arrived.counts
    assert (counts.received, counts.quarantined, counts.accepted) == (5, 4, 1)


def test_the_fingerprint_follows_content_and_way_of_reading(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", tracks(4))
    copy = tmp_path / "copy.csv"
    shutil.copy(path, copy)
    other = write_csv(tmp_path / "u.csv", tracks(3))
    api.score(path, tmp_path / "w.duckdb")
    with schema.open_memory(resources.plan()) as database:
        prints = [
            landing.fingerprint(database, sources.resolve([str(p)], **options))
            for p, options in [
                (path, {}),
                (copy, {}),
                (other, {}),
                (path, {"encoding": "latin-1"}),
                (path, {"recipe": SourceRecipe().with_keys({"tempo": "Tempo"})}),
                (path, {"recipe": SourceRecipe().with_keys({}, ["x"])}),
                (f"{tmp_path}/w.duckdb::tracks", {}),
            ]
        ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 6
