"""The steps in Apache Spark's tasks: Spark places them, shuffles their messages, and tries a lost one again.

It reads no row itself, and knows no SQL: what travels are bytes that ``tasks`` wrote. The driver holds the warehouse, whose
large tables lie in a lake; what tasks leave there counts once the run commits it, with everything else.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
import tempfile
import threading
import zlib
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from genrepipe.core import signals
from genrepipe.core.errors import (
    CHECK,
    REMEDIES,
    ConfigurationError,
    ExtraMissing,
    GenrepipeError,
    StorageError,
    WarehouseUnusable,
    errno_in,
)
from genrepipe.core.quoting import file_literal, literal
from genrepipe.engines import catalogue, history, tasks
from genrepipe.engines.engine import Engine, Predicted
from genrepipe.engines.tasks import Job, Message
from genrepipe.ingest import landing
from genrepipe.quality.checks import CheckResult
from genrepipe.warehouse import lake
from genrepipe.warehouse.ledger import RowCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from genrepipe.core.events import Reporter
    from genrepipe.engines.engine import Work
    from genrepipe.engines.tasks import Delivered, ScoredBucket, Sent
    from genrepipe.ingest.landing import Landing
    from genrepipe.ingest.pieces import Piece
    from genrepipe.quality.monitors import Monitor, Scored
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.lake import LakeFile
    from genrepipe.warehouse.steps import Steps

T = TypeVar("T")

MARK = "genrepipe-lake.txt"  # in the folder of a lake: the warehouse that it belongs to
BUCKET_BYTES = 48 << 20  # of source for each bucket of a new lake, about 300,000 tracks
FEWEST, MOST = 2, 4096  # buckets
POLL_SECONDS = 0.3
REGISTER_SECONDS = 120.0  # for the first executor to come
TASK_FAILURES = 4
TASK_MEMORY_MB = 512  # of DuckDB in each task
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.task.maxFailures": str(TASK_FAILURES),
    "spark.excludeOnFailure.enabled": "true",  # else a task goes to the worker whose disk is full again and again
    "spark.log.level": "ERROR",
    # One thread for each library in each task: Spark places as many tasks as there are cores.
    **{f"spark.executorEnv.{name}": "1" for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY")},
}  # fmt: skip


class Spark(Engine):
    """Runs the steps in the tasks of a cluster.

    Parameters
    ----------
    work
        What the run is to do.
    master
        Spark's address of the cluster; None where spark-submit has named it.
    folder
        The lake, which every worker reads and writes by this path.
    buckets
        Of a new lake; None chooses by the size of the source.
    """

    def __init__(
        self, work: Work, master: str | None, folder: Path, warehouse: Path, buckets: int | None = None
    ) -> None:
        self.work, self.folder, self._warehouse, self._asked = work, folder.resolve(), warehouse.resolve(), buckets
        self._stack, self._master = ExitStack(), master
        self._job = Job(
            run=work.run, source=work.source, buckets=0, plan=replace(work.plan, threads=1, duckdb_threads=1, duckdb_memory_mb=TASK_MEMORY_MB),
            lake=str(self.folder), bundles=(work.models.bundle, *([work.models.shadow[0]] if work.models.shadow else [])), ledger=b"", state={}, beside={},
        )  # fmt: skip
        self._pieces: list[Piece] = []

    def fingerprint(self, database: Database) -> str:  # noqa: ARG002  each task has its own
        """Hash each part in a task, which looks where it can be cut too."""
        self._cluster = self._stack.enter_context(cluster(self._master, self.work.stages.reporter))
        parts = range(len(self.work.source.parts))
        surveyed = self._cluster.collect(parts, _survey, self._job)
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
        mark = self.folder / MARK
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not mark.exists():
                mark.write_text(f"{self._warehouse}\n", encoding="utf-8")
            owner = mark.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise StorageError(
                f"{self.folder} cannot be written: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
            ) from error
        if owner != str(self._warehouse):
            raise ConfigurationError(
                f"The lake {self.folder} belongs to {owner}",
                f"Name another --lake; if the warehouse was moved, write its path into {mark}",
            )

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
        self._delivered = self._cluster.deliver(self._job, self._pieces)
        done: list[Delivered] = self._contents(self._delivered.summaries(), "delivered")
        parts = [part for _, part in sorted((each for one in done for each in one.parts), key=lambda each: each[0])]
        landing.refuse_without_rows(self.work.source, parts)
        self._done = done
        self._job = replace(self._job, kept={each.bucket: each.kept for each in done})
        self._bind(parts=tasks.parts(self._job))
        self.steps.declare("known_rows")
        self.steps.declare("unparsed")
        for name in tasks.DELIVERED:
            self._bind_kept(name, [each.kept[name] for each in done])
        self.steps.make("cleaned")
        self.steps.bind("accepted", "FROM cleaned")  # none is known by its hash
        counts = RowCounts(
            *(sum(getattr(each.counts, name) for each in done) for name in RowCounts.__dataclass_fields__)
        )
        return landing.together(counts, parts)

    def _bind(self, **frames: Any) -> None:
        for name, frame in frames.items():
            self.steps.bind_frame(name, frame)

    def _bind_kept(self, name: str, files: Iterable[LakeFile]) -> None:
        """Bind a relation to the files in which it was kept."""
        places = [file_literal(file.place) for file in files if file.rows]
        rows = f"FROM read_parquet([{', '.join(places)}], hive_partitioning = false)"
        if not places:
            rows = tasks.NOTHING[name]
        if name in self.steps:
            if places:
                self.steps.database.execute(f"INSERT INTO {name} BY NAME {rows}")
        elif rows:
            self.steps.bind(name, rows)
        else:
            landing.declare_landed(self.steps)

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
        scored: list[ScoredBucket] = self._contents(self._delivered.score(self._job), "scored")
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
        return Predicted(
            sum(each.predicted for each in scored), 0, dict(sorted(imputed.items(), key=tasks.imputed_order))
        )

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
        database = self.steps.database
        for each in self._done:
            if each.settled_labels is not None:
                labels = tasks.unpacked(each.settled_labels)
                if len(labels):
                    database.execute("CREATE TEMP TABLE settled AS FROM labels LIMIT 0")
                    database.insert("settled", labels)
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


class Cluster:
    """A connection to Spark; made by ``cluster``."""

    def __init__(self, context: Any, log: Path, reporter: Reporter) -> None:
        self._context, self._log, self._reporter = context, log, reporter
        tried = re.fullmatch(
            r"local(?:\[[^,]+(?:,(\d+))?\])?", context.master
        )  # in this process a task has one attempt, unless asked
        configured = context.getConf().get("spark.task.maxFailures", str(TASK_FAILURES))
        self.failures = int(tried[1] or 1) if tried else int(configured)

    def collect(self, items: Sequence[Any], task: Callable[..., T], job: Job) -> list[T]:
        """Return what a task says of each item."""
        shared, failures = self._context.broadcast(job), self.failures
        rows = self._context.parallelize(list(enumerate(items)), max(1, len(items)))
        answers = self.wait(rows.map(lambda item: _guarded(lambda: task(shared.value, item[1]), failures)).collect)
        for answer in answers:
            if isinstance(answer, GenrepipeError):
                raise answer
        return list(answers)

    def deliver(self, job: Job, pieces: Sequence[Any]) -> _Delivering:
        """Have the pieces read, and the buckets of tracks delivered."""
        shared, failures = self._context.broadcast(job), self.failures
        numbered = self._context.parallelize(list(enumerate(pieces)), max(1, len(pieces)))

        def land(item: tuple[int, Any]) -> list[Sent]:
            return _attempt(lambda: tasks.land(shared.value, item[1]), item[0], failures)

        def deliver(bucket: int, sent: Iterator[Sent]) -> list[Sent]:
            messages = [message for _, message in sent]
            return _attempt(lambda: tasks.deliver(shared.value, bucket, messages), bucket, failures)

        landed = numbered.flatMap(land).map(lambda sent: (sent[0] % job.buckets, sent[1]))
        return _Delivering(self, landed.partitionBy(job.buckets, int).mapPartitionsWithIndex(deliver))

    def broadcast(self, job: Job) -> Any:
        """Send a job to the workers."""
        return self._context.broadcast(job)

    def wait(self, call: Callable[[], T]) -> T:
        """Run a call in a thread, so that signals are heard; report how many tasks are done meanwhile.

        Raises
        ------
        StorageError
            Spark gave up: tasks failed again and again, or there is no room.
        """
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(_outcome(call)), daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if signals.received():
                with suppress(Exception):  # the signal is what there is to tell
                    self._context.cancelAllJobs()
                signals.check()
            self._report()
        (outcome,) = done
        if isinstance(outcome, BaseException):
            raise self._translated(outcome) from outcome
        return outcome  # type: ignore[no-any-return]

    def _report(self) -> None:
        with suppress(Exception):  # Spark may have ended
            tracker = self._context.statusTracker()
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            known = [stage for stage in stages if stage]
            if known:
                self._reporter.progress(
                    "tasks", sum(s.numCompletedTasks for s in known), sum(s.numTasks for s in known)
                )

    def _translated(self, error: BaseException) -> BaseException:
        if isinstance(error, GenrepipeError):
            return error
        said = str(error)
        number = errno_in(said)
        if number:
            return StorageError(f"A task on the cluster failed: {os.strerror(number)}", REMEDIES[number])
        reason = next(
            (line.strip() for line in said.splitlines() if "reason:" in line or "Caused by" in line),
            said.splitlines()[0] if said else type(error).__name__,
        )
        return StorageError(
            f"Spark gave up: {reason[:300]}", f"Look at {self._log} and at the logs of the workers, then run again"
        )


class _Delivering:
    """Buckets of tracks as they are delivered; what they send stays on the workers' disks until it is asked for."""

    def __init__(self, on: Cluster, sent: Any) -> None:
        from pyspark import StorageLevel  # noqa: PLC0415  of an extra

        self._on, self._sent = on, sent.persist(StorageLevel.DISK_ONLY)

    def summaries(self) -> list[Message]:
        """Return what the buckets tell the run."""
        told = self._sent.filter(lambda sent: sent[1].kind in {"delivered", "failed"}).map(lambda sent: _small(sent[1]))
        return [_large(each) for each in self._on.wait(told.collect)]

    def score(self, job: Job) -> list[Message]:
        """Make the profiles of each bucket of artists, and score each bucket of tracks; return what these tell the run."""
        shared, failures = self._on.broadcast(job), self._on.failures

        def profile(bucket: int, sent: Iterator[Sent]) -> list[Sent]:
            messages = [message for _, message in sent]
            return _attempt(lambda: tasks.profile(shared.value, bucket, messages), bucket, failures)

        def score(bucket: int, sent: Iterator[Sent]) -> list[bytes]:
            messages = [message for _, message in sent]
            told = _attempt(lambda: tasks.score(shared.value, bucket, messages), bucket, failures)
            return [_small(message) for _, message in told]

        visible = self._sent.filter(lambda sent: sent[1].kind not in {"delivered", "failed"})
        profiled = visible.partitionBy(job.buckets, int).mapPartitionsWithIndex(profile)
        scored = profiled.partitionBy(job.buckets, int).mapPartitionsWithIndex(score)
        return [_large(each) for each in self._on.wait(scored.collect)]


@contextmanager
def cluster(master: str | None, reporter: Reporter) -> Iterator[Cluster]:
    """Connect to Spark, and disconnect; a connection that this process has already is used, and stays.

    Raises
    ------
    ExtraMissing
        pyspark is not installed.
    ConfigurationError
        There is no Java, or no cluster at that address.
    """
    try:
        import pyspark  # noqa: PLC0415  of an extra
    except ImportError as error:
        raise ExtraMissing("The engine spark needs pyspark", "Install it: pip install 'genrepipe[spark]'") from error
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    log = Path(tempfile.gettempdir()) / f"genrepipe-spark-{os.getpid()}.log"
    if existing := pyspark.SparkContext._active_spark_context:
        yield Cluster(existing, log, reporter)
        return
    settings = pyspark.SparkConf().setAppName("genrepipe")
    if master:
        settings.setMaster(master)
    for name, value in SETTINGS.items():
        settings.setIfMissing(name, value)
    address = settings.get("spark.master", "") or ""
    if not address:
        raise ConfigurationError("No Spark cluster is named", "Name it with --master, for example --master 'local[2]'")
    with log.open("wb") as file:
        context = _started(lambda: pyspark.SparkContext(conf=settings), file.fileno(), address, log)
    try:
        yield Cluster(context, log, reporter)
        log.unlink(missing_ok=True)
    finally:
        with suppress(Exception):  # what was to be told has been
            context.stop()
            context._gateway.shutdown()
            pyspark.SparkContext._gateway = pyspark.SparkContext._jvm = None


def _started(start: Callable[[], Any], log: int, address: str, path: Path) -> Any:
    """Return a context; what Java says goes to a file, and never between the lines of a run."""
    stderr = os.dup(2)
    os.dup2(log, 2)
    try:
        # In a thread: pyspark would take the handler of SIGINT for itself.
        return signals.call_interruptibly(start)
    except GenrepipeError:
        raise
    except Exception as error:
        said = str(error)
        if "JAVA_GATEWAY" in said:
            raise ConfigurationError(
                "Spark cannot start Java",
                f"Install Java 17, for example openjdk-17-jre-headless, or set JAVA_HOME; {path} has what it said",
            ) from error
        first = next(
            (line for line in said.splitlines() if "Exception" in line),
            said.splitlines()[0] if said else type(error).__name__,
        )
        raise ConfigurationError(
            f"Spark at {address} cannot be used: {first.strip()[:300]}", f"Check --master; {path} has what it said"
        ) from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _outcome(call: Callable[[], T]) -> T | BaseException:
    try:
        return call()
    except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
        return error


def _small(message: Message) -> bytes:
    return zlib.compress(pickle.dumps(message), 1)


def _large(content: bytes) -> Message:
    message: Message = pickle.loads(zlib.decompress(content))  # noqa: S301  from our own task
    return message


def _survey(job: Job, ordinal: int) -> tuple[str, list[Any]]:
    return tasks.survey(job, ordinal)


def _guarded(call: Callable[[], T], failures: int) -> T | GenrepipeError:
    """Return an answer, or the failure that another attempt would not mend."""
    ((_, message),) = _attempt(lambda: [(0, Message("answer", call()))], 0, failures)
    return message.content  # type: ignore[no-any-return]


def _attempt(call: Callable[[], Iterable[Sent]], bucket: int, failures: int) -> list[Sent]:
    from pyspark import TaskContext  # noqa: PLC0415  in a worker

    context = TaskContext.get()
    number = context.attemptNumber() if context else 0
    return tasks.attempt(call, bucket, is_last=number + 1 >= failures)
