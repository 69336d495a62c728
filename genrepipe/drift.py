"""How tonight differs from the reference and from last night: population stability of features and genres.

The index is the sum over bins of (share − expected) × ln(share / expected), as credit scoring has long used it
(Siddiqi 2006; below 0.1 stable, from 0.25 drifted). Bins are those of the bundle's reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genrepipe import features

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.bundles import Bundle
    from genrepipe.database import Database

    Shares = npt.NDArray[np.float64]

GENRE = "genre"
FLOOR = 1e-4  # an empty bin counts as this share, since the logarithm of nothing is infinite
MOVING, DRIFTED = 0.1, 0.25
RECENT = 7  # run dates


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


def write(database: Database, histogram: Histogram) -> None:
    """Write the run's rows of table ``drift``: against the bundle, and against the mean of the last run dates, if there are any."""
    lines = []
    past = _recent(database)
    for subject, shares in histogram.shares().items():
        edges = histogram.edges[subject]
        references = [("bundle", np.array(histogram.expected[subject]))]
        alike = [found for bins, found in past.get(subject, []) if bins == edges and len(found) == len(shares)]
        if alike:
            references.append(("recent runs", np.mean(alike, axis=0)))
        for against, expected in references:
            psi = stability(shares, expected) if shares.sum() else 0.0
            lines.append((subject, against, psi, verdict(psi), edges, shares.tolist(), expected.tolist()))
    kinds = pl.List(pl.Float64)
    schema: dict[str, Any] = {"subject": pl.String, "against": pl.String, "psi": pl.Float64, "verdict": pl.String, "edges": kinds, "shares": kinds, "expected": kinds}  # fmt: skip
    database.execute("DELETE FROM drift WHERE run_id IN (FROM own_runs)")
    database.insert("drift", pl.DataFrame(lines, schema=schema, orient="row"), "*, (SELECT run_id FROM run) AS run_id, (SELECT run_date FROM run) AS run_date")  # fmt: skip


def _recent(database: Database) -> dict[str, list[tuple[list[float], Shares]]]:
    found: dict[str, list[tuple[list[float], Shares]]] = {}
    rows = database.rows(
        "WITH same_job AS (SELECT drift.* FROM drift JOIN runs USING (run_id) JOIN run USING (job) WHERE status = 'published' AND drift.run_date < run.run_date) "
        "SELECT subject, edges, shares FROM same_job WHERE against = 'bundle' AND run_date IN ("
        f"SELECT DISTINCT run_date FROM same_job ORDER BY run_date DESC LIMIT {RECENT})"
    )
    for subject, edges, shares in rows:
        found.setdefault(subject, []).append((list(edges), np.array(shares)))
    return found
