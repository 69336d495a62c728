"""The order of a run, told as a story."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genrepipe import (
    bundles,
    catalogue,
    contracts,
    features,
    generations,
    interrupts,
    landing,
    names,
    objects,
    resources,
    runs,
    sources,
    verdicts,
    warehouse,
)
from genrepipe.console import Reporter, Silent
from genrepipe.errors import ConfigurationError, UsageError
from genrepipe.journey import Journey, ScoreRequest, ending, keep_evidence, travel
from genrepipe.runs import Run, Tally
from genrepipe.scoring import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from genrepipe.bundles import Bundle
    from genrepipe.generations import Generations
    from genrepipe.resources import Plan
    from genrepipe.sources import Source


__all__ = ["ScoreRequest", "score", "validate"]


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
    say = say or Silent()
    with interrupts.deferred(), _mourned(say), ExitStack() as opened:
        run = Run(request.job, runs.parse_date(request.run_date), request.action, request.run_id or runs.new_id())
        say.begin(run.run_id, run.job, run.run_date.isoformat())
        plan = resources.plan()
        run.enter("bundle", say)
        verdicts.known(request.limits)
        bundle, scorer = _scorer(request.model, request.bundles, plan)
        shadow = _scorer(request.shadow, request.bundles, plan) if request.shadow else None
        say.note("bundle verified", model=bundle.manifest.name, version=bundle.manifest.version)
        if any(map(objects.named, request.source)):
            run.enter("fetching", say)
        source = opened.enter_context(_opened(request.source, request.encoding, request.mapping, run, say))
        if request.shown_as:
            source = replace(source, parts=tuple(replace(part, name=request.shown_as) for part in source.parts))
        journey = Journey(request, run, source, bundle, scorer, shadow, say, sources.stamps(source))
        if request.dry_run:
            with warehouse.open_memory(plan, request.warehouse) as database, ExitStack() as stack:
                journey.fingerprint = landing.fingerprint(database, source)
                there = request.warehouse.exists()
                before = stack.enter_context(warehouse.reading(request.warehouse, plan)) if there else None
                travel(journey, database, before)
            return _result("dry run", journey)
        with generations.locked(request.warehouse, plan, run.identity()) as files:
            return _publish(journey, files)


def validate(source: tuple[str, ...], encoding: str, mapping: dict[str, str]) -> dict[str, Any]:
    """Check a source against its contract and write nothing.

    Returns
    -------
    The counts, the reasons with examples, the checks of the source as a whole, and whether a run would be stopped.
    Checks that compare with earlier runs pass, since no warehouse is looked at.
    """
    run = Run("validate", runs.parse_date(None))
    with _opened(source, encoding, mapping, run) as resolved, warehouse.open_memory(resources.plan()) as database:
        arrival, notes = landing.land(database, resolved)
        catalogue.begin(database, run.run_id, run.run_date)
        database.table("clean/90_quarantined")
        found = landing.reasons(database)
        landing.leave_counts(database, arrival, "", sources.age_hours(resolved))
        checked = verdicts.of_contract(database, "source_tracks", {})
    failed = [verdict.name for verdict in checked if verdict.word == "failed"]
    return {
        "status": "rejected" if failed or arrival.received == arrival.empty else "accepted",
        **landing.counts(arrival),
        "quarantined_percent": round(arrival.quarantined_percent, 4),
        "max_quarantined_percent": contracts.load("source_tracks").table.limits["quarantined_percent"].limit,
        "reasons": found,
        "checks": [
            {"name": v.name, "verdict": v.word, "observed": round(v.observed, 4), "allowed": v.allowed, "sentence": v.sentence}
            for v in checked
        ],
        "notes": notes,
        "seconds": round(run.seconds, 3),
    }  # fmt: skip


def _opened(
    source: tuple[str, ...], encoding: str, mapping: dict[str, str], run: Run, say: Reporter | None = None
) -> AbstractContextManager[Source]:
    named = (argument.replace("{run_date}", run.run_date.isoformat()) for argument in source)
    return sources.opened(named, encoding=encoding, mapping=mapping, say=say)


def _scorer(model: str | None, own: Path | None, plan: Plan) -> tuple[Bundle, Scorer]:
    bundle = bundles.load(model, own)
    if features.VECTORS in bundle.manifest.inputs:
        names.ready()
    return bundle, Scorer(bundle, plan.threads)


def _publish(journey: Journey, files: Generations) -> dict[str, Any]:
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
        known = runs.already_published(
            current, run, journey.bundle, journey.shadow[0] if journey.shadow else None, journey.fingerprint
        )
    if known:
        return _already(journey, known)
    run.enter("copy", say)
    with _unsaid(journey, files):
        database = fresh or files.begin()
        warehouse.lay_out(database)
        runs.enter_abandoned(database, files.abandoned)
        try:
            travel(journey, database, current)
        except (UsageError, ConfigurationError):
            raise  # not a run that went wrong, but one that was asked for wrongly
        except Exception as error:
            with suppress(Exception):  # then the lock file says it, and the error is the first one
                keep_evidence(journey, database, error)
                files.publish(database, keep_previous=True)
            raise
        run.enter("publishing", say)
        files.publish(database)
    return _result("published", journey)


@contextmanager
def _mourned(say: Reporter) -> Iterator[None]:
    """Say why a run ends without predictions."""
    try:
        yield
    except BaseException as error:
        end = ending(error)
        say.fail(end["error"], end["exit_code"])
        raise


@contextmanager
def _unsaid(journey: Journey, files: Generations) -> Iterator[None]:
    """Leave the ledger's line to the next run, where this one could not publish even that."""
    try:
        yield
    except (UsageError, ConfigurationError):
        raise
    except Exception as error:
        if not files.swapped:
            files.unsaid = {**journey.run.identity(), **ending(error)}
        raise


def _result(status: str, journey: Journey) -> dict[str, Any]:
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
        **({"reasons": journey.rejected} if run.action == "replay" else {}),
        "seconds": round(seconds, 3),
        "rows_per_second": round(tally.arrival.received / seconds),
        "stages": run.close_stages(),
    }


def _already(journey: Journey, known: dict[str, Any]) -> dict[str, Any]:
    """Report the run that stands, whose rows are left as they are."""
    counts = (known[name] for name in ("received", "predicted", "quarantined", "duplicates", "empty"))
    arrival = landing.Arrival(*counts)
    imputed = {"duration_ms": known["imputed_duration_ms"], "tempo": known["imputed_tempo"]}
    journey.tally = Tally(arrival, known["predicted"], imputed)
    return {**_result("already published", journey), "run_id": known["run_id"]}
