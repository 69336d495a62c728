"""All that knows DuckDB: opening, running SQL files, carrying rows, transactions, errors.

A run works in temporary tables that only its connection sees, and writes the warehouse's tables in one
transaction at the end: a reader, or a killed run, never leaves half of it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from genrepipe import assets, interrupts, objects
from genrepipe.errors import (
    INTERRUPTED,
    GenrepipeError,
    Interrupted,
    SourceMissing,
    SourceShapeError,
    StorageError,
    WarehouseBusy,
    WarehouseUnusable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.resources import Plan

STORAGE_VERSION = "v1.5.0"  # other tools of that release and later can open the file
NOT_WAREHOUSES = {".csv", ".tsv", ".parquet", ".json", ".gz", ".zst"}
MAGIC = b"DUCK"  # bytes 8 to 11 of a DuckDB file
# DuckDB stores rows in groups of this size; an insert of whole groups is written once, compressed, in parallel.
ROW_GROUP = 122_880


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
    """One DuckDB connection, whose errors are ours."""

    def __init__(
        self, path: Path | None, plan: Plan, *, read_only: bool = False, stands_for: Path | None = None
    ) -> None:
        self.path = path
        self.stands_for = stands_for or path  # the name that users know the file by
        if path is not None:
            refuse_unusable(path, read_only=read_only)
        config: dict[str, Any] = {
            "threads": plan.threads,
            "memory_limit": f"{plan.duckdb_memory_mb}MB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # That optimiser turns IN (…) into a join, and a load with a join does not keep the order of the source,
            # on which row numbers and the choice among rows of one id depend.
            # The other one leaves out row groups of an ORDER BY with LIMIT as if rows just deleted were still there.
            "disabled_optimizers": "in_clause,row_group_pruner",
        }
        if path is None or not read_only:
            config["storage_compatibility_version"] = STORAGE_VERSION
        # Beside the file, so that what a killed run leaves is found; DuckDB makes it when it needs it.
        self.scratch = (
            Path(tempfile.gettempdir(), f"genrepipe.{os.getpid()}.{id(self):x}.tmp")
            if path is None
            else Path(f"{path}.tmp")
        )
        config["temp_directory"] = str(self.scratch)
        with _our_errors(self.stands_for):
            self._connection = duckdb.connect(str(path) if path else ":memory:", read_only=read_only, config=config)
            self._connection.execute("SET TimeZone = 'UTC'") if _has_time_zones(self._connection) else None

    def execute(
        self, statement: str, parameters: dict[str, Any] | list[Any] | None = None, *, source: str = ""
    ) -> None:
        """Run one statement, or several without parameters; failures are laid to ``source`` where it is given."""
        with _our_errors(self.stands_for, source):
            self._connection.execute(statement, parameters)

    def rows(
        self, query: str, parameters: dict[str, Any] | list[Any] | None = None, *, source: str = ""
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query as Python tuples; failures are laid to ``source`` where it is given."""
        with _our_errors(self.stands_for, source):
            return self._connection.execute(query, parameters).fetchall()

    def value(self, query: str, parameters: dict[str, Any] | list[Any] | None = None, *, source: str = "") -> Any:
        """Return the first value of the first row, or None where there is no row."""
        found = self.rows(query, parameters, source=source)
        return found[0][0] if found else None

    def frame(self, query: str, parameters: dict[str, Any] | list[Any] | None = None) -> pl.DataFrame:
        """Return the rows of a query as a Polars frame."""
        with _our_errors(self.stands_for):
            # Materialised first: while Polars pulls a stream Python hears no signal.
            return pl.DataFrame(_ArrowStream(self._connection.sql(query, params=parameters).materialize()))

    def insert(self, table: str, frame: pl.DataFrame, select: str = "*") -> None:
        """Append a frame to a table, by column name; ``select`` may add columns."""
        # A relation, since a scan of the variable by its name is external access too, see ``seal``.
        with _our_errors(self.stands_for):
            rows = self._connection.from_arrow(_ArrowStream(frame))
            rows.query("batch", f"INSERT INTO {table} BY NAME SELECT {select} FROM batch")

    def macros(self) -> None:
        """Declare the macros that the SQL files share."""
        self.execute(assets.sql("macros"))

    def view(self, step: str, name: str | None = None) -> None:
        """Declare a temporary view from one SQL file; it takes the file's name without the number."""
        self.execute(f"CREATE OR REPLACE TEMP VIEW {name or _step_name(step)} AS {assets.sql(step)}")

    def table(self, step: str) -> None:
        """Make a temporary table from one SQL file; it takes the file's name without the number."""
        self.execute(f"CREATE OR REPLACE TEMP TABLE {_step_name(step)} AS {assets.sql(step)}")

    @contextmanager
    def transaction(self, *, commit: bool = True) -> Iterator[None]:
        """Commit everything inside at once, or nothing of it."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error, GenrepipeError):  # after a full disk there may be nothing to roll back
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT" if commit else "ROLLBACK")

    def interrupt(self) -> None:
        """Stop what is running; a statement that is stopped raises ``Interrupted``."""
        self._connection.interrupt()

    def seal(self) -> None:
        """Give up access to every file but the warehouse's own; there is no way back."""
        self.execute("SET enable_external_access = false")

    def close(self) -> None:
        """Close the connection; what was committed is on disk after it."""
        with _our_errors(self.stands_for):
            self._connection.close()
        if self.path is None:  # beside a file, it is that of every process that reads it
            shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _has_time_zones(connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM duckdb_settings() WHERE name = 'TimeZone'").fetchall()[0][0])


def _step_name(step: str) -> str:
    return re.sub(r"^.*/(\d+_)?", "", step)


def refuse_unusable(path: Path, *, read_only: bool) -> None:
    """Refuse what cannot be a warehouse, before DuckDB makes something of it.

    Raises
    ------
    WarehouseUnusable
        It is a folder, not a DuckDB file, a name that DuckDB takes for something else, or missing where it is to be read.
    StorageError
        It cannot be read, or its folder does not exist.
    """
    name = str(path)
    if re.match(r"^:|^\w{2,}:|.*\?", name) or path.suffix.lower() in NOT_WAREHOUSES:
        # DuckDB would open these in memory, or elsewhere, and nothing would be there afterwards.
        raise WarehouseUnusable(f"{name} cannot be a warehouse", "Name a file, for example warehouse.duckdb")
    if path.is_dir():
        raise WarehouseUnusable(
            f"{path} is a folder, not a warehouse file", "Name a file, for example warehouse.duckdb"
        )
    if path.exists():
        try:
            with path.open("rb") as file:
                head = file.read(12)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}", "Check its permissions") from error
        if head and head[8:] != MAGIC:
            raise WarehouseUnusable(f"{path} is not a DuckDB file", "Name another --warehouse, or move that file away")
    elif read_only:
        raise WarehouseUnusable(
            f"{path}: there is no such warehouse", "Run genrepipe score first, or check --warehouse"
        )
    elif not path.parent.is_dir():
        raise StorageError(f"{path}: its folder does not exist", f"Make it first: mkdir -p {path.parent}")


@contextmanager
def _our_errors(path: Path | None, source: str = "") -> Iterator[None]:
    """Say in our words what DuckDB's exceptions mean."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise interrupts.received() or Interrupted("Interrupted", INTERRUPTED) from error
        raise
    except duckdb.Error as error:
        raise _translate_source(error, source) if source else _translate(error, path) from error


def _translate_source(error: duckdb.Error, source: str) -> GenrepipeError | duckdb.Error:
    text = re.sub(r"^[\w ]*Error: ", "", str(error)).splitlines()[0]
    text = re.sub(rf"[^\s\"']*{re.escape(objects.PREFIX)}[\w./-]+", source, text)  # a copy has no name of its own
    lowered = str(error).lower()
    if isinstance(error, duckdb.InterruptException):
        return interrupts.received() or Interrupted("Interrupted", INTERRUPTED)
    if "no space left" in lowered or "out of memory" in lowered:
        return StorageError(f"Reading {source}: {text}", "Free disk space or memory, then run again")
    if "invalid unicode" in lowered or "not utf-8" in lowered or "invalid encoding" in lowered:
        return SourceShapeError(
            f"{source} is not UTF-8 text", "If it is Latin-1 or UTF-16, add --encoding latin-1 or utf-16"
        )
    if "conflicting lock" in lowered or "could not set lock" in lowered:
        return WarehouseBusy(
            f"{source} is open for writing in another process", "Wait for it or close it, then run again"
        )
    if source.lower().endswith((".parquet", ".pq")) or isinstance(error, duckdb.IOException):
        return StorageError(
            f"{source} cannot be read: {text}", "It may be cut short or still be written: deliver it again"
        )
    if isinstance(error, duckdb.CatalogException):
        return SourceMissing(f"{source}: {text}", "Check the name after the ::")
    return SourceShapeError(f"{source} cannot be read as a table: {text}", "Check that the file is what its name says")


def _translate(error: duckdb.Error, path: Path | None) -> GenrepipeError | duckdb.Error:
    text = str(error).splitlines()[0]
    lowered = str(error).lower()
    if isinstance(error, duckdb.InterruptException):
        return interrupts.received() or Interrupted("Interrupted", INTERRUPTED)
    if "could not set lock" in lowered or "conflicting lock" in lowered:
        holder = re.search(r"lock is held in (.+?)(?:\. |$)", str(error))
        who = f" ({holder.group(1)})" if holder else ""
        return WarehouseBusy(f"{path} is open in another process{who}", "Wait for it or close it, then run again")
    if "no space left" in lowered or "could not write" in lowered or "out of memory" in lowered:
        return StorageError(f"{path or 'The run'}: {text}", "Free disk space or memory, then run again")
    if "not a valid duckdb database" in lowered:
        return WarehouseUnusable(f"{path} is not a DuckDB file", "Name another --warehouse, or move that file away")
    if (
        "newer version" in lowered
        or "older or newer" in lowered
        or "storage version" in lowered
        or "serialization" in lowered
    ):
        return WarehouseUnusable(
            f"{path} was written by another version of DuckDB: {text}", "Use the version that wrote it"
        )
    if "corrupt database file" in lowered:
        return WarehouseUnusable(f"{path} is damaged: {text}", "Restore it from a backup, or name another --warehouse")
    if isinstance(error, duckdb.IOException):
        return StorageError(f"{path or 'Reading failed'}: {text}", "Check the file, its permissions and the disk")
    return error
