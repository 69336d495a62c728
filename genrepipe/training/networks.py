"""The networks, whole: from raw clean features with a missing tempo to probabilities, in one module each.

All that is fitted (imputer, scaler, weights) lives in the module's parameters and buffers, so that what is exported
is what was trained, and nothing has to be repeated in Python at scoring time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor, nn

from genrepipe.training.dataset import TEMPO

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

FEATURES = 13
ACOUSTICNESS, DURATION, ENERGY, INSTRUMENTALNESS, LIVENESS, LOUDNESS, SPEECHINESS = 1, 3, 4, 5, 7, 8, 10


def layers(sizes: Sequence[int]) -> nn.Sequential:
    """Return linear layers of these sizes with ReLU between them."""
    modules: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        modules += [nn.Linear(inputs, outputs)] + ([nn.ReLU()] if i < len(sizes) - 2 else [])
    return nn.Sequential(*modules)


class Scaler(nn.Module):
    """Standardise columns by the mean and standard deviation of the rows that ``fit`` saw, and clip at ``limit``."""

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: int, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    def fit(self, rows: Tensor) -> None:
        """Take mean and standard deviation of float rows of shape (rows, columns), in float64."""
        rows = rows.double()
        self.mean = rows.mean(0).float()
        self.scale = rows.std(0, correction=0).clamp_min(1e-12).float()

    def forward(self, rows: Tensor) -> Tensor:
        """Return the standardised rows."""
        rows = (rows - self.mean) / self.scale
        return rows if self.limit == float("inf") else rows.clamp(-self.limit, self.limit)


class Unskewed(nn.Module):
    """Monotone transforms that make the skewed features nearly symmetric; the order of tracks stays in each."""

    limit = 5.0  # standard deviations; what lies beyond is an outlier that says no more

    def forward(self, rows: Tensor) -> Tensor:
        """Return transformed rows of the same shape, (rows, 13); the tempo stays as it is, NaN included."""
        columns = list(torch.split(rows, 1, dim=1))
        for i in (ACOUSTICNESS, ENERGY):
            share = columns[i].clamp(1e-4, 1 - 1e-4)
            columns[i] = torch.log(share) - torch.log1p(-share)
        columns[DURATION] = torch.log(columns[DURATION].clamp_min(1.0))
        columns[INSTRUMENTALNESS] = torch.log(columns[INSTRUMENTALNESS] + 1e-4)
        columns[LIVENESS] = torch.log(columns[LIVENESS] + 0.02)
        columns[SPEECHINESS] = torch.log(columns[SPEECHINESS].clamp_min(1e-3))
        columns[LOUDNESS] = -torch.log1p((5.0 - columns[LOUDNESS]).clamp_min(0.0))
        return torch.cat(columns, 1)


class Discriminants(nn.Module):
    """Project onto the first linear discriminants (Fisher 1936, as scikit-learn fits them)."""

    center: Tensor
    directions: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(FEATURES))
        self.register_buffer("directions", torch.zeros(FEATURES, dimensions))

    def fit(self, rows: Tensor, y: npt.NDArray[np.int64]) -> None:
        """Take the discriminants of standardised rows of shape (rows, 13) and their labels."""
        found = LinearDiscriminantAnalysis(n_components=self.directions.shape[1]).fit(rows.double().numpy(), y)
        self.center = torch.from_numpy(found.xbar_).float()
        self.directions = torch.from_numpy(found.scalings_[:, : self.directions.shape[1]]).float()

    def forward(self, rows: Tensor) -> Tensor:
        """Return discriminants of shape (rows, dimensions)."""
        return (rows - self.center) @ self.directions


class Bottleneck(nn.Module):
    """Learn a projection onto few dimensions: an encoder beside a linear map, then batch normalisation."""

    def __init__(self, hidden: Sequence[int], dimensions: int) -> None:
        super().__init__()
        self.encoder = layers((FEATURES, *hidden, dimensions))
        self.linear = nn.Linear(FEATURES, dimensions, bias=False)
        self.norm = nn.BatchNorm1d(dimensions, affine=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return coordinates of shape (rows, dimensions), each with mean 0 and variance 1 over the training data."""
        return cast("Tensor", self.norm(self.encoder(rows) + self.linear(rows)))


class TempoImputer(nn.Module):
    """Predict the tempo from the 12 other features, unskewed (32 and 16 hidden units)."""

    center: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scaler = Scaler(FEATURES - 1, Unskewed.limit)
        self.net = layers((FEATURES - 1, 32, 16, 1))
        self.register_buffer("center", torch.zeros(1))
        self.register_buffer("spread", torch.ones(1))

    @staticmethod
    def others(unskewed: Tensor) -> Tensor:
        """Return every feature but the tempo, shape (rows, 12)."""
        return torch.cat([unskewed[:, :TEMPO], unskewed[:, TEMPO + 1 :]], 1)

    def forward(self, unskewed: Tensor) -> Tensor:
        """Return tempos in beats per minute, shape (rows,), for unskewed rows of shape (rows, 13), known or not."""
        return cast("Tensor", self.net(self.scaler(self.others(unskewed))).squeeze(1) * self.spread + self.center)


class GenreModel(nn.Module):
    """Imputer, transform, scaler, projection, network, softmax."""

    def __init__(self, imputer: TempoImputer, unskew: bool, projection: nn.Module, net: nn.Module) -> None:
        super().__init__()
        self.imputer = imputer
        self.unskewed = Unskewed()
        self.unskew = unskew
        self.scaler = Scaler(FEATURES, Unskewed.limit if unskew else float("inf"))
        self.projection = projection
        self.net = net

    @property
    def trainable(self) -> int:
        """Number of parameters of the network and what it learned to project, as the study counts them."""
        return sum(p.numel() for part in (self.projection, self.net) for p in part.parameters())

    def inputs(self, rows: Tensor) -> Tensor:
        """Return rows of shape (rows, 13) with the tempo filled, unskewed where the recipe says so, not yet scaled."""
        tempo = rows[:, TEMPO]
        unskewed = self.unskewed(rows)
        filled = torch.where(torch.isnan(tempo), self.imputer(unskewed), tempo)
        base = unskewed if self.unskew else rows
        return torch.cat([base[:, :TEMPO], filled[:, None], base[:, TEMPO + 1 :]], 1)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return logits of shape (rows, classes) for what ``inputs`` returned."""
        return cast("Tensor", self.net(self.projection(self.scaler(inputs))))

    def forward(self, rows: Tensor) -> Tensor:
        """Return probabilities of shape (rows, classes) for raw clean features of shape (rows, 13)."""
        return torch.softmax(self.logits(self.inputs(rows)), 1)
