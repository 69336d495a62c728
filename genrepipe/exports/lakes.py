"""Published tables as Delta or Iceberg tables, partitioned by run date; each run date is replaced in one commit.

What a commit replaces stays in the table's history, as in any such table, until its owner vacuums it or expires snapshots.
"""

from __future__ import annotations

import json
import re
import time
import uuid
import warnings
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrepipe.core import addresses, signals
from genrepipe.core.errors import ExtraMissing, GenrepipeError, StorageError, UsageError, of_limit
from genrepipe.exports.manifest import Entry
from genrepipe.exports.tables import DATE, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.exports.manifest import Manifest
    from genrepipe.exports.targets import Target

CATALOGUE = "catalog.db"  # of Iceberg tables, beside them
NAMESPACE = "genrepipe"
# As the others of the stores, see ``addresses.CLIENT``.
STORE = {
    "allow_http": "true",
    "connect_timeout": "5s",
    "read_timeout": "20s",
    "max_retries": "4",
    "retry_timeout": "20s",
}


@contextmanager
def _writing(name: str) -> Iterator[None]:
    """Raise what the libraries say as our own errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries, about themselves
            yield
    except GenrepipeError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise of_limit(error) or StorageError(
            f"{name} cannot be written: {_line(error)}", "Check its permissions, the disk or the store"
        ) from error


def _line(error: BaseException) -> str:
    """Return the lines of an error, which lead from the outside to the cause, as one."""
    lines = [re.sub(r"\x1b\[\d+m|↳", "", line).strip() for line in str(error).splitlines()]
    return addresses.line(Exception(": ".join(filter(None, lines)) or type(error).__name__))


def _needs(module: str, what: str) -> None:
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{what} tables need {error.name}, which is not installed", "pip install 'genrepipe[lake]'"
        ) from error


def _nullable(schema: Any) -> Any:
    """Return a schema in which every value may be missing: DuckDB says of a column that none is, where none is in this file."""
    import pyarrow as pa  # noqa: PLC0415  of an extra

    def of(field: Any) -> Any:
        kind = field.type
        if pa.types.is_struct(kind):
            kind = pa.struct([of(each) for each in kind])
        elif pa.types.is_list(kind):
            kind = pa.list_(of(kind.value_field))
        return pa.field(field.name, kind)

    return pa.schema([of(field) for field in schema])


class Delta:
    """A Delta table for each table."""

    with_date = False

    def __init__(self, target: Target) -> None:
        for module in ("deltalake", "pyarrow"):
            _needs(module, "Delta")
        self._target = target
        self._options = STORE if addresses.is_address(target.address) else None

    def _table(self, table: str) -> Any:
        """Return the table, or None where there is none."""
        from deltalake import DeltaTable  # noqa: PLC0415  of an extra

        uri = f"{self._target.address}/{table}"
        return DeltaTable(uri, storage_options=self._options) if self._exists(uri) else None

    def _exists(self, uri: str) -> bool:
        from deltalake import DeltaTable  # noqa: PLC0415  of an extra

        return bool(DeltaTable.is_deltatable(uri, self._options))

    def lacking(self, known: Manifest) -> set[tuple[str, date]]:
        """Return what the manifest lists and the tables have not as many rows of."""
        import pyarrow as pa  # noqa: PLC0415  of an extra

        there: dict[tuple[str, date], int] = {}
        for name in TABLES:
            with _writing(f"{self._target.name}/{name}"):
                table = self._table(name)
                actions = pa.table(table.get_add_actions(flatten=True)).to_pylist() if table else []
            for action in actions:
                day = action[f"partition.{DATE}"]
                key = name, day if isinstance(day, date) else date.fromisoformat(day)
                there[key] = there.get(key, 0) + (action["num_records"] or 0)
        return {key for key, entry in known.entries.items() if there.get(key, 0) != entry.rows}

    def replace(self, table: str, day: date, file: Path, version: str, rows: int) -> Entry:
        """Make the file that of the partition, in one commit; the library's own writer holds a date in memory."""
        from deltalake.transaction import AddAction  # noqa: PLC0415  of an extra
        from pyarrow import parquet  # noqa: PLC0415

        schema = _nullable(parquet.read_schema(file))
        with _writing(f"{self._target.name}/{table}"):
            found = self._made(table, schema)
        if not rows:
            self.remove(table, day)
            file.unlink()
            return Entry(version, rows, 0)
        name = f"{DATE}={day}/{uuid.uuid4()}.parquet"
        size, _ = self._target.put(f"{table}/{name}", file)
        stats = json.dumps({"numRecords": rows})
        added = AddAction(name, size, {DATE: str(day)}, int(time.time() * 1000), data_change=True, stats=stats)
        with _writing(f"{self._target.name}/{table}"):
            signals.call_interruptibly(
                lambda: found.create_write_transaction(
                    [added], "overwrite", found.schema(), [DATE], partition_filters=[(DATE, "=", str(day))]
                )
            )
        return Entry(version, rows, size)

    def _made(self, table: str, schema: Any) -> Any:
        """Return the table, made where there is none, with the columns that it lacks."""
        import pyarrow as pa  # noqa: PLC0415  of an extra
        from deltalake import DeltaTable, Schema  # noqa: PLC0415

        wanted = Schema.from_arrow(schema.append(pa.field(DATE, pa.date32())))
        found = self._table(table)
        if found is None:
            uri = f"{self._target.address}/{table}"
            return DeltaTable.create(uri, wanted, partition_by=[DATE], storage_options=self._options)
        known = {field.name for field in found.schema().fields}
        if added := [field for field in wanted.fields if field.name not in known]:
            found.alter.add_columns(added)
        return found

    def remove(self, table: str, day: date) -> None:
        """Delete the partition of a run date."""
        with _writing(f"{self._target.name}/{table}"):
            if found := self._table(table):
                signals.call_interruptibly(lambda: found.delete(f"{DATE} = '{day}'"))


class Iceberg:
    """An Iceberg table for each table, of namespace ``genrepipe`` in a catalogue in SQLite beside them."""

    with_date = True

    def __init__(self, target: Target) -> None:
        if addresses.is_address(target.address):
            raise UsageError(
                f"{target.name}: Iceberg tables are published to folders alone, where their catalogue is a file",
                "Name a folder, or publish --format parquet or delta",
            )
        for module in ("pyiceberg", "pyarrow", "sqlalchemy"):
            _needs(module, "Iceberg")
        self._target = target
        self._opened: Any = None

    @property
    def _catalogue(self) -> Any:
        from pyiceberg.catalog.sql import SqlCatalog  # noqa: PLC0415  of an extra

        if self._opened is None:
            folder = Path(self._target.address)
            self._opened = SqlCatalog(NAMESPACE, uri=f"sqlite:///{folder / CATALOGUE}", warehouse=f"file://{folder}")
            self._opened.create_namespace_if_not_exists(NAMESPACE)
        return self._opened

    def _table(self, table: str) -> Any:
        """Return the table, or None where there is none."""
        from pyiceberg.exceptions import NoSuchTableError  # noqa: PLC0415  of an extra

        try:
            return self._catalogue.load_table((NAMESPACE, table))
        except NoSuchTableError:
            return None

    def lacking(self, known: Manifest) -> set[tuple[str, date]]:
        """Return what the manifest lists and the tables have not as many rows of."""
        there: dict[tuple[str, date], int] = {}
        for name in TABLES:
            with _writing(f"{self._target.name}/{name}"):
                table = self._table(name)
                partitions = table.inspect.partitions().to_pylist() if table and table.current_snapshot() else []
            for partition in partitions:
                there[name, partition["partition"][DATE]] = partition["record_count"]
        return {key for key, entry in known.entries.items() if there.get(key, 0) != entry.rows}

    def replace(self, table: str, day: date, file: Path, version: str, rows: int) -> Entry:
        """Add the file to the table, and delete what it had of the run date, in one commit."""
        from pyarrow import parquet  # noqa: PLC0415  of an extra
        from pyiceberg.expressions import EqualTo  # noqa: PLC0415

        schema = _nullable(parquet.read_schema(file))
        with _writing(f"{self._target.name}/{table}"):
            found = self._table(table) or self._create(table, schema)
            with found.update_schema() as update:
                update.union_by_name(schema)
        if not rows:
            self.remove(table, day)
            file.unlink()
            return Entry(version, rows, 0)
        name = f"{table}/data/{DATE}={day}/{uuid.uuid4()}.parquet"
        size, _ = self._target.put(name, file)
        with _writing(f"{self._target.name}/{table}"), found.transaction() as commit:
            commit.delete(EqualTo(term=DATE, value=day))
            commit.add_files([f"file://{self._target.address}/{name}"], check_duplicate_files=False)
        return Entry(version, rows, size)

    def _create(self, table: str, schema: Any) -> Any:
        from pyiceberg.transforms import IdentityTransform  # noqa: PLC0415  of an extra

        made = self._catalogue.create_table((NAMESPACE, table), schema, f"file://{self._target.address}/{table}")
        with made.update_spec() as update:
            update.add_field(DATE, IdentityTransform(), DATE)
        return made

    def remove(self, table: str, day: date) -> None:
        """Delete the rows of a run date, which are whole files."""
        from pyiceberg.expressions import EqualTo  # noqa: PLC0415  of an extra

        with _writing(f"{self._target.name}/{table}"):
            if found := self._table(table):
                found.delete(EqualTo(term=DATE, value=day))


LAKES: dict[str, type[Delta | Iceberg]] = {"delta": Delta, "iceberg": Iceberg}
