"""What the warehouse knows of one scoring run and of the nights before it: the answers of ``sql/report``, for its page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core import assets, resources
from genrepipe.core.errors import UsageError
from genrepipe.core.quoting import literal
from genrepipe.warehouse import ledger, schema
from genrepipe.warehouse.steps import header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from genrepipe.warehouse.connection import Database

Row = dict[str, Any]
NIGHTS, WEEK = 30, 7
STOPPED = ("refused", "refused_values", "causes", "moves", "flips", "drift")  # also of a run that a check stopped
PUBLISHED = (
    "catalogue",
    "genres",
    "confidence",
    "margins",
    "medians",
    "quality",
    "quality_by_genre",
    "quality_by_visible",
)


@dataclass(frozen=True)
class Night:
    """One run, and the rows of each query about it.

    Attributes
    ----------
    run
        The run's line in the ledger.
    nights
        The job's last thirty run dates up to this one, the oldest first; the run itself is the last.
    rows
        The rows of each query, by its name; none of a query that the run's end leaves nothing to ask.
    queries
        The SQL of each query, as it was run.
    labels
        The genres, in the order in which table ``drift`` has them.
    warehouse
        The warehouse, as commands name it.
    """

    run: Row
    nights: list[Row]
    labels: list[str]
    warehouse: str = "warehouse.duckdb"
    rows: dict[str, list[Row]] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)

    def of(self, query: str) -> list[Row]:
        """Return the rows of a query."""
        return self.rows.get(query, [])

    @property
    def published(self) -> bool:
        """Whether the run's predictions were published, and are those of its date."""
        return bool(self.run["status"] == "published") and not self.replaced

    @property
    def beside(self) -> Row:
        """What stands beside the run; empty where nothing was asked."""
        return next(iter(self.of("beside")), {})

    @property
    def other(self) -> str | None:
        """The id of another run that published the same date."""
        return self.beside.get("other_run_id")

    @property
    def replaced(self) -> bool:
        """Whether another run published the same date later."""
        return self.other is not None and self.beside["other_finished_at"] > self.run["finished_at"]

    @property
    def before(self) -> list[Row]:
        """The nights before this one that were published, the oldest first."""
        return [night for night in self.nights[:-1] if night["status"] == "published"]

    @property
    def week(self) -> list[Row]:
        """The last seven of them."""
        return self.before[-WEEK:]


def newest(database: Database, run_date: date | None = None, job: str | None = None) -> str:
    """Return the id of the last scoring run, or of that for a run date; one that was published counts before others.

    Raises
    ------
    UsageError
        There is none.
    """
    rows = database.rows(
        "SELECT run_id, job FROM runs WHERE action = 'score' AND status <> 'retracted' "
        "AND job = coalesce(?, job) AND run_date = coalesce(?, run_date) "
        "ORDER BY run_date = ? AND status = 'published' DESC NULLS LAST, started_at DESC",
        [job, run_date, run_date],
    )
    jobs = sorted({name for _, name in rows})
    if run_date is not None and len(jobs) > 1:
        raise UsageError(f"Jobs {', '.join(jobs)} have runs for {run_date}", "Name one: --job NAME")
    if not rows:
        of = "".join([f" of job {job}" if job else "", f" for {run_date}" if run_date else ""])
        raise UsageError(f"{database.shown_as} has no scoring run{of}", 'Look at: genrepipe query "FROM run_history"')
    return str(rows[0][0])


def read(
    warehouse: Path,
    run_id: str | None = None,
    run_date: str | None = None,
    job: str | None = None,
    unrecorded: Row | None = None,
) -> tuple[Night, list[Row]]:
    """Return what a warehouse knows of a run, without a name or a date of the last one; and the nights of all its jobs.

    Parameters
    ----------
    unrecorded
        The line of a run that ended before it could write one, as ``line_of`` makes it; the warehouse may not exist then.

    Raises
    ------
    UsageError
        There is no such scoring run.
    WarehouseUnusable
        There is no such warehouse, or it is one of an older layout.
    """
    day = ledger.parse_date(run_date, future=True) if run_date else None
    empty = unrecorded is not None and not warehouse.exists()
    with (
        schema.open_memory(resources.plan()) if empty else schema.open_reading(warehouse, resources.plan()) as database
    ):
        schema.require_current(database)
        night = of_run(database, run_id or newest(database, day, job), unrecorded)
        front = _Asking(database)("front")
    if unrecorded is not None and night.run is unrecorded:
        front = [
            unrecorded,
            *(row for row in front if (row["job"], row["run_date"]) != (night.run["job"], night.run["run_date"])),
        ]
    return night, front


def line_of(run_id: str, job: str, run_date: date, sources: Sequence[str], **ending: Any) -> Row:
    """Return the line of a run that ended before it could write one; ``ending`` is its status, exit code and error."""
    columns = dict.fromkeys(contracts.load("operations").named("runs").columns)
    run = ledger.Run(job, run_date, run_id=run_id)
    return {**columns, **ledger.line(run, **ending, sources=list(sources), seconds=0.0), "warnings": 0}


def of_run(database: Database, run_id: str, unrecorded: Row | None = None) -> Night:
    """Return what an open warehouse knows of a run."""
    ask = _Asking(database, run_id=run_id)
    lines = ask("run") or ([unrecorded] if unrecorded is not None else [])
    if not lines or lines[0]["action"] != "score":
        raise UsageError(
            f"{database.shown_as} has no scoring run {run_id}", 'Look at: genrepipe query "FROM run_history"'
        )
    run = lines[0]
    ask.bound |= {"job": run["job"], "run_date": run["run_date"]}
    nights = ask("nights")[::-1]
    if run is unrecorded:
        nights = [*(night for night in nights if night["run_date"] != run["run_date"]), run][-NIGHTS:]
    shown_as = str(database.shown_as or "warehouse.duckdb")
    night = Night(run, nights, contracts.genres(), shown_as, ask.rows, ask.queries)
    week = [each["run_date"] for each in night.week]
    ask.bound |= {"since": nights[0]["run_date"], "week": min(week, default=run["run_date"])}
    for query in ("beside", "checks", *STOPPED):
        ask(query)
    for query in PUBLISHED if night.published else ():
        ask(query)
    return night


class _Asking:
    """Asks the queries of ``sql/report``; ``bound`` are the values of their placeholders."""

    def __init__(self, database: Database, **bound: Any) -> None:
        self.database, self.bound = database, bound
        self.rows: dict[str, list[Row]] = {}
        self.queries: dict[str, str] = {}

    def __call__(self, name: str) -> list[Row]:
        text = assets.sql(f"report/{name}")
        description = header(text)["description"]
        text = bound(text.split("\n", 2)[2], self.bound)  # without the lines of its header
        self.queries[name] = f"-- {description}\n{text.strip()};"
        self.rows[name] = self.database.dicts(text)
        return self.rows[name]


def bound(text: str, values: Mapping[str, Any]) -> str:
    """Return a query whose placeholders, such as ``{job}``, are values: people can run it as it is shown."""
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", f"DATE {literal(value)}" if isinstance(value, date) else literal(value))
    return text


def seconds_by_stage(line: Row) -> dict[str, float]:
    """Return the seconds of each stage of a run, in their order; none of a run that an older version made."""
    stages: dict[str, float] = json.loads(line["stages"] or "{}")
    return stages
