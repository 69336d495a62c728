"""Labelled tracks for training, through the very steps that scoring takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import catalogue, contracts, features, landing, warehouse
from genrepipe.errors import SourceShapeError

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.resources import Plan
    from genrepipe.sources import Source

DURATION = 3  # positions in the feature matrix; held against the contract below
TEMPO = 11
MIN_TRACKS_PER_GENRE = 50


@dataclass(frozen=True)
class Dataset:
    """Labelled tracks.

    Attributes
    ----------
    X
        Features, float32 of shape (tracks, 13). Tempo is NaN where it is missing; so is a duration that neither the
        track nor its artist's other tracks know.
    y
        Labels, int64 of shape (tracks,), positions in ``labels``.
    artist
        Artist keys; the empty string where the artist is missing.
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    artist: npt.NDArray[np.str_]
    track_id: npt.NDArray[np.str_]
    labels: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.y)


def load(source: Source, plan: Plan) -> Dataset:
    """Read, clean and impute a labelled source.

    Raises
    ------
    SourceShapeError
        Too few labelled tracks of a genre to train on.
    """
    if [features.columns()[i] for i in (DURATION, TEMPO)] != ["duration_ms", "tempo"]:
        msg = "the contract of the features has another order than training expects"
        raise AssertionError(msg)
    with warehouse.open_memory(plan) as database:
        fingerprint = landing.fingerprint(database, source)
        catalogue.begin(database, "train", date(1970, 1, 1))
        arrival, _ = landing.land(database, source)
        where = ", ".join(part.name for part in source.parts)
        landing.check_breaker(database, arrival, where)
        catalogue.take(database)
        rows = catalogue.prepare(database, duration_ms=None)
        keys = database.frame("SELECT row_id, artist_key FROM accepted")
        # One order whatever the file's: rows that lie together must not train together.
        tracks = pl.concat(catalogue.batches(database, 1_000_000)).join(keys, on="row_id").sort("track_id")
    labels = contracts.genres()
    tracks = tracks.filter(pl.col("music_genre").is_in(labels))
    per_genre = dict(tracks.group_by("music_genre").len().iter_rows())
    scarce = [genre for genre in labels if per_genre.get(genre, 0) < MIN_TRACKS_PER_GENRE]
    if scarce:
        raise SourceShapeError(
            f"{where}: of {rows:,} tracks, fewer than {MIN_TRACKS_PER_GENRE} are labelled {', '.join(scarce)}",
            "Training needs labelled tracks of every genre",
        )
    return Dataset(
        X=features.matrix(features.build(tracks)),
        y=np.array([labels.index(genre) for genre in tracks["music_genre"]], dtype=np.int64),
        artist=tracks["artist_key"].fill_null("").to_numpy().astype(np.str_),
        track_id=tracks["track_id"].to_numpy().astype(np.str_),
        labels=tuple(labels),
        fingerprint=fingerprint,
    )
