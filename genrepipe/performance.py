"""How good predictions were, once labels are known: accuracy and areas under ROC curves, for each run date.

AUROC is the probability that a track of a genre has a higher probability of it than one that is not (ties count
half; Hanley and McNeil 1982). Probabilities are counted in bins of 1/65536, so a run of any length needs the same memory.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import contracts
from genrepipe.contracts import identifier

if TYPE_CHECKING:
    from datetime import date

    import numpy.typing as npt

    from genrepipe.database import Database

BINS = 65_536
ROWS = 250_000  # at a time


class Areas:
    """Counts probabilities of tracks with known labels, part by part, and tells the areas under their ROC curves."""

    def __init__(self, genres: int) -> None:
        self._counts = np.zeros((2, genres, BINS))
        self.tracks = 0
        self._right = 0

    def add(self, labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.float32]) -> None:
        """Count a part: labels of shape (tracks,), and probabilities of shape (tracks, genres)."""
        for genre in range(probabilities.shape[1]):
            bins = np.minimum((probabilities[:, genre] * BINS).astype(np.int64), BINS - 1)
            of_genre = labels == genre
            self._counts[1, genre] += np.bincount(bins[of_genre], minlength=BINS)
            self._counts[0, genre] += np.bincount(bins[~of_genre], minlength=BINS)
        self.tracks += len(labels)
        self._right += int((probabilities.argmax(1) == labels).sum())

    @property
    def accuracy(self) -> float:
        """Share of the tracks whose most probable genre is their label."""
        return self._right / max(self.tracks, 1)

    @property
    def macro(self) -> float | None:
        """Mean over the genres that have both tracks of theirs and others; None where there is none."""
        found = [area for genre in range(self._counts.shape[1]) if (area := _area(*self._counts[:, genre])) is not None]
        return float(np.mean(found)) if found else None

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


def measure(database: Database, run_date: date, role: str = "served") -> list[dict[str, object]]:
    """Measure a run date's predictions against the labels in the catalogue, and write them into table ``performance``.

    Returns
    -------
    One line for each bundle that predicted labelled tracks of that date; none where no label is known.
    """
    table = "predictions" if role == "served" else "shadow_predictions"
    genres = contracts.genres()
    columns = ", ".join(f"p.probabilities[{contracts.literal(g)}] AS {identifier(g)}" for g in genres)
    labelled = int(database.value(f"SELECT count(*) FROM {table} WHERE run_date = ?", [run_date]) or 0)
    parts = -(-labelled // ROWS)
    found: dict[tuple[str, str], Areas] = {}
    for part in range(parts):  # by hash, since rows that are not committed yet have no position
        rows = database.frame(
            f"SELECT p.model, p.model_version, t.music_genre, {columns} FROM {table} AS p "
            f"JOIN tracks AS t USING (track_id) WHERE p.run_date = ? AND t.music_genre IS NOT NULL AND hash(p.track_id) % {parts} = {part}",
            [run_date],
        )
        for (model, version), some in rows.partition_by("model", "model_version", as_dict=True).items():
            labels = some["music_genre"].cast(pl.Enum(genres)).to_physical().to_numpy()
            found.setdefault((str(model), str(version)), Areas(len(genres))).add(labels, some.select(genres).to_numpy())
    database.execute("DELETE FROM performance WHERE run_date = ? AND role = ?", [run_date, role])
    lines: list[dict[str, object]] = []
    for (model, version), areas in found.items():
        line: dict[str, object] = {
            "role": role, "model": model, "model_version": version, "tracks": areas.tracks, "accuracy": areas.accuracy,
            "macro_auroc": areas.macro, "micro_auroc": areas.micro,
        }  # fmt: skip
        database.execute(
            "INSERT INTO performance BY NAME SELECT run.run_id, ?::DATE AS run_date, ? AS role, ? AS model, ? AS model_version, ?::BIGINT AS tracks, "
            "?::DOUBLE AS accuracy, ?::DOUBLE AS macro_auroc, ?::DOUBLE AS micro_auroc, ?::TIMESTAMP AS measured_at FROM run",
            [run_date, *line.values(), datetime.now(UTC).replace(tzinfo=None)],
        )
        lines.append({"run_date": run_date.isoformat(), **line})
    return lines
