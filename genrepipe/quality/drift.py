"""Drift: how a run's features and genres are distributed, against the training data and against recent runs.

The population stability index is the sum over bins of (share − expected) × ln(share / expected) (Siddiqi 2006: below
0.1 stable, from 0.25 drifted). Bins are those of the bundle's reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genrepipe.model import features
from genrepipe.quality.monitors import Monitor

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.model.bundle import Bundle
    from genrepipe.quality.monitors import Batch, Scored
    from genrepipe.warehouse.steps import Steps

    Shares = npt.NDArray[np.float64]

GENRE = "genre"
FLOOR = 1e-4  # an empty bin counts as this share, since the logarithm of nothing is infinite
MOVING, DRIFTED = 0.1, 0.25
SCHEMA: dict[str, Any] = {
    "subject": pl.String, "against": pl.String, "psi": pl.Float64, "verdict": pl.String,
    "edges": pl.List(pl.Float64), "shares": pl.List(pl.Float64), "expected": pl.List(pl.Float64),
}  # fmt: skip


class Histogram:
    """Counts the rows of a run in the bins of a bundle's reference, batch by batch."""

    def __init__(self, bundle: Bundle) -> None:
        self._labels = bundle.manifest.labels
        self.edges: dict[str, list[float]] = {}
        self.expected: dict[str, list[float]] = {}
        for feature, edges, shares in bundle.reference.iter_rows():
            self.edges[feature], self.expected[feature] = list(edges), list(shares)
        self._counts = {feature: np.zeros(len(shares)) for feature, shares in self.expected.items()}

    def add(self, audio: pl.DataFrame) -> None:
        """Count the audio features, Float32, of a batch."""
        for name in features.columns():
            values = audio[name].fill_null(float("nan")).to_numpy()
            known = values[~np.isnan(values)]
            counts = self._counts[name]
            counts[:-1] += np.bincount(np.searchsorted(self.edges[name], known), minlength=len(counts) - 1)
            counts[-1] += len(values) - len(known)

    def add_genres(self, genres: pl.Series) -> None:
        """Count the predicted genres of a batch."""
        positions = genres.cast(pl.Enum(list(self._labels))).to_physical().to_numpy()
        self._counts[GENRE] += np.bincount(positions, minlength=len(self._labels))

    def shares(self) -> dict[str, Shares]:
        """Return the share of the rows in each bin, by feature; all zero where there was no row."""
        return {name: counts / max(counts.sum(), 1) for name, counts in self._counts.items()}


def stability(shares: Shares, expected: Shares) -> float:
    """Return the population stability index of two distributions over the same bins."""
    now, then = np.maximum(shares, FLOOR), np.maximum(expected, FLOOR)
    return float(np.sum((now - then) * np.log(now / then)))


def verdict(psi: float) -> str:
    """Return the usual word for an index."""
    if psi < MOVING:
        return "stable"
    return "moving" if psi < DRIFTED else "drifted"


class Drift(Monitor):
    """Writes table ``drift``."""

    table = "drift"
    is_evidence = True

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._histogram = Histogram(bundle)

    def observe(self, batch: Batch) -> None:
        """Count the features and the genres of a batch."""
        self._histogram.add(batch.audio)
        self._histogram.add_genres(batch.predictions["genre"])

    def write(self, scored: Scored) -> int:
        """Write a row for each feature and for the genres: against the bundle, and against the mean of recent runs, where there are any."""
        rows = []
        past = _recent(scored.steps)
        for subject, shares in self._histogram.shares().items():
            edges = self._histogram.edges[subject]
            references = [("bundle", np.array(self._histogram.expected[subject]))]
            comparable = [
                past_shares
                for bins, past_shares in past.get(subject, [])
                if bins == edges and len(past_shares) == len(shares)
            ]
            if comparable:
                references.append(("recent runs", np.mean(comparable, axis=0)))
            for against, expected in references:
                psi = stability(shares, expected) if shares.sum() else 0.0
                rows.append((subject, against, psi, verdict(psi), edges, shares.tolist(), expected.tolist()))
        scored.database.insert(
            self.table, pl.DataFrame(rows, schema=SCHEMA, orient="row"),
            "*, (SELECT run_id FROM run) AS run_id, (SELECT run_date FROM run) AS run_date",
        )  # fmt: skip
        return len(rows)


def _recent(steps: Steps) -> dict[str, list[tuple[list[float], Shares]]]:
    """Return bins and shares on the job's recent run dates, by subject."""
    steps.make("recent_drift")
    past: dict[str, list[tuple[list[float], Shares]]] = {}
    for subject, edges, shares in steps.database.rows(
        "SELECT subject, edges, shares FROM recent_drift ORDER BY run_date DESC"
    ):
        past.setdefault(subject, []).append((list(edges), np.array(shares)))
    return past
