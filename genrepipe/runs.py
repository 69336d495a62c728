"""Identity of a run, its counts and its line in the ledger."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from genrepipe import __version__, contracts, interrupts
from genrepipe.errors import OutputBroken, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genrepipe.bundles import Bundle
    from genrepipe.console import Reporter
    from genrepipe.database import Database
    from genrepipe.landing import Arrival
    from genrepipe.verdicts import Verdict


def parse_date(text: str | None) -> date:
    """Return the run date that a user named, as YYYY-MM-DD; None is today in UTC.

    Raises
    ------
    UsageError
        It is not a date, or lies beyond tomorrow: what is newest is served, so a mistyped year would be served for long.
    """
    today = datetime.now(UTC).date()
    if text is None:
        return today
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"The run date {text!r} is not a date", "Write it as 2026-11-22") from None
    if found > today + timedelta(days=1):
        raise UsageError(f"The run date {found} is in the future", f"Correct it; today is {today}")
    return found


def new_id() -> str:
    """Return a new run's id: the time in UTC, which sorts, and six random hexadecimal digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Run:
    """One execution of a job for one business date."""

    job: str
    run_date: date
    action: str = "score"
    run_id: str = field(default_factory=new_id)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))
    clock: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)
    _begun: list[tuple[str, float]] = field(default_factory=list)

    def identity(self) -> dict[str, str]:
        """Return what the lock file says of the run."""
        return {
            "run_id": self.run_id, "job": self.job, "run_date": self.run_date.isoformat(), "action": self.action,
            "started_at": self.started_at.isoformat(),
        }  # fmt: skip

    def enter(self, stage: str, say: Reporter) -> None:
        """Begin a stage of the run, and end the one before."""
        self.close_stages()
        interrupts.check()
        self._begun.append((stage, time.perf_counter()))
        say.stage(stage)

    def close_stages(self) -> dict[str, float]:
        """End the stage that runs, and return the seconds of each."""
        if self._begun:
            stage, since = self._begun.pop()
            self.stages[stage] = round(time.perf_counter() - since, 4)
        return self.stages

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


COUNTS = ("received", "predicted", "quarantined", "duplicates", "empty", "imputed_duration_ms", "imputed_tempo")


def already_published(
    database: Database, run: Run, bundle: Bundle, shadow: Bundle | None, source_sha256: str
) -> dict[str, Any] | None:
    """Return the ledger line by which this job published this date last, if the input and the bundle were the same.

    A replay of corrected rows is recognised beside the run that it corrects, until the date is scored again. A date
    whose predictions were trimmed is no longer published, and one without the shadow that is asked for not wholly.
    """
    rows = database.rows(
        f"SELECT model_sha256, source_sha256, contract_versions, run_id, {', '.join(COUNTS)} FROM runs "
        "WHERE run_date = ? AND job = ? AND status = 'published' AND action IN ('score', ?) ORDER BY finished_at DESC LIMIT 1",
        [run.run_date, run.job, run.action],
    )
    if not rows or rows[0][:3] != (bundle.sha256, source_sha256, json.dumps(contracts.versions())):
        return None
    known = dict(zip(("run_id", *COUNTS), rows[0][3:], strict=True))
    if shadow and not database.value(
        "SELECT count(*) FROM shadow_predictions WHERE run_id = ? AND model = ? AND model_version = ?",
        [known["run_id"], shadow.manifest.name, shadow.manifest.version],
    ):
        return None
    stands = database.value("SELECT count(*) FROM (FROM predictions WHERE run_id = ? LIMIT 1)", [known["run_id"]])
    return known if stands or not known["predicted"] else None


def line(run: Run, status: str, **facts: Any) -> dict[str, Any]:
    """Return a line of the ledger: what is not among ``facts`` is zero, or not known."""
    return {
        "run_id": run.run_id, "job": run.job, "run_date": run.run_date, "status": status, "action": run.action,
        "sources": [], "contract_versions": json.dumps(contracts.versions()), "withheld": 0, "exit_code": 0,
        **dict.fromkeys(COUNTS, 0),
        "started_at": run.started_at, "finished_at": datetime.now(UTC).replace(tzinfo=None), "seconds": run.seconds,
        "genrepipe_version": __version__, **facts,
    }  # fmt: skip


def of_bundle(bundle: Bundle) -> dict[str, Any]:
    """Return the columns of the ledger that name a bundle."""
    manifest = bundle.manifest
    return {"model": manifest.name, "model_version": manifest.version, "model_sha256": bundle.sha256}


def of_tally(tally: Tally) -> dict[str, Any]:
    """Return the columns of the ledger that count rows."""
    return {
        "received": tally.arrival.received, "predicted": tally.predicted, "quarantined": tally.arrival.quarantined,
        "duplicates": tally.arrival.duplicates, "empty": tally.arrival.empty,
        "imputed_duration_ms": tally.imputed["duration_ms"], "imputed_tempo": tally.imputed["tempo"],
    }  # fmt: skip


def enter(database: Database, line: Mapping[str, Any]) -> None:
    """Write a line into the ledger."""
    _insert(database, "runs", line)


def enter_abandoned(database: Database, said: Mapping[str, Any] | None) -> None:
    """Write the line of a run that could not write its own: it was killed, or the disk was full.

    ``said`` is what the lock file holds; other than a whole line is let be.
    """
    if said is None or not {"run_id", "run_date", "job"} <= set(said):
        return
    try:
        run = Run(str(said["job"]), date.fromisoformat(said["run_date"]), str(said.get("action", "score")), str(said["run_id"]),
                  datetime.fromisoformat(said["started_at"]))  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return  # no run of ours wrote that
    if database.value("SELECT count(*) FROM runs WHERE run_id = ?", [run.run_id]):
        return
    ended = {
        "status": "killed",
        "exit_code": None,
        "error": "The run ended without a word: killed, or the machine stopped.",
    }
    ended |= {key: said[key] for key in ("status", "exit_code", "error") if key in said}
    status = str(ended.pop("status"))
    _insert(database, "runs", line(run, status, **ended, seconds=0.0))


def keep_bundle(database: Database, bundle: Bundle) -> None:
    """Write a bundle into the table of bundles, or where it was found now."""
    manifest = bundle.manifest
    if database.value("SELECT count(*) FROM bundles WHERE model_sha256 = ?", [bundle.sha256]):
        database.execute(
            "UPDATE bundles SET folder = ? WHERE model_sha256 = ?", [str(bundle.folder.resolve()), bundle.sha256]
        )
        return
    used = {
        "model_sha256": bundle.sha256, "model": manifest.name, "model_version": manifest.version, "kind": manifest.kind,
        "labels": list(manifest.labels), "metrics": json.dumps(manifest.metrics),
        "first_used_at": datetime.now(UTC).replace(tzinfo=None), "folder": str(bundle.folder.resolve()),
    }  # fmt: skip
    _insert(database, "bundles", used)


def keep_verdicts(database: Database, run: Run, verdicts: Iterable[Verdict]) -> None:
    """Write what was checked."""
    for verdict in verdicts:
        found = {
            "run_id": run.run_id, "run_date": run.run_date, "name": verdict.name, "sentence": verdict.sentence,
            "observed": verdict.observed, "allowed": verdict.allowed, "verdict": verdict.word,
        }  # fmt: skip
        _insert(database, "checks", found)


def _insert(database: Database, table: str, line: Mapping[str, Any]) -> None:
    names = ", ".join(contracts.identifier(name) for name in line)
    marks = ", ".join("?" for _ in line)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(line.values()))
