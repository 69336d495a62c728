"""Whole processes, measured in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KIB = 1 if sys.platform == "darwin" else 1024  # a unit of ru_maxrss in bytes


@dataclass(frozen=True)
class Used:
    """What one process took: seconds, CPU seconds, and its peak resident memory in bytes."""

    seconds: float
    cpu: float
    peak: int


@dataclass
class Runs:
    """The runs of one command."""

    used: list[Used] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median of the seconds."""
        return statistics.median(each.seconds for each in self.used)

    @property
    def cpu(self) -> float:
        """The median of the CPU seconds."""
        return statistics.median(each.cpu for each in self.used)

    @property
    def peak(self) -> float:
        """The largest peak of memory, in MB."""
        return max(each.peak for each in self.used) / 1e6

    def row(self, name: str) -> str:
        """Return the runs as a row of a Markdown table."""
        seconds = [each.seconds for each in self.used]
        return f"| {name} | {self.seconds:.2f} | {min(seconds):.2f} to {max(seconds):.2f} | {self.cpu:.1f} | {self.peak:,.0f} |"


HEAD = "| | seconds | range | CPU s | peak MB |\n|---|---:|---:|---:|---:|"


def run(command: Sequence[object], makes: Path | None = None, environment: Mapping[str, str] | None = None) -> Used:
    """Run a command, and return what it took; the file that it ``makes`` is removed before."""
    if makes:
        for path in makes.parent.glob(f"{makes.name}*"):
            path.unlink()
    began = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | (environment or {})
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command}: {said.decode(errors='replace')[-2000:]}"
    return Used(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KIB)


@contextmanager
def whole_tree(name: str) -> Iterator[dict[str, float]]:
    """Measure what is done inside by CPU seconds of the whole machine, which does nothing else, and by the largest process of a name.

    The processes of Spark are those of Java, which tells nobody what they took.
    """
    found = {"peak": 0.0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.3):
            for status in Path("/proc").glob("[0-9]*/status"):
                with suppress(OSError, StopIteration):
                    if name in (status.parent / "cmdline").read_text(encoding="utf-8", errors="replace"):
                        lines = status.read_text(encoding="utf-8").splitlines()
                        found["peak"] = max(
                            found["peak"],
                            next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")),
                        )

    thread = threading.Thread(target=watch)
    began, busy = time.perf_counter(), _busy()
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found["seconds"], found["cpu"] = time.perf_counter() - began, _busy() - busy


def _busy() -> float:
    """Return the CPU seconds that the machine has worked."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def control_group(memory: int) -> Path | None:
    """Return a control group of so many bytes of memory; None where none can be made."""
    root = Path("/sys/fs/cgroup")
    folder, name = (
        (root, "memory.max") if (root / "cgroup.controllers").exists() else (root / "memory", "memory.limit_in_bytes")
    )
    group = folder / f"genrepipe-{os.getpid()}"
    try:
        group.mkdir()
        (group / name).write_text(str(memory))
    except OSError:
        return None
    return group


def in_turn(commands: Mapping[str, tuple[Sequence[object], Path | None]], rounds: int) -> dict[str, Runs]:
    """Run every command once in each round, and return the runs of each."""
    runs = {name: Runs() for name in commands}
    for _ in range(rounds):
        for name, (command, makes) in commands.items():
            runs[name].used.append(run(command, makes))
    return runs
