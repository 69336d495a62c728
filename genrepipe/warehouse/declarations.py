"""A contract's table as SQL statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core.quoting import identifier, literal

if TYPE_CHECKING:
    from genrepipe.contracts import Table


def declaration(table: Table) -> str:
    """Return the CREATE TABLE statement of a contract's table."""
    columns = ", ".join(f"{identifier(column.name)} {column.sql_type}" for column in table.properties)
    return f"CREATE TABLE {identifier(table.name)} ({columns})"


def comments(table: Table, kind: str = "TABLE") -> str:
    """Return the statements that comment a table, or a view in its place, and its columns by their contract."""
    statements = [f"COMMENT ON {kind} {identifier(table.name)} IS {literal(table.description)}"]
    for column in table.properties:
        unit = column.custom("unit")
        text = f"{column.description} Unit: {unit}." if unit else column.description
        statements.append(f"COMMENT ON COLUMN {identifier(table.name)}.{identifier(column.name)} IS {literal(text)}")
    return ";\n".join(statements)
