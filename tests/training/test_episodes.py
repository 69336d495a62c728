"""What an epoch shows of an artist: parts of its tracks, and labels of other tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from genrepipe.model import features
from genrepipe.model.features import CONTEXT
from genrepipe.training import episodes

if TYPE_CHECKING:
    from genrepipe.training.dataset import Dataset


def test_the_context_of_all_tracks_is_the_context_that_sql_computes(data: Dataset) -> None:
    tracks = episodes.Discographies(data, np.arange(len(data)))
    context = tracks.context(episodes.cut(tracks.artist, episodes.ALL, np.random.default_rng(0)))
    assert np.allclose(context, data.block(CONTEXT), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_an_episode_shows_no_more_tracks_than_its_size(data: Dataset, size: int) -> None:
    tracks = episodes.Discographies(data, np.arange(len(data)))
    parts = episodes.cut(tracks.artist, size, np.random.default_rng(1))
    assert np.bincount(parts).max() == size
    for part in np.unique(parts)[:200]:
        assert len(set(tracks.artist[parts == part])) == 1
    context = dict(zip(features.columns([CONTEXT]), tracks.context(parts).T, strict=True))
    named = tracks.artist >= 0
    assert set(context["artist_tracks"][named]) <= set(range(1, size + 1))
    assert not any(column[~named].any() for column in context.values())
    if size == 1:
        assert np.allclose(context["popularity_mean"][named], data.X[named, features.position("popularity")])
        assert not any(column.any() for name, column in context.items() if name.endswith("_variance"))


def test_label_counts_by_hand() -> None:
    artist, y = np.array([0, 0, 0, 1, -1, -1]), np.array([2, 2, 1, 0, 1, 1])
    counts = episodes.label_counts(artist, y, np.ones(6, np.bool_), 3)
    assert counts.tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    shown = np.array([True, False, False, True, True, False])
    assert episodes.label_counts(artist, y, shown, 3).tolist() == [
        [0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0],
    ]  # fmt: skip
