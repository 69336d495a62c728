"""Made-up catalogues: deterministic, and as messy as the facts say."""

from __future__ import annotations

import pytest

from genrepipe.synthetic import tracks as samples


def test_the_sample_is_deterministic_and_as_messy_as_the_facts_say() -> None:
    first, again, other = samples.make(4000, 5), samples.make(4000, 5), samples.make(4000, 6)
    assert first.equals(again)
    assert not first.equals(other)
    assert len(first) == 4001
    assert 0.07 < (first["tempo"] == "?").mean() < 0.13  # type: ignore[operator]
    assert 0.07 < (first["duration_ms"] == "-1.0").mean() < 0.13  # type: ignore[operator]
    assert 0.03 < (first["artist_name"] == "empty_field").mean() < 0.08  # type: ignore[operator]
    assert first["music_genre"].n_unique() == 11
    assert first["artist_name"].n_unique() < 3000
    assert first["instance_id"].drop_nulls().n_unique() == 4000


@pytest.mark.parametrize("rows", [1, 2, 17])
def test_small_samples_work(rows: int) -> None:
    assert len(samples.make(rows, 0)) == rows + 1
