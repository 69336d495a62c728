"""Folds for honest measurement: random ones, and ones in which no artist stands on both sides.

The random split is the study's. It lets an artist's tracks, and tracks with the very same audio features ("twins",
which nearly always carry another label), fall on both sides; the artist-disjoint split is the headline, because the
artists of tomorrow's catalogue are not those of the training data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset

Indices: TypeAlias = "npt.NDArray[np.intp]"
FOLDS = 5


def groups(data: Dataset) -> npt.NDArray[np.int64]:
    """Return one group number for each track, int64 of shape (tracks,).

    Tracks of one artist are one group. A track without an artist joins the artist of an exact audio twin, or else is
    a group by itself: it may well be by an artist on the other side, so twins are the only evidence there is.
    """
    keys: dict[str, int] = {}
    by_audio: dict[bytes, int] = {}
    found = np.full(len(data), -1, dtype=np.int64)
    audio = [row.tobytes() for row in np.nan_to_num(np.delete(data.X, [3], axis=1), nan=-1.0)]
    for i, artist in enumerate(data.artist):
        if artist:
            found[i] = keys.setdefault(str(artist), len(keys))
            by_audio.setdefault(audio[i], int(found[i]))
    alone = len(keys)
    for i in np.flatnonzero(found < 0).tolist():
        if audio[i] not in by_audio:
            by_audio[audio[i]] = alone
            alone += 1
        found[i] = by_audio[audio[i]]
    return found


def random(data: Dataset, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) positions of stratified random folds."""
    yield from StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y)


def artist_disjoint(data: Dataset, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) positions of stratified folds that no artist straddles."""
    yield from StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y, groups(data))
