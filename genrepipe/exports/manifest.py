"""What a target holds: ``_manifest.json``, written before a run date is replaced, and after.

A run date that is being replaced is under ``writing`` and not under ``tables``, so that a publish that was killed leaves no
doubt: the next one writes it again. Who reads by the manifest sees whole run dates alone, of all tables.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from genrepipe.core.errors import ConfigurationError
from genrepipe.core.version import VERSION

NAME = "_manifest.json"
LAYOUT = 1  # of a target
KEYS = {"layout", "format", "origin", "job", "run_id", "published_at", "tables", "writing", "genrepipe_version"}


@dataclass(frozen=True)
class Entry:
    """One table and run date as it was published."""

    version: str  # of the rows, by the warehouse
    rows: int
    bytes: int
    file: str | None = None  # of a table that is one file for each run date
    stamp: str | None = None  # how a store tells this object from another one under its name


@dataclass
class Manifest:
    """What a target holds."""

    format: str
    origin: str  # the first run of the warehouse, which tells it from others
    job: str | None = None  # whose rows alone were published
    run_id: str = ""  # the newest run that was known
    published_at: str = ""  # in UTC
    entries: dict[tuple[str, date], Entry] = field(default_factory=dict)
    writing: set[tuple[str, date]] = field(default_factory=set)

    def dump(self) -> bytes:
        """Return the manifest as JSON text."""
        tables: dict[str, dict[str, Any]] = {}
        for (table, day), entry in sorted(self.entries.items()):
            facts = {key: value for key, value in asdict(entry).items() if value is not None}
            tables.setdefault(table, {})[day.isoformat()] = facts
        value = {
            "layout": LAYOUT, "genrepipe_version": VERSION, "format": self.format, "origin": self.origin, "job": self.job,
            "run_id": self.run_id, "published_at": self.published_at, "tables": tables,
            "writing": [[table, day.isoformat()] for table, day in sorted(self.writing)],
        }  # fmt: skip
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def load(where: str, content: bytes) -> Manifest:
    """Read a manifest; ``where`` is what messages call it.

    Raises
    ------
    ConfigurationError
        It is none, or one of a newer version.
    """
    try:
        value = json.loads(content)
        if not value.keys() >= KEYS:
            raise ValueError
        if int(value["layout"]) > LAYOUT:
            raise ConfigurationError(
                f"{where} was written by genrepipe {value['genrepipe_version']}, which is newer",
                "Upgrade genrepipe, or name another target",
            )
        entries = {
            (str(table), date.fromisoformat(day)): Entry(**facts)
            for table, days in value["tables"].items()
            for day, facts in days.items()
        }
        writing = {(str(table), date.fromisoformat(day)) for table, day in value["writing"]}
        return Manifest(
            str(value["format"]), str(value["origin"]), value["job"], str(value["run_id"]), str(value["published_at"]), entries, writing,
        )  # fmt: skip
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigurationError(
            f"{where} is not a manifest that genrepipe wrote", "Restore it, or name another target"
        ) from error
