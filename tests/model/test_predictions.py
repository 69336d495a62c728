"""Genre sets hold the genres that reach the threshold of the track's bucket."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe.model import predictions
from genrepipe.model.bundle import GenreSets


def test_genre_sets_by_hand() -> None:
    labels = ["A", "B", "C"]
    sets = GenreSets(coverage=0.9, visible_from=(0, 2, 5, 20), thresholds=(0.3, 0.25, 0.6, 0.2))
    p = np.array(
        [[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.4, 0.35, 0.25], [0.2, 0.35, 0.45], [0.34, 0.33, 0.33]], np.float32
    )
    given_sets = predictions.genre_sets(p, np.array([0, 1, 4, 19, 20]), labels, sets)
    assert given_sets.to_list() == [["B", "C"], ["B", "C"], ["A", "B", "C"], ["C"], ["A", "B", "C"]]


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=4, max_size=4), min_size=1, max_size=20), st.integers(0, 50))
@settings(deadline=None)
def test_a_genre_set_is_what_the_threshold_says(rows: list[list[float]], visible: int) -> None:
    labels = ["A", "B", "C", "D"]
    p = np.array(rows, np.float32)
    p /= p.sum(1, keepdims=True)
    limits = (0.4, 0.3, 0.2, 0.1)
    sets = GenreSets(coverage=0.9, visible_from=(0, 2, 5, 20), thresholds=limits)
    limit = np.float32(limits[sum(visible >= start for start in (2, 5, 20))])
    given_sets = predictions.genre_sets(p, np.full(len(p), visible), labels, sets)
    for row, members in zip(p, given_sets.to_list(), strict=True):
        assert set(members) == {labels[i] for i in range(4) if row[i] >= limit} | {labels[int(row.argmax())]}
        ranked = [row[labels.index(genre)] for genre in members]
        assert ranked == sorted(ranked, reverse=True)
