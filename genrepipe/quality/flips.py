"""Flips: tracks whose genre changed, and the cause, found by scoring them again with one thing changed at a time.

The generation before has a track as it was. This run's bundle scores it as it was, then with the track's own new values,
then with its new imputed duration, then with the new artist context. The first answer that is not the old genre names
the cause. Where the bundle disagrees with the old answer at once, the bundle is another one; or else the difference is
noise, or the artist's context had changed since that prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe.core import signals
from genrepipe.core.quoting import literal
from genrepipe.model import features
from genrepipe.quality.monitors import Monitor
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.model.bundle import Bundle
    from genrepipe.model.scorer import Scorer
    from genrepipe.quality.monitors import Scored

    Matrix = npt.NDArray[np.float32]

NOISE = 1e-4  # how far two probabilities may be apart for the same input, see predictions.PRECISION
ROWS = 20_000
NAMES = ("artist_name", "track_name")


class Flips(Monitor):
    """Writes table ``flips``."""

    table = "flips"
    is_evidence = True

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._explained: list[pl.DataFrame] = []

    def measure(self, scored: Scored) -> None:
        """Explain each flip."""
        steps, database = scored.steps, scored.database
        steps.make("flipped")
        total = int(database.value("SELECT count(*) FROM flipped"))
        if not total or scored.before is None:
            return
        before = Steps(scored.before)
        for start in range(0, total, ROWS):
            signals.check()
            flipped = database.frame(f"FROM flipped ORDER BY track_id LIMIT {ROWS} OFFSET {start}")
            now = _inputs(steps, flipped)
            then = _inputs_before(before, flipped, self.bundle.duration_ms)
            self._explained.append(_explain(flipped, then, now, self.bundle, scored.scorer))

    def seen(self) -> list[pl.DataFrame]:
        """Return the flips."""
        return self._explained

    def merge(self, seen: list[pl.DataFrame]) -> None:
        """Add flips."""
        self._explained += seen

    def write(self, scored: Scored) -> int:
        """Write the run's flips with their causes, and return how many they are."""
        manifest = self.bundle.manifest
        model = literal(f"{manifest.name} {manifest.version}")
        of_run = f"(SELECT run_id FROM run) AS run_id, (SELECT run_date FROM run) AS run_date, {model} AS model"
        for explained in self._explained:
            scored.database.insert("flips", explained, f"*, {of_run}")
        return sum(map(len, self._explained))


def _inputs(steps: Steps, flipped: pl.DataFrame) -> pl.DataFrame:
    """Return the inputs of these tracks as a run has them."""
    steps.bind_frame("wanted", flipped.select("track_id"))
    steps.make("rescorable")
    inputs = steps.database.frame("FROM rescorable")
    steps.release("wanted")
    return inputs


def _inputs_before(steps: Steps, flipped: pl.DataFrame, duration_ms: float) -> pl.DataFrame:
    """Return the inputs of these tracks as the catalogue of a generation has them."""
    steps.bind_frame("wanted", flipped.select("track_id"))
    steps.bind(
        "accepted",
        "SELECT row_number() OVER (ORDER BY track_id) AS row_id, * EXCLUDE (first_run_date, last_run_date), "
        "artist_key_of(artist_name) AS artist_key FROM tracks SEMI JOIN wanted USING (track_id)",
        kind="table",
    )
    if schema.is_current(steps.database):
        steps.bind("profiles", "FROM artist_profiles SEMI JOIN accepted USING (artist_key)")
    else:  # the profiles of an older layout may have other columns: they are made anew
        steps.bind("visible_tracks", "SELECT *, artist_key_of(artist_name) AS artist_key FROM tracks")
    steps.bind_row("medians", duration_ms=duration_ms)
    steps.bind("known_labels", "SELECT NULL::BIGINT AS row_id, NULL::VARCHAR AS music_genre LIMIT 0")  # no input
    steps.make("rescorable")
    inputs = steps.database.frame("FROM rescorable")
    steps.release("wanted", "visible_tracks", "profiles", "medians", "known_labels", "accepted")
    return inputs


def _explain(
    flipped: pl.DataFrame, then: pl.DataFrame, now: pl.DataFrame, bundle: Bundle, scorer: Scorer
) -> pl.DataFrame:
    known = flipped.join(then.select("track_id"), on="track_id", how="semi").sort("track_id")
    then, now = (
        side.join(known.select("track_id"), on="track_id", how="semi").sort("track_id") for side in (then, now)
    )
    old, new = _matrix(then, bundle), _matrix(now, bundle)
    labels = np.array(bundle.manifest.labels)
    columns = list(bundle.manifest.input_columns)
    context = [i for i, name in enumerate(columns) if name in set(features.columns([features.CONTEXT]))]
    guessed = (then["own_duration_ms"].is_null() & now["own_duration_ms"].is_null()).to_numpy()

    own = new.copy()
    own[:, context] = old[:, context]
    if "duration_ms" in columns:
        at = columns.index("duration_ms")
        own[guessed, at] = old[guessed, at]
    imputed = new.copy()
    imputed[:, context] = old[:, context]

    genre = known["genre_before"].to_numpy()
    probabilities = scorer.probabilities(old)
    of_before = probabilities[np.arange(len(old)), [list(labels).index(g) for g in genre]] if len(old) else np.empty(0)
    same_model = (known["model_sha256_before"] == bundle.sha256).fill_null(value=False).to_numpy()
    noise = np.abs(of_before - known["probability_before"].to_numpy()) <= NOISE
    cause = np.select(
        [
            (_genres(probabilities, labels) != genre) & ~same_model,
            (_genres(probabilities, labels) != genre) & noise,
            _genres(probabilities, labels) != genre,
            _genres(scorer.probabilities(own), labels) != genre,
            _genres(scorer.probabilities(imputed), labels) != genre,
        ],
        ["model", "numeric noise", "artist context", "input", "imputation"],
        "artist context",
    )
    rest = flipped.join(known.select("track_id"), on="track_id", how="anti")
    return pl.concat(
        [
            known.with_columns(
                cause=pl.Series(cause.astype(str).tolist(), dtype=pl.String), changed=_changed(then, now)
            ),
            # the generation before does not know these tracks: all of their values are new
            rest.with_columns(cause=pl.lit("input"), changed=pl.lit(None, pl.List(pl.String)).fill_null([])),
        ]
    ).drop("model_sha256_before")


def _matrix(frame: pl.DataFrame, bundle: Bundle) -> Matrix:
    return features.matrix(features.build(frame, bundle.manifest.inputs, bundle.artist_labels))


def _genres(probabilities: Matrix, labels: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    chosen: npt.NDArray[np.str_] = labels[probabilities.argmax(1)]
    return chosen


def _changed(then: pl.DataFrame, now: pl.DataFrame) -> pl.Series:
    columns = [*NAMES, *(name if name != "duration_ms" else "own_duration_ms" for name in features.columns())]
    differs = [
        pl.DataFrame({"a": then[name].cast(pl.String), "b": now[name].cast(pl.String)})
        .select(
            pl.when(pl.col("a").ne_missing(pl.col("b"))).then(pl.lit(name.removeprefix("own_"))).alias(name)
        ).to_series()
        for name in columns
    ]  # fmt: skip
    return pl.DataFrame(differs).select(pl.concat_list(pl.all()).list.drop_nulls()).to_series()
