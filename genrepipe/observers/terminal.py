"""Progress bars on a terminal's stderr."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from genrepipe.core.events import Reporter


class Terminal(Reporter):
    """Shows a bar for each task, and notes above them. How a run ends is said by the process itself.

    Attributes
    ----------
    live
        The context in which the bars are shown.
    """

    def __init__(self) -> None:
        self.live = Progress(
            TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[facts]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}

    def note(self, event: str, **facts: Any) -> None:
        """Print a line above the bars."""
        shown = " ".join(f"{key}={value}" for key, value in facts.items())
        self.live.console.print(f"{event} {shown}".rstrip(), markup=False, highlight=False)

    def warning(self, check: str, **facts: Any) -> None:
        """Print a line above the bars."""
        self.note("warning", check=check, **facts)

    def progress(self, task: str, done: float, total: float, **facts: Any) -> None:
        """Move the bar of a task."""
        shown = " ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in facts.items()
        )
        if task not in self._tasks:
            self._tasks[task] = self.live.add_task(task, total=total, facts=shown)
        self.live.update(self._tasks[task], completed=done, total=total, facts=shown)
