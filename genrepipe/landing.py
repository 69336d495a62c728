"""The door in: source parts become one table of typed rows, each with its verdict.

Everything is read as text, so that what cannot be read is a row with a reason, and never a failed load. A row
keeps its received text only where it breaks the contract; of all others the typed values say the same.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from genrepipe import contracts, sources
from genrepipe.contracts import identifier, literal
from genrepipe.errors import SourceShapeError, TooManyRejected

if TYPE_CHECKING:
    from genrepipe.sources import Part, Source
    from genrepipe.warehouse import Database

# Names of the typed columns where they differ from the received ones.
TYPED_NAMES = {"instance_id": "track_id"}
MAX_LINE_BYTES = 2_000_000
PARSE_FAILURES = {
    "MISSING COLUMNS": "columns: has fewer cells than the header",
    "TOO MANY COLUMNS": "columns: has more cells than the header",
    "UNQUOTED VALUE": "quotes: a quoted cell does not end where it should",
    "LINE SIZE OVER MAXIMUM": f"size: is longer than {MAX_LINE_BYTES:,} bytes",
    "INVALID ENCODING": "encoding: is not UTF-8 text; see --encoding",
}


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
    parts = []
    for part in source.parts:
        if part.kind == "table":
            with _attached(database, part) as table:
                seen = database.rows(
                    f"SELECT count(*), sum(hash(t)), bit_xor(hash(t)) FROM {table} AS t", source=part.name
                )
                parts.append(str(seen))
        else:
            parts.append(sources.digest(part.path))
    how = json.dumps([parts, source.encoding, dict(sorted(source.mapping.items()))])
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
    database.execute("CREATE OR REPLACE TEMP TABLE files (file VARCHAR, first_row_id BIGINT, landed BIGINT)")
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


def check_breaker(database: Database, arrival: Arrival, where: str) -> None:
    """Stop the run where the source as a whole breaks the contract.

    Raises
    ------
    SourceShapeError
        There is no row.
    TooManyRejected
        More rows are quarantined than the contract allows.
    """
    limit = contracts.load("source_tracks").table.custom("maxQuarantinedPercent")
    if arrival.received == arrival.empty:
        raise SourceShapeError(f"{where} holds no tracks", "Check that the export was complete")
    if arrival.quarantined_percent > limit:
        undecodable = database.value(
            "SELECT count(*) FROM unparsed WHERE reason = ?", [PARSE_FAILURES["INVALID ENCODING"]]
        )
        raise TooManyRejected(
            f"{where}: {arrival.quarantined:,} of {arrival.received - arrival.empty:,} rows ({arrival.quarantined_percent:.1f} %) "
            f"break the contract, the limit is {limit} %",
            f"{undecodable:,} rows are not UTF-8: if the file is Latin-1, add --encoding latin-1"
            if undecodable
            else "Look at the reasons with: genrepipe validate",
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
    with _attached(database, part) as table:
        header = _header(database, part, source, table)
        if not any(name.strip() for name in header):
            if part.path.stat().st_size == 0:
                raise SourceShapeError(f"{part.name} is empty", "Check that the export was complete")
            raise SourceShapeError(
                f"{part.name} has no header that can be read",
                "If it is text but not UTF-8, add --encoding latin-1 or utf-16",
            )
        positions = sources.match_columns(header, contract, source.mapping, part.name)
        before = 0 if first else database.value("SELECT count(*) FROM landed")
        try:
            _read_rows(database, part, source, header, positions, table, first=first)
        except SourceShapeError:
            if part.kind != "csv":
                raise
            # DuckDB's strict reader gives up on files whose lines end in more than one way; the lenient one is slower.
            database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
            _read_rows(database, part, source, header, positions, table, first=first, strict=False)
        landed = database.value("SELECT count(*) FROM landed") - before
        database.execute("INSERT INTO files VALUES (?, ?, ?)", [part.name, before, landed])
        if part.kind == "csv":
            _keep_unparsed(database, part)
    used = {at for at in positions.values() if at is not None}
    spare = [name for i, name in enumerate(header) if i not in used]
    return [f"{part.name}: not used: {', '.join(spare)}"] if spare else []


def _read_rows(
    database: Database, part: Part, source: Source, header: list[str], positions: dict[str, int | None], table: str,
    *, first: bool, strict: bool = True,
) -> None:  # fmt: skip
    relation, names = _relation(part, source, header, table, strict)
    cells = ", ".join(
        f"{f'CAST({identifier(names[at])} AS VARCHAR)' if at is not None else 'NULL::VARCHAR'} AS {identifier(column)}"
        for column, at in positions.items()
    )
    database.execute(f"CREATE OR REPLACE TEMP VIEW received AS SELECT {cells} FROM {relation}", source=part.name)
    database.view("clean/10_typed")
    database.execute(f"CREATE OR REPLACE TEMP VIEW judged AS {_judgement()}")
    into = "CREATE OR REPLACE TEMP TABLE landed AS" if first else "INSERT INTO landed"
    database.execute(f"{into} SELECT * FROM judged", source=part.name)


def _judgement() -> str:
    """Return the SELECT that says of each typed row which rules it breaks."""
    holds, broken = [], []
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


class _attached:  # noqa: N801  used as a context manager
    """Attach the database of a table part, read-only, for as long as it is read."""

    def __init__(self, database: Database, part: Part) -> None:
        self.database, self.part = database, part
        # The warehouse's own tables can be a source too; a file cannot be attached to itself.
        own = database.path is not None and part.kind == "table" and part.path.samefile(database.path)
        self.attach = part.kind == "table" and not own

    def __enter__(self) -> str:
        if self.attach:
            statement = f"ATTACH {literal(str(self.part.path))} AS source_file (READ_ONLY)"
            self.database.execute(statement, source=self.part.name)
        names = [identifier(name) for name in self.part.table.split(".")]
        return ".".join((["source_file"] if self.attach else []) + names)

    def __exit__(self, *exception: object) -> None:
        if self.attach:
            self.database.execute("DETACH source_file")


def _escaped(part: Part) -> str:
    """Return the path as a literal, safe from DuckDB's own globbing."""
    path = "".join(f"[{character}]" if character in "*?[" else character for character in str(part.path))
    return literal(path)


def _header(database: Database, part: Part, source: Source, table: str) -> list[str]:
    if part.kind == "table":
        return [row[0] for row in database.rows(f"DESCRIBE SELECT * FROM {table}", source=part.name)]
    if part.kind == "parquet":
        return [
            row[0] for row in database.rows(f"DESCRIBE SELECT * FROM read_parquet({_escaped(part)})", source=part.name)
        ]
    line = database.value(
        f"SELECT line FROM read_csv({_escaped(part)}, header = false, auto_detect = false, delim = '', quote = '', escape = '', "
        f"strict_mode = false, ignore_errors = true, encoding = {literal(source.encoding)}, "
        f"max_line_size = {MAX_LINE_BYTES}, columns = {{'line': 'VARCHAR'}}) LIMIT 1",
        source=part.name,
    )
    try:
        return next(csv.reader([line or ""], delimiter=part.delimiter), [])
    except csv.Error:
        return []


def _relation(part: Part, source: Source, header: list[str], table: str, strict: bool) -> tuple[str, list[str]]:
    """Return the FROM clause of a part, and the names of its columns there."""
    if part.kind == "table":
        return table, header
    if part.kind == "parquet":
        return f"read_parquet({_escaped(part)})", header
    names = [f"c{i}" for i in range(len(header))]
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    return (
        f"read_csv({_escaped(part)}, header = true, auto_detect = false, delim = {literal(part.delimiter)}, "
        f"quote = '\"', escape = '\"', encoding = {literal(source.encoding)}, max_line_size = {MAX_LINE_BYTES}, "
        f"strict_mode = {strict}, store_rejects = true, rejects_limit = 0, columns = {{{columns}}})"
    ), names


def _keep_unparsed(database: Database, part: Part) -> None:
    """Move what the CSV reader refused into ``unparsed``; its line count has the header as line 1."""
    told = "CASE error_type " + " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in PARSE_FAILURES.items())
    database.execute(
        f"""
        INSERT INTO unparsed
        SELECT {literal(part.name)}, line - 1, line - 1 - row_number() OVER (ORDER BY line), reason, received
        FROM (
            SELECT line, any_value({told} ELSE lower(error_type) END) AS reason, any_value(csv_line) AS received
            FROM reject_errors GROUP BY line
        )
        """
    )
    database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")


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
