"""The steps in tasks that each have a part of the rows: pieces of the source, buckets of tracks, buckets of artists.

Who places the tasks is another matter, see ``Placer``. The run holds the warehouse, whose large tables lie in a lake; what
tasks leave there counts once the run commits it, with everything else.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from genrepipe.core.errors import ConfigurationError, WarehouseUnusable
from genrepipe.core.quoting import literal
from genrepipe.engines import catalogue, history, tasks
from genrepipe.engines.engine import Engine, Predicted
from genrepipe.engines.tasks import Job
from genrepipe.ingest import landing
from genrepipe.warehouse import lake, schema
from genrepipe.warehouse.ledger import RowCounts
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from datetime import date
    from pathlib import Path

    from genrepipe.core.resources import Plan
    from genrepipe.engines.engine import Work
    from genrepipe.engines.tasks import Delivered, Message, ScoredBucket
    from genrepipe.ingest.landing import Landing
    from genrepipe.ingest.pieces import Piece
    from genrepipe.quality.checks import CheckResult
    from genrepipe.quality.monitors import Monitor, Scored
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.lake import LakeFile
    from genrepipe.warehouse.ledger import Run

BUCKET_BYTES = 48 << 20  # of source for each bucket of a new lake, about 300,000 tracks
FEWEST, MOST = 2, 4096  # buckets
TASK_MEMORY_MB = 512  # of DuckDB in each task


class Placer(Protocol):
    """Places tasks, carries their messages, and returns what they tell the run; a failure of theirs is a message too."""

    def survey(self, job: Job) -> list[tuple[str, list[Piece]]]:
        """Run ``tasks.survey`` for each part of the source, and return the answers in its order."""
        ...

    def deliver(self, job: Job, pieces: Sequence[Piece]) -> list[Message]:
        """Run ``tasks.land`` and ``tasks.deliver``; what buckets send to artists is kept."""
        ...

    def score(self, job: Job) -> list[Message]:
        """Run ``tasks.profile`` and ``tasks.score`` on what was kept."""
        ...


class Distributed(Engine):
    """Runs the steps in tasks.

    Parameters
    ----------
    work
        What the run is to do.
    connect
        Connects to whoever places the tasks, for as long as the run lasts.
    folder
        The lake, which every worker reads and writes by this path.
    buckets
        Of a new lake; None chooses by the size of the source.
    """

    def __init__(
        self, work: Work, connect: Callable[[], AbstractContextManager[Placer]], folder: Path, warehouse: Path, buckets: int | None = None,
    ) -> None:  # fmt: skip
        self.work, self.folder, self._warehouse, self._asked = work, folder.resolve(), warehouse.resolve(), buckets
        self._stack, self._connect = ExitStack(), connect
        self._job = Job(
            run=work.run, source=work.source, buckets=0, plan=replace(work.plan, threads=1, duckdb_threads=1, duckdb_memory_mb=TASK_MEMORY_MB),
            lake=str(self.folder), bundles=(work.models.bundle, *([work.models.shadow[0]] if work.models.shadow else [])), ledger=b"", state={}, beside={},
        )  # fmt: skip
        self._pieces: list[Piece] = []

    def fingerprint(self, database: Database) -> str:  # noqa: ARG002  each task has its own
        """Hash each part in a task, which looks where it can be cut too."""
        self._placer = self._stack.enter_context(self._connect())
        surveyed = self._placer.survey(self._job)
        self._pieces = [piece for _, pieces in surveyed for piece in pieces]
        return landing.fingerprint_of(self.work.source, [content for content, _ in surveyed])

    def open(self, steps: Steps, before: Database | None, horizon: date | None) -> None:  # noqa: ARG002
        """Begin on a warehouse whose tables lie in this lake, or which has no rows yet."""
        self.steps, self.horizon = steps, horizon
        database = steps.database
        self._claim(database)
        known = lake.buckets(database)
        if known and self._asked not in {None, known}:
            raise ConfigurationError(
                f"The lake {self.folder} has {known} buckets, not {self._asked}", "Leave out buckets"
            )
        buckets = known or self._asked or self._suitable()
        self._listed = lake.files(database)
        state: dict[str, list[LakeFile]] = {}
        for file in self._listed:
            state.setdefault(file.table_name, []).append(file)
        self._job = replace(
            self._job, buckets=buckets, state=state, horizon=horizon, ledger=tasks.packed(database.frame("FROM runs")),
            beside=self._write_beside(database, buckets), is_earlier=catalogue.is_earlier(steps),
        )  # fmt: skip

    def _claim(self, database: Database) -> None:
        """Take the lake for this warehouse.

        Raises
        ------
        WarehouseUnusable
            The warehouse has tables of its own, or its tables lie in another lake.
        ConfigurationError
            The lake belongs to another warehouse.
        """
        if not lake.is_lake(database):
            for table in lake.TABLES:
                if database.value(f"SELECT count(*) FROM (FROM {table} LIMIT 1)"):
                    raise WarehouseUnusable(
                        f"{self._warehouse} holds its tables itself, not in a lake",
                        "Score without --engine spark, or name a new --warehouse",
                    )
        elif str(self.folder) not in (found := lake.folders(database)):
            raise WarehouseUnusable(
                f"The tables of {self._warehouse} lie in {', '.join(found)}", f"Write --lake {found[0]}"
            )
        lake.claim(self.folder, self._warehouse)

    def _suitable(self) -> int:
        size = 0
        for part in self.work.source.parts:
            with suppress(OSError):
                size += part.path.stat().st_size
        return max(FEWEST, min(MOST, -(-size // BUCKET_BYTES)))

    def _write_beside(self, database: Database, buckets: int) -> dict[str, str]:
        """Write what tasks read of the warehouse's own tables, and return the files."""
        selects = {
            "labels": "SELECT * FROM labels",
            "quarantine": "SELECT run_id, run_date, track_id, quarantine_id FROM quarantine WHERE track_id IS NOT NULL",
        }
        written = {}
        for table, select in selects.items():
            if database.value(f"SELECT count(*) FROM (FROM ({select}) LIMIT 1)"):
                place = self.folder / self.work.run.run_id / "kept" / f"{table}.parquet"
                place.parent.mkdir(parents=True, exist_ok=True)
                database.execute(
                    f"COPY (SELECT bucket_of(track_id, {buckets}) AS bucket, * FROM ({select}) ORDER BY bucket) TO {literal(str(place))} (FORMAT parquet, COMPRESSION zstd)"
                )
                written[table] = str(place)
        return written

    def land(self) -> Landing:
        """Read the pieces, and put each bucket's rows into the history of its tracks."""
        done: list[Delivered] = self._contents(self._placer.deliver(self._job, self._pieces), "delivered")
        parts = [part for _, part in sorted((each for one in done for each in one.parts), key=lambda each: each[0])]
        landing.refuse_without_rows(self.work.source, parts)
        self._done = done
        self._job = replace(self._job, kept={each.bucket: each.kept for each in done})
        self.steps.bind_frame("parts", tasks.parts(self._job))
        self.steps.declare("known_rows")
        for name in tasks.DELIVERED:
            self._bind_kept(name, [each.kept[name] for each in done])
        self.steps.make("cleaned")
        self.steps.bind("accepted", "FROM cleaned")  # none is known by its hash
        counts = RowCounts(
            *(sum(getattr(each.counts, name) for each in done) for name in RowCounts.__dataclass_fields__)
        )
        return landing.together(counts, parts)

    def _bind_kept(self, name: str, files: Iterable[LakeFile]) -> None:
        """Bind a relation to the files in which it was kept."""
        if rows := lake.rows_of(files):
            self.steps.bind(name, rows)
        else:
            tasks.bind_nothing(self.steps, name)

    def folders(self) -> list[str]:
        """Return the lake."""
        return [str(self.folder)]

    def withdrawn(self) -> tuple[int, int]:
        """Sum what the buckets found."""
        return sum(each.known for each in self._done), sum(each.withdrawn for each in self._done)

    def update_catalogue(self) -> None:
        """Do nothing yet: the buckets have written their rows, and profiles are made as tracks are scored."""

    def predict(self) -> Predicted:
        """Make the profiles, score each bucket's tracks, and list the files of all."""
        scored: list[ScoredBucket] = self._contents(self._placer.score(self._job), "scored")
        scored.sort(key=lambda each: each.bucket)
        self._scored = scored
        database, run = self.steps.database, self.work.run
        # A later run of the same date is in place of those before, and a settled date has no predictions.
        kept = [
            file for file in self._listed
            if file.run_date is not None and (file.job, file.run_date) != (run.job, run.run_date)
            and not (self.horizon and file.job == run.job and file.run_date <= self.horizon)
        ]  # fmt: skip
        new = [file for each in self._done for file in each.files]
        new += [file for each in scored for file in (*each.files, *each.profiled.files)]
        lake.commit(database, [*kept, *new])
        for name in tasks.SCORED:
            self._bind_kept(name, [each.kept[name] for each in scored])
        history.none_continue(self.steps)
        for monitor, seen in zip(self.work.monitors, zip(*(each.seen for each in scored), strict=True), strict=True):
            for part in seen:
                if part is not None:
                    monitor.merge(part)
        imputed: dict[str, int] = {}
        for each in scored:
            for column, rows in each.imputed.items():
                imputed[column] = imputed.get(column, 0) + rows
        self.steps.make("earlier_runs")
        imputed = {"duration_ms": 0, "tempo": 0, **dict(sorted(imputed.items()))}
        return Predicted(sum(each.predicted for each in scored), 0, imputed)

    def watch(self, monitor: Monitor, scored: Scored) -> int:
        """Let the monitor write what the buckets saw."""
        return monitor.write(scored)

    def audits(self) -> list[CheckResult]:
        """Sum the offending rows of the buckets: all that an audit looks at together lies in one."""
        return [
            replace(results[0], observed=sum(result.observed for result in results))
            for results in zip(*(each.audits for each in self._scored), strict=True)
        ]

    def settle(self) -> None:
        """Keep the labels of settled rows; the buckets have left out the rows, and their files are not listed."""
        labels = [tasks.unpacked(each.settled_labels) for each in self._done if each.settled_labels is not None]
        if not sum(map(len, labels)):
            return
        database = self.steps.database
        database.execute("CREATE TEMP TABLE settled AS FROM labels LIMIT 0")
        database.insert("settled", pl.concat(labels))
        database.execute("DELETE FROM labels USING settled WHERE labels.track_id = settled.track_id")
        database.execute("INSERT INTO labels FROM settled; DROP TABLE settled")

    def close(self) -> None:
        """End the tasks, and remove what they kept for the run."""
        self._stack.close()
        folder = self.folder / self.work.run.run_id
        shutil.rmtree(folder / "kept", ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()

    @staticmethod
    def _contents(messages: Iterable[Message], kind: str) -> list[Any]:
        """Return what the tasks of all buckets tell the run, or raise the failure of the first."""
        messages = list(messages)
        if failed := tasks.first_failure(messages):
            raise failed.content
        return [message.content for message in messages if message.kind == kind]


def relabel(steps: Steps, run: Run, plan: Plan) -> None:
    """Take the relation ``new_labels`` in a warehouse whose tracks lie in a lake: the buckets of these tracks are written anew."""
    database = steps.database
    catalogue.keep_labels(steps)
    listed = lake.files(database)
    buckets = lake.buckets(database)
    database.execute(
        f"CREATE TEMP TABLE relabelled AS SELECT *, bucket_of(track_id, {buckets}) AS bucket FROM new_labels"
    )
    touched = {bucket for (bucket,) in database.rows("SELECT DISTINCT bucket FROM relabelled")}
    ledger, held = database.frame("FROM runs"), database.frame("FROM quarantine WHERE track_id IS NOT NULL")
    renewed = []
    for file in listed:
        if file.table_name != "track_history" or file.bucket not in touched:
            renewed.append(file)
            continue
        with schema.open_bare(plan) as memory:
            some = Steps(memory, scopes=tasks.DELIVERS)
            some.bind_row("run", **run.relation())
            memory.insert("runs", ledger)
            memory.insert("quarantine", held)
            memory.insert("labels", database.frame(f"FROM labels WHERE bucket_of(track_id, {buckets}) = {file.bucket}"))
            tasks.read_files(memory, "track_history", [file])
            memory.execute("CREATE TEMP TABLE asked (track_id VARCHAR)")
            memory.insert("asked", database.frame("SELECT track_id FROM relabelled WHERE bucket = ?", [file.bucket]))
            some.bind("affected_tracks", "FROM asked", kind="table")
            catalogue.choose_current(some)
            renewed.append(
                tasks.Files(file.lake, run, file.bucket).write(memory, "track_history", "FROM track_history")
            )
    lake.commit(database, renewed)
