"""The base of every result: a frozen dataclass that prints as one JSON object."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command did. Subclasses are frozen dataclasses of plain values, lists, dicts and other results."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values that ``json.dumps`` accepts; dates and paths become text."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value
