"""Users' queries: one read-only SELECT on a warehouse, whose answer is printable whatever its types."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from genrepipe.core import signals
from genrepipe.core.errors import GenrepipeError, UsageError
from genrepipe.warehouse import failures, lake
from genrepipe.warehouse.connection import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.core.resources import Plan

PYTHON_DAYS = (-719_162, 2_932_896)  # 0001-01-01 and 9999-12-31, in days since 1970


def query(path: Path, statement: str, plan: Plan) -> pl.DataFrame:
    """Run one read-only query for a user, who may read the warehouse, with its lake, and nothing else.

    Values of types that Polars does not know (intervals, unions, bits) come as text, and so do dates beyond the years 1 to
    9999; columns of the same name get a number. A signal stops it.

    Raises
    ------
    UsageError
        The SQL is wrong, is not one query, or tries to write.
    """
    with (
        Database(path, plan, read_only=True) as database,
        signals.deferred(),
        signals.on_signal(database.interrupt),
    ):
        database.forbid_file_access(lake.folders(database))
        database.execute("SET lock_configuration = true")  # else logging could be turned on, into a file
        return _ask(database, statement)


def _ask(database: Database, statement: str) -> pl.DataFrame:
    try:
        statement.encode()
    except UnicodeEncodeError:
        raise UsageError("The query is not UTF-8 text", "Write it in UTF-8") from None
    try:
        statements = duckdb.extract_statements(statement)
        bare = _without_end(statement)
        if [each.type for each in statements] == [duckdb.StatementType.MULTI]:  # PIVOT: it looks at values first
            database.execute(f"CREATE TEMP TABLE pivoted AS FROM ({bare}\n)")
            bare = "FROM pivoted"
        elif [each.type for each in statements] != [duckdb.StatementType.SELECT]:
            raise UsageError(
                "The query is not one SELECT",
                "Write one query; PIVOT, UNPIVOT, SUMMARIZE, DESCRIBE and SHOW are queries too",
            )
        columns = database.rows(f"DESCRIBE ({bare}\n)")
        names = [f"c{i}" for i in range(len(columns))]
        cast = {name: _printable(name, str(column[1])) for name, column in zip(names, columns, strict=True)}
        ask = f" FROM ({bare}\n) AS t({', '.join(names)})"
        frame = database.frame(f"SELECT {', '.join(cast.values())}{ask}")
        if beyond := _beyond(frame):
            cast |= {name: f"{name}::VARCHAR AS {name}" for name in beyond}
            frame = database.frame(f"SELECT {', '.join(cast.values())}{ask}")
    except (duckdb.Error, GenrepipeError) as error:
        raise failures.of_query(error, database.shown_as or Path(":memory:")) from error
    for name, column in zip(names, columns, strict=True):
        if column[1] == "HUGEINT":  # a sum of whole numbers; one that is too large stays text
            with suppress(pl.exceptions.InvalidOperationError):
                frame = frame.with_columns(pl.col(name).cast(pl.Int64))
    unique: list[str] = []
    for column in columns:
        repeats = sum(name == column[0] or name.startswith(f"{column[0]}_") for name in unique)
        unique.append(f"{column[0]}_{repeats}" if column[0] in unique else column[0])
    return frame.rename(dict(zip(names, unique, strict=True)))


def _without_end(statement: str) -> str:
    """Return one statement without the semicolons and comments after it."""
    text = statement.encode()  # offsets count bytes
    end = len(text)
    for offset, kind in reversed(duckdb.tokenize(statement)):
        if kind != duckdb.token_type.comment and text[offset : offset + 1] != b";":
            break
        end = offset
    return text[:end].decode()


def _beyond(frame: pl.DataFrame) -> list[str]:
    """Return the columns that hold infinity, or a year that Python has not: they can be shown as text only."""
    return [each.name for each in frame if any(not days.is_between(*PYTHON_DAYS).all() for days in _days(each))]


def _days(column: pl.Series) -> Iterator[pl.Series]:
    """Yield the dates and times in a column, however deep, in days since 1970."""
    if "Date" not in str(column.dtype):  # most lists have none, and are long
        return
    if isinstance(column.dtype, pl.List | pl.Array):
        yield from _days(column.explode())
    elif isinstance(column.dtype, pl.Struct):
        for field in column.dtype.fields:
            yield from _days(column.struct.field(field.name))
    elif column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        yield column.dt.epoch("d")


def _printable(name: str, kind: str) -> str:
    """Return a column as a type that Polars knows, or as text."""
    if kind in {"TIMESTAMP_S", "TIMESTAMP_MS"}:
        return f"{name}::TIMESTAMP AS {name}"  # in which infinity stays what it is
    unknown = re.search(
        r"HUGEINT|BIGNUM|\bTIME(_NS)?\b|INTERVAL|UNION|BIT|BLOB|TIME WITH TIME ZONE|VARIANT|GEOMETRY|TIMESTAMP_(S|MS|NS)|MAP\(.*(DATE|TIMESTAMP)",
        kind,
    )
    return f"{name}::VARCHAR AS {name}" if unknown else name
