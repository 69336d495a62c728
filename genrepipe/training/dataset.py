"""Labelled tracks for training, read through the same steps as scoring takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import contracts
from genrepipe.core.errors import SourceShapeError
from genrepipe.engines import prepare
from genrepipe.ingest import landing, sources
from genrepipe.model import features
from genrepipe.quality import checks
from genrepipe.training import episodes
from genrepipe.warehouse.ledger import Run

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.ingest.sources import Source

    Matrix = npt.NDArray[np.float32]

MIN_TRACKS_PER_GENRE = 50
MIN_KNOWN = 100  # values of each audio feature
NOT_AUDIO = ("popularity", "duration_ms", "tempo")  # ignored where tracks are compared by their audio


@dataclass(frozen=True)
class Dataset:
    """Labelled tracks, sorted by track id, so that the order of the source says nothing.

    Attributes
    ----------
    X
        Audio features, float32 of shape (tracks, 13). A missing one is NaN; a missing duration is only where the artist's
        other tracks have none.
    y
        Labels, int64 of shape (tracks,), as positions in ``labels``.
    artist
        Artist keys; the empty string where the artist is missing.
    tracks
        The scorable tracks with the context of their artist; ``file_row`` is their place in the source, which only the
        audit reads.
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
        """Return a block of features, float32 of shape (tracks, columns), computed at the first call.

        Raises
        ------
        ValueError
            The block is ``artist_labels``: which labels are known depends on the train rows.
        """
        if name == features.AUDIO:
            return self.X
        if name not in self._blocks:
            self._blocks[name] = np.ascontiguousarray(features.matrix(features.build(self.tracks, [name])))
        return self._blocks[name]

    def with_blocks(self, blocks: dict[str, Matrix]) -> Dataset:
        """Return the same tracks with other values for some blocks, each of shape (tracks, columns)."""
        others = {name: block for name, block in blocks.items() if name != features.AUDIO}
        return replace(self, X=blocks.get(features.AUDIO, self.X), _blocks={**self._blocks, **others})

    def part(self, rows: npt.NDArray[np.intp]) -> Dataset:
        """Return these rows alone."""
        columns = {name: getattr(self, name)[rows] for name in ("X", "y", "artist", "track_id", "tracks")}
        return replace(self, **columns, _blocks={})

    @cached_property
    def artist_code(self) -> npt.NDArray[np.int64]:
        """One number for each artist, int64 of shape (tracks,); −1 where the artist is missing."""
        _, codes = np.unique(self.artist, return_inverse=True)
        return np.where(self.artist == "", -1, codes).astype(np.int64)

    @cached_property
    def twins(self) -> npt.NDArray[np.int64]:
        """One number for each set of tracks with identical audio, int64 of shape (tracks,).

        Popularity is not audio. Duration and tempo are ignored, since one of two twins may lack them.
        """
        ignored = [features.position(name) for name in NOT_AUDIO]
        audio = [row.tobytes() for row in np.delete(self.X, ignored, axis=1)]
        return np.unique(np.array(audio), return_inverse=True)[1].astype(np.int64)

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether the source has each audio feature of each track, bool of shape (tracks, 13)."""
        return self.tracks.select(
            ~pl.col("imputed").list.contains(name).alias(name) for name in features.columns()
        ).to_numpy()

    def without(self, lost: npt.NDArray[np.bool_]) -> Dataset:
        """Return the tracks as they are read where the source lacks these audio features, bool of shape (tracks, 13).

        A duration is then the median of those that are left of the artist, and the context is that of what is left.
        """
        known, names = self.known & ~lost, features.columns()
        imputed = pl.DataFrame(known, schema=names).select(
            imputed=pl.concat_list(pl.when(~pl.col(name)).then(pl.lit(name)) for name in names).list.drop_nulls()
        )
        at = features.position("duration_ms")
        durations = pl.DataFrame(
            {"artist": self.artist_code, "left": np.where(known[:, at], self.X[:, at], np.nan)}
        ).with_columns(pl.col("left").fill_nan(None))
        median = pl.when(pl.col("artist") >= 0).then(pl.col("left").median().over("artist"))
        X = np.where(known, self.X, np.float32("nan"))
        X[:, at] = (
            durations.select(pl.coalesce("left", median).cast(pl.Float32).fill_null(np.nan)).to_series().to_numpy()
        )
        less = replace(
            self, X=X, tracks=self.tracks.with_columns(imputed["imputed"]),
            _blocks={name: block for name, block in self._blocks.items() if name != features.CONTEXT},
        )  # fmt: skip
        whole = episodes.Discographies(less, np.arange(len(less)))
        artists = np.where(self.artist_code < 0, self.artist_code.max(initial=0) + 1, self.artist_code)
        return less.with_blocks({features.CONTEXT: whole.context(artists)})


def read(source: tuple[str, ...], encoding: str = "utf-8", source_recipe: SourceRecipe | None = None) -> Dataset:
    """Read the labelled tracks of a source, given as on the command line; see ``load``."""
    with sources.open_source(source, encoding=encoding, recipe=source_recipe) as opened:
        return load(opened)


def load(source: Source) -> Dataset:
    """Land, clean and impute a labelled source.

    Raises
    ------
    SourceShapeError
        A genre has fewer than ``MIN_TRACKS_PER_GENRE`` labelled tracks, or fewer than ``MIN_KNOWN`` of all have a feature.
    """
    run = Run("train", date(1970, 1, 1), "train")
    where = ", ".join(part.name for part in source.parts)
    with prepare.landed_in_memory(source, run) as (steps, landed):
        fingerprint = landing.fingerprint(steps.database, source)
        landing.refuse_empty(landed.counts, where)
        checks.refuse_rejected(steps, landed.counts, where, {})
        prepare.update_catalogue(steps)
        rows = prepare.make_scorable(steps, duration_ms=None)
        # Sorted, so that the result does not depend on the order of the source.
        tracks = pl.concat(
            prepare.batches(steps, 1_000_000, of="contextual", beside=["music_genre", "obtained_date"])
        ).sort("track_id")
    labels = contracts.genres()
    tracks = tracks.filter(pl.col("music_genre").is_in(labels)).rename({"row_id": "file_row"})
    per_genre = dict(tracks.group_by("music_genre").len().iter_rows())
    scarce = [genre for genre in labels if per_genre.get(genre, 0) < MIN_TRACKS_PER_GENRE]
    if scarce:
        raise SourceShapeError(
            f"{where}: of {rows:,} tracks, fewer than {MIN_TRACKS_PER_GENRE} are labelled {', '.join(scarce)}",
            "Training needs labelled tracks of every genre",
        )
    X = np.ascontiguousarray(features.matrix(features.build(tracks)))
    unknown = [name for name, known in zip(features.columns(), (~np.isnan(X)).sum(0), strict=True) if known < MIN_KNOWN]
    if unknown:
        raise SourceShapeError(
            f"{where}: fewer than {MIN_KNOWN} labelled tracks have {', '.join(unknown)}",
            "Training needs known values of every audio feature; scoring does not",
        )
    return Dataset(
        X=X,
        y=np.array([labels.index(genre) for genre in tracks["music_genre"]], dtype=np.int64),
        artist=tracks["artist_key"].fill_null("").to_numpy().astype(np.str_),
        track_id=tracks["track_id"].to_numpy().astype(np.str_),
        labels=tuple(labels),
        fingerprint=fingerprint,
        tracks=tracks,
    )
