"""One part of a source as DuckDB reads it: its columns, its relation, and the rows that could not be parsed."""

from __future__ import annotations

import csv
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genrepipe import csvfiles, sources
from genrepipe.contracts import identifier, literal
from genrepipe.errors import SourceShapeError, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genrepipe.contracts import Table
    from genrepipe.database import Database
    from genrepipe.sources import Part, Source

ALIAS = "genrepipe_source"  # of a source's database; that of a warehouse is its file's name
MAX_LINE_BYTES = 2_000_000
COMPRESSION = {"": "none", ".gz": "gzip", ".zst": "zstd"}  # in DuckDB's words
PARSE_FAILURES = {
    "MISSING COLUMNS": "columns: has fewer cells than the header",
    "TOO MANY COLUMNS": "columns: has more cells than the header",
    "UNQUOTED VALUE": "quotes: a quoted cell does not end where it should",
    "LINE SIZE OVER MAXIMUM": f"size: is longer than {MAX_LINE_BYTES:,} bytes",
    "INVALID ENCODING": "encoding: is not text of the named encoding; see --encoding",
}


def begin(database: Database) -> None:
    """Make the temporary table ``unparsed``, empty."""
    database.execute(
        "CREATE OR REPLACE TEMP TABLE unparsed "
        "(file VARCHAR, row_number BIGINT, landed_before BIGINT, reason VARCHAR, received VARCHAR)"
    )


def read(
    database: Database, part: Part, source: Source, contract: Table, insert: Callable[[str], None]
) -> tuple[list[str], dict[str, int | None]]:
    """Hand ``insert`` a SELECT of the contract's columns as text, and let it read the part's rows by it.

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
        csvfiles.check_whole(part.path, part.name)
    bytes_are_text = part.kind == "csv" and source.encoding != "utf-16"
    with attached(database, part) as table:
        names = header(database, part, source, table)
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
                rows, columns = relation(copy, source, names, table)
                cells = ", ".join(
                    f"{f'CAST({identifier(columns[at])} AS VARCHAR)' if at is not None else 'NULL::VARCHAR'} AS {identifier(column)}"
                    for column, at in positions.items()
                )
                insert(f"SELECT {cells} FROM {rows}")

        rewrite = bytes_are_text and csvfiles.lone_returns(part.path)
        try:
            read_rows(rewrite=rewrite)
        except SourceShapeError:
            # DuckDB's strict reader gives up where lines end in more than one way; its lenient one drops cells in silence.
            if rewrite or not bytes_are_text or csvfiles.packing(part.path) == ".zst":
                raise
            database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
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
        csvfiles.with_line_feeds(part.path, copy)  # type: ignore[arg-type]
        copy.flush()
        yield replace(part, path=Path(copy.name))


class attached:  # noqa: N801  used as a context manager
    """Attach the database of a table part, read-only, for as long as it is read."""

    def __init__(self, database: Database, part: Part) -> None:
        self.database, self.part = database, part
        # The warehouse's own tables can be a source too; a file cannot be attached to itself.
        own = database.stands_for is not None and part.kind == "table" and _same(part.path, database.stands_for)
        self.attach = part.kind == "table" and not own

    def __enter__(self) -> str:
        if self.attach:
            statement = f"ATTACH {literal(str(self.part.path))} AS {ALIAS} (READ_ONLY)"
            self.database.execute(statement, source=self.part.name)
            view = self.part.table.rpartition(".")[2].lower()
            if self.database.value(
                f"SELECT count(*) FROM duckdb_views() WHERE database_name = '{ALIAS}' AND lower(view_name) = ?", [view]
            ):
                self.__exit__()
                raise UsageError(
                    f"{self.part.name} is a view, and a view of another's may read any file here", "Name a table"
                )
        names = [identifier(name) for name in self.part.table.split(".")]
        return ".".join(([ALIAS] if self.attach else []) + names)

    def __exit__(self, *_: object) -> None:
        if self.attach:
            self.database.execute(f"DETACH {ALIAS}")


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _escaped(part: Part) -> str:
    """Return the path as a literal, safe from DuckDB's own globbing."""
    path = "".join(f"[{character}]" if character in "*?[" else character for character in str(part.path))
    return literal(path)


def header(database: Database, part: Part, source: Source, table: str) -> list[str]:
    """Return the names of a part's columns, none where its first line is not a header."""
    if part.kind == "table":
        return [row[0] for row in database.rows(f"DESCRIBE SELECT * FROM {table}", source=part.name)]
    if part.kind == "parquet":
        return [
            row[0] for row in database.rows(f"DESCRIBE SELECT * FROM read_parquet({_escaped(part)})", source=part.name)
        ]
    how = "header = false, delim = '', quote = '', escape = '', strict_mode = false, ignore_errors = true, columns = {'line': 'VARCHAR'}"
    line = database.value(
        f"SELECT line FROM {_read_csv(part, source, how)} LIMIT 1",
        source=part.name,
    )
    try:
        return next(csv.reader([line or ""], delimiter=part.delimiter), [])
    except csv.Error:
        return []


def relation(part: Part, source: Source, header: list[str], table: str) -> tuple[str, list[str]]:
    """Return the FROM clause of a part, and the names of its columns there."""
    if part.kind == "table":
        return table, header
    if part.kind == "parquet":
        return f"read_parquet({_escaped(part)})", header
    names = [f"c{i}" for i in range(len(header))]
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    how = (
        f"header = true, delim = {literal(part.delimiter)}, quote = '\"', escape = '\"', "
        f"store_rejects = true, rejects_limit = 0, columns = {{{columns}}}"
    )
    return _read_csv(part, source, how), names


def _read_csv(part: Part, source: Source, how: str) -> str:
    packing = COMPRESSION[csvfiles.packing(part.path)]
    return (
        f"read_csv({_escaped(part)}, compression = '{packing}', auto_detect = false, "
        f"encoding = {literal(source.encoding)}, max_line_size = {MAX_LINE_BYTES}, {how})"
    )


def keep_unparsed(database: Database, part: Part) -> None:
    """Move what the CSV reader refused into ``unparsed``; its line count has the header as line 1."""
    told = "CASE error_type " + " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in PARSE_FAILURES.items())
    database.execute(
        f"""
        INSERT INTO unparsed
        SELECT {literal(part.name)}, line - 1, line - 1 - row_number() OVER (ORDER BY line), reason, received
        FROM (
            SELECT line, any_value({told} ELSE lower(error_type) END) AS reason, any_value(csv_line) AS received
            FROM reject_errors GROUP BY line
        )
        """
    )
    database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")


def refuse_swallowed(database: Database, part: Part, columns: int, swallowed: str) -> None:
    """Stop where a quote that is never closed made one cell of several rows: these could not be counted.

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
            SELECT row_number FROM unparsed
            WHERE file = ? AND contains(received, chr(10)) AND length(received) - length(replace(received, {literal(part.delimiter)}, '')) >= {several}
            UNION ALL {swallowed}
        )
        """,
        [part.name],
    )
    if row is not None:
        raise SourceShapeError(
            f"{part.name}: a quote that opens in row {row:,} is not closed and swallows the rows after it",
            "Correct the quotes, or export again with every quote in a cell doubled",
        )


def refuse_cut(database: Database, part: Part, landed: int) -> None:
    """Stop where a plain CSV file ends within its last row, with no line end after it; ``landed`` of its rows were read.

    Raises
    ------
    StorageError
        It does.
    """
    if csvfiles.packing(part.path) or csvfiles.ends_in_line_end(part.path):
        return
    last = database.rows(
        "SELECT max(row_number), max_by(landed_before, row_number), max_by(reason, row_number) FROM unparsed WHERE file = ?",
        [part.name],
    )[0]
    if last[0] is not None and last[1] >= landed and last[2] == PARSE_FAILURES["MISSING COLUMNS"]:
        raise StorageError(
            f"{part.name} ends within row {last[0]:,}", "It may be cut short or still be written: deliver it again"
        )
