"""The order of a run, told as a story."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genrepipe import (
    batches,
    bundles,
    catalogue,
    contracts,
    drift,
    features,
    flips,
    generations,
    interrupts,
    landing,
    names,
    performance,
    quarantine,
    resources,
    runs,
    sources,
    verdicts,
    warehouse,
)
from genrepipe.console import Reporter, Silent
from genrepipe.errors import ContractBroken, GenrepipeError, Interrupted, OutputBroken, StorageError
from genrepipe.runs import Run, Tally
from genrepipe.scoring import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from genrepipe.bundles import Bundle
    from genrepipe.database import Database
    from genrepipe.generations import Generations
    from genrepipe.landing import Arrival
    from genrepipe.resources import Plan
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


@dataclass
class _Journey:
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

    @property
    def where(self) -> str:
        return ", ".join(part.name for part in self.source.parts)


def score(request: ScoreRequest, say: Reporter | None = None) -> dict[str, Any]:
    """Score a source into a warehouse, all of it or nothing.

    Returns
    -------
    The facts of the run, as ``genrepipe score --output json`` prints them.

    Raises
    ------
    GenrepipeError
        Any class of the tree in ``errors``; no prediction was published. Where the run had begun to read, the ledger
        has a line, and the checks and the quarantine are there to look at.
    """
    with interrupts.deferred():
        say = say or Silent()
        run = Run(request.job, runs.parse_date(request.run_date), request.action)
        say.begin(run.run_id, run.job, run.run_date.isoformat())
        plan = resources.plan()
        run.enter("bundle", say)
        verdicts.known(request.limits)
        source = _resolve(request.source, request.encoding, request.mapping, run)
        bundle, scorer = _scorer(request.model, request.bundles, plan)
        shadow = _scorer(request.shadow, request.bundles, plan) if request.shadow else None
        say.note("bundle verified", model=bundle.manifest.name, version=bundle.manifest.version)
        journey = _Journey(request, run, source, bundle, scorer, shadow, say, sources.stamps(source))
        if request.dry_run:
            with warehouse.open_memory(plan, request.warehouse) as database:
                journey.fingerprint = landing.fingerprint(database, source)
                _travel(journey, database, None)
            return _result("dry run", journey)
        with generations.locked(request.warehouse, plan, run.identity()) as files:
            return _publish(journey, files)


def validate(source: tuple[str, ...], encoding: str, mapping: dict[str, str]) -> dict[str, Any]:
    """Check a source against its contract and write nothing.

    Returns
    -------
    The counts, the reasons with examples, and whether a run would be stopped.
    """
    run = Run("validate", runs.parse_date(None))
    with warehouse.open_memory(resources.plan()) as database:
        arrival, notes = landing.land(database, _resolve(source, encoding, mapping, run))
        catalogue.begin(database, run.run_id, run.run_date)
        database.table("clean/90_quarantined")
        found = landing.reasons(database)
    limit = contracts.load("source_tracks").table.limits["quarantined_percent"].limit
    stopped = arrival.received == arrival.empty or arrival.quarantined_percent > limit
    return {
        "status": "rejected" if stopped else "accepted",
        **landing.counts(arrival),
        "quarantined_percent": round(arrival.quarantined_percent, 4),
        "max_quarantined_percent": limit,
        "reasons": found,
        "notes": notes,
        "seconds": round(run.seconds, 3),
    }


def _resolve(source: tuple[str, ...], encoding: str, mapping: dict[str, str], run: Run) -> Source:
    named = (argument.replace("{run_date}", run.run_date.isoformat()) for argument in source)
    return sources.resolve(named, encoding=encoding, mapping=mapping)


def _scorer(model: str | None, own: Path | None, plan: Plan) -> tuple[Bundle, Scorer]:
    bundle = bundles.load(model, own)
    if features.VECTORS in bundle.manifest.inputs:
        names.ready()
    return bundle, Scorer(bundle, plan.threads)


def _publish(journey: _Journey, files: Generations) -> dict[str, Any]:
    """Work in the next generation, and swap it in: with the predictions, or with the evidence of why there are none."""
    run, say = journey.run, journey.say
    run.enter("lock", say)
    current = files.hold()
    fresh = files.begin() if current is None else None
    database = current or fresh
    assert database is not None  # noqa: S101  one of the two is there
    journey.fingerprint = landing.fingerprint(database, journey.source)
    known = None
    if current is not None and warehouse.is_current(current) and not journey.request.force:
        known = runs.already_published(current, run, journey.bundle, journey.fingerprint)
    if known:
        return _already(journey, known)
    run.enter("copy", say)
    with _unsaid(journey, files):
        database = fresh or files.begin()
        warehouse.lay_out(database)
        runs.enter_abandoned(database, files.abandoned)
        try:
            _travel(journey, database, current)
        except Exception as error:
            with suppress(Exception):  # then the lock file says it, and the error is the first one
                _keep_evidence(journey, database, error)
                files.publish(database)
            raise
        run.enter("publishing", say)
        files.publish(database)
    return _result("published", journey)


@contextmanager
def _unsaid(journey: _Journey, files: Generations) -> Iterator[None]:
    """Leave the ledger's line to the next run, where this one could not publish even that."""
    try:
        yield
    except Exception as error:
        if not files.swapped:
            files.unsaid = {**journey.run.identity(), **_ending(error)}
        raise


def _travel(journey: _Journey, database: Database, before: Database | None) -> None:
    """Carry the source to committed predictions; whatever stops it rolls everything back."""
    run, say, request = journey.run, journey.say, journey.request
    catalogue.begin(database, run.run_id, run.run_date)
    run.enter("landing", say)
    _land(journey, database)
    database.seal()
    with database.transaction():
        run.enter("catalogue", say)
        catalogue.take(database)
        run.enter("scoring", say)
        histogram = drift.Histogram(journey.bundle)
        _clear_date(database, run)
        if journey.shadow:
            database.execute("DELETE FROM shadow_predictions WHERE run_date = ?", [run.run_date])
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
        performance.measure(database, run.run_date)
        if journey.shadow:
            runs.keep_bundle(database, journey.shadow[0])
            performance.measure(database, run.run_date, "shadow")
        facts = {**runs.of_bundle(journey.bundle), **runs.of_tally(journey.tally), **_read(journey)}
        runs.enter(database, runs.line(run, "published", **facts))
        _trim(database, request.keep_days)
        interrupts.check()


def _land(journey: _Journey, database: Database) -> None:
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
        return  # a few corrected rows are not a night's source
    landing.check_arrived(journey.arrival, journey.where)
    landing.leave_counts(database, journey.arrival, journey.fingerprint, sources.age_hours(source), run.job)
    journey.found = verdicts.of_contract(database, "source_tracks", journey.request.limits)
    limit = journey.request.limits.get("quarantined_percent")
    landing.check_breaker(database, journey.arrival, journey.where, limit)
    verdicts.refuse_input(journey.found, journey.where)
    interrupts.check()


def _clear_date(database: Database, run: Run) -> None:
    """Take away what the run date's predictions were: all of them, or those of the corrected rows."""
    only = "" if run.action == "score" else "AND track_id IN (SELECT track_id FROM accepted)"
    database.execute(f"DELETE FROM predictions WHERE run_date = ? {only}", [run.run_date])
    database.execute("CREATE OR REPLACE TEMP VIEW tonight AS FROM predictions WHERE run_id = (SELECT run_id FROM run)")


def _judge(journey: _Journey, database: Database, before: Database | None, histogram: drift.Histogram) -> None:
    """Reach the verdicts on the predictions; a failed one stops the publish."""
    if journey.run.action == "score":
        journey.flipped = flips.write(database, before, journey.bundle, journey.scorer)
        drift.write(database, journey.run, histogram)
        database.execute(
            "CREATE OR REPLACE TEMP VIEW tonight_flips AS FROM flips WHERE run_id = (SELECT run_id FROM run)"
        )
        database.execute(
            "CREATE OR REPLACE TEMP VIEW tonight_drift AS FROM drift WHERE run_id = (SELECT run_id FROM run)"
        )
        journey.found += verdicts.of_contract(database, "predictions", journey.request.limits)
    journey.found += verdicts.of_audits(database)
    for verdict in journey.found:
        if verdict.word == "warning":
            journey.say.note(
                "warning", check=verdict.name, observed=round(verdict.observed, 4), allowed=verdict.allowed
            )
    verdicts.refuse_output(journey.found)


def _keep_evidence(journey: _Journey, database: Database, error: Exception) -> None:
    """Write why there are no predictions: the line of the ledger, the checks, and the quarantine of a refused run."""
    run, arrival = journey.run, journey.arrival
    facts = {**runs.of_bundle(journey.bundle), **_read(journey), **_ending(error)}
    if arrival is not None:
        imputed = {"duration_ms": 0, "tempo": 0}
        facts |= {**runs.of_tally(Tally(arrival, 0, imputed)), "withheld": arrival.accepted}
    with interrupts.unheard(), database.transaction():
        if facts["status"] == "refused" and arrival is not None and run.action == "score":
            quarantine.keep(database, run, published=False)
        runs.keep_verdicts(database, run, journey.found)
        runs.enter(database, runs.line(run, **facts))


def _ending(error: Exception) -> dict[str, Any]:
    status = "failed"
    if isinstance(error, ContractBroken | OutputBroken):
        status = "refused"
    if isinstance(error, Interrupted):
        status = "interrupted"
    code = (
        error.exit_code
        if isinstance(error, GenrepipeError)
        else StorageError.exit_code
        if isinstance(error, OSError)
        else 70
    )
    return {"status": status, "exit_code": code, "error": " ".join(str(error).split())}


def _read(journey: _Journey) -> dict[str, Any]:
    how = {"encoding": journey.source.encoding, "map": dict(journey.source.mapping)}
    return {
        "sources": [part.name for part in journey.source.parts],
        "source_sha256": journey.fingerprint,
        "read_as": json.dumps(how),
    }


def _imputed(database: Database) -> dict[str, int]:
    counted = database.rows(
        "SELECT count(*) FILTER (list_contains(imputed, 'duration_ms')), count(*) FILTER (list_contains(imputed, 'tempo')) FROM scorable"
    )[0]
    return dict(zip(("duration_ms", "tempo"), counted, strict=True))


def _trim(database: Database, keep_days: int | None) -> None:
    """Forget run dates that are too far behind the newest; the ledger and its checks stay."""
    if keep_days is None:
        return
    for table in TRIMMED:
        database.execute(
            f"DELETE FROM {table} WHERE run_date <= (SELECT max(run_date) FROM runs WHERE status = 'published') - ?::INTEGER",
            [keep_days],
        )


def _result(status: str, journey: _Journey) -> dict[str, Any]:
    run, tally = journey.run, journey.tally
    assert tally is not None  # noqa: S101  nothing is told of a run that was stopped
    seconds = run.seconds
    counted = landing.counts(tally.arrival)
    counted.pop("accepted")
    return {
        "status": status,
        "run_id": run.run_id,
        "run_date": run.run_date.isoformat(),
        "model": journey.bundle.manifest.name,
        "model_version": journey.bundle.manifest.version,
        "warehouse": str(journey.request.warehouse),
        "predicted": tally.predicted,
        **counted,
        "imputed": tally.imputed,
        "flips": journey.flipped,
        "warnings": [verdict.name for verdict in journey.found if verdict.word == "warning"],
        "seconds": round(seconds, 3),
        "rows_per_second": round(tally.arrival.received / seconds),
        "stages": run.close_stages(),
    }


def _already(journey: _Journey, known: dict[str, Any]) -> dict[str, Any]:
    """Report the run that stands, whose rows are left as they are."""
    counts = (known[name] for name in ("received", "predicted", "quarantined", "duplicates", "empty"))
    arrival = landing.Arrival(*counts)
    imputed = {"duration_ms": known["imputed_duration_ms"], "tempo": known["imputed_tempo"]}
    journey.tally = Tally(arrival, known["predicted"], imputed)
    return {**_result("already published", journey), "run_id": known["run_id"]}
