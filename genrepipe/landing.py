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
            contents.append(sources.digest(part.path, part.name))
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
    parts.begin(database)
    database.execute("CREATE OR REPLACE TEMP TABLE files (file VARCHAR, first_row_id BIGINT, row_count BIGINT)")
    notes = []
    for number, part in enumerate(source.parts):
        notes += _land_part(database, part, source, first=number == 0)
    database.table("clean/30_doubled")
    database.view("clean/40_accepted")
    return _count(database), notes


def keep_standing(database: Database) -> Arrival:
    """Keep out those rows of a replay whose track the run that they correct has predicted, and return the counts anew.

    Of rows with one id the last in source order stands, and it came with that run. ``catalogue.begin`` has named the run.
    """
    database.execute(
        "INSERT INTO doubled SELECT row_id, true FROM accepted WHERE track_id IN ("
        "SELECT track_id FROM predictions WHERE run_id IN (SELECT runs.run_id FROM runs JOIN run USING (job, run_date) WHERE action = 'score'))"
    )
    return _count(database)


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
    before = 0 if first else int(database.value("SELECT count(*) FROM landed"))

    def insert(received: str) -> None:
        database.execute(f"CREATE OR REPLACE TEMP VIEW received AS {received}", source=part.name)
        database.view("clean/10_typed")
        into = "CREATE OR REPLACE TEMP TABLE landed AS" if first else "INSERT INTO landed"
        database.execute(f"{into} {_judgement()}", source=part.name)

    header, positions = parts.read(database, part, source, contract, insert)
    landed = database.value("SELECT count(*) FROM landed") - before
    database.execute("INSERT INTO files VALUES (?, ?, ?)", [part.name, before, landed])
    if part.kind == "csv":
        parts.keep_unparsed(database, part)
        parts.refuse_cut(database, part, landed)
        swallowed = f"SELECT rowid - {before} + 1 FROM landed WHERE rowid >= {before} AND list_contains(broken_rules, {literal(SWALLOWED)})"
        parts.refuse_swallowed(database, part, len(header), swallowed)
    used = {at for at in positions.values() if at is not None}
    spare = [name.strip() or f"column {i + 1}" for i, name in enumerate(header) if i not in used]
    return [f"{part.name}: not used: {', '.join(spare)}"] if spare else []


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
