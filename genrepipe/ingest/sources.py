"""Sources: files, globs, folders, objects and tables as an ordered list of parts, and their columns by name.

Nothing here opens a database. A part is one CSV file, one Parquet file, or one table of a DuckDB file.
"""

from __future__ import annotations

import glob
import hashlib
import re
import time
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genrepipe import contracts
from genrepipe.core import addresses
from genrepipe.core.errors import SourceMissing, SourceShapeError, StorageError, UsageError, nearest
from genrepipe.core.events import SILENT, Reporter
from genrepipe.ingest import files, folders, lakes, stores, text
from genrepipe.ingest.recipes import SourceRecipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from genrepipe.contracts import Table
    from genrepipe.contracts.documents import Column

JSON_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst")
CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst")
PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_MARK = "::"
DATABASE = re.compile(r"\.(duckdb|db|sqlite3?)(::|$)")
UNIT = re.compile(r"\s*[(\[][^()\[\]]*[)\]]$")  # after a column's name: liveness (0-1)
NUMBER = re.compile(r"[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?")
# Zero-width and directional marks, soft hyphens, byte order marks.
INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
NAMES, NAME = 24, 40  # how many columns a message names, and how much of each


@dataclass(frozen=True)
class Part:
    """One file or table; ``name`` is what messages and the quarantine call it."""

    name: str
    kind: Literal["csv", "json", "parquet", "table"]
    path: Path
    table: str = ""
    delimiter: str | None = None  # where the name says it
    constants: Mapping[str, str | None] = field(
        default_factory=dict, hash=False
    )  # columns that the names of folders say
    rows: tuple[int, int] | None = None  # of a Parquet file, the positions of those that are read; None is all


@dataclass(frozen=True)
class Source:
    """All parts of one source, and how to read them."""

    parts: tuple[Part, ...]
    encoding: str = "utf-8"
    recipe: SourceRecipe = field(default_factory=SourceRecipe)
    not_read: tuple[str, ...] = ()  # files of a folder that hold no tracks by their names, with the reason


@contextmanager
def open_source(
    arguments: Iterable[str],
    *,
    encoding: str = "utf-8",
    recipe: SourceRecipe | None = None,
    reporter: Reporter = SILENT,
) -> Iterator[Source]:
    """Find the parts that the arguments name, see ``resolve``; objects are downloaded for as long as this lasts."""
    with stores.Downloads(reporter) as downloads:
        yield resolve(arguments, encoding=encoding, recipe=recipe, downloads=downloads)


def resolve(
    arguments: Iterable[str],
    *,
    encoding: str = "utf-8",
    recipe: SourceRecipe | None = None,
    downloads: stores.Downloads | None = None,
) -> Source:
    """Find the parts that the arguments name, in their order; folders and globs in the order of names.

    Parameters
    ----------
    arguments
        Paths of CSV, JSON Lines or Parquet files, globs, folders, or ``file.duckdb::table``; with ``downloads``, addresses of objects,
        and folders of Delta and Iceberg tables, ``lake/tracks`` or ``lake/tracks::version``.
    encoding
        Encoding of the CSV files: utf-8, windows-1252, latin-1, utf-16, or another of Python's. A byte order mark wins.
    recipe
        How the source's columns become those of the contract; without it, they are those.

    Raises
    ------
    SourceMissing
        An argument names nothing that exists.
    UsageError
        An argument or the encoding cannot be understood.
    """
    encoding = text.check_encoding(encoding)
    parts: list[Part] = []
    not_read: list[str] = []
    for argument in arguments:
        parts += _parts_of(argument, downloads, not_read)
    if not parts:
        raise UsageError(
            "No source was named", "Name a CSV or Parquet file, a folder, a glob, file.duckdb::table or s3://bucket/key"
        )
    return Source(tuple(dict.fromkeys(parts)), encoding, recipe or SourceRecipe(), tuple(not_read))


def _parts_of(argument: str, downloads: stores.Downloads | None, not_read: list[str]) -> list[Part]:
    if not argument.strip():
        raise UsageError("A source is an empty text", "Name a file, a folder, a glob or file.duckdb::table")
    if addresses.is_address(argument):
        return _objects_of(argument, downloads, not_read)
    if _unnamable(argument):
        raise UsageError(f"{argument}: its name is not UTF-8", "Rename the file")
    if TABLE_MARK in argument and not Path(argument).exists():
        file, _, table = argument.rpartition(TABLE_MARK)
        if Path(file).is_dir():
            return [_lake_part(Path(file), folders.table_format(Path(file)), table, downloads)]
        if not Path(file).is_file():
            raise SourceMissing(f"{file}: there is no such database", "Check the path before the ::")
        return [Part(argument, "table", Path(file), table)]
    path = Path(argument)
    if path.is_dir():
        form = folders.table_format(path)
        return [_lake_part(path, form, "", downloads)] if form else _files_of(path, argument, not_read)
    if path.is_file():
        return [_file_part(path)]
    if path.exists():
        raise UsageError(f"{argument} is neither a file nor a folder", "Write what comes through it to a file first")
    if glob.has_magic(argument):
        paths = _distinct(Path(p) for p in glob.glob(argument, recursive=True) if Path(p).is_file())  # noqa: PTH207  Path.glob takes no absolute pattern
        if not paths:
            raise SourceMissing(f"{argument}: no file matches", "Check the pattern, or wait for the file")
        folders.refuse_files_of_tables(paths)
        return [_file_part(p) for p in paths]
    raise SourceMissing(f"{argument}: there is no such file", "Check the path, or wait for the file")


def _files_of(path: Path, argument: str, not_read: list[str]) -> list[Part]:
    found = folders.delivered(path, lambda each: _kind(each) is not None)
    paths = _distinct(found.paths)
    if not paths:
        others = f", but {_listed(found.not_read)}" if found.not_read else ""
        raise SourceMissing(
            f"{argument}: the folder holds no CSV or Parquet file{others}", "Check the path, or wait for the file"
        )
    not_read += found.not_read
    return [_file_part(p) for p in paths]


def _lake_part(folder: Path, form: str | None, version: str, downloads: stores.Downloads | None) -> Part:
    if form is None:
        raise UsageError(f"{folder} is a folder of files, which have no versions", f"Leave out {TABLE_MARK}{version}")
    if form == "Hudi":
        folders.refuse(str(folder), form)
    if downloads is None:
        raise UsageError(f"{folder}: tables of {form} are not read here", "Write its rows to a file first")
    name, copy = lakes.copy(folder, form, version, downloads)
    return Part(name, "parquet", copy)


def _unnamable(text: str) -> bool:
    """Return whether a name cannot be text: a file system may hold any bytes as a name."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """Return paths in the order of names, one for each file: a link that leads back to its folder names it many times.

    Raises
    ------
    UsageError
        A name is not UTF-8.
    """
    files_by_place: dict[Path, Path] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        if _unnamable(str(path)):
            raise UsageError(f"{path}: its name is not UTF-8", "Rename the file")
        files_by_place.setdefault(path.resolve(), path)
    return sorted(files_by_place.values())


def _objects_of(address: str, downloads: stores.Downloads | None, not_read: list[str]) -> list[Part]:
    if DATABASE.search(address):
        raise UsageError(
            f"{addresses.redacted(address)}: a database is not read from a store", "Copy it to a file first"
        )
    if downloads is None:
        raise UsageError(
            f"{addresses.redacted(address)}: addresses are not read here", "Copy the object to a file first"
        )

    def is_part(name: str) -> bool:
        *places, last = name.split("/")
        folders.refuse_format(address, [*places, "/".join([*places, last][-2:])])
        if any(map(folders.is_hidden, [*places, last])):
            return False
        if _kind(Path(last)) is None:
            not_read.append(f"{name} (neither CSV, JSON Lines nor Parquet by its name)")
            return False
        return True

    objects = stores.find(address, is_part)
    parts = [_file_part(Path(each.address.rpartition("/")[2]), each.address) for each in objects]
    return [
        replace(part, path=downloads.download(each, "." + part.kind + files.compression(part.path)))
        for part, each in zip(parts, objects, strict=True)
    ]


def _kind(path: Path) -> Literal["csv", "json", "parquet"] | None:
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return "parquet"
    if name.endswith(JSON_SUFFIXES):
        return "json"
    return "csv" if name.endswith(CSV_SUFFIXES) else None


def _file_part(path: Path, name: str = "") -> Part:
    kind, name = _kind(path), name or str(path)
    if kind is None:
        if DATABASE.search(path.name.lower()):
            raise UsageError(f"{name} is a database", f"Name its table: {name}::table")
        if path.suffix.lower() == ".json":
            raise UsageError(
                f"{name}: a JSON document is not read, JSON Lines are",
                "Write one object a line, for example: jq -c '.[]' in.json > out.jsonl",
            )
        raise UsageError(
            f"{name}: neither CSV, JSON Lines nor Parquet by its name",
            f"Name it {' or '.join((*CSV_SUFFIXES[:3], JSON_SUFFIXES[0], PARQUET_SUFFIXES[0]))}",
        )
    return Part(
        name, kind, path, constants=folders.constants(name), delimiter="\t" if ".tsv" in path.name.lower() else None
    )


def folded(name: str) -> str:
    """Return a column's name as it is compared: without regard to case, spaces around it, and characters that show nothing."""
    return " ".join(INVISIBLE.sub("", unicodedata.normalize("NFKC", name)).split()).casefold()


@dataclass(frozen=True)
class Columns:
    """Where a part has what the contract's columns are read from, as positions in its header.

    Attributes
    ----------
    positions
        By column of the contract; None where there is none.
    hashed
        Those of which the id of a track is made.
    filtered
        Those that say which rows are tracks, by the name that the recipe has for them.
    """

    positions: dict[str, int | None]
    hashed: tuple[int, ...] = ()
    filtered: Mapping[str, int] = field(default_factory=dict)

    @property
    def used(self) -> set[int]:
        """Every position that is read."""
        return {at for at in self.positions.values() if at is not None} | {*self.hashed, *self.filtered.values()}


def match_columns(columns: list[str], contract: Table, recipe: SourceRecipe, where: str) -> Columns:
    """Find the contract's columns in a header, by name without regard to case; a unit after the name does not count.

    Raises
    ------
    UsageError
        ``--map`` names a column that the contract has not.
    SourceShapeError
        A column is missing or occurs twice. The message has the flags that would mend it.
    """
    wanted = {column.name: column.name for column in contract.properties}
    for ours, theirs in recipe.names().items():
        if ours not in contracts.load("source_tracks").table.columns:
            close = nearest(ours, list(wanted))
            raise UsageError(
                f"--map {ours}=…: the contract has no column {ours}",
                f"Did you mean {close}?" if close else f"It has {', '.join(wanted)}",
            )
        if ours in wanted:
            wanted[ours] = theirs
    positions: dict[str, int | None] = {}
    missing = []
    for ours, theirs in wanted.items():
        if recipe.is_absent(ours) or recipe.has_value(ours):
            positions[ours] = None
            continue
        positions[ours] = _position(theirs, columns, where)
        if positions[ours] is None and theirs != ours and recipe.needs(ours):
            raise SourceShapeError(
                f"{where}: there is no column {theirs!r} to map {ours} to", f"It has {_listed(columns)}"
            )
        if positions[ours] is None and recipe.needs(ours) and not contract.column(ours).custom("optionalColumn"):
            missing.append(ours)
    if missing:
        raise SourceShapeError(*_missing_message(missing, columns, positions, contract, where))
    key = next((each.name for each in contract.properties if each.primaryKey), "")
    said = recipe.columns.get(key)
    hashed = tuple(_needed(name, columns, where, f"make {key} of") for name in (said.hash if said else ()))
    filtered = {name: _needed(name, columns, where, "filter by") for name in recipe.filter}
    return Columns(positions, hashed, filtered)


def _position(name: str, columns: list[str], where: str) -> int | None:
    names = [folded(each) for each in columns]
    hits = [i for i, each in enumerate(names) if each == folded(name)]
    hits = hits or [i for i, each in enumerate(names) if UNIT.sub("", each) == folded(name)]
    if len(hits) > 1:
        raise SourceShapeError(f"{where}: the column {name} occurs {len(hits)} times", "Keep one of them")
    return hits[0] if hits else None


def _needed(name: str, columns: list[str], where: str, purpose: str) -> int:
    at = _position(name, columns, where)
    if at is None:
        raise SourceShapeError(f"{where}: there is no column {name!r} to {purpose}", f"It has {_listed(columns)}")
    return at


def also_known(column: Column, among: list[str]) -> str | None:
    """Return the name among those given by which other catalogues know a column of the contract."""
    by_name = {folded(UNIT.sub("", name)).replace(" ", "_").replace("-", "_"): name for name in reversed(among)}
    known = (column.name, *(column.custom("alsoKnownAs") or ()))
    return next((by_name[name] for name in known if name in by_name), None)


def _missing_message(
    missing: list[str], columns: list[str], positions: dict[str, int | None], contract: Table, where: str
) -> tuple[str, str]:
    taken = {i for i in positions.values() if i is not None}
    spare = [name for i, name in enumerate(columns) if i not in taken]
    flags, alone = [], []
    for column in missing:
        close = also_known(contract.column(column), spare) or nearest(column, spare)
        if close is None:
            alone.append(column)
        else:
            spare.remove(close)
            flags.append(f'--map {column}="{close}"')
    if sum(NUMBER.fullmatch(name.strip()) is not None for name in columns) > len(columns) / 3:
        return f"{where} has no header: its first line is a row", "Write the names of the columns into its first line"
    what = f"{where}: {len(missing)} of the contract's columns are missing: {', '.join(missing)}"
    remedies = []
    if flags:
        remedies.append(f"If they have other names, add {' '.join(flags)}")
    if alone and flags:
        remedies.append(f"nothing in the file resembles {', '.join(alone)}")
    if alone and not flags:
        remedies.append(f"Its columns are {_listed(columns)}; name them with --map {alone[0]}=THEIRS")
    return what, "; ".join(remedies)


def _listed(names: list[str]) -> str:
    """Return names for a message: what is no header may be thousands of long ones."""
    shown = [name if len(name) <= NAME else f"{name[:NAME]}…" for name in names[:NAMES]]
    return ", ".join(shown) + (f" and {len(names) - NAMES} more" if len(names) > NAMES else "")


def stamps(source: Source) -> list[tuple[int, ...]]:
    """Return what shows that a part's file was changed or replaced: size in bytes, times of change in nanoseconds, and inode.

    The first two are those of the content; the time of change of the inode cannot be set back.

    Raises
    ------
    SourceMissing
        A file is gone.
    """
    seen: list[tuple[int, ...]] = []
    for part in source.parts:
        try:
            status = part.path.stat()
        except OSError as error:
            raise SourceMissing(f"{part.name}: {error.strerror}", "Check the path, or wait for the file") from error
        seen.append((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
    return seen


def age_hours(source: Source) -> float:
    """Return the hours since the newest file of a source was written."""
    return max(0.0, (time.time() - max(changed for _, changed, *_ in stamps(source)) / 1e9) / 3600)


def digest(path: Path, name: str = "") -> str:
    """Return the sha256 of a file's bytes; messages call it by ``name``.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(
            f"{name or path} cannot be read: {error.strerror}", "Check its permissions and the disk"
        ) from error
