"""A fault at every file operation of every command that writes a warehouse: ``make torture``.

``inject.c`` counts the operations that change something in the warehouse's folder, of a command and of its children, and
injects a fault at one of them. After each, the oracle holds: readers see the old generation or the new one, never an error;
exit code, last line, ledger and data agree; the generation before is another file; the next command succeeds and leaves
nothing beside; ``rollback`` really goes back.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from genrepipe.core import assets
from tests.support import ROOT, files, run, score, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FAULTS = ("kill-before", "kill-after", "torn", "EIO", "ENOSPC", "SIGTERM", "delay")
WRITERS = ("first", "nightly", "recognised", "replay", "labels", "rollback", "retract")  # of the warehouse
COMMANDS = (*WRITERS, "promote")
NIGHT, NEXT_NIGHT = "2026-11-20", "2026-11-21"
LIMIT = 90.0  # seconds that a command may take


@dataclass(frozen=True)
class Point:
    """One fault at one operation of one command."""

    command: str
    operation: int
    fault: str


def build(folder: Path) -> Path:
    """Compile the library."""
    library = folder / "inject.so"
    source = Path(__file__).with_name("inject.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class Bench:
    """Templates of the folder in which each command runs, and what the warehouse holds after it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.library = folder, build(folder)
        self.templates: dict[str, Path] = {}
        self.old: dict[str, object] = {}
        self.new: dict[str, object] = {}
        self.operations: dict[str, int] = {}
        base = folder / "base"
        base.mkdir()
        write_csv(base / "one.csv", [*tracks(40), track(41, energy="7")])
        write_csv(base / "two.csv", [track(i, artist_name=f"Artist {i % 7}") for i in range(10, 60)])
        write_csv(base / "labels.csv", [{"instance_id": str(i), "music_genre": "Rock"} for i in range(1, 20)])
        for command in COMMANDS:
            self._prepare(command, base)

    def _prepare(self, command: str, base: Path) -> None:
        template = self.folder / f"template-{command}"
        shutil.copytree(base, template)
        warehouse = template / "w.duckdb"
        if command != "first":
            score(template / "one.csv", warehouse, "2026-11-19")
            score(template / "one.csv", warehouse, NIGHT)
        if command == "promote":
            shutil.copytree(assets.pretrained() / "lda-2d", template / "bundles" / "lda-2d")
        if command == "replay":
            words = (
                "quarantine",
                "export",
                "--run-date",
                NIGHT,
                "--out",
                template / "fixes.csv",
                "--warehouse",
                warehouse,
            )
            assert run(*words).code == 0
            fixes = template / "fixes.csv"
            fixes.write_text(fixes.read_text().replace(",7,", ",0.7,"))
        self.templates[command] = template
        self.old[command] = content(warehouse)
        trial = self.copy(command)
        self.operations[command] = self.finish(self.words(command, trial), trial)
        self.new[command] = content(trial / "w.duckdb")
        shutil.rmtree(trial.parent)

    def finish(self, words: list[str], place: Path, *, succeeds: bool = True, **more: str) -> int:
        """Run a command without a fault, and return how many operations it made."""
        shared = self.shared(place)
        environment = self.environment(place, shared, "none", 0) | more
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT)
        assert done.returncode == 0 or not succeeds, done.stderr
        return struct.unpack("4Q", shared.read_bytes())[0]

    def copy(self, command: str) -> Path:
        """Return a fresh copy of a template."""
        place = Path(tempfile.mkdtemp(dir=self.folder)) / "data"
        shutil.copytree(self.templates[command], place)
        return place

    def shared(self, place: Path) -> Path:
        """Make the file that the processes of one command share, see ``delayed``."""
        shared = place.parent / "shared"
        shared.write_bytes(bytes(32))
        return shared

    def words(self, command: str, place: Path) -> list[str]:
        """Return the command line."""
        warehouse = ["--warehouse", str(place / "w.duckdb")]
        words = {
            "first": ["score", str(place / "two.csv"), "--run-date", NEXT_NIGHT],
            "nightly": ["score", str(place / "two.csv"), "--run-date", NEXT_NIGHT],
            "recognised": ["score", str(place / "one.csv"), "--run-date", NIGHT],
            "replay": ["quarantine", "replay", str(place / "fixes.csv"), "--run-date", NIGHT],
            "labels": ["labels", str(place / "labels.csv")],
            "rollback": ["rollback"],
            "retract": ["retract", "--run-date", NIGHT],
            "promote": ["models", "promote", "lda-2d", "--anyway", "a trial", "--bundles", str(place / "bundles")],
        }[command]
        if command == "promote":
            warehouse = []
        more = ["--limit", "flipped_percent=100"] if words[0] == "score" else []
        return [sys.executable, "-m", "genrepipe", *words, *more, *warehouse]

    def environment(self, place: Path, shared: Path, fault: str, operation: int) -> dict[str, str]:
        """Return the environment that injects."""
        return os.environ | {
            "LD_PRELOAD": str(self.library), "INJECT_FOLDER": f"{place}/", "INJECT_SHARED": str(shared),
            "INJECT_FAULT": fault, "INJECT_AT": str(operation), "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def points(self, commands: Iterable[str] = COMMANDS) -> list[Point]:
        """Return every point."""
        return [Point(c, n, fault) for c in commands for n in range(1, self.operations[c] + 1) for fault in FAULTS]

    def sample(self, count: int, seed: int) -> list[Point]:
        """Return points drawn evenly over commands and faults."""
        draw = random.Random(seed)
        pairs = [(command, fault) for command in COMMANDS for fault in FAULTS]
        draw.shuffle(pairs)
        chosen = [pairs[i % len(pairs)] for i in range(count)]
        return [Point(c, draw.randint(1, self.operations[c]), fault) for c, fault in chosen]

    def try_point(self, point: Point) -> str:
        """Inject one fault, and return how the command ended.

        Raises
        ------
        AssertionError
            The oracle does not hold.
        """
        place = self.copy(point.command)
        try:
            return self._judge(point, place)
        finally:
            shutil.rmtree(place.parent, ignore_errors=True)

    def _judge(self, point: Point, place: Path) -> str:
        shared, warehouse, command = self.shared(place), place / "w.duckdb", point.command
        words = self.words(command, place)
        environment = self.environment(place, shared, point.fault, point.operation)
        beside = None
        with subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            if point.fault == "delay":
                with delayed(process, shared):
                    beside = run(*words[3:])
                assert beside.code in {0, 75, 78} or (command == "retract" and beside.code == 64), beside.err
            _, err = process.communicate(timeout=LIMIT)
        code = process.returncode
        errors = [line for line in err.splitlines() if line.startswith("genrepipe: error: ")]
        assert "Traceback" not in err, err
        now = content(warehouse)
        old, new = self.old[command], self.new[command]
        assert now in (old, new), "neither the old generation nor the new one"
        if code == 0:
            # Two rollbacks, one after the other, go back and forward again.
            both = command == "rollback" and beside is not None and beside.code == 0
            assert now == (old if both else new), "it says that it succeeded"
        elif code > 0:
            assert len(errors) == 1, err
            if (command, point.fault, code) == ("retract", "delay", 64):  # the other has taken it back
                assert now == new
            else:
                assert code == {"EIO": 74, "ENOSPC": 74, "torn": 74, "SIGTERM": 143, "delay": 75}[point.fault], errors
                assert now == old or command == "recognised", "it says that it failed"
            line = last_line(warehouse, command)
            assert line is None or line[1] in {code, None}, (line, code)
        assert_apart(warehouse)
        self.go_on(command, place, now == new)
        return {0: "succeeded", -9: "killed"}.get(code, f"failed with {code}")

    def go_on(self, command: str, place: Path, published: bool) -> None:
        """Run the command again, without a fault, and go back."""
        warehouse = place / "w.duckdb"
        if command in {"rollback", "retract"} and published:  # once more would go forward, or find nothing
            words = [*self.words("recognised", place)[3:]]
        else:
            words = self.words(command, place)[3:]
        until = time.monotonic() + LIMIT
        while (again := run(*words)).code == 75 and time.monotonic() < until:
            time.sleep(0.1)  # a copy that outlives its command holds the lock
        assert again.code == 0, again.err
        if not (command in {"rollback", "retract"} and published):
            assert content(warehouse) == self.new[command], "the next command does not reach the new generation"
        assert_apart(warehouse)
        assert_nothing_beside(warehouse)
        if command in {"nightly", "labels", "replay"}:
            back = run("rollback", "--warehouse", warehouse)
            assert back.code == 0, back.err
            again_published = command == "labels" and published  # labels are not recognised: they were taken twice
            assert content(warehouse) == (self.new if again_published else self.old)[command], (
                "rollback does not go back"
            )


def content(warehouse: Path) -> tuple[list[tuple[object, ...]], ...] | None:
    """Return what a reader sees, without the ids and times of runs; every published run has as many predictions as it says."""
    if not warehouse.exists():
        return None
    with duckdb.connect(warehouse, read_only=True) as connection:
        wrong = connection.execute(
            "SELECT run_id FROM runs WHERE status = 'published' AND action = 'score' AND predicted <> "
            "(SELECT count(*) FROM predictions AS p WHERE p.job = runs.job AND p.run_date = runs.run_date AND p.run_id = runs.run_id)"
            " AND finished_at = (SELECT max(finished_at) FROM runs AS r WHERE r.job = runs.job AND r.run_date = runs.run_date AND r.action = 'score')"
        ).fetchall()
        assert wrong == [], "a published run has another number of predictions"
        predictions = connection.execute(
            "SELECT job, run_date, track_id, genre, probability FROM predictions ORDER BY ALL"
        ).fetchall()
        catalogue = connection.execute("FROM tracks ORDER BY ALL").fetchall()
        open_rows = connection.execute(
            "SELECT quarantine_id, resolved_by IS NULL FROM quarantine ORDER BY ALL"
        ).fetchall()
    champion = warehouse.parent / "bundles" / "champion"
    promoted = [(champion.read_text(),)] if champion.exists() else []
    return (predictions, catalogue, open_rows, promoted) if predictions or catalogue or open_rows else None


def last_line(warehouse: Path, command: str) -> tuple[str, int | None] | None:
    """Return status and exit code of the newest line of the ledger that this command may have written."""
    if not warehouse.exists():
        return None
    action = {"replay": "replay", "labels": "labels", "rollback": "rollback", "retract": "retract"}.get(
        command, "score"
    )
    with duckdb.connect(warehouse, read_only=True) as connection:
        return connection.execute(
            "SELECT status, exit_code FROM runs WHERE action = ? AND status <> 'published' ORDER BY started_at DESC LIMIT 1",
            [action],
        ).fetchone()


def assert_apart(warehouse: Path) -> None:
    """Check that the generation before is another file."""
    previous = warehouse.with_name(f"{warehouse.name}.previous")
    assert not (previous.exists() and warehouse.exists() and previous.samefile(warehouse)), "one file by two names"


def assert_nothing_beside(warehouse: Path) -> None:
    """Check that there is no file of the warehouse but the two generations."""
    assert files(warehouse) <= {"w.duckdb", "w.duckdb.previous"}, files(warehouse)
    bundles = {path.name for path in warehouse.parent.glob("bundles/*")}
    assert bundles <= {"lda-2d", "champion", "promotions.jsonl"}, bundles
    if "champion" in bundles:  # a promotion has its line, whole
        lines = (warehouse.parent / "bundles/promotions.jsonl").read_text(encoding="utf-8").splitlines()
        assert json.loads(lines[-1])["to"]["model"] == (warehouse.parent / "bundles/champion").read_text().strip()


def made(shared: Path) -> bool:
    """Return whether the fault was made."""
    return bool(struct.unpack("4Q", shared.read_bytes())[2])


@contextmanager
def delayed(process: subprocess.Popen[str], shared: Path) -> Iterator[None]:
    """Hold a process at the operation of its delay while the body runs."""
    while process.poll() is None and not made(shared):
        time.sleep(0.01)
    try:
        yield
    finally:
        with shared.open("r+b") as file:
            file.seek(24)
            file.write(struct.pack("Q", 1))


def main() -> None:
    """Try every point, or as many as are named, and print a table of commands and faults."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        points = bench.points() if count is None else bench.sample(count, seed=0)
        ended: dict[tuple[str, str], Counter[str]] = {}
        broken: list[dict[str, object]] = []
        for number, point in enumerate(points, 1):
            try:
                outcome = bench.try_point(point)
            except (AssertionError, subprocess.TimeoutExpired, duckdb.Error) as error:
                outcome = "BROKEN"
                broken.append({**vars(point), "error": str(error)[:500]})
                print(json.dumps(broken[-1]), flush=True)
            ended.setdefault((point.command, point.fault), Counter())[outcome] += 1
            if number % 50 == 0:
                print(f"{number} of {len(points)} points, {len(broken)} broken", file=sys.stderr, flush=True)
    print("| command | operations | fault | points | how they ended |\n|---|---|---|---|---|")
    for (command, fault), outcomes in sorted(ended.items()):
        text = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
        print(f"| {command} | {bench.operations[command]} | {fault} | {outcomes.total()} | {text} |")
    print(f"{len(points)} points, {len(broken)} broken")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
