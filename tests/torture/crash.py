"""The states of the disk that a power cut may leave, of every command that publishes: ``make crash-images``.

``inject.c`` records what a command and its children change in the warehouse's folder, with the data. From the trace the
states are built that a file system may show after a power cut, as ALICE does (Pillai et al., All File Systems Are Not Created
Equal, OSDI 2014). What was synced is there. Of what was not:

- the entries of the folder (create, link, rename, unlink) are there up to any one of them, in their order;
- of each file, its changes are there up to any one of them; all but one; up to one of which the first half was written; all
  sizes, with zeros for the data; or all, cut to half the length. An entry may be there before the data of its file.

States are built just before each sync and after the end: what was not synced only grows in between. They are bounded twice.
One file at a time has part of its changes, while all others have either all or none. And of these states ``bound`` are drawn
each time, beside those in which every file has all or none.

Of each image, the warehouse must be the old generation or the new one, in every row of every table; the generation to go back
to must be the one before either; and once the command has ended, the new one must be there for good. On one of ``next_of``
images the next command must succeed and leave nothing beside.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from tests.support import run
from tests.torture.torture import Bench, assert_apart, assert_nothing_beside, content

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = ("first", "nightly", "rollback", "labels", "replay")
FOLDER = 0  # the number of the folder, among those of files
DATA = {"write", "truncate"}
END = "the end"
BOUND = 150  # states before each sync
NEXT = 10  # one of so many images has the next command run on it


@dataclass(frozen=True)
class Change:
    """One change of a file's data or of the folder's entries, or a sync of either."""

    kind: str  # create, write, truncate, sync, link, rename, unlink
    file: int
    offset: int
    size: int
    data: bytes
    name: str
    second: str


@dataclass(frozen=True)
class Trace:
    """What the folder held before a command, and what it changed."""

    entries: dict[str, int]
    contents: dict[int, bytes]
    changes: list[Change]

    def without(self, sync: set[int]) -> Trace:
        """Return the trace of a command that had not made these syncs, given by their place."""
        return replace(self, changes=[each for i, each in enumerate(self.changes) if i not in sync])

    def syncs(self, name: str) -> list[int]:
        """Return the places of a file's syncs; the folder's name is empty."""
        return [i for i, each in enumerate(self.changes) if each.kind == "sync" and each.name == name]


@dataclass(frozen=True)
class Part:
    """What is there of the changes of one file: those of these places, and one way in which that is not all."""

    kept: tuple[int, ...]
    but: str = ""  # torn, zeros, short


@dataclass(frozen=True)
class State:
    """What is there of what was not synced: so many entries of the folder, and of some files a part."""

    entries: int
    parts: tuple[tuple[int, Part], ...]


@dataclass
class Disk:
    """What is on the disk for certain, and what may be."""

    entries: dict[str, int]
    contents: dict[int, bytes]
    unsynced_entries: list[Change] = field(default_factory=list)
    unsynced: dict[int, list[Change]] = field(default_factory=dict)

    def make(self, change: Change) -> None:
        """Go on by one change."""
        if change.kind in DATA:
            self.unsynced.setdefault(change.file, []).append(change)
        elif change.kind != "sync":
            self.unsynced_entries.append(change)
        elif change.file == FOLDER:
            self.entries, self.unsynced_entries = self.entries_after(len(self.unsynced_entries)), []
        else:
            self.contents[change.file] = self.content_of(change.file, self.all_of(change.file))
            self.unsynced.pop(change.file, None)

    def all_of(self, file: int) -> Part:
        """Return all changes of a file."""
        return Part(tuple(range(len(self.unsynced.get(file, [])))))

    def entries_after(self, count: int) -> dict[str, int]:
        """Return the folder's entries when the first of the unsynced ones are there."""
        entries = dict(self.entries)
        for change in self.unsynced_entries[:count]:
            if change.kind == "create":
                entries[change.name] = change.file
            elif change.kind == "unlink":
                del entries[change.name]
            elif change.kind == "link" or entries[change.name] != entries.get(change.second):
                entries[change.second] = entries[change.name]
                if change.kind == "rename":
                    del entries[change.name]
        return entries

    def content_of(self, file: int, part: Part) -> bytes:
        """Return a file's bytes when a part of its unsynced changes is there."""
        content = bytearray(self.contents.get(file, b""))
        for place in part.kept:
            change = self.unsynced[file][place]
            data = change.data
            if part.but == "torn" and place == part.kept[-1]:
                data = data[: len(data) // 2]
            if part.but == "zeros":
                data = bytes(len(data))
            end = change.size if change.kind == "truncate" else change.offset + len(data)
            if change.kind == "truncate":
                del content[end:]
            content.extend(bytes(max(0, end - len(content))))
            if change.kind == "write":
                content[change.offset : end] = data
        return bytes(content[: len(content) // 2] if part.but == "short" else content)

    def everything(self) -> State:
        """Return the state in which all is there: what readers see as long as there is power."""
        return State(len(self.unsynced_entries), tuple((file, self.all_of(file)) for file in self.unsynced))

    def states(self, bound: int, draw: random.Random) -> list[State]:
        """Return the states that a power cut may leave, at most ``bound`` beside those in which files have all or none."""
        plain: dict[State, None] = {}
        others: dict[State, None] = {}
        for count in range(len(self.unsynced_entries) + 1):
            files = sorted(set(self.entries_after(count).values()) & set(self.unsynced))
            for base in ({each: self.all_of(each) for each in files}, {each: Part(()) for each in files}):
                plain[State(count, tuple(base.items()))] = None
                for each in files:
                    for part in parts(len(self.unsynced[each])):
                        others[State(count, tuple((base | {each: part}).items()))] = None
        rest = [each for each in others if each not in plain]
        return [*plain, *draw.sample(rest, min(bound, len(rest)))]

    def image(self, state: State) -> dict[str, bytes]:
        """Return the files of a state."""
        chosen = dict(state.parts)
        entries = self.entries_after(state.entries)
        return {name: self.content_of(file, chosen.get(file, Part(()))) for name, file in entries.items()}


def parts(count: int) -> Iterator[Part]:
    """Return what may be there of so many changes, other than all or none."""
    everything = tuple(range(count))
    for i in range(count):
        yield Part(everything[:i])
        yield Part(everything[:i] + everything[i + 1 :])
        yield Part(everything[: i + 1], "torn")
    yield Part(everything, "zeros")
    yield Part(everything, "short")


def record(bench: Bench, command: str) -> Trace:
    """Run a command, which succeeds, and return its trace; it explains what the folder holds afterwards, byte for byte."""
    place = bench.copy(command)
    numbers = {path.stat().st_ino: i for i, path in enumerate(place.iterdir(), FOLDER + 1)}
    before = {path: numbers[path.stat().st_ino] for path in place.iterdir()}
    trace = Trace(
        {path.name: file for path, file in before.items()},
        {file: path.read_bytes() for path, file in before.items()},
        [],
    )
    numbers[place.stat().st_ino] = FOLDER
    path = place.parent / "trace"
    bench.finish(bench.words(command, place), place, INJECT_TRACE=str(path))
    with path.open("rb") as file:
        while line := file.readline():
            kind, inode, offset, size, length, name, second = line.decode().rstrip("\n").split("\t")
            if kind == "create":  # an inode is used again for another file
                numbers[int(inode)] = max(numbers.values()) + 1
            number = numbers[int(inode)] if int(inode) else FOLDER
            trace.changes.append(Change(kind, number, int(offset), int(size), file.read(int(length)), name, second))
    disk = Disk(dict(trace.entries), dict(trace.contents))
    for change in trace.changes:
        disk.make(change)
    assert disk.image(disk.everything()) == {path.name: path.read_bytes() for path in place.iterdir()}, (
        "not all is traced"
    )
    shutil.rmtree(place.parent)
    return trace


def whole(warehouse: Path) -> object:
    """Return what a generation holds: what readers see, and a checksum of every table."""
    with duckdb.connect(warehouse, read_only=True) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        ]
        sums = [
            connection.execute(f'SELECT count(*), bit_xor(hash(t)), sum(hash(t)) FROM "{name}" AS t').fetchone()
            for name in tables
        ]
    return content(warehouse), tables, sums


class Images:
    """The images of one trace, and what is wrong with them."""

    def __init__(self, bench: Bench, command: str, trace: Trace) -> None:
        self.bench, self.command, self.trace = bench, command, trace
        self.boundaries = self.count = self.gone_on = 0
        self.broken: list[str] = []
        self._known: dict[bytes, object] = {}
        disk = self._disk()
        with self._image(disk, State(0, ())) as place:
            self.old, self.before = self._whole(place / "w.duckdb"), self._whole(place / "w.duckdb.previous")
        for change in trace.changes:
            disk.make(change)
        with self._image(disk, disk.everything()) as place:
            self.new = self._whole(place / "w.duckdb")

    @property
    def opened(self) -> int:
        """How many files of different bytes were opened as warehouses."""
        return len(self._known)

    def _disk(self) -> Disk:
        return Disk(dict(self.trace.entries), dict(self.trace.contents))

    @contextmanager
    def _image(self, disk: Disk, state: State) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.bench.folder) as folder:
            place = Path(folder, "data")
            place.mkdir()
            written: dict[int, Path] = {}
            contents = disk.image(state)
            for name, file in disk.entries_after(state.entries).items():
                if file in written:  # a second name of a file is one in the image too
                    (place / name).hardlink_to(written[file])
                else:
                    written[file] = place / name
                    written[file].write_bytes(contents[name])
            yield place

    def _whole(self, warehouse: Path) -> object:
        """Return what a generation holds; files of the same bytes are opened once."""
        if not warehouse.exists():
            return None
        digest = hashlib.sha256(warehouse.read_bytes()).digest()
        if digest not in self._known:
            try:
                self._known[digest] = whole(warehouse)
            except (AssertionError, duckdb.Error) as error:
                self._known[digest] = str(error)
        return self._known[digest]

    def moments(self) -> Iterator[tuple[str, Disk]]:
        """Yield the disk before each sync and after the end."""
        disk = self._disk()
        for number, change in enumerate(self.trace.changes):
            if change.kind == "sync":
                yield f"change {number}", disk
            disk.make(change)
        yield END, disk

    def open_all(self, bound: int = BOUND, next_of: int | None = NEXT, seed: int = 0) -> Images:
        """Open the images of every moment; on one of ``next_of`` of them, run the next command."""
        draw = random.Random(seed)
        for moment, disk in self.moments():
            self.boundaries += 1
            for state in disk.states(bound, draw):
                go_on = next_of is not None and self.count % next_of == next_of - 1
                self.open(moment, disk, state, go_on=go_on)
        return self

    def open(self, moment: str, disk: Disk, state: State, *, go_on: bool = False) -> None:
        """Open the image of one state."""
        self.count += 1
        with self._image(disk, state) as place:
            try:
                published = self._judge(place / "w.duckdb", ended=moment == END)
                if go_on:
                    self.gone_on += 1
                    self._go_on(place, published)
            except (AssertionError, duckdb.Error) as error:
                told = {"command": self.command, "before": moment, "state": repr(state), "error": str(error)[:300]}
                self.broken.append(json.dumps(told))

    def _judge(self, warehouse: Path, *, ended: bool) -> bool:
        """Check the generations of an image, and return whether the new one was published."""
        assert not warehouse.with_name("w.duckdb.wal").exists(), "a log that DuckDB would replay into the warehouse"
        now, previous = self._whole(warehouse), self._whole(warehouse.with_name("w.duckdb.previous"))
        assert now in (self.old, self.new), f"neither the old generation nor the new one: {str(now)[:200]}"
        assert not ended or now == self.new, "the command said that it succeeded"
        assert previous in (self.before, self.old), "the generation to go back to is another"
        return now == self.new

    def _go_on(self, place: Path, published: bool) -> None:
        """Run the next command: a score of another night on half of the images, else the same command and a rollback."""
        if self.gone_on % 2:
            self.bench.go_on(self.command, place, published)
            return
        again = run(*self.bench.words("recognised", place)[3:])
        assert again.code == 0, again.err
        assert_apart(place / "w.duckdb")
        assert_nothing_beside(place / "w.duckdb")


def main() -> None:
    """Open the images of every command, and print a table."""
    print("| command | fsync boundaries | images | different files opened | next command run | broken |")
    print("|---|---|---|---|---|---|")
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for command in COMMANDS:
            images = Images(bench, command, record(bench, command)).open_all()
            row = (command, images.boundaries, images.count, images.opened, images.gone_on, len(images.broken))
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            broken += images.broken
    print(*broken, sep="\n", file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
