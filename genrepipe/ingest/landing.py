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
from genrepipe.core.quoting import identifier, literal
from genrepipe.ingest import pieces, reader, recognition, sources
from genrepipe.warehouse.ledger import RowCounts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genrepipe.ingest.pieces import Piece
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


@dataclass(frozen=True)
class LandedPart:
    """What there is to say of one part: whether it has a header, notes for the user, and the columns that it lacks."""

    has_header: bool = False
    notes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def fingerprint(database: Database, source: Source) -> str:
    """Return a sha256 over the content of every part and the way it is read."""
    return fingerprint_of(source, [content(database, part) for part in source.parts])


def content(database: Database, part: Part) -> str:
    """Return what tells the content of a part from any other."""
    if part.kind != "table":
        return sources.digest(part.path, part.name)
    with reader.opened(database, part) as table:
        return str(database.rows(f"SELECT count(*), sum(hash(t)), bit_xor(hash(t)) FROM {table} AS t", reading=part))


def fingerprint_of(source: Source, contents: list[str]) -> str:
    """Return the same of a source whose parts have these contents."""
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
    landed = [
        _land_part(steps, part, source, ordinal, recognise=recognise) for ordinal, part in enumerate(source.parts)
    ]
    refuse_without_rows(source, landed)
    if recognise:
        recognition.dispute(steps)
        steps.release("recognisable_rows")
    steps.make("superseded", "accepted")
    return together(count(steps.database), landed)


def together(counts: RowCounts, landed: Iterable[LandedPart]) -> Landing:
    """Return what arrived in all parts."""
    landed = list(landed)
    absent = {name for part in landed for name in part.absent}
    audio = contracts.load("features").named("audio_features").columns
    notes = dict.fromkeys(note for part in landed for note in part.notes)
    return Landing(counts, [*notes], [column for column in audio if column in absent])


def refuse_without_rows(source: Source, landed: Iterable[LandedPart]) -> None:
    """Stop where no part has a header.

    Raises
    ------
    SourceShapeError
        None has.
    """
    if not any(part.has_header for part in landed):
        raise SourceShapeError(
            f"{', '.join(part.name for part in source.parts)}: every part is empty",
            "Check that the export was complete",
        )


def land_piece(steps: Steps, source: Source, piece: Piece) -> LandedPart:
    """Read a piece of a part, and judge each row by itself.

    Binds the relations ``parts``, ``unparsed`` and ``landed``, which is missing where the part has no rows.

    Raises
    ------
    SourceShapeError
        The part is not a table, or its columns are not those of the contract.
    StorageError
        The part cannot be read.
    """
    for relation in ("parts", "unparsed", "known_rows"):
        steps.declare(relation)
    with pieces.opened(piece, source.parts[piece.ordinal], steps.database.scratch) as part:
        landed = _land_part(steps, part, source, piece.ordinal, recognise=False)
    for table in ("landed", "unparsed"):
        if piece.first and table in steps:
            steps.database.execute(f"UPDATE {table} SET row_id = row_id + {piece.first}")
    return landed


def declare_landed(steps: Steps) -> None:
    """Bind the relation ``landed`` to an empty table, for rows that were cleaned elsewhere."""
    if not _landed_columns:  # found once in a process: to plan the cleaning takes longer than to clean a few rows
        columns = contracts.load("source_tracks").table.columns
        nothing = ", ".join(f"NULL::VARCHAR AS {identifier(name)}" for name in columns)
        with steps.bound("received", f"SELECT {nothing} WHERE false"):
            steps.make("judged")
            _landed_columns.update({name: kind for name, kind, *_ in steps.database.rows("DESCRIBE judged")})
    columns_of = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in _landed_columns.items())
    steps.bind("landed", f"SELECT NULL::BIGINT AS row_id, {columns_of} WHERE false", kind="table")


_landed_columns: dict[str, str] = {}


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


def _land_part(steps: Steps, part: Part, source: Source, ordinal: int, *, recognise: bool) -> LandedPart:
    """Land one part, and return what there is to say of it."""
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
        return LandedPart(notes=tuple(f"{part.name}: {note}" for note in reading.notes))
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
    notes = [*reading.notes, *([f"not used: {', '.join(unused)}"] if unused else [])]
    absent = [
        ours for ours, at in reading.columns.positions.items() if at is None and not source.recipe.has_value(ours)
    ]
    return LandedPart(True, tuple(f"{part.name}: {note}" for note in notes), tuple(absent))


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
