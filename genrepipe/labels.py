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
from genrepipe.contracts import identifier
from genrepipe.errors import SourceShapeError, WarehouseUnusable
from genrepipe.runs import Run

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.database import Database


def take(path: Path, source: tuple[str, ...], encoding: str, mapping: dict[str, str]) -> dict[str, Any]:
    """Take genre labels that came later into the catalogue, and measure every run date that predicted those tracks.

    The source needs the columns ``instance_id`` and ``music_genre``; others are not read. Of several labels of one
    track the last in source order counts.

    Raises
    ------
    SourceShapeError
        A column is missing, or nothing in the source is a label.
    """
    wanted = sources.resolve(source, encoding=encoding, mapping=mapping)
    with interrupts.deferred():
        run = Run("labels", runs.parse_date(None), "labels")
        plan = resources.plan()
        with generations.locked(path, plan, run.identity()) as files:
            if files.hold() is None:
                raise WarehouseUnusable(
                    f"{path}: there is no such warehouse", "Run genrepipe score first, or check --warehouse"
                )
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
                names = [part.name for part in wanted.parts]
                runs.enter(database, runs.line(run, "published", sources=names, received=counted["received"]))
            files.publish(database)
    return {"status": "measured", "run_id": run.run_id, "warehouse": str(path), **counted, "performance": measured}


def _read_labels(database: Database, source: sources.Source) -> dict[str, int]:
    contract = contracts.load("source_tracks").table
    narrow = contract.model_copy(
        update={"properties": tuple(contract.column(name) for name in ("instance_id", "music_genre"))}
    )
    database.execute("CREATE OR REPLACE TEMP TABLE labels_read (position BIGINT, track_id VARCHAR, genre VARCHAR)")
    for part in source.parts:
        if part.kind == "csv":
            sources.check_whole(part.path)
        with parts.attached(database, part) as table:
            header = parts.header(database, part, source, table)
            at = sources.match_columns(header, _required(narrow), source.mapping, part.name)
            relation, names = parts.relation(part, source, header, table)
            instance, genre = (
                f"CAST({identifier(names[at[name] or 0])} AS VARCHAR)" for name in ("instance_id", "music_genre")
            )
            database.execute(
                f"INSERT INTO labels_read SELECT row_number() OVER () + (SELECT count(*) FROM labels_read), track_id_of({instance}), word({genre}) FROM {relation}",
                source=part.name,
            )
            if part.kind == "csv":
                database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    known = ", ".join(contracts.literal(genre) for genre in contracts.genres())
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE given AS SELECT track_id, last(genre ORDER BY position) AS genre FROM labels_read "
        f"WHERE track_id IS NOT NULL AND genre IN ({known}) GROUP BY track_id"
    )
    received, valid = database.rows(
        f"SELECT count(*), count(*) FILTER (track_id IS NOT NULL AND genre IN ({known})) FROM labels_read"
    )[0]
    if not valid:
        where = ", ".join(part.name for part in source.parts)
        raise SourceShapeError(f"{where} holds no label", f"Genres are {', '.join(contracts.genres())}")
    taken = database.value("SELECT count(*) FROM given SEMI JOIN tracks USING (track_id)")
    distinct = database.value("SELECT count(*) FROM given")
    return {"received": received, "labelled": taken, "unknown_tracks": distinct - taken, "repeated": valid - distinct, "not_labels": received - valid}  # fmt: skip


def _required(table: contracts.Table) -> contracts.Table:
    columns = tuple(column.model_copy(update={"customProperties": ()}) for column in table.properties)
    return table.model_copy(update={"properties": columns})
