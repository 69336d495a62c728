"""The inner loop: scorable tracks stream through features and the graph into a table of predictions."""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from genrepipe.contracts.schemas import RunningProof
from genrepipe.core import signals
from genrepipe.core.events import Stages
from genrepipe.core.quoting import literal
from genrepipe.engines import history, prepare
from genrepipe.engines.context import ArtistContext
from genrepipe.model import features, predictions
from genrepipe.quality.monitors import Batch
from genrepipe.warehouse.connection import ROW_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genrepipe.core.profile import Profile
    from genrepipe.model.bundle import Bundle
    from genrepipe.model.scorer import Scorer
    from genrepipe.quality.monitors import Monitor
    from genrepipe.warehouse.ledger import Run
    from genrepipe.warehouse.steps import Steps

T = TypeVar("T")
# Whole row groups, so that each insert is written to disk once; bounds the memory of a run however long the table.
BATCH = ROW_GROUP
# How many cells of a feature matrix are held at a time: a batch of most bundles, a part of one of word vectors.
CELLS = 15_000_000
SHADOW_COLUMNS = ("track_id", "genre", "probability", "runner_up", "margin", "probabilities")


def predict(
    steps: Steps, run: Run, bundle: Bundle, scorer: Scorer, stages: Stages | None = None,
    monitors: Sequence[Monitor] = (), *, table: str = "prediction_history", of: str = "scored",
) -> int:  # fmt: skip
    """Score the tracks of a relation, ``scored`` or ``scorable``, into ``table``, and return how many rows were written.

    Every batch is shown to the monitors.
    """
    stages = stages or Stages()
    reporter, profile = stages.reporter, stages.profile
    total = prepare.count(steps, of)
    select = _with_constants(run, bundle, table)

    def write(rows: pl.DataFrame) -> int:
        with profile.step(table) as measured:
            steps.database.insert(table, rows, select)
            measured.rows = rows.height
        return rows.height

    def fetch() -> pl.DataFrame | None:
        with profile.step("fetch") as measured:
            tracks = next(unread, None)
            measured.rows = 0 if tracks is None else len(tracks)
        return tracks

    inputs, proof, predicted = bundle.manifest.inputs, RunningProof(), 0
    with profile.step("artist context"):
        context = ArtistContext(steps, proof) if features.CONTEXT in inputs else None
    unread = prepare.batches(steps, BATCH, of=of, beside=["artist_key"] if features.LABELS in inputs else [])
    with _InTurn() if profile.enabled else ThreadPoolExecutor(1) as warehouse:
        # The connection serves one call at a time. While one batch is scored here, the last one is written there, and
        # then the next one is fetched.
        scored, coming = None, warehouse.submit(fetch)
        while (tracks := coming.result()) is not None:
            signals.check()
            writing = warehouse.submit(write, scored) if scored is not None else None
            coming = warehouse.submit(fetch)
            scored = _score(tracks, bundle, scorer, context, proof, profile)
            with profile.step("monitors"):
                _observe(monitors, Batch(scored, tracks["label"]))
            predicted += writing.result() if writing else 0
            reporter.progress("tracks predicted", predicted, total)
        signals.check()
        predicted += write(scored) if scored is not None else 0
        reporter.progress("tracks predicted", predicted, total)
    proof.check()
    return predicted


def observe_continued(steps: Steps, monitors: Sequence[Monitor]) -> None:
    """Show the monitors the predictions that continue."""
    for rows in history.continued(steps, BATCH):
        signals.check()
        _observe(monitors, Batch(rows, rows["label"]))


class _InTurn(Executor):
    """Does at once what is submitted, so that each step can be measured by itself."""

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        """Call the function; what it raises is raised here."""
        done: Future[T] = Future()
        done.set_result(function(*arguments, **named))
        return done


def _with_constants(run: Run, bundle: Bundle, table: str) -> str:
    """Return the select list that adds to a batch what is the same in every row of the run."""
    day = f"DATE {literal(run.run_date.isoformat())}"
    if table == "prediction_history":
        replay = literal(run.run_id) if run.action == "replay" else "NULL"
        return f"*, {literal(run.job)} AS job, {day} AS from_run_date, {day} AS to_run_date, {replay} AS replay_id"
    model, version = literal(bundle.manifest.name), literal(bundle.manifest.version)
    return (
        f"{', '.join(SHADOW_COLUMNS)}, {literal(run.job)} AS job, {day} AS run_date, {model} AS model, "
        f"{version} AS model_version, {literal(run.run_id)} AS run_id"
    )


def _score(
    tracks: pl.DataFrame, bundle: Bundle, scorer: Scorer, context: ArtistContext | None,
    proof: RunningProof, profile: Profile,
) -> pl.DataFrame:  # fmt: skip
    """Return the predictions of a batch."""
    manifest = bundle.manifest
    columns = list(manifest.input_columns)
    probabilities = []
    for some in tracks.iter_slices(CELLS // len(columns)):
        parts = []
        for block in manifest.inputs:
            if block == features.CONTEXT and context:
                parts.append(context.part(some, columns))
                continue
            with profile.step(block) as measured:
                pieces = features.BLOCKS[block].pieces(some, bundle.artist_labels)
                parts += features.parts(pieces, columns)
                measured.rows = len(some)
            if features.BLOCKS[block].proved:
                with profile.step("proof"):
                    proof.add("features", block, *(piece.frame for piece in pieces))
        with profile.step("graph") as measured:
            probabilities.append(scorer.probabilities(parts, len(some)))
            measured.rows = len(some)
        if context:
            context.release()
    with profile.step("assemble") as measured:
        rows = predictions.assemble(tracks, np.concatenate(probabilities), manifest.labels, manifest.genre_sets)
        measured.rows = len(rows)
    with profile.step("proof"):
        proof.add("predictions", "predictions", rows.select(predictions.PROVED), only=predictions.PROVED)
    return rows


def _observe(monitors: Sequence[Monitor], batch: Batch) -> None:
    for monitor in monitors:
        monitor.observe(batch)
