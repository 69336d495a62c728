"""What a folder delivers: its files, those of the folders in it, and what is named because it is not read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote

from genrepipe.core.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Folders by which writers of many files are known, and what their tables are called. Of a folder that is a table of two formats,
# as Delta's UniForm writes them, the first counts.
TABLE_FORMATS = {"_delta_log": "Delta", ".hoodie": "Hudi"}
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass
class Delivered:
    """The files of a folder that hold tracks, in the order of their names, and those that are not read, with the reason."""

    paths: list[Path] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is none of a delivery: by convention what begins with a dot or an underscore."""
    return name.startswith((".", "_"))


def delivered(folder: Path, is_read: Callable[[Path], bool]) -> Delivered:
    """Look through a folder; links to folders are followed, each folder once.

    Hidden files and folders are no part of it, such as ``_temporary``, ``_SUCCESS``, ``.git`` and ``..data``.

    Raises
    ------
    UsageError
        It holds a table of another format, whose files mean nothing without its log.
    StorageError
        A folder in it cannot be read.
    """
    found = Delivered()
    seen = {os.path.realpath(folder)}

    def stop(error: OSError) -> None:
        raise StorageError(f"{error.filename} cannot be read: {error.strerror}", "Check its permissions") from error

    for place, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        refuse_format(place, [*folders, *(f"metadata/{n}" for n in _metadata(place, folders))])
        kept = []
        for name in sorted(folders):
            inner = os.path.realpath(Path(place, name))
            if not is_hidden(name) and inner not in seen:
                seen.add(inner)
                kept.append(name)
        folders[:] = kept
        for path in (Path(place, name) for name in names if not is_hidden(name)):
            if is_read(path) and path.is_file():
                found.paths.append(path)
            elif path.is_symlink() and not path.exists():
                found.not_read.append(f"{path} (a broken link)")
            elif not path.is_file():
                found.not_read.append(f"{path} (no regular file)")
            else:
                found.not_read.append(f"{path} (neither CSV, JSON Lines nor Parquet by its name)")
    found.not_read.sort()
    return found


def _metadata(place: str, folders: Iterable[str]) -> list[str]:
    inner = Path(place, "metadata")
    return [path.name for path in inner.iterdir()] if "metadata" in folders and os.access(inner, os.R_OK) else []


def table_format(folder: Path) -> str | None:
    """Return what a folder is a table of, Delta, Iceberg or Hudi, or None where it holds files."""
    names = [name for name in TABLE_FORMATS if (folder / name).is_dir()]
    inner = ["metadata"] if (folder / "metadata").is_dir() else []
    return next(iter(_formats([*names, *(f"metadata/{name}" for name in _metadata(str(folder), inner))])), None)


def _formats(names: Iterable[str]) -> list[str]:
    names = list(names)
    formats = {TABLE_FORMATS[name] for name in names if name in TABLE_FORMATS}
    if any(name.startswith("metadata/") and name.endswith(".metadata.json") for name in names):
        formats.add("Iceberg")
    return sorted(formats)


def refuse_format(place: str, names: Iterable[str]) -> None:
    """Refuse a folder that is a table of another format; ``names`` are what is in it, folders among them.

    Raises
    ------
    UsageError
        It is one of Delta, Hudi or Iceberg.
    """
    for name in _formats(names):
        refuse(place, name)


def refuse_files_of_tables(paths: Iterable[Path]) -> None:
    """Refuse files that lie in a folder which is a table of another format.

    Raises
    ------
    UsageError
        There is one.
    """
    for folder in sorted({folder for path in paths for folder in path.parents}):
        if name := table_format(folder):
            refuse(str(folder), name)


def refuse(place: str, name: str) -> NoReturn:
    """Refuse to read files of a table of another format for what they hold.

    Raises
    ------
    UsageError
        Always.
    """
    remedy = "Write the rows that stand to Parquet or CSV, and name that"
    if name != "Hudi":
        remedy = "Copy its folder to a disk, and name that" if "://" in place else f"Name the table itself: {place}"
    raise UsageError(f"{place} is {_a(name)} table: its files hold rows that were replaced or deleted", remedy)


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def constants(path: str) -> dict[str, str | None]:
    """Return the columns that the names of folders say, as Hive writes them: ``mode=Major/part-0.csv``."""
    pairs = [name.partition("=") for name in Path(path).parts[:-1] if "=" in name[1:]]
    return {unquote(name): None if value == NO_VALUE else unquote(value) for name, _, value in pairs}
