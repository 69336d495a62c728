"""Rows of a query on stdout: as a table, CSV, JSON or Parquet."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from genrepipe.cli.rendering import printable

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS = 50  # of a table on a terminal; the other formats print all


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
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name, kind in frame.schema.items():
        table.add_column(Text(name), justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in frame.head(MAX_ROWS).iter_rows():
        table.add_row(*(Text(_cell(value)) for value in row))
    width = None if sys.stdout.isatty() else 200
    console = Console(width=width, highlight=False)
    console.print(table)
    if frame.height > MAX_ROWS:
        console.print(f"{frame.height:,} rows, the first {MAX_ROWS} shown; --output csv, json or parquet prints all")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return f"[{', '.join(map(_cell, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_cell(name)}: {_cell(each)}' for name, each in value.items())}}}"
    return f"{value:.4g}" if isinstance(value, float) else printable(value)
