"""Two bundles on the same labelled tracks: by how much one is better than the other, and how sure that is.

Both answer every track, and tracks of an artist resemble each other, so the interval of a difference is that of paired
answers in clusters, an artist each: of the share of right answers as in Obuchowski (1998), Statistics in Medicine 17,
1495-1507, which is McNemar's comparison for clustered pairs; of the areas under ROC curves as in Obuchowski (1997),
Biometrics 53, 567-578, which is that of DeLong et al. (1988) for clusters. Both say how much each track adds to the
difference, sum that by artist, and take the spread of the sums. Nothing is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genrepipe.core.results import Result

if TYPE_CHECKING:
    import numpy.typing as npt

    Vector = npt.NDArray[np.float64]

NORMAL_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution
MIN_ARTISTS = 30  # with fewer, the sums by artist are too few for a normal interval
WIDEST = 0.1  # half of an interval of the accuracy: a wider one would pass a bundle that is much worse


@dataclass(frozen=True)
class Difference(Result):
    """One measure of both bundles, the difference, and its 95 % interval."""

    measure: str  # accuracy or macro_auroc
    before: float
    after: float
    difference: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Comparison(Result):
    """Two bundles on the same tracks; those whose label is known are measured."""

    on: str  # a labelled source, or the nights of a warehouse
    before: str  # name and version of the champion
    after: str
    tracks: int
    changed: int  # tracks with another genre
    labelled: int
    artists: int  # of labelled tracks; a track without an artist is one of its own
    differences: list[Difference]  # of the accuracy first; none without labelled tracks

    @property
    def worse(self) -> list[Difference]:
        """The measures whose whole interval is below 0."""
        return [each for each in self.differences if each.high < 0]


def differences(
    labels: npt.NDArray[np.integer], artists: npt.NDArray[np.integer], before: npt.NDArray[np.floating],
    after: npt.NDArray[np.floating],
) -> list[Difference]:  # fmt: skip
    """Compare the answers of two bundles on labelled tracks.

    Parameters
    ----------
    labels
        Positions of the labels among the genres, of shape (tracks,).
    artists
        One number for each artist, from 0, of shape (tracks,).
    before, after
        Probabilities of shape (tracks, genres).

    Returns
    -------
    Accuracy; and macro AUROC over the genres that have both tracks of theirs and others, where there is one.
    """
    found = [_difference("accuracy", artists, _accuracy(labels, before), _accuracy(labels, after))]
    if len(np.unique(labels)) > 1:
        found.append(_difference("macro_auroc", artists, _macro_auroc(labels, before), _macro_auroc(labels, after)))
    return found


def _difference(
    measure: str, artists: npt.NDArray[np.integer], before: tuple[float, Vector], after: tuple[float, Vector]
) -> Difference:
    """Return a difference of two measures, each given with what every track adds to it."""
    by_artist = np.bincount(artists, after[1] - before[1])
    by_artist = by_artist[np.bincount(artists) > 0]
    count, difference = len(by_artist), after[0] - before[0]
    wide = NORMAL_95 * float(np.sqrt(count / max(count - 1, 1) * (by_artist**2).sum()))
    return Difference(measure, before[0], after[0], difference, difference - wide, difference + wide)


def _accuracy(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> tuple[float, Vector]:
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    return float(right.mean()), (right - right.mean()) / len(right)


def _macro_auroc(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]) -> tuple[float, Vector]:
    areas, added = [], np.zeros(len(labels))
    for genre in np.unique(labels):
        ours = labels == genre
        inside, outside = probabilities[ours, genre], probabilities[~ours, genre]
        above, below = _share_below(inside, outside), 1 - _share_below(outside, inside)
        area = float(above.mean())
        areas.append(area)
        added[ours] += (above - area) / len(inside)
        added[~ours] += (below - area) / len(outside)
    return float(np.mean(areas)), added / len(areas)


def _share_below(values: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> Vector:
    """Return for each value the share of the others that are below it; half of those that equal it count."""
    ordered = np.sort(others)
    twice = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    shares: Vector = twice / (2 * len(ordered))
    return shares
