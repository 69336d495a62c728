"""Tables of SQLite files: copied as text, since SQLite gives each cell a type of its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl

from genrepipe.core.errors import SourceMissing, SourceShapeError, StorageError
from genrepipe.core.quoting import identifier

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.ingest.sources import Part
    from genrepipe.warehouse.connection import Database

MAGIC = b"SQLite format 3\0"  # the first bytes of such a file, https://sqlite.org/fileformat.html
ROWS = 50_000  # at a time


def is_sqlite(path: Path) -> bool:
    """Return whether a file is one of SQLite."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # whoever opens it says why


def copy(database: Database, part: Part, table: str) -> None:
    """Make a temporary table of text of a table, or a view, in a SQLite file.

    Raises
    ------
    SourceMissing
        There is no such table.
    SourceShapeError
        A cell is binary, and not UTF-8 text.
    StorageError
        The file cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(part.path))}?mode=ro", uri=True)) as file:
            found = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
            if part.table not in found:
                raise SourceMissing(
                    f"{part.name}: there is no such table", f"Tables: {', '.join(sorted(found)) or 'none'}"
                )
            rows = file.execute(f"SELECT * FROM {identifier(part.table)}")
            names = [column[0] for column in rows.description]
            columns = ", ".join(f"{identifier(name)} VARCHAR" for name in names)
            database.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({columns})", reading=part)
            while batch := rows.fetchmany(ROWS):
                columns_of = zip(names, zip(*batch, strict=True), strict=True)
                texts = [[_text(cell, part, name) for cell in cells] for name, cells in columns_of]
                database.insert(table, pl.DataFrame(texts, schema=dict.fromkeys(names, pl.String), orient="col"))
    except sqlite3.Error as error:
        raise StorageError(
            f"{part.name} cannot be read: {error}", "Check that the SQLite file is whole and not being written"
        ) from error


def _text(cell: object, part: Part, name: str) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if not isinstance(cell, bytes):
        return str(cell)
    try:
        return cell.decode()
    except UnicodeDecodeError as error:
        raise SourceShapeError(
            f"{part.name}: column {name} is binary, and not UTF-8 text", "Write it as text"
        ) from error
