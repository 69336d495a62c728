"""What each step of a run costs: seconds, CPU seconds of all threads, rows, and bytes read and written by system calls."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genrepipe.core.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

IO = Path("/proc/self/io")  # Linux alone has it; elsewhere bytes are 0


@dataclass(frozen=True)
class StepCost(Result):
    """What one step of a stage took in all; ``other`` is what no step of the stage accounts for."""

    stage: str
    step: str
    seconds: float
    cpu_seconds: float
    rows: int
    read_bytes: int
    written_bytes: int


class Measured:
    """A step while it lasts: who measures it may say how many rows it had."""

    def __init__(self) -> None:
        self.rows = 0


class Profile:
    """Measures steps, where it is ``enabled``. A step within another one counts for itself alone."""

    def __init__(self, *, enabled: bool = False) -> None:
        self.enabled = enabled
        self._stage = ""
        self._costs: dict[tuple[str, str], list[float]] = {}
        self._since: list[float] = []  # of the running stage
        self._within: list[list[float]] = []  # what steps within each running step took

    @contextmanager
    def step(self, name: str) -> Iterator[Measured]:
        """Measure what is done inside."""
        measured = Measured()
        if not self.enabled:
            yield measured
            return
        before = _used()
        self._within.append([0.0] * len(before))
        try:
            yield measured
        finally:
            self._end(name, before, measured.rows)

    def _end(self, name: str, before: list[float], rows: int) -> None:
        whole = [now - then for now, then in zip(_used(), before, strict=True)]
        own = [used - within for used, within in zip(whole, self._within.pop(), strict=True)]
        if self._within:
            self._within[-1] = [a + b for a, b in zip(self._within[-1], whole, strict=True)]
        cost = self._costs.setdefault((self._stage, name), [0.0] * (len(own) + 1))
        cost[:] = [a + b for a, b in zip(cost, [*own, rows], strict=True)]

    def start_stage(self, stage: str) -> None:
        """Begin a stage; what no step of it accounts for is its step ``other``."""
        if not self.enabled:
            return
        self.end_stage()
        self._stage, self._since = stage, _used()
        self._within.append([0.0] * len(self._since))

    def end_stage(self) -> None:
        """End the running stage, if there is one."""
        if self._since:
            self._end("other", self._since, 0)
            self._since = []

    def costs(self) -> list[StepCost]:
        """Return what every step took, in the order in which they ended first."""
        return [
            StepCost(stage, step, round(seconds, 4), round(cpu, 4), int(rows), int(read), int(written))
            for (stage, step), (seconds, cpu, read, written, rows) in self._costs.items()
        ]


def _used() -> list[float]:
    """Return the seconds, CPU seconds, bytes read and bytes written so far."""
    try:
        counters = dict(line.split(": ") for line in IO.read_text(encoding="ascii").splitlines())
    except OSError:
        counters = {}
    return [time.perf_counter(), time.process_time(), int(counters.get("rchar", 0)), int(counters.get("wchar", 0))]
