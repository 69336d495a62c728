"""Labelled tracks for training, through the very steps that scoring takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import catalogue, contracts, features, landing, warehouse
from genrepipe.errors import SourceShapeError

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.resources import Plan
    from genrepipe.sources import Source

    Matrix = npt.NDArray[np.float32]

POPULARITY, DURATION, KEY, TEMPO = 0, 3, 6, 11  # positions among the audio features; held against the contract below
MIN_TRACKS_PER_GENRE = 50


@dataclass(frozen=True)
class Dataset:
    """Labelled tracks, in an order that no file has: by their ids.

    Attributes
    ----------
    X
        Audio features, float32 of shape (tracks, 13). Tempo is NaN where it is missing; so is a duration that neither
        the track nor its artist's other tracks know.
    y
        Labels, int64 of shape (tracks,), positions in ``labels``.
    artist
        Artist keys; the empty string where the artist is missing.
    tracks
        The scorable tracks themselves, beside what their artist's visible tracks say together; ``file_row`` is their
        place in the source, which nothing but the audit reads.
    """

    X: Matrix
    y: npt.NDArray[np.int64]
    artist: npt.NDArray[np.str_]
    track_id: npt.NDArray[np.str_]
    labels: tuple[str, ...]
    fingerprint: str
    tracks: pl.DataFrame
    _blocks: dict[str, Matrix] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    def block(self, name: str) -> Matrix:
        """Return a block of the feature matrix, float32 of shape (tracks, its columns); computed once.

        Labels of known artists are no such block: which labels are known depends on the fold.
        """
        if name == features.AUDIO:
            return self.X
        if name not in self._blocks:
            self._blocks[name] = np.ascontiguousarray(features.matrix(features.build(self.tracks, [name])))
        return self._blocks[name]

    def part(self, rows: npt.NDArray[np.intp]) -> Dataset:
        """Return these rows alone."""
        some = {name: getattr(self, name)[rows] for name in ("X", "y", "artist", "track_id", "tracks")}
        return replace(self, **some, _blocks={})

    @cached_property
    def artist_code(self) -> npt.NDArray[np.int64]:
        """One number for each artist, int64 of shape (tracks,); −1 where the artist is missing."""
        _, codes = np.unique(self.artist, return_inverse=True)
        return np.where(self.artist == "", -1, codes).astype(np.int64)

    @cached_property
    def twins(self) -> npt.NDArray[np.int64]:
        """One number for each set of tracks with the very same audio, int64 of shape (tracks,).

        Popularity is not audio; duration and tempo are left out, since one of two twins may lack them.
        """
        audio = [row.tobytes() for row in np.delete(self.X, [POPULARITY, DURATION, TEMPO], axis=1)]
        return np.unique(np.array(audio), return_inverse=True)[1].astype(np.int64)

    @property
    def duration_known(self) -> npt.NDArray[np.bool_]:
        """Where the track's own duration is known."""
        return ~self.tracks["imputed"].list.contains("duration_ms").to_numpy()


def load(source: Source, plan: Plan) -> Dataset:
    """Read, clean and impute a labelled source.

    Raises
    ------
    SourceShapeError
        Too few labelled tracks of a genre to train on.
    """
    if [features.columns()[i] for i in (DURATION, KEY, TEMPO)] != ["duration_ms", "key", "tempo"]:
        msg = "the contract of the features has another order than training expects"
        raise AssertionError(msg)
    with warehouse.open_memory(plan) as database:
        fingerprint = landing.fingerprint(database, source)
        catalogue.begin(database, "train", date(1970, 1, 1))
        arrival, _ = landing.land(database, source)
        where = ", ".join(part.name for part in source.parts)
        landing.check_arrived(arrival, where)
        landing.check_breaker(database, arrival, where)
        catalogue.take(database)
        rows = catalogue.prepare(database, duration_ms=None)
        # One order whatever the file's: rows that lie together must not train together.
        tracks = pl.concat(catalogue.batches(database, 1_000_000, context=True)).sort("track_id")
    labels = contracts.genres()
    tracks = tracks.filter(pl.col("music_genre").is_in(labels)).rename({"row_id": "file_row"})
    per_genre = dict(tracks.group_by("music_genre").len().iter_rows())
    scarce = [genre for genre in labels if per_genre.get(genre, 0) < MIN_TRACKS_PER_GENRE]
    if scarce:
        raise SourceShapeError(
            f"{where}: of {rows:,} tracks, fewer than {MIN_TRACKS_PER_GENRE} are labelled {', '.join(scarce)}",
            "Training needs labelled tracks of every genre",
        )
    return Dataset(
        X=np.ascontiguousarray(features.matrix(features.build(tracks))),
        y=np.array([labels.index(genre) for genre in tracks["music_genre"]], dtype=np.int64),
        artist=tracks["artist_key"].fill_null("").to_numpy().astype(np.str_),
        track_id=tracks["track_id"].to_numpy().astype(np.str_),
        labels=tuple(labels),
        fingerprint=fingerprint,
        tracks=tracks,
    )
