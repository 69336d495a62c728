"""The plan keeps within what a machine, a control group and a limit of the process leave it."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from genrepipe.core import cgroups, resources
from genrepipe.core.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

MB = 1 << 20
V2, V1 = "0::/slice/job", "7:memory:/slice/job\n3:cpu,cpuacct:/slice/job\n5:pids:/slice/job"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for that of the control groups; a test names the process's own in the file ``own``."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "OWN", tmp_path / "own")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return tmp_path


def write(groups: Path, own: str, files: dict[str, str]) -> None:
    (groups / "own").write_text(own)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        (V2, {"slice/job/memory.max": "1000\n", "slice/memory.max": "max\n"}, 1000),
        (V2, {"slice/job/memory.max": "1000\n", "slice/memory.max": "500\n"}, 500),
        (V2, {"memory.max": "700\n"}, 700),  # a container that sees its own group as the topmost one
        (V2, {"unified/slice/memory.max": "700\n"}, 700),
        (V2, {"slice/job/memory.max": "max\n"}, None),
        (V1, {"memory/slice/job/memory.limit_in_bytes": "900\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}, 900),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_limit_of_memory_is_the_lowest_of_all_groups_above(
    groups: Path, own: str, files: dict[str, str], limit: int | None
) -> None:
    write(groups, own, files)
    assert cgroups.memory_limit() == limit


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        (V2, {"slice/job/cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"slice/job/cpu.max": "max 100000\n"}, None),
        (V1, {"cpu,cpuacct/slice/cpu.cfs_quota_us": "50000", "cpu,cpuacct/slice/cpu.cfs_period_us": "100000"}, 0.5),
        (V1, {"cpu,cpuacct/slice/cpu.cfs_quota_us": "-1", "cpu,cpuacct/slice/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_limit_of_cpus(groups: Path, own: str, files: dict[str, str], limit: float | None) -> None:
    write(groups, own, files)
    assert cgroups.cpu_limit() == limit


@pytest.mark.parametrize(
    ("allowed", "share"), [(300 * MB, 128), (1000 * MB, 300), (1600 * MB, 480), (2000 * MB, 512), (64_000 * MB, None)]
)
def test_duckdb_has_its_share_of_the_memory(groups: Path, allowed: int, share: int | None) -> None:
    write(groups, V2, {"memory.max": f"{allowed}"})
    ours = resources.plan().duckdb_memory_mb
    assert ours == share or (
        share is None and 128 <= ours <= resources.plan().threads * resources.DUCKDB_CEILING_EACH // MB
    )


def test_a_limit_of_the_process_counts_as_that_of_a_group_does(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(groups, V2, {"memory.max": f"{2000 * MB}"})
    limits = {resource.RLIMIT_DATA: 900 * MB}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits.get(kind, resource.RLIM_INFINITY), 0))
    assert resources.memory() == 900 * MB


def test_a_quota_of_cpus_limits_the_threads(groups: Path) -> None:
    write(groups, V2, {"cpu.max": "40000 100000"})
    assert resources.plan().threads == 1


@pytest.mark.parametrize(("own", "folder"), [("0::/", ""), ("5:pids:/", "pids/")])
def test_a_container_that_may_have_few_processes(groups: Path, own: str, folder: str) -> None:
    write(groups, own, {f"{folder}pids.max": "40\n", f"{folder}pids.current": "20\n"})
    with pytest.raises(StorageError, match="can start 20 threads"):
        resources.require(2)
    (groups / f"{folder}pids.max").write_text("max\n")
    resources.require(2)


@pytest.mark.parametrize(
    ("memory", "threads", "expected"), [(1, 2, (307, 1)), (24, 2, (512, 2)), (64, 16, (4096, 16)), (4, 16, (1228, 6))]
)
def test_duckdb_has_as_many_threads_as_its_memory_serves(
    monkeypatch: pytest.MonkeyPatch, memory: int, threads: int, expected: tuple[int, int]
) -> None:
    """Of a machine with so many GB and CPUs: MB of memory, and threads."""
    monkeypatch.setattr(resources, "memory", lambda: memory << 30)
    monkeypatch.setattr(cgroups, "cpu_limit", lambda: None)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(threads)), raising=False)
    plan = resources.plan()
    assert (plan.duckdb_memory_mb, plan.duckdb_threads, plan.threads) == (*expected, threads)
