"""Lines for people on stderr, and on a terminal progress bars below them."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from genrepipe.core.events import NIGHT, Reporter, RunStarted
from genrepipe.observers import sentences


class TextLog(Reporter):
    """Writes a line for each event with its time in UTC, and one for a task when it is done."""

    def line(self, text: str) -> None:
        """Write one line; a reader that goes away or a full disk stops no run."""
        with suppress(OSError, ValueError):
            print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}  {text}", file=sys.stderr, flush=True)

    def note(self, event: str, **facts: Any) -> None:
        """Write a line."""
        self.line(sentences.note(event, facts))

    def warning(self, check: str, **facts: Any) -> None:
        """Write a line that says that it is a warning."""
        self.line(f"warning: {sentences.warning(check, facts)}")

    def progress(self, task: str, done: float, total: float, **facts: Any) -> None:
        """Write a line when the task is done."""
        if done >= total:
            self.line(sentences.note(f"{task}: {done:,}", facts))


class Terminal(TextLog):
    """Shows a bar for each task, and notes above them. How a run ends is said by the process itself.

    Attributes
    ----------
    live
        The context in which the bars are shown. They stay where they are when it ends.
    nights
        Show of a backfill how each run date ended, and no other note.
    """

    def __init__(self, *, nights: bool = False) -> None:
        self._nights = nights
        self.live = Progress(
            TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[facts]}"), console=Console(stderr=True),
            redirect_stdout=False, redirect_stderr=False,  # rich would print on stderr what is meant for stdout
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}

    def run_started(self, run: RunStarted) -> None:  # noqa: ARG002
        """Begin with no bar: those of the run before, of another date, are done."""
        for task in self._tasks.values():
            self.live.remove_task(task)
        self._tasks.clear()

    def note(self, event: str, **facts: Any) -> None:
        """Print a line above the bars."""
        if event == NIGHT or not self._nights:
            super().note(event, **facts)

    def line(self, text: str, style: str | None = None) -> None:
        """Print a line above the bars."""
        self.live.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def warning(self, check: str, **facts: Any) -> None:
        """Print a line above the bars, in colour where the terminal has colours."""
        self.line(f"warning: {sentences.warning(check, facts)}", style="yellow")

    def progress(self, task: str, done: float, total: float, **facts: Any) -> None:
        """Move the bar of a task."""
        shown = " ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in facts.items()
        )
        if task not in self._tasks:
            self._tasks[task] = self.live.add_task(task, total=total, facts=shown)
        self.live.update(self._tasks[task], completed=done, total=total, facts=shown)
