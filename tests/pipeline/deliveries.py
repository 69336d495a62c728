"""A model of what a warehouse holds after deliveries, corrections, replays, labels, trims and rollbacks."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from typing import Any

Known = tuple[date, int, dict[str, str]]  # the run date that a row is of, the order of its delivery, the row


@dataclass
class Delivery:
    """What one job delivered for one run date."""

    kind: str
    order: int
    rows: dict[str, dict[str, str]]
    held_back: set[str]


@dataclass
class Model:
    """The standing deliveries of each job and run date, and what follows from them."""

    deliveries: dict[tuple[str, date], Delivery] = field(default_factory=dict)
    predictions: dict[tuple[str, date], dict[str, int]] = field(default_factory=dict)  # visible tracks of the artist
    labels: dict[str, tuple[date, float, str]] = field(default_factory=dict)
    settled: dict[str, dict[str, Known]] = field(default_factory=dict)
    settled_since: dict[tuple[str, str], date] = field(default_factory=dict)
    horizon: date = date.min
    has_published: bool = False
    clock: count[int] = field(default_factory=count)

    def copy(self) -> Model:
        """Return the same state."""
        return deepcopy(self)

    def of_job(self, job: str, day: date) -> dict[str, Known]:
        """Return what a job's deliveries up to a date say of each track."""
        known = dict(self.settled.get(job, {}))
        for _, on in sorted(key for key in self.deliveries if key[0] == job and key[1] <= day):
            delivery = self.deliveries[job, on]
            if delivery.kind == "snapshot":
                known = {track: row for track, row in known.items() if track in delivery.held_back}
            known |= {track: (on, delivery.order, row) for track, row in delivery.rows.items()}
        return known

    def jobs(self) -> set[str]:
        """Return every job that delivered."""
        return {job for job, _ in self.deliveries} | set(self.settled)

    def known(self, day: date = date.max) -> dict[str, Known]:
        """Return what is known of each track on a date: of several jobs the newest."""
        known: dict[str, Known] = {}
        for job in self.jobs():
            for track, row in self.of_job(job, day).items():
                known[track] = max(known.get(track, row), row, key=lambda each: each[:2])
        return known

    def deliver(
        self, job: str, day: date, kind: str, rows: dict[str, dict[str, str]], held_back: set[str]
    ) -> None:  # fmt: skip
        """Replace what the job delivered for the date."""
        self.has_published = True
        self.deliveries[job, day] = Delivery(kind, next(self.clock), rows, held_back)
        self.predictions[job, day] = self._predicted(day, rows)

    def replay(self, job: str, day: date, rows: dict[str, dict[str, str]]) -> None:
        """Add corrected rows to what the job delivered for the date."""
        self.deliveries[job, day].rows |= rows
        self.predictions[job, day] |= self._predicted(day, rows)

    def retract(self, job: str, day: date) -> None:
        """Take back what the job delivered for the date."""
        del self.deliveries[job, day], self.predictions[job, day]

    def _predicted(self, day: date, rows: dict[str, dict[str, str]]) -> dict[str, int]:
        artists = [row["artist_name"] for _, _, row in self.known(day).values()]
        return {track: artists.count(row["artist_name"]) for track, row in rows.items()}

    def withdrawn(self, job: str, day: date) -> int:
        """Return how many tracks of the job's date before its snapshot lacks."""
        delivery = self.deliveries[job, day]
        if delivery.kind == "increment":
            return 0
        return len(set(self.of_job(job, day - timedelta(days=1))) - set(delivery.rows) - delivery.held_back)

    def trim(self, job: str, horizon: date) -> None:
        """Settle what the job delivered up to a date."""
        since = self.since(job)
        state = self.of_job(job, horizon)
        gone = [key for key in self.deliveries if key[0] == job and key[1] <= horizon]
        snapshots = [self.deliveries[key] for key in sorted(gone) if self.deliveries[key].kind == "snapshot"]
        if snapshots:
            on = max(key[1] for key in gone if self.deliveries[key].kind == "snapshot")
            state = {t: max(row, (on, snapshots[-1].order, row[2]), key=lambda e: e[:2]) for t, row in state.items()}
        for key in gone:
            for track, row in self.deliveries[key].rows.items():
                if row["music_genre"]:
                    label = (key[1], float(self.deliveries[key].order), row["music_genre"])
                    self.labels[track] = max(self.labels.get(track, label), label)
            del self.deliveries[key]
            self.predictions.pop(key, None)
        self.settled[job] = state
        self.settled_since = {key: on for key, on in self.settled_since.items() if key[0] != job}
        self.settled_since |= {(job, track): since[track] for track in state}
        self.horizon = max(self.horizon, horizon)

    def since(self, job: str) -> dict[str, date]:
        """Return the first date on which the job is known to have delivered each track."""
        first = {track: on for (of, track), on in self.settled_since.items() if of == job}
        for (of, on), delivery in self.deliveries.items():
            if of == job:
                first |= {track: min(first.get(track, on), on) for track in delivery.rows}
        return first

    def tracks(self) -> dict[str, dict[str, Any]]:
        """Return the view ``tracks``."""
        labels = dict(self.labels)
        for (_, on), delivery in self.deliveries.items():
            for track, row in delivery.rows.items():
                if row["music_genre"]:
                    label = (on, float(delivery.order), row["music_genre"])
                    labels[track] = max(labels.get(track, label), label)
        first: dict[str, date] = {}
        for job in self.jobs():
            first |= {track: min(first.get(track, on), on) for track, on in self.since(job).items()}
        return {
            track: {
                "artist_name": row["artist_name"],
                "duration_ms": float(row["duration_ms"]),
                "music_genre": labels[track][2] if track in labels else None,
                "first_run_date": first[track],
                "last_run_date": on,
            }
            for track, (on, _, row) in self.known().items()
        }
