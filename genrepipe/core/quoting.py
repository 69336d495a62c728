"""Names and values as SQL text."""

from __future__ import annotations

import math
from pathlib import Path


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Quote a value for SQL: text, a bool, or a finite number.

    Raises
    ------
    ValueError
        A float is infinite or NaN.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if not math.isfinite(value):
            msg = f"{value} has no SQL literal"
            raise ValueError(msg)
        return f"{value!r}::FLOAT" if isinstance(value, float) else str(value)
    return "'" + str(value).replace("'", "''") + "'"


def file_literal(path: Path) -> str:
    """Quote the path of one file for SQL, safe from DuckDB's globbing."""
    return literal("".join(f"[{character}]" if character in "*?[" else character for character in str(path)))


# Characters that Python does not call printable and that move nothing: spaces of other widths, and what joins an emoji.
SHOWN = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000\u200d\ufe0f"


def printable(value: object) -> str:
    """Return text as a terminal may show it: control characters, which could move its cursor, are replaced."""
    return "".join(c if c.isprintable() or c in SHOWN else "\N{REPLACEMENT CHARACTER}" for c in str(value))
