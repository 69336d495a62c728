"""Fuzzing what is handed to a command: bundles, job files, contracts, lock files, labels, corrected exports, flags.

Documents that are valid are changed in their structure and in their bytes. Whatever comes of it, the command ends with a
code of the table other than 70, within seconds, with one line where it fails, and a failed command changes nothing that a
reader of the warehouse sees. ``make fuzz`` runs 100,000 inputs; in ``make test`` a few hundred run.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from genrepipe import contracts
from genrepipe.contracts import schemas
from genrepipe.core import assets
from genrepipe.model import bundle as bundles
from genrepipe.warehouse import steps
from tests.support import ROOT, run, score, track, tracks, write_csv
from tests.torture.torture import content

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS = int(os.environ.get("GENREPIPE_FUZZ", "100000"))
SECONDS = 10.0  # that a command may take
DOCUMENTED = {0, 64, 65, 66, 74, 75, 78}
# How many of every thousand inputs are of a kind: those whose commands copy a warehouse take the longest.
SHARES = {"bundle": 200, "job": 260, "contract": 120, "lock": 60, "labels": 80, "fixes": 60, "flags": 220}
QUICK = {"bundle": 30, "job": 40, "contract": 20, "lock": 10, "labels": 15, "fixes": 10, "flags": 60}

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 3.5, 10**30, -(10**400), 1e308, 5e-324, float("nan"), float("inf"), "", " ", "0", "null",
    "nan", "1e999", "2026-02-30", "\x00", "\x1b[31m", "a\nb", "\u2028", "\ufeff", "\ud800", "é" * 300, "x" * 5000, "..",
    "../..", "/dev/null", "/dev/zero", "[", "{", "{run_date}", "{", "'", '"', ";", "*", "[a-", "%", "=", "~", "$HOME",
    "sum", "SELECT 1", "(", "a::b", "none::none", ":memory:", [], {}, [None], [[]], {"a": {"b": [1]}}, [1] * 300, {"": ""},
    {"x" * 300: 1}, ["a", "a"],
]  # fmt: skip


def nest(depth: int, *, mapping: bool) -> Any:
    """Return lists or mappings in one another."""
    inner: Any = 1
    for _ in range(depth):
        inner = {"a": inner} if mapping else [inner]
    return inner


odd = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from(ODD),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.builds(nest, st.sampled_from([5, 60, 400]), mapping=st.booleans()),
).map(copy.deepcopy)  # what is drawn is changed again


def places(document: Any) -> list[tuple[Any, Any]]:
    """Return every container of a document with each of its keys."""
    found = []
    waiting = [document]
    while waiting:
        each = waiting.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else []
        for key in keys:
            found.append((each, key))
            waiting.append(each[key])
    return found


def change(draw: st.DrawFn, document: Any) -> Any:
    """Return a copy of a document in which a few places were deleted, replaced, retyped, renamed or doubled."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 4))):
        known = places(document)
        if not known:
            break
        container, key = known[draw(st.integers(0, len(known) - 1))]
        match draw(st.integers(0, 6)):
            case 0:
                del container[key]
            case 1 | 2:
                container[key] = draw(odd)
            case 3:
                value = container[key]
                container[key] = draw(st.sampled_from([[value], {"value": value}, str(value), [value, value]]))
            case 4 if isinstance(container, dict):
                container[draw(st.one_of(st.text(max_size=12), st.sampled_from(["name", "job", "a b", "$"])))] = (
                    container.pop(key)
                )
            case 5:
                other, place = known[draw(st.integers(0, len(known) - 1))]
                if (isinstance(other, list) and place >= len(other)) or (
                    isinstance(other, dict) and place not in other
                ):
                    continue
                container[key] = copy.deepcopy(other[place])
            case _ if isinstance(container, dict):
                container[draw(st.text(min_size=1, max_size=12))] = draw(odd)
            case _:
                container.insert(key, draw(odd))
    return document


def spoil(draw: st.DrawFn, text: bytes) -> bytes:
    """Return bytes that were cut, doubled, replaced, or written in another encoding; half of the time as they are."""
    spoilt = bytearray(text)
    match draw(st.integers(0, 11)):
        case 0:
            return bytes(spoilt[: draw(st.integers(0, len(spoilt)))])
        case 1:
            at = draw(st.integers(0, len(spoilt)))
            spoilt[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=6))
        case 2:
            at, width = draw(st.integers(0, len(spoilt))), draw(st.integers(1, 60))
            spoilt[at:at] = spoilt[at : at + width] * draw(st.integers(1, 3))
        case 3:
            at = draw(st.integers(0, len(spoilt)))
            spoilt[at:at] = draw(
                st.sampled_from(
                    [
                        b"\x00",
                        b"\xff",
                        b"\x1b[2J",
                        b"\xef\xbb\xbf",
                        b"\r",
                        b"\x85",
                        b'"',
                        b"\t",
                        b"&a ",
                        b"*a ",
                        b"!!python/object:os.system ",
                        b"%",
                        b"---\n",
                        b"[",
                    ]
                )
            )
        case 4:
            encoding = draw(st.sampled_from(["utf-16", "utf-32", "latin-1", "cp500"]))
            return text.decode("utf-8", "replace").encode(encoding, "replace")
        case 5:
            return draw(st.binary(max_size=300))
    return bytes(spoilt)


def as_json(document: Any) -> bytes:
    """Return a document as JSON, with what JSON has no words for as Python writes it."""
    try:
        return json.dumps(document, indent=draw_indent(document), ensure_ascii=True).encode()
    except RecursionError:  # copies of what is deep, in one another, are deeper than the encoder goes
        reject()


def draw_indent(document: Any) -> int | None:
    """Return an indent for every other document."""
    return 2 if len(str(document)[:100]) % 2 else None


def as_yaml(draw: st.DrawFn, document: Any) -> bytes:
    """Return a document as YAML, sometimes with an alias bomb, a merge key or a key twice."""
    try:
        text = yaml.dump(document, allow_unicode=True, sort_keys=False, Dumper=yaml.Dumper)
    except RecursionError:
        reject()
    more = draw(st.sampled_from(["", "", "", "", "bomb", "merge", "twice", "self", "deep"]))
    if more == "bomb":
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
        text += "\n".join(lines) + "\nlimits: *a8\n"
    if more == "merge":
        text += "base: &b {name: other}\n<<: *b\n"
    if more == "twice":
        text += "\n".join(text.splitlines()[:2]) + "\n"
    if more == "self":
        text += "loop: &l [*l]\nmap: &m {a: *m}\n"
    if more == "deep":
        depth = draw(st.sampled_from([50, 900, 5000]))
        text += f"tags: {'[' * depth}{']' * depth}\n"
    return text.encode("utf-8", "surrogatepass")


@dataclass
class Handed:
    """One input: the kind of thing, what is written of it, and the words of the command that takes it."""

    kind: str
    files: dict[str, bytes] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


JOB: dict[str, Any] = yaml.safe_load((ROOT / "jobs/score_nightly.yaml").read_text(encoding="utf-8"))
TRAIN: dict[str, Any] = yaml.safe_load((ROOT / "jobs/train_weekly.yaml").read_text(encoding="utf-8"))
BUNDLE = assets.pretrained() / "all-features"
MANIFEST: dict[str, Any] = json.loads((BUNDLE / bundles.MANIFEST).read_text(encoding="utf-8"))
CONTRACTS: dict[str, Any] = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "contracts").glob("*.yaml"))
}
NOTE = {
    "run_id": "20261120T000000.000000Z-abcdef", "job": "score", "run_date": "2026-11-20", "action": "score",
    "started_at": "2026-11-20T00:00:00", "pid": 1, "host": "h",
}  # fmt: skip
LABELS = [{"instance_id": f"{n}.0", "music_genre": "Rock"} for n in range(1, 6)]


@st.composite
def a_bundle(draw: st.DrawFn) -> Handed:
    """Return a bundle whose manifest, or a file that the manifest still vouches for, was changed."""
    files: dict[str, bytes] = {}
    manifest = MANIFEST
    if draw(st.integers(0, 3)):
        text = as_json(change(draw, manifest))
        files[bundles.MANIFEST] = spoil(draw, text) if draw(st.booleans()) else text
    else:
        name = draw(st.sampled_from(sorted(manifest["files"])))
        files[name] = spoil(draw, (BUNDLE / name).read_bytes())
        hashes = manifest["files"] | {name: hashlib.sha256(files[name]).hexdigest()}
        files[bundles.MANIFEST] = json.dumps(manifest | {"files": hashes}).encode()
    command = draw(
        st.sampled_from(
            [["models", "verify"], ["models", "show"], ["models", "promote"], ["models", "list"], ["score"]]
        )
    )
    words = [*command, *({"score": ["s.csv", "--dry-run", "--model", "all-features"], "models": []}[command[0]])]
    if command[-1] in {"verify", "show", "promote"}:
        words.append("all-features")
    return Handed(
        "bundle",
        {f"bundles/all-features/{name}": data for name, data in files.items()},
        [*words, "--bundles", "bundles"],
    )


@st.composite
def a_job(draw: st.DrawFn) -> Handed:
    """Return a job file."""
    train = draw(st.integers(0, 4)) == 0
    document = change(draw, TRAIN if train else JOB | {"source": ["s.csv"], "dry_run": True})
    text = as_yaml(draw, document)
    text = spoil(draw, text) if draw(st.booleans()) else text
    runs = not train and draw(st.integers(0, 5)) == 0
    words = ["run", "job.yaml", "--dry-run"] if runs else ["config", "show", "job.yaml"]
    return Handed("job", {"job.yaml": text}, words)


@st.composite
def a_contract(draw: st.DrawFn) -> Handed:
    """Return one of the contracts, and a command that reads it."""
    name = draw(st.sampled_from(["source_tracks.odcs.yaml", "source_tracks.odcs.yaml", *CONTRACTS]))
    text = as_yaml(draw, change(draw, CONTRACTS[name]))
    text = spoil(draw, text) if draw(st.booleans()) else text
    words = draw(st.sampled_from([["validate", "s.csv"], ["score", "s.csv", "--dry-run"], ["models", "list"]]))
    return Handed("contract", {f"shipped/contracts/{name}": text}, words)


@st.composite
def a_lock(draw: st.DrawFn) -> Handed:
    """Return what a killed command left in the lock file, and a command that records it."""
    document = draw(st.sampled_from([NOTE, {"unrecorded": [NOTE, NOTE]}, NOTE | {"unrecorded": [NOTE]}]))
    text = as_json(change(draw, document))
    if draw(st.integers(0, 9)) == 0:
        text = b"[" * draw(st.sampled_from([100, 100_000])) + text
    text = spoil(draw, text) if draw(st.booleans()) else text
    return Handed("lock", {"w.duckdb.lock": text}, ["labels", "l.csv"])


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as CSV; what is not a row is left out."""
    rows = [row for row in rows if isinstance(row, dict)]
    header = list(dict.fromkeys(key for row in rows for key in row))
    lines = [header, *([row.get(key, "") for key in header] for row in rows)]
    return "\n".join(",".join(str(cell)[:6000] for cell in line) for line in lines).encode("utf-8", "replace") + b"\n"


@st.composite
def some_labels(draw: st.DrawFn) -> Handed:
    """Return a file of labels."""
    text = spoil(draw, as_csv(change(draw, LABELS)))
    more = draw(
        st.sampled_from([[], [], ["--encoding", "latin-1"], ["--encoding", "utf-16"], ["--map", "music_genre=g"]])
    )
    return Handed("labels", {"handed.csv": text}, ["labels", "handed.csv", *more])


# A corrected export: its rows are those of the bench's warehouse, see ``fill``.
some_fixes = st.builds(lambda: Handed("fixes", {}, ["quarantine", "replay", "fixes.csv", "--run-date", "2026-11-20"]))
words_of_flags = st.one_of(
    st.sampled_from([json.dumps(each, default=str)[:200] if isinstance(each, list | dict) else str(each)[:3000] for each in ODD]),
    st.text(max_size=30),
    st.sampled_from(["tempo=Tempo", "tempo=tempo", "tempo=energy", "=x", "x=", "flipped_percent=30", "flipped_percent=nan", "a=1e999", "limits={a: 1}", "source=[s.csv]", "keep_days=0", "keep_days=1e9", "run_date=2026-11-20", "name=\x00", "model=..", "map={tempo: [1]}"]),
)  # fmt: skip


@st.composite
def some_flags(draw: st.DrawFn) -> Handed:
    """Return flags of any value, or variables of the environment."""
    flags = st.sampled_from(
        ["--map", "--limit", "--encoding", "--run-date", "--name", "--model", "--shadow", "--keep-days", "--set"]
    )
    words: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        words += [draw(flags), draw(words_of_flags)]
    environment = {}
    for key in draw(
        st.lists(
            st.sampled_from(["MAP", "LIMITS", "ENCODING", "RUN_DATE", "NAME", "MODEL", "KEEP_DAYS", "FORCE", "SOURCE"]),
            max_size=2,
        )
    ):
        value = draw(words_of_flags).replace("\x00", "\x01")
        environment[f"GENREPIPE_{key}"] = value.encode("utf-8", "replace").decode()
    shown = draw(st.integers(0, 4)) > 0
    base = ["config", "show", "score_nightly"] if shown else ["score", "s.csv", "--dry-run"]
    return Handed("flags", {}, [*base, *words], environment)


KINDS = {
    "bundle": a_bundle(), "job": a_job(), "contract": a_contract(), "lock": a_lock(), "labels": some_labels(),
    "fixes": some_fixes, "flags": some_flags(),
}  # fmt: skip


class Bench:
    """A folder with a small warehouse, into which inputs are put one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        write_csv(folder / "s.csv", [*tracks(8), track(9, energy="7"), track(10, tempo="fast")])
        write_csv(folder / "l.csv", LABELS)
        shutil.copytree(BUNDLE, folder / "bundles/all-features")
        (folder / "bundles/champion").write_text("all-features\n")
        for name in ("contracts", "sql", "jobs"):
            shutil.copytree(ROOT / name, folder / "shipped" / name)
        warehouse = folder / "w.duckdb"
        score(folder / "s.csv", warehouse, "2026-11-20", "--limit", "quarantined_percent=90")
        fixes = folder / "fixes.csv"
        exported = run("quarantine", "export", "--run-date", "2026-11-20", "--out", fixes, "--warehouse", warehouse)
        assert exported.code == 0, exported.err
        self.fixes = fixes.read_bytes()
        for leftover in folder.glob("w.duckdb.*"):
            leftover.unlink()
        self.kept = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.whole = content(warehouse)
        self.ends: Counter[str] = Counter()
        self.slowest = 0.0

    def restore(self) -> None:
        """Make the folder what it was."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if path.relative_to(self.folder) not in {p for kept in self.kept for p in kept.parents}:
                    path.rmdir()
            elif path.relative_to(self.folder) not in self.kept:
                path.unlink()
        for name, data in self.kept.items():
            path = self.folder / name
            if not path.exists() or path.stat().st_size != len(data) or path.read_bytes() != data:
                path.write_bytes(data)

    def try_one(self, handed: Handed) -> int:
        """Run the command, hold it against the oracle, and return its exit code."""
        for name, data in handed.files.items():
            (self.folder / name).write_bytes(data)
        takes_warehouse = handed.words[0] in {"score", "labels", "quarantine"}
        words = [*handed.words, *(["--warehouse", "w.duckdb"] if takes_warehouse else [])]
        began = time.monotonic()
        try:
            result = run(*words, cwd=self.folder, **handed.environment)
            seconds = time.monotonic() - began
            lines = [line for line in result.err.splitlines() if line.startswith("genrepipe: error: ")]
            # A contract that says other than the program writes is broken by our own output: 70, and no bug.
            allowed = DOCUMENTED | ({70} if handed.kind == "contract" and "A bug" not in result.err else set())
            assert result.code in allowed, (result.code, result.err[-2000:])
            assert "Traceback" not in result.err + result.out, result.err
            assert seconds < SECONDS, f"{seconds:.1f} s"
            assert len(lines) == (result.code != 0), result.err
            assert all(len(line) < 4000 and line.isprintable() for line in lines), lines
            if result.code and (self.folder / "w.duckdb").read_bytes() != self.kept[Path("w.duckdb")]:
                assert content(self.folder / "w.duckdb") == self.whole, "a failed command changed what readers see"
        finally:
            self.restore()
        self.slowest = max(self.slowest, seconds)
        self.ends[f"exit {result.code}"] += 1
        return result.code


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    memory = Path("/dev/shm")
    folder = (memory if memory.is_dir() else tmp_path_factory.mktemp("handed")) / f"genrepipe-handed-{os.getpid()}"
    try:
        yield Bench(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


CACHES = (assets.sql, contracts.load, contracts.versions, steps.registry, schemas.schema)


def handle(bench: Bench, handed: Handed) -> int:
    """Try one input; the contracts that ship are those of the bench's folder where one of them is handed."""
    if handed.kind != "contract":
        return bench.try_one(handed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets, "shipped", lambda name: bench.folder / "shipped" / name)
        try:
            for cache in CACHES:
                cache.cache_clear()
            return bench.try_one(handed)
        finally:
            for cache in CACHES:
                cache.cache_clear()


def fill(bench: Bench, data: st.DataObject, handed: Handed) -> Handed:
    """Give a corrected export its rows, which only the bench's warehouse has."""
    if handed.kind == "fixes":
        header, *lines = bench.fixes.decode().splitlines()
        rows = [dict(zip(header.split(","), line.split(","), strict=False)) for line in lines]
        handed.files["fixes.csv"] = data.draw(spoilt_rows(rows))
    return handed


@st.composite
def spoilt_rows(draw: st.DrawFn, rows: list[dict[str, Any]]) -> bytes:
    """Return changed rows as the bytes of a CSV file."""
    return spoil(draw, as_csv(change(draw, rows)))


ANY = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_handed_ends_in_one_line(bench: Bench, kind: str) -> None:
    @settings(max_examples=QUICK[kind], **ANY)  # type: ignore[arg-type]
    @given(data=st.data())
    def fuzz(data: st.DataObject) -> None:
        handle(bench, fill(bench, data, data.draw(KINDS[kind])))

    fuzz()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_handed_things(bench: Bench, kind: str) -> None:
    """Its share of the inputs, in chunks: what one chunk has found does not steer the next."""
    wanted, began = INPUTS * SHARES[kind] // 1000, time.monotonic()
    bench.ends.clear()
    bench.slowest = 0.0
    broken: list[str] = []
    done = 0
    while done < wanted:
        chunk = min(wanted - done, 1000)

        # A finding is printed as it is, and the others are looked for: to shrink one takes longer than all of them.
        @settings(max_examples=chunk, derandomize=False, phases=[Phase.generate], **ANY)  # type: ignore[arg-type]
        @given(data=st.data())
        def fuzz(data: st.DataObject) -> None:
            handed = fill(bench, data, data.draw(KINDS[kind]))
            try:
                handle(bench, handed)
            except AssertionError as error:
                bench.ends["BROKEN"] += 1
                broken.append(f"{str(error)[:600]}\n{handed.words} {handed.environment} {handed.files}"[:100_000])
                print(f"BROKEN: {broken[-1]}", flush=True)

        fuzz()
        done += chunk
        ended = ", ".join(f"{n:,} {end}" for end, n in bench.ends.most_common())
        spent = time.monotonic() - began
        print(
            f"{kind}: {bench.ends.total():,} of {wanted:,} in {spent:.0f} s, slowest {bench.slowest:.1f} s: {ended}",
            flush=True,
        )
    assert not broken, f"{len(broken)} broken, printed above"
    assert len(bench.ends) > (kind != "lock"), "inputs must end in more than one way, or nothing is tried"
