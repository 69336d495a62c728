"""Source parts become one table of typed rows, each with the rules that it breaks.

Everything is read as text, so that a cell that cannot be read is a row with a reason, never a failed load.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genrepipe import contracts
from genrepipe.contracts.rules import SWALLOWED
from genrepipe.core.errors import SourceShapeError
from genrepipe.core.quoting import literal
from genrepipe.ingest import reader, recognition, sources
from genrepipe.warehouse.ledger import RowCounts

if TYPE_CHECKING:
    from genrepipe.ingest.reader import Reading
    from genrepipe.ingest.sources import Part, Source
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.steps import Steps


@dataclass(frozen=True)
class Landing:
    """What arrived.

    Attributes
    ----------
    notes
        For the user, such as columns that were not used.
    absent
        Audio features of which a part has no column, as its recipe says.
    """

    counts: RowCounts
    notes: list[str]
    absent: list[str]


def fingerprint(database: Database, source: Source) -> str:
    """Return a sha256 over the content of every part and the way it is read."""
    contents = []
    for part in source.parts:
        if part.kind == "table":
            with reader.opened(database, part) as table:
                content = database.rows(
                    f"SELECT count(*), sum(hash(t)), bit_xor(hash(t)) FROM {table} AS t", reading=part
                )
                contents.append(str(content))
        else:
            contents.append(sources.digest(part.path, part.name))
    recipe = source.recipe.names() if source.recipe.is_empty() else source.recipe.dumped()
    how = json.dumps([contents, source.encoding, recipe], sort_keys=True)
    return hashlib.sha256(how.encode()).hexdigest()


def land(steps: Steps, source: Source, *, recognise: bool = False) -> Landing:
    """Read all parts of a source and judge each row.

    Binds the relations ``parts``, ``unparsed``, ``known_rows`` and ``landed``, and makes ``superseded`` and ``accepted``.

    Parameters
    ----------
    recognise
        Clean only the rows that the job's run date before did not have; the others are known by their hash.

    Raises
    ------
    SourceShapeError
        A part is not a table, or its columns are not those of the contract.
    StorageError
        A part cannot be read.
    """
    for relation in ("parts", "unparsed", "known_rows"):
        steps.declare(relation)
    if recognise:
        steps.make("recognisable_rows")
        recognise = bool(steps.database.value("SELECT count(*) FROM recognisable_rows"))
    notes: list[str] = []
    absent: set[str] = set()
    for ordinal, part in enumerate(source.parts):
        reading, said = _land_part(steps, part, source, ordinal, recognise=recognise)
        notes += [f"{part.name}: {note}" for note in said]
        if reading.header:
            absent |= {
                ours
                for ours, at in reading.columns.positions.items()
                if at is None and not source.recipe.has_value(ours)
            }
    if "landed" not in steps:
        raise SourceShapeError(
            f"{', '.join(part.name for part in source.parts)}: every part is empty",
            "Check that the export was complete",
        )
    if recognise:
        recognition.dispute(steps)
        steps.release("recognisable_rows")
    steps.make("superseded", "accepted")
    audio = contracts.load("features").named("audio_features").columns
    return Landing(count(steps.database), notes, [column for column in audio if column in absent])


def count(database: Database) -> RowCounts:
    """Count what became of every row that landed."""
    landed, empty, broken, filtered = database.rows(
        "SELECT count(*), count(*) FILTER (is_empty), count(broken_rules), "
        f"count(*) FILTER (is_empty AND {reader.FILTERED_IN} = {literal(reader.FILTERED)}) FROM landed"
    )[0]
    unparsed, known = database.rows("SELECT (SELECT count(*) FROM unparsed), (SELECT count(*) FROM known_rows)")[0]
    superseded, contradicting = database.rows("SELECT count(*), count(*) FILTER (contradicts) FROM superseded")[0]
    return RowCounts(
        received=landed + known + unparsed - filtered,
        accepted=landed + known - empty - broken - superseded,
        quarantined=unparsed + broken + contradicting,
        duplicates=superseded - contradicting,
        empty=empty - filtered,
        filtered=filtered,
    )


def refuse_empty(counts: RowCounts, where: str) -> None:
    """Stop where there is nothing to score.

    Raises
    ------
    SourceShapeError
        There is no row, or none that holds anything.
    """
    if counts.received == counts.empty:
        raise SourceShapeError(f"{where} holds no tracks", "Check that the export was complete")


def _land_part(steps: Steps, part: Part, source: Source, ordinal: int, *, recognise: bool) -> tuple[Reading, list[str]]:
    """Land one part, and return how it was read and what to say of it."""
    database = steps.database
    database.execute(f"INSERT INTO parts VALUES ({ordinal}, {literal(part.name)})")
    before = int(database.value("SELECT count(*) FROM landed")) if "landed" in steps else 0
    rows, recognised = 0, 0

    def insert(received: str) -> int:
        nonlocal rows, recognised
        recognised = recognition.recognise(steps, received, part) if recognise else 0
        with database.joins_as_written() if recognised else nullcontext():
            _clean(steps, part, recognition.unknown(received) if recognised else received)
        rows = recognised + int(database.value("SELECT count(*) FROM landed")) - before
        return rows

    reading = reader.read(database, part, source, contracts.load("source_tracks").table, ordinal, insert)
    if not reading.header:
        return reading, [*reading.notes]
    if recognised:
        _number_rows(database, "lines", ordinal, 0, reading.rejected)
        recognition.take(steps, before)
    else:
        _number_rows(database, "landed", ordinal, before, reading.rejected)
    if part.kind == "csv":
        swallowed = (
            f"SELECT row_number_of(row_id) FROM landed WHERE part_of(row_id) = {ordinal} "
            f"AND list_contains(broken_rules, {literal(SWALLOWED)})"
        )
        reader.refuse_swallowed(database, part, reading, ordinal, swallowed)
    reader.refuse_uncounted(part, reading, rows + reading.rejected)
    used = reading.columns.used
    unused = [name.strip() or f"column {i + 1}" for i, name in enumerate(reading.header) if i not in used]
    return reading, [*reading.notes, *([f"not used: {', '.join(unused)}"] if unused else [])]


def _clean(steps: Steps, part: Part, received: str) -> None:
    """Append the received rows to the relation ``landed``, cleaned and judged."""
    with steps.bound("received", received, reading=part):
        steps.make("judged")
        rows = "SELECT NULL::BIGINT AS row_id, * FROM judged"
        if "landed" in steps:
            steps.database.execute(f"INSERT INTO landed {rows}", reading=part)
        else:
            steps.bind("landed", rows, kind="table", reading=part)


def _number_rows(database: Database, table: str, ordinal: int, before: int, rejected: int) -> None:
    """Give the rows of a part, those of a table from a position on, their ids.

    A load keeps the order of its file, so this is the one place where the order of storage is looked at. Rows that were
    rejected have their numbers already, and those after them are numbered past them.
    """
    if not rejected:
        database.execute(
            f"UPDATE {table} SET row_id = row_id_of({ordinal}, rowid - {before} + 1) WHERE rowid >= {before}"
        )
        return
    database.execute(
        f"""
        UPDATE {table} SET row_id = row_id_of({ordinal}, numbered.row_number)
        FROM (
            SELECT positions.id, positions.position + coalesce(rejects.rank, 0) AS row_number
            FROM (SELECT rowid AS id, rowid - {before} + 1 AS position FROM {table} WHERE rowid >= {before}) AS positions
            ASOF LEFT JOIN (
                SELECT row_number_of(row_id) - rank AS landed_before, max(rank) AS rank
                FROM (SELECT row_id, row_number() OVER (ORDER BY row_id) AS rank FROM unparsed WHERE part_of(row_id) = {ordinal})
                GROUP BY landed_before
            ) AS rejects ON positions.position > rejects.landed_before
        ) AS numbered
        WHERE {table}.rowid = numbered.id
        """
    )
