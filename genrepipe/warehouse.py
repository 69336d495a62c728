"""The DuckDB file that people query: opening it, and laying out its tables, comments and views from the contracts."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genrepipe import __version__, assets, contracts
from genrepipe.contracts import identifier, literal
from genrepipe.database import Database
from genrepipe.errors import WarehouseUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from genrepipe.contracts import Table
    from genrepipe.resources import Plan

LAYOUT_VERSION = 4
# What a column is in the rows that an older layout left.
DEFAULTS = {("runs", "action"): "score", ("runs", "withheld"): 0}
LATELY = 8  # run dates: tonight's, and those that it is compared with
DERIVED = ("artist_profiles",)  # made anew by every run, so an older layout of them is simply dropped
FUNCTIONS = {"explain_track": "id"}  # and their parameters
VIEWS = ("predictions_latest", "prediction_probabilities", "genre_daily", "quarantine_reasons", "run_history")


def open_memory(plan: Plan, catalogue: Path | None = None) -> Database:
    """Open a warehouse that vanishes with the process; it starts from what a run looks at of ``catalogue``, if that exists."""
    database = Database(None, plan)
    lay_out(database)
    if catalogue is not None and catalogue.exists():
        with other(database, catalogue, plan) as found:
            for table in found & {"tracks", "runs", "drift", "predictions"}:
                lately = f" WHERE run_date IN (SELECT DISTINCT run_date FROM genrepipe_other.predictions ORDER BY 1 DESC LIMIT {LATELY})"
                database.execute(
                    f"INSERT INTO {table} BY NAME FROM genrepipe_other.{table}{lately if table == 'predictions' else ''}"
                )
    return database


@contextmanager
def reading(path: Path, plan: Plan) -> Iterator[Database]:
    """Open a warehouse to read from.

    Raises
    ------
    WarehouseUnusable
        It is not there, or not one of ours.
    """
    with Database(path, plan, read_only=True) as database:
        require(database)
        yield database


def require(database: Database) -> None:
    """Refuse a DuckDB file that is no warehouse of ours.

    Raises
    ------
    WarehouseUnusable
        It has not our tables.
    """
    missing = {table.name for table in _tables()} - set(_refuse_foreign(database)) - set(DERIVED)
    if missing:
        raise WarehouseUnusable(
            f"{database.stands_for} has no table {min(missing)}",
            "Name a warehouse; the next genrepipe score brings one of an older version up to date",
        )


def _tables() -> list[Table]:
    named = [contracts.load(name).table for name in ("tracks", "predictions")]
    return named + list(contracts.load("operations").tables)


def is_current(database: Database) -> bool:
    """Tell whether a warehouse has the layout of this version; an older one is brought up to it by the next run.

    Raises
    ------
    WarehouseUnusable
        It was laid out by a newer version, or has tables of our names that are not ours.
    """
    return all(table.name in _refuse_foreign(database) for table in _tables()) and _layout(database) == LAYOUT_VERSION


def lay_out(database: Database) -> None:
    """Make the tables, columns, comments and views that are missing, from the contracts."""
    if is_current(database):
        return
    existing = _refuse_foreign(database)
    with database.transaction():
        for outdated in sorted(set(DERIVED) - set(existing)):
            database.execute(f"DROP TABLE IF EXISTS {outdated}")
        for table in _tables():
            if table.name in existing:
                for column in table.properties[len(existing[table.name]) :]:
                    default = DEFAULTS.get((table.name, column.name))
                    database.execute(
                        f"ALTER TABLE {identifier(table.name)} ADD COLUMN {identifier(column.name)} {column.sql_type}"
                        + (f" DEFAULT {literal(default)}" if default is not None else "")
                    )
                    if default is not None:
                        database.execute(
                            f"ALTER TABLE {identifier(table.name)} ALTER {identifier(column.name)} DROP DEFAULT"
                        )
            else:
                database.execute(declaration(table))
            database.execute(comments(table))
        for view in VIEWS:
            database.execute(f"CREATE OR REPLACE VIEW {view} AS {assets.sql(f'views/{view}')}")
            _describe_view(database, view)
        for function, parameters in FUNCTIONS.items():
            body = assets.sql(f"functions/{function}")
            database.execute(f"CREATE OR REPLACE MACRO {function}({parameters}) AS TABLE {body}")
            database.execute(f"COMMENT ON MACRO TABLE {function} IS {literal(_first_comment(body))}")
        database.execute("DELETE FROM layout")
        database.execute("INSERT INTO layout VALUES (?, ?)", [LAYOUT_VERSION, __version__])


def _describe_view(database: Database, view: str) -> None:
    """Comment a view by the first line of its file, and its columns by lines such as ``-- share: …``, or as a table's contract does."""
    text = assets.sql(f"views/{view}")
    database.execute(f"COMMENT ON VIEW {view} IS {literal(_first_comment(text))}")
    known = {column.name: column.description for table in reversed(_tables()) for column in table.properties}
    known |= dict(re.findall(r"^-- (\w+): (.+)$", text, re.MULTILINE))
    for (name,) in database.rows("SELECT column_name FROM duckdb_columns() WHERE table_name = ?", [view]):
        if name in known:
            database.execute(f"COMMENT ON COLUMN {view}.{identifier(name)} IS {literal(known[name])}")


def _first_comment(text: str) -> str:
    return text.splitlines()[0].removeprefix("--").strip()


@contextmanager
def other(database: Database, path: Path, plan: Plan) -> Iterator[set[str]]:
    """Attach another warehouse as ``genrepipe_other``, to read from; yields the names of our tables that it has.

    Raises
    ------
    WarehouseUnusable
        It is not ours, or of a newer layout.
    """
    with Database(path, plan, read_only=True) as opened:
        found = _refuse_foreign(opened)
    database.execute(f"ATTACH {literal(str(path))} AS genrepipe_other (READ_ONLY)")
    try:
        yield {table.name for table in _tables()}.intersection(found)
    finally:
        database.execute("DETACH genrepipe_other")


def restore(database: Database, generation: Path, plan: Plan) -> None:
    """Make the rows of every table those of another generation, all at once; the layout stays this version's."""
    with other(database, generation, plan) as found, database.transaction():
        for table in {table.name for table in _tables()} - {"layout"}:
            database.execute(f"DELETE FROM {identifier(table)}")
            if table in found:
                database.execute(f"INSERT INTO {identifier(table)} BY NAME FROM genrepipe_other.{identifier(table)}")
        for (table, column), default in DEFAULTS.items():
            database.execute(f"UPDATE {table} SET {column} = {literal(default)} WHERE {column} IS NULL")


def _layout(database: Database) -> int:
    return int(database.value("SELECT max(layout_version) FROM layout") or 0)


def _refuse_foreign(database: Database) -> dict[str, list[str]]:
    """Return the tables that are there and their columns, all of them ours and of a layout that this version knows.

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
        layout = _layout(database) or LAYOUT_VERSION
    if layout > LAYOUT_VERSION:
        raise WarehouseUnusable(
            f"{database.stands_for} has layout {layout}, this genrepipe {__version__} knows {LAYOUT_VERSION}",
            "Upgrade genrepipe, or name another --warehouse",
        )
    if layout < LAYOUT_VERSION:
        existing = {table: columns for table, columns in existing.items() if table not in DERIVED}
    # An older layout's tables have the first of our columns; new ones stand last in the contracts.
    foreign = [
        t.name
        for t in _tables()
        if t.name in existing
        and existing[t.name] != (t.columns if layout == LAYOUT_VERSION else t.columns[: len(existing[t.name])])
    ]
    views = {name for (name,) in database.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    foreign += [view for view in VIEWS if view in existing and view not in views]
    if foreign:
        raise WarehouseUnusable(
            f"{database.stands_for} has a table {foreign[0]} that genrepipe did not make", "Name another --warehouse"
        )
    return existing


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
