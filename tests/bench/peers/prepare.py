"""Train the peers' network on labelled tracks: ``python -m tests.bench.peers.prepare TRACKS FOLDER``.

Its inputs are the audio features and their means and variances over the artist's tracks; it is about as large as the champion.
The folder gets ``scaler.joblib`` and ``network.pt`` for the one peer, ``network.onnx``, with the scaler in it, for the other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from tests.bench.peers import pandas_torch


class Scaled(torch.nn.Module):
    """A network whose inputs are standardised in the graph."""

    def __init__(self, scaler: StandardScaler, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self.mean = torch.tensor(scaler.mean_, dtype=torch.float32)
        self.scale = torch.tensor(scaler.scale_, dtype=torch.float32)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return probabilities."""
        return torch.softmax(self.network((features - self.mean) / self.scale), 1)


def main(tracks: str, folder: str) -> None:
    """Train, and write the files."""
    torch.manual_seed(0)
    frame = pandas_torch.read(tracks)
    frame = frame[frame["music_genre"].notna()].reset_index(drop=True)
    X = pandas_torch.features(frame)
    genres = sorted(frame["music_genre"].unique())
    y = torch.from_numpy(frame["music_genre"].map(genres.index).to_numpy())
    scaler = StandardScaler().fit(X)
    scaled = torch.from_numpy(scaler.transform(X).astype(np.float32))
    network = pandas_torch.network(X.shape[1], len(genres))
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(5):
        for batch in torch.randperm(len(y)).split(512):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(scaled[batch]), y[batch]).backward()
            optimiser.step()
    network.eval()
    joblib.dump((scaler, genres), Path(folder, "scaler.joblib"))
    torch.save(network.state_dict(), Path(folder, "network.pt"))
    torch.onnx.export(
        Scaled(scaler, network).eval(), (scaled[:16],), Path(folder, "network.onnx"), input_names=["features"],
        output_names=["probabilities"], dynamic_shapes=({0: torch.export.Dim("rows")},), verbose=False,
    )  # fmt: skip
    Path(folder, "genres.txt").write_text("\n".join(genres))


if __name__ == "__main__":
    main(*sys.argv[1:])
