"""The DuckDB file that people query: opening it, and laying out its tables, comments and views from the contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe import __version__, assets, contracts
from genrepipe.contracts import identifier, literal
from genrepipe.database import Database
from genrepipe.errors import WarehouseUnusable

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.contracts import Table
    from genrepipe.resources import Plan

LAYOUT_VERSION = 2
DERIVED = ("artist_profiles",)  # made anew by every run, so an older layout of them is simply dropped
VIEWS = ("predictions_latest", "prediction_probabilities", "genre_daily", "quarantine_reasons", "run_history")


def open_warehouse(path: Path, plan: Plan) -> Database:
    """Open a warehouse for writing; its tables are made where they are missing.

    Raises
    ------
    WarehouseBusy
        Another process has it open.
    WarehouseUnusable
        It is a folder, not a DuckDB file, laid out by a newer version, or has tables of our names that are not ours.
    StorageError
        It cannot be read or written.
    """
    new = not path.exists()
    try:
        database = Database(path, plan)
        try:
            lay_out(database)
        except BaseException:
            database.close()
            raise
    except BaseException:
        if new:
            path.unlink(missing_ok=True)
        raise
    return database


def open_memory(plan: Plan, catalogue: Path | None = None) -> Database:
    """Open a warehouse that vanishes with the process; it starts from the tracks of ``catalogue``, if that exists."""
    database = Database(None, plan)
    lay_out(database)
    if catalogue is not None and catalogue.exists():
        with Database(catalogue, plan, read_only=True) as existing:
            _refuse_foreign(existing)
        database.execute(f"ATTACH {literal(str(catalogue))} AS catalogue (READ_ONLY)")
        if database.value(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'catalogue' AND table_name = 'tracks'"
        ):
            database.execute("INSERT INTO tracks BY NAME FROM catalogue.tracks")
        database.execute("DETACH catalogue")
    return database


def _tables() -> list[Table]:
    named = [contracts.load(name).table for name in ("tracks", "predictions")]
    return named + list(contracts.load("operations").tables)


def lay_out(database: Database) -> None:
    """Make the tables, comments and views that are missing, from the contracts."""
    existing = _refuse_foreign(database)
    tables = _tables()
    missing = [table for table in tables if table.name not in existing]
    if not missing:
        return
    with database.transaction():
        for outdated in sorted(set(DERIVED) - existing):
            database.execute(f"DROP TABLE IF EXISTS {outdated}")
        for table in missing:
            database.execute(declaration(table))
            database.execute(comments(table))
        for view in VIEWS:
            database.execute(f"CREATE OR REPLACE VIEW {view} AS {assets.sql(f'views/{view}')}")
        database.execute("DELETE FROM layout")
        database.execute("INSERT INTO layout VALUES (?, ?)", [LAYOUT_VERSION, __version__])


def _refuse_foreign(database: Database) -> set[str]:
    """Return the names of the tables that are there, all of them ours and of a layout that this version knows.

    Derived tables of an older layout are left out, as if they were missing.
    """
    existing: dict[str, list[str]] = {}
    for table, column in database.rows(
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal ORDER BY column_index"
    ):
        existing.setdefault(table, []).append(column)
    layout = LAYOUT_VERSION
    if "layout_version" in existing.get("layout", ()):
        layout = database.value("SELECT max(layout_version) FROM layout") or LAYOUT_VERSION
    if layout > LAYOUT_VERSION:
        raise WarehouseUnusable(
            f"{database.path} has layout {layout}, this genrepipe {__version__} knows {LAYOUT_VERSION}",
            "Upgrade genrepipe, or name another --warehouse",
        )
    if layout < LAYOUT_VERSION:
        existing = {table: columns for table, columns in existing.items() if table not in DERIVED}
    foreign = [t.name for t in _tables() if t.name in existing and existing[t.name] != t.columns]
    views = {name for (name,) in database.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    foreign += [view for view in VIEWS if view in existing and view not in views]
    if foreign:
        raise WarehouseUnusable(
            f"{database.path} has a table {foreign[0]} that genrepipe did not make", "Name another --warehouse"
        )
    return set(existing)


def declaration(table: Table) -> str:
    """Return the CREATE TABLE statement of a contract's table."""
    columns = ", ".join(f"{identifier(column.name)} {column.sql_type}" for column in table.properties)
    return f"CREATE TABLE {identifier(table.name)} ({columns})"


def comments(table: Table) -> str:
    """Return the statements that carry a contract's descriptions into the warehouse."""
    statements = [f"COMMENT ON TABLE {identifier(table.name)} IS {literal(table.description)}"]
    for column in table.properties:
        unit = column.custom("unit")
        text = f"{column.description} Unit: {unit}." if unit else column.description
        statements.append(f"COMMENT ON COLUMN {identifier(table.name)}.{identifier(column.name)} IS {literal(text)}")
    return ";\n".join(statements)
