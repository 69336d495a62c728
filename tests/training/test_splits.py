"""Splits: artists and twins are on one side, and every track is tested once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from genrepipe.model import features
from genrepipe.training import splits

if TYPE_CHECKING:
    from genrepipe.training.dataset import Dataset


def test_no_artist_is_on_both_sides_of_the_artist_disjoint_split(data: Dataset) -> None:
    tested = []
    for train, test in splits.artist_disjoint(data, 0):
        assert set(data.artist[train]) & set(data.artist[test]) <= {""}
        tested.append(test)
    assert sorted(np.concatenate(tested)) == list(range(len(data)))


def test_many_artists_are_on_both_sides_of_the_random_split(data: Dataset) -> None:
    shared = [set(data.artist[train]) & set(data.artist[test]) for train, test in splits.random(data, 0)]
    assert all(len(artists) > 50 for artists in shared)


def test_no_twin_is_on_both_sides_of_the_split_that_keeps_them_apart(data: Dataset) -> None:
    for train, test in splits.random_twins_apart(data, 0):
        assert not set(data.twins[train]) & set(data.twins[test])


def test_a_track_without_an_artist_is_grouped_with_its_twin(data: Dataset) -> None:
    untwinned = np.flatnonzero(np.bincount(data.twins)[data.twins] == 1)[:3]
    pairs = replace(
        data,
        X=np.repeat(data.X[untwinned], 2, axis=0),
        artist=np.array(["a", "", "", "", "b", "a"]),
        y=np.zeros(6, np.int64),
    )
    a, twin_of_a, alone, twin_of_alone, b, a_again = splits.groups(pairs)
    assert a == twin_of_a == a_again
    assert alone == twin_of_alone
    assert len({a, alone, b}) == 3


def test_twins_have_the_same_audio_whatever_their_popularity_duration_and_tempo(data: Dataset) -> None:
    X = np.repeat(data.X[:1], 4, axis=0)
    for name, value in (("popularity", 77), ("duration_ms", 88_000), ("tempo", np.nan)):
        X[1, features.position(name)] = value
    X[2, features.position("energy")] += 0.1
    X[3, features.position("key")] += 1
    first, twin, louder, transposed = replace(data, X=X).twins
    assert first == twin
    assert len({first, louder, transposed}) == 3


def test_validation_rows_are_those_of_some_train_artists(data: Dataset) -> None:
    rows, test = next(splits.artist_disjoint(data, 0))
    train, validation = splits.validation(data, rows, 0)
    assert sorted(np.concatenate([train, validation])) == sorted(rows)
    groups = splits.groups(data)
    assert not set(groups[train]) & set(groups[validation])
    assert not set(validation) & set(test)
    assert 0.02 < len(validation) / len(rows) < 0.1
