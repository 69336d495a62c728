"""What a run will need of memory and disk, said before it begins."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from genrepipe.core import resources
from genrepipe.core.resources import MB

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.core.events import Reporter
    from genrepipe.core.resources import Plan
    from genrepipe.ingest.sources import Source

# Measured with two million rows: 312 MB of CSV became 270 MB of a warehouse, and 560 MB of temporary tables, which are in the
# memory of DuckDB or spilled; beside that memory the process held 480 MB.
WRITTEN, LANDED = 0.9, 1.8
BESIDE_DUCKDB = 480 * MB
ROW = 155  # bytes of CSV
# Of the bytes of CSV that DuckDB needs: 0.2 sufficed for 10 million rows in 1 GB, 0.16 did not for 20 million.
LEAST = 0.17
# Bytes of CSV in a byte of each other kind of file, roughly; a table of a database is not looked into.
TEXT = {".gz": 4.0, ".zst": 4.0}
ELSEWHERE = "score on a cluster with --engine spark, see docs/spark.md"


def text_of(source: Source) -> float:
    """Return about how many bytes a source has as CSV."""
    text, packed = 0.0, 0.0
    for part in source.parts:
        if part.kind != "table":
            with suppress(OSError):
                size = part.path.stat().st_size
                if part.kind == "parquet":
                    packed = packed or _packed(part.path, size)
                text += size * (packed if part.kind == "parquet" else TEXT.get(part.path.suffix.lower(), 1.0))
    return text


def _packed(path: Path, size: int) -> float:
    """Return how many bytes of CSV are in a byte of a Parquet file, by its number of rows; 1 of one that cannot be read."""
    with suppress(pl.exceptions.PolarsError):
        return float(pl.scan_parquet(path).select(pl.len()).collect().item()) * ROW / size
    return 1.0


@dataclass(frozen=True)
class Needs:
    """What a run will need, and what there is, in bytes; how much disk is free may not be known."""

    memory: int
    memory_there: int
    disk: int
    disk_free: int | None
    fits_in_memory: bool


def of(text: float, warehouse: Path, plan: Plan) -> Needs:
    """Return what a run of a source of so much ``text`` will need of memory, and of disk beside the warehouse."""
    memory = max(plan.duckdb_memory_mb * MB, int(text * LEAST)) + BESIDE_DUCKDB
    copied, free = 0, None
    with suppress(OSError):
        copied = warehouse.stat().st_size
    with suppress(OSError):
        free = shutil.disk_usage(warehouse.resolve().parent).free
    disk = copied + text * WRITTEN + max(0.0, text * LANDED - plan.duckdb_memory_mb * MB)
    fits = memory <= resources.memory() and text * LEAST <= plan.duckdb_memory_mb * MB
    return Needs(memory, resources.memory(), round(disk), free, fits)


def tell(text: float, warehouse: Path, plan: Plan, reporter: Reporter) -> None:
    """Report how much memory and disk a run of a source of so much ``text`` will need, and warn where there is less."""
    needs = of(text, warehouse, plan)
    reporter.note("needs", memory_mb=needs.memory // MB, disk_mb=round(needs.disk / MB))
    if not needs.fits_in_memory:
        reporter.warning(
            "memory", needed_mb=needs.memory // MB, there_are_mb=needs.memory_there // MB, remedy=f"Give the container more memory, or {ELSEWHERE}",
        )  # fmt: skip
    if needs.disk_free is not None and needs.disk > needs.disk_free:
        reporter.warning(
            "disk", needed_mb=round(needs.disk / MB), free_mb=needs.disk_free // MB, remedy=f"Free room beside {warehouse}, or the run may end with 74; or {ELSEWHERE}",
        )  # fmt: skip
