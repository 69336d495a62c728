"""The modules that networks are built of: each takes raw clean features, or the output of another module.

Everything that is fitted (imputer, scaler, projection, weights) is a parameter or a buffer, so the exported graph is
the trained model and scoring repeats nothing in Python. Columns are found by the names in the contract.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor, nn

from genrepipe.model import features
from genrepipe.model.features import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt


def layers(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU, dropout: float = 0.0) -> nn.Sequential:
    """Return linear layers of these sizes, with an activation and dropout between them."""
    modules: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        modules.append(nn.Linear(inputs, outputs))
        if i < len(sizes) - 2:
            modules += [activation()] + ([nn.Dropout(dropout)] if dropout else [])
    return nn.Sequential(*modules)


def select(rows: Tensor, positions: Sequence[int]) -> Tensor:
    """Return these columns, shape (rows, positions): as a slice where they are evenly spaced, which copies nothing."""
    first, last = positions[0], positions[-1]
    step = positions[1] - first if len(positions) > 1 else 1
    if step < 1 or list(positions) != list(range(first, last + 1, step)):
        return rows[:, list(positions)]
    if len(positions) > 1 and last + step >= rows.shape[1]:
        return rows[:, first::step]
    return rows[:, first : last + 1 : step]


class Scaler(nn.Module):
    """Standardise columns by the mean and standard deviation of the fitted rows, and clip at ``limit``."""

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: int, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit = limit
        self.width = columns
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    def fit(self, rows: Tensor) -> None:
        """Take the mean and standard deviation of float rows of shape (rows, columns), computed in float64.

        NaN is left out.
        """
        rows = rows.double()
        mean = rows.nanmean(0)
        self.mean = mean.float()
        self.scale = ((rows - mean) ** 2).nanmean(0).sqrt().clamp_min(1e-12).float()

    def forward(self, rows: Tensor) -> Tensor:
        """Return the standardised rows."""
        rows = (rows - self.mean) / self.scale
        return rows if self.limit == float("inf") else rows.clamp(-self.limit, self.limit)


def _logit(share: Tensor) -> Tensor:
    share = share.clamp(1e-4, 1 - 1e-4)
    return torch.log(share) - torch.log1p(-share)


class Unskewed(nn.Module):
    """Monotone transforms that make the skewed audio features nearly symmetric.

    ``sql/catalogue/profiles.sql`` applies the same transforms before it takes an artist's means and variances.
    """

    limit = 5.0  # standard deviations; values beyond are clipped after scaling
    transforms: ClassVar[dict[str, Callable[[Tensor], Tensor]]] = {
        "acousticness": _logit,
        "energy": _logit,
        "duration_ms": lambda milliseconds: torch.log(milliseconds.clamp_min(1.0)),
        "instrumentalness": lambda share: torch.log(share + 1e-4),
        "liveness": lambda share: torch.log(share + 0.02),
        "speechiness": lambda share: torch.log(share.clamp_min(1e-3)),
        "loudness": lambda decibels: -torch.log1p((5.0 - decibels).clamp_min(0.0)),
    }

    def forward(self, rows: Tensor) -> Tensor:
        """Return the transformed audio features, of the same shape; NaN stays NaN."""
        columns = list(torch.split(rows, 1, dim=1))
        for name, transform in self.transforms.items():
            i = features.position(name)
            columns[i] = transform(columns[i])
        return torch.cat(columns, 1)


class Discriminants(nn.Module):
    """Project onto the first linear discriminants (Fisher 1936), fitted by scikit-learn."""

    center: Tensor
    directions: Tensor

    def __init__(self, columns: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(columns))
        self.register_buffer("directions", torch.zeros(columns, dimensions))

    def fit(self, rows: Tensor, y: npt.NDArray[np.int64]) -> None:
        """Fit on standardised rows of shape (rows, columns) and their labels of shape (rows,)."""
        analysis = LinearDiscriminantAnalysis(n_components=self.directions.shape[1]).fit(rows.double().numpy(), y)
        self.center = torch.from_numpy(analysis.xbar_).float()
        self.directions = torch.from_numpy(analysis.scalings_[:, : self.directions.shape[1]]).float()

    def forward(self, rows: Tensor) -> Tensor:
        """Return discriminants of shape (rows, dimensions)."""
        return (rows - self.center) @ self.directions


class Bottleneck(nn.Module):
    """Learn a projection onto few dimensions: an encoder and a linear map in parallel, then batch normalisation."""

    def __init__(self, columns: int, hidden: Sequence[int], dimensions: int) -> None:
        super().__init__()
        self.encoder = layers((columns, *hidden, dimensions))
        self.linear = nn.Linear(columns, dimensions, bias=False)
        self.norm = nn.BatchNorm1d(dimensions, affine=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return coordinates of shape (rows, dimensions), each with mean 0 and variance 1 over the training data."""
        return cast("Tensor", self.norm(self.encoder(rows) + self.linear(rows)))


class Imputer(nn.Module):
    """Predict audio features that are missing from those that are known.

    It reads standardised features, 0 where they are missing, and a flag for each missing one (Śmieja et al. 2018 and
    others show that networks need to be told).
    """

    hidden = (64, 32)

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.net = layers((2 * columns, *self.hidden, columns))

    def forward(self, standardised: Tensor, missing: Tensor) -> Tensor:
        """Return standardised values of every feature, known or not, of shape (rows, columns).

        Both inputs have that shape; ``missing`` is bool.
        """
        known = torch.where(missing, 0.0, standardised)
        return cast("Tensor", self.net(torch.cat([known, missing.to(known.dtype)], 1)))


class Audio(nn.Module):
    """Audio features (rows, 13): unskewed where ``unskew`` is set, standardised, and NaN imputed.

    With ``flags``, 13 more columns are 1 where a feature was missing. The imputer always reads unskewed features, since
    it is better with them.
    """

    def __init__(self, unskew: bool, flags: bool = False) -> None:
        super().__init__()
        columns = len(features.columns())
        self.unskewed = Unskewed()
        self.unskew, self.flags = unskew, flags
        self.width = 2 * columns if flags else columns
        self.scaler = Scaler(columns, Unskewed.limit if unskew else float("inf"))
        self.read = self.scaler if unskew else Scaler(columns, Unskewed.limit)
        self.imputer = Imputer(columns)

    def fit(self, rows: Tensor) -> None:
        """Take the means and standard deviations of the known features of rows of shape (rows, 13)."""
        unskewed = self.unskewed(rows)
        self.read.fit(unskewed)
        if not self.unskew:
            self.scaler.fit(rows)

    def standardised(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features as the network reads them, and as the imputer does; some number where they are NaN."""
        known = torch.where(torch.isnan(rows), 1.0, rows)
        unskewed = self.unskewed(known)
        if self.unskew:
            return (scaled := self.scaler(unskewed)), scaled
        return self.scaler(known), self.read(unskewed)

    def forward(self, rows: Tensor) -> Tensor:
        """Return standardised features without a NaN, and the flags where the network reads them: (rows, ``width``)."""
        missing = torch.isnan(rows)
        scaled, read = self.standardised(rows)
        filled = torch.where(missing, self.imputer(read, missing), scaled)
        return torch.cat([filled, missing.to(rows.dtype)], 1) if self.flags else filled


def context_features() -> list[str]:
    """Return the audio features of which the artist context holds a mean and a variance, in the contract's order."""
    return [name.removesuffix("_mean") for name in features.columns([CONTEXT]) if name.endswith("_mean")]


CONTEXT_TRACKS = "artist_tracks"


class ArtistContext(nn.Module):
    """Means and variances over an artist's visible tracks (rows, 37), in units of the audio features' scaler.

    Over few tracks a mean says little and a variance less. Both are shrunk: the mean as if one average track had been
    seen as well, the variance as if two tracks with the usual variance within artists had.
    """

    mean: Tensor
    scale: Tensor
    usual: Tensor
    limit = 8.0

    def __init__(self) -> None:
        super().__init__()
        self.features = context_features()
        self.width = 2 * len(self.features) + 2
        for name in ("mean", "scale", "usual"):
            self.register_buffer(name, torch.ones(len(self.features)))

    def fit(self, scaler: Scaler, rows: Tensor) -> None:
        """Take the scaler of the audio features, and the usual variance within artists.

        ``rows`` has the context of each track, shape (rows, 37).
        """
        audio = [features.position(name) for name in self.features]
        self.mean, self.scale = scaler.mean[audio].clone(), scaler.scale[audio].clone()
        rows = rows[self._column(rows, CONTEXT_TRACKS)[:, 0] > 1].double()
        tracks, known = self._column(rows, CONTEXT_TRACKS), self._moments(rows, "count")
        # An artist has one row for each of its tracks; dividing by their number makes each artist count once.
        within = (self._moments(rows, "variance") / self.scale.double() ** 2 * known / tracks).sum(0)
        freedom = ((known - 1).clamp_min(0) / tracks).sum(0)
        self.usual = (within / freedom.clamp_min(1e-9)).clamp_min(1e-6).float()

    @staticmethod
    def _column(rows: Tensor, name: str) -> Tensor:
        return select(rows, [features.position(name, CONTEXT)])

    def _moments(self, rows: Tensor, moment: str) -> Tensor:
        """Return the ``mean``, the ``variance`` or the ``count`` of known values of every feature, shape (rows, 12)."""
        return select(rows, [features.position(f"{name}_{moment}", CONTEXT) for name in self.features])

    def forward(self, rows: Tensor) -> Tensor:
        """Return shrunk means and spreads, half the logarithm of the number of tracks, and whether the artist is missing.

        The shape is (rows, 26); all but the last column is 0 where the artist is missing.
        """
        tracks, known = self._column(rows, CONTEXT_TRACKS), self._moments(rows, "count")
        mean = known * (self._moments(rows, "mean") - self.mean) / self.scale / (known + 1)
        variance = (known * self._moments(rows, "variance") / self.scale**2 + 2 * self.usual) / (known + 1)
        spread = torch.sqrt(variance) - torch.sqrt(self.usual)
        context = torch.cat([mean, spread, 0.5 * torch.log(tracks.clamp_min(1.0))], 1)
        named = (tracks > 0).to(rows.dtype)
        return torch.cat([(context * named).clamp(-self.limit, self.limit), 1 - named], 1)


class Centred(nn.Module):
    """Subtract the mean of the fitted rows. Rare flags are not scaled up, as a ``Scaler`` would."""

    mean: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.width = columns
        self.register_buffer("mean", torch.zeros(columns))

    def fit(self, rows: Tensor) -> None:
        """Take the mean of rows of shape (rows, columns), computed in float64."""
        self.mean = rows.double().mean(0).float()

    def forward(self, rows: Tensor) -> Tensor:
        """Return the centred rows."""
        return rows - self.mean


class KnownLabels(nn.Module):
    """Label counts of an artist's training tracks (rows, classes): smoothed log-odds against chance, and the total."""

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
    """A network that reads the name flags through a narrow projection, and a linear layer from the flags to the logits.

    There are more flags than other inputs and most are rare; as plain inputs the network would overfit them.
    """

    def __init__(self, start: int, flags: int, projection: int, dropout: float, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.start, self.end = start, start + flags
        self.drop = nn.Dropout(dropout)
        self.narrow = nn.Linear(flags, projection)
        self.vote = nn.Linear(flags, classes, bias=False)
        self.net = net

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits of shape (rows, classes)."""
        flags = self.drop(inputs[:, self.start : self.end])
        narrowed = torch.cat([inputs[:, : self.start], self.narrow(flags), inputs[:, self.end :]], 1)
        return cast("Tensor", self.net(narrowed) + self.vote(flags))


class GenreModel(nn.Module):
    """A module for each block of raw inputs, a projection, a network, a temperature and softmax."""

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
        """Number of parameters of the network and a learned projection, as the study counts them."""
        return sum(p.numel() for part in (self.projection, self.net) for p in part.parameters())

    def inputs(self, rows: Tensor) -> Tensor:
        """Return what the network reads, for a raw matrix with the columns of all blocks."""
        parts = torch.split(rows, self.widths, dim=1)
        return torch.cat([block(part) for block, part in zip(self.blocks.values(), parts, strict=True)], 1)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return logits of shape (rows, classes) for the output of ``inputs``."""
        return cast("Tensor", self.net(self.projection(inputs)))

    def forward(self, rows: Tensor) -> Tensor:
        """Return probabilities of shape (rows, classes) for a raw matrix with the columns of all blocks."""
        return torch.softmax(self.logits(self.inputs(rows)) / self.temperature, 1)
