"""What a process is handed: links, pipes, devices, names, dates and settings that are not what they should be.

One line and the right exit code each, and no file that is not ours is touched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import DAY, ask, genrepipe, run, score, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "t.csv", tracks(5))


@pytest.mark.parametrize("kind", ["link", "loop", "pipe", "folder"])
def test_what_stands_in_the_place_of_the_lock_is_not_touched(tmp_path: Path, source: Path, kind: str) -> None:
    lock, target = tmp_path / "w.duckdb.lock", tmp_path / "target"
    target.write_text("precious")
    make = {
        "link": lambda: lock.symlink_to(target),
        "loop": lambda: lock.symlink_to(lock),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
    }
    make[kind]()
    result = run("score", source, "--warehouse", tmp_path / "w.duckdb")
    assert result.code == 74, result.err
    assert str(lock) in result.error
    assert target.read_text() == "precious"


@pytest.mark.parametrize("flag", ["--result-file", "--metrics-file", "--lineage-file"])
@pytest.mark.parametrize("target", ["warehouse", "source", "pipe", "/dev/full", "/dev/zero", "folder"])
def test_an_output_replaces_nothing_that_is_not_its_own(tmp_path: Path, source: Path, flag: str, target: str) -> None:
    warehouse, pipe = tmp_path / "w.duckdb", tmp_path / "pipe"
    score(source, warehouse)
    os.mkfifo(pipe)
    named = {"warehouse": warehouse, "source": source, "pipe": pipe, "folder": tmp_path}.get(target, target)
    before = source.read_bytes()
    result = run("score", source, "--warehouse", warehouse, "--run-date", "2026-11-21", flag, named)
    assert result.code == 0, result.err
    assert len(ask(warehouse, "FROM predictions")) == 10
    assert source.read_bytes() == before
    word = {"--result-file": "warning: ", "--metrics-file": '"metrics"', "--lineage-file": '"lineage"'}[flag]
    assert word in result.err


def test_outputs_of_an_earlier_run_are_replaced(tmp_path: Path, source: Path) -> None:
    words = (
        "--result-file",
        tmp_path / "r.json",
        "--metrics-file",
        tmp_path / "m.prom",
        "--lineage-file",
        tmp_path / "l.json",
    )
    for day in (DAY, "2026-11-21"):
        result = run("score", source, "--warehouse", tmp_path / "w.duckdb", "--run-date", day, *words)
        assert (result.code, "not ours" in result.err, "holds something else" in result.err) == (0, False, False)
    assert '"2026-11-21"' in (tmp_path / "r.json").read_text()
    assert len((tmp_path / "l.json").read_text().splitlines()) == 4


@pytest.mark.parametrize("target", ["pipe", "/dev/full", "/dev/zero", "folder"])
def test_a_warehouse_is_a_regular_file(tmp_path: Path, source: Path, target: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    named = {"pipe": tmp_path / "pipe", "folder": tmp_path}.get(target, target)
    for words in (("score", source), ("query", "SELECT 1"), ("rollback",)):
        assert run(*words, "--warehouse", named).code == 78


@pytest.mark.parametrize("target", ["pipe", "/dev/full", "/dev/zero", "folder", "large"])
def test_a_mounted_value_is_a_small_regular_file(tmp_path: Path, source: Path, target: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_text("x" * 200_000)
    named = {"pipe": tmp_path / "pipe", "folder": tmp_path, "large": tmp_path / "large"}.get(target, target)
    result = run("score", source, "--warehouse", tmp_path / "w.duckdb", GENREPIPE_MODEL_FILE=str(named))
    assert (result.code, "GENREPIPE_MODEL_FILE names" in result.error) == (78, True)


@pytest.mark.parametrize(
    "day",
    ["2026-W47-1", "20261120", "0001-01-01", "1969-12-31", "2026-11-31", "2026-1-1", " 2026-11-20", "", "9999-12-31"],
)
def test_a_run_date_is_written_one_way(tmp_path: Path, source: Path, day: str) -> None:
    result = run("score", source, "--warehouse", tmp_path / "w.duckdb", "--run-date", day)
    assert (result.code, "run date" in result.error.replace("--run-date", "run date")) == (64, True)


def test_names_that_are_not_text_or_look_like_something_else(tmp_path: Path, source: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff.csv"
    with open(odd, "wb") as file:  # noqa: PTH123
        file.write(source.read_bytes())
    warehouse = tmp_path / "w.duckdb"
    for words in (("score", os.fsdecode(odd)), ("score", tmp_path / "*.csv"), ("labels", os.fsdecode(odd))):
        result = run(*words, "--warehouse", warehouse)
        assert (result.code, "is not UTF-8. Rename the file" in result.error) == (64, True), words
    assert run("score", source, "--warehouse", os.fsdecode(os.fsencode(tmp_path) + b"/\xff.duckdb")).code == 78
    for name in ("a::b.csv", "back\\slash.csv", "a[b]*?.csv", "line\nbreak.csv", "'quote'.csv"):
        (tmp_path / name).write_bytes(source.read_bytes())
        assert score(tmp_path / name, tmp_path / f"{len(name)}.duckdb")["predicted"] == 5


def test_a_file_is_read_once_however_many_links_lead_to_it(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    source.rename(folder / "t.csv")
    (folder / "again").symlink_to(folder)
    (folder / "other.csv").symlink_to(folder / "t.csv")
    for named in (f"{folder}/**/*.csv", folder):
        assert score(named, tmp_path / "w.duckdb", DAY, "--force")["received"] == 5


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_number_of_threads_that_is_none_is_named(value: str) -> None:
    result = genrepipe("models", "list", POLARS_MAX_THREADS=value)
    assert (result.code, "POLARS_MAX_THREADS is" in result.error) == (78, True)


def test_a_lock_file_that_is_nested_too_deeply_is_no_note(tmp_path: Path, source: Path) -> None:
    (tmp_path / "w.duckdb.lock").write_text("[" * 100_000)
    assert score(source, tmp_path / "w.duckdb")["status"] == "published"


def test_a_job_file_cannot_grow_by_aliases(tmp_path: Path) -> None:
    lines = ['a0: &a0 ["x", "x", "x", "x", "x", "x", "x", "x", "x", "x"]']
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    for key in ("source", "limits", "model"):
        bomb = tmp_path / f"{key}.yaml"
        bomb.write_text(
            "\n".join(
                [
                    "job: score",
                    "name: n",
                    "warehouse: w.duckdb",
                    f"{key}: [",
                    *(f"  {{{line}}}," for line in lines),
                    "  *a8]",
                ]
            )
        )
        result = genrepipe("run", bomb)
        assert result.code == 78, key
        assert len(result.error) < 2000
