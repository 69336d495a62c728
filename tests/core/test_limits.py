"""Limits of the process, set as a scheduler or ``ulimit`` sets them: a documented exit code, one line, a whole warehouse."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genrepipe.core import resources
from tests.support import DAY, ROOT, run, score, tracks, write_csv
from tests.torture.torture import content

MB = 1 << 20
DOCUMENTED = {0, 64, 65, 66, 70, 74, 75, 78, 130, 143}
UNLIMITED = resource.RLIM_INFINITY


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source, labels and a warehouse of two dates."""
    folder = tmp_path_factory.mktemp("limits")
    write_csv(folder / "s.csv", tracks(30))
    write_csv(folder / "l.csv", [{"instance_id": f"{n}", "music_genre": "Rock"} for n in range(1, 5)])
    for day in ("2026-11-19", DAY):
        run_id = score(folder / "s.csv", folder / "w.duckdb", day)["run_id"]
    (folder / "run_id").write_text(run_id)
    return folder


@pytest.fixture
def bench(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


def words(command: str, bench: Path) -> list[str]:
    """Return the command line of a command."""
    found = {
        "score": ["score", "s.csv", "--run-date", "2026-11-21", "--limit", "flipped_percent=100"], "query": ["query", "FROM genre_daily"],
        "labels": ["labels", "l.csv"], "rollback": ["rollback"],
        "verify": ["verify", "--run", (bench / "run_id").read_text()], "first": ["score", "s.csv", "--run-date", DAY],
    }[command]  # fmt: skip
    return [*found, "--warehouse", "first.duckdb" if command == "first" else "w.duckdb"]


def limited(bench: Path, command: str, kind: int, soft: int, hard: int, *prefix: str) -> tuple[int, list[str]]:
    """Run a command under a limit, and return its exit code and what it says; a failed one left the warehouse whole."""
    before = content(bench / "w.duckdb")
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "genrepipe", *words(command, bench)], cwd=bench, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": "/"}, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(kind, (soft, hard)),
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode in DOCUMENTED, (done.returncode, done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    assert len([line for line in said if line.startswith("genrepipe: error: ")]) == (done.returncode != 0)
    if done.returncode or command in {"query", "verify"}:
        assert content(bench / "w.duckdb") == before
    again = run(*words(command, bench), cwd=bench)
    assert again.code == 0 or (command == "rollback" and done.returncode == 0), again.err
    return done.returncode, said


EVERY = ("score", "query", "labels", "rollback", "verify")


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize(
    ("kind", "allowed", "named"),
    [
        (resource.RLIMIT_NOFILE, 6, "ulimit -n"),
        (resource.RLIMIT_AS, 200 * MB, "ulimit -v"),
        (resource.RLIMIT_AS, 1500 * MB, "ulimit -v"),
        (resource.RLIMIT_DATA, 60 * MB, "ulimit -d"),
        (resource.RLIMIT_STACK, MB // 8, "ulimit -s"),
    ],
    ids=["files", "addresses", "more addresses", "data", "stack"],
)
def test_a_limit_that_no_run_fits_into_is_refused_in_one_line(
    bench: Path, command: str, kind: int, allowed: int, named: str
) -> None:
    code, said = limited(bench, command, kind, allowed, allowed)
    assert (code, len(said), named in said[0]) == (74, 1, True), said


@pytest.mark.parametrize("command", ["score", "verify"])
@pytest.mark.parametrize(
    ("kind", "spare"),
    [
        (resource.RLIMIT_NOFILE, 0), (resource.RLIMIT_AS, 4 * MB), (resource.RLIMIT_AS, 300 * MB),
        (resource.RLIMIT_DATA, 4 * MB), (resource.RLIMIT_DATA, 400 * MB),
    ],
)  # fmt: skip
def test_a_limit_that_a_run_may_fit_into_ends_in_a_documented_code(
    bench: Path, command: str, kind: int, spare: int
) -> None:
    threads = resources.plan().threads
    least = {
        resource.RLIMIT_NOFILE: resources.FILES,
        resource.RLIMIT_AS: resources.ADDRESSES + threads * resources.ADDRESSES_EACH,
        resource.RLIMIT_DATA: resources.DATA + threads * resources.DATA_EACH,
    }[kind]
    code, _ = limited(bench, command, kind, least + spare, resource.getrlimit(kind)[1])
    assert code in {0, 74}


@pytest.mark.parametrize("command", [*EVERY, "first"])
@pytest.mark.parametrize("allowed", [300_000])
def test_a_file_that_may_not_grow(bench: Path, command: str, allowed: int) -> None:
    code, said = limited(bench, command, resource.RLIMIT_FSIZE, allowed, UNLIMITED)
    if command in {"query", "verify"}:  # they write nothing
        assert (code, said) == (0, [])
    else:
        assert (code, len(said), "ulimit -f" in said[0]) == (74, 1, True), said


def test_the_end_of_the_cpu_time_ends_a_run_as_a_signal_does(bench: Path, big: Path) -> None:
    shutil.copy(big, bench / "s.csv")
    code, said = limited(bench, "score", resource.RLIMIT_CPU, 1, 60)
    assert (code, len(said), "CPU time" in said[0]) == (143, 1, True), said


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize("allowed", [1, 20])
def test_a_user_who_may_have_few_processes(bench: Path, command: str, allowed: int) -> None:
    if os.getuid() or shutil.which("setpriv") is None:
        pytest.skip("becoming another user needs root and setpriv")
    for path in (bench, *bench.iterdir()):
        path.chmod(0o777)
    another = [
        "setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
    ]  # fmt: skip
    code, said = limited(bench, command, resource.RLIMIT_NPROC, allowed, allowed, *another)
    assert (code, len(said), "ulimit -u" in said[0]) == (74, 1, True), said


def test_a_process_that_is_watched_over_hears_a_signal(bench: Path) -> None:
    """Where memory is limited, the command runs in a child process: what stops the one stops the other."""
    import signal

    command = [sys.executable, "-m", "genrepipe", *words("score", bench)]
    limit = 8192 * MB
    with subprocess.Popen(
        command, cwd=bench, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),  # noqa: PLW1509
    ) as process:  # fmt: skip
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert (process.returncode, "Terminated" in said, "Traceback" in said) == (143, True, False)
