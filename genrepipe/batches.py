"""The inner loop: scorable tracks stream through features and the graph into a table of predictions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from genrepipe import catalogue, checks, features, interrupts, predictions
from genrepipe.contracts import identifier, literal
from genrepipe.database import ROW_GROUP

if TYPE_CHECKING:
    import polars as pl

    from genrepipe.bundles import Bundle
    from genrepipe.console import Reporter
    from genrepipe.database import Database
    from genrepipe.drift import Histogram
    from genrepipe.runs import Run
    from genrepipe.scoring import Scorer

# Whole row groups, so that each insert is written to disk once; bounds the memory of a run however long the table.
BATCH = 2 * ROW_GROUP
# How many cells of a feature matrix are held at a time: a batch of audio features, a part of one of word vectors.
CELLS = 6_000_000
SHADOW = ("track_id", "genre", "probability", "runner_up", "margin", "probabilities")


def predict(
    database: Database, run: Run, bundle: Bundle, scorer: Scorer, say: Reporter, histogram: Histogram | None = None,
    *, table: str = "predictions",
) -> int:  # fmt: skip
    """Score every accepted track into ``table``, and return how many rows were written.

    Leaves the temporary table ``scorable``, and fills ``histogram``, where there is one.
    """
    total = catalogue.prepare(database, bundle.duration_ms)
    same_in_every_row = {
        "run_date": f"DATE {literal(run.run_date.isoformat())}",
        "model": literal(bundle.manifest.name),
        "model_version": literal(bundle.manifest.version),
        "run_id": literal(run.run_id),
        "scored_at": f"TIMESTAMP {literal(run.started_at.isoformat(sep=' '))}",
    }
    own = "*" if table == "predictions" else ", ".join(SHADOW)
    added = {k: v for k, v in same_in_every_row.items() if table == "predictions" or k != "scored_at"}
    select = f"{own}, " + ", ".join(f"{value} AS {identifier(name)}" for name, value in added.items())

    def write(rows: pl.DataFrame) -> int:
        database.insert(table, rows, select)
        return rows.height

    context = features.CONTEXT in bundle.manifest.inputs  # three times as wide, so half as long
    predicted, proof = 0, checks.Proof()
    unread = catalogue.batches(database, ROW_GROUP if context else BATCH, context=context)
    with ThreadPoolExecutor(1) as warehouse:
        # The connection serves one call at a time. While one batch is scored here, the last one is written there, and
        # then the next one is fetched.
        scored, coming = None, warehouse.submit(next, unread, None)
        while (tracks := coming.result()) is not None:
            interrupts.check()
            writing = warehouse.submit(write, scored) if scored is not None else None
            coming = warehouse.submit(next, unread, None)
            scored = _score(tracks, bundle, scorer, histogram, proof)
            predicted += writing.result() if writing else 0
            say.progress("tracks predicted", predicted, total)
        interrupts.check()
        predicted += write(scored) if scored is not None else 0
        say.progress("tracks predicted", predicted, total)
    proof.hold()
    return predicted


def _score(
    tracks: pl.DataFrame, bundle: Bundle, scorer: Scorer, histogram: Histogram | None, proof: checks.Proof
) -> pl.DataFrame:
    manifest = bundle.manifest
    found, audio = [], []
    for part in tracks.iter_slices(CELLS // len(manifest.input_columns)):
        inputs = features.build(part, manifest.inputs, bundle.artist_labels)
        for block, frame in zip(manifest.inputs, inputs, strict=True):
            if block != features.VECTORS:  # a table of numbers that has no bounds
                proof.add("features", block, frame)
            if block == features.AUDIO:
                audio.append(frame)
        found.append(scorer.probabilities(features.matrix(inputs)))
    rows = predictions.assemble(tracks, np.concatenate(found), manifest.labels, manifest.genre_sets)
    if histogram is not None:
        for frame in audio or features.build(tracks):
            histogram.add(frame)
        histogram.add_genres(rows["genre"])
    return rows
