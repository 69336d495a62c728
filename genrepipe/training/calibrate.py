"""Calibration: a temperature for the probabilities, and conformal sets of genres.

Both are fitted on the out-of-fold answers of the artist-disjoint split, so on artists that the network had not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

COVERAGE = 0.9
VISIBLE_FROM = (0, 2, 5, 20)  # buckets of visible tracks: none or 1, 2 to 4, 5 to 19, 20 and more


def tempered(logits: Floats, temperature: float) -> Floats:
    """Return softmax(logits / temperature), of the same shape (rows, classes)."""
    scaled = logits / temperature
    exponents = np.exp(scaled - scaled.max(1, keepdims=True))
    probabilities: Floats = exponents / exponents.sum(1, keepdims=True)
    return probabilities


def temperature(logits: Floats, y: npt.NDArray[np.int64]) -> float:
    """Return the temperature with the lowest log loss (Guo et al. 2017), for logits of shape (rows, classes)."""
    rows = np.arange(len(y))

    def loss(logarithm: float) -> float:
        return float(-np.log(np.maximum(tempered(logits, np.exp(logarithm))[rows, y], 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 1.5), method="bounded").x))


def buckets(visible: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Return the bucket of each track, shape (tracks,), by how many tracks of its artist are visible."""
    bucket: npt.NDArray[np.intp] = np.searchsorted(VISIBLE_FROM, visible, side="right") - 1
    return bucket


def thresholds(probabilities: Floats, y: npt.NDArray[np.int64], visible: npt.NDArray[np.integer]) -> list[float]:
    """Return for each bucket the probability from which a genre belongs to a track's set.

    Split conformal prediction with least ambiguous sets (Sadinle, Lei and Wasserman 2019): the probability of the label
    reaches the threshold in at least 90 % of the rows. The threshold of an empty bucket is 0.
    """
    truth, bucket = probabilities[np.arange(len(y)), y], buckets(visible)
    limits = []
    for number in range(len(VISIBLE_FROM)):
        ranked = np.sort(truth[bucket == number])
        place = int((len(ranked) + 1) * (1 - COVERAGE))
        limits.append(float(ranked[place - 1]) if place else 0.0)
    return limits


def in_sets(probabilities: Floats, visible: npt.NDArray[np.integer], limits: list[float]) -> npt.NDArray[np.bool_]:
    """Return whether each genre belongs to a row's set, bool of shape (rows, classes).

    The most probable genre always does, so no set is empty.
    """
    members: npt.NDArray[np.bool_] = probabilities >= np.array(limits)[buckets(visible)][:, None]
    members[np.arange(len(members)), probabilities.argmax(1)] = True
    return members
