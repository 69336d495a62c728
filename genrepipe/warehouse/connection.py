"""One DuckDB connection: opening, statements, frames, transactions, and DuckDB's errors as those of the error tree."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from genrepipe import contracts
from genrepipe.core import assets, signals
from genrepipe.core.errors import CHECK, REMEDIES, GenrepipeError, StorageError, WarehouseUnusable
from genrepipe.core.quoting import identifier, literal
from genrepipe.core.version import VERSION
from genrepipe.warehouse import failures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from genrepipe.core.resources import Plan
    from genrepipe.warehouse.failures import NamedFile

    Parameters = dict[str, Any] | list[Any] | None

STORAGE_VERSION = "v1.4.0"  # clients of that release and later can open the file; one that exists keeps its own
# A warehouse by these names would be opened in memory, or read as something else.
NOT_WAREHOUSES = {".csv", ".tsv", ".parquet", ".json", ".gz", ".zst"}
MAGIC = b"DUCK"  # bytes 8 to 11 of a DuckDB file
# DuckDB stores rows in groups of this size; an insert of whole groups is written once, compressed, in parallel.
ROW_GROUP = 122_880
# in_clause turns IN (…) into a join, and a load with a join does not keep the order of the source, from which row
# numbers come. row_group_pruner skips row groups of an ORDER BY … LIMIT as if rows that were just deleted were still there.
DISABLED = "in_clause,row_group_pruner"


class _ArrowStream:
    """Carries rows between DuckDB and Polars through the Arrow PyCapsule interface, which needs no pyarrow.

    Each library would do more with an object of the other's own type than read it (import pyarrow, keep its class
    alive past the end of the interpreter); of this one they know nothing but the interface.
    """

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)


class Database:
    """One DuckDB connection, whose failures are ``GenrepipeError``.

    Parameters
    ----------
    path
        The file; None is a database in memory.
    plan
        Threads and memory that DuckDB may use.
    read_only
        Open the file for reading, as several processes may at once.
    shown_as
        The path that messages name, where ``path`` is a copy of it.

    Raises
    ------
    WarehouseUnusable
        The path cannot be a warehouse.
    WarehouseBusy
        Another process has the file open for writing.
    StorageError
        The file cannot be read.
    """

    def __init__(self, path: Path | None, plan: Plan, *, read_only: bool = False, shown_as: Path | None = None) -> None:
        self.path = path
        self.shown_as = shown_as or path
        self.memory_mb = plan.duckdb_memory_mb
        if path is not None:
            refuse_unusable(path, read_only=read_only)
        config: dict[str, Any] = {
            "threads": plan.duckdb_threads,
            "memory_limit": f"{plan.duckdb_memory_mb}MB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "disabled_optimizers": DISABLED,
        }
        self._limits = dict(config)
        if path is None or not read_only:
            config["storage_compatibility_version"] = STORAGE_VERSION
        # Beside the file, so that what a killed run leaves is found; DuckDB makes it when it needs it.
        self.scratch = (
            Path(tempfile.gettempdir(), f"genrepipe.{os.getpid()}.{id(self):x}.tmp")
            if path is None
            else Path(f"{path}.tmp")
        )
        config["temp_directory"] = str(self.scratch)
        with _translated_errors(self.shown_as):
            self._connection = duckdb.connect(str(path) if path else ":memory:", read_only=read_only, config=config)
            self._connection.execute("SET TimeZone = 'UTC'") if _has_time_zones(self._connection) else None

    def execute(self, statement: str, parameters: Parameters = None, *, reading: NamedFile | None = None) -> None:
        """Run one statement, or several without parameters; failures are those of ``reading`` where it is given."""
        with _translated_errors(self.shown_as, reading):
            self._connection.execute(statement, parameters)

    def rows(
        self, query: str, parameters: Parameters = None, *, reading: NamedFile | None = None
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples."""
        with _translated_errors(self.shown_as, reading):
            return self._connection.execute(query, parameters).fetchall()

    def dicts(self, query: str, parameters: Parameters = None) -> list[dict[str, Any]]:
        """Return the rows of a query as dicts by column name."""
        with _translated_errors(self.shown_as):
            result = self._connection.execute(query, parameters)
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def value(self, query: str, parameters: Parameters = None, *, reading: NamedFile | None = None) -> Any:
        """Return the first value of the first row, or None where there is no row."""
        rows = self.rows(query, parameters, reading=reading)
        return rows[0][0] if rows else None

    def frame(self, query: str, parameters: Parameters = None) -> pl.DataFrame:
        """Return the rows of a query as a Polars frame."""
        with _translated_errors(self.shown_as):
            # Materialised first: Python handles no signal while Polars pulls a stream.
            return pl.DataFrame(_ArrowStream(self._connection.sql(query, params=parameters).materialize()))

    def insert(self, table: str, frame: pl.DataFrame, select: str = "*") -> None:
        """Append a frame to a table, by column name; ``select`` may add columns."""
        # As a relation: a replacement scan of the variable is external access, see ``forbid_file_access``.
        with _translated_errors(self.shown_as):
            rows = self._connection.from_arrow(_ArrowStream(frame))
            rows.query("batch", f"INSERT INTO {table} BY NAME SELECT {select} FROM batch")

    def insert_row(self, table: str, row: Mapping[str, Any]) -> None:
        """Append one row, given by column name."""
        names = ", ".join(identifier(name) for name in row)
        marks = ", ".join("?" for _ in row)
        self.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))

    def copy_from(self, path: Path, query: str, table: str, *, reading: NamedFile) -> None:
        """Make a temporary table of a query on another DuckDB file, which can reach no file but that one."""
        config = {**self._limits, "temp_directory": str(self.scratch), "enable_external_access": False}
        with (
            _translated_errors(self.shown_as, reading),
            duckdb.connect(str(path), read_only=True, config=config) as other,
        ):
            rows = self._connection.from_arrow(_ArrowStream(other.sql(query)))
            rows.query("batch", f"CREATE OR REPLACE TEMP TABLE {table} AS FROM batch")

    def create_macros(self) -> None:
        """Create the temporary macros that the SQL files share."""
        known = contracts.load("source_tracks").table.custom("missingMarkers") or []
        markers = ", ".join(literal(marker.strip()) for marker in dict.fromkeys(["", *map(str, known)]))
        shared = assets.sql("macros/shared").replace("{missing_markers}", markers)
        self.execute(shared.replace("{cleaning}", literal(_cleaning())))
        self.execute(
            f"CREATE OR REPLACE TEMP MACRO artist_key_of(artist_name) AS ({assets.sql('macros/artist_key_of')})"
        )

    @contextmanager
    def joins_as_written(self) -> Iterator[None]:
        """Build the hash table of every join from its right side: of a file that is read, DuckDB does not know how long it is."""
        self.execute(f"SET disabled_optimizers = '{DISABLED},build_side_probe_side,join_order'")
        try:
            yield
        finally:
            self.execute(f"SET disabled_optimizers = '{DISABLED}'")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside at once, or nothing of it."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error, GenrepipeError):  # after a full disk there may be nothing to roll back
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def interrupt(self) -> None:
        """Stop the running statement, which raises ``Interrupted``; does nothing once the connection is closed."""
        with suppress(duckdb.Error):
            self._connection.interrupt()

    def forbid_file_access(self, but: Sequence[str] = ()) -> None:
        """Give up access to every file but the database's own and those in some folders, for good."""
        if but:
            self.execute(f"SET allowed_directories = [{', '.join(map(literal, but))}]")
        self.execute("SET enable_external_access = false")

    def close(self) -> None:
        """Close the connection; what was committed is on disk afterwards."""
        with _translated_errors(self.shown_as):
            self._connection.close()
        if self.path is None:  # beside a file, the folder is that of every process that reads it
            shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _has_time_zones(connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM duckdb_settings() WHERE name = 'TimeZone'").fetchall()[0][0])


def refuse_unusable(path: Path, *, read_only: bool) -> None:
    """Refuse a path that cannot be a warehouse, before DuckDB opens or creates it.

    Raises
    ------
    WarehouseUnusable
        It is a folder, not a DuckDB file, a name that DuckDB takes for something else, or missing where it is to be read.
    StorageError
        It cannot be read, or its folder does not exist.
    """
    try:
        _refuse_unusable(path, read_only=read_only)
    except OSError as error:
        kind = WarehouseUnusable if error.errno in {errno.ELOOP, errno.ENAMETOOLONG} else StorageError
        raise kind(f"{path} cannot be read: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)) from error


def _refuse_unusable(path: Path, *, read_only: bool) -> None:
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WarehouseUnusable(f"{name}: its name is not UTF-8", "Name another --warehouse") from None
    if re.match(r"^:|^\w{2,}:|.*\?", name) or path.suffix.lower() in NOT_WAREHOUSES:
        raise WarehouseUnusable(f"{name} cannot be a warehouse", "Name a file, for example warehouse.duckdb")
    if path.is_symlink():
        with suppress(FileNotFoundError):  # a link to a warehouse that is not there yet
            path.stat()
    if path.is_dir():
        raise WarehouseUnusable(
            f"{path} is a folder, not a warehouse file", "Name a file, for example warehouse.duckdb"
        )
    if path.exists() and not path.is_file():
        raise WarehouseUnusable(f"{path} is not a regular file", "Name a file, for example warehouse.duckdb")
    if path.exists():
        with path.open("rb") as file:
            head = file.read(12)
        if head and head[8:] != MAGIC:
            raise WarehouseUnusable(f"{path} is not a DuckDB file", "Name another --warehouse, or move that file away")
    elif read_only:
        raise WarehouseUnusable(
            f"{path}: there is no such warehouse", "Run genrepipe score first, or check --warehouse"
        )
    elif not path.parent.is_dir():
        raise StorageError(f"{path}: its folder does not exist", f"Make it first: mkdir -p {path.parent}")


@cache
def _cleaning() -> str:
    """Return a digest of all that decides what a received row becomes: code, contract, genres, and DuckDB."""
    files = [
        assets.sql(name)
        for name in ("macros/shared", "macros/artist_key_of", "land/typed", "land/judged", "land/cleaned")
    ]
    contract = contracts.load("source_tracks").model_dump_json()
    told = json.dumps([VERSION, duckdb.__version__, contract, contracts.genres(), files])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@contextmanager
def _translated_errors(path: Path | None, reading: NamedFile | None = None) -> Iterator[None]:
    """Raise DuckDB's exceptions as those of the error tree."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise signals.stopped() from error
        raise
    except duckdb.Error as error:
        raise (failures.of_reading(error, reading) if reading else failures.of_statement(error, path)) from error
