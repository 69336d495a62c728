"""What a generation of the warehouse has to publish: of each table and run date a version, which changes with its rows.

A version follows from the ledger, and from how many rows there are: no row of a published table changes without a new
line of the ledger, or without being removed. So it costs a look at a few columns, and no row is read.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core.errors import WarehouseUnusable
from genrepipe.core.quoting import identifier, literal
from genrepipe.warehouse import ledger, schema

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from genrepipe.contracts import Table
    from genrepipe.warehouse.connection import Database

# By the contract that declares each. In the order in which a run date of them is written: who finds a prediction finds its run.
TABLES = {"runs": "operations", "checks": "operations", "flips": "operations", "predictions": "predictions"}
DATE = "run_date"
PUBLISHED = "status = 'published' AND action IN ('score', 'replay')"


@dataclass(frozen=True)
class Standing:
    """The rows of one table and run date, as the warehouse has them."""

    version: str
    rows: int


@dataclass(frozen=True)
class Generation:
    """What one generation of the warehouse has to publish.

    Attributes
    ----------
    origin
        The first run that it published, which tells one warehouse from another.
    run_id
        The newest run in its ledger.
    newest
        The newest run date that was published and is not in the future.
    standing
        By table and run date.
    """

    origin: str
    run_id: str
    newest: date | None
    standing: dict[tuple[str, date], Standing]


def contract_of(table: str) -> Table:
    """Return the contract of a published table."""
    return contracts.load(TABLES[table]).named(table)


def of_generation(database: Database, job: str | None = None) -> Generation:
    """Return what a generation has to publish, of every job or of one.

    Raises
    ------
    WarehouseUnusable
        No run was published in it, or an older version of genrepipe wrote it.
    """
    schema.require_current(database)
    origin = database.value(
        "SELECT arg_min(run_id, (finished_at, run_id)) FROM runs WHERE action = 'score' AND status IN ('published', 'retracted')"
    )
    if origin is None:
        raise WarehouseUnusable(f"No run was published in {database.shown_as}", "Run genrepipe score first")
    content = {"runs": _runs(database, job), "predictions": _predictions(database, job)}
    content["predictions"] = {day: found for day, found in content["predictions"].items() if found[0]}
    # A date with predictions has a file of flips too, perhaps without a row: who reads the table finds it.
    nothing: dict[date, tuple[int, Any]] = dict.fromkeys(content["predictions"], (0, []))
    content |= {"checks": _of_runs(database, "checks", job), "flips": nothing | _of_runs(database, "flips", job)}
    standing = {
        (table, day): Standing(_version(table, facts), rows)
        for table, days in content.items()
        for day, (rows, facts) in days.items()
    }
    days = [day for day in ledger.run_dates(database, job) if day <= ledger.latest_date()]
    newest_run = database.value("SELECT max(run_id) FROM runs")
    return Generation(str(origin), str(newest_run), max(days, default=None), standing)


def _version(table: str, facts: Any) -> str:
    columns = [(column.name, column.sql_type) for column in contract_of(table).properties]
    return hashlib.sha256(json.dumps([columns, facts], default=str).encode()).hexdigest()[:16]


def _runs(database: Database, job: str | None) -> dict[date, tuple[int, Any]]:
    lines: dict[date, list[Any]] = defaultdict(list)
    for line in database.dicts("FROM runs WHERE job = coalesce(?, job) ORDER BY run_id", [job]):
        lines[line[DATE]].append(line)
    return {day: (len(each), each) for day, each in lines.items()}


def _of_runs(database: Database, table: str, job: str | None) -> dict[date, tuple[int, Any]]:
    counts: dict[date, list[tuple[str, int]]] = defaultdict(list)
    for day, run_id, rows in database.rows(
        f"SELECT run_date, run_id, count(*) FROM {table} WHERE {_of_job(table, job)} GROUP BY ALL ORDER BY ALL"
    ):
        counts[day].append((run_id, rows))
    return {day: (sum(rows for _, rows in each), each) for day, each in counts.items()}


def _predictions(database: Database, job: str | None) -> dict[date, tuple[int, Any]]:
    """Return the predictions of each date: how many stretches of the history hold it, and the runs that made them."""
    stretches = database.rows(
        "SELECT job, from_run_date, to_run_date, count(*) FROM prediction_history WHERE job = coalesce(?, job) GROUP BY ALL",
        [job],
    )
    runs = database.rows(
        f"SELECT run_date, job, list(run_id ORDER BY run_id), bool_or(action = 'score') FROM runs WHERE job = coalesce(?, job) AND {PUBLISHED} "
        "GROUP BY ALL ORDER BY ALL",
        [job],
    )
    found: dict[date, tuple[int, Any]] = {}
    for day, name, run_ids, scored in runs:
        held = [rows for of, first, last, rows in stretches if of == name and first <= day <= last] if scored else []
        rows, facts = found.get(day, (0, []))
        found[day] = rows + sum(held), [*facts, [name, run_ids, sum(held)]]
    return found


def _of_job(table: str, job: str | None) -> str:
    if job is None:
        return "true"
    mine = f"job = {literal(job)}"
    return mine if table in {"runs", "predictions"} else f"run_id IN (SELECT run_id FROM runs WHERE {mine})"


def write(
    database: Database, table: str, day: date, out: Path, job: str | None = None, *, with_date: bool = False
) -> int:
    """Write the rows of a table and run date as a Parquet file, and return how many they are.

    Parameters
    ----------
    with_date
        Whether the file has the column ``run_date``, which the name of a folder says otherwise.
    """
    columns = ", ".join(
        identifier(column.name) for column in contract_of(table).properties if with_date or column.name != DATE
    )
    database.execute("SET preserve_insertion_order = false")  # memory stays flat
    query = f"SELECT {columns} FROM {table} WHERE run_date = {literal(day)}::DATE AND {_of_job(table, job)}"
    written = database.value(f"COPY ({query}) TO {literal(out)} (FORMAT parquet, COMPRESSION zstd)")
    return int(written or 0)
