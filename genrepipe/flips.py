"""Tracks whose genre changed, and why: found by scoring them again with one thing changed at a time.

A track's state then is that of the generation before. With tonight's bundle it is scored as it was, then with its own
values of tonight, then with tonight's imputed duration, then with tonight's artist context. The first answer that is
not the old genre names the cause; where tonight's bundle disagrees with the old answer at once, the bundle changed, or
else the difference is noise, or the artist's context had changed since that prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import features, interrupts

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.bundles import Bundle
    from genrepipe.database import Database
    from genrepipe.scoring import Scorer

    Matrix = npt.NDArray[np.float32]

NOISE = 1e-4  # how far two probabilities may be apart for the same input, see predictions.PRECISION
ROWS = 20_000
NAMES = ("artist_name", "track_name")


def write(database: Database, before: Database | None, bundle: Bundle, scorer: Scorer) -> int:
    """Write the run's rows of table ``flips``, and return how many they are.

    ``before`` is the generation that users see, as the run found it.
    """
    database.table("clean/85_before")
    database.execute("UPDATE run SET predicted_before = (SELECT count(*) FROM before)")
    database.execute("DELETE FROM flips WHERE run_id IN (FROM own_runs)")
    database.table("clean/86_flipped")
    total = int(database.value("SELECT count(*) FROM flipped"))
    if not total or before is None:
        return 0
    database.view("clean/80_contextual", "contextual")
    for start in range(0, total, ROWS):
        interrupts.check()
        flipped = database.frame(f"FROM flipped ORDER BY track_id LIMIT {ROWS} OFFSET {start}")
        now = _state(database, flipped)
        then = _past(before, flipped, bundle.duration_ms)
        explained = _explain(flipped, then, now, bundle, scorer)
        database.insert(
            "flips", explained, "*, (SELECT run_id FROM run) AS run_id, (SELECT run_date FROM run) AS run_date"
        )
    return total


def _state(database: Database, flipped: pl.DataFrame) -> pl.DataFrame:
    database.execute("CREATE OR REPLACE TEMP TABLE wanted (track_id VARCHAR)")
    database.insert("wanted", flipped.select("track_id"))
    database.view("clean/87_rescorable")
    return database.frame("FROM rescorable")


def _past(before: Database, flipped: pl.DataFrame, duration_ms: float) -> pl.DataFrame:
    before.macros()
    before.execute("CREATE OR REPLACE TEMP VIEW profiles AS FROM artist_profiles")
    before.execute("CREATE OR REPLACE TEMP TABLE medians AS SELECT ?::FLOAT AS duration_ms", [duration_ms])
    before.execute(
        "CREATE OR REPLACE TEMP VIEW accepted AS SELECT rowid AS row_id, * EXCLUDE (first_run_date, last_run_date), "
        "artist_key_of(artist_name) AS artist_key FROM tracks"
    )
    before.view("clean/70_scorable", "scorable")
    before.view("clean/80_contextual", "contextual")
    return _state(before, flipped)


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
            # of tracks that the generation before does not know, nothing can be told but that all of it is new
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
