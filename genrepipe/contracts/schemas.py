"""Contracts as pandera schemas.

The rules that quarantine rows run as SQL (``rules.Rule.sql``). Here a second engine, from the same documents, proves
what the first let through; a failure here is a bug of ours, and stops the publish.

pandera takes about 1.5 ms per column, however few the rows. A run of many batches is therefore proved by extremes: a
numeric column keeps its bounds if its smallest and its largest value do.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors
from polars import selectors

from genrepipe.contracts import documents
from genrepipe.core.errors import OutputBroken

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.contracts.documents import Column

_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "FLOAT": pl.Float32,
    "INTEGER": pl.Int32,
    "VARCHAR": pl.String,
}


@cache
def schema(contract: str, only: tuple[str, ...] | None = None, table: str | None = None) -> pa.DataFrameSchema:
    """Return the pandera schema of a table of a shipped contract (the first, if none is named), or of some of its columns.

    Uniqueness is left out: it spans batches, so an SQL audit checks it.
    """
    described = documents.load(contract).named(table) if table else documents.load(contract).table
    columns = [column for column in described.properties if only is None or column.name in only]
    return pa.DataFrameSchema({column.name: _column(column) for column in columns}, name=described.name)


def _column(column: Column) -> pa.Column:
    options = column.logicalTypeOptions
    checks = []
    if options.minimum is not None:
        checks.append(pa.Check.ge(options.minimum))
    if options.maximum is not None:
        checks.append(pa.Check.le(options.maximum))
    if options.minLength is not None or options.maxLength is not None:
        checks.append(pa.Check.str_length(options.minLength, options.maxLength))
    if options.pattern is not None:
        checks.append(pa.Check.str_matches(f"^(?:{options.pattern})$"))
    if column.valid_values is not None:
        checks.append(pa.Check.isin(list(column.valid_values)))
    kind = pl.Enum([str(v) for v in column.valid_values]) if column.valid_values else _TYPES.get(column.physicalType)
    return pa.Column(kind, checks, nullable=not column.required)


def prove(contract: str, frame: pl.DataFrame, only: tuple[str, ...] | None = None, table: str | None = None) -> None:
    """Prove that every row of a frame keeps a contract, as far as its first or the named table goes.

    Raises
    ------
    OutputBroken
        A row does not; the message names the first columns and rules.
    """
    try:
        schema(contract, only, table).validate(frame, lazy=True)
    except SchemaErrors as failure:
        raise OutputBroken(
            f"A batch breaks the contract {contract}: {_bounded(failure.failure_cases)}",
            "This is a bug: please report it",
        ) from failure


@cache
def _alike(contract: str, table: str) -> list[tuple[str, ...]]:
    """Return the columns of a table by what the contract asks of them: those that are asked the same are proved as one."""
    groups: dict[str, list[str]] = {}
    for column in documents.load(contract).named(table).properties:
        asked = column.model_dump_json(include={"physicalType", "required", "logicalTypeOptions", "quality"})
        groups.setdefault(asked, []).append(column.name)
    return [tuple(names) for names in groups.values()]


class RunningProof:
    """Proves columns of all batches of a run at once, by a few rows of each batch.

    They are numbers, which the contract bounds, or of an Enum, whose type is all that it asks of them.
    """

    def __init__(self) -> None:
        self._extremes: dict[tuple[str, str, tuple[str, ...] | None], list[pl.DataFrame]] = {}

    def add(self, contract: str, table: str, *frames: pl.DataFrame, only: tuple[str, ...] | None = None) -> None:
        """Keep the extremes of a batch: the smallest and largest value of each column, a NaN and a null where there is one.

        The frames have the columns of the table, or ``only`` some, together; one may have each distinct row once.
        """
        if not all(map(len, frames)):
            return
        every, numbers = pl.all(), selectors.float()
        for kinds in (
            [every.min()],
            [every.max()],
            [numbers.nan_max(), (~numbers).min()],
            [pl.when(~every.has_nulls()).then(every.min())],
        ):
            row = pl.concat([frame.select(kinds).select(frame.columns) for frame in frames], how="horizontal")
            self._extremes.setdefault((contract, table, only), []).append(row)

    def check(self) -> None:
        """Prove everything that was added.

        Raises
        ------
        OutputBroken
            A row does not keep its contract; the message names the first columns and rules.
        """
        for (contract, table, only), rows in self._extremes.items():
            extremes = pl.concat(rows)
            for columns in _alike(contract, table):
                alike = tuple(name for name in columns if only is None or name in only)
                if not alike:
                    continue
                values = [extremes[name] for name in alike]
                try:
                    prove(contract, pl.concat(values).alias(alike[0]).to_frame(), alike[:1], table)
                except OutputBroken:
                    prove(contract, extremes, only, table)  # names the columns
                    raise


def prove_distributions(probabilities: npt.NDArray[np.float32], precision: float) -> None:
    """Prove that every row of probabilities, of shape (rows, labels), sums to one.

    Raises
    ------
    OutputBroken
        A row does not, or holds a NaN.
    """
    off = ~(np.abs(probabilities.sum(1, dtype=np.float64) - 1) <= precision)
    if off.any():
        raise OutputBroken(
            f"The probabilities of {int(off.sum())} tracks do not sum to one",
            "The bundle may not fit this data: verify it, or roll back",
        )


def failing_rows(contract: str, frame: pl.DataFrame, only: tuple[str, ...] | None = None) -> set[int]:
    """Return the positions of the rows that break a contract, as pandera finds them."""
    try:
        schema(contract, only).validate(frame, lazy=True)
    except SchemaErrors as failure:
        return {int(index) for index in failure.failure_cases["index"] if index is not None}
    return set()


def _bounded(cases: pl.DataFrame) -> str:
    grouped = (
        cases.group_by("column", "check", maintain_order=True).agg(pl.len(), pl.col("failure_case").first()).head(5)
    )
    return "; ".join(f"{c} {check} ({n}×, e.g. {case})" for c, check, n, case in grouped.iter_rows())
