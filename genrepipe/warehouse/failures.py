"""DuckDB's exceptions as failures of the error tree: one table says what each class is.

What a class means depends on the statement. In one of ours (``writing``: the warehouse, or a run's own tables) the disk,
the memory or the file is at fault, or we are; where a source is read it is the source; in a query it is who wrote it.

DuckDB passes the words of an errno on in its message, whatever the class. ``errno`` says of which classes they count: the
others may quote a cell, or a user's SQL, that holds the same words.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import duckdb

from genrepipe.core import processes, signals
from genrepipe.core.errors import (
    CHECK,
    MORE_MEMORY,
    REMEDIES,
    ConfigurationError,
    GenrepipeError,
    Interrupted,
    OutputBroken,
    SourceMissing,
    SourceShapeError,
    StorageError,
    UsageError,
    WarehouseBusy,
    WarehouseUnusable,
    a_bug,
    errno_in,
)

if TYPE_CHECKING:
    from pathlib import Path

AGAIN = "Free disk space or memory, then run again"
CLOSE = "Close it there, or wait for it: a job and every command that writes has --wait 10m"
RESTORE = "Restore contracts/ and sql/, or correct what was changed there"
BACKUP = "Restore it from a backup, or name another --warehouse"


class NamedFile(Protocol):
    """A file that a statement reads: where it lies, and what users call it."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def path(self) -> Path:
        """Where it lies; a copy of an object lies in a temporary folder."""


@dataclass(frozen=True)
class Meaning:
    """What one of DuckDB's classes is: the failure in a statement of ours, in reading a source, and in a user's query.

    Attributes
    ----------
    errno
        Whether the words of an errno in the message are those of the operating system; the failure is 74 then.
    remedy
        What to do about it in a statement of ours.
    """

    writing: type[GenrepipeError]
    reading: type[GenrepipeError]
    query: type[GenrepipeError]
    errno: bool = True
    remedy: str = CHECK


def _ours(reading: type[GenrepipeError] = SourceShapeError) -> Meaning:
    """Return the meaning of a class that only a wrong statement has: a bug, where the statement is ours."""
    return Meaning(OutputBroken, reading, UsageError, errno=False)


def _text(reading: type[GenrepipeError] = SourceShapeError) -> Meaning:
    """Return the meaning of a class that DuckDB raises before it looks at a row: the text of a statement is wrong.

    Those of ours are made of the contracts and of ``sql/``, and all of them are tested as they ship.
    """
    return Meaning(ConfigurationError, reading, UsageError, errno=False, remedy=RESTORE)


_DISK = Meaning(StorageError, StorageError, StorageError)
# An exception is what the nearest of its classes is.
MEANINGS: dict[type[duckdb.Error], Meaning] = {
    duckdb.InterruptException: Meaning(Interrupted, Interrupted, Interrupted, errno=False),
    duckdb.OutOfMemoryException: Meaning(StorageError, StorageError, StorageError, remedy=AGAIN),
    duckdb.IOException: _DISK,
    duckdb.HTTPException: _DISK,
    duckdb.FatalException: _DISK,  # the database cannot go on: a commit or a checkpoint could not be written
    duckdb.SerializationException: Meaning(WarehouseUnusable, StorageError, WarehouseUnusable, remedy=BACKUP),
    duckdb.TransactionException: Meaning(OutputBroken, StorageError, UsageError),
    duckdb.ConnectionException: Meaning(OutputBroken, StorageError, UsageError),
    duckdb.ResourceInUseException: Meaning(WarehouseBusy, WarehouseBusy, WarehouseBusy, errno=False, remedy=CLOSE),
    duckdb.InternalException: Meaning(OutputBroken, SourceShapeError, UsageError),
    duckdb.InvalidInputException: Meaning(OutputBroken, SourceShapeError, UsageError),  # it wraps errors of others
    duckdb.CatalogException: _text(SourceMissing),
    duckdb.BinderException: _text(),
    duckdb.ParserException: _text(),
    duckdb.SyntaxException: _text(),
    duckdb.InvalidTypeException: _text(),
    duckdb.NotImplementedException: _ours(),
    duckdb.PermissionException: _ours(UsageError),
    duckdb.SequenceException: _ours(),
    duckdb.DependencyException: _ours(),
    duckdb.ConstraintException: _ours(),
    duckdb.ConversionException: _ours(),
    duckdb.OutOfRangeException: _ours(),
    duckdb.TypeMismatchException: _ours(),
    duckdb.Error: Meaning(OutputBroken, SourceShapeError, UsageError),  # one that a later DuckDB has
}
# What DuckDB says without an errno of a disk that fails, or of memory that it does not get, and what it stands for.
WORDS = {
    "no space left": errno.ENOSPC,
    "could not write": errno.ENOSPC,
    "max_temp_directory_size": errno.ENOSPC,
    "out of memory": errno.ENOMEM,
    "bad allocation": errno.ENOMEM,
    "fsync failed": errno.EIO,
    "could not sync": errno.EIO,
    "i/o error": errno.EIO,
    "failed to truncate": errno.EIO,
}


def meaning(error: duckdb.Error) -> Meaning:
    """Return the row of the table for an exception."""
    return next(MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS)


def system_errno(error: duckdb.Error) -> int | None:
    """Return the errno that a message is about, where its class says that it can be about one."""
    text = str(error).lower()
    if not meaning(error).errno:
        return None
    return errno_in(text) or next((number for words, number in WORDS.items() if words in text), None)


def of_statement(error: duckdb.Error, path: Path | None) -> GenrepipeError:
    """Return the failure of a statement of ours; ``path`` is the warehouse, None a database in memory."""
    text = _line(error)
    lowered = str(error).lower()
    row = meaning(error)
    if row.writing is Interrupted:
        return signals.stopped()
    if "cannot encode str as utf-8" in lowered:
        return UsageError("A value of the command is not UTF-8 text", "Write it in UTF-8")
    if "could not set lock" in lowered or "conflicting lock" in lowered:
        return WarehouseBusy(f"{path} is open for writing in another process{_holder(error)}", CLOSE)
    if isinstance(error, duckdb.OutOfMemoryException):
        return StorageError(f"{path or 'The run'}: {text}", AGAIN)
    if number := system_errno(error):
        return StorageError(f"{path or 'The run'}: {text}", REMEDIES[number])
    if row.errno and "not a valid duckdb database" in lowered:
        return WarehouseUnusable(f"{path} is not a DuckDB file", "Name another --warehouse, or move that file away")
    if row.errno and any(
        words in lowered for words in ("newer version", "older or newer", "storage version", "serialization")
    ):
        return WarehouseUnusable(
            f"{path} was written by another version of DuckDB: {text}", "Use the version that wrote it"
        )
    if row.errno and "corrupt database file" in lowered:
        return WarehouseUnusable(f"{path} is damaged: {text}", BACKUP)
    if row.writing is OutputBroken:
        return a_bug(error)
    if row.writing is ConfigurationError:
        return ConfigurationError(f"The contracts and sql/ do not fit each other: {text}", RESTORE)
    return row.writing(f"{path or 'The run'}: {text}", row.remedy)


def of_reading(error: duckdb.Error, file: NamedFile) -> GenrepipeError:
    """Return the failure of a statement that reads a source."""
    text = re.sub(r"^[\w ]*Error: ", "", _line(error)).replace(str(file.path), file.name)
    lowered = str(error).lower()
    row = meaning(error)
    if row.reading is Interrupted:
        return signals.stopped()
    if "invalid unicode" in lowered or "not utf-8" in lowered or "invalid encoding" in lowered:
        return SourceShapeError(
            f"{file.name} is not UTF-8 text", "If it is Latin-1 or UTF-16, add --encoding latin-1 or utf-16"
        )
    if "conflicting lock" in lowered or "could not set lock" in lowered or row.reading is WarehouseBusy:
        return WarehouseBusy(
            f"{file.name} is open for writing in another process{_holder(error)}", "Close it there, then run again"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return StorageError(f"Reading {file.name}: {text}", AGAIN)
    if number := system_errno(error):
        return StorageError(f"Reading {file.name}: {text}", REMEDIES[number])
    if isinstance(error, duckdb.PermissionException):
        return UsageError(f"{file.name} is a view that reads other files", "Make a table of it, and name that")
    if row.reading is StorageError or file.name.lower().endswith((".parquet", ".pq")):
        return StorageError(
            f"{file.name} cannot be read: {text}", "It may be cut short or still be written: deliver it again"
        )
    if row.reading is SourceMissing:
        return SourceMissing(f"{file.name}: {text}", "Check the name after the ::")
    return row.reading(f"{file.name} cannot be read as a table: {text}", "Check that the file is what its name says")


def of_query(error: duckdb.Error | GenrepipeError, path: Path) -> GenrepipeError:
    """Return the failure of a query that a user wrote; ``error`` is DuckDB's, or what ``of_statement`` made of it."""
    if isinstance(error, GenrepipeError):
        if not isinstance(error.__cause__, duckdb.Error):
            return error
        error = error.__cause__
    if isinstance(error, duckdb.OutOfMemoryException):
        return StorageError(f"The query failed: {_line(error)}", f"Ask for less of it at once. {MORE_MEMORY}")
    if meaning(error).query is UsageError and system_errno(error) is None:
        words = str(error).partition("\nLINE ")[0].split()
        missing = isinstance(error, duckdb.CatalogException)
        remedy = "SHOW TABLES lists the tables" if missing else "DESCRIBE predictions_latest names a table's columns"
        return UsageError(f"The query failed: {' '.join(words).rstrip('.!?')}", remedy)
    return of_statement(error, path)


def _holder(error: duckdb.Error) -> str:
    """Return who holds the lock that an error tells of, in brackets, as far as DuckDB and the system know."""
    told = re.search(r"lock is held in (.+?)(?:\. |$)", str(error))
    if told is None:
        return ""
    pid = re.search(r"\(PID (\d+)\)", told.group(1))
    return f" ({processes.described(int(pid.group(1))) if pid else told.group(1)})"


def _line(error: duckdb.Error) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
