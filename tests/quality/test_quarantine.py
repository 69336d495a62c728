"""Exports of quarantined rows: what a spreadsheet would run is text, and comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genrepipe.quality.quarantine import NEUTRAL, neutral


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\u3000=1", "\ufeff=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201",
     "-1.0.0", "- 1", "--1", "-inf", "-A1"],
)  # fmt: skip
def test_what_a_spreadsheet_runs_gets_a_quote(cell: str) -> None:
    assert neutral(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell", ["", "-5", "-5.201", "-.5", "+3", "-1e-05", "1=1", "a-b", "a=b", "'quoted", "Rock & Roll", 7, None]
)
def test_what_is_a_number_or_a_name_stays(cell: object) -> None:
    assert neutral(cell) == ("" if cell is None else str(cell))


@given(st.text())
@example("0'@")  # a quote that stands before a sign further on is not ours
def test_a_cell_comes_back_as_it_was(cell: str) -> None:
    """But for one that begins with a quote before a formula itself."""
    if neutral(cell) != cell or not NEUTRAL.match(cell):
        assert NEUTRAL.sub("", neutral(cell), count=1) == cell
