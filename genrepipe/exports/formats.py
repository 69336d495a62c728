"""How a run date of a table is replaced in a target: as one Parquet file, or in one commit of a lake table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from genrepipe.core.errors import ConfigurationError, UsageError
from genrepipe.exports.manifest import Entry
from genrepipe.exports.tables import DATE, TABLES

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from genrepipe.exports.manifest import Manifest
    from genrepipe.exports.targets import Target

FORMATS = ("parquet", "delta", "iceberg")


class Format(Protocol):
    """How run dates of tables lie in a target."""

    with_date: bool  # whether the rows hold their run date, or the name of a folder does

    def lacking(self, known: Manifest) -> set[tuple[str, date]]:
        """Return what the manifest lists and the target has not, or not as it was written."""

    def replace(self, table: str, day: date, file: Path, version: str, rows: int) -> Entry:
        """Make the rows of a file those of a table and run date, at once."""

    def remove(self, table: str, day: date) -> None:
        """Remove a run date of a table, at once."""


def open_format(name: str, target: Target) -> Format:
    """Return a format of a target.

    Raises
    ------
    UsageError
        There is no such format, or it does not go with the target.
    ExtraMissing
        A package of the extra ``lake`` is not installed.
    """
    if name == "parquet":
        return Parquet(target)
    if name not in FORMATS:
        raise UsageError(f"There is no format {name!r}", f"Formats: {', '.join(FORMATS)}, duckdb")
    from genrepipe.exports.lakes import LAKES  # noqa: PLC0415  packages of an extra

    return LAKES[name](target)


class Parquet:
    """One file for each table and run date, in folders as Hive names them: ``predictions/run_date=2026-11-22/``."""

    with_date = False

    def __init__(self, target: Target) -> None:
        self._target = target

    @staticmethod
    def place(table: str, day: date) -> str:
        """Return the name of a file."""
        return f"{table}/{DATE}={day.isoformat()}/{table}.parquet"

    def lacking(self, known: Manifest) -> set[tuple[str, date]]:
        """Return what the manifest lists and is not there as it was written.

        Raises
        ------
        ConfigurationError
            A Parquet file that genrepipe did not write lies among them: who reads the folder would count its rows.
        """
        there = {name: facts for table in TABLES for name, facts in self._target.files(f"{table}/").items()}
        ours = {self.place(*key) for key in (*known.entries, *known.writing)}
        for name in sorted(there):
            if name.endswith(".parquet") and name not in ours:
                raise ConfigurationError(
                    f"{self._target.name}/{name} is not listed in the manifest: genrepipe did not write it",
                    "Move it away: who reads the folder would count its rows",
                )
        return {
            key for key, entry in known.entries.items() if there.get(self.place(*key)) != (entry.bytes, entry.stamp)
        }

    def replace(self, table: str, day: date, file: Path, version: str, rows: int) -> Entry:
        """Put a file in the place of the one before."""
        name = self.place(table, day)
        size, stamp = self._target.put(name, file)
        return Entry(version, rows, size, name, stamp)

    def remove(self, table: str, day: date) -> None:
        """Remove the file."""
        self._target.remove(self.place(table, day))
