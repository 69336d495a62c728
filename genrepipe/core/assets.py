"""Finds what ships beside the code: contracts, SQL, jobs and trained bundles.

In a checkout (an editable install) the folders stand at the top level, where they are read and changed; in a wheel they
lie under ``genrepipe/_shipped/``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def shipped(folder: str) -> Path:
    """Return the folder ``contracts``, ``sql`` or ``jobs`` of this installation."""
    inside = PACKAGE / "_shipped" / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def is_checkout() -> bool:
    """Return whether this is a checkout, and no wheel that was installed."""
    return not (PACKAGE / "_shipped").is_dir()


def pretrained() -> Path:
    """Return the folder of the bundles that ship with the package."""
    return PACKAGE / "pretrained"


@cache
def sql(name: str) -> str:
    """Return the text of one SQL file, for example ``land/typed``."""
    return (shipped("sql") / f"{name}.sql").read_text(encoding="utf-8")
