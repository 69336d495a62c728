"""Quarantined rows and their way back: listed, exported whole, corrected, replayed.

An export is a CSV of the rows as they were received, with the reasons beside them and each row's id in the last column.
Corrected, it is a source like any other, whose accepted rows join the predictions of that run date.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core.errors import SourceMissing, StorageError, UsageError
from genrepipe.core.results import Result

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.ledger import Run
    from genrepipe.warehouse.steps import Steps

ID = "quarantine_id"
REASONS = "reasons"
EXAMPLES = 5
VALUE = 60
DELIMITERS = ",;\t"
# A cell that spreadsheets may run as a formula: after white space, one of these signs, also in full width, unless the whole
# is a number. A quote before it makes it text (OWASP, CSV injection).
_SIGN = r"[\s\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]"
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
FORMULA = re.compile(rf"(?!{_NUMBER}\Z)(?:{_SIGN}|[\t\r\n])")
NEUTRAL = re.compile(rf"\A'(?=(?!{_NUMBER}\Z)(?:{_SIGN}|[\t\r\n]))")


@dataclass(frozen=True)
class Reason(Result):
    """A reason for which rows are quarantined, how many, and a few of them."""

    reason: str
    rows: int
    examples: list[dict[str, Any]]


@dataclass(frozen=True)
class BrokenRule(Reason):
    """The same of a run's own rows, with the values that break the rule and how many rows have each, the most frequent first."""

    values: list[dict[str, Any]]


@dataclass(frozen=True)
class OpenRows(Reason):
    """The same of a job's open rows of a run date."""

    run_date: str
    job: str


def save(steps: Steps, run: Run, *, published: bool = True) -> None:
    """Write the run's quarantined rows; those of the job's earlier runs of the date go.

    Where this run is refused, only those of refused runs go. A replay writes none: its rows are there. One whose row was
    predicted, or says what a predicted one says, is resolved; one that is rejected again stays open, as first received.
    """
    database = steps.database
    steps.make("earlier_runs")
    if run.action == "replay":
        database.execute(
            "UPDATE quarantine SET resolved_by = run.run_id FROM run, landed LEFT JOIN superseded USING (row_id) "
            "WHERE quarantine.run_id IN (SELECT run_id FROM earlier_runs) AND quarantine.quarantine_id = landed.quarantine_id "
            "AND resolved_by IS NULL AND NOT is_empty AND broken_rules IS NULL AND NOT coalesce(contradicts, false)"
        )
        return
    steps.make("quarantined")
    only = "" if published else "WHERE status = 'refused'"
    database.execute(f"DELETE FROM quarantine WHERE run_id IN (SELECT run_id FROM earlier_runs {only})")
    database.execute("INSERT INTO quarantine BY NAME FROM quarantined")


def reasons(steps: Steps, examples: int = EXAMPLES) -> list[BrokenRule]:
    """Return the reasons of this run's quarantined rows, the most frequent first, each with a few examples and values.

    A value is that of the cell after any recipe, at most ``VALUE`` characters of it; a row that could not be parsed has none.
    """
    steps.make("quarantined")
    rows = steps.database.rows(
        f"""
        WITH broken AS (SELECT file, row_number, track_id, received, unnest(reasons) AS reason FROM quarantined),
        valued AS (
            SELECT reason, left(try(json_extract_string(received, '$.' || split_part(reason, '.', 1))), {VALUE}) AS value, count(*) AS rows
            FROM broken WHERE starts_with(received, '{{') GROUP BY ALL
        )
        SELECT reason, count(*), list({{'file': file, 'row': row_number, 'track_id': track_id}} ORDER BY file, row_number)[1:{examples}],
            (SELECT coalesce(list({{'value': value, 'rows': rows}} ORDER BY rows DESC, value)[1:{examples}], [])
             FROM valued WHERE valued.reason = broken.reason AND value IS NOT NULL)
        FROM broken GROUP BY reason ORDER BY 2 DESC, 1
        """
    )
    return [BrokenRule(*row) for row in rows]


def open_rows(database: Database, run_date: date | None, examples: int = EXAMPLES) -> list[OpenRows]:
    """Return the reasons of each job's open rows of one or every run date, each with a few examples."""
    rows = database.rows(
        f"""
        SELECT reason, count(*), list({{'id': quarantine_id, 'file': file, 'row': row_number, 'track_id': track_id}}
            ORDER BY file, row_number)[1:{examples}], run_date, job
        FROM (SELECT quarantine.*, job, unnest(reasons) AS reason FROM quarantine JOIN runs USING (run_id)
            WHERE resolved_by IS NULL AND quarantine.run_date = coalesce(?, quarantine.run_date))
        GROUP BY run_date, job, reason ORDER BY run_date DESC, job, 2 DESC, reason
        """,
        [run_date],
    )
    return [OpenRows(reason, count, shown, day.isoformat(), job) for reason, count, shown, day, job in rows]


def row(database: Database, quarantine_id: str) -> dict[str, Any]:
    """Return one row of the quarantine, whole.

    Raises
    ------
    UsageError
        There is no such row.
    """
    columns = contracts.load("operations").named("quarantine").columns
    rows = database.rows(
        f"SELECT {', '.join(columns)} FROM quarantine WHERE quarantine_id = ? ORDER BY run_date DESC LIMIT 1",
        [quarantine_id],
    )
    if not rows:
        raise UsageError(f"There is no quarantined row {quarantine_id}", "List some with: genrepipe quarantine list")
    row = dict(zip(columns, rows[0], strict=True))
    return {**row, "run_date": row["run_date"].isoformat(), "received": _cells(row["received"]) or row["received"]}


def export(database: Database, run_date: date, out: Path, job: str | None = None) -> int:
    """Write the open rows of a run date as CSV, to be corrected, and return how many they are; of any job or of one.

    A row that could not be parsed has its line in the column ``reasons``, after the reasons. Cells that a spreadsheet
    would run as a formula get a quote before them, which ``corrected`` removes again.

    Raises
    ------
    UsageError
        No row is open, or the file exists: it may hold corrections, or be something else.
    StorageError
        The file cannot be written.
    """
    columns = [name for name in contracts.load("source_tracks").table.columns if name != ID]
    rows = database.rows(
        "SELECT quarantine_id, reasons, quarantine.received FROM quarantine JOIN runs USING (run_id) WHERE quarantine.run_date = ? "
        "AND resolved_by IS NULL AND job = coalesce(?, job) ORDER BY file, row_number",
        [run_date, job],
    )
    if not rows:
        raise UsageError(f"No row of {run_date} is open", "List what is: genrepipe quarantine list")
    try:
        with out.open("x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*columns, REASONS, ID])
            for name, reasons, received in rows:
                cells = _cells(received)
                why = "; ".join(reasons) if cells else f"{'; '.join(reasons)} | {received}"
                writer.writerow([*(neutral(cells.get(column)) for column in columns), neutral(why), name])
    except FileExistsError:
        raise UsageError(f"{out} is there already", "Name another file, or remove that one") from None
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}", "Name another file") from error
    return len(rows)


def _cells(received: str | None) -> dict[str, Any]:
    try:
        cells = json.loads(received or "")
    except ValueError:
        return {}
    return cells if isinstance(cells, dict) else {}


def neutral(cell: object) -> str:
    """Return a cell as text that no spreadsheet runs."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if FORMULA.match(text) else text


def job_of(database: Database, run_date: date, ids: set[str], exported: Path) -> str:
    """Return the job whose rows of a run date an export holds.

    Raises
    ------
    UsageError
        A row is not in the quarantine of that date, or they are those of several jobs.
    """
    if not ids:
        raise UsageError(
            f"{exported} holds no rows", "Correct the rows of an export, and leave those to be scored in it"
        )
    rows = database.rows(
        "SELECT quarantine_id, job FROM quarantine JOIN runs USING (run_id) WHERE quarantine.run_date = ? AND quarantine_id IN (SELECT unnest(?))",
        [run_date, sorted(ids)],
    )
    strangers = sorted(ids - {each for each, _ in rows})
    if strangers:
        raise UsageError(
            f"{exported}: {len(strangers)} of its rows are not in the quarantine of {run_date}, the first with {ID} {strangers[0][:40]!r}",
            "Name the --run-date of the export, and leave that column as it is",
        )
    jobs = sorted({str(job) for _, job in rows})
    if len(jobs) > 1:
        raise UsageError(
            f"{exported} holds rows of {len(jobs)} jobs: {', '.join(jobs)}", "Export the rows of one: --job NAME"
        )
    return jobs[0]


def corrected(exported: Path, out: Path) -> set[str]:
    """Copy a corrected export without the quotes that ``export`` put before formulas, and return the ids of its rows.

    Raises
    ------
    UsageError
        It is not an export.
    SourceMissing
        It is not there.
    StorageError
        A file cannot be read or written.
    """
    try:
        with (
            exported.open(newline="", encoding="utf-8-sig") as file,
            out.open("w", newline="", encoding="utf-8") as copy,
        ):
            first = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(DELIMITERS, key=first.count))  # spreadsheets choose their own
            header = next(rows, [])
            if ID not in header:
                raise UsageError(
                    f"{exported} has no column {ID}", "Correct a file that genrepipe quarantine export wrote"
                )
            writer, ids = csv.writer(copy), set[str]()
            writer.writerow(header)
            for cells in rows:
                writer.writerow([NEUTRAL.sub("", cell) for cell in cells])
                ids.update(cells[header.index(ID) : header.index(ID) + 1])
            return ids
    except FileNotFoundError:
        raise SourceMissing(f"{exported}: there is no such file", "Check the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{exported} is not a CSV file in UTF-8: {error}", "Save it as CSV, UTF-8") from error
    except OSError as error:
        raise StorageError(
            f"{exported} cannot be read: {error.strerror}", "Check the path and its permissions"
        ) from error
