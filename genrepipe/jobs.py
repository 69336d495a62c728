"""The order of a run, told as a story."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from genrepipe import (
    assets,
    bundles,
    catalogue,
    checks,
    contracts,
    features,
    landing,
    names,
    predictions,
    resources,
    runs,
    sources,
    warehouse,
)
from genrepipe.console import Reporter, Silent
from genrepipe.contracts import identifier, literal
from genrepipe.database import ROW_GROUP
from genrepipe.errors import OutputBroken
from genrepipe.runs import Run, Tally
from genrepipe.scoring import Scorer

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from genrepipe.bundles import Bundle
    from genrepipe.database import Database
    from genrepipe.sources import Source

# Whole row groups, so that each insert is written to disk once; bounds the memory of a run however long the table.
BATCH = 2 * ROW_GROUP
# How many cells of a feature matrix are held at a time: a batch of audio features, a part of one of word vectors.
CELLS = 12_000_000


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


def score(request: ScoreRequest, say: Reporter | None = None) -> dict[str, Any]:
    """Score a source into a warehouse, all of it or nothing.

    Returns
    -------
    The facts of the run, as ``genrepipe score --output json`` prints them.

    Raises
    ------
    GenrepipeError
        Any class of the tree in ``errors``; nothing was published.
    """
    say = say or Silent()
    run = Run(request.job, runs.parse_date(request.run_date))
    plan = resources.plan()
    source = _resolve(request.source, request.encoding, request.mapping, run)
    bundle = bundles.load(request.model)
    if features.VECTORS in bundle.manifest.inputs:
        names.ready()
    scorer = Scorer(bundle, plan.threads)
    say.note("bundle verified", model=bundle.manifest.name, version=bundle.manifest.version)

    database = (
        warehouse.open_memory(plan, request.warehouse)
        if request.dry_run
        else warehouse.open_warehouse(request.warehouse, plan)
    )
    with database:
        fingerprint = landing.fingerprint(database, source)
        if known := runs.already_published(database, run, bundle, fingerprint):
            return _already(run, bundle, request, known)

        catalogue.begin(database, run.run_id, run.run_date)
        arrival = _land(database, source, say)
        with database.transaction():
            catalogue.take(database)
            predicted = _predict(database, run, bundle, scorer, say)
            tally = Tally(arrival, predicted, _imputed(database))
            tally.assert_balanced()
            _quarantine(database, run)
            _judge(database, run, arrival)
            runs.enter(database, run, bundle, tally, [part.name for part in source.parts], fingerprint)
        return _result("dry run" if request.dry_run else "published", run, bundle, request, tally)


def validate(source: tuple[str, ...], encoding: str, mapping: dict[str, str]) -> dict[str, Any]:
    """Check a source against its contract and write nothing.

    Returns
    -------
    The counts, the reasons with examples, and whether a run would be stopped.
    """
    run = Run("validate", runs.parse_date(None))
    plan = resources.plan()
    with warehouse.open_memory(plan) as database:
        arrival, notes = landing.land(database, _resolve(source, encoding, mapping, run))
        catalogue.begin(database, run.run_id, run.run_date)
        database.table("clean/90_quarantined")
        found = landing.reasons(database)
    limit = contracts.load("source_tracks").table.custom("maxQuarantinedPercent")
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


def _land(database: Database, source: Source, say: Reporter) -> landing.Arrival:
    say.note("reading", parts=len(source.parts))
    arrival, notes = landing.land(database, source)
    for note in notes:
        say.note(note)
    say.progress("rows received", arrival.received, arrival.received)
    landing.check_breaker(database, arrival, ", ".join(part.name for part in source.parts))
    return arrival


def _predict(database: Database, run: Run, bundle: Bundle, scorer: Scorer, say: Reporter) -> int:
    """Score every accepted track in batches, and return how many rows were written."""
    total = catalogue.prepare(database, bundle.duration_ms)
    same_in_every_row = {
        "run_date": f"DATE {literal(run.run_date.isoformat())}",
        "model": literal(bundle.manifest.name),
        "model_version": literal(bundle.manifest.version),
        "run_id": literal(run.run_id),
        "scored_at": f"TIMESTAMP {literal(run.started_at.isoformat(sep=' '))}",
    }
    select = "*, " + ", ".join(f"{value} AS {identifier(name)}" for name, value in same_in_every_row.items())
    database.execute("DELETE FROM predictions WHERE run_date = ?", [run.run_date])

    def write(rows: pl.DataFrame) -> int:
        database.insert("predictions", rows, select)
        return rows.height

    context = features.CONTEXT in bundle.manifest.inputs  # three times as wide, so half as long
    predicted = 0
    with ThreadPoolExecutor(1) as writer:
        # One batch is written while the next is scored. The connection serves one call at a time, so a batch is
        # fetched before the write of the last one begins, and the write has ended before the next is fetched.
        scored = None
        for tracks in catalogue.batches(database, ROW_GROUP if context else BATCH, context=context):
            writing = writer.submit(write, scored) if scored is not None else None
            scored = _score_batch(tracks, bundle, scorer)
            predicted += writing.result() if writing else 0
            say.progress("tracks predicted", predicted, total)
        predicted += write(scored) if scored is not None else 0
        say.progress("tracks predicted", predicted, total)
    return predicted


def _score_batch(tracks: pl.DataFrame, bundle: Bundle, scorer: Scorer) -> pl.DataFrame:
    manifest = bundle.manifest
    found = []
    for part in tracks.iter_slices(CELLS // len(manifest.input_columns)):
        inputs = features.build(part, manifest.inputs, bundle.artist_labels)
        for block, frame in zip(manifest.inputs, inputs, strict=True):
            if block != features.VECTORS:  # a table of numbers that has no bounds
                checks.prove("features", frame, table=block)
        found.append(scorer.probabilities(features.matrix(inputs)))
    return predictions.assemble(tracks, np.concatenate(found), manifest.labels, manifest.genre_sets)


def _imputed(database: Database) -> dict[str, int]:
    counted = database.rows(
        "SELECT count(*) FILTER (list_contains(imputed, 'duration_ms')), count(*) FILTER (list_contains(imputed, 'tempo')) FROM scorable"
    )[0]
    return dict(zip(("duration_ms", "tempo"), counted, strict=True))


def _quarantine(database: Database, run: Run) -> None:
    database.view("clean/90_quarantined")
    database.execute("DELETE FROM quarantine WHERE run_date = ?", [run.run_date])
    database.execute("INSERT INTO quarantine BY NAME FROM quarantined")


def _judge(database: Database, run: Run, arrival: landing.Arrival) -> None:
    """Write the verdicts of the run; a failed one stops the publish."""
    limit = contracts.load("source_tracks").table.custom("maxQuarantinedPercent")
    runs.check(
        database,
        run,
        "quarantined_percent",
        f"At most {limit} % of the rows are quarantined.",
        arrival.quarantined_percent,
        limit,
    )
    for path in sorted((assets.shipped("sql") / "audits").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        sentence = text.splitlines()[0].removeprefix("--").strip()
        offending = database.value(f"SELECT count(*) FROM ({text})")
        if not runs.check(database, run, path.stem, sentence, offending, None):
            raise OutputBroken(
                f"Check {path.stem} failed: {sentence} {offending:,} rows offend",
                "Nothing was published; this is a bug: please report it",
            )


def _result(status: str, run: Run, bundle: Bundle, request: ScoreRequest, tally: Tally) -> dict[str, Any]:
    seconds = run.seconds
    counted = landing.counts(tally.arrival)
    counted.pop("accepted")
    return {
        "status": status,
        "run_id": run.run_id,
        "run_date": run.run_date.isoformat(),
        "model": bundle.manifest.name,
        "model_version": bundle.manifest.version,
        "warehouse": str(request.warehouse),
        "predicted": tally.predicted,
        **counted,
        "imputed": tally.imputed,
        "seconds": round(seconds, 3),
        "rows_per_second": round(tally.arrival.received / seconds),
    }


def _already(run: Run, bundle: Bundle, request: ScoreRequest, known: dict[str, Any]) -> dict[str, Any]:
    """Report the run that stands, whose rows are left as they are."""
    arrival = landing.Arrival(
        known["received"], known["predicted"], known["quarantined"], known["duplicates"], known["empty"]
    )
    tally = Tally(
        arrival,
        known["predicted"],
        {"duration_ms": known["imputed_duration_ms"], "tempo": known["imputed_tempo"]},
    )
    return {**_result("already published", run, bundle, request, tally), "run_id": known["run_id"]}
