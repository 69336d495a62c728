"""From accepted rows to tracks that are ready for features: the catalogue takes them, and adds what it knows.

Scoring and training both take these steps, so that a model sees in training what it will see at night.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from genrepipe.core import resources, signals
from genrepipe.core.quoting import identifier
from genrepipe.engines import catalogue
from genrepipe.ingest import landing, sources
from genrepipe.model import features
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genrepipe.ingest.landing import Landing
    from genrepipe.ingest.sources import Source
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.ledger import Run

LAST_ROW_ID = 2**63 - 1
WITHIN = "WHERE row_id >= $first AND row_id < $last"


@contextmanager
def landed_in_memory(source: Source, run: Run) -> Iterator[tuple[Steps, Landing]]:
    """Land a source in a database in memory that has an empty catalogue, for what no warehouse is needed for."""
    with schema.open_memory(resources.plan()) as database, signals.on_signal(database.interrupt):
        steps = Steps(database)
        steps.bind_row("run", **run.relation())
        yield steps, landing.land(steps, source)


def bind_delivery(
    steps: Steps, landed: Landing, source: Source, *, source_sha256: str = "", known: int = 0, withdrawn: int = 0
) -> None:
    """Bind the relation ``delivery``, the one row that says what arrived; ``known`` tracks were there before a snapshot."""
    counts = landed.counts
    steps.bind_row(
        "delivery", received=counts.received, accepted=counts.accepted, quarantined=counts.quarantined,
        duplicates=counts.duplicates, empty=counts.empty, source_sha256=source_sha256,
        source_age_hours=sources.age_hours(source), known=known, withdrawn=withdrawn, files_not_read=len(source.not_read),
        absent=landed.absent,
    )  # fmt: skip


def update_catalogue(steps: Steps) -> None:
    """Put the accepted rows into the history of tracks, renew table ``artist_profiles``, and bind ``profiles``.

    The relation ``profiles`` is what was known of artists on the run date; for an older date that is less than the
    catalogue knows now.
    """
    with steps.profile.step("tracks"):
        catalogue.deliver(steps)
    with steps.profile.step("artist_profiles"):
        catalogue.see(steps)


def make_scorable(steps: Steps, duration_ms: float | None) -> int:
    """Make the relation ``scorable``, and return its number of rows.

    ``duration_ms`` is the bundle's global median, for tracks whose artist has no known duration; None leaves those
    missing.
    """
    steps.release("medians")
    steps.bind_row("medians", duration_ms=duration_ms)
    return count(steps, "scorable")


def count(steps: Steps, relation: str) -> int:
    """Make a relation, and return its number of rows."""
    steps.make(relation)
    return int(steps.database.value(f"SELECT count(*) FROM {relation}"))


def batches(steps: Steps, rows: int, *, of: str = "scorable", beside: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
    """Yield the tracks of a relation in source order, ``rows`` at a time.

    Parameters
    ----------
    of
        ``scorable``; ``scored``, which are some of them; or ``contextual``, which adds the aggregates of their artist's
        visible tracks.
    beside
        Columns of what landed that no feature is made of.
    """
    database = steps.database
    read = ["track_id", "artist_name", "track_name", *(name for name in features.columns() if name != "duration_ms")]
    columns = ", ".join(["row_id", *map(identifier, read), *beside])
    steps.make(of)
    known = database.value("SELECT count(*) FROM known_rows")
    source = "landed"  # which is enough where nothing is known
    if known:
        source = "delivered" if of == "scored" else "accepted"
        steps.make(source)
    for between in ranges(database, of, rows):
        added = database.frame(f"FROM {of} {WITHIN} ORDER BY row_id", between)
        few = f"SEMI JOIN (SELECT row_id FROM {of} {WITHIN}) AS few USING (row_id)" if _sparse(added["row_id"]) else ""
        received = database.frame(f"SELECT {columns} FROM {source} {few} {WITHIN}", between)
        # Joined here, where both are in order already; DuckDB would copy the names of all rows once more.
        if received["row_id"].equals(added["row_id"]):
            yield received.hstack(added.drop("row_id"))
        else:
            yield added.join(received, on="row_id", maintain_order="left")


def ranges(database: Database, relation: str, rows: int, key: str = "row_id") -> Iterator[dict[str, int]]:
    """Yield ranges of a key, ``first`` and ``last``, that hold so many rows of a relation each; the last is not in them."""
    starts = database.rows(
        f"SELECT {key} FROM (SELECT {key}, row_number() OVER (ORDER BY {key}) - 1 AS position FROM {relation}) "
        f"WHERE position % ? = 0 ORDER BY {key}",
        [rows],
    )
    for first, last in pairwise([*(value for (value,) in starts), LAST_ROW_ID]):
        yield {"first": first, "last": last}


def _sparse(row_ids: pl.Series) -> bool:
    """Return whether most rows between the first and the last of these are others."""
    return bool(row_ids[-1] - row_ids[0] > 2 * len(row_ids))


def imputed(steps: Steps) -> dict[str, int]:
    """Return how many scorable tracks have an imputed value, by column: of the duration and the tempo, and of others where there are any."""
    counts = steps.database.rows(
        "SELECT name, count(*) FROM (SELECT unnest(imputed) AS name FROM scorable) GROUP BY ALL ORDER BY ALL"
    )
    return {"duration_ms": 0, "tempo": 0, **dict(counts)}
