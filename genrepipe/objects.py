"""Objects of a store: found by their address, and copied to files for as long as they are read.

A copy is whole (the store says how long an object is), and nobody changes it while it is read. It lies in the folder of
temporary files; what a killed process left there, the next one removes.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from contextlib import suppress
from datetime import timedelta
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote

from genrepipe import interrupts
from genrepipe.errors import ExtraMissing, SourceMissing, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SCHEMES = ("s3", "gs", "az", "abfs", "abfss", "http", "https")
WEB = ("http", "https")  # a server of files: one address, one file
NONE = "there is no CSV or Parquet object"
PREFIX = "genrepipe.objects."
CHUNK = 8 << 20
# A store that is not there is told within half a minute; the scheduler tries again (exit code 74).
PATIENCE = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}
# The second is that of a whole object. An endpoint without TLS is one that the user named so.
SETTINGS = {"connect_timeout": "5 seconds", "timeout": "1 hour", "allow_http": True}


def named(argument: str) -> bool:
    """Whether a source is named by an address rather than by a path."""
    return "://" in argument


def root(address: str) -> str:
    """Return the store's part of an address: ``s3://bucket`` of ``s3://bucket/key``."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


class Copies:
    """The files that objects are copied to; they are removed at its end."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._lock = -1
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)

    def fetch(self, address: str, wanted: Callable[[str], bool]) -> list[tuple[str, Path]]:
        """Copy the object of an address, or all that match a pattern or lie under a folder and are ``wanted`` by name.

        Returns
        -------
        Addresses and files, in the order of addresses. A file has the time at which its object was last changed.

        Raises
        ------
        UsageError
            The address cannot be understood.
        ExtraMissing
            The package that reads stores is not installed.
        SourceMissing
            There is no such object.
        StorageError
            The store cannot be reached, does not let us read, or the copy has no room.
        """
        store, key = _open(address)
        web = address.startswith(tuple(f"{scheme}://" for scheme in WEB))
        found = _told(address, lambda: _find(store, key, wanted, lists=not web))
        if not found:
            raise SourceMissing(f"{address}: {NONE}", "Check the address, or wait for the object")
        return [self._copy(store, f"{root(address)}/{path}", path) for path in found]

    def _copy(self, store: Any, address: str, path: str) -> tuple[str, Path]:
        import obstore  # noqa: PLC0415  of an extra

        self._folder = self._folder or self._make()
        self._count += 1
        out = self._folder / f"{self._count}-{PurePosixPath(path).name[-100:]}"

        def copy() -> None:
            told = obstore.get(store, path)
            with out.open("wb") as file:
                for chunk in told.stream(min_chunk_size=CHUNK):
                    file.write(chunk)
            if out.stat().st_size != told.meta["size"]:
                msg = f"{out.stat().st_size} of {told.meta['size']} bytes came"
                raise StorageError(f"{address} was not read to its end: {msg}", "Run again")
            changed = told.meta["last_modified"].timestamp()
            os.utime(out, (changed, changed))

        _told(address, copy)
        return address, out

    def _make(self) -> Path:
        _clear()
        while True:  # who clears may take a folder that is just being made for one that was left
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            with suppress(FileNotFoundError):
                self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                if (folder / "lock").exists():
                    return folder
                os.close(self._lock)


def _clear() -> None:
    """Remove what killed processes left: folders whose lock nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
        except OSError:
            continue  # another user's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # held
        finally:
            os.close(lock)


def _open(address: str) -> tuple[Any, str]:
    """Return the store of an address, and the object's name in it: as it is, for only the web escapes its paths."""
    scheme, _, rest = address.partition("://")
    host, _, key = rest.partition("/")
    if scheme not in SCHEMES:
        raise UsageError(f"{scheme}://… is not read", f"Name a path, or {'://, '.join(SCHEMES)}://")
    if (
        ("@" in host and not scheme.startswith("abfs"))
        or re.search(r"\?[\w-]+=", key)
        or (scheme in WEB and re.search("[?#]", key))
    ):
        # It would stand in the ledger and in every log.
        raise UsageError(
            f"{scheme}://{host.rpartition('@')[2]}/…: a secret, or a query, is part of the address",
            "Give the store's address alone, and credentials in the environment, as its own tools take them",
        )
    try:
        from obstore.store import from_url  # noqa: PLC0415  of an extra
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{address} is an object of a store, and obstore is not installed", "pip install 'genrepipe[cloud]'"
        ) from error
    try:
        store = from_url(root(address), client_options=SETTINGS, retry_config=PATIENCE)  # type: ignore[call-overload]
    except Exception as error:
        raise UsageError(
            f"{address}: {_line(error)}", "Check the address, and the store's settings in the environment"
        ) from error
    return store, unquote(key) if scheme in WEB else key


def _find(store: Any, key: str, wanted: Callable[[str], bool], *, lists: bool) -> list[str]:
    import obstore  # noqa: PLC0415  of an extra

    if wanted(key):
        try:
            obstore.head(store, key)
        except FileNotFoundError:
            pass
        else:
            return [key]
    if not lists:
        return []
    fixed = re.split(r"[*?[]", key)[0].rpartition("/")[0] if has_magic(key) else key.rstrip("/")
    listed = sorted(meta["path"] for some in obstore.list(store, prefix=fixed or None) for meta in some)
    if has_magic(key):
        return [path for path in listed if _matches(path, key)]
    return [path for path in listed if wanted(path) and not PurePosixPath(path).name.startswith((".", "_"))]


def _matches(path: str, pattern: str) -> bool:
    """Whether a path matches a pattern in which ``*`` stays within a folder, and ``**`` does not."""
    if "**" in pattern:
        return fnmatchcase(path, pattern) or fnmatchcase(path, pattern.replace("**/", ""))
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def _told(address: str, call: Callable[[], T]) -> T:
    """Run what waits for a store, and say its errors in our words. A signal ends it at once."""
    try:
        return interrupts.heeding(call)
    except FileNotFoundError as error:
        raise SourceMissing(f"{address}: {NONE}", "Check the address, or wait for the object") from error  # fmt: skip
    except OSError as error:
        if error.strerror is None:  # of the store's
            raise StorageError(f"{address} cannot be read: {_line(error)}", "Check the store and the credentials") from error  # fmt: skip
        raise StorageError(f"{address} cannot be copied: {error.strerror}", "Free space in the temporary folder (TMPDIR)") from error  # fmt: skip
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        if "NoSuchBucket" in str(error) or "404 Not Found" in str(error):
            raise SourceMissing(f"{address}: there is no such store", "Check the address") from error
        raise StorageError(f"{address} cannot be read: {_line(error)}", "Check the store and the credentials") from error  # fmt: skip


def _line(error: Exception) -> str:
    """Return the first line of an error without queries, which may be signed."""
    line = re.sub(r"\?\S+", "?…", str(error).splitlines()[0])
    return re.sub(r"^Generic \w+ error: | in [\d.]+\S?s\b", "", line).strip().rstrip(".:")
