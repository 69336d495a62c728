"""JSON lines on stderr, for log collectors."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import structlog

from genrepipe.core.events import Reporter, RunFailed, RunStarted
from genrepipe.observers import sentences


class JSONLog(Reporter):
    """Writes a line for each event, and one for a task when it is done. Every line has the run's id once it is known."""

    def __init__(self) -> None:
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]
        )
        self._log = structlog.get_logger()

    def run_started(self, run: RunStarted) -> None:
        """Put the run's identity on every line from here."""
        self._log = structlog.get_logger().bind(run_id=run.run_id, job=run.job, run_date=run.run_date)

    def stage_started(self, stage: str) -> None:
        """Write a line."""
        self._log.info("stage", stage=stage)

    def note(self, event: str, **facts: Any) -> None:
        """Write a line."""
        self._log.info(event, **facts)

    def warning(self, check: str, **facts: Any) -> None:
        """Write a line of level warning."""
        self._log.warning("warning", check=check, message=sentences.warning(check, facts), **facts)

    def progress(self, task: str, done: float, total: float, **facts: Any) -> None:
        """Write a line when the task is done."""
        if done >= total:
            self._log.info(task, done=done, **facts)

    def run_failed(self, failure: RunFailed) -> None:
        """Write a line of level error."""
        self._log.error("failed", error=failure.error, exit_code=failure.exit_code)


class _Stderr:
    """stderr, whose reader may go away or whose disk may fill: that stops no run."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
