"""Files that a command writes for others: a mistyped path must not cost somebody a warehouse, or hang on a pipe."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from genrepipe.core.errors import StorageError, WarehouseBusy

if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS = ("/dev/null", "/dev/stdout", "/dev/stderr")


def not_ours(path: Path, beginning: bytes) -> str | None:
    """Return why a file must not be written, or None: it may be new, empty, a standard stream, or begin as ours do.

    Parameters
    ----------
    beginning
        The first bytes of such a file as an earlier run left it.
    """
    if str(path) in STREAMS or not path.exists():
        return None
    if not path.is_file():
        return "is not a regular file"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    with os.fdopen(descriptor, "rb") as file:
        head = file.read(len(beginning))
    return None if not head or head == beginning else "holds something else"


def replace_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, also where the power is cut; what a killed command left is overwritten.

    Raises
    ------
    WarehouseBusy
        Another command replaces a file of that folder.
    StorageError
        It cannot be written; the file is as it was.
    """
    _replace(path, text.encode)


def append_line(path: Path, line: str) -> None:
    """Add a line to a small file, as ``replace_text`` writes one; what it holds stays, whatever it is.

    Raises
    ------
    WarehouseBusy
        Another command replaces a file of that folder.
    StorageError
        It cannot be read or written; the file is as it was.
    """

    def longer() -> bytes:
        before = path.read_bytes() if path.exists() else b""
        return before + (b"\n" if before and not before.endswith(b"\n") else b"") + line.encode() + b"\n"

    _replace(path, longer)


def _replace(path: Path, content: Callable[[], bytes]) -> None:
    """Replace a file by what is made while no other command writes in its folder."""
    aside = path.with_name(f"{path.name}.new")
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                with aside.open("wb") as file:
                    file.write(content())
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(path)
            except OSError:
                with suppress(OSError):
                    aside.unlink(missing_ok=True)
                raise
            with suppress(OSError):  # it is written, whether or not a power cut would find it
                os.fsync(folder)
        finally:
            os.close(folder)
    except BlockingIOError:
        raise WarehouseBusy(f"Another command writes in {path.parent}", "Run again") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", "Check the folder's permissions") from error
