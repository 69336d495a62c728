"""The tables, views and macros of a warehouse: declared from the contracts, commented, and brought up to date."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.core.errors import WarehouseUnusable
from genrepipe.core.quoting import identifier, literal
from genrepipe.core.version import VERSION
from genrepipe.warehouse import lake, steps
from genrepipe.warehouse.connection import Database
from genrepipe.warehouse.declarations import comments, declaration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from genrepipe.contracts import Table
    from genrepipe.core.resources import Plan

LAYOUT_VERSION = 11
OTHER = "genrepipe_other"  # the name under which another warehouse is attached
# Values of columns in the rows that an older layout left.
DEFAULTS = {("runs", "action"): "score", ("runs", "withheld"): 0}
DERIVED = ("artist_profiles",)  # made anew by every run; one of another layout is dropped
# Tables that are made of others where an older layout lacks them: of table tracks until layout 5, of table predictions until 8.
HISTORY = ("prediction_history", "track_history", "labels")
REPLACED = {
    "prediction_history": "predictions",
    "track_history": "tracks",
}  # each by the table that it is made of, now a view
# What fills columns of an older layout's rows that follow from other tables. Until layout 6 nobody knew what a delivery
# had brought: it cannot be taken back.
DERIVED_COLUMNS = (
    "UPDATE shadow_predictions SET job = runs.job FROM runs WHERE shadow_predictions.run_id = runs.run_id AND shadow_predictions.job IS NULL",
    "UPDATE runs SET settled_to = run_date WHERE delivery IS NULL AND action = 'score' AND status = 'published'",
    "UPDATE runs SET delivery = 'increment' WHERE delivery IS NULL AND action = 'score'",
    "UPDATE track_history SET artist_key = artist_key_of(artist_name) WHERE artist_key IS NULL AND artist_name IS NOT NULL",
    "UPDATE performance SET job = (SELECT arg_max(job, finished_at) FROM runs WHERE action = 'score' AND status = 'published' AND runs.run_date = performance.run_date) WHERE job IS NULL",
)
LATER = ("lake_files",)  # tables that an older layout lacks, and nothing is made of
# Tables that hold why a run published nothing.
EVIDENCE = ("runs", "checks", "quarantine", "flips", "drift")
SCALAR_MACROS = ("artist_key_of", "genre_logs")  # of which views and table macros are made
TABLE_MACROS = ("explain_track", "similar_tracks")
READ_BY_STEPS = ("tracks", "predictions", "predictions_latest")
VIEWS = (
    *READ_BY_STEPS,
    "prediction_probabilities",
    "genre_daily",
    "changes_last_night",
    "low_confidence",
    "artist_genres",
    "model_quality",
    "quarantine_reasons",
    "run_history",
)


def open_memory(plan: Plan) -> Database:
    """Open an empty warehouse in memory."""
    database = Database(None, plan)
    migrate(database)
    return database


def open_bare(plan: Plan) -> Database:
    """Open an empty warehouse in memory that nobody looks at: without comments, and the views and macros for people."""
    database = Database(None, plan)
    database.execute(";\n".join(map(declaration, _tables())))
    for view in READ_BY_STEPS:
        database.execute(f"CREATE VIEW {view} AS {assets.sql(f'views/{view}')}")
    database.execute("INSERT INTO layout VALUES (?, ?)", [LAYOUT_VERSION, VERSION])
    return database


@contextmanager
def open_reading(path: Path, plan: Plan) -> Iterator[Database]:
    """Open a warehouse for reading.

    Raises
    ------
    WarehouseUnusable
        There is none, or the file is not a warehouse.
    """
    with Database(path, plan, read_only=True) as database:
        require(database)
        yield database


def require(database: Database) -> None:
    """Refuse a DuckDB file that is not a warehouse.

    Raises
    ------
    WarehouseUnusable
        It lacks tables of a warehouse.
    """
    wanted = {*REPLACED.values(), *(table.name for table in _tables())} - {*DERIVED, *HISTORY, *LATER}
    missing = wanted - set(_refuse_foreign(database))
    if missing:
        raise WarehouseUnusable(
            f"{database.shown_as} has no table {min(missing)}",
            "Name a warehouse; the next genrepipe score brings one of an older version up to date",
        )


def _tables() -> list[Table]:
    documents = [contracts.load(name) for name in ("tracks", "predictions", "operations")]
    return [table for document in documents for table in document.tables if table.physicalType == "table"]


def is_current(database: Database) -> bool:
    """Return whether a warehouse has the layout of this version; the next write brings an older one up to it.

    Raises
    ------
    WarehouseUnusable
        It was made by a newer version, or has a table of the name of one of ours that is not ours.
    """
    existing = _refuse_foreign(database)
    return all(table.name in existing for table in _tables()) and _layout(database) == LAYOUT_VERSION


def require_current(database: Database) -> None:
    """Refuse a warehouse of an older layout, where what is asked needs the tables and columns of this one.

    Raises
    ------
    WarehouseUnusable
        It has another layout.
    """
    if not is_current(database):
        raise WarehouseUnusable(
            f"{database.shown_as} has the layout of an older version", "The next genrepipe score brings it up to date"
        )


def migrate(database: Database) -> None:
    """Create the tables, columns, comments, views and macros that are missing, from the contracts and ``sql/``."""
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
        fill_new_columns(database)
        for name, of in REPLACED.items():
            if of in existing and name not in existing:
                TAKE[name](database, of)
                database.execute(f"DROP TABLE {of}")
        _make_views(database)
        if existing and "artist_profiles" not in existing:
            _make_profiles(database)
        database.execute("DELETE FROM layout")
        database.execute("INSERT INTO layout VALUES (?, ?)", [LAYOUT_VERSION, VERSION])


def _make_views(database: Database) -> None:
    for macro in SCALAR_MACROS:
        _create_macro(database, macro)
    for view in VIEWS:
        database.execute(f"CREATE OR REPLACE VIEW {view} AS {assets.sql(f'views/{view}')}")
        _comment_view(database, view)
    for macro in TABLE_MACROS:
        _create_macro(database, macro)


def _make_profiles(database: Database) -> None:
    """Make the artist profiles anew of the catalogue, where those of an older layout cannot be taken over."""
    made = steps.Steps(database)
    made.bind("visible_tracks", "FROM track_history WHERE is_current")
    made.make("profiles")
    database.execute("DELETE FROM artist_profiles")
    database.execute(
        "INSERT INTO artist_profiles BY NAME SELECT * REPLACE ((SELECT count(*) FROM runs) AS version) FROM profiles"
    )
    made.release("visible_tracks")


def _take_tracks(database: Database, tracks: str) -> None:
    """Make the history of a table of tracks of layout 5 or older: of each, one row of its last run date."""
    kept = [c.name for c in contracts.load("tracks").named("track_history").properties]
    added = {
        "from_run_date": "last_run_date", "to_run_date": "last_run_date", "since": "first_run_date", "is_current": "true",
        "known_genre": "music_genre", "artist_key": "artist_key_of(old.artist_name)", "received_hash": "NULL",
        "job": "coalesce(predicted.job, of_date.job, 'score')",
    }  # fmt: skip
    columns = ", ".join(f"{added.get(name, f'old.{identifier(name)}')} AS {identifier(name)}" for name in kept)
    database.execute(
        f"INSERT INTO track_history BY NAME SELECT {columns} FROM {tracks} AS old "
        "LEFT JOIN (SELECT track_id, run_date, arg_max(job, finished_at) AS job FROM prediction_history AS history "
        "JOIN runs USING (job) WHERE run_date = history.to_run_date GROUP BY ALL) AS predicted "
        "ON predicted.track_id = old.track_id AND predicted.run_date = old.last_run_date "
        "LEFT JOIN (SELECT run_date, arg_max(job, finished_at) AS job FROM runs WHERE status = 'published' AND action = 'score' GROUP BY run_date) "
        "AS of_date ON of_date.run_date = old.last_run_date"
    )


def _take_predictions(database: Database, predictions: str) -> None:
    """Make the history of a table of predictions of layout 8 or older: each row is of one run date."""
    table = contracts.load("predictions").table.model_copy(update={"name": "taken"})
    database.execute(declaration(table).replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
    database.execute(f"INSERT INTO taken BY NAME FROM {predictions}")
    database.execute(
        "INSERT INTO prediction_history BY NAME "
        "SELECT taken.* EXCLUDE (run_date, job, model, model_version, run_id, scored_at), taken.run_date AS from_run_date, "
        "taken.run_date AS to_run_date, coalesce(taken.job, runs.job, 'score') AS job, "
        "CASE WHEN runs.action = 'replay' THEN taken.run_id END AS replay_id FROM taken LEFT JOIN runs USING (run_id)"
    )
    database.execute("DROP TABLE taken")


TAKE = {"track_history": _take_tracks, "prediction_history": _take_predictions}


def _comment_view(database: Database, view: str) -> None:
    """Comment a view by the first line of its file, and its columns by lines such as ``-- share: …``, or as a table's contract does."""
    text = assets.sql(f"views/{view}")
    description = steps.header(text)["description"]
    database.execute(f"COMMENT ON VIEW {view} IS {literal(description)}")
    views = [t for name in ("tracks", "predictions") for t in contracts.load(name).tables if t.physicalType == "view"]
    described = [*reversed(_tables()), *views[::-1], *(t for t in views if t.name == view)]
    known = {column.name: column.description for table in described for column in table.properties}
    known |= dict(re.findall(r"^-- (\w+): (.+)$", text, re.MULTILINE))
    for (name,) in database.rows("SELECT column_name FROM duckdb_columns() WHERE table_name = ?", [view]):
        if name in known:
            database.execute(f"COMMENT ON COLUMN {view}.{identifier(name)} IS {literal(known[name])}")


def _create_macro(database: Database, macro: str) -> None:
    """Create a macro from its file: a table macro of a SELECT, or a scalar one of an expression."""
    body = assets.sql(f"macros/{macro}")
    declared = steps.header(body)
    kind = "TABLE" if "reads" in declared else ""
    statement = body if kind else f"({body})"
    parameters, description = declared["parameters"], declared["description"]
    database.execute(f"CREATE OR REPLACE MACRO {macro}({parameters}) AS {kind} {statement}")
    database.execute(f"COMMENT ON MACRO {kind} {macro} IS {literal(description)}")


def attach(database: Database, path: Path, plan: Plan) -> set[str]:
    """Attach another warehouse as ``OTHER`` for reading, and return the names of those of our tables that it has.

    Raises
    ------
    WarehouseUnusable
        It is not a warehouse, or one of a newer layout.
    """
    with Database(path, plan, read_only=True) as opened:
        existing = _refuse_foreign(opened)
    database.execute(f"ATTACH {literal(str(path))} AS {OTHER} (READ_ONLY)")
    return {*REPLACED.values(), *(table.name for table in _tables())}.intersection(existing)


def take_rows(
    database: Database,
    table: str,
    existing: set[str],
    columns: str = "*",
    where: str = "",
    parameters: list[Any] | None = None,
) -> None:
    """Copy rows of the attached generation, which has the ``existing`` ones of our tables, into the same table here."""
    if table in existing:
        database.execute(f"INSERT INTO {table} BY NAME SELECT {columns} FROM {OTHER}.{table} {where}", parameters)
    elif (of := REPLACED.get(table)) in existing:
        TAKE[table](database, f"{OTHER}.{of}")


def restore(database: Database, existing: set[str]) -> None:
    """Make the rows of every table those of the attached generation, which has the ``existing`` ones of our tables.

    Lines of the ledger that published nothing, and earlier rollbacks, stay, and so does the evidence of those runs.
    """
    database.execute(
        "CREATE TEMP TABLE kept_runs AS SELECT run_id FROM runs "
        f"ANTI JOIN {OTHER}.runs AS earlier USING (run_id) WHERE status <> 'published' OR action = 'rollback'"
    )
    in_lake = set(lake.TABLES) if lake.is_lake(database) else set()
    tables = sorted({table.name for table in _tables()} - {"layout"} - in_lake, key=lambda name: name in HISTORY)
    for table in tables:
        kept = " WHERE run_id NOT IN (FROM kept_runs)" if table in EVIDENCE else ""
        database.execute(f"DELETE FROM {identifier(table)}{kept}")
        if table not in HISTORY:
            take_rows(database, table, existing)
    if in_lake:  # which no older layout has
        lake.show(database)
        return
    fill_new_columns(database)
    for table in HISTORY:
        take_rows(database, table, existing)
    fill_new_columns(database)
    if "artist_profiles" not in existing:
        _make_profiles(database)


def fill_new_columns(database: Database) -> None:
    """Fill the columns that rows of an older layout lack."""
    database.create_macros()
    for (table, column), default in DEFAULTS.items():
        database.execute(f"UPDATE {table} SET {column} = {literal(default)} WHERE {column} IS NULL")
    for statement in DERIVED_COLUMNS:
        database.execute(statement)


def _layout(database: Database) -> int:
    return int(database.value("SELECT max(layout_version) FROM layout") or 0)


def _refuse_foreign(database: Database) -> dict[str, list[str]]:
    """Return the existing tables and their columns, all of them ours and of a layout that this version knows.

    Derived tables of another layout are left out, as if they were missing.
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
            f"{database.shown_as} has layout {layout}, this genrepipe {VERSION} knows {LAYOUT_VERSION}",
            "Upgrade genrepipe, or name another --warehouse",
        )
    if layout < LAYOUT_VERSION:
        outdated = {t.name for t in _tables() if t.name in DERIVED and existing.get(t.name) != t.columns}
        existing = {table: columns for table, columns in existing.items() if table not in outdated}
    # The tables of an older layout have the first of our columns: the contracts append new ones.
    foreign = [
        t.name
        for t in _tables()
        if t.name in existing
        and existing[t.name] != (t.columns if layout == LAYOUT_VERSION else t.columns[: len(existing[t.name])])
    ]
    views = {name for (name,) in database.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    replaced = set(REPLACED.values()) if layout < LAYOUT_VERSION else set()
    foreign += [view for view in VIEWS if view in existing and view not in views | replaced]
    if foreign:
        raise WarehouseUnusable(
            f"{database.shown_as} has a table {foreign[0]} that genrepipe did not make", "Name another --warehouse"
        )
    return existing
