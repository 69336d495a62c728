"""Take genre labels that arrive after the tracks, and measure the runs that predicted them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genrepipe import contracts
from genrepipe.core import resources, signals
from genrepipe.core.errors import SourceShapeError
from genrepipe.core.events import SILENT, Reporter
from genrepipe.core.quoting import literal
from genrepipe.engines import catalogue, distributed
from genrepipe.ingest import reader, sources
from genrepipe.pipeline.results import LabelsResult
from genrepipe.quality import performance
from genrepipe.warehouse import lake, ledger
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.session import write_session
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.ingest.sources import Part, Source

COLUMNS = ("instance_id", "music_genre")


@dataclass(frozen=True)
class LabelCounts:
    """What became of every row of a source of labels."""

    received: int
    labelled: int
    unknown_tracks: int
    repeated: int
    not_labels: int


def take_labels(
    warehouse: Path, source: tuple[str, ...], encoding: str = "utf-8", recipe: SourceRecipe | None = None,
    reporter: Reporter = SILENT,
) -> LabelsResult:  # fmt: skip
    """Put labels into the catalogue, and measure every run date that predicted those tracks.

    The source needs the columns ``instance_id`` and ``music_genre``; others are not read. Of several labels of one
    track the last in source order counts.

    Raises
    ------
    SourceShapeError
        A column is missing, or nothing in the source is a label.
    WarehouseUnusable
        There is no such warehouse.
    """
    with signals.deferred(), sources.open_source(source, encoding=encoding, recipe=recipe) as opened:
        run, plan = Run("labels", ledger.parse_date(None), "labels"), resources.plan()
        with write_session(warehouse, run, plan) as session:
            session.require_current()
            database = session.begin()
            steps = Steps(database)
            steps.bind_row("run", **run.relation())
            counts = _read(steps, opened)
            database.forbid_file_access(lake.folders(database))
            with session.publishing():
                if lake.is_lake(database):
                    distributed.relabel(steps, run, plan)
                else:
                    catalogue.label(steps)
                predicted = database.rows(
                    "SELECT DISTINCT runs.run_date, job FROM (SELECT DISTINCT job, from_run_date, to_run_date FROM prediction_history "
                    "SEMI JOIN new_labels USING (track_id)) JOIN runs USING (job) WHERE status = 'published' AND action = 'score' "
                    "AND runs.run_date BETWEEN from_run_date AND to_run_date ORDER BY ALL"
                )
                measured = [
                    each
                    for day, job in predicted
                    for role in performance.ROLES
                    for each in performance.measure(database, run, job, day, role)
                ]
                columns = {
                    "sources": [part.name for part in opened.parts], "received": counts.received,
                    "duplicates": counts.repeated, "withheld": counts.received - counts.repeated,
                }  # fmt: skip
                ledger.append(database, ledger.line(run, "published", **columns))
    if not counts.labelled:
        reporter.warning(
            "unknown_tracks", unknown_tracks=counts.unknown_tracks,
            remedy="No label matches a known track: compare instance_id with track_id of the catalogue",
        )  # fmt: skip
    return LabelsResult(
        run.run_id, str(warehouse), counts.received, counts.labelled, counts.unknown_tracks, counts.repeated,
        counts.not_labels, measured,
    )  # fmt: skip


def _read(steps: Steps, source: Source) -> LabelCounts:
    """Bind the relation ``new_labels``, one row for each track, and count what became of every row of the source."""
    database = steps.database
    contract = contracts.load("source_tracks").table
    columns = tuple(contract.column(name).model_copy(update={"customProperties": ()}) for name in COLUMNS)
    two_columns = contract.model_copy(update={"properties": columns})
    steps.declare("unparsed")
    database.execute("CREATE TEMP TABLE labels_read (position BIGINT, track_id VARCHAR, genre VARCHAR)")
    for ordinal, part in enumerate(source.parts):
        before = database.value("SELECT count(*) FROM labels_read")

        def insert(received: str, part: Part = part, before: int = before) -> int:
            database.execute(
                f"INSERT INTO labels_read SELECT row_number() OVER () + {before}, track_id_of(instance_id), trimmed(music_genre) FROM ({received})",
                reading=part,
            )
            return int(database.value("SELECT count(*) FROM labels_read")) - before

        reading = reader.read(database, part, source, two_columns, ordinal, insert)
        if part.kind == "csv" and reading.header:
            swallowed = (
                f"SELECT position - {before} FROM labels_read WHERE position > {before} "
                "AND contains(concat(track_id, genre), chr(10))"
            )
            reader.refuse_swallowed(database, part, reading, ordinal, swallowed)
            landed = database.value("SELECT count(*) FROM labels_read") - before
            reader.refuse_uncounted(part, reading, landed + reading.rejected)
    known = ", ".join(literal(genre) for genre in contracts.genres())
    steps.bind(
        "new_labels",
        f"SELECT track_id, last(genre ORDER BY position) AS genre FROM labels_read "
        f"WHERE track_id IS NOT NULL AND genre IN ({known}) GROUP BY track_id",
        kind="table",
    )
    received, valid = database.rows(
        f"SELECT count(*) + (SELECT count(*) FROM unparsed), count(*) FILTER (track_id IS NOT NULL AND genre IN ({known})) FROM labels_read"
    )[0]
    if not valid:
        where = ", ".join(part.name for part in source.parts)
        raise SourceShapeError(f"{where} holds no label", f"Genres are {', '.join(contracts.genres())}")
    labelled = database.value("SELECT count(*) FROM new_labels SEMI JOIN tracks USING (track_id)")
    distinct = database.value("SELECT count(*) FROM new_labels")
    return LabelCounts(received, labelled, distinct - labelled, valid - distinct, received - valid)
