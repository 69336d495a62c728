"""Fuzzing the door in: whatever bytes a file holds, they end as counted rows or as one of our own errors.

``make fuzz`` runs 100,000 inputs, half of them in each of two processes; in ``make test`` 150 run.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrepipe.core import resources
from genrepipe.core.errors import ContractBroken, StorageError, UsageError
from genrepipe.ingest import landing, sources
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps
from tests.support import GOOD, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS = int(os.environ.get("GENREPIPE_FUZZ", "100000"))
HEADER = ",".join(GOOD)
ROW = ",".join(GOOD.values())

cells = st.one_of(
    st.sampled_from(["", "?", "-1", "nan", "1e999", "0x1F", "  ", "NULL", "7.0", "A#", "Minor", "Rock", "empty_field", '"', '""', "'", "\\", "\x00", "\ufeff", "\u2028", "𝕏", "é"]),
    st.text(max_size=12),
    st.floats(width=32).map(str),
)  # fmt: skip
good_rows = st.integers(0, 30).map(lambda n: f"{n}.0" + ROW[3:])
rows = st.one_of(good_rows, good_rows, st.lists(cells, max_size=20).map(",".join))
tables = st.builds(
    lambda header, body, end, last: (header + end + end.join(body) + (end if last else "")).encode("utf-8", "surrogatepass"),
    st.sampled_from([HEADER, HEADER.upper(), HEADER + ",more", HEADER.replace("energy", "energie"), '"' + HEADER.replace(",", '","') + '"', ""]),
    st.lists(rows, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.booleans(),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a table some of whose bytes were cut, doubled or replaced."""
    content = bytearray(draw(tables))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        width = draw(st.integers(0, 8))
        match draw(st.integers(0, 2)):
            case 0:
                del content[at : at + width]
            case 1:
                content[at:at] = content[at : at + width]
            case _:
                content[at : at + width] = draw(st.binary(max_size=8))
    return bytes(content)


inputs = st.one_of(tables, mutated(), mutated(), st.binary(max_size=200))


@pytest.fixture(scope="module")
def steps() -> Iterator[Steps]:
    """A run in memory, into which one file after the other is landed."""
    with schema.open_memory(resources.plan()) as database:
        found = Steps(database)
        found.bind_row("run", **run_of().relation())
        yield found


def land(steps: Steps, path: Path, content: bytes) -> str:
    """Land a file of these bytes, prove that no line of it is lost, and return how it ended."""
    path.write_bytes(content)
    steps.release("landed", "parts", "unparsed", "known_rows")
    try:
        counts = landing.land(steps, sources.resolve([str(path)])).counts
    except (UsageError, ContractBroken, StorageError) as error:
        return type(error).__name__
    finally:
        steps.database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    assert counts.received == counts.accepted + counts.quarantined + counts.duplicates + counts.empty
    if b'"' not in content and b"\r" not in content and b"\x00" not in content:
        lines = [line for line in content.split(b"\n") if line.strip()][1:]
        assert counts.received >= len(lines)  # a line of blanks alone may count as a row too
    numbers = steps.database.rows(
        "SELECT row_number_of(row_id) AS n FROM (SELECT row_id FROM landed UNION ALL SELECT row_id FROM unparsed) ORDER BY n"
    )
    assert [number for (number,) in numbers] == list(range(1, counts.received + 1))
    return "landed with accepted rows" if counts.accepted else "landed, no row accepted"


ANY = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=90, **ANY)  # type: ignore[arg-type]
@given(content=inputs)
def test_any_bytes_are_counted_or_refused(
    steps: Steps, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    land(steps, tmp_path_factory.getbasetemp() / "any.csv", content)


@pytest.mark.slow
@pytest.mark.parametrize("half", [1, 2])
def test_a_hundred_thousand_inputs(steps: Steps, tmp_path: Path, half: int) -> None:
    folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    path = folder / f"genrepipe-fuzz-{os.getpid()}.csv"
    ends: Counter[str] = Counter()

    # Never from a fixed seed, as Hypothesis does on a CI machine: both halves would try the same inputs, every time.
    @settings(max_examples=INPUTS // 2, derandomize=False, **ANY)  # type: ignore[arg-type]
    @given(content=inputs)
    def fuzz(content: bytes) -> None:
        ends[land(steps, path, content)] += 1

    try:
        fuzz()
    finally:
        path.unlink(missing_ok=True)
        print(f"\nhalf {half}: {ends.total():,} inputs: " + ", ".join(f"{n:,} {end}" for end, n in ends.most_common()))
    assert ends.total() >= INPUTS // 2
    assert ends["landed with accepted rows"] > INPUTS // 20, "most inputs must get past the header, or nothing is tried"
