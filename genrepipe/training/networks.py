"""The parts of the networks: each takes raw clean features, or what another part made of them.

All that is fitted (imputer, scaler, projection, weights) lives in parameters and buffers, so that what is exported is
what was trained, and nothing has to be repeated in Python at scoring time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor, nn

from genrepipe.training.dataset import DURATION, KEY, TEMPO

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

FEATURES = 13
ACOUSTICNESS, ENERGY, INSTRUMENTALNESS, LIVENESS, LOUDNESS, SPEECHINESS = 1, 4, 5, 7, 8, 10


def layers(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU, dropout: float = 0.0) -> nn.Sequential:
    """Return linear layers of these sizes, an activation and dropout between them."""
    modules: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        modules.append(nn.Linear(inputs, outputs))
        if i < len(sizes) - 2:
            modules += [activation()] + ([nn.Dropout(dropout)] if dropout else [])
    return nn.Sequential(*modules)


class Scaler(nn.Module):
    """Standardise columns by the mean and standard deviation of the rows that ``fit`` saw, and clip at ``limit``."""

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: int, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit = limit
        self.width = columns
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


class Audio(nn.Module):
    """Audio features (rows, 13): the missing tempo imputed, unskewed where the recipe says so, scaled."""

    def __init__(self, imputer: TempoImputer, unskew: bool) -> None:
        super().__init__()
        self.imputer = imputer
        self.unskewed = Unskewed()
        self.unskew = unskew
        self.scaler = Scaler(FEATURES, Unskewed.limit if unskew else float("inf"))
        self.width = FEATURES

    def filled(self, rows: Tensor) -> Tensor:
        """Return rows of shape (rows, 13) with the tempo filled, not yet scaled."""
        tempo = rows[:, TEMPO]
        unskewed = self.unskewed(rows)
        filled = torch.where(torch.isnan(tempo), self.imputer(unskewed), tempo)
        base = unskewed if self.unskew else rows
        return torch.cat([base[:, :TEMPO], filled[:, None], base[:, TEMPO + 1 :]], 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scaled features of shape (rows, 13)."""
        return cast("Tensor", self.scaler(self.filled(rows)))


class ArtistContext(nn.Module):
    """What an artist's visible tracks say together (rows, 27), in units of the audio's scaler; the key apart.

    With few tracks a mean says little and a variance less, so both are drawn towards what is usual: the mean as if one
    average track had been seen beside them, the variance as if two tracks' worth of the usual variance within artists.
    """

    mean: Tensor
    scale: Tensor
    usual: Tensor
    width = 2 * (FEATURES - 1) + 2
    limit = 8.0

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean", "scale", "usual"):
            self.register_buffer(name, torch.ones(FEATURES - 1))

    def fit(self, scaler: Scaler, rows: Tensor) -> None:
        """Take the audio's scaler, and the usual variance from contexts of shape (rows, 27), one for each track."""
        others = [i for i in range(FEATURES) if i != KEY]
        self.mean, self.scale = scaler.mean[others].clone(), scaler.scale[others].clone()
        rows = rows[rows[:, 0] > 1].double()
        known = self._known(rows)
        within = (rows[:, 4::2] / self.scale.double() ** 2 * known / rows[:, :1]).sum(0)
        freedom = ((known - 1).clamp_min(0) / rows[:, :1]).sum(0)
        # Each artist counts once for each of its tracks here, and is divided by them.
        self.usual = (within / freedom.clamp_min(1e-9)).clamp_min(1e-6).float()

    @staticmethod
    def _known(rows: Tensor) -> Tensor:
        tracks, durations, tempos = rows[:, 0:1], rows[:, 1:2], rows[:, 2:3]
        columns = [tracks] * (FEATURES - 1)
        columns[DURATION], columns[TEMPO - 1] = durations, tempos
        return torch.cat(columns, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return means, spreads, half the logarithm of the number of tracks, and whether there is no artist."""
        tracks, known = rows[:, 0:1], self._known(rows)
        mean = known * (rows[:, 3::2] - self.mean) / self.scale / (known + 1)
        variance = (known * rows[:, 4::2] / self.scale**2 + 2 * self.usual) / (known + 1)
        spread = torch.sqrt(variance) - torch.sqrt(self.usual)
        seen = torch.cat([mean, spread, 0.5 * torch.log(tracks.clamp_min(1.0))], 1)
        named = (tracks > 0).to(rows.dtype)
        return torch.cat([(seen * named).clamp(-self.limit, self.limit), 1 - named], 1)


class Centred(nn.Module):
    """Flags minus their mean: a rare one is not blown up, as a scaler would."""

    mean: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.width = columns
        self.register_buffer("mean", torch.zeros(columns))

    def fit(self, rows: Tensor) -> None:
        """Take the mean of rows of shape (rows, columns)."""
        self.mean = rows.double().mean(0).float()

    def forward(self, rows: Tensor) -> Tensor:
        """Return centred rows."""
        return rows - self.mean


class KnownLabels(nn.Module):
    """Labels of an artist's training tracks (rows, classes): their smoothed log-odds over chance, and how many."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.width = classes + 1

    def forward(self, rows: Tensor) -> Tensor:
        """Return features of shape (rows, classes + 1); all zero where no label is known."""
        total = rows.sum(1, keepdim=True)
        share = (rows + 0.15) / (total + 0.15 * self.classes)
        return torch.cat([0.7 * torch.log(share * self.classes), 0.5 * torch.log1p(total)], 1)


class WithFlags(nn.Module):
    """A network beside which the flags vote for genres directly, and which sees them through a narrow projection.

    There are more flags than the other inputs together and most are rare: taken whole they are learned by heart.
    """

    def __init__(self, start: int, flags: int, projection: int, dropped: float, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.start, self.end = start, start + flags
        self.drop = nn.Dropout(dropped)
        self.narrow = nn.Linear(flags, projection)
        self.vote = nn.Linear(flags, classes, bias=False)
        self.net = net

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits of shape (rows, classes)."""
        flags = self.drop(inputs[:, self.start : self.end])
        seen = torch.cat([inputs[:, : self.start], self.narrow(flags), inputs[:, self.end :]], 1)
        return cast("Tensor", self.net(seen) + self.vote(flags))


class GenreModel(nn.Module):
    """Blocks of raw inputs side by side, a projection, a network, a temperature, softmax."""

    temperature: Tensor

    def __init__(
        self, blocks: dict[str, nn.Module], widths: Sequence[int], projection: nn.Module, net: nn.Module
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(blocks)
        self.widths = list(widths)
        self.projection = projection
        self.net = net
        self.register_buffer("temperature", torch.ones(1))

    @property
    def trainable(self) -> int:
        """Number of parameters of the network and what it learned to project, as the study counts them."""
        return sum(p.numel() for part in (self.projection, self.net) for p in part.parameters())

    def inputs(self, rows: Tensor) -> Tensor:
        """Return what the network learns from, for a raw matrix of the widths of all blocks."""
        parts = torch.split(rows, self.widths, dim=1)
        return torch.cat([block(part) for block, part in zip(self.blocks.values(), parts, strict=True)], 1)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return logits of shape (rows, classes) for what ``inputs`` returned."""
        return cast("Tensor", self.net(self.projection(inputs)))

    def forward(self, rows: Tensor) -> Tensor:
        """Return probabilities of shape (rows, classes) for raw clean features."""
        return torch.softmax(self.logits(self.inputs(rows)) / self.temperature, 1)
