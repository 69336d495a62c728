"""Two commands on one warehouse, the first held at one of its file operations while the second runs: ``make crash-images``.

Every ordered pair of commands that write, and of one that writes and one that reads in either order. A reader is held where it
opens a file or reads from it. The oracle: exit codes, what readers answered, the content and the ledger are together those of the two commands one after
the other, in one order or the other, without one that was busy (75), as only two
that write may be. The next command succeeds and leaves nothing beside.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

from tests.support import run
from tests.torture.torture import (
    LIMIT,
    WRITERS,
    Bench,
    assert_apart,
    assert_nothing_beside,
    content,
    delayed,
    made,
)

READERS = {
    "query": [
        "query",
        "SELECT (SELECT count(*) FROM runs) AS lines, job, run_date, track_id, genre, probability FROM predictions ORDER BY ALL",
    ],
    "compare": ["models", "compare"],
}
PAIRS = [
    *((first, second) for first in WRITERS for second in (*WRITERS, *READERS)),
    *((first, second) for first in READERS for second in WRITERS if second != "first"),
]
POINTS = 6  # of each pair
BUSY = 75


@dataclass(frozen=True)
class Outcome:
    """What can be seen of two commands: how each ended and what it answered, and what they left."""

    codes: tuple[int, int]
    answers: tuple[str, str]
    left: object


class Interleavings:
    """Pairs of commands, and what they do one after the other."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._template = bench.copy("replay")
        words = ["score", self._template / "one.csv", "--run-date", "2026-11-18", "--shadow", "all-features"]
        made_up = run(*words, "--warehouse", self._template / "w.duckdb")  # a night that ``models compare`` can compare
        assert made_up.code == 0, made_up.err
        self.serial = cache(self._serial)
        self.operations = cache(self._operations)

    def place(self, pair: tuple[str, str]) -> Path:
        """Return a folder for a pair: without a warehouse where one of the two is to write the first."""
        place = Path(tempfile.mkdtemp(dir=self.bench.folder)) / "data"
        shutil.copytree(self._template, place)
        if "first" in pair:
            for path in place.glob("w.duckdb*"):
                path.unlink()
        return place

    def words(self, command: str, place: Path) -> list[str]:
        """Return the command line."""
        if command in READERS:
            words = [*READERS[command], "--output", "json", "--warehouse", str(place / "w.duckdb")]
            return [sys.executable, "-m", "genrepipe", *words]
        return self.bench.words(command, place)

    def _serial(self, pair: tuple[str, str]) -> list[Outcome]:
        """Return what is allowed: one after the other, and one of them alone where the other was busy."""
        allowed = []
        for order in ((0, 1), (1, 0), (0,), (1,)):
            if len(order) == 1 and READERS.keys() & set(pair):
                continue  # readers neither are busy nor make others so
            place = self.place(pair)
            codes, answers = [BUSY, BUSY], ["", ""]
            for each in order:
                ended = run(*self.words(pair[each], place)[3:])
                codes[each], answers[each] = ended.code, answer(pair[each], ended.code, ended.out)
            allowed.append(Outcome((codes[0], codes[1]), (answers[0], answers[1]), left(place / "w.duckdb")))
            shutil.rmtree(place.parent)
        return allowed

    def _operations(self, command: str, alone: bool) -> int:
        """Return how many operations a command makes, with or without a warehouse."""
        place = self.place(("first" if alone else "", command))
        more = {"INJECT_READS": "1"} if command in READERS else {}
        count = self.bench.finish(self.words(command, place), place, succeeds=False, **more)
        shutil.rmtree(place.parent)
        return count

    def points(self, pair: tuple[str, str], seed: int) -> list[int]:
        """Return operations of the first command: its first, at which it has no lock yet, and others that are drawn."""
        rest = range(2, self.operations(pair[0], "first" in pair) + 1)
        return [1, *random.Random(f"{pair} {seed}").sample(rest, min(POINTS - 1, len(rest)))]

    def try_point(self, pair: tuple[str, str], operation: int) -> str:
        """Hold the first command at an operation while the second runs, and return how the two ended.

        Raises
        ------
        AssertionError
            The oracle does not hold.
        """
        place = self.place(pair)
        shared, warehouse = self.bench.shared(place), place / "w.duckdb"
        environment = self.bench.environment(place, shared, "delay", operation)
        environment |= {"INJECT_READS": "1"} if pair[0] in READERS else {}
        with subprocess.Popen(
            self.words(pair[0], place), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            with delayed(process, shared):
                held = made(shared)
                second = run(*self.words(pair[1], place)[3:])
            out, err = process.communicate(timeout=LIMIT)
        assert "Traceback" not in err + second.err, err + second.err
        codes = (process.returncode, second.code)
        answers = (answer(pair[0], codes[0], out), answer(pair[1], codes[1], second.out))
        outcome = Outcome(codes, answers, left(warehouse))
        assert outcome in self.serial(pair), f"{codes}: not what they do one after the other: {err}{second.err}"
        assert_apart(warehouse)
        after = run(*self.words("recognised", place)[3:])
        assert after.code == 0, after.err
        assert_nothing_beside(warehouse)
        shutil.rmtree(place.parent)
        return f"{codes[0]} and {codes[1]}" if held else "not held"


def answer(command: str, code: int, out: str) -> str:
    """Return what a reader answered; messages, and what a command that writes says, have names and times in them."""
    return out if command in READERS and code == 0 else ""


def left(warehouse: Path) -> object:
    """Return content and ledger, without ids and times."""
    if not warehouse.exists():
        return None
    with duckdb.connect(warehouse, read_only=True) as connection:
        lines = connection.execute("SELECT job, action, status, exit_code FROM runs ORDER BY ALL").fetchall()
    predictions, catalogue, quarantine, _ = content(warehouse) or ([], [], [], [])
    return predictions, catalogue, sorted(is_open for _, is_open in quarantine), lines


def main() -> None:
    """Try some points of every pair, and print a table."""
    print("| first, held | second | points | exit codes of the two |\n|---|---|---|---|")
    broken: list[dict[str, object]] = []
    points = 0
    with tempfile.TemporaryDirectory() as folder:
        interleavings = Interleavings(Bench(Path(folder)))
        for pair in PAIRS:
            ended: Counter[str] = Counter()
            for operation in interleavings.points(pair, seed=0):
                try:
                    ended[interleavings.try_point(pair, operation)] += 1
                except (AssertionError, subprocess.TimeoutExpired, duckdb.Error) as error:
                    ended["BROKEN"] += 1
                    broken.append({"pair": pair, "operation": operation, "error": str(error)[:1000]})
            text = ", ".join(f"{n} x {outcome}" for outcome, n in ended.most_common())
            points += ended.total()
            print(f"| {pair[0]} | {pair[1]} | {ended.total()} | {text} |", flush=True)
    print(f"{len(PAIRS)} pairs, {points} points, {len(broken)} broken")
    print(*map(json.dumps, broken), sep="\n", file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
