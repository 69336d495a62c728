"""Genre labels that come later, and how good the runs turn out to have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genrepipe import (
    catalogue,
    contracts,
    generations,
    interrupts,
    parts,
    performance,
    resources,
    runs,
    sources,
    warehouse,
)
from genrepipe.errors import SourceShapeError, WarehouseUnusable
from genrepipe.runs import Run

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.database import Database
    from genrepipe.sources import Part

COLUMNS = ("instance_id", "music_genre")


def take(path: Path, source: tuple[str, ...], encoding: str, mapping: dict[str, str]) -> dict[str, Any]:
    """Take genre labels that came later into the catalogue, and measure every run date that predicted those tracks.

    The source needs the columns ``instance_id`` and ``music_genre``; others are not read. Of several labels of one
    track the last in source order counts.

    Raises
    ------
    SourceShapeError
        A column is missing, or nothing in the source is a label.
    """
    with interrupts.deferred(), sources.opened(source, encoding=encoding, mapping=mapping) as wanted:
        run = Run("labels", runs.parse_date(None), "labels")
        plan = resources.plan()
        with generations.locked(path, plan, run.identity()) as files:
            current = files.hold()
            if current is None:
                raise WarehouseUnusable(
                    f"{path}: there is no such warehouse", "Run genrepipe score first, or check --warehouse"
                )
            warehouse.require(current)
            database = files.begin()
            warehouse.lay_out(database)
            database.macros()
            catalogue.begin(database, run.run_id, run.run_date)
            counted = _read_labels(database, wanted)
            database.seal()
            with database.transaction():
                database.execute(
                    "UPDATE tracks SET music_genre = given.genre FROM given WHERE tracks.track_id = given.track_id"
                )
                dates = database.rows(
                    "SELECT DISTINCT run_date FROM predictions SEMI JOIN given USING (track_id) ORDER BY 1"
                )
                measured = [
                    line
                    for (day,) in dates
                    for role in ("served", "shadow")
                    for line in performance.measure(database, day, role)
                ]
                facts = {
                    "sources": [part.name for part in wanted.parts], "received": counted["received"],
                    "duplicates": counted["repeated"], "withheld": counted["received"] - counted["repeated"],
                }  # fmt: skip
                runs.enter(database, runs.line(run, "published", **facts))
            files.publish(database)
    return {"status": "measured", "run_id": run.run_id, "warehouse": str(path), **counted, "performance": measured}


def _read_labels(database: Database, source: sources.Source) -> dict[str, int]:
    contract = contracts.load("source_tracks").table
    columns = tuple(contract.column(name).model_copy(update={"customProperties": ()}) for name in COLUMNS)
    narrow = contract.model_copy(update={"properties": columns})
    parts.begin(database)
    database.execute("CREATE OR REPLACE TEMP TABLE labels_read (position BIGINT, track_id VARCHAR, genre VARCHAR)")
    for part in source.parts:
        before = database.value("SELECT count(*) FROM labels_read")

        def insert(received: str, part: Part = part, before: int = before) -> None:
            database.execute(
                f"INSERT INTO labels_read SELECT row_number() OVER () + {before}, track_id_of(instance_id), word(music_genre) FROM ({received})",
                source=part.name,
            )

        header, _ = parts.read(database, part, source, narrow, insert)
        if part.kind == "csv":
            parts.keep_unparsed(database, part)
            swallowed = f"SELECT position - {before} FROM labels_read WHERE position > {before} AND contains(concat(track_id, genre), chr(10))"
            parts.refuse_swallowed(database, part, len(header), swallowed)
    known = ", ".join(contracts.literal(genre) for genre in contracts.genres())
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE given AS SELECT track_id, last(genre ORDER BY position) AS genre FROM labels_read "
        f"WHERE track_id IS NOT NULL AND genre IN ({known}) GROUP BY track_id"
    )
    received, valid = database.rows(
        f"SELECT count(*) + (SELECT count(*) FROM unparsed), count(*) FILTER (track_id IS NOT NULL AND genre IN ({known})) FROM labels_read"
    )[0]
    if not valid:
        where = ", ".join(part.name for part in source.parts)
        raise SourceShapeError(f"{where} holds no label", f"Genres are {', '.join(contracts.genres())}")
    taken = database.value("SELECT count(*) FROM given SEMI JOIN tracks USING (track_id)")
    distinct = database.value("SELECT count(*) FROM given")
    return {"received": received, "labelled": taken, "unknown_tracks": distinct - taken, "repeated": valid - distinct, "not_labels": received - valid}  # fmt: skip
