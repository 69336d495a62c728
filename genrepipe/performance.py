"""How good predictions were, once labels are known: accuracy and areas under ROC curves, for each run date.

AUROC is the probability that a track of a genre has a higher probability of it than one that is not (ties count
half; Hanley and McNeil 1982). Probabilities are counted in bins of 1/65536, so a run of any length needs the same memory.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from genrepipe import contracts
from genrepipe.contracts import identifier

if TYPE_CHECKING:
    from datetime import date

    import numpy.typing as npt

    from genrepipe.database import Database

BINS = 65_536


def areas(labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.float32]) -> tuple[float | None, float | None]:
    """Return macro and micro AUROC of probabilities, of shape (tracks, genres); None where one kind of track is missing.

    Macro is the mean over the genres that have both tracks of theirs and others.
    """
    positive = labels[:, None] == np.arange(probabilities.shape[1])
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    by_genre = [area for g in range(positive.shape[1]) if (area := _area(bins[:, g], positive[:, g])) is not None]
    return float(np.mean(by_genre)) if by_genre else None, _area(bins.ravel(), positive.ravel())


def _area(bins: npt.NDArray[np.int64], positive: npt.NDArray[np.bool_]) -> float | None:
    ours = np.bincount(bins[positive], minlength=BINS).astype(np.float64)
    others = np.bincount(bins[~positive], minlength=BINS).astype(np.float64)
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
    rows = database.frame(
        f"SELECT p.model, p.model_version, p.genre, t.music_genre, {columns} FROM {table} AS p "
        "JOIN tracks AS t USING (track_id) WHERE p.run_date = ? AND t.music_genre IS NOT NULL",
        [run_date],
    )
    database.execute("DELETE FROM performance WHERE run_date = ? AND role = ?", [run_date, role])
    lines: list[dict[str, object]] = []
    for (model, version), part in rows.partition_by("model", "model_version", as_dict=True).items():
        labels = np.array([genres.index(genre) for genre in part["music_genre"]])
        macro, micro = areas(labels, part.select(genres).to_numpy())
        right = float((part["genre"] == part["music_genre"]).mean())  # type: ignore[arg-type]
        line: dict[str, object] = {"role": role, "model": model, "model_version": version, "tracks": len(part), "accuracy": right, "macro_auroc": macro, "micro_auroc": micro}  # fmt: skip
        database.execute(
            "INSERT INTO performance BY NAME SELECT run.run_id, ?::DATE AS run_date, ? AS role, ? AS model, ? AS model_version, ?::BIGINT AS tracks, "
            "?::DOUBLE AS accuracy, ?::DOUBLE AS macro_auroc, ?::DOUBLE AS micro_auroc, ?::TIMESTAMP AS measured_at FROM run",
            [run_date, *line.values(), datetime.now(UTC).replace(tzinfo=None)],
        )
        lines.append({"run_date": run_date.isoformat(), **line})
    return lines
