"""Where published data goes: a folder, or a prefix of an object store, with the same few operations.

A file is replaced at once under its name, so that a reader finds the old one or the new one: by a rename in a folder, and by
the one request that ends an upload in a store. What is being written lies elsewhere until then.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from genrepipe.core import addresses, signals
from genrepipe.core.errors import (
    CHECK,
    REMEDIES,
    ConfigurationError,
    ExtraMissing,
    StorageError,
    UsageError,
    WarehouseBusy,
)
from genrepipe.exports import manifest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LOCK = "_lock"
STAGING = "_writing"  # names with an underscore are no data, as Hive, Spark and Arrow have it
SCHEMES = tuple(scheme for scheme in addresses.SCHEMES if scheme not in addresses.WEB)


class Target(Protocol):
    """A place for published data; names are relative to it, with ``/``. It is locked, or watched, while it is open."""

    name: str  # as messages show it
    address: str  # as other libraries open it
    staging: Path  # a folder for a file that is being written

    def read(self, name: str) -> bytes | None:
        """Return a small file, or None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; of the manifest, refuse where another command wrote it meanwhile."""

    def put(self, name: str, file: Path) -> tuple[int, str | None]:
        """Replace a file by one of ``staging``, which is gone then; return its size, and its stamp where the store has one."""

    def remove(self, name: str) -> None:
        """Remove a file, and its folder where that is empty then."""

    def files(self, folder: str) -> dict[str, tuple[int, str | None]]:
        """Return size and stamp of every file under a folder."""

    def close(self) -> None:
        """Give the place up."""

    def __enter__(self) -> Self:
        """Use it until ``close``."""

    def __exit__(self, *exception: object) -> None:
        """Close it."""


def open_target(to: str) -> Target:
    """Open a folder, which is made where it does not exist, or a prefix of a store such as ``s3://bucket/prefix``.

    Raises
    ------
    UsageError
        The address cannot be understood, or holds a secret.
    ConfigurationError
        It is a file, or a setting of the store cannot be used.
    WarehouseBusy
        Another command publishes there.
    StorageError
        It cannot be written.
    """
    return Prefix(to) if addresses.is_address(to) else Folder(Path(to))


class _Closing:
    def close(self) -> None:
        """Give the place up, with what was being written."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Folder(_Closing):
    """A folder, locked while it is open."""

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.address = path, str(path), str(path.absolute())
        self.staging = path / STAGING
        if path.exists() and not path.is_dir():
            raise ConfigurationError(f"{path} is a file, not a folder", "Name a folder with --to")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            raise self._failed(error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear()
            self.staging.mkdir()
        except BlockingIOError as error:
            os.close(self._lock)
            raise WarehouseBusy(f"Another command publishes to {path}", "Wait for it, then run again") from error
        except OSError as error:
            os.close(self._lock)
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path} cannot be written: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK))

    def _clear(self) -> None:
        """Remove what a killed command left."""
        if self.staging.is_symlink() or not self.staging.is_dir():
            self.staging.unlink(missing_ok=True)
        else:
            shutil.rmtree(self.staging)

    def close(self) -> None:
        """Give the place up, with what was being written."""
        with suppress(OSError):
            self._clear()
        os.close(self._lock)

    def read(self, name: str) -> bytes | None:
        """Return a small file, or None where there is none."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                f"{self.path / name} cannot be read: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
            ) from error

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        aside = self.staging / "small"
        try:
            aside.write_bytes(content)
        except OSError as error:
            raise self._failed(error) from error
        self.put(name, aside)

    def put(self, name: str, file: Path) -> tuple[int, str | None]:
        """Replace a file by one of ``staging``."""
        place = self.path / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            size = file.stat().st_size
            _sync(file)
            file.replace(place)
            _sync(place.parent)
        except OSError as error:
            raise self._failed(error) from error
        return size, None

    def remove(self, name: str) -> None:
        """Remove a file."""
        place = self.path / name
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{place} cannot be removed: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
            ) from error
        with suppress(OSError):  # it holds something else
            place.parent.rmdir()

    def files(self, folder: str) -> dict[str, tuple[int, str | None]]:
        """Return size and stamp of every file under a folder."""
        found: dict[str, tuple[int, str | None]] = {}
        try:
            for path in sorted((self.path / folder).rglob("*")):
                if path.is_file():
                    found[path.relative_to(self.path).as_posix()] = path.stat().st_size, None
        except OSError as error:
            raise StorageError(
                f"{error.filename or self.path} cannot be read: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
            ) from error
        return found


class Prefix(_Closing):
    """A prefix of an object store. Who writes the manifest in between ends the other publish at its next write of it."""

    def __init__(self, address: str) -> None:
        addresses.check(address, SCHEMES)
        try:
            from obstore.store import from_url  # noqa: PLC0415  of an extra
        except ModuleNotFoundError as error:
            raise ExtraMissing(
                f"{address} is in an object store, and obstore is not installed", "pip install 'genrepipe[cloud]'"
            ) from error
        self.name = self.address = address.rstrip("/")
        key = self.name.partition("://")[2].partition("/")[2]
        self._prefix = f"{key}/" if key else ""
        try:
            self._store: Any = from_url(  # type: ignore[call-overload]
                addresses.bucket(address), client_options=addresses.CLIENT, retry_config=addresses.RETRIES
            )
        except Exception as error:
            raise UsageError(f"{address}: {addresses.line(error)}", addresses.CHECK_STORE) from error
        self._manifest: dict[str, Any] | None = None  # as it was read or written last
        self._stack = ExitStack()
        self.staging = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="genrepipe.exports.")))

    def close(self) -> None:
        """Give the place up, with what was being written."""
        self._stack.close()

    def read(self, name: str) -> bytes | None:
        """Return a small file, or None where there is none."""
        import obstore  # noqa: PLC0415  of an extra

        def get() -> bytes | None:
            try:
                response = obstore.get(self._store, self._prefix + name)
            except FileNotFoundError:
                return None
            if name == manifest.NAME:
                self._manifest = dict(response.meta)
            return bytes(response.bytes())

        return self._translated(name, get)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        import obstore  # noqa: PLC0415  of an extra

        mode: Any = "overwrite"
        if name == manifest.NAME:
            mode = {"e_tag": self._manifest["e_tag"]} if self._manifest else "create"
        try:
            written = self._translated(
                name, lambda: obstore.put(self._store, self._prefix + name, content, mode=mode, use_multipart=False)
            )
        except (obstore.exceptions.PreconditionError, obstore.exceptions.AlreadyExistsError) as error:
            raise WarehouseBusy(f"Another command publishes to {self.name}", "Wait for it, then run again") from error
        if name == manifest.NAME:
            self._manifest = dict(written)

    def put(self, name: str, file: Path) -> tuple[int, str | None]:
        """Replace a file by one of ``staging``."""
        import obstore  # noqa: PLC0415  of an extra

        size = file.stat().st_size
        written = self._translated(name, lambda: obstore.put(self._store, self._prefix + name, file))
        file.unlink()
        return size, written["e_tag"]

    def remove(self, name: str) -> None:
        """Remove a file."""
        import obstore  # noqa: PLC0415  of an extra

        def delete() -> None:
            with suppress(FileNotFoundError):
                obstore.delete(self._store, self._prefix + name)

        self._translated(name, delete)

    def files(self, folder: str) -> dict[str, tuple[int, str | None]]:
        """Return size and stamp of every file under a folder."""
        import obstore  # noqa: PLC0415  of an extra

        def listed() -> dict[str, tuple[int, str | None]]:
            pages = obstore.list(self._store, prefix=f"{self._prefix}{folder}")
            objects = [meta for page in pages for meta in page]
            return {str(o["path"]).removeprefix(self._prefix): (int(o["size"]), o["e_tag"]) for o in objects}

        return self._translated(folder, listed)

    def _translated(self, name: str, call: Callable[[], T]) -> T:
        """Run a call that waits for the store, and raise its errors as those of the error tree. A signal ends it at once."""
        from obstore import exceptions  # noqa: PLC0415  of an extra

        where = f"{self.name}/{name}"
        try:
            return signals.call_interruptibly(call)
        except (exceptions.PreconditionError, exceptions.AlreadyExistsError):
            raise
        except OSError as error:
            if isinstance(error, FileNotFoundError) and error.filename is None:
                raise StorageError(f"{self.name}: there is no such store", "Make the bucket, or check --to") from error
            why = error.strerror or addresses.line(error)
            raise StorageError(f"{where} cannot be written: {why}", addresses.CHECK_STORE) from error
        except ValueError as error:
            raise UsageError(f"{where}: {addresses.line(error)}", "Name it without empty, . and .. folders") from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":
                raise ConfigurationError(f"{where}: {addresses.line(error)}", addresses.CHECK_STORE) from error
            if type(error).__module__.partition(".")[0] != "obstore":
                raise
            if "NoSuchBucket" in str(error):
                raise StorageError(f"{self.name}: there is no such store", "Make the bucket, or check --to") from error
            raise StorageError(f"{where} cannot be written: {addresses.line(error)}", addresses.CHECK_STORE) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
