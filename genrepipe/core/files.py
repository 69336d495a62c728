"""Files that a run writes for others: a mistyped path must not cost somebody a warehouse, or hang on a pipe."""

from __future__ import annotations

import os
from pathlib import Path

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
