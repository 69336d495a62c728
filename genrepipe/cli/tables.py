"""Tables on a terminal, and the rows of a query on stdout: as a table, CSV, JSON or Parquet."""

from __future__ import annotations

import io
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from genrepipe.core.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import polars as pl

MAX_ROWS = 50  # of a query's table; the other formats print all
WIDE = 200  # columns of characters where there is no terminal
SHORTEST = 16  # characters to which a cell is cut before a column is left out
MIN = 20  # of a terminal that says less, or nothing
GAP = "  "
LEFT_OUT = "…"


def width() -> int:
    """Return how many characters a line may have: those of the terminal, or of ``COLUMNS``, else ``WIDE``."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdecimal():
        return WIDE  # the size of what else is a terminal does not count
    return max(MIN, shutil.get_terminal_size().columns)


def table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    whole: Collection[int] | None = None,
) -> tuple[list[str], int]:
    """Return the lines of a table that fits the terminal, and how many of its columns they show.

    Long cells are cut first; then middle columns are left out, and ``…`` stands for them.

    Parameters
    ----------
    right
        The columns, by their number from 0, that are aligned to the right.
    whole
        Those whose cells are not cut, such as numbers and dates; by default those aligned to the right.
    """
    longest = [max(map(cell_len, cells)) for cells in zip(names, *rows, strict=True)]
    widths = _fitting(longest, right if whole is None else whole, width() - len(GAP))
    shown = [*range(len(names))]
    if sum(widths) + len(GAP) * (len(widths) - 1) > width() - len(GAP):
        shown = _outer(widths, width() - 2 * len(GAP) - len(LEFT_OUT))
    columns: list[int | None] = [*shown]
    if len(shown) < len(names):
        columns.insert((len(shown) + 1) // 2, None)
    widths = [min(size, width() - len(GAP)) for size in widths]  # of a terminal that is narrower than one column

    def line(cells: Sequence[str]) -> str:
        parts = [
            LEFT_OUT if each is None else _aligned(cells[each], widths[each], to_right=each in right)
            for each in columns
        ]
        return f" {GAP.join(parts)}".rstrip()

    rule = " " + GAP.join("─" * (1 if each is None else widths[each]) for each in columns)
    return [line(names), rule, *map(line, rows)], len(shown)


def _fitting(longest: list[int], whole: Collection[int], room: int) -> list[int]:
    """Return the widths of columns: those that are not ``whole`` are cut, the widest first, until all fit or none is long."""
    room -= len(GAP) * (len(longest) - 1) + sum(longest[each] for each in whole)
    cut = [size for number, size in enumerate(longest) if number not in whole]
    most = max(cut, default=0)
    while most > SHORTEST and sum(min(size, most) for size in cut) > room:
        most -= 1
    return [size if number in whole else min(size, most) for number, size in enumerate(longest)]


def _outer(widths: list[int], room: int) -> list[int]:
    """Return as many columns as fit, from both ends in turn."""
    shown: list[int] = []
    left, right = 0, len(widths) - 1
    while left <= right:
        each = left if len(shown) % 2 == 0 else right
        room -= widths[each] + len(GAP)
        if room < 0 and shown:
            break
        shown.append(each)
        left, right = (left + 1, right) if each == left else (left, right - 1)
    return sorted(shown)


def _aligned(cell: str, size: int, *, to_right: bool) -> str:
    if cell_len(cell) > size:
        return set_cell_size(cell, size - 1).rstrip() + LEFT_OUT if size > 1 else LEFT_OUT
    space = " " * (size - cell_len(cell))
    return space + cell if to_right else cell + space


def print_frame(frame: pl.DataFrame, output: str) -> None:
    """Print the rows of a query as a table, CSV, JSON, or Parquet bytes."""
    import polars as pl

    if output == "parquet":
        whole = io.BytesIO()  # Polars panics where a pipe breaks under it
        frame.write_parquet(whole)
        sys.stdout.buffer.write(whole.getvalue())
    elif output == "json":
        print(frame.write_json())
    elif output == "csv":
        nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
        texts = [pl.col(name).map_elements(_json, return_dtype=pl.String) for name in nested]
        print(frame.with_columns(texts).write_csv(), end="")
    else:
        _print_table(frame)


def _json(value: Any) -> str:
    import json

    values = value.to_list() if hasattr(value, "to_list") else value
    return json.dumps(values, ensure_ascii=False, default=str)


def _print_table(frame: pl.DataFrame) -> None:
    import polars as pl

    short = frame.head(MAX_ROWS).with_columns(
        pl.col(pl.Float32).cast(pl.String).cast(pl.Float64)
    )  # 0.1, as it was given
    names = [printable(name) for name in frame.columns]
    right = [number for number, kind in enumerate(frame.dtypes) if kind.is_numeric()]
    whole = [number for number, kind in enumerate(frame.dtypes) if kind != pl.String and not kind.is_nested()]
    lines, shown = table(names, [[_cell(value) for value in row] for row in short.iter_rows()], right, whole)
    print("\n".join(lines))
    if told := _left_out(frame.height, names, shown):
        print(f"\n {told}")


def _left_out(rows: int, names: Sequence[str], shown: int) -> str:
    """Return what a table does not show, as a sentence; nothing where it shows all."""
    parts = ["0 rows"] if not rows else []
    if rows > MAX_ROWS:
        parts.append(f"{rows:,} rows, the first {MAX_ROWS} shown")
    if shown < len(names):
        begin = (shown + 1) // 2  # the middle ones are left out
        parts.append(f"not shown: {', '.join(names[begin : begin + len(names) - shown])}")
    cut = rows > MAX_ROWS or shown < len(names)
    return "; ".join(parts) + ("; --output csv, json or parquet prints all" if cut else "")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_cell, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_cell(name)}: {_cell(each)}' for name, each in value.items())}}}"
    return printable(value)
