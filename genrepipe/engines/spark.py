"""Apache Spark places the tasks, shuffles their messages, and tries a lost task again.

It reads no row itself, and knows no SQL: what travels are bytes that ``tasks`` wrote.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from genrepipe.core import signals
from genrepipe.core.errors import (
    REMEDIES,
    ConfigurationError,
    ExtraMissing,
    GenrepipeError,
    StorageError,
    errno_in,
)
from genrepipe.engines import tasks
from genrepipe.engines.distributed import Placer
from genrepipe.engines.tasks import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from genrepipe.core.events import Reporter
    from genrepipe.engines.tasks import Job, Sent
    from genrepipe.ingest.pieces import Piece

T = TypeVar("T")

POLL_SECONDS = 0.3
STOP_SECONDS = 10.0  # for Java to end
REGISTER_SECONDS = 120.0  # for the first executor to come
TASK_FAILURES = 4
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.task.maxFailures": str(TASK_FAILURES),
    "spark.excludeOnFailure.enabled": "true",  # else a task goes to the worker whose disk is full again and again
    "spark.log.level": "ERROR",
    "spark.shuffle.compress": "false",  # messages are compressed where they are made
    # One thread for each library in each task: Spark places as many tasks as there are cores.
    **{f"spark.executorEnv.{name}": "1" for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY")},
}  # fmt: skip


class Cluster(Placer):
    """A connection to Spark; made by ``cluster``."""

    def __init__(self, context: Any, log: Path, reporter: Reporter) -> None:
        self._context, self._log, self._reporter, self._tasks = context, log, reporter, 0
        tried = re.fullmatch(
            r"local(?:\[[^,]+(?:,(\d+))?\])?", context.master
        )  # in this process a task has one attempt, unless asked
        configured = context.getConf().get("spark.task.maxFailures", str(TASK_FAILURES))
        self.failures = int(tried[1] or 1) if tried else int(configured)

    def survey(self, job: Job) -> list[tuple[str, list[Piece]]]:
        """Survey the parts, each in a task."""
        shared, failures = self._context.broadcast(job), self.failures
        parts = self._context.parallelize(range(len(job.source.parts)), len(job.source.parts))

        def survey(ordinal: int) -> Message:
            ((_, message),) = _attempt(
                lambda: [(0, Message("survey", tasks.survey(shared.value, ordinal)))], 0, failures
            )
            return message

        answers = self.wait(parts.map(survey).collect)
        if failed := tasks.first_failure(answers):
            raise failed.content
        return [answer.content for answer in answers]

    def deliver(self, job: Job, pieces: Sequence[Piece]) -> list[Message]:
        """Have the pieces read, and the buckets of tracks delivered; what they send stays on the workers' disks until it is asked for."""
        from pyspark import StorageLevel  # noqa: PLC0415  of an extra

        shared, failures = self._context.broadcast(job), self.failures
        numbered = self._context.parallelize(list(enumerate(pieces)), max(1, len(pieces)))

        def land(item: tuple[int, Piece]) -> list[Sent]:
            return _attempt(lambda: tasks.land(shared.value, item[1]), item[0], failures)

        def deliver(bucket: int, sent: Iterator[Sent]) -> list[Sent]:
            messages = [message for _, message in sent]
            return _attempt(lambda: tasks.deliver(shared.value, bucket, messages), bucket, failures)

        landed = numbered.flatMap(land).map(lambda sent: (sent[0] % job.buckets, sent[1]))
        delivered = landed.partitionBy(job.buckets, int).mapPartitionsWithIndex(deliver)
        self._delivered = delivered.persist(StorageLevel.DISK_ONLY)
        told = self._delivered.filter(lambda sent: sent[1].kind in tasks.TO_THE_RUN).map(lambda sent: _small(sent[1]))
        return [_large(each) for each in self.wait(told.collect)]

    def score(self, job: Job) -> list[Message]:
        """Make the profiles of each bucket of artists, and score each bucket of tracks."""
        shared, failures = self._context.broadcast(job), self.failures

        def profile(bucket: int, sent: Iterator[Sent]) -> list[Sent]:
            messages = [message for _, message in sent]
            return _attempt(lambda: tasks.profile(shared.value, bucket, messages), bucket, failures)

        def score(bucket: int, sent: Iterator[Sent]) -> list[bytes]:
            messages = [message for _, message in sent]
            told = _attempt(lambda: tasks.score(shared.value, bucket, messages), bucket, failures)
            return [_small(message) for _, message in told]

        visible = self._delivered.filter(lambda sent: sent[1].kind not in tasks.TO_THE_RUN)
        profiled = visible.partitionBy(job.buckets, int).mapPartitionsWithIndex(profile)
        scored = profiled.partitionBy(job.buckets, int).mapPartitionsWithIndex(score)
        return [_large(each) for each in self.wait(scored.collect)]

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
        self._reporter.progress("tasks", self._tasks, self._tasks)
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
                self._tasks = sum(stage.numTasks for stage in known)
                self._reporter.progress("tasks", sum(stage.numCompletedTasks for stage in known), self._tasks)

    def _translated(self, error: BaseException) -> BaseException:
        if isinstance(error, GenrepipeError):
            return error
        said = str(error)
        if lacking := re.search(r"ModuleNotFoundError: No module named '([^']+)'", said):
            return ConfigurationError(
                f"A worker has no package {lacking[1]}",
                "Install genrepipe[spark] on every worker; PYSPARK_PYTHON names the Python that they run",
            )
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


@contextmanager
def cluster(master: str | None, reporter: Reporter) -> Iterator[Cluster]:
    """Connect to Spark, and disconnect; a connection that this process has already is used, and stays.

    Raises
    ------
    ExtraMissing
        pyspark is not installed.
    ConfigurationError
        There is no Java, or the address is none.
    StorageError
        No cluster answers there, or none of its workers has room.
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
    if not master and "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit sets it, and names the master
        raise ConfigurationError("No Spark cluster is named", "Name it with --master, for example --master 'local[2]'")
    with log.open("wb") as file:
        context = _started(lambda: _context(master), file.fileno(), master, log)
    try:
        _await_executor(context)
        yield Cluster(context, log, reporter)
        log.unlink(missing_ok=True)
    finally:
        _stop(context)


def _context(master: str | None) -> Any:
    """Return a connection with our settings, where neither spark-submit nor a file of defaults has others."""
    from pyspark import SparkConf, SparkContext  # noqa: PLC0415  of an extra

    SparkContext._ensure_initialized()
    settings = SparkConf().setAppName("genrepipe")
    if master:
        settings.setMaster(master)
    for name, value in SETTINGS.items():
        settings.setIfMissing(name, value)
    return SparkContext(conf=settings)


def _stop(context: Any) -> None:
    """Disconnect, and end the Java that this process started."""
    from pyspark import SparkContext  # noqa: PLC0415  of an extra

    with suppress(Exception):  # what was to be told has been
        context.stop()
    java = getattr(context._gateway, "proc", None)
    if java is None:  # spark-submit's
        return
    with suppress(Exception):
        context._gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    java.stdin.close()  # at which it ends
    try:
        java.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()


def _await_executor(context: Any) -> None:
    """Wait until there is an executor to run tasks.

    Raises
    ------
    StorageError
        None came in time.
    """
    end = time.monotonic() + REGISTER_SECONDS
    # The driver is one of them; on one machine it runs the tasks itself.
    while not re.match(r"local(\[|$)", context.master) and context._jsc.sc().getExecutorMemoryStatus().size() < 2:
        signals.check()
        if time.monotonic() > end:
            raise StorageError(
                f"No executor of {context.master} came within {REGISTER_SECONDS:g} s",
                "Check that its workers run, and have cores and memory left",
            )
        time.sleep(POLL_SECONDS)


def _started(start: Callable[[], Any], log: int, master: str | None, path: Path) -> Any:
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
        first = next((line for line in said.splitlines() if "Exception" in line), said.partition("\n")[0])
        kind = ConfigurationError if "Could not parse Master URL" in said else StorageError
        raise kind(
            f"Spark at {master or 'its master'} cannot be used: {first.strip()[:300]}",
            f"Check --master, and that it runs; {path} has what Java said",
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


def _attempt(call: Callable[[], Iterable[Sent]], bucket: int, failures: int) -> list[Sent]:
    from pyspark import TaskContext  # noqa: PLC0415  in a worker

    context = TaskContext.get()
    number = context.attemptNumber() if context else 0
    return tasks.attempt(call, bucket, is_last=number + 1 >= failures)
