"""One part of a source as DuckDB reads it: its columns, its relation, and the rows that cannot be parsed."""

from __future__ import annotations

import csv
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from genrepipe.core.errors import SourceShapeError, StorageError
from genrepipe.core.quoting import identifier, literal
from genrepipe.ingest import files, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genrepipe.contracts import Table
    from genrepipe.ingest.sources import Part, Source
    from genrepipe.warehouse.connection import Database

ALIAS = "genrepipe_source"  # of a source's database; that of a warehouse is its file's name
COPY = "genrepipe_view"  # what a view of such a database says
MAX_LINE_BYTES = 2_000_000
HEADER_LINES = 100  # among which the header is, after blank ones
COMPRESSION = {"": "none", ".gz": "gzip", ".zst": "zstd"}  # in DuckDB's words
PARSE_FAILURES = {
    "MISSING COLUMNS": "columns: has fewer cells than the header",
    "TOO MANY COLUMNS": "columns: has more cells than the header",
    "UNQUOTED VALUE": "quotes: a quoted cell does not end where it should",
    "LINE SIZE OVER MAXIMUM": f"size: is longer than {MAX_LINE_BYTES:,} bytes",
    "INVALID ENCODING": "encoding: is not text of the named encoding; see --encoding",
}


def read(
    database: Database, part: Part, source: Source, contract: Table, insert: Callable[[str], None]
) -> tuple[list[str], dict[str, int | None]]:
    """Call ``insert`` with a SELECT of the contract's columns as text, which reads the part's rows.

    ``insert`` is called a second time where DuckDB's reader refuses a file whose lines end in more than one way.

    Returns
    -------
    The part's header, and the position in it of each of the contract's columns.

    Raises
    ------
    SourceShapeError
        The part is not a table, or its columns are not those of the contract.
    StorageError
        The part cannot be read.
    """
    if part.kind == "csv":
        files.check_complete(part.path, part.name)
    bytes_are_text = part.kind == "csv" and source.encoding != "utf-16"
    with opened(database, part) as table:
        names, skipped = header(database, part, source, table)
        if not any(name.strip() for name in names):
            if part.path.stat().st_size == 0:
                raise SourceShapeError(f"{part.name} is empty", "Check that the export was complete")
            raise SourceShapeError(
                f"{part.name} has no header that can be read",
                "If it is text but not UTF-8, add --encoding latin-1 or utf-16",
            )
        positions = sources.match_columns(names, contract, source.mapping, part.name)

        def read_rows(*, rewrite: bool) -> None:
            with readable(part, database.scratch, rewrite=rewrite) as copy:
                rows, columns = relation(copy, source, names, table, skipped)
                cells = ", ".join(
                    f"{f'CAST({identifier(columns[at])} AS VARCHAR)' if at is not None else 'NULL::VARCHAR'} AS {identifier(column)}"
                    for column, at in positions.items()
                )
                insert(f"SELECT {cells} FROM {rows}")

        rewrite = bytes_are_text and files.has_lone_returns(part.path)
        try:
            read_rows(rewrite=rewrite)
        except SourceShapeError:
            # DuckDB's strict reader gives up where lines end in more than one way; its lenient one drops cells in silence.
            if rewrite or not bytes_are_text or files.compression(part.path) == ".zst":
                raise
            _drop_rejects(database)
            read_rows(rewrite=True)
    return names, positions


@contextmanager
def readable(part: Part, scratch: Path, *, rewrite: bool) -> Iterator[Part]:
    """Yield a part that DuckDB's reader takes; where lines end in more than one way, a copy in which they do not."""
    if not rewrite:
        yield part
        return
    scratch.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".csv", dir=scratch) as copy:
        files.with_line_feeds(part.path, copy)  # type: ignore[arg-type]
        copy.flush()
        yield replace(part, path=Path(copy.name))


@contextmanager
def opened(database: Database, part: Part) -> Iterator[str]:
    """Yield the name by which a table part is read, as long as its database is open.

    A table of another file is read where it is. A view of one may name any file here, so what it says is copied by a
    connection that can reach no other; text suffices, as all of a source is read as text.
    """
    name = ".".join(identifier(each) for each in part.table.split("."))
    if part.kind != "table" or (database.shown_as is not None and _same(part.path, database.shown_as)):
        yield name  # the warehouse's own tables can be a source too; a file cannot be attached to itself
        return
    database.execute(f"ATTACH {literal(str(part.path))} AS {ALIAS} (READ_ONLY)", reading=part)
    try:
        is_table = database.value(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = ? AND table_name = ? AND schema_name = ?",
            [ALIAS, *reversed(["main", *part.table.split(".")][-2:])],
        )
        if is_table:
            yield f"{ALIAS}.{name}"
    finally:
        database.execute(f"DETACH {ALIAS}")
    if not is_table:
        database.copy_from(part.path, f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {name}", COPY, reading=part)
        try:
            yield COPY
        finally:
            database.execute(f"DROP TABLE {COPY}")


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _escaped(part: Part) -> str:
    """Return the path as a literal, safe from DuckDB's own globbing."""
    path = "".join(f"[{character}]" if character in "*?[" else character for character in str(part.path))
    return literal(path)


def header(database: Database, part: Part, source: Source, table: str) -> tuple[list[str], int]:
    """Return the names of a part's columns, none where its first line is not a header, and how many blank lines precede it."""
    if part.kind != "csv":
        rows = table if part.kind == "table" else f"read_parquet({_escaped(part)})"
        return [row[0] for row in database.rows(f"DESCRIBE SELECT * FROM {rows}", reading=part)], 0
    how = "header = false, delim = '', quote = '', escape = '', strict_mode = false, ignore_errors = true, columns = {'line': 'VARCHAR'}"
    first = database.rows(f"SELECT line FROM {_read_csv(part, source, how)} LIMIT {HEADER_LINES}", reading=part)
    lines = [line or "" for (line,) in first]
    blank = next((number for number, line in enumerate(lines) if line), len(lines))
    try:
        return next(csv.reader(lines[blank : blank + 1], delimiter=part.delimiter), []), blank
    except csv.Error:
        return [], blank


def relation(part: Part, source: Source, header: list[str], table: str, skipped: int) -> tuple[str, list[str]]:
    """Return the FROM clause of a part whose header comes after ``skipped`` lines, and the names of its columns there."""
    if part.kind == "table":
        return table, header
    if part.kind == "parquet":
        return f"read_parquet({_escaped(part)})", header
    names = [f"c{i}" for i in range(len(header))]
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    how = (
        f"header = true, skip = {skipped}, delim = {literal(part.delimiter)}, quote = '\"', escape = '\"', "
        f"store_rejects = true, rejects_limit = 0, columns = {{{columns}}}"
    )
    return _read_csv(part, source, how), names


def _read_csv(part: Part, source: Source, how: str) -> str:
    packing = COMPRESSION[files.compression(part.path)]
    return (
        f"read_csv({_escaped(part)}, compression = '{packing}', auto_detect = false, "
        f"encoding = {literal(source.encoding)}, max_line_size = {MAX_LINE_BYTES}, {how})"
    )


def take_rejects(database: Database, part: Part, source: Source, ordinal: int) -> int:
    """Move what the CSV reader rejected into the relation ``unparsed``, and return how many rows that are.

    DuckDB counts lines: the header is the first, and blank ones count too, although they are no rows. It gives a row with
    the blank lines before it.
    """
    database.execute("CREATE OR REPLACE TEMP TABLE blank_lines (line BIGINT, blank_before BIGINT)")
    if database.value("SELECT count(*) FROM reject_errors"):
        blank = files.blank_lines(part.path, source.encoding, part.delimiter)
        if blank:
            database.insert("blank_lines", pl.DataFrame({"line": blank, "blank_before": range(1, len(blank) + 1)}))
    reason = "CASE error_type " + " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in PARSE_FAILURES.items())
    database.execute(
        f"""
        INSERT INTO unparsed
        SELECT row_id_of({ordinal}, rejected.line - 1 - coalesce(blank_before, 0)), reason, received
        FROM (
            SELECT line, any_value({reason} ELSE lower(error_type) END) AS reason, any_value(ltrim(csv_line, '\r\n')) AS received
            FROM reject_errors GROUP BY line
        ) AS rejected ASOF LEFT JOIN blank_lines ON rejected.line > blank_lines.line
        """
    )
    _drop_rejects(database)
    return int(database.value("SELECT count(*) FROM unparsed WHERE part_of(row_id) = ?", [ordinal]))


def _drop_rejects(database: Database) -> None:
    database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")


def refuse_swallowed(database: Database, part: Part, columns: int, ordinal: int, swallowed: str) -> None:
    """Stop where an unclosed quote made one cell of several rows: these cannot be counted.

    ``swallowed`` is a SELECT of the numbers of the rows that were read and have such a cell.

    Raises
    ------
    SourceShapeError
        There is one, or a line that could not be parsed holds a line break and the delimiters of more than one row.
    """
    several = 3 * (columns - 1) // 2
    row = database.value(
        f"""
        SELECT min(row_number) FROM (
            SELECT row_number_of(row_id) AS row_number FROM unparsed
            WHERE part_of(row_id) = ? AND contains(received, chr(10))
            AND length(received) - length(replace(received, {literal(part.delimiter)}, '')) >= {several}
            UNION ALL {swallowed}
        )
        """,
        [ordinal],
    )
    if row is not None:
        raise SourceShapeError(
            f"{part.name}: a quote that opens in row {row:,} is not closed and swallows the rows after it",
            "Correct the quotes, or export again with every quote in a cell doubled",
        )


def refuse_cut(database: Database, part: Part, ordinal: int, rows: int) -> None:
    """Stop where a plain CSV file ends within the last of its ``rows``, with no line end after it.

    Raises
    ------
    StorageError
        It does.
    """
    if files.compression(part.path) or files.ends_in_line_end(part.path):
        return
    reason = database.value("SELECT reason FROM unparsed WHERE row_id = row_id_of(?, ?)", [ordinal, rows])
    if reason == PARSE_FAILURES["MISSING COLUMNS"]:
        raise StorageError(
            f"{part.name} ends within row {rows:,}", "It may be cut short or still be written: deliver it again"
        )
