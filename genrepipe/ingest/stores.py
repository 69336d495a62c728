"""Object stores: objects are found by address, and downloaded to files for as long as they are read.

A download is complete (the store says how long an object is), and nobody changes it while it is read. It lies in the
folder for temporary files; the next process removes what a killed one left there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote

from genrepipe.core import addresses, signals
from genrepipe.core.errors import (
    ConfigurationError,
    ExtraMissing,
    SourceMissing,
    SourceShapeError,
    StorageError,
    UsageError,
)
from genrepipe.core.events import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PREFIX = "genrepipe.ingest.stores."
CHUNK = 8 << 20


@dataclass(frozen=True)
class Object:
    """One object: its address as users write it, its store and its path there."""

    address: str
    store: Any
    path: str


class Downloads:
    """Files that hold objects; they are removed on exit."""

    def __init__(self, reporter: Reporter = SILENT) -> None:
        self._reporter = reporter
        self._folder: Path | None = None
        self._lock = -1
        self._files: dict[str, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)

    def download(self, source: Object, suffix: str) -> Path:
        """Download an object to a file, whose time of change is the object's, and return it.

        Raises
        ------
        SourceMissing
            There is no such object.
        SourceShapeError
            It is compressed, and its name does not say so.
        StorageError
            The store cannot be reached or denies access, or there is no room for the file.
        """
        import obstore  # noqa: PLC0415  of an extra

        if source.address in self._files:
            return self._files[source.address]
        self._folder = self._folder or self._make()
        out = self._folder / f"{len(self._files)}{suffix}"

        def read() -> None:
            response = obstore.get(source.store, source.path)
            if (encoded := response.attributes.get("Content-Encoding")) and "." not in suffix[1:]:
                raise SourceShapeError(
                    f"{source.address} is stored with Content-Encoding {encoded}",
                    "Store it plain, or as .csv.gz without",
                )
            size, done = response.meta["size"], 0
            with out.open("wb") as file:
                for chunk in response.stream(min_chunk_size=CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    self._reporter.progress("bytes fetched", done, max(size, done))
            if done != size:
                raise StorageError(
                    f"{source.address} was not read to its end: {done:,} of {size:,} bytes came", "Run again"
                )
            changed = response.meta["last_modified"].timestamp()
            if changed > 0:  # else the server does not say
                os.utime(out, (changed, changed))

        _translated(source.address, read)
        self._files[source.address] = out
        return out

    def make(self, name: str, suffix: str, write: Callable[[Path], None]) -> Path:
        """Let a file be written that is removed on exit, once for each name, and return it."""
        if name not in self._files:
            self._folder = self._folder or self._make()
            out = self._folder / f"{len(self._files)}{suffix}"
            write(out)
            self._files[name] = out
        return self._files[name]

    def _make(self) -> Path:
        wanted = os.environ.get("TMPDIR")
        if wanted and not (Path(wanted).is_dir() and Path(wanted).samefile(tempfile.gettempdir())):
            raise StorageError(f"{wanted}: no file can be made there", "Let TMPDIR name a folder with room")
        _clear()
        while True:  # who clears may take a folder that is just being made for one that was left
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            with suppress(FileNotFoundError):
                self._lock = _lock_of(folder)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                if (folder / "lock").exists():
                    return folder
                os.close(self._lock)


def _lock_of(folder: Path) -> int:
    return os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)


def _clear() -> None:
    """Remove what killed processes left: folders of ours whose lock nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            # The folder of temporary files is everybody's: a link there may lead anywhere.
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.geteuid():
                continue
            lock = _lock_of(folder)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def find(address: str, wanted: Callable[[str], bool]) -> list[Object]:
    """Find the object of an address, all that match its pattern, or all under a folder that are ``wanted`` by name.

    In a pattern ``*`` stays within a folder, and ``**`` does not. Only the web escapes the names in its addresses.

    Raises
    ------
    UsageError
        The address cannot be understood, or holds a secret.
    ConfigurationError
        A setting in the environment cannot be used, or the package that reads stores is not installed.
    SourceMissing
        There is no such object.
    StorageError
        The store cannot be reached, or denies access.
    """
    addresses.check(address)
    scheme, _, rest = address.partition("://")
    try:
        from obstore.store import from_url  # noqa: PLC0415  of an extra
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{address} is in an object store, and obstore is not installed", "pip install 'genrepipe[cloud]'"
        ) from error
    try:
        store = from_url(addresses.bucket(address), client_options=addresses.CLIENT, retry_config=addresses.RETRIES)  # type: ignore[call-overload]
    except Exception as error:
        raise UsageError(f"{address}: {addresses.line(error)}", addresses.CHECK_STORE) from error
    key = rest.partition("/")[2]
    if scheme in addresses.WEB:
        return [Object(address, store, unquote(key))]
    paths = _translated(address, lambda: _paths(store, key, wanted))
    if not paths:
        raise SourceMissing(f"{address}: there is no such object", "Check the address, or wait for the object")
    return [Object(f"{addresses.bucket(address)}/{path}", store, path) for path in paths]


def _paths(store: Any, key: str, wanted: Callable[[str], bool]) -> list[str]:
    import obstore  # noqa: PLC0415  of an extra

    if key and not key.endswith("/"):
        with suppress(FileNotFoundError):
            obstore.head(store, key)
            return [key]
    patterns = key.rstrip("/").split("/")
    fixed = "/".join(patterns[: next((i for i, each in enumerate(patterns) if has_magic(each)), len(patterns))])
    if not has_magic(key):
        listed = _listed(obstore.list(store, prefix=fixed or None))
        return [path for path in listed if wanted(path.removeprefix(fixed).lstrip("/"))]
    if has_magic(patterns[-1]) and patterns[-1] != "**" and fixed == "/".join(patterns[:-1]):
        listed = _listed([obstore.list_with_delimiter(store, prefix=fixed or None)["objects"]])
    else:
        listed = _listed(obstore.list(store, prefix=fixed or None))
    return [path for path in listed if _matches(path.split("/"), patterns)]


def _listed(pages: Any) -> list[str]:
    return sorted(meta["path"] for page in pages for meta in page)


def _matches(names: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not names
    first, rest = patterns[0], patterns[1:]
    if first == "**":
        return any(_matches(names[skipped:], rest or ["*"]) for skipped in range(len(names)))
    if not names or (names[0].startswith(".") and not first.startswith(".")):
        return False
    return fnmatchcase(names[0], first) and _matches(names[1:], rest)


def _translated(address: str, call: Callable[[], T]) -> T:
    """Run a call that waits for a store, and raise its errors as those of the error tree. A signal ends it at once."""
    try:
        return signals.call_interruptibly(call)
    except FileNotFoundError as error:
        raise SourceMissing(
            f"{address}: there is no such object", "Check the address, or wait for the object"
        ) from error
    except OSError as error:
        if error.strerror is None:  # of the store's
            raise StorageError(f"{address} cannot be read: {addresses.line(error)}", addresses.CHECK_STORE) from error
        raise StorageError(
            f"{address} cannot be copied: {error.strerror}", "Free space in the temporary folder (TMPDIR)"
        ) from error
    except ValueError as error:
        raise UsageError(f"{address}: {addresses.line(error)}", "Name it without empty, . and .. folders") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ConfigurationError(f"{address}: {addresses.line(error)}", addresses.CHECK_STORE) from error
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        if "NoSuchBucket" in str(error) or "404 Not Found" in str(error):
            raise SourceMissing(f"{address}: there is no such store", "Check the address") from error
        if "invalid path" in str(error):
            raise UsageError(
                f"{address}: {addresses.line(error)}", "Rename that object, or name a folder beside it"
            ) from error
        raise StorageError(f"{address} cannot be read: {addresses.line(error)}", addresses.CHECK_STORE) from error
