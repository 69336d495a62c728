"""Flips name the cause of a changed genre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support import (
    DAY,
    NEXT,
    ask,
    score,
    track,
    tracks,
    write_csv,
)

CLASSICAL = {"energy": "0.02", "acousticness": "0.99", "instrumentalness": "0.9", "popularity": "20", "loudness": "-28"}


FREE = ("--limit", "flipped_percent=100")


def flips(warehouse: Path) -> list[dict[str, Any]]:
    return ask(warehouse, "FROM flips ORDER BY track_id")


def test_a_flip_names_the_changed_input(tmp_path: Path) -> None:
    warehouse, alone = tmp_path / "w.duckdb", {"artist_name": "empty_field"}
    score(write_csv(tmp_path / "t.csv", tracks(20, **alone)), warehouse)
    rows = [track(i, **alone, **(CLASSICAL if i == 7 else {})) for i in range(1, 21)]
    assert score(write_csv(tmp_path / "t.csv", rows), warehouse, NEXT)["flips"] == 1
    (flip,) = flips(warehouse)
    assert (flip["track_id"], flip["cause"], flip["date_before"]) == ("7", "input", DAY)
    assert set(flip["changed"]) == set(CLASSICAL)
    assert flip["genre"] != flip["genre_before"]
    (check,) = ask(warehouse, f"FROM checks WHERE name = 'flipped_percent' AND run_date = '{NEXT}'")
    assert check["observed"] == pytest.approx(5)


def test_a_flip_names_the_changed_artist(tmp_path: Path) -> None:
    """The track itself stays; its artist turns out to make other music."""
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", [track(1), *(track(i, artist_name="B") for i in range(2, 40))]), warehouse)
    more = [track(1), *(track(i, **CLASSICAL) for i in range(100, 160))]
    score(write_csv(tmp_path / "t.csv", more), warehouse, NEXT, *FREE)
    (flip,) = (flip for flip in flips(warehouse) if flip["track_id"] == "1")
    assert (flip["cause"], flip["changed"]) == ("artist context", [])


def test_a_flip_names_the_changed_imputation(tmp_path: Path) -> None:
    """A net that sees no artist context; the duration of one track is the median of its artist's others."""
    warehouse = tmp_path / "w.duckdb"
    some = [track(i, artist_name=f"A{i % 40}", duration_ms="60000", energy=f"{i / 400}") for i in range(1, 321)]
    guessed = [track(1000 + i, artist_name=f"A{i}", duration_ms="-1", energy=f"{i / 41}") for i in range(40)]
    model = ("--model", "all-features", *FREE)
    score(write_csv(tmp_path / "t.csv", [*some, *guessed]), warehouse, DAY, *model)
    longer = [row | {"duration_ms": "1200000"} for row in some]
    score(write_csv(tmp_path / "t.csv", [*longer, *guessed]), warehouse, NEXT, *model)
    causes = {flip["cause"] for flip in flips(warehouse) if int(flip["track_id"]) >= 1000}
    assert causes == {"imputation"}
    assert {flip["cause"] for flip in flips(warehouse) if int(flip["track_id"]) < 1000} == {"input"}


def test_a_flip_names_the_changed_model_and_is_not_held_against_it(tmp_path: Path, sample: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(sample, warehouse)
    assert score(sample, warehouse, NEXT, "--model", "lda-2d")["flips"] > 600
    assert {flip["cause"] for flip in flips(warehouse)} == {"model"}


def test_an_unchanged_night_has_no_flips(tmp_path: Path, sample: Path) -> None:
    score(sample, tmp_path / "w.duckdb")
    assert score(sample, tmp_path / "w.duckdb", NEXT)["flips"] == 0


def test_a_difference_that_is_noise_is_called_so(tmp_path: Path) -> None:
    """A stored answer of before is altered to what rounding could have made of it."""

    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    score(source, warehouse)
    with duckdb.connect(warehouse) as connection:
        connection.execute(
            "UPDATE prediction_history SET genre = runner_up, probability = runner_up_probability WHERE track_id = '3'"
        )
    score(source, warehouse, NEXT, *FREE, "--force")  # or else it would be continued as it is
    assert [(flip["track_id"], flip["cause"]) for flip in flips(warehouse)] == [("3", "numeric noise")]
