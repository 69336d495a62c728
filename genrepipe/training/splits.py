"""Folds for honest measurement: random ones, and ones in which no artist stands on both sides.

The random split is the study's. It lets an artist's tracks, and tracks with the very same audio features ("twins",
which nearly always carry another label), fall on both sides; the artist-disjoint split is the headline, because the
artists of tomorrow's catalogue are not those of the training data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, StratifiedKFold

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset

Indices: TypeAlias = "npt.NDArray[np.intp]"
FOLDS = 5
HELD = 0.05  # of the training artists tell when to stop


def groups(data: Dataset) -> npt.NDArray[np.int64]:
    """Return one group number for each track, int64 of shape (tracks,).

    Tracks of one artist are one group. A track without an artist joins the artist of an exact audio twin, or else is
    a group by itself: it may well be by an artist on the other side, so twins are the only evidence there is.
    """
    artist, twins = data.artist_code, data.twins
    named = artist >= 0
    first_artist = np.full(twins.max(initial=0) + 1, -1, dtype=np.int64)
    first_artist[twins[named][::-1]] = artist[named][::-1]
    beyond = artist.max(initial=0) + 1 + twins
    return np.where(named, artist, np.where(first_artist[twins] >= 0, first_artist[twins], beyond))


def random(data: Dataset, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) positions of stratified random folds."""
    yield from StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y)


def random_twins_apart(data: Dataset, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) positions of stratified random folds, tracks with the very same audio on one side."""
    yield from StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y, data.twins)


def validation(data: Dataset, rows: Indices, seed: int) -> tuple[Indices, Indices]:
    """Split rows into those to train on and a few artists to watch: one artist in twenty."""
    chosen = GroupShuffleSplit(1, test_size=HELD, random_state=seed)
    kept, held = next(chosen.split(rows, groups=groups(data)[rows]))
    return rows[kept], rows[held]


def artist_disjoint(data: Dataset, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) positions of stratified folds that no artist straddles."""
    yield from StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y, groups(data))
