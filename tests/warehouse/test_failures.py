"""The table of DuckDB's exceptions: every class, every errno that it may pass on, and conditions that are real."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from genrepipe.core.errors import REMEDIES, GenrepipeError, OutputBroken, as_genrepipe_error
from genrepipe.warehouse import failures
from genrepipe.warehouse.connection import Database
from tests.support import DAY, PLAN, ROOT, genrepipe, run, score, tracks, write_csv
from tests.torture.torture import content

if TYPE_CHECKING:
    from collections.abc import Iterator

WAREHOUSE = Path("w.duckdb")
# The exit code of each class in a statement of ours, in reading a source, and in a user's query.
CODES = {
    "InterruptException": (130, 130, 130), "OutOfMemoryException": (74, 74, 74), "IOException": (74, 74, 74),
    "HTTPException": (74, 74, 74), "FatalException": (74, 74, 74), "SerializationException": (78, 74, 78),
    "TransactionException": (70, 74, 64), "ConnectionException": (70, 74, 64), "ResourceInUseException": (75, 75, 75),
    "InternalException": (70, 65, 64), "InvalidInputException": (70, 65, 64), "CatalogException": (78, 66, 64),
    "BinderException": (78, 65, 64), "ParserException": (78, 65, 64), "SyntaxException": (78, 65, 64),
    "InvalidTypeException": (78, 65, 64), "NotImplementedException": (70, 65, 64), "PermissionException": (70, 64, 64),
    "SequenceException": (70, 65, 64), "DependencyException": (70, 65, 64), "ConstraintException": (70, 65, 64),
    "ConversionException": (70, 65, 64), "OutOfRangeException": (70, 65, 64), "TypeMismatchException": (70, 65, 64),
    "Error": (70, 65, 64),
}  # fmt: skip


class Part:
    name, path = "s.csv", Path("/somewhere/s.csv")


def classes(kind: type[duckdb.Error] = duckdb.Error) -> Iterator[type[duckdb.Error]]:
    yield kind
    for below in kind.__subclasses__():
        yield from classes(below)


def codes(error: duckdb.Error) -> tuple[int, int, int]:
    """Return the exit codes that an exception leads to: in a statement of ours, in reading a source, in a query."""
    found = (
        failures.of_statement(error, WAREHOUSE), failures.of_reading(error, Part()), failures.of_query(error, WAREHOUSE)
    )  # fmt: skip
    for each in found:
        assert "\n" not in str(each)
        assert not isinstance(each, GenrepipeError) or str(each)
    return tuple(as_genrepipe_error(each).exit_code for each in found)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", sorted(set(classes()), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_class_of_duckdb_has_its_exit_codes(kind: type[duckdb.Error]) -> None:
    nearest = next(each.__name__ for each in kind.__mro__ if each.__name__ in CODES)
    assert codes(kind("Some Error: what it says\nand more")) == CODES[nearest]


def test_the_table_names_every_class_that_is_raised() -> None:
    leaves = {kind for kind in classes() if kind.__name__.endswith("Exception")}
    assert leaves <= set(failures.MEANINGS), leaves - set(failures.MEANINGS)


@pytest.mark.parametrize("kind", failures.MEANINGS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("number", REMEDIES, ids=lambda number: errno.errorcode[number])
def test_the_words_of_an_errno_count_where_they_are_the_system_s(kind: type[duckdb.Error], number: int) -> None:
    error = kind(f'Some Error: Cannot open file "x": {os.strerror(number)}')
    if failures.MEANINGS[kind].errno:
        assert codes(error) == (74, 74, 74)
        assert REMEDIES[number] in str(failures.of_statement(error, WAREHOUSE)) or kind is duckdb.OutOfMemoryException
    else:
        assert codes(error) == codes(kind("Some Error: what it says"))


@pytest.mark.parametrize("words", failures.WORDS)
def test_what_duckdb_says_without_an_errno(words: str) -> None:
    assert codes(duckdb.FatalException(f"FATAL Error: {words.capitalize()}"))[0] == 74
    assert codes(duckdb.InvalidInputException(f"Invalid Input Error: {words}"))[0] == 74
    assert codes(duckdb.ConversionException(f"Conversion Error: Could not convert '{words}'"))[0] == 70


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT nothing FROM tracks", 78), ("SELEC 1", 78), ("FROM none", 78), ("SELECT 'x'::INTEGER", 70),
        ("SELECT 2147483647::INTEGER + 1::INTEGER", 70), ("INSERT INTO small VALUES (1), (1)", 70),
        ("FROM read_csv('/none/x.csv')", 74), ("COPY (SELECT 1) TO '/none/x.csv'", 74),
        ("FROM read_parquet('/dev/null')", 70), ("ATTACH '/none/x.duckdb'", 74),
        ("CREATE TABLE t AS FROM range(100_000_000) ORDER BY hash(range)", 74),
    ],
)  # fmt: skip
def test_conditions_that_duckdb_meets(statement: str, code: int) -> None:
    with Database(None, PLAN) as database:
        database.execute("CREATE TABLE small (a INTEGER PRIMARY KEY)")
        database.execute("SET memory_limit = '20MB'; SET max_temp_directory_size = '1MB'")
        with pytest.raises(GenrepipeError) as caught:
            database.execute(statement)
    assert caught.value.exit_code == code, caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder with a source and a warehouse."""
    write_csv(tmp_path / "s.csv", tracks(8))
    write_csv(tmp_path / "l.csv", [{"instance_id": f"{n}", "music_genre": "Rock"} for n in range(1, 5)])
    score(tmp_path / "s.csv", tmp_path / "w.duckdb", "2026-11-19")
    score(tmp_path / "s.csv", tmp_path / "w.duckdb", DAY)
    return tmp_path


COMMANDS = (("score", "s.csv", "--run-date", "2026-11-21"), ("labels", "l.csv"), ("rollback",))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_disk_that_is_full(bench: Path, tmp_path_factory: pytest.TempPathFactory, words: tuple[str, ...]) -> None:
    disk = tmp_path_factory.mktemp("disk")
    size = (bench / "w.duckdb").stat().st_size * 2 + (bench / "w.duckdb").stat().st_size // 2
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        for file in bench.glob("*"):
            shutil.copy(file, disk)
        before = content(disk / "w.duckdb")
        result = run(*words, "--warehouse", disk / "w.duckdb", cwd=disk)
        assert (result.code, "Free disk space" in result.error) == (74, True)
        assert content(disk / "w.duckdb") == before
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def as_another_user(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who owns nothing, and who may still read the interpreter, wherever that lies."""
    if os.getuid() or shutil.which("setpriv") is None:
        pytest.skip("becoming another user needs root and setpriv")
    user = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--inh-caps=-all,+dac_read_search"]
    words = [*user, "--ambient-caps=-all,+dac_read_search", *map(str, command)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": "/"}
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_folder_that_another_user_owns(bench: Path, words: tuple[str, ...]) -> None:
    before = content(bench / "w.duckdb")
    done = as_another_user(sys.executable, "-m", "genrepipe", *words, "--warehouse", "w.duckdb", cwd=bench)
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, "Permission denied" in last, "as whom this runs" in last) == (74, True, True), done.stderr
    assert content(bench / "w.duckdb") == before


ERRNOS = (
    "ENOSPC",
    "EDQUOT",
    "EFBIG",
    "EIO",
    "EACCES",
    "EROFS",
    "EMFILE",
    "ENOMEM",
    "ESTALE",
    "ETXTBSY",
    "ENOENT",
    "EPERM",
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.torture.torture import build

    if shutil.which("cc") is None:
        pytest.skip("the library that injects faults needs a C compiler")
    return build(tmp_path_factory.mktemp("library"))


@pytest.mark.parametrize("name", ERRNOS)
def test_an_errno_at_a_file_operation(bench: Path, library: Path, name: str) -> None:
    """Of the operations of a nightly run, ERRNOS fail one after the other, at places that differ."""
    shared, before = bench.parent / f"{bench.name}.shared", content(bench / "w.duckdb")
    shared.write_bytes(bytes(32))
    injected = {
        "LD_PRELOAD": str(library), "INJECT_FOLDER": f"{bench}/", "INJECT_SHARED": str(shared), "PYTHONPATH": str(ROOT),
        "INJECT_FAULT": f"errno-{getattr(errno, name)}", "INJECT_AT": str(3 + 3 * ERRNOS.index(name)),
    }  # fmt: skip
    words = ("score", bench / "s.csv", "--run-date", "2026-11-21", "--warehouse", bench / "w.duckdb")
    done = genrepipe(*words, **injected)
    if done.code:  # some operations are tried again, or tidy up, and fail nothing
        assert done.code == 74, done.err
        assert done.error.startswith("genrepipe: error: ")
        assert "A bug" not in done.error
        assert content(bench / "w.duckdb") == before
    assert run(*words).code == 0


def test_a_lock_that_the_file_system_does_not_have_is_no_other_run(bench: Path, library: Path) -> None:
    shared = bench.parent / f"{bench.name}.shared"
    shared.write_bytes(bytes(32))
    injected = {
        "LD_PRELOAD": str(library), "INJECT_FOLDER": f"{bench}/", "INJECT_SHARED": str(shared), "PYTHONPATH": str(ROOT),
        "INJECT_FAULT": f"flock-{errno.ENOLCK}", "INJECT_AT": "1",
    }  # fmt: skip
    done = genrepipe("rollback", "--warehouse", bench / "w.duckdb", **injected)
    assert (done.code, "No locks available" in done.error, "is locked by" in done.error) == (74, True, False)


def test_a_warehouse_that_nobody_may_read(bench: Path) -> None:
    warehouse = bench / "w.duckdb"
    warehouse.chmod(stat.S_IWUSR)
    done = (
        subprocess.run(["setpriv", "--version"], check=False, capture_output=True) if shutil.which("setpriv") else None
    )
    if os.getuid() or done is None:
        pytest.skip("becoming another user needs root and setpriv")
    refused = "from pathlib import Path; from genrepipe.warehouse.connection import refuse_unusable; import os; os.setuid(54321)\n"
    refused += f"refuse_unusable(Path({str(warehouse)!r}), read_only=True)"
    bench.chmod(0o755)
    said = subprocess.run(
        [sys.executable, "-c", refused], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert "StorageError" in said.stderr
    assert "Permission denied" in said.stderr


def test_output_broken_is_what_a_bug_is() -> None:
    assert OutputBroken.exit_code == as_genrepipe_error(duckdb.ConversionException("x")).exit_code == 70
