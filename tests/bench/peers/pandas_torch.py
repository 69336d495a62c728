"""Score a CSV with pandas, scikit-learn and torch: ``python -m tests.bench.peers.pandas_torch TRACKS FOLDER OUT``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

AUDIO = [
    "popularity", "acousticness", "danceability", "duration_ms", "energy", "instrumentalness", "key", "liveness", "loudness", "mode",
    "speechiness", "tempo", "valence",
]  # fmt: skip
NUMBERS = [name for name in AUDIO if name not in ("key", "mode")]
KEYS = {key: number for number, key in enumerate(["A", "A#", "B", "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#"])}
BATCH = 65_536


def network(inputs: int, genres: int) -> torch.nn.Module:
    """Return the network."""
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU(), torch.nn.Linear(64, genres)
    )  # fmt: skip


def read(path: str) -> pd.DataFrame:
    """Read the tracks, and clean them."""
    frame = pd.read_csv(path, na_values={"tempo": ["?"], "artist_name": ["empty_field"]}, dtype={"instance_id": str})
    frame = frame.dropna(subset=["instance_id"]).drop_duplicates("instance_id", keep="last")
    frame["instance_id"] = frame["instance_id"].str.removesuffix(".0")
    frame["duration_ms"] = frame["duration_ms"].where(frame["duration_ms"] >= 0)
    frame["key"] = frame["key"].map(KEYS)
    frame["mode"] = (frame["mode"] == "Minor").astype(float)
    artists = frame.groupby("artist_name")["duration_ms"]
    frame["duration_ms"] = frame["duration_ms"].fillna(artists.transform("median"))
    medians = frame[["duration_ms", "tempo", "key"]].median()
    return frame.fillna(medians)


def features(frame: pd.DataFrame) -> np.ndarray:
    """Return the audio features, and what the artist's tracks say together, float32 of shape (tracks, columns)."""
    artists = frame.groupby("artist_name")[NUMBERS]
    known = pd.concat(
        [
            artists.mean().add_suffix("_mean"),
            artists.var(ddof=0).add_suffix("_variance"),
            artists.size().rename("tracks"),
        ],
        axis=1,
    )
    joined = frame[["artist_name", *AUDIO]].join(known, on="artist_name").drop(columns="artist_name")
    return joined.fillna(0).to_numpy(np.float32)


def main(tracks: str, folder: str, out: str) -> None:
    """Score, and write the predictions as Parquet."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    scaler, genres = joblib.load(Path(folder, "scaler.joblib"))
    frame = read(tracks)
    X = scaler.transform(features(frame)).astype(np.float32)
    model = network(X.shape[1], len(genres))
    model.load_state_dict(torch.load(Path(folder, "network.pt")))
    model.eval()
    with torch.inference_mode():
        probabilities = torch.cat(
            [torch.softmax(model(batch), 1) for batch in torch.from_numpy(X).split(BATCH)]
        ).numpy()
    best = probabilities.argmax(1)
    predictions = frame[["instance_id", "artist_name", "track_name"]].assign(
        genre=np.array(genres)[best], probability=probabilities[np.arange(len(best)), best]
    )
    predictions[genres] = probabilities
    predictions.to_parquet(out, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
