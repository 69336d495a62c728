"""One run from landed rows to committed predictions, and what it leaves where it is stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrepipe import (
    batches,
    catalogue,
    drift,
    flips,
    interrupts,
    landing,
    performance,
    quarantine,
    runs,
    sources,
    verdicts,
)
from genrepipe.console import Silent
from genrepipe.errors import ContractBroken, Interrupted, OutputBroken, StorageError, explained
from genrepipe.runs import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from genrepipe.bundles import Bundle
    from genrepipe.console import Reporter
    from genrepipe.database import Database
    from genrepipe.landing import Arrival
    from genrepipe.runs import Run
    from genrepipe.scoring import Scorer
    from genrepipe.sources import Source
    from genrepipe.verdicts import Verdict

TRIMMED = ("predictions", "quarantine", "flips", "drift", "shadow_predictions")


@dataclass(frozen=True)
class ScoreRequest:
    """What one scoring run was asked to do."""

    source: tuple[str, ...]
    warehouse: Path
    run_date: str | None = None
    model: str | None = None
    job: str = "score"
    dry_run: bool = False
    encoding: str = "utf-8"
    mapping: dict[str, str] = field(default_factory=dict)
    shadow: str | None = None
    force: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    keep_days: int | None = None
    bundles: Path | None = None
    action: str = "score"  # or replay: corrected rows of the quarantine join the run date's predictions
    shown_as: str | None = None  # what messages and the ledger call the source, where that is a copy
    run_id: str | None = None  # chosen by who tells of the run before it begins


@dataclass
class Journey:
    """What a run has learnt so far; a run that is stopped says as much as it knows."""

    request: ScoreRequest
    run: Run
    source: Source
    bundle: Bundle
    scorer: Scorer
    shadow: tuple[Bundle, Scorer] | None
    say: Reporter
    stamps: list[tuple[int, int]]
    fingerprint: str = ""
    arrival: Arrival | None = None
    tally: Tally | None = None
    found: list[Verdict] = field(default_factory=list)
    flipped: int = 0
    offending: dict[str, pl.DataFrame] = field(default_factory=dict)  # rows of tables that say why a run was refused
    rejected: list[dict[str, object]] = field(default_factory=list)  # of a replay: what is still wrong, by rule

    @property
    def where(self) -> str:
        """The source, as messages name it."""
        return ", ".join(part.name for part in self.source.parts)


def travel(journey: Journey, database: Database, before: Database | None) -> None:
    """Carry the source to committed predictions; whatever stops it rolls everything back."""
    run, say, request = journey.run, journey.say, journey.request
    catalogue.begin(database, run.run_id, run.run_date, run.job)
    run.enter("landing", say)
    _land(journey, database)
    database.seal()
    with database.transaction():
        run.enter("catalogue", say)
        catalogue.take(database)
        run.enter("scoring", say)
        histogram = drift.Histogram(journey.bundle)
        _clear(database, run, "predictions")
        database.execute(
            "CREATE OR REPLACE TEMP VIEW tonight AS SELECT predictions.* FROM predictions SEMI JOIN run USING (run_id)"
        )
        _clear(database, run, "shadow_predictions")
        if journey.shadow:
            batches.predict(database, run, *journey.shadow, Silent(), table="shadow_predictions")
        predicted = batches.predict(database, run, journey.bundle, journey.scorer, say, histogram)
        run.enter("checks", say)
        assert journey.arrival is not None  # noqa: S101  it has landed
        journey.tally = Tally(journey.arrival, predicted, _imputed(database))
        journey.tally.assert_balanced()
        _judge(journey, database, before, histogram)
        run.enter("ledger", say)
        quarantine.keep(database, run)
        runs.keep_verdicts(database, run, journey.found)
        runs.keep_bundle(database, journey.bundle)
        for role in ("served", "shadow"):
            performance.measure(database, run.run_date, role)
        if journey.shadow:
            runs.keep_bundle(database, journey.shadow[0])
        facts = {**runs.of_bundle(journey.bundle), **runs.of_tally(journey.tally), **_read(journey)}
        runs.enter(database, runs.line(run, "published", **facts))
        _trim(database, request.keep_days)
        interrupts.check()


def _land(journey: Journey, database: Database) -> None:
    source, say, run = journey.source, journey.say, journey.run
    say.note("reading", parts=len(source.parts))
    journey.arrival, notes = landing.land(database, source)
    if journey.stamps != sources.stamps(source):
        raise StorageError(
            f"{journey.where} changed while it was read", "It may still be written: run again when it is whole"
        )
    for note in notes:
        say.note(note)
    say.progress("rows received", journey.arrival.received, journey.arrival.received)
    if run.action == "replay":
        journey.arrival = landing.keep_standing(database)
        database.view("clean/90_quarantined")
        journey.rejected = landing.reasons(database)
        return  # a few corrected rows are not a night's source
    landing.check_arrived(journey.arrival, journey.where)
    landing.leave_counts(database, journey.arrival, journey.fingerprint, sources.age_hours(source))
    journey.found = verdicts.of_contract(database, "source_tracks", journey.request.limits)
    limit = journey.request.limits.get("quarantined_percent")
    landing.check_breaker(database, journey.arrival, journey.where, limit)
    verdicts.refuse_input(journey.found, journey.where)
    interrupts.check()


def _clear(database: Database, run: Run, table: str) -> None:
    """Take away what this run predicts anew: all that the job predicted for the run date, or the corrected rows alone."""
    again = "run_id IN (FROM own_runs) OR" if run.action == "score" else ""
    database.execute(
        f"DELETE FROM {table} WHERE run_date = ? AND ({again} track_id IN (SELECT track_id FROM accepted))",
        [run.run_date],
    )


def _judge(journey: Journey, database: Database, before: Database | None, histogram: drift.Histogram) -> None:
    """Reach the verdicts on the predictions; a failed one stops the publish."""
    if journey.run.action == "score":
        journey.flipped = flips.write(database, before, journey.bundle, journey.scorer)
        drift.write(database, histogram)
        for table in ("flips", "drift"):
            database.execute(
                f"CREATE OR REPLACE TEMP VIEW tonight_{table} AS FROM {table} SEMI JOIN run USING (run_id)"
            )
        journey.found += verdicts.of_contract(database, "predictions", journey.request.limits)
    journey.found += verdicts.of_audits(database)
    for verdict in journey.found:
        if verdict.word == "warning":
            journey.say.warn(verdict.name, observed=round(verdict.observed, 4), allowed=verdict.allowed)
    try:
        verdicts.refuse_output(journey.found)
    except OutputBroken:
        # All is rolled back, but what the message tells to look at.
        journey.offending = {
            table: database.frame(f"FROM {table} SEMI JOIN run USING (run_id)") for table in ("flips", "drift")
        }
        raise


def _trim(database: Database, keep_days: int | None) -> None:
    """Forget run dates of this job that are too far behind its newest, but not tonight's; the ledger and its checks stay."""
    if keep_days is None:
        return
    for table in TRIMMED:
        database.execute(
            f"DELETE FROM {table} WHERE run_id IN (SELECT old.run_id FROM runs AS old JOIN run USING (job) WHERE old.run_date <> run.run_date "
            "AND old.run_date <= (SELECT max(runs.run_date) FROM runs JOIN run USING (job) WHERE status = 'published' AND action = 'score') - ?::INTEGER)",
            [keep_days],
        )


def _imputed(database: Database) -> dict[str, int]:
    counted = database.rows(
        "SELECT count(*) FILTER (list_contains(imputed, 'duration_ms')), count(*) FILTER (list_contains(imputed, 'tempo')) FROM scorable"
    )[0]
    return dict(zip(("duration_ms", "tempo"), counted, strict=True))


def keep_evidence(journey: Journey, database: Database, error: Exception) -> None:
    """Write why there are no predictions: the line of the ledger, the checks, and the quarantine of a refused run."""
    run, arrival = journey.run, journey.arrival
    facts = {**runs.of_bundle(journey.bundle), **_read(journey), **ending(error)}
    if arrival is not None:
        imputed = {"duration_ms": 0, "tempo": 0}
        facts |= {**runs.of_tally(Tally(arrival, 0, imputed)), "withheld": arrival.accepted}
    with interrupts.unheard(), database.transaction():
        if facts["status"] == "refused" and arrival is not None and run.action == "score":
            quarantine.keep(database, run, published=False)
            for table, rows in journey.offending.items():
                database.execute(
                    f"DELETE FROM {table} WHERE run_id IN (SELECT run_id FROM runs SEMI JOIN own_runs USING (run_id) WHERE status = 'refused')"
                )
                database.insert(table, rows)
        runs.keep_verdicts(database, run, journey.found)
        runs.enter(database, runs.line(run, **facts))


def ending(error: BaseException) -> dict[str, Any]:
    """Return what the ledger says of a run that ended with this error."""
    told = explained(error)
    status = "failed"
    if isinstance(told, ContractBroken | OutputBroken):
        status = "refused"
    if isinstance(told, Interrupted):
        status = "interrupted"
    return {"status": status, "exit_code": told.exit_code, "error": " ".join(str(told).split())}


def _read(journey: Journey) -> dict[str, Any]:
    how = {"encoding": journey.source.encoding, "map": dict(journey.source.mapping), "folder": str(Path.cwd())}
    return {
        "sources": [part.name for part in journey.source.parts],
        "source_sha256": journey.fingerprint,
        "read_as": json.dumps(how),
    }
