"""Identity of a run, its counts and its line in the ledger."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from genrepipe import __version__, contracts
from genrepipe.errors import OutputBroken, UsageError

if TYPE_CHECKING:
    from genrepipe.bundles import Bundle
    from genrepipe.database import Database
    from genrepipe.landing import Arrival


def parse_date(text: str | None) -> date:
    """Return the run date that a user named, as YYYY-MM-DD; None is today in UTC.

    Raises
    ------
    UsageError
        It is not a date.
    """
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"The run date {text!r} is not a date", "Write it as 2026-11-22") from None


@dataclass(frozen=True)
class Run:
    """One execution of a job for one business date."""

    job: str
    run_date: date
    run_id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(3)}")
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))
    clock: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.clock


@dataclass(frozen=True)
class Tally:
    """What became of every received row."""

    arrival: Arrival
    predicted: int
    imputed: dict[str, int]

    def assert_balanced(self) -> None:
        """Hold the promise that nothing is lost.

        Raises
        ------
        OutputBroken
            The sums do not say where every row went.
        """
        a = self.arrival
        if a.received != self.predicted + a.quarantined + a.duplicates + a.empty:
            raise OutputBroken(
                f"The ledger does not balance: {a.received} received, but {self.predicted} predicted + {a.quarantined} quarantined "
                f"+ {a.duplicates} duplicates + {a.empty} empty",
                "This is a bug: please report it",
            )


def already_published(database: Database, run: Run, bundle: Bundle, source_sha256: str) -> dict[str, Any] | None:
    """Return the ledger line that published this date last, if it was this job with the same input and bundle."""
    columns = [
        "run_id",
        "received",
        "predicted",
        "quarantined",
        "duplicates",
        "empty",
        "imputed_duration_ms",
        "imputed_tempo",
    ]
    rows = database.rows(
        f"SELECT job, model_sha256, source_sha256, contract_versions, {', '.join(columns)} FROM runs "
        "WHERE run_date = ? AND status = 'published' ORDER BY finished_at DESC LIMIT 1",
        [run.run_date],
    )
    if not rows or rows[0][:4] != (run.job, bundle.sha256, source_sha256, json.dumps(contracts.versions())):
        return None
    return dict(zip(columns, rows[0][4:], strict=True))


def enter(database: Database, run: Run, bundle: Bundle, tally: Tally, sources: list[str], source_sha256: str) -> None:
    """Write a published run into the ledger, and its bundle into the table of bundles."""
    manifest = bundle.manifest
    now = datetime.now(UTC).replace(tzinfo=None)
    line = {
        "run_id": run.run_id, "job": run.job, "run_date": run.run_date, "status": "published",
        "model": manifest.name, "model_version": manifest.version, "model_sha256": bundle.sha256,
        "sources": sources, "source_sha256": source_sha256, "contract_versions": json.dumps(contracts.versions()),
        "received": tally.arrival.received, "predicted": tally.predicted, "quarantined": tally.arrival.quarantined,
        "duplicates": tally.arrival.duplicates, "empty": tally.arrival.empty,
        "imputed_duration_ms": tally.imputed["duration_ms"], "imputed_tempo": tally.imputed["tempo"],
        "started_at": run.started_at, "finished_at": now, "seconds": run.seconds, "genrepipe_version": __version__,
    }  # fmt: skip
    _insert(database, "runs", line)
    if not database.value("SELECT count(*) FROM bundles WHERE model_sha256 = ?", [bundle.sha256]):
        used = {
            "model_sha256": bundle.sha256, "model": manifest.name, "model_version": manifest.version, "kind": manifest.kind,
            "labels": list(manifest.labels), "metrics": json.dumps(manifest.metrics), "first_used_at": now,
        }  # fmt: skip
        _insert(database, "bundles", used)


def check(database: Database, run: Run, name: str, sentence: str, observed: float, allowed: float | None) -> bool:
    """Write one check and its verdict, and return whether it passed."""
    passed = observed <= (allowed or 0)
    line = {
        "run_id": run.run_id, "run_date": run.run_date, "name": name, "sentence": sentence,
        "observed": float(observed), "allowed": allowed, "verdict": "passed" if passed else "failed",
    }  # fmt: skip
    _insert(database, "checks", line)
    return passed


def _insert(database: Database, table: str, line: dict[str, Any]) -> None:
    names = ", ".join(contracts.identifier(name) for name in line)
    marks = ", ".join("?" for _ in line)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(line.values()))
