"""Other processes of this machine, as messages name them."""

from __future__ import annotations

import itertools
import os
import pwd
from pathlib import Path

LONGEST = 60  # characters of a command


def described(pid: int) -> str:
    """Return a process as ``PID 42, user anna: duckdb w.duckdb``, as far as the system says so."""
    folder = Path(f"/proc/{pid}")
    try:
        owner = folder.stat().st_uid
        words = folder.joinpath("cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return f"PID {pid}"
    return f"PID {pid}, user {_user(owner)}: {command(words)}"


def command(words: list[str]) -> str:
    """Return the beginning of a command line: up to its first option or address, after which secrets may follow."""
    program = os.path.basename(words[0])  # noqa: PTH119  it need not be a path
    module = words[1:3] if words[1:2] == ["-m"] else []
    plain = itertools.takewhile(
        lambda word: word and not word.startswith("-") and "://" not in word, words[1 + len(module) :]
    )
    shown = " ".join([program, *module, *plain])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
