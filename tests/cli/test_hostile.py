"""What a process is handed: links, pipes, devices, names, dates and settings that are not what they should be.

One line and the right exit code each, and no file that is not ours is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import DAY, ROOT, ask, genrepipe, run, score, tracks, write_csv

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


@pytest.mark.parametrize("words", [("score", "t.csv"), ("query", "SELECT 1"), ("rollback",), ("labels", "t.csv")])
@pytest.mark.parametrize("kind", ["loop", "long"])
def test_a_warehouse_that_cannot_be_looked_at_is_named(
    tmp_path: Path, source: Path, words: tuple[str, ...], kind: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    result = run(*words, "--warehouse", {"loop": "loop", "long": "x" * 300}[kind], cwd=tmp_path)
    assert (result.code, "A bug" in result.error) == (78, False), result.err


@pytest.mark.parametrize(
    "words",
    [
        ("score", "t.csv", "--name", "\udcff"), ("score", "t.csv", "--dry-run", "--name", "\udcff"),
        ("query", "SELECT '\udcff'"), ("verify", "--run", "\udcff"), ("quarantine", "show", "\udcff"),
        ("missing", "--from", DAY, "--to", DAY, "--job", "\udcff"), ("sample", "--rows", "3", "--out", "\udcff.csv"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_utf_8_is_no_bug(tmp_path: Path, source: Path, words: tuple[str, ...]) -> None:
    score(source, tmp_path / "w.duckdb", "2026-11-19")
    more = () if words[0] == "sample" else ("--warehouse", tmp_path / "w.duckdb")
    result = run(*words, *more, cwd=tmp_path)
    assert (result.code, "UTF-8" in result.error or "surrogate" in result.error) == (64, True), result.err


DEEP = {
    "flow": "[" * 100_000, "block": "- " * 100_000, "mapping": "{a: " * 50_000, "keys": "? " * 100_000,
    "indented": "\n".join(" " * n + "a:" for n in range(3000)),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
def test_documents_that_are_nested_too_deeply(tmp_path: Path, kind: str) -> None:
    (tmp_path / "deep.yaml").write_text(DEEP[kind])
    read = "from pathlib import Path; from genrepipe.contracts import documents; documents.read(Path('deep.yaml'))"
    for words in (["-m", "genrepipe", "run", "deep.yaml"], ["-c", read]):  # processes: a loader in C would end this one
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == (78 if "run" in words else 1), done.stderr[-500:]
        assert "run" not in words or "Traceback" not in done.stderr
        assert "run" in words or "genrepipe.core.errors.ConfigurationError: The contract deep.yaml" in done.stderr


@pytest.mark.parametrize("key", ["job", "name", "warehouse", "keep_days"])
def test_no_key_grows_by_aliases(tmp_path: Path, key: str) -> None:
    lines = ["&a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    kept = [line for line in ("job: score", "name: n", "source: s.csv") if not line.startswith(key)]
    (tmp_path / "bomb.yaml").write_text("\n".join([*kept, f"{key}: [{', '.join(lines)}]"]))
    result = run("config", "show", tmp_path / "bomb.yaml")
    assert (result.code, "by aliases" in result.error) == (78, True)
