"""The limits that control groups set a process (kernel documentation, Control Group v1 and v2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # lines such as 0::/group of version 2, and 4:memory:/group of version 1


def memory_limit() -> int | None:
    """Return how many bytes of memory the process may use; None where no group limits that."""
    limits = [
        int(said)
        for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes"))
        for folder in _folders(controller)
        if (said := _read(folder / name)).isdigit()
    ]
    return min(limits, default=None)


def cpu_limit() -> float | None:
    """Return how many CPUs the process may use at a time; None where no group limits that."""
    shares = [_read(folder / "cpu.max").split() for folder in _folders("")]
    shares += [[_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")] for folder in _folders("cpu")]
    limits = [int(each[0]) / int(each[1]) for each in shares if len(each) == 2 and all(map(str.isdigit, each))]
    return min(limits, default=None)


def processes_left() -> int | None:
    """Return how many threads and processes more the group may have; None where no group limits that."""
    counts = [
        (_read(folder / "pids.max"), _read(folder / "pids.current"))
        for controller in ("", "pids")
        for folder in _folders(controller)
    ]
    left = [int(most) - int(current) for most, current in counts if most.isdigit() and current.isdigit()]
    return min(left, default=None)


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of the process's group, and of every group above it; '' is version 2.

    In a container the folder may be mounted as that of the topmost group.
    """
    for line in _read(OWN).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        for base in (ROOT / controllers, ROOT / "unified") if not controllers else (ROOT / controllers,):
            group = base / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(base))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
