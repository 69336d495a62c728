"""A real Spark: on one machine, under spark-submit, and as a cluster of two hosts on loopback, of which one dies."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.parity import differences
from tests.engines.test_distributed import dirty, many
from tests.support import ROOT, ask, genrepipe, run, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'genrepipe[spark]'")
pytestmark = pytest.mark.skipif(
    shutil.which("java") is None, reason="there is no Java: apt-get install openjdk-17-jre-headless"
)
HOME = Path(pyspark.__file__).parent
FREE = ["--limit", "flipped_percent=100", "--limit", "quarantined_percent=60"]
LOOPBACK = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}


def spark(*words: object, master: str = "local[2]", **environment: str) -> Any:
    """Run a command on Spark, in a process of its own."""
    return genrepipe(*words, "--engine", "spark", "--master", master, **LOOPBACK, **environment)


def test_a_dirty_delivery_and_its_second_night_are_those_of_a_local_run(tmp_path: Path) -> None:
    local, lake = tmp_path / "local.duckdb", tmp_path / "lake.duckdb"
    rows = [{**row, "energy": "0.93"} if n % 4 == 0 else row for n, row in enumerate(many(130))]
    for source, day in ((dirty(tmp_path / "1"), "2026-11-20"), (write_csv(tmp_path / "2.csv", rows), "2026-11-21")):
        words = ["score", source, "--run-date", day, *FREE]
        assert run(*words, "--warehouse", local).code == 0
        done = spark(*words, "--warehouse", lake, "--output", "json")
        assert done.code == 0, done.err
        assert all(line.startswith("{") for line in done.err.splitlines()), "Java is silent"
        assert differences(local, lake) == []
    assert ask(lake, "SELECT count(*) > 0 AS some FROM flips") == [{"some": True}]
    assert not list(tmp_path.glob("lake.duckdb.lake/*/kept"))


@pytest.mark.slow
def test_what_a_task_meets_is_told_as_ever(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text("a,b\n1,2\n")
    done = spark("score", source, "--warehouse", tmp_path / "w.duckdb")
    assert (done.code, done.error) == (65, run("score", source, "--warehouse", tmp_path / "l.duckdb").error)


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    page = (ROOT / "docs/spark.md").read_text(encoding="utf-8")
    commands = [line.removeprefix("$ genrepipe ") for line in page.splitlines() if line.startswith("$ genrepipe ")]
    assert len(commands) == 4
    for command in commands:
        done = genrepipe(*shlex.split(command), cwd=tmp_path, **LOOPBACK)
        assert done.code == 0, (command, done.err)


@pytest.mark.slow
def test_it_runs_under_spark_submit(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", many(40))
    command = [HOME / "bin/spark-submit", "--master", "local[2]", ROOT / "jobs/spark/score.py", "score", source, "--warehouse", tmp_path / "w.duckdb", "--engine", "spark", *FREE]  # fmt: skip
    done = subprocess.run(command, env={**os.environ, **LOOPBACK}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ask(tmp_path / "w.duckdb", "SELECT count(*) AS n FROM predictions") == [{"n": 40}]
    source.write_text("a,b\n1,2\n")
    done = subprocess.run(command, env={**os.environ, **LOOPBACK}, capture_output=True, text=True, check=False)
    assert done.returncode == 65, done.stderr


class TwoHosts:
    """A standalone cluster whose workers have addresses of their own: on one address Spark takes them for one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.master = f"spark://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, host: str, role: str, *words: object, **more: str) -> None:
        command = [HOME / "bin/spark-class", f"org.apache.spark.deploy.{role.lower()}.{role}", "--host", host, *words]
        environment = {**os.environ, **LOOPBACK, "SPARK_LOCAL_IP": host, "SPARK_NO_DAEMONIZE": "1", **more}
        with (self.folder / f"{role}-{host}.log").open("wb") as log:
            self.processes[f"{role} {host}"] = subprocess.Popen(
                [str(word) for word in command], stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def workers(self, **of_the_second: str) -> None:
        for host, more in (("127.0.0.1", {}), ("127.0.0.2", of_the_second)):
            self.start(host, "Worker", "--cores", 1, "--memory", "1g", "--work-dir", self.folder / host, "--webui-port", 0, self.master, **more)  # fmt: skip
        wait(
            lambda: (self.folder / "Master-127.0.0.1.log").read_text(errors="replace").count("Registering worker") == 2
        )

    def kill(self, host: str) -> None:
        """Kill a worker with its executors and their Python, and remove its disk."""
        kill(self.processes[f"Worker {host}"].pid)
        shutil.rmtree(self.folder / host, ignore_errors=True)

    def stop(self) -> None:
        for process in self.processes.values():
            kill(process.pid)
            process.wait()


def descendants(pid: int) -> list[int]:
    """Return a process and all that it started, the last first."""
    found = [pid]
    for at in found:
        found += [
            int(each) for path in Path(f"/proc/{at}/task").glob("*/children") for each in path.read_text().split()
        ]
    return [each for each in found[::-1] if Path(f"/proc/{each}").exists()]


def kill(pid: int) -> None:
    """Kill a process and all that it started."""
    for each in descendants(pid):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[TwoHosts]:
    """Yield a cluster that has no workers yet."""
    cluster = TwoHosts(tmp_path)
    try:
        cluster.start("127.0.0.1", "Master", "--port", cluster.port, "--webui-port", 0)
        wait(lambda: "New state: ALIVE" in (tmp_path / "Master-127.0.0.1.log").read_text(errors="replace"))
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def two_hosts(master: TwoHosts) -> TwoHosts:
    master.workers()
    return master


def wait(until: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


@contextmanager
def started(cluster: str, source: Path, warehouse: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a run on a cluster that is under way."""
    command = [sys.executable, "-m", "genrepipe", "score", source, "--warehouse", warehouse, "--run-date", "2026-11-20",
               "--engine", "spark", "--master", cluster, "--buckets", 8, "--output", "json", *FREE]  # fmt: skip
    with subprocess.Popen(
        [str(word) for word in command], env={**os.environ, **LOOPBACK, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                kill(process.pid)


def written(lake: Path, table: str) -> int:
    return len(list(lake.glob(f"*/{table}/*.parquet")))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "t.csv"
    assert run("sample", "--rows", 60_000, "--seed", 3, "--out", path).code == 0
    return path


@pytest.mark.slow
@pytest.mark.parametrize("table", ["track_history", "prediction_history"])
def test_a_host_that_dies_with_its_disk_costs_nothing_but_time(
    two_hosts: TwoHosts, tmp_path: Path, sample: Path, table: str
) -> None:
    local, lake = tmp_path / "local.duckdb", tmp_path / "lake.duckdb"
    assert run("score", sample, "--run-date", "2026-11-20", "--warehouse", local, *FREE).code == 0
    with started(two_hosts.master, sample, lake) as process:
        wait(lambda: written(tmp_path / "lake.duckdb.lake", table) >= 3)
        two_hosts.kill("127.0.0.2")
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads(out)["status"] == "published"
    assert differences(local, lake) == []
    listed = ask(lake, "SELECT count(*) AS files FROM lake_files WHERE rows > 0")[0]["files"]
    orphans = len(list((tmp_path / "lake.duckdb.lake").rglob("*.parquet"))) - listed
    assert run("vacuum", "--warehouse", lake, "--output", "json").json["removed"] == orphans
    assert differences(local, lake) == []


@pytest.mark.slow
def test_a_python_worker_that_is_killed_is_started_again(two_hosts: TwoHosts, tmp_path: Path, sample: Path) -> None:
    local, lake = tmp_path / "local.duckdb", tmp_path / "lake.duckdb"
    assert run("score", sample, "--run-date", "2026-11-20", "--warehouse", local, *FREE).code == 0

    def pythons() -> list[int]:
        below = descendants(two_hosts.processes["Worker 127.0.0.2"].pid)
        return [pid for pid in below if b"pyspark" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    with started(two_hosts.master, sample, lake) as process:
        wait(lambda: written(tmp_path / "lake.duckdb.lake", "track_history") >= 1 and bool(pythons()))
        os.kill(pythons()[0], signal.SIGKILL)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert differences(local, lake) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_a_driver_that_ends_leaves_the_old_generation_and_no_java(
    tmp_path: Path, sample: Path, how: signal.Signals
) -> None:
    source, lake = write_csv(tmp_path / "1.csv", many(50)), tmp_path / "lake.duckdb"
    assert spark("score", source, "--run-date", "2026-11-19", "--warehouse", lake, "--buckets", 8).code == 0
    before = lake.read_bytes()
    with started("local[2]", sample, lake) as process:
        wait(lambda: written(tmp_path / "lake.duckdb.lake", "track_history") >= 8 + 2)
        below = descendants(process.pid)
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how], err
    wait(
        lambda: (
            not any(
                Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
                for pid in below
            )
        ),
        20,
    )
    assert len(ask(lake, "FROM predictions")) == 50
    assert how != signal.SIGKILL or lake.read_bytes() == before
    done = spark("score", sample, "--run-date", "2026-11-20", "--warehouse", lake, *FREE)
    assert done.code == 0, done.err
    statuses = [line["status"] for line in ask(lake, "SELECT status FROM runs ORDER BY started_at")]
    assert statuses == ["published", "killed" if how == signal.SIGKILL else "interrupted", "published"]


@pytest.mark.slow
def test_a_slow_attempt_is_overtaken_and_counts_once(tmp_path: Path, sample: Path) -> None:
    """Spark runs a slow task twice; the files of one attempt are listed."""
    local, lake, conf = tmp_path / "local.duckdb", tmp_path / "lake.duckdb", tmp_path / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text(
        "spark.speculation true\nspark.speculation.quantile 0.1\nspark.speculation.multiplier 1.01\nspark.speculation.interval 50ms\n"
        "spark.speculation.minTaskRuntime 50ms\n"
    )
    assert run("score", sample, "--run-date", "2026-11-20", "--warehouse", local, *FREE).code == 0
    with ExitStack() as stack:
        process = stack.enter_context(
            started("local-cluster[2,1,1024]", sample, lake, SPARK_CONF_DIR=str(conf), SPARK_HOME=str(HOME))
        )
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert differences(local, lake) == []
    rows = ask(
        lake, "SELECT table_name, count(*) AS files, count(DISTINCT bucket) AS buckets FROM lake_files GROUP BY ALL"
    )
    assert all(row["files"] == row["buckets"] == 8 for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted, which needs root")
def test_a_worker_whose_disk_is_full_is_left_out(master: TwoHosts, tmp_path: Path, sample: Path) -> None:
    local, lake, small = tmp_path / "local.duckdb", tmp_path / "lake.duckdb", tmp_path / "small"
    assert run("score", sample, "--run-date", "2026-11-20", "--warehouse", local, *FREE).code == 0
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        master.workers(SPARK_LOCAL_DIRS=str(small), TMPDIR=str(small))
        with started(master.master, sample, lake) as process:
            _, err = process.communicate(timeout=300)
        master.stop()
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)
    assert process.returncode == 0, err
    assert differences(local, lake) == []


@pytest.mark.slow
def test_two_drivers_take_turns(tmp_path: Path, sample: Path) -> None:
    lake = tmp_path / "lake.duckdb"
    with started("local[2]", sample, lake) as process:
        wait(lambda: (tmp_path / "lake.duckdb.lock").exists() and (tmp_path / "lake.duckdb.lock").read_text() != "")
        other = spark("score", sample, "--warehouse", lake)
        assert other.code == 75, other.err
        _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err


@pytest.mark.parametrize(
    ("environment", "words", "said"),
    [
        ({"PATH": "/nonexistent", "JAVA_HOME": ""}, ["--master", "local[2]"], "Install Java 17"),
        ({}, [], "Name it with --master"),
        ({}, ["--master", "nonsense"], "Check --master"),
    ],
    ids=["no Java", "no master", "no such master"],
)
def test_what_is_not_set_up_is_told_in_a_line(
    tmp_path: Path, environment: dict[str, str], words: list[str], said: str
) -> None:
    source = write_csv(tmp_path / "t.csv", many(4))
    done = genrepipe(
        "score", source, "--warehouse", tmp_path / "w.duckdb", "--engine", "spark", *words, **LOOPBACK, **environment
    )
    assert done.code == 78, done.err
    assert said in done.error
