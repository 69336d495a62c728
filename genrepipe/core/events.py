"""What is reported of a run while it lasts: its start, its stages, its end; and reporters, which follow it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrepipe.core import signals
from genrepipe.core.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.core.results import Result

BUNDLE = "bundle verified"  # the event of a note that says which bundle scores: its name, version and blocks of inputs
NIGHT = "night"  # the event of a note that says how a run date of a backfill ended


@dataclass(frozen=True)
class RunStarted:
    """The identity of a run, known before anything is read."""

    run_id: str
    job: str
    run_date: str  # as it was asked for; the run fails where it is not a date
    source: tuple[str, ...]
    warehouse: Path
    dry_run: bool = False
    engine: str = "local"


@dataclass(frozen=True)
class RunFailed:
    """How a run ended that published no predictions."""

    status: str  # failed, refused or interrupted
    error: str
    exit_code: int


class Reporter:
    """Follows a run. Every method does nothing; a reporter overrides those that it needs.

    A reporter must not raise: what goes wrong in it is not a reason to fail a run.
    """

    def run_started(self, run: RunStarted) -> None:
        """Report that a run begins."""

    def stage_started(self, stage: str) -> None:
        """Report that a stage of the run begins."""

    def note(self, event: str, **facts: Any) -> None:
        """Report an event that is worth a line."""

    def warning(self, check: str, **facts: Any) -> None:
        """Report what is wrong and does not stop the run."""

    def progress(self, task: str, done: float, total: float, **facts: Any) -> None:
        """Report how far a task is."""

    def run_succeeded(self, result: Result) -> None:
        """Report the result of the run."""

    def run_failed(self, failure: RunFailed) -> None:
        """Report that the run ended without predictions."""


class Reporters(Reporter):
    """Several reporters as one. Those that send something last come last, so that their warnings are seen."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def run_started(self, run: RunStarted) -> None:
        """Tell each of them."""
        for each in self._reporters:
            each.run_started(run)

    def stage_started(self, stage: str) -> None:
        """Tell each of them."""
        for each in self._reporters:
            each.stage_started(stage)

    def note(self, event: str, **facts: Any) -> None:
        """Tell each of them."""
        for each in self._reporters:
            each.note(event, **facts)

    def warning(self, check: str, **facts: Any) -> None:
        """Tell each of them."""
        for each in self._reporters:
            each.warning(check, **facts)

    def progress(self, task: str, done: float, total: float, **facts: Any) -> None:
        """Tell each of them."""
        for each in self._reporters:
            each.progress(task, done, total, **facts)

    def run_succeeded(self, result: Result) -> None:
        """Tell each of them."""
        for each in self._reporters:
            each.run_succeeded(result)

    def run_failed(self, failure: RunFailed) -> None:
        """Tell each of them."""
        for each in self._reporters:
            each.run_failed(failure)


SILENT = Reporter()


class Stages:
    """The stages of a run, one after the other, and how long each took; with a ``profile``, each step of them too."""

    def __init__(self, reporter: Reporter = SILENT, profile: Profile | None = None) -> None:
        self.reporter, self.profile = reporter, profile or Profile()
        self._ended: dict[str, float] = {}
        self._running: tuple[str, float] | None = None

    def start(self, stage: str, *, interruptible: bool = True) -> None:
        """End the running stage and start another one.

        Raises
        ------
        Interrupted
            A signal was received, and the stage is ``interruptible``.
        """
        self._end()
        if interruptible:
            signals.check()
        self._running = stage, time.perf_counter()
        self.profile.start_stage(stage)
        self.reporter.stage_started(stage)

    def so_far(self) -> dict[str, float]:
        """Return the seconds of each stage until now; the running one goes on."""
        if not self._running:
            return dict(self._ended)
        stage, since = self._running
        return {**self._ended, stage: round(time.perf_counter() - since, 4)}

    def finish(self) -> dict[str, float]:
        """End the running stage, and return the seconds of each."""
        self._end()
        return self._ended

    def _end(self) -> None:
        if self._running:
            stage, since = self._running
            self._ended[stage] = round(time.perf_counter() - since, 4)
            self._running = None
            self.profile.end_stage()
