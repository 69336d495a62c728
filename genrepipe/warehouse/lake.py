"""A warehouse whose large tables lie in a lake: views over exactly the Parquet files that were committed.

The files are never changed. Table ``lake_files`` lists those of the generation, so that a commit is that of the warehouse,
and an older generation still reads its own. Each table is in as many buckets as the lake was made with: tracks by their id,
profiles by their artist.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from genrepipe import contracts
from genrepipe.core.errors import CHECK, REMEDIES, ConfigurationError, StorageError, WarehouseUnusable
from genrepipe.core.quoting import file_literal, identifier
from genrepipe.warehouse.declarations import comments

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from genrepipe.contracts import Table
    from genrepipe.warehouse.connection import Database

MARK = "genrepipe-lake.txt"  # in the folder of a lake: the warehouse that it belongs to
# Tables that lie in a lake, by the contract that declares each.
TABLES = {
    "track_history": "tracks",
    "artist_profiles": "operations",
    "prediction_history": "predictions",
    "shadow_predictions": "operations",
}


@dataclass(frozen=True)
class LakeFile:
    """One committed file; those of predictions are of one job and run date."""

    table_name: str
    bucket: int
    lake: str  # the folder
    path: str  # within it
    rows: int
    run_id: str
    job: str | None = None
    run_date: date | None = None

    @property
    def place(self) -> Path:
        """Where it is."""
        return Path(self.lake, self.path)


COLUMNS: dict[str, Any] = {
    "table_name": pl.String, "bucket": pl.Int32, "lake": pl.String, "path": pl.String, "rows": pl.Int64, "run_id": pl.String,
    "job": pl.String, "run_date": pl.Date,
}  # fmt: skip


def is_lake(database: Database) -> bool:
    """Return whether the large tables of a warehouse lie in a lake."""
    return bool(
        database.value(
            "SELECT count(*) FROM duckdb_views() WHERE database_name = current_database() AND view_name = 'track_history'"
        )
    )


def refuse(database: Database, remedy: str = "Score with --engine spark") -> None:
    """Refuse a warehouse whose tables lie in a lake.

    Raises
    ------
    WarehouseUnusable
        They do.
    """
    if is_lake(database):
        raise WarehouseUnusable(
            f"The tables of {database.shown_as or 'this warehouse'} lie in a lake, which this command does not write",
            remedy,
        )


def claim(folder: Path, warehouse: Path) -> None:
    """Make a folder the lake of a warehouse; that of another one is refused.

    Raises
    ------
    ConfigurationError
        It is the lake of another warehouse.
    StorageError
        It cannot be written.
    """
    mark = folder / MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            mark.write_text(f"{warehouse.resolve()}\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
        ) from error
    refuse_foreign(folder, warehouse)


def refuse_foreign(folder: Path, warehouse: Path) -> None:
    """Refuse a folder that is not the lake of a warehouse.

    Raises
    ------
    ConfigurationError
        It is that of another one, or no lake.
    """
    mark = folder / MARK
    try:
        owner = mark.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder} is not a lake: it has no file {MARK}", "Check --lake") from error
    if owner != str(warehouse.resolve()):
        raise ConfigurationError(
            f"The lake {folder} belongs to {owner}",
            f"Name another --lake; where the warehouse was moved, write its path into {mark}",
        )


def files(database: Database, table: str | None = None) -> list[LakeFile]:
    """Return the committed files of a warehouse, or of one of its tables."""
    if not database.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'lake_files'"):
        return []
    columns = ", ".join(COLUMNS)
    rows = database.rows(
        f"SELECT {columns} FROM lake_files WHERE table_name = coalesce(?, table_name) ORDER BY table_name, run_date, bucket, path",
        [table],
    )
    return [LakeFile(*row) for row in rows]


def buckets(database: Database) -> int:
    """Return in how many buckets the tables of a lake are."""
    return len(files(database, "track_history"))


def folders(database: Database) -> list[str]:
    """Return the folders in which the files of a warehouse lie."""
    return sorted({file.lake for file in files(database)})


def commit(database: Database, listed: Iterable[LakeFile]) -> None:
    """Make these files those of the warehouse, in place of all that it had."""
    database.execute("DELETE FROM lake_files")
    database.insert("lake_files", pl.DataFrame([asdict(file) for file in listed], schema=COLUMNS))
    show(database)


def show(database: Database) -> None:
    """Make the views of a lake, over the files that are listed."""
    for name, contract in TABLES.items():
        table = contracts.load(contract).named(name)
        if database.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = ? AND NOT temporary", [name]):
            database.execute(f"DROP TABLE {name}")
        database.execute(f"CREATE OR REPLACE VIEW {name} AS {reading(table, files(database, name))}")
        database.execute(comments(table, "VIEW"))


def rows_of(listed: Iterable[LakeFile]) -> str:
    """Return a FROM clause of all rows of files; nothing where they hold none."""
    places = ", ".join(file_literal(file.place) for file in listed if file.rows)
    return f"FROM read_parquet([{places}], hive_partitioning = false)" if places else ""


def reading(table: Table, listed: Iterable[LakeFile]) -> str:
    """Return the SELECT of a table's columns from files."""
    names = ", ".join(identifier(column.name) for column in table.properties)
    if rows := rows_of(listed):
        return f"SELECT {names} {rows}"
    nothing = ", ".join(f"NULL::{column.sql_type} AS {identifier(column.name)}" for column in table.properties)
    return f"SELECT {nothing} WHERE false"
