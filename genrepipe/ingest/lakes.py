"""Delta and Iceberg tables: the rows of one version, copied to a Parquet file for as long as they are read.

``deltalake`` and ``pyiceberg`` say which data files a version has, and which rows of them were deleted. The files are read in the
order in which they were written, and then in that of their names, so that a version is the same input each time. How many rows each has, log and manifests say too;
where the two differ, the run stops.
"""

from __future__ import annotations

import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from genrepipe.core import signals
from genrepipe.core.errors import (
    ExtraMissing,
    GenrepipeError,
    SourceMissing,
    SourceShapeError,
    StorageError,
    UsageError,
    of_limit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genrepipe.ingest.stores import Downloads

MARK = "::"  # before a version
ROWS = 65_536  # of a row group of the copy
SHOWN = 8  # versions that a message names
LOG_ENTRY = re.compile(r"\d{20}\.(?:json|checkpoint\.(?:.+\.)?parquet)")
METADATA = re.compile(r"v?(\d+).*\.metadata\.json")
# What a Delta table may ask of its readers, and is done here; https://github.com/delta-io/delta/blob/master/PROTOCOL.md
READER_FEATURES = {"deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
ELSEWHERE = "Write the rows that stand to Parquet or CSV, and name that"
INCOMPLETE = "It may be cut short, or still be copied: deliver the table again"


@dataclass(frozen=True)
class DataFile:
    """A file of a table: when it was written, its name, how many rows it must bring at least and at most, and how they are read."""

    written: int  # on the table's own scale
    name: str
    fewest: int
    most: int | None
    batches: Callable[[], Iterator[Any]]


@dataclass(frozen=True)
class Version:
    """A table at one version: its number or id, when it was made in seconds, its columns, and its files."""

    id: str
    changed: float
    schema: Any
    files: list[DataFile]

    def ordered(self) -> list[DataFile]:
        """Return the files in the order in which they are read."""
        return sorted(self.files, key=lambda file: (file.written, file.name))


def copy(folder: Path, kind: str, version: str, downloads: Downloads) -> tuple[str, Path]:
    """Write a version of a table, or the newest, to a Parquet file whose time is the version's.

    Parameters
    ----------
    kind
        Delta or Iceberg.
    version
        The number of a Delta table's version, the id of an Iceberg table's snapshot, or nothing for the newest.

    Returns
    -------
        The table with its version, as messages call it and as it can be named again, and the file.

    Raises
    ------
    ExtraMissing
        A package is not installed.
    UsageError
        The version is not a number.
    SourceMissing
        There is no such version.
    SourceShapeError
        The table's log or metadata is broken, or asks for what is not done here; or it holds other rows than its log says.
    StorageError
        A file cannot be read, or there is no room for the copy.
    """
    if version and not re.fullmatch(r"\d{1,19}", version, re.ASCII):
        what = "the number of a version" if kind == "Delta" else "the id of a snapshot"
        raise UsageError(f"{folder}{MARK}{version}: {version[:40]} is not {what}", f"Name it, or leave out {MARK}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, about themselves
        table = (_delta if kind == "Delta" else _iceberg)(folder, version)
        name = f"{folder}{MARK}{table.id}" if table.id else str(folder)
        return name, downloads.make(name, ".parquet", lambda out: _write(name, table, out))


def _write(name: str, table: Version, out: Path) -> None:
    from pyarrow import concat_tables, parquet  # noqa: PLC0415  of an extra

    try:
        with parquet.ParquetWriter(out, table.schema) as writer:
            kept: list[Any] = []
            for rows in _rows(name, table):
                kept.append(rows)
                if sum(map(len, kept)) >= ROWS:
                    writer.write_table(concat_tables(kept), row_group_size=ROWS)
                    kept = []
            if kept:
                writer.write_table(concat_tables(kept), row_group_size=ROWS)
    except OSError as error:
        raise StorageError(
            f"{name} cannot be copied: {os.strerror(error.errno) if error.errno else _line(error)}",
            "Free space in the temporary folder (TMPDIR)",
        ) from error
    os.utime(out, (table.changed, table.changed))


def _rows(name: str, table: Version) -> Iterator[Any]:
    """Yield the rows of all files, and stop where one has another number of them than the log says."""
    import pyarrow as pa  # noqa: PLC0415  of an extra

    for file in table.ordered():
        read = 0
        with _reading_file(name, file.name):
            for batch in file.batches():
                signals.check()
                read += len(batch)
                yield pa.Table.from_batches([batch]).select(table.schema.names).cast(table.schema)
        if read < file.fewest or (file.most is not None and read > file.most):
            expected = f"{file.fewest:,}" if file.most in {file.fewest, None} else f"{file.fewest:,} to {file.most:,}"
            raise SourceShapeError(
                f"{name}: {file.name} holds {expected} rows by the table's log, of which {read:,} were read", INCOMPLETE
            )


@contextmanager
def _needing(what: str) -> Iterator[None]:
    """Say which extra is missing where a package cannot be imported."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"{what}, and {error.name} is not installed", "pip install 'genrepipe[lake]'") from error


@contextmanager
def _reading_log(name: str, kind: str) -> Iterator[None]:
    """Raise what the libraries say of a table's log or metadata as our own errors."""
    try:
        yield
    except GenrepipeError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise of_limit(error) or SourceShapeError(
            f"{name} cannot be read as a table of {kind}: {_line(error)}", f"{INCOMPLETE}, or name another version"
        ) from error


@contextmanager
def _reading_file(name: str, file: str) -> Iterator[None]:
    """Raise what the libraries say of a data file as our own errors."""
    try:
        yield
    except GenrepipeError:
        raise
    except FileNotFoundError as error:
        raise StorageError(f"{name}: its file {file}, or what was deleted of it, is not there", INCOMPLETE) from error
    except Exception as error:
        if limit := of_limit(error):
            raise limit from error
        raise StorageError(f"{name}: its file {file} cannot be read: {_line(error)}", INCOMPLETE) from error


def _line(error: BaseException) -> str:
    """Return the first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300].rstrip(".:")


def _missing(folder: Path, version: str, newest: list[int]) -> SourceMissing:
    more = f" and {len(newest) - SHOWN:,} older ones" if len(newest) > SHOWN else ""
    there = f"Those there are: {', '.join(map(str, newest[:SHOWN]))}{more}" if newest else "It has none"
    return SourceMissing(f"{folder}{MARK}{version}: there is no such version", there)


def _outside(name: str, file: str) -> SourceShapeError:
    return SourceShapeError(f"{name}: its file {file} lies outside of the table's folder", ELSEWHERE)


# --- Delta ---


def _delta(folder: Path, version: str) -> Version:
    name = str(folder)
    with _needing(f"{name} is a Delta table"):
        import pyarrow as pa  # noqa: PLC0415  of an extra
        from deltalake import DeltaTable  # noqa: PLC0415
    known = _log(folder)
    if version and int(version) not in known:
        raise _missing(folder, version, sorted(known, reverse=True))
    with _reading_log(name, "Delta"):
        table = DeltaTable(folder.absolute(), version=int(version) if version else None)
        _check_protocol(name, table)
        schema = pa.schema(table.schema().to_arrow()).remove_metadata()
        schema = pa.schema([field.remove_metadata() for field in schema])
        kept = {
            _local(name, row["filepath"].removeprefix(table.table_uri.rstrip("/") + "/")): row["selection_vector"]
            for batch in table.deletion_vectors()
            for row in pa.record_batch(batch).to_pylist()
        }
        files = [
            _delta_file(folder, schema, _local(name, row["path"]), row, kept)
            for row in pa.table(table.get_add_actions()).to_pylist()
        ]
        if gone := kept.keys() - {file.name for file in files}:
            raise SourceShapeError(
                f"{name}: rows of {min(gone)} were deleted, and it is no file of the table", INCOMPLETE
            )
        number, changed = table.version(), _committed(folder, table)
    return Version(str(number), changed, schema, files)


def _log(folder: Path) -> set[int]:
    """Return the versions of which a table's log has an entry; an empty entry, which the library passes over, is refused."""
    where = str(folder.resolve())
    if unquote(where) != where:
        raise UsageError(
            f"{where}: a Delta table is not found where a name has %{where.partition('%')[2][:2]}", "Rename the folder"
        )
    try:
        entries = [path for path in (folder / "_delta_log").iterdir() if LOG_ENTRY.fullmatch(path.name)]
        empty = [path for path in entries if not path.stat().st_size]
    except OSError as error:
        raise StorageError(f"{folder}: its log cannot be read: {error.strerror}", "Check its permissions") from error
    if empty:
        raise SourceShapeError(f"{min(empty)} is empty", INCOMPLETE)
    return {int(path.name[:20]) for path in entries}


def _check_protocol(name: str, table: Any) -> None:
    """Refuse what would be read wrongly: the library's own readers look at some of it alone."""
    protocol, settings = table.protocol(), table.metadata().configuration
    wanted = set(protocol.reader_features or ()) - READER_FEATURES
    if protocol.min_reader_version > 3:
        wanted.add(f"version {protocol.min_reader_version} of the protocol")
    if settings.get("delta.columnMapping.mode", "none") != "none":
        wanted.add("columnMapping")
    elif protocol.min_reader_version >= 3:
        wanted.discard("columnMapping")  # it may be on and not used
    if wanted:
        raise SourceShapeError(f"{name} is a Delta table that needs {', '.join(sorted(wanted))}", ELSEWHERE)


def _local(name: str, path: str) -> str:
    """Return the path of a data file in its table; the log has it as a URL."""
    local = unquote(path)
    if urlsplit(path).scheme or local.startswith("/") or ".." in Path(local).parts:
        raise _outside(name, path)
    return local


def _delta_file(folder: Path, schema: Any, path: str, action: dict[str, Any], kept: dict[str, list[bool]]) -> DataFile:
    import pyarrow as pa  # noqa: PLC0415  of an extra
    import pyarrow.compute as pc  # noqa: PLC0415
    from pyarrow import dataset, fs  # noqa: PLC0415

    partition = dataset.scalar(True)
    for column, value in (action.get("partition") or {}).items():
        cell = pc.field(column)
        same = cell.is_null() if value is None else cell == pa.scalar(value, schema.field(column).type)
        partition &= same
    keep, rows = kept.get(path, []), action.get("num_records")
    deleted = keep.count(False)

    def batches() -> Iterator[Any]:
        place = fs.SubTreeFileSystem(str(folder.absolute()), fs.LocalFileSystem())
        reading = dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)  # memory stays flat
        form = dataset.ParquetFileFormat(default_fragment_scan_options=reading)
        file = form.make_fragment(path, filesystem=place, partition_expression=partition)
        seen = 0
        for batch in file.to_batches(schema=schema, batch_size=ROWS, batch_readahead=2):
            mask = keep[seen : seen + len(batch)]
            seen += len(batch)
            # What the mask does not reach stands.
            yield batch.filter(pa.array(mask + [True] * (len(batch) - len(mask)))) if mask else batch

    written = int(action["modification_time"])
    if rows is None:
        return DataFile(written, path, 0, None, batches)
    return DataFile(written, path, rows - deleted, rows - deleted, batches)


def _committed(folder: Path, table: Any) -> float:
    """Return when a version was committed: by its log, or where that does not say, by the file of it."""
    last: dict[str, Any] = next(iter(table.history(1)), {})
    if last.get("version") == table.version() and last.get("timestamp"):
        return float(last["timestamp"]) / 1000
    return max(path.stat().st_mtime for path in (folder / "_delta_log").glob(f"{table.version():020}.*"))


# --- Iceberg ---


def _iceberg(folder: Path, version: str) -> Version:
    name = str(folder)
    with _needing(f"{name} is an Iceberg table"):
        from pyiceberg.catalog.noop import NoopCatalog  # noqa: PLC0415  of an extra
        from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO, schema_to_pyarrow  # noqa: PLC0415
        from pyiceberg.serializers import FromInputFile  # noqa: PLC0415
        from pyiceberg.table import StaticTable  # noqa: PLC0415
    from pyarrow.fs import LocalFileSystem  # noqa: PLC0415

    def local_file(path: str) -> PyArrowFile:
        return PyArrowFile(path, path, LocalFileSystem())

    class Here(PyArrowFileIO):
        """Files of the table where its folder is now: its metadata name them by where it was written."""

        def new_input(self, location: str) -> PyArrowFile:
            return local_file(str(_moved(name, location, metadata.location, folder)))

    with _reading_log(name, "Iceberg"):
        newest = _newest_metadata(folder)
        metadata = FromInputFile.table_metadata(local_file(str(newest.absolute())))
        table = StaticTable(("table",), metadata, str(newest), Here(), NoopCatalog("none"))
        known = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
        if version and int(version) not in known:
            newest_first = sorted(known, key=lambda each: known[each].timestamp_ms, reverse=True)
            raise _missing(folder, version, newest_first)
        snapshot = known[int(version)] if version else metadata.current_snapshot()
        scan = table.scan(snapshot_id=snapshot.snapshot_id if snapshot else None)
        columns = scan.projection()
        schema = schema_to_pyarrow(columns, include_field_ids=False)
        if snapshot is None:
            return Version("", metadata.last_updated_ms / 1000, schema, [])
        written = {
            entry.data_file.file_path: entry.sequence_number or 0
            for manifest in snapshot.manifests(table.io)
            for entry in manifest.fetch_manifest_entry(table.io)
        }
        files = [_iceberg_file(table, columns, task, written[task.file.file_path]) for task in scan.plan_files()]
    return Version(str(snapshot.snapshot_id), snapshot.timestamp_ms / 1000, schema, files)


def _newest_metadata(folder: Path) -> Path:
    """Return the file of a table's newest metadata: the one that ``version-hint.text`` names, or that of the highest number."""
    inner = folder / "metadata"
    hint = inner / "version-hint.text"
    if hint.is_file():
        said = hint.read_text(encoding="utf-8").strip()
        for file in (inner / said, inner / f"v{said}.metadata.json", inner / f"{said}.metadata.json"):
            if file.name.endswith(".metadata.json") and file.is_file() and file.parent == inner:
                return file
        raise SourceShapeError(f"{hint} names version {said[:40]}, and there is no such file", INCOMPLETE)
    numbered: dict[int, list[Path]] = {}
    for path in sorted(inner.glob("*.metadata.json")):
        if found := METADATA.fullmatch(path.name):
            numbered.setdefault(int(found[1]), []).append(path)
    if not numbered:
        raise SourceShapeError(f"{folder} is an Iceberg table whose metadata files have no numbers", ELSEWHERE)
    newest = numbered[max(numbered)]
    if len(newest) > 1:  # one is of a commit that did not succeed; which, the catalogue of the table knows
        raise SourceShapeError(
            f"{folder} is an Iceberg table with {len(newest)} newest metadata files, such as {newest[0].name}",
            f"Write the name of the one that stands, which its catalogue knows, into {hint}",
        )
    return newest[0]


def _moved(name: str, location: str, written: str, folder: Path) -> Path:
    """Return where a file of a table is that was perhaps moved since it was written."""
    here, there = (re.sub(r"^file:(//(?=/))?", "", each) for each in (location, written.rstrip("/")))
    inner = here.removeprefix(f"{there}/")
    if inner == here or ".." in Path(inner).parts:
        raise _outside(name, location)
    return folder.absolute() / inner


def _iceberg_file(table: Any, columns: Any, task: Any, written: int) -> DataFile:
    from pyiceberg.expressions import AlwaysTrue  # noqa: PLC0415  of an extra
    from pyiceberg.io.pyarrow import ArrowScan  # noqa: PLC0415

    rows = task.file.record_count
    deleted = sum(file.record_count for file in task.delete_files)  # of this file, or of others too

    def batches() -> Iterator[Any]:
        yield from ArrowScan(table.metadata, table.io, columns, AlwaysTrue()).to_record_batches([task])

    return DataFile(written, task.file.file_path, max(0, rows - deleted), rows, batches)
