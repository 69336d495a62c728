"""Cross-validation folds: random, and with every artist on one side alone.

The random split is the study's. Tracks of one artist, and tracks with identical audio ("twins", which nearly always
have different labels), fall on both sides of it. The artist-disjoint split is the headline, because the artists of
tomorrow's catalogue are not those of the training data.
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
VALIDATION_SHARE = 0.05  # of the training artists, held out for early stopping


def groups(data: Dataset) -> npt.NDArray[np.int64]:
    """Return one group number for each track, int64 of shape (tracks,).

    Tracks of one artist are one group. A track without an artist joins the artist of an audio twin, the only evidence
    of who made it; without a twin it is a group by itself.
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
    """Yield (train, test) positions of stratified random folds that keep audio twins on one side."""
    yield from StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y, data.twins)


def validation(data: Dataset, rows: Indices, seed: int) -> tuple[Indices, Indices]:
    """Split rows into (train, validation); the validation rows are those of one artist in twenty."""
    splitter = GroupShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=seed)
    train, held_out = next(splitter.split(rows, groups=groups(data)[rows]))
    return rows[train], rows[held_out]


def artist_disjoint(data: Dataset, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) positions of stratified folds that keep each artist on one side."""
    yield from StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y, groups(data))
