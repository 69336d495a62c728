"""What a typed column of a Parquet file or a table says, as text: one rule for each type.

A source is read as text, whatever it is stored as; the contract says what the text means.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from genrepipe.core.errors import SourceShapeError
from genrepipe.core.quoting import identifier, literal

if TYPE_CHECKING:
    from genrepipe.contracts.documents import Column
    from genrepipe.ingest.sources import Part
    from genrepipe.warehouse.connection import Database

SCALAR = re.compile(
    r"VARCHAR|ENUM\(.*\)|BOOLEAN|U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|UINTEGER|UUID|DATE|TIME.*|INTERVAL|BIT|\"NULL\"",
    re.DOTALL,
)
LIST = re.compile(
    r"(?:VARCHAR|U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|UINTEGER|DOUBLE|FLOAT|DECIMAL\(.*\)|UUID)\[[0-9]*\]"
)  # of values
EXACT_WHOLE = 2**53  # whole numbers up to it are what they were in a DOUBLE, IEEE 754


def as_text(
    database: Database, part: Part, rows: str, name: str, kind: str, column: Column, of_list: str = "refuse"
) -> str:
    """Return the SQL expression of a column's text.

    Binary text is decoded; identifiers of fixed binary are written in hexadecimal digits. A decimal loses its trailing
    zeros, a whole number its point. NaN is a missing value.

    Parameters
    ----------
    rows
        The FROM clause.
    kind
        DuckDB's type of the column ``name``.
    of_list
        What is read of a list: ``join`` its values, with semicolons, the ``first`` of them, or ``refuse`` the column.

    Raises
    ------
    SourceShapeError
        The type says nothing that the contract's column could mean, or values of it have lost digits.
    """
    cell = identifier(name)
    is_id = bool(column.primaryKey)
    if LIST.fullmatch(kind) and of_list != "refuse":
        values = f"list_filter(CAST({cell} AS VARCHAR[]), lambda value: value IS NOT NULL)"
        return f"array_to_string({values}, '; ')" if of_list == "join" else f"({values})[1]"
    if kind == "BLOB":
        return _binary(database, part, rows, name, is_id=is_id)
    if kind in {"DOUBLE", "FLOAT"}:
        if is_id:
            _refuse_lost_digits(database, part, rows, cell, name, 2**24 if kind == "FLOAT" else EXACT_WHOLE)
            whole = f"CASE WHEN {cell} = trunc({cell}) THEN CAST(CAST({cell} AS BIGINT) AS VARCHAR) ELSE CAST({cell} AS VARCHAR) END"
            return f"CASE WHEN NOT isnan({cell}) THEN {whole} END"
        return f"CASE WHEN NOT isnan({cell}) THEN CAST({cell} AS VARCHAR) END"
    if kind.startswith("DECIMAL"):
        return f"regexp_replace(CAST({cell} AS VARCHAR), '[.]0+$|([.][0-9]*[1-9])0+$', '\\1')"
    if kind == "JSON":
        return f"CASE WHEN json_type({cell}) = 'VARCHAR' THEN {cell}->>'$' ELSE CAST({cell} AS VARCHAR) END"
    if SCALAR.fullmatch(kind):
        return f"CAST({cell} AS VARCHAR)"
    remedy = (
        "Write one value, or add list: join or list: first to that column in a recipe"
        if kind.endswith("]")
        else "Write it as text or as a number"
    )
    what = "a list" if kind.endswith("]") else f"of type {kind[:60]}"
    raise SourceShapeError(f"{part.name}: column {name} is {what}, and {column.name} is one value", remedy)


def _binary(database: Database, part: Part, rows: str, name: str, *, is_id: bool) -> str:
    """Return the text of binary values: UTF-8, or of an id that is none hexadecimal digits."""
    cell = identifier(name)
    broken = database.value(
        f"SELECT count(*) FILTER (try(decode({cell})) IS NULL OR regexp_matches(try(decode({cell})), '[\\x00-\\x08]')) "
        f"FROM {rows} WHERE {cell} IS NOT NULL",
        reading=part,
    )
    if not broken:
        return f"decode({cell})"
    if is_id:
        return f"lower(hex({cell}))"
    raise SourceShapeError(f"{part.name}: column {name} is binary, and not UTF-8 text", "Write it as text")


def _refuse_lost_digits(database: Database, part: Part, rows: str, cell: str, name: str, limit: int) -> None:
    """Refuse ids that are floating-point numbers of more digits than those hold."""
    found = database.value(f"SELECT max(abs({cell})) FROM {rows} WHERE isfinite({cell})", reading=part)
    if found is not None and found > limit:
        raise SourceShapeError(
            f"{part.name}: column {name} holds ids as floating-point numbers beyond {limit:,}, which have lost digits",
            "Write the ids as text or whole numbers",
        )


def constant(value: str | None) -> str:
    """Return the SQL expression of a column that the names of folders say."""
    return "NULL::VARCHAR" if value is None else f"{literal(value)}::VARCHAR"
