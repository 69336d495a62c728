"""Fuzzing the door in with whole files: whatever way a table is written in, it lands as the rows that were meant.

The oracle is the list of rows that was written. In ``make test`` 80 deliveries land; ``make fuzz`` lands a fifth of its inputs.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import shutil
import sqlite3
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrepipe.core import resources
from genrepipe.core.errors import ContractBroken, StorageError, UsageError
from genrepipe.ingest import landing, sources
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps
from tests.support import GOOD, run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INPUTS = int(os.environ.get("GENREPIPE_FUZZ", "100000")) // 5
NUMBERS = {
    "popularity": (0, 100), "acousticness": (0, 1), "danceability": (0, 1), "duration_ms": (1, 900_000), "energy": (0, 1),
    "instrumentalness": (0, 1), "liveness": (0, 1), "loudness": (-60, 5), "speechiness": (0, 1), "tempo": (30, 250),
    "valence": (0, 1),
}  # fmt: skip
KEYS = {
    "C": ["C", "0", "c", "B#", "0.0"], "C#": ["C#", "1", "Db", "C#/Db"], "F#": ["F#", "6", "gb"], "A#": ["A#", "10", "Bb", " A# "], "B": ["B", "11", "11.0"],
}  # fmt: skip
MODES = {"Major": ["Major", "1", "major", "1.0", "dur"], "Minor": ["Minor", "0", "MINOR", "moll", " Minor "]}
PIECES = [
    "a", "Röyk", "é", "ß", "x y", "0,5", "1.5", "-", "'", "#", "=", "\\", "\\n", "nan", "&", "sep=;", "%", "(", "]", "{}", "  ", "NULL",
    ",", ";", "\t", "|", '"', '""', '"a"', "\n", "\r\n", "\r", "𝕏", "🎸", "日本", "e\u0301", "\u200b", "‘", "€", "\u00a0", ", ",
]  # fmt: skip


@dataclass(frozen=True)
class Form:
    """How a part is written."""

    kind: str = "text"
    encoding: str = "utf-8"
    delimiter: str = ","
    quoting: str = "minimal"
    end: str = "\n"
    header: str = "as is"
    before: str = ""
    blank: bool = False
    comma: bool = False  # as the decimal mark
    after: str = "line end"
    packing: str = ""
    hive: bool = False
    rows: int = 1
    seed: int = 0


@dataclass
class Row:
    """What is meant by a row."""

    id: str
    artist: str
    title: str
    key: str
    mode: str
    numbers: dict[str, float | None] = field(default_factory=dict)


TEXT_FORMS = st.builds(
    Form,
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "windows-1252"]),
    delimiter=st.sampled_from([",", ",", ";", "\t", "|"]),
    quoting=st.sampled_from(["minimal", "minimal", "all", "none"]),
    end=st.sampled_from(["\n", "\n", "\r\n", "\r"]),
    header=st.sampled_from(["as is", "quoted", "upper", "spaces", "units", "shuffled", "more"]),
    before=st.sampled_from(["", "", "", "sep", "comment", "blank", "comments"]),
    blank=st.booleans(), comma=st.booleans(),
    after=st.sampled_from(["line end", "line end", "nothing", "\x1a", "zeros", "blank lines"]),
    packing=st.sampled_from(["", "", ".gz", ".gz in two", ".gz and zeros", ".zst", ".zst in two", ".zst and padding"]),
    hive=st.booleans(), rows=st.integers(1, 12), seed=st.integers(0, 2**48),
)  # fmt: skip
TYPED_FORMS = st.builds(
    Form, kind=st.sampled_from(["parquet", "parquet", "json", "duckdb", "sqlite"]), hive=st.booleans(), rows=st.integers(1, 12),
    seed=st.integers(0, 2**48),
)  # fmt: skip
DELIVERIES = st.lists(st.one_of(TEXT_FORMS, TEXT_FORMS, TEXT_FORMS, TYPED_FORMS), min_size=1, max_size=3)


def a_name(rng: random.Random, form: Form) -> str:
    """Return a name that can be written in the form: it has a letter, and is none of the words for what is missing."""
    pieces = [rng.choice(PIECES) for _ in range(rng.choice([0, 1, 1, 2, 3, 5]))]
    pieces.insert(rng.randint(0, len(pieces)), rng.choice(["Nn", "Zoë"]))
    name = "".join(pieces)[:40]
    if form.quoting == "none" and form.kind == "text":
        for character in ("\n", "\r", '"', form.delimiter):
            name = name.replace(character, "_")
        name = name.strip() or "Nn"
        if rng.random() < 0.3:
            name = f'Nn 7" {name}'
        elif form.delimiter == "\t" and rng.random() < 0.3:
            name = f'"{name}'  # nothing is quoted in such a table
    if form.encoding == "windows-1252":
        name = name.encode("windows-1252", "replace").decode("windows-1252")
    return name


def as_shown(name: str) -> str:
    """Return a name as it is to be shown: without what shows nothing, each run of white space one space."""
    name = unicodedata.normalize("NFC", name.replace("\u200b", ""))
    return re.sub("[ \n\r\t\u00a0]+", " ", name).strip(" ")


def rows_of(rng: random.Random, form: Form, ids: Iterator[int], mode: str | None) -> list[Row]:
    found = []
    for _ in range(form.rows):
        numbers: dict[str, float | None] = {
            name: round(rng.uniform(low, high), rng.choice([1, 3, 4])) for name, (low, high) in NUMBERS.items()
        }
        numbers["duration_ms"] = rng.choice([None, float(rng.randint(1, 900_000))])
        numbers["tempo"] = rng.choice([None, numbers["tempo"], numbers["tempo"]])
        number = next(ids)
        id_ = rng.choice([f"{number}", f"{number}", f"tr-{number}", f"00{number}x"])
        found.append(
            Row(
                id_,
                a_name(rng, form),
                a_name(rng, form),
                rng.choice(list(KEYS)),
                mode or rng.choice(list(MODES)),
                numbers,
            )
        )
    return found


def columns_of(rng: random.Random, form: Form, row: Row) -> dict[str, str]:
    """Return a row as text, each cell in one of the spellings that it may have."""

    def number(value: float | None, missing: str) -> str:
        if value is None:
            return missing
        text = rng.choice(
            [
                repr(value),
                repr(value),
                f"{value:.6f}",
                f"{value:.8e}",
                f"{value:g}" if value == float(f"{value:g}") else repr(value),
            ]
        )
        return text.replace(".", ",") if form.comma and form.delimiter != "," else text

    id_ = row.id
    if id_.isdigit():
        zero = ",0" if form.comma and form.delimiter != "," else ".0"
        id_ = rng.choice([id_, id_, id_ + zero, f"+{id_}", f" {id_} ", f'="{id_}"' if form.quoting != "none" else id_])
    cells = {
        **GOOD, "instance_id": id_, "artist_name": row.artist, "track_name": row.title, "key": rng.choice(KEYS[row.key]),
        "mode": rng.choice(MODES[row.mode]), "obtained_date": "4-Apr", "music_genre": rng.choice(["Jazz", "", "Rock"]),
    }  # fmt: skip
    for name, value in row.numbers.items():
        cells[name] = number(value, rng.choice(["-1", "", "NA"] if name == "duration_ms" else ["?", "", "nan", "0"]))
    if form.hive:
        del cells["mode"]
    return cells


def text_of(rng: random.Random, form: Form, rows: list[Row]) -> bytes:
    """Return the bytes of a text file."""
    table = [columns_of(rng, form, row) for row in rows]
    names = list(table[0])
    if form.header == "shuffled":
        rng.shuffle(names)
    if form.header == "more":
        names.insert(rng.randint(0, len(names)), "notes, and more" if form.quoting != "none" else "notes")
        for cells in table:
            cells[next(name for name in names if name.startswith("notes"))] = a_name(rng, form)

    def cell(text: str, always: bool) -> str:
        if form.quoting == "none" and not always:
            return text
        needs = any(character in text for character in (form.delimiter, '"', "\n", "\r")) or text != text.strip()
        return '"' + text.replace('"', '""') + '"' if needs or always else text

    def title(name: str) -> str:
        match form.header:
            case "upper":
                name = name.upper()
            case "spaces":
                return f" {name} "
            case "units" if name in {"liveness", "tempo"}:
                name = f"{name} (BPM)" if form.quoting == "none" else f"{name}{form.end}(BPM)"
        return cell(name, always=form.header == "quoted" or (form.quoting == "all"))

    lines = [form.delimiter.join(map(title, names))]
    for cells in table:
        lines += [""] * (form.blank and rng.random() < 0.4)
        lines.append(form.delimiter.join(cell(cells[name], always=form.quoting == "all") for name in names))
    comment = ["# exported on 2026-11-24", *(["#"] if form.before == "comments" else [])]
    lines[:0] = {"sep": [f"sep={form.delimiter}"], "comment": comment, "comments": comment, "blank": [""] * 2}.get(
        form.before, []
    )
    text = form.end.join(lines)
    text += {"nothing": "", "zeros": form.end + "\0" * 30, "\x1a": form.end + "\x1a", "blank lines": form.end * 3}.get(
        form.after, form.end
    )
    mark = "\ufeff" if form.encoding.startswith("utf-16") else ""
    return packed(rng, form, (mark + text).encode(form.encoding))


def json_of(rng: random.Random, form: Form, rows: list[Row]) -> bytes:
    """Return the bytes of JSON Lines, with some values as numbers and some missing keys."""
    lines = []
    for row in rows:
        cells: dict[str, Any] = {**columns_of(rng, form, row)}
        cells |= {name: value for name, value in row.numbers.items() if rng.random() < 0.6}
        cells = {name: cell for name, cell in cells.items() if cell is not None or rng.random() < 0.5}
        names = list(cells)
        rng.shuffle(names)
        lines.append(json.dumps({name: cells[name] for name in names}, ensure_ascii=rng.random() < 0.5))
    every = json.dumps(dict.fromkeys([*GOOD]))  # a line that is empty but for its keys: each part has every column
    return "\n".join([*lines, every, ""]).encode()


def packed(rng: random.Random, form: Form, content: bytes) -> bytes:
    cut = rng.randint(0, len(content)) if "two" in form.packing else len(content)
    pack: Callable[[bytes], bytes] = gzip.compress if ".gz" in form.packing else zstandard.compress
    if not form.packing:
        return content
    whole = pack(content[:cut]) + (pack(content[cut:]) if "two" in form.packing else b"")
    if "zeros" in form.packing:
        whole += bytes(100)
    if "padding" in form.packing:
        whole += bytes.fromhex("502a4d18") + (7).to_bytes(4, "little") + b"padding"  # a frame to be skipped, RFC 8878
    return whole


def typed_frame(rng: random.Random, form: Form, rows: list[Row]) -> pl.DataFrame:
    """Return the rows with columns of varied types."""
    digits = all(row.id.isdigit() for row in rows)
    kinds: list[Any] = [
        pl.String,
        pl.Binary,
        *([pl.Int64, pl.Float64, pl.Decimal(20, 3), pl.Float32] if digits else []),
    ]
    kind = rng.choice(kinds)
    ids = [row.id for row in rows]
    of_kind = {pl.Binary: [i.encode() for i in ids], pl.String: ids}.get(kind) or (
        [Decimal(i) for i in ids] if isinstance(kind, pl.Decimal) else [int(i) for i in ids]
    )
    frame = {"instance_id": pl.Series(of_kind, dtype=kind, strict=False)}
    for name, values in {"artist_name": [r.artist for r in rows], "track_name": [r.title for r in rows]}.items():
        text = rng.choice([pl.String, pl.Categorical, pl.Binary])
        frame[name] = pl.Series([v.encode() for v in values] if text == pl.Binary else values, dtype=text)
    for name in NUMBERS:
        numbers = [row.numbers[name] for row in rows]
        kind = rng.choice([pl.Float64, pl.Float32, pl.String, pl.Decimal(12, 4)])
        match kind:
            case pl.String:
                frame[name] = pl.Series([None if v is None else repr(v) for v in numbers], dtype=pl.String)
            case pl.Decimal():
                frame[name] = pl.Series([None if v is None else Decimal(repr(v)) for v in numbers], dtype=kind)
            case _:
                missing = rng.choice([None, float("nan")])
                frame[name] = pl.Series([missing if v is None else v for v in numbers], dtype=kind)
    if rng.random() < 0.3:
        frame["key"] = pl.Series(
            [list("C#D#EF#G#A#B").index("C") if r.key == "C" else int(KEYS[r.key][1]) for r in rows], dtype=pl.Int8
        )
    else:
        frame["key"] = pl.Series([rng.choice(KEYS[r.key]) for r in rows], dtype=rng.choice([pl.String, pl.Categorical]))
    if not form.hive or form.kind != "parquet":
        frame["mode"] = (
            pl.Series([r.mode == "Major" for r in rows]).cast(pl.Int64) if rng.random() < 0.3
            else pl.Series([rng.choice(MODES[r.mode]) for r in rows], dtype=pl.String)
        )  # fmt: skip
    names = list(frame)
    rng.shuffle(names)
    return pl.DataFrame({name.upper() if rng.random() < 0.1 else name: frame[name] for name in names})


def write_database(rng: random.Random, path: Path, frame: pl.DataFrame, kind: str) -> None:
    columns = ", ".join(f'"{name}"' for name in frame.columns)
    marks = ", ".join("?" * frame.width)
    if kind == "duckdb":
        words = {pl.Binary: "BLOB", pl.Int64: "BIGINT", pl.Int8: "TINYINT", pl.Float64: "DOUBLE", pl.Float32: "FLOAT"}
        kinds = [
            f"DECIMAL({dtype.precision}, {dtype.scale})" if isinstance(dtype, pl.Decimal) else words.get(type(dtype), "VARCHAR")
            for dtype in frame.dtypes
        ]  # fmt: skip
        with duckdb.connect(path) as database:
            declared = ", ".join(f'"{name}" {each}' for name, each in zip(frame.columns, kinds, strict=True))
            database.execute(f"CREATE TABLE tracks ({declared})")
            database.executemany(f"INSERT INTO tracks VALUES ({marks})", [list(row) for row in frame.rows()])
            if rng.random() < 0.3:
                database.execute("ALTER TABLE tracks RENAME TO hidden; CREATE VIEW tracks AS FROM hidden")
        return
    file = sqlite3.connect(path)
    with file:
        file.execute(f"CREATE TABLE tracks ({columns})")
        values = [[float(cell) if isinstance(cell, Decimal) else cell for cell in row] for row in frame.rows()]
        file.executemany(f"INSERT INTO tracks VALUES ({marks})", values)
    file.close()


def write(folder: Path, forms: list[Form]) -> tuple[list[str], str, list[Row]]:
    """Write a delivery, and return what names it, the encoding that is to be named, and the rows that are meant."""
    shutil.rmtree(folder, ignore_errors=True)
    inner = folder / "in"
    inner.mkdir(parents=True)
    named = "windows-1252" if any(form.encoding == "windows-1252" for form in forms if form.kind == "text") else "utf-8"
    if named == "windows-1252":  # one name is for all, but for a part whose byte order mark says otherwise
        forms = [replace(form, encoding=named) if form.encoding == "utf-8" else form for form in forms]
    ids, rows, arguments = iter(range(1, 1000)), [], []
    for number, form in enumerate(forms):
        rng = random.Random(form.seed)
        hive = form.hive and form.kind in {"text", "parquet"}  # the lines of JSON name every column
        mode = rng.choice(list(MODES)) if hive else None
        these = rows_of(rng, form, ids, mode)
        rows += these
        place = inner / f"mode={mode}" if hive else inner
        place.mkdir(exist_ok=True)
        if form.kind == "text":
            suffix = (".tsv" if form.delimiter == "\t" and rng.random() < 0.7 else ".csv") + form.packing.split(" ")[0]
            (place / f"part-{number}{suffix}").write_bytes(text_of(rng, form, these))
        elif form.kind == "json":
            place.joinpath(f"part-{number}.jsonl").write_bytes(json_of(rng, replace(form, hive=False), these))
        elif form.kind == "parquet":
            compression = rng.choice(["zstd", "snappy", "uncompressed", "gzip"])
            typed_frame(rng, form, these).write_parquet(place / f"part-{number}.parquet", compression=compression)
        else:
            path = folder / f"t{number}.{'duckdb' if form.kind == 'duckdb' else 'db'}"
            write_database(rng, path, typed_frame(rng, form, these), form.kind)
            arguments.append(f"{path}::tracks")
    if any(inner.iterdir()):
        rng = random.Random(forms[0].seed + 1)
        if rng.random() < 0.5:
            (inner / "_temporary").mkdir()
            for hidden in ("_SUCCESS", ".part-0.csv.crc", "_temporary/part-0.csv"):
                (inner / hidden).write_bytes(b"x,y\n1,2\n")
        files = [str(path) for path in sorted(inner.rglob("part-*")) if "_temporary" not in path.parts]
        arguments = [
            *rng.choice(
                [[str(inner)], files, [f"{inner}/**/part-*"] if not (inner / "_temporary").exists() else files]
            ),
            *arguments,
        ]
    return arguments, named, rows


@pytest.fixture(scope="module")
def steps() -> Iterator[Steps]:
    """A run in memory, into which one delivery after the other is landed."""
    with schema.open_memory(resources.plan()) as database:
        found = Steps(database)
        found.bind_row("run", **run_of().relation())
        yield found


def check(steps: Steps, folder: Path, forms: list[Form]) -> str:
    """Land a delivery, prove that it is the rows that were meant, and return how it ended."""
    arguments, named, rows = write(folder, forms)
    steps.release("landed", "parts", "unparsed", "known_rows")
    try:
        source = sources.resolve(arguments, encoding=named)
        assert source.not_read == ()
        counts = landing.land(steps, source).counts
    except (UsageError, ContractBroken, StorageError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        steps.database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    reasons = steps.database.rows("SELECT received, broken_rules FROM landed WHERE broken_rules IS NOT NULL")
    unparsed = steps.database.rows("SELECT * FROM unparsed")
    assert (counts.received - counts.empty, counts.accepted) == (len(rows), len(rows)), (reasons, unparsed, counts)
    assert counts.empty == sum(form.kind == "json" for form in forms)
    columns = ["track_id", "artist_name", "track_name", "key", "mode", *NUMBERS]
    names = ", ".join(f'"{name}"' for name in columns)
    landed = {row[0]: row for row in steps.database.rows(f"SELECT {names} FROM accepted")}
    assert sorted(landed) == sorted(row.id for row in rows)
    for row in rows:
        _, artist, title, key, mode, *numbers = landed[row.id]
        assert (artist, title) == (as_shown(row.artist), as_shown(row.title))
        assert (key, mode) == (row.key, row.mode)
        meant = [np.nan if value is None else np.float32(value) for value in row.numbers.values()]
        found = [np.nan if value is None else value for value in numbers]
        np.testing.assert_allclose(found, meant, rtol=2e-7)
    return "landed"


ANY = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=50, **ANY)  # type: ignore[arg-type]
@given(forms=DELIVERIES)
def test_a_delivery_is_what_was_meant(
    steps: Steps, tmp_path_factory: pytest.TempPathFactory, forms: list[Form]
) -> None:
    assert check(steps, tmp_path_factory.getbasetemp() / "delivery", forms) == "landed"


@pytest.mark.slow
def test_twenty_thousand_deliveries(steps: Steps, tmp_path: Path) -> None:
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    folder = place / f"genrepipe-deliveries-{os.getpid()}"
    ends: Counter[str] = Counter()

    @settings(max_examples=INPUTS, derandomize=False, **ANY)  # type: ignore[arg-type]
    @given(forms=DELIVERIES)
    def fuzz(forms: list[Form]) -> None:
        ends[check(steps, folder, forms)] += 1

    try:
        fuzz()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"\n{ends.total():,} deliveries: " + ", ".join(f"{n:,} {end}" for end, n in ends.most_common(20)))
    assert ends.total() >= INPUTS
    assert ends["landed"] == ends.total()
