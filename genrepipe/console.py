"""What a person, or a log collector, sees while a job runs: a progress bar on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reporter(Protocol):
    """Follows a job."""

    def begin(self, run_id: str, job: str, run_date: str) -> None:
        """Learn which run it is that is followed."""

    def stage(self, stage: str) -> None:
        """Say that a stage of a run begins."""

    def note(self, event: str, **facts: Any) -> None:
        """Say something once."""

    def warn(self, check: str, **facts: Any) -> None:
        """Warn of what does not stop the run."""

    def fail(self, error: str, exit_code: int) -> None:
        """Say why the run ends without predictions; the process says it too, at its end."""

    def progress(self, stage: str, done: float, total: float, **facts: Any) -> None:
        """Say how far a stage is."""


class Silent:
    """Says nothing; for library use."""

    def begin(self, run_id: str, job: str, run_date: str) -> None:
        """Say nothing."""

    def stage(self, stage: str) -> None:
        """Say nothing."""

    def note(self, event: str, **facts: Any) -> None:
        """Say nothing."""

    def warn(self, check: str, **facts: Any) -> None:
        """Say nothing."""

    def fail(self, error: str, exit_code: int) -> None:
        """Say nothing."""

    def progress(self, stage: str, done: float, total: float, **facts: Any) -> None:
        """Say nothing."""


class _Unbreakable:
    """stderr, whose reader may go away or whose disk may fill: that stops no run."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


class LogLines:
    """JSON lines on stderr, one each time a stage ends."""

    def __init__(self) -> None:
        import structlog  # noqa: PLC0415  not needed on a terminal

        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.PrintLoggerFactory(_Unbreakable()),  # type: ignore[arg-type]
        )
        self._log = structlog.get_logger()

    def begin(self, run_id: str, job: str, run_date: str) -> None:
        """Put the run's identity on every line from here."""
        self._log = self._log.bind(run_id=run_id, job=job, run_date=run_date)

    def stage(self, stage: str) -> None:
        """Write one line."""
        self._log.info("stage", stage=stage)

    def note(self, event: str, **facts: Any) -> None:
        """Write one line."""
        self._log.info(event, **facts)

    def warn(self, check: str, **facts: Any) -> None:
        """Write one line, of level warning."""
        self._log.warning("warning", check=check, **facts)

    def fail(self, error: str, exit_code: int) -> None:
        """Write one line, of level error."""
        self._log.error("failed", error=error, exit_code=exit_code)

    def progress(self, stage: str, done: float, total: float, **facts: Any) -> None:
        """Write one line at the end of a stage."""
        if done >= total:
            self._log.info(stage, done=done, **facts)


class Bars:
    """Progress bars on a terminal's stderr."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._bars = Progress(
            TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[facts]}"),
            console=Console(stderr=True),
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}

    def begin(self, run_id: str, job: str, run_date: str) -> None:
        """Say nothing: the result names the run."""

    def stage(self, stage: str) -> None:
        """Say nothing: the bars show it."""

    def note(self, event: str, **facts: Any) -> None:
        """Print one line above the bars."""
        said = " ".join(f"{key}={value}" for key, value in facts.items())
        self._bars.console.print(f"{event} {said}".rstrip(), markup=False, highlight=False)

    def warn(self, check: str, **facts: Any) -> None:
        """Print one line above the bars."""
        self.note("warning", check=check, **facts)

    def fail(self, error: str, exit_code: int) -> None:
        """Say nothing: the last line of the process says it."""

    def progress(self, stage: str, done: float, total: float, **facts: Any) -> None:
        """Move a stage's bar."""
        shown = " ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in facts.items()
        )
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, facts=shown)
        self._bars.update(self._tasks[stage], completed=done, total=total, facts=shown)


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Choose by whether stderr is a terminal."""
    if sys.stderr.isatty():
        bars = Bars()
        with bars._bars:
            yield bars
    else:
        yield LogLines()
