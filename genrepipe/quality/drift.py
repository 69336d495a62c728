"""Drift: how a run's features and genres are distributed, against the training data and against recent runs.

The population stability index is the sum over bins of (share − expected) × ln(share / expected) (Siddiqi 2006: below
0.1 stable, from 0.25 drifted). Bins are those of the bundle's reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genrepipe.core.quoting import identifier, literal
from genrepipe.model import features
from genrepipe.quality.monitors import Monitor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from genrepipe.model.bundle import Bundle
    from genrepipe.quality.monitors import Scored
    from genrepipe.warehouse.steps import Steps

    Shares = npt.NDArray[np.float64]

GENRE, IMPUTED = "genre", "duration_ms"
FLOOR = 1e-4  # an empty bin counts as this share, since the logarithm of nothing is infinite
MOVING, DRIFTED = 0.1, 0.25
SCHEMA: dict[str, Any] = {
    "subject": pl.String, "against": pl.String, "psi": pl.Float64, "verdict": pl.String,
    "edges": pl.List(pl.Float64), "shares": pl.List(pl.Float64), "expected": pl.List(pl.Float64),
}  # fmt: skip


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
        self._counts: dict[str, Shares] = {}

    def measure(self, scored: Scored) -> None:
        """Count the tracks in the bins of each feature, and the genres."""
        bins = {subject: list(edges) for subject, edges, _ in self.bundle.reference.iter_rows()}
        genres = {GENRE: _genres(scored.steps, self.bundle.manifest.labels)}
        self.merge(_features(scored.steps, bins) | genres)

    def seen(self) -> dict[str, Shares]:
        """Return the counts."""
        return self._counts

    def merge(self, seen: dict[str, Shares]) -> None:
        """Add counts."""
        self._counts = {subject: counts + self._counts.get(subject, 0) for subject, counts in seen.items()}

    def write(self, scored: Scored) -> int:
        """Write a row for each feature and for the genres: against the bundle, and against the mean of recent runs, where there are any."""
        rows = []
        past = _recent(scored.steps)
        bins = {subject: list(edges) for subject, edges, _ in self.bundle.reference.iter_rows()}
        expected_of = {subject: np.array(shares) for subject, _, shares in self.bundle.reference.iter_rows()}
        for subject, counted in self._counts.items():
            shares, edges = counted / max(counted.sum(), 1), bins[subject]
            references = [("bundle", expected_of[subject])]
            comparable = [
                past_shares
                for past_bins, past_shares in past.get(subject, [])
                if past_bins == edges and len(past_shares) == len(shares)
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


def _features(steps: Steps, bins: Mapping[str, list[float]]) -> dict[str, Shares]:
    """Count the scorable tracks in the bins of each audio feature; the last count is of those that lack it.

    A bin holds what is above its lower edge and at most its upper one.
    """
    words = features.ordinals()
    found = {}
    for relation, names in (("scorable", [IMPUTED]), ("accepted", [n for n in features.columns() if n != IMPUTED])):
        asked = []
        for name in names:
            value = identifier(name)
            if name in words:
                value = f"list_position([{', '.join(map(literal, words[name]))}], {value}) - 1"
            asked += [f"histogram(({value})::DOUBLE, {bins[name]})", f"count(*) - count({value})"]
        (counted,) = steps.database.rows(f"SELECT {', '.join(asked)} FROM {relation}")
        for name, within, missing in zip(names, counted[::2], counted[1::2], strict=True):
            edges = [*bins[name], float("inf")]
            found[name] = np.array([*((within or {}).get(edge, 0) for edge in edges), missing], float)
    return {name: found[name] for name in features.columns()}


def _genres(steps: Steps, labels: Sequence[str]) -> Shares:
    """Count the predicted genres of a run."""
    steps.make("run_predictions")
    found = dict(steps.database.rows("SELECT genre, count(*) FROM run_predictions GROUP BY genre"))
    return np.array([found.get(label, 0) for label in labels], float)


def _recent(steps: Steps) -> dict[str, list[tuple[list[float], Shares]]]:
    """Return bins and shares on the job's recent run dates, by subject."""
    steps.make("recent_drift")
    past: dict[str, list[tuple[list[float], Shares]]] = {}
    for subject, edges, shares in steps.database.rows(
        "SELECT subject, edges, shares FROM recent_drift ORDER BY run_date DESC"
    ):
        past.setdefault(subject, []).append((list(edges), np.array(shares)))
    return past
