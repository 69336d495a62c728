"""Score a CSV with Polars, onnxruntime and DuckDB: ``python -m tests.bench.peers.polars_onnx TRACKS FOLDER OUT``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb
import numpy as np
import onnxruntime
import polars as pl

AUDIO = [
    "popularity", "acousticness", "danceability", "duration_ms", "energy", "instrumentalness", "key", "liveness", "loudness", "mode",
    "speechiness", "tempo", "valence",
]  # fmt: skip
NUMBERS = [name for name in AUDIO if name not in ("key", "mode")]
KEYS = ["A", "A#", "B", "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#"]
BATCH = 65_536


def read(path: str) -> pl.DataFrame:
    """Read the tracks, clean them, and put what the artist's tracks say together beside each."""
    tracks = (
        pl.scan_csv(path, null_values=["?", "empty_field"], schema_overrides={"instance_id": pl.String} | dict.fromkeys(NUMBERS, pl.Float32))
        .filter(pl.col("instance_id").is_not_null())
        .unique("instance_id", keep="last", maintain_order=True)
        .with_columns(
            pl.col("instance_id").str.strip_suffix(".0"),
            pl.when(pl.col("duration_ms") >= 0).then("duration_ms"),
            pl.col("key").replace_strict(KEYS, range(len(KEYS)), default=None, return_dtype=pl.Float32),
            (pl.col("mode") == "Minor").cast(pl.Float32),
        )
    )  # fmt: skip
    tracks = tracks.with_columns(pl.col("duration_ms").fill_null(pl.col("duration_ms").median().over("artist_name")))
    tracks = tracks.with_columns(pl.col("duration_ms", "tempo", "key").fill_null(strategy="mean")).collect()
    known = tracks.group_by("artist_name").agg(
        pl.col(NUMBERS).mean().name.suffix("_mean"), pl.col(NUMBERS).var(ddof=0).name.suffix("_variance"), pl.len().cast(pl.Float32).alias("tracks")
    )  # fmt: skip
    return tracks.join(known, on="artist_name", how="left", nulls_equal=False, maintain_order="left")


def main(tracks: str, folder: str, out: str) -> None:
    """Score, and write the predictions into a DuckDB file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(Path(folder, "network.onnx"), options)
    genres = Path(folder, "genres.txt").read_text().split("\n")
    frame = read(tracks)
    inputs = [*AUDIO, *(f"{name}_mean" for name in NUMBERS), *(f"{name}_variance" for name in NUMBERS), "tracks"]
    X = np.ascontiguousarray(frame.select(pl.col(inputs).cast(pl.Float32).fill_null(0)).to_numpy())
    probabilities = np.concatenate(
        [session.run(None, {"features": X[start : start + BATCH]})[0] for start in range(0, len(X), BATCH)]
    )
    best = probabilities.argmax(1)
    predictions = frame.select(
        "instance_id", "artist_name", "track_name", genre=pl.Series(genres).gather(best),
        probability=pl.Series(probabilities[np.arange(len(best)), best]),
        probabilities=pl.struct(pl.Series(genre, probabilities[:, i].copy()) for i, genre in enumerate(genres)),
    )  # fmt: skip
    with duckdb.connect(out) as database:
        rows = database.from_arrow(predictions)
        rows.query("predicted", "CREATE TABLE predictions AS FROM predicted")


if __name__ == "__main__":
    main(*sys.argv[1:])
