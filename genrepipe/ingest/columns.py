"""What a source holds in each column, and whether a column looks as if it were in another unit than the contract's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core.quoting import identifier
from genrepipe.core.results import Result
from genrepipe.ingest import recipes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genrepipe.contracts.documents import Column
    from genrepipe.warehouse.connection import Database

FREQUENT = 5
FEW = 20  # values, from which nothing is told
# Between which bounds the 95th percentile of a column lies in the contract's unit. A track of a catalogue may be of any
# length, but hardly is 95 % of it shorter than 30 seconds; points, other than shares, are not all below 1.
USUAL = {"milliseconds": (30_000, 36_000_000), "share": (0, 1), "points": (1.000001, 100)}


@dataclass(frozen=True)
class ColumnSummary(Result):
    """What a source holds in one column of the contract, after any recipe.

    A number has its 5th percentile, median and 95th percentile, any other column its most frequent values.
    """

    name: str
    missing: int  # rows without a value
    low: float | None
    median: float | None
    high: float | None
    values: list[dict[str, Any]]


def summarise(database: Database) -> list[ColumnSummary]:
    """Return what the landed rows hold, those too that are quarantined; the id is left out."""
    found = []
    for column in contracts.load("source_tracks").table.properties:
        if column.primaryKey or column.name == "quarantine_id":
            continue
        name = identifier(column.name)
        rows = "FROM landed WHERE NOT is_empty"
        missing = int(database.value(f"SELECT count(*) FILTER ({name} IS NULL) {rows}"))
        if column.logicalType == "number":
            shares = database.rows(
                f"SELECT quantile_disc({name}, 0.05), quantile_disc({name}, 0.5), quantile_disc({name}, 0.95) {rows} AND isfinite({name})"
            )[0]
            low, median, high = (None if share is None else float(f"{share:.6g}") for share in shares)
            found.append(ColumnSummary(column.name, missing, low, median, high, []))
        else:
            values = database.dicts(
                f"SELECT left({name}, 60) AS value, count(*) AS rows {rows} AND {name} IS NOT NULL "
                f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {FREQUENT}"
            )
            found.append(ColumnSummary(column.name, missing, None, None, None, values))
    return found


def doubts(database: Database) -> list[str]:
    """Return a sentence for each column whose values look as if they were in another unit."""
    sentences = []
    for column in contracts.load("source_tracks").table.properties:
        if len(recipes.units_of(column)) < 2:
            continue
        name = identifier(column.name)
        known, high, whole = database.rows(
            f"SELECT count(*), quantile_disc({name}, 0.95), coalesce(bool_and({name} = trunc({name})), true) "
            f"FROM landed WHERE NOT is_empty AND isfinite({name})"
        )[0]
        if known >= FEW and (unit := unit_of(column, high, whole=whole)) not in {None, own_unit(column)}:
            sentences.append(
                f"{column.name}: 95 of 100 values are at most {high:,.6g}, which looks like {unit}; "
                f"a recipe says so with {column.name}: {{unit: {unit}}}"
            )
    return sentences


def own_unit(column: Column) -> str:
    """Return the unit of the contract's column as recipes call it."""
    return next(name for name, factor in recipes.units_of(column).items() if factor == 1)


def unit_of(column: Column, high: float, *, whole: bool) -> str | None:
    """Return the unit in which the 95th percentile of a column is a usual one; None where in none it is.

    The contract's own is preferred. Points that are all whole, ``whole``, are points, however few they are.
    """
    units: Mapping[str, float] = recipes.units_of(column)
    low, most = USUAL[str(column.custom("unit"))]
    if own_unit(column) == "points" and whole:
        return "points"
    likely = [
        name
        for name, factor in units.items()
        if name not in {recipes.CLOCK, recipes.AUTO} and low <= high * factor <= most
    ]
    return own_unit(column) if own_unit(column) in likely else next(iter(likely), None)
