"""The CPUs and the memory that a process may use, as one plan for DuckDB, Polars, onnxruntime and torch.

Libraries size their pools by the host's cores; in a container with a CPU quota that oversubscribes it.
"""

from __future__ import annotations

import os
import resource
import threading
from dataclasses import dataclass

from genrepipe.core import cgroups
from genrepipe.core.errors import MORE_FILES, MORE_MEMORY, MORE_THREADS, ConfigurationError, StorageError

MB = 1 << 20  # bytes
DUCKDB_SHARE = 0.3  # of the memory there is: two million rows were scored and re-explained in a container of 1 GB
# DuckDB spills what does not fit: with more for each thread, a run would take no less time, and more memory. With less than
# the least, the hash tables of ten million rows do not fit at once: then it has fewer threads.
DUCKDB_CEILING_EACH, DUCKDB_LEAST_EACH = 256 * MB, 192 * MB
DUCKDB_FLOOR = 128 * MB
# What is spilled takes room too, and hash tables grow with the rows: 10 million rows, 1.6 GB of text, fit into 512 MB, and 20 million do not.
DUCKDB_SHARE_OF_DATA = 0.33

# What the smallest run needs, and what it needs more for each thread of the plan, measured with some to spare. Below that
# libraries end the process without a word, or a run is stopped midway: it is refused before it begins.
FILES = 32
STACK = MB
THREADS, THREADS_EACH = 28, 4
MANY_PROCESSES = 4096  # a limit of so many is not looked into, which takes 10 ms
ADDRESSES, ADDRESSES_EACH = 1280 * MB, 256 * MB  # of address space
DATA, DATA_EACH = 512 * MB, 32 * MB  # of private memory


@dataclass(frozen=True)
class Plan:
    """How much each library may take."""

    threads: int
    duckdb_memory_mb: int
    duckdb_threads: int


def plan(data: float = 0) -> Plan:
    """Share out what this process may use: the machine's, or less where a control group or a limit of the process says so.

    ``data`` is how many bytes will be read, as text.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if quota := cgroups.cpu_limit():
        threads = min(threads, max(1, round(quota)))
    most = max(threads * DUCKDB_CEILING_EACH, int(data * DUCKDB_SHARE_OF_DATA))
    share = max(DUCKDB_FLOOR, min(most, int(memory() * DUCKDB_SHARE)))
    duckdb_threads = max(1, min(threads, share // DUCKDB_LEAST_EACH))
    return Plan(threads=threads, duckdb_memory_mb=share // MB, duckdb_threads=duckdb_threads)


def memory() -> int:
    """Return how many bytes of memory this process may use."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    limits = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    if group := cgroups.memory_limit():
        limits.append(group)
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *limits])


def limit_threads(threads: int) -> None:
    """Set the pool sizes that libraries read when they are imported, and turn telemetry off.

    Must run before polars, numpy or onnxruntime are imported; a value set by the user stays.

    Raises
    ------
    ConfigurationError
        A value set by the user is not a number of threads.
    """
    for variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        value = os.environ.setdefault(variable, str(threads))
        if not value.isdigit() or int(value) == 0:
            raise ConfigurationError(f"{variable} is {value!r}", "Set it to a number of threads from 1, or unset it")
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def is_memory_limited() -> bool:
    """Return whether the process has a limit of memory of its own, at which libraries may end it."""
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits)


def require(threads: int) -> None:
    """Refuse to begin under limits of the process that no run fits into; ``threads`` are those of the plan.

    Raises
    ------
    StorageError
        A limit is too low.
    """
    needed = (
        (resource.RLIMIT_NOFILE, FILES, "open files", MORE_FILES),
        (resource.RLIMIT_STACK, STACK, "MB of stack", "Raise it: ulimit -s 8192"),
        (resource.RLIMIT_AS, ADDRESSES + threads * ADDRESSES_EACH, "MB of address space (ulimit -v)", MORE_MEMORY),
        (resource.RLIMIT_DATA, DATA + threads * DATA_EACH, "MB of data (ulimit -d)", MORE_MEMORY),
    )
    for kind, least, what, remedy in needed:
        allowed = resource.getrlimit(kind)[0]
        if allowed != resource.RLIM_INFINITY and allowed < least:
            unit = MB if what.startswith("MB") else 1
            raise StorageError(f"The process may have {allowed / unit:.4g} {what}, a run needs {least // unit}", remedy)
    _require_threads(THREADS + threads * THREADS_EACH)


def _require_threads(count: int) -> None:
    """Refuse where the container's or the user's limit of processes leaves no room for the threads that a run has at most."""
    left = cgroups.processes_left()
    room = count if left is None else left
    allowed = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if allowed != resource.RLIM_INFINITY and allowed < MANY_PROCESSES:
        room = min(room, _startable(count))
    if room < count:
        raise StorageError(f"The process can start {max(0, room)} threads, a run needs {count}", MORE_THREADS)


def _startable(count: int) -> int:
    """Return how many of so many threads can be started: how many others the user has, only trying tells."""
    over = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=over.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        over.set()
        for thread in started:
            thread.join()
    return len(started)
