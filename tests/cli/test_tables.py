"""Tables fit the terminal, and say what they leave out."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from genrepipe.cli.tables import table
from tests.support import ask, run


def shown(scored: Path, sql: str, columns: int = 200) -> list[str]:
    done = run("query", sql, "--warehouse", scored, COLUMNS=str(columns))
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


@pytest.mark.parametrize("columns", [20, 40, 80, 137, 400])
def test_a_table_is_as_wide_as_the_terminal_at_most(scored: Path, columns: int) -> None:
    lines = shown(scored, "SELECT *, '東京' AS far FROM predictions LIMIT 5", columns)
    *rows, last = [line for line in lines if line]
    assert max(map(cell_len, rows)) <= columns
    names = [name for name in rows[0].split() if name != "…"]
    left_out = 19 - len(names)
    assert ("…" in rows[0].split()) == (left_out > 0)
    every = [row["column_name"] for row in ask(scored, "DESCRIBE (SELECT *, '東京' AS far FROM predictions)")]
    begin = (len(names) + 1) // 2
    hidden = every[begin : begin + left_out]
    assert [*every[:begin], *every[begin + left_out :]] == names or columns < 80  # where names are cut
    assert (f" not shown: {', '.join(hidden)}; " in f" {last.strip()} ") == (left_out > 0)
    if columns >= 40:  # the first and the last column are there
        assert (names[0], names[-1]) == ("run_date", "far")


def test_long_cells_are_cut_before_columns_go_and_numbers_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines, columns = table(["name", "number"], [["x" * 80, "12345678901234567890"]], right=[1])
    assert columns == 2
    assert lines[-1] == f" {'x' * 35}…  12345678901234567890"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("282300.0::DOUBLE", "282300.0"), ("0.1::FLOAT", "0.1"), ("0.1::DOUBLE + 0.2::DOUBLE", "0.30000000000000004"),
        ("[282300.0::DOUBLE, NULL]", "[282300.0, ]"), ("123456789012::BIGINT", "123456789012"), ("1.50::DECIMAL(5, 2)", "1.50"),
        ("'inf'::DOUBLE", "inf"), ("true", "true"), ("TIMESTAMP '2026-11-22 01:02:03'", "2026-11-22 01:02:03"),
    ],
)  # fmt: skip
def test_numbers_are_shown_as_duckdb_shows_them(scored: Path, value: str, text: str) -> None:
    assert shown(scored, f"SELECT {value} AS v")[2].strip() == text


def test_a_table_says_how_many_rows_it_does_not_show(scored: Path) -> None:
    assert shown(scored, "SELECT track_id FROM predictions WHERE false")[-1] == " 0 rows"
    lines = shown(scored, "SELECT range AS n FROM range(51)")
    assert (len(lines), lines[-1]) == (54, " 51 rows, the first 50 shown; --output csv, json or parquet prints all")
    assert shown(scored, "SELECT range AS n FROM range(50)")[-1].strip() == "49"
