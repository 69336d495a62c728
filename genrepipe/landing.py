"""The door in: source parts become one table of typed rows, each with its verdict.

Everything is read as text, so that what cannot be read is a row with a reason, and never a failed load. A row
keeps its received text only where it breaks the contract; of all others the typed values say the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from genrepipe import contracts, parts, sources
from genrepipe.contracts import identifier, literal
from genrepipe.errors import SourceShapeError, TooManyRejected

if TYPE_CHECKING:
    from genrepipe.database import Database
    from genrepipe.sources import Part, Source

SWALLOWED = "row.quotes: a cell holds what looks like other rows"
# Names of the typed columns where they differ from the received ones.
TYPED_NAMES = {"instance_id": "track_id"}


@dataclass(frozen=True)
class Arrival:
    """How many rows came, and what became of them at the door."""

    received: int
    accepted: int
    quarantined: int
    duplicates: int
    empty: int

    @property
    def quarantined_percent(self) -> float:
        """Share of the rows with any value that are kept out."""
        rows = self.received - self.empty
        return 100 * self.quarantined / rows if rows else 0.0


def fingerprint(database: Database, source: Source) -> str:
    """Return a sha256 over the content of every part and the way it is read."""
    contents = []
    for part in source.parts:
        if part.kind == "table":
            with parts.attached(database, part) as table:
                seen = database.rows(
                    f"SELECT count(*), sum(hash(t)), bit_xor(hash(t)) FROM {table} AS t", source=part.name
                )
                contents.append(str(seen))
        else:
            contents.append(sources.digest(part.path))
    how = json.dumps([contents, source.encoding, dict(sorted(source.mapping.items()))])
    return hashlib.sha256(how.encode()).hexdigest()


def land(database: Database, source: Source) -> tuple[Arrival, list[str]]:
    """Read all parts into the temporary table ``landed`` and judge each row.

    Leaves the temporary tables ``landed``, ``files``, ``unparsed`` and ``doubled`` and the view ``accepted``.

    Returns
    -------
    The counts, and notes for the user (columns that were not used).

    Raises
    ------
    SourceShapeError
        A part is not a table, or its columns are not those of the contract.
    StorageError
        A part cannot be read.
    """
    database.macros()
    database.execute("CREATE OR REPLACE TEMP TABLE files (file VARCHAR, first_row_id BIGINT, row_count BIGINT)")
    database.execute(
        "CREATE OR REPLACE TEMP TABLE unparsed "
        "(file VARCHAR, row_number BIGINT, landed_before BIGINT, reason VARCHAR, received VARCHAR)"
    )
    notes = []
    for number, part in enumerate(source.parts):
        notes += _land_part(database, part, source, first=number == 0)
    database.table("clean/30_doubled")
    database.view("clean/40_accepted")
    return _count(database), notes


def check_arrived(arrival: Arrival, where: str) -> None:
    """Stop where there is nothing to score.

    Raises
    ------
    SourceShapeError
        There is no row.
    """
    if arrival.received == arrival.empty:
        raise SourceShapeError(f"{where} holds no tracks", "Check that the export was complete")


def leave_counts(database: Database, arrival: Arrival, source_sha256: str, age_hours: float) -> None:
    """Leave what the contract's queries ask for: the table ``arrival`` of one row, and ``recent`` run dates of the job."""
    database.execute(
        "CREATE OR REPLACE TEMP TABLE arrival AS SELECT ?::BIGINT AS received, ?::BIGINT AS accepted, ?::BIGINT AS quarantined, "
        "?::BIGINT AS duplicates, ?::BIGINT AS empty, ?::VARCHAR AS source_sha256, ?::DOUBLE AS source_age_hours",
        [*counts(arrival).values(), source_sha256, age_hours],
    )
    database.execute(
        "CREATE OR REPLACE TEMP TABLE recent AS SELECT runs.run_date, received, source_sha256 FROM runs CROSS JOIN run "
        "WHERE status = 'published' AND action = 'score' AND runs.job = run.job AND runs.run_date < run.run_date "
        "QUALIFY row_number() OVER (PARTITION BY runs.run_date ORDER BY finished_at DESC) = 1 ORDER BY runs.run_date DESC LIMIT 7"
    )


def check_breaker(database: Database, arrival: Arrival, where: str, limit: float | None = None) -> None:
    """Stop where too many rows are quarantined; ``catalogue.begin`` has named the run. ``limit``, in percent, is by default the contract's.

    Raises
    ------
    TooManyRejected
        The message names the most frequent reason.
    """
    limit = contracts.load("source_tracks").table.limits["quarantined_percent"].limit if limit is None else limit
    if arrival.quarantined_percent > limit:
        database.view("clean/90_quarantined")
        most = reasons(database, examples=1)[0]
        remedy = "Look at all reasons: genrepipe validate, with the same source and flags"
        if "row.encoding" in str(most["reason"]):
            remedy = "If the file is Latin-1, add --encoding latin-1"
        raise TooManyRejected(
            f"{where}: {arrival.quarantined:,} of {arrival.received - arrival.empty:,} rows ({arrival.quarantined_percent:.1f} %) "
            f"break the contract, the limit is {limit:g} %; most often {most['reason']} ({most['rows']:,} rows)",
            remedy,
        )


def reasons(database: Database, examples: int = 5) -> list[dict[str, object]]:
    """Return the quarantine of this run grouped by rule, with a few examples of each, most frequent first."""
    rows = database.rows(
        "SELECT reason, count(*), list({'file': file, 'row': row_number, 'track_id': track_id} "
        f"ORDER BY file, row_number)[1:{examples}] "
        "FROM (SELECT file, row_number, track_id, unnest(reasons) AS reason FROM quarantined) GROUP BY reason ORDER BY 2 DESC, 1"
    )
    return [{"reason": reason, "rows": count, "examples": shown} for reason, count, shown in rows]


def _land_part(database: Database, part: Part, source: Source, *, first: bool) -> list[str]:
    contract = contracts.load("source_tracks").table
    if part.kind == "csv":
        sources.check_whole(part.path)
    with parts.attached(database, part) as table:
        header = parts.header(database, part, source, table)
        if not any(name.strip() for name in header):
            if part.path.stat().st_size == 0:
                raise SourceShapeError(f"{part.name} is empty", "Check that the export was complete")
            raise SourceShapeError(
                f"{part.name} has no header that can be read",
                "If it is text but not UTF-8, add --encoding latin-1 or utf-16",
            )
        positions = sources.match_columns(header, contract, source.mapping, part.name)
        before = 0 if first else database.value("SELECT count(*) FROM landed")
        _read_rows(database, part, source, header, positions, table, first=first)
        landed = database.value("SELECT count(*) FROM landed") - before
        database.execute("INSERT INTO files VALUES (?, ?, ?)", [part.name, before, landed])
        if part.kind == "csv":
            parts.keep_unparsed(database, part)
            _refuse_swallowed(database, part, before, len(header))
    used = {at for at in positions.values() if at is not None}
    spare = [name.strip() or f"column {i + 1}" for i, name in enumerate(header) if i not in used]
    return [f"{part.name}: not used: {', '.join(spare)}"] if spare else []


def _read_rows(
    database: Database, part: Part, source: Source, header: list[str], positions: dict[str, int | None], table: str,
    *, first: bool,
) -> None:  # fmt: skip
    bytes_are_text = part.kind == "csv" and source.encoding != "utf-16"
    rewrite = bytes_are_text and sources.lone_returns(part.path)
    try:
        _insert_rows(database, part, source, header, positions, table, first=first, rewrite=rewrite)
    except SourceShapeError:
        # DuckDB's strict reader gives up where lines end in more than one way; its lenient one drops cells in silence.
        if rewrite or not bytes_are_text or part.path.suffix == ".zst":
            raise
        database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
        _insert_rows(database, part, source, header, positions, table, first=first, rewrite=True)


def _insert_rows(
    database: Database, part: Part, source: Source, header: list[str], positions: dict[str, int | None], table: str,
    *, first: bool, rewrite: bool,
) -> None:  # fmt: skip
    with parts.readable(part, database.scratch, rewrite=rewrite) as readable:
        relation, names = parts.relation(readable, source, header, table)
        cells = ", ".join(
            f"{f'CAST({identifier(names[at])} AS VARCHAR)' if at is not None else 'NULL::VARCHAR'} AS {identifier(column)}"
            for column, at in positions.items()
        )
        database.execute(f"CREATE OR REPLACE TEMP VIEW received AS SELECT {cells} FROM {relation}", source=part.name)
        database.view("clean/10_typed")
        into = "CREATE OR REPLACE TEMP TABLE landed AS" if first else "INSERT INTO landed"
        database.execute(f"{into} {_judgement()}", source=part.name)


def _refuse_swallowed(database: Database, part: Part, before: int, columns: int) -> None:
    """Stop where a quote that is never closed made one cell of several rows: these could not be counted.

    Raises
    ------
    SourceShapeError
        A cell, or a line that could not be parsed, holds a line break and the delimiters of more than one row.
    """
    several = 3 * (columns - 1) // 2
    row = database.value(
        f"""
        SELECT min(row_number) FROM (
            SELECT row_number FROM unparsed
            WHERE file = ? AND contains(received, chr(10)) AND length(received) - length(replace(received, {literal(part.delimiter)}, '')) >= {several}
            UNION ALL
            SELECT rowid - {before} + 1 FROM landed
            WHERE rowid >= {before} AND list_contains(broken_rules, {literal(SWALLOWED)})
        )
        """,
        [part.name],
    )
    if row is not None:
        raise SourceShapeError(
            f"{part.name}: a quote that opens in row {row:,} is not closed and swallows the rows after it",
            "Correct the quotes, or export again with every quote in a cell doubled",
        )


def _judgement() -> str:
    """Return the SELECT that says of each typed row which rules it breaks."""
    # No cell of a good row has a line break and the commas of half a row; CASE leaves the count to the few long cells.
    swallowed = " OR ".join(
        f"CASE WHEN strlen(received.{name}) > 60 THEN contains(received.{name}, chr(10)) "
        f"AND len(string_split_regex(received.{name}, '[,\\t]')) > 10 END"
        for name in ("instance_id", "artist_name", "track_name", "obtained_date")
    )
    holds = [f"NOT coalesce({swallowed}, false)"]
    broken = [f"CASE WHEN {swallowed} THEN {literal(SWALLOWED)} END"]
    for column in contracts.load("source_tracks").table.properties:
        typed = identifier(TYPED_NAMES.get(column.name, column.name))
        predicates = {
            rule: rule.sql(typed, f"received.{identifier(column.name)}") for rule in contracts.rules_of(column)
        }
        every = " AND ".join(predicates.values()) or "true"
        low, high = column.logicalTypeOptions.minimum, column.logicalTypeOptions.maximum
        if column.logicalType == "number" and low is not None and high is not None:
            # A number within its bounds keeps every rule of its column; only the others take the long way.
            every = f"CASE WHEN {typed} BETWEEN {literal(low)} AND {literal(high)} THEN true ELSE {every} END"
        holds.append(every)
        broken += [f"CASE WHEN NOT ({sql}) THEN {literal(rule.reason)} END" for rule, sql in predicates.items()]
    return (
        f"SELECT * EXCLUDE (received, holds), CASE WHEN holds THEN NULL ELSE list_filter([{', '.join(broken)}], "
        "lambda reason: reason IS NOT NULL) END AS broken_rules, "
        "CASE WHEN holds THEN NULL ELSE to_json(received)::VARCHAR END AS received "
        f"FROM (SELECT *, is_empty OR coalesce({' AND '.join(holds)}, true) AS holds FROM typed)"
    )


def _count(database: Database) -> Arrival:
    landed, empty, broken = database.rows(
        "SELECT count(*), count(*) FILTER (is_empty), count(broken_rules) FROM landed"
    )[0]
    unparsed = database.value("SELECT count(*) FROM unparsed")
    doubled, contradicting = database.rows("SELECT count(*), count(*) FILTER (contradicts) FROM doubled")[0]
    return Arrival(
        received=landed + unparsed,
        accepted=landed - empty - broken - doubled,
        quarantined=unparsed + broken + contradicting,
        duplicates=doubled - contradicting,
        empty=empty,
    )


def counts(arrival: Arrival) -> dict[str, int]:
    """Return the counts by name."""
    return asdict(arrival)
