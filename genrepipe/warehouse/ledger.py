"""Runs: their identity, how many rows became what, and their lines in the ledger, table ``runs``."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core import signals
from genrepipe.core.errors import ContractBroken, Interrupted, OutputBroken, UsageError, as_genrepipe_error
from genrepipe.core.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genrepipe.model.bundle import Bundle
    from genrepipe.warehouse.connection import Database

EARLIEST = date(1970, 1, 1)  # an earlier run date is a mistake
COUNTS = ("received", "predicted", "quarantined", "duplicates", "empty", "imputed_duration_ms", "imputed_tempo")
KILLED = {"status": "killed", "exit_code": None, "error": "The run was killed, or the machine stopped."}


def parse_date(text: str | None, *, future: bool = False) -> date:
    """Return a run date that was given as YYYY-MM-DD; None is today in UTC. ``future`` allows one after tomorrow.

    Raises
    ------
    UsageError
        It is not a date from 1970 on, or lies after tomorrow: the newest date is served, so a mistyped year would be served for long.
    """
    today = utc_now().date()
    if text is None:
        return today
    try:
        parsed = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        parsed = None
    if parsed is None or parsed.isoformat() != text or parsed < EARLIEST:
        raise UsageError(f"The run date {text!r} is not a date", "Write it as 2026-11-22")
    if parsed > latest_date() and not future:
        raise UsageError(f"The run date {parsed} is in the future", f"Correct it; today is {today}")
    return parsed


def latest_date() -> date:
    """Return the latest run date that can be right: tomorrow in UTC, which is today somewhere."""
    return utc_now().date() + timedelta(days=1)


def run_dates(database: Database, job: str | None = None) -> list[date]:
    """Return the run dates for which a job, or any, has published predictions, the oldest first."""
    rows = database.rows(
        "SELECT DISTINCT run_date FROM runs WHERE status = 'published' AND action = 'score' AND job = coalesce(?, job) ORDER BY run_date",
        [job],
    )
    return [day for (day,) in rows]


def new_run_id() -> str:
    """Return the id of a new run: the time in UTC, which sorts, and six random hexadecimal digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(3)}"


def utc_now() -> datetime:
    """Return the time in UTC, without a time zone, as the tables hold it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Run:
    """One execution of a job for one run date."""

    job: str
    run_date: date
    action: str = "score"  # or replay, retract, labels, rollback, validate, verify
    run_id: str = field(default_factory=new_run_id)
    started_at: datetime = field(default_factory=utc_now)
    delivery: str | None = None  # of a scoring run: increment or snapshot
    _clock: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._clock

    def identity(self) -> dict[str, str]:
        """Return what the lock file says of the run."""
        return {
            "run_id": self.run_id, "job": self.job, "run_date": self.run_date.isoformat(), "action": self.action,
            "started_at": self.started_at.isoformat(),
        }  # fmt: skip

    def relation(self) -> dict[str, Any]:
        """Return the row of the relation ``run``, which the SQL files read."""
        return {
            "run_id": self.run_id, "run_date": self.run_date, "job": self.job, "action": self.action,
            "delivery": self.delivery, "started_at": self.started_at,
        }  # fmt: skip


@dataclass(frozen=True)
class RowCounts:
    """How many rows arrived, and what became of them before scoring."""

    received: int
    accepted: int
    quarantined: int
    duplicates: int
    empty: int
    filtered: int = 0  # left out by a recipe's filter, and not received

    @property
    def quarantined_percent(self) -> float:
        """Share of the rows that hold anything which are quarantined, in percent."""
        rows = self.received - self.empty
        return 100 * self.quarantined / rows if rows else 0.0

    def check_balance(self, predicted: int) -> None:
        """Check that every received row is accounted for.

        Raises
        ------
        OutputBroken
            The sum is another than the number of received rows.
        """
        if self.received != predicted + self.quarantined + self.duplicates + self.empty:
            raise OutputBroken(
                f"The ledger does not balance: {self.received} received, but {predicted} predicted + {self.quarantined} "
                f"quarantined + {self.duplicates} duplicates + {self.empty} empty",
                "This is a bug: please report it",
            )


def published(
    database: Database, run: Run, source_sha256: str, bundle: Bundle, shadow: Bundle | None
) -> dict[str, Any] | None:
    """Return the ledger line by which the run's job published its date last, where input and bundle were the same.

    A replay of corrected rows is recognised beside the run that it corrects, until the date is scored again. A date whose
    predictions were trimmed does not count as published, nor does one that lacks the shadow which is asked for.
    """
    lines = database.dicts(
        f"SELECT model_sha256, source_sha256, contract_versions, delivery, withdrawn, filtered, imputed, run_id, {', '.join(COUNTS)} FROM runs "
        "WHERE run_date = ? AND job = ? AND status = 'published' AND action IN ('score', ?) ORDER BY finished_at DESC LIMIT 1",
        [run.run_date, run.job, run.action],
    )
    wanted: dict[str, Any] = {
        "model_sha256": bundle.sha256, "source_sha256": source_sha256,
        "contract_versions": json.dumps(contracts.versions()),
    }  # fmt: skip
    if run.action == "score":
        wanted["delivery"] = run.delivery
    if not lines or not wanted.items() <= lines[0].items():
        return None
    known = lines[0]
    if shadow and not database.value(
        "SELECT count(*) FROM shadow_predictions WHERE run_id = ? AND model = ? AND model_version = ?",
        [known["run_id"], shadow.manifest.name, shadow.manifest.version],
    ):
        return None
    stands = database.value(
        "SELECT count(*) FROM (FROM prediction_history WHERE job = ? AND ? BETWEEN from_run_date AND to_run_date LIMIT 1)",
        [run.job, run.run_date],
    )
    return known if stands or not known["predicted"] else None


def line(run: Run, status: str, **facts: Any) -> dict[str, Any]:
    """Return a line of the ledger; a count that is not among ``facts`` is zero."""
    return {
        "run_id": run.run_id, "job": run.job, "run_date": run.run_date, "status": status, "action": run.action,
        "delivery": run.delivery, "sources": [], "contract_versions": json.dumps(contracts.versions()), "withheld": 0, "exit_code": 0,
        **dict.fromkeys(COUNTS, 0),
        "started_at": run.started_at, "finished_at": utc_now(), "seconds": run.seconds, "genrepipe_version": VERSION,
        **facts,
    }  # fmt: skip


def bundle_columns(bundle: Bundle) -> dict[str, Any]:
    """Return the columns of a line that name a bundle."""
    manifest = bundle.manifest
    return {"model": manifest.name, "model_version": manifest.version, "model_sha256": bundle.sha256}


def count_columns(counts: RowCounts, predicted: int, imputed: Mapping[str, int]) -> dict[str, Any]:
    """Return the columns of a line that count rows."""
    return {
        "received": counts.received, "predicted": predicted, "quarantined": counts.quarantined,
        "duplicates": counts.duplicates, "empty": counts.empty, "filtered": counts.filtered,
        "imputed_duration_ms": imputed.get("duration_ms", 0), "imputed_tempo": imputed.get("tempo", 0),
        "imputed": json.dumps(dict(imputed)),
    }  # fmt: skip


def imputed_of(line: Mapping[str, Any]) -> dict[str, int]:
    """Return the predicted rows of a line by imputed column; until layout 7 those of two columns were counted."""
    if line["imputed"] is None:
        return {"duration_ms": line["imputed_duration_ms"], "tempo": line["imputed_tempo"]}
    counts: dict[str, int] = json.loads(line["imputed"])
    return counts


def failure_columns(error: BaseException) -> dict[str, Any]:
    """Return status, exit code and message of a run that ended with this error.

    After a signal they are those of the signal, as the process reports it: a library that is interrupted may raise
    anything.
    """
    failure = signals.received() or as_genrepipe_error(error)
    status = "failed"
    if isinstance(failure, ContractBroken | OutputBroken):
        status = "refused"
    if isinstance(failure, Interrupted):
        status = "interrupted"
    return {"status": status, "exit_code": failure.exit_code, "error": " ".join(str(failure).split())}


def append(database: Database, line: Mapping[str, Any]) -> None:
    """Append a line to the ledger."""
    database.insert_row("runs", line)


def append_unrecorded(database: Database, note: Mapping[str, Any]) -> None:
    """Append the line of a run that could not write its own, from what the lock file says of it.

    A note that no run of ours can have written is ignored, and so is one whose run is in the ledger.
    """
    try:
        run = Run(
            str(note["job"]), date.fromisoformat(note["run_date"]), str(note.get("action", "score")),
            str(note["run_id"]), datetime.fromisoformat(note["started_at"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return
    if database.value("SELECT count(*) FROM runs WHERE run_id = ?", [run.run_id]):
        return
    ending = KILLED | {key: note[key] for key in KILLED if key in note}
    append(database, line(run, str(ending.pop("status")), **ending, seconds=0.0))


def save_bundle(database: Database, bundle: Bundle) -> None:
    """Add a bundle to the table of bundles, or update the folder that it was found in."""
    manifest, folder = bundle.manifest, str(bundle.folder.resolve())
    if database.value("SELECT count(*) FROM bundles WHERE model_sha256 = ?", [bundle.sha256]):
        database.execute("UPDATE bundles SET folder = ? WHERE model_sha256 = ?", [folder, bundle.sha256])
        return
    row = {
        "model_sha256": bundle.sha256, "model": manifest.name, "model_version": manifest.version, "kind": manifest.kind,
        "labels": list(manifest.labels), "metrics": json.dumps(manifest.metrics), "first_used_at": utc_now(), "folder": folder,
    }  # fmt: skip
    database.insert_row("bundles", row)
