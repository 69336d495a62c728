"""Performance: accuracy and AUROC of a job's predictions of a run date, once labels are known.

AUROC is the probability that a track of a genre has a higher probability of it than one that is not (ties count
half; Hanley and McNeil 1982). Probabilities are counted in bins of 1/65536, so a run of any length needs the same memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genrepipe import contracts
from genrepipe.core.quoting import identifier, literal
from genrepipe.core.results import Result
from genrepipe.quality.monitors import Monitor
from genrepipe.warehouse.ledger import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    import numpy.typing as npt

    from genrepipe.model.bundle import Bundle
    from genrepipe.quality.monitors import Batch, Scored
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.ledger import Run

BINS = 65_536
ROWS = 250_000  # at a time
# Of each role, the predictions of a job's run date, and the bundle that made them.
ROLES = {
    "served": (
        "prediction_history AS p WHERE p.job = $job AND $day BETWEEN p.from_run_date AND p.to_run_date",
        """SELECT arg_max(model, finished_at), arg_max(model_version, finished_at) FROM runs
        WHERE job = $job AND run_date = $day AND status = 'published' AND action = 'score'""",
    ),
    "shadow": (
        "shadow_predictions AS p WHERE p.job = $job AND p.run_date = $day",
        "SELECT any_value(model), any_value(model_version) FROM shadow_predictions WHERE job = $job AND run_date = $day",
    ),
}


class Areas:
    """Counts probabilities of labelled tracks, part by part, and computes the areas under their ROC curves."""

    def __init__(self, genres: int) -> None:
        self._counts = np.zeros((2, genres, BINS))
        self.tracks = 0
        self._right = 0

    def add(self, labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.float32]) -> None:
        """Count a part: labels of shape (tracks,), and probabilities of shape (tracks, genres)."""
        genres = probabilities.shape[1]
        bins = np.minimum((probabilities * BINS).astype(np.int32), BINS - 1)
        bins += np.arange(genres, dtype=np.int32) * BINS  # each genre has its own
        every = np.bincount(bins.ravel(), minlength=genres * BINS)
        ours = np.bincount(bins[np.arange(len(labels)), labels], minlength=genres * BINS)
        self._counts[1] += ours.reshape(genres, BINS)
        self._counts[0] += (every - ours).reshape(genres, BINS)
        self.tracks += len(labels)
        self._right += int((probabilities.argmax(1) == labels).sum())

    def merge(self, other: Areas) -> None:
        """Add the counts of other tracks."""
        self._counts += other._counts
        self.tracks += other.tracks
        self._right += other._right

    @property
    def accuracy(self) -> float:
        """Share of the tracks whose most probable genre is their label."""
        return self._right / max(self.tracks, 1)

    @property
    def macro(self) -> float | None:
        """Mean over the genres that have both tracks of theirs and others; None where there is none."""
        areas = [area for genre in range(self._counts.shape[1]) if (area := _area(*self._counts[:, genre])) is not None]
        return float(np.mean(areas)) if areas else None

    @property
    def micro(self) -> float | None:
        """The area over all pairs of track and genre."""
        return _area(*self._counts.sum(1))


def _area(others: npt.NDArray[np.float64], ours: npt.NDArray[np.float64]) -> float | None:
    pairs = ours.sum() * others.sum()
    if pairs == 0:
        return None
    below = np.concatenate([[0.0], np.cumsum(others)[:-1]])
    return float((ours * (below + others / 2)).sum() / pairs)


@dataclass(frozen=True)
class Measured(Result):
    """How good one bundle's predictions for a job's run date were, on its labelled tracks."""

    run_date: str
    role: str  # served or shadow
    model: str
    model_version: str
    tracks: int
    accuracy: float
    macro_auroc: float | None
    micro_auroc: float | None
    job: str


class Performance(Monitor):
    """Writes table ``performance``: of the bundle that is served, and of the shadow."""

    table = "performance"
    trimmed = False
    on_replay = True

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._areas = Areas(len(contracts.genres()))

    def observe(self, batch: Batch) -> None:
        """Count the labelled tracks of a batch."""
        if not batch.labels.count():
            return
        labels, probabilities = batch.labels, batch.predictions["probabilities"]
        if labels.has_nulls():
            known = labels.is_not_null()
            labels, probabilities = labels.filter(known), probabilities.filter(known)
        self._areas.add(labels.to_numpy(), probabilities.struct.unnest().select(contracts.genres()).to_numpy())

    def seen(self) -> Areas | None:
        """Return the counts, where there are any."""
        return self._areas if self._areas.tracks else None

    def merge(self, seen: Areas) -> None:
        """Add counts."""
        self._areas.merge(seen)

    def write(self, scored: Scored) -> int:
        """Measure the run date: by what was counted, or by the table where a replay has added to it."""
        database, run = scored.database, scored.run
        written = len(measure(database, run, run.job, run.run_date, "shadow"))
        if run.action == "replay":
            return written + len(measure(database, run, run.job, run.run_date))
        manifest = self.bundle.manifest
        served = {(manifest.name, manifest.version): self._areas}
        return written + len(_save(database, run, run.job, run.run_date, "served", served))


def _areas(database: Database, predictions: str, parameters: dict[str, Any]) -> Areas:
    """Return the counts of predictions, which a FROM clause names p, whose label is known."""
    genres = contracts.genres()
    listed = ", ".join(map(literal, genres))
    # Joined once, and numbered: rows that are not committed yet have no position.
    database.execute(
        "CREATE OR REPLACE TEMP TABLE labelled AS SELECT row_number() OVER () AS position, label, probabilities FROM ("
        f"SELECT p.track_id, p.probabilities {predictions}) "
        f"JOIN (SELECT track_id, (list_position([{listed}], music_genre) - 1)::UTINYINT AS label FROM tracks WHERE music_genre IS NOT NULL) "
        "USING (track_id)",
        parameters,
    )
    areas, last = Areas(len(genres)), int(database.value("SELECT count(*) FROM labelled"))
    columns = ", ".join(f"probabilities[{literal(genre)}] AS {identifier(genre)}" for genre in genres)
    for first in range(1, last + 1, ROWS):
        rows = database.frame(
            f"SELECT label, {columns} FROM labelled WHERE position >= ? AND position < ?", [first, first + ROWS]
        )
        areas.add(rows["label"].to_numpy(), rows.select(genres).to_numpy())
    database.execute("DROP TABLE labelled")
    return areas


def measure(database: Database, run: Run, job: str, run_date: date, role: str = "served") -> list[Measured]:
    """Measure a job's predictions of a run date by the labels in the catalogue, and write that into table ``performance``.

    Parameters
    ----------
    run
        The run that measures.

    Returns
    -------
    One item, or none where no label of the date's tracks is known.
    """
    predictions, bundle = ROLES[role]
    day = {"job": job, "day": run_date}
    ((model, version),) = database.rows(bundle, day)
    areas_of = {(model, version): _areas(database, f"FROM {predictions}", day)} if model else {}
    return _save(database, run, job, run_date, role, areas_of)


def _save(
    database: Database, run: Run, job: str, run_date: date, role: str, areas_of: Mapping[tuple[str, str], Areas]
) -> list[Measured]:
    """Write what was counted of each bundle, in place of what was measured of that date before."""
    database.execute("DELETE FROM performance WHERE job = ? AND run_date = ? AND role = ?", [job, run_date, role])
    results: list[Measured] = []
    for (model, version), areas in areas_of.items():
        if not areas.tracks:
            continue
        result = Measured(
            run_date.isoformat(),
            role,
            model,
            version,
            areas.tracks,
            areas.accuracy,
            areas.macro,
            areas.micro,
            job,
        )
        database.insert_row(
            "performance", {"run_id": run.run_id, **result.to_dict(), "run_date": run_date, "measured_at": utc_now()}
        )
        results.append(result)
    return results
