"""Differences between two bundles, and their intervals, against plain definitions."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from genrepipe.quality.comparison import NORMAL_95, differences

LABELS, ARTISTS = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 1, 2, 2, 4])
BEFORE = np.array([0.9, 0.4, 0.2, 0.6, 0.5, 0.7])  # of genre 0
AFTER = np.array([0.8, 0.6, 0.3, 0.3, 0.6, 0.2])


def area(ours: list[float], others: list[float]) -> float:
    return float(np.mean([(a > b) + (a == b) / 2 for a in ours for b in others]))


def added(p: np.ndarray, genre: int) -> list[float]:
    """What each track adds to the area of a genre: its own share of won pairs, beside the mean of all."""
    ours, others = p[genre == LABELS].tolist(), p[genre != LABELS].tolist()
    whole = area(ours, others)
    return [
        (area([value], others) - whole) / len(ours) if label == genre else (area(ours, [value]) - whole) / len(others)
        for value, label in zip(p.tolist(), LABELS, strict=True)
    ]


def width(by_track: list[float]) -> float:
    sums: dict[int, float] = defaultdict(float)
    for artist, value in zip(ARTISTS.tolist(), by_track, strict=True):
        sums[artist] += value
    return NORMAL_95 * float(np.sqrt(len(sums) / (len(sums) - 1) * sum(each**2 for each in sums.values())))


def test_intervals_are_those_of_sums_by_artist() -> None:
    accuracy, auroc = differences(LABELS, ARTISTS, np.stack([BEFORE, 1 - BEFORE], 1), np.stack([AFTER, 1 - AFTER], 1))
    # Right before: 1 0 1 0 0 1, where 0.5 is genre 0; after: 1 1 1 1 0 0. The tracks differ by 0 1 0 1 0 -1, a sixth on average.
    assert (accuracy.before, accuracy.after) == (3 / 6, 4 / 6)
    by_artist = [(1 - 2 / 6) / 6, (0 - 1 / 6) / 6, (1 - 2 / 6) / 6, (-1 - 1 / 6) / 6]
    assert accuracy.width == pytest.approx(NORMAL_95 * np.sqrt(4 / 3 * sum(each**2 for each in by_artist)))
    assert (accuracy.low + accuracy.high) / 2 == pytest.approx(accuracy.difference) == pytest.approx(1 / 6)

    def macro(p: np.ndarray) -> tuple[float, list[float]]:
        genres = [(p, 0), (1 - p, 1)]
        areas = [area(q[genre == LABELS].tolist(), q[genre != LABELS].tolist()) for q, genre in genres]
        return float(np.mean(areas)), np.mean([added(q, genre) for q, genre in genres], axis=0).tolist()

    (before, old), (after, new) = macro(BEFORE), macro(AFTER)
    assert (auroc.before, auroc.after) == (pytest.approx(before), pytest.approx(after))
    assert auroc.width == pytest.approx(width([b - a for a, b in zip(old, new, strict=True)]))


def test_the_same_answers_do_not_differ_and_one_genre_has_no_area() -> None:
    same = np.stack([BEFORE, 1 - BEFORE], 1)
    for each in differences(LABELS, ARTISTS, same, same):
        assert (each.difference, each.low, each.high) == (0, 0, 0)
    assert [each.measure for each in differences(LABELS * 0, ARTISTS, same, same)] == ["accuracy"]
