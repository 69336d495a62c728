"""Twenty of the points of ``make torture``; ``GENREPIPE_TORTURE_SEED`` draws others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.torture.torture import Bench

POINTS = 20
SEED = int(os.environ.get("GENREPIPE_TORTURE_SEED", "0"))


@pytest.mark.parametrize("number", range(POINTS))
def test_a_fault_at_a_file_operation_is_survived(bench: Bench, number: int) -> None:
    point = bench.sample(POINTS, SEED)[number]
    assert bench.try_point(point), point


def test_every_command_changes_files_many_times(bench: Bench) -> None:
    """Else the library was not loaded, and no fault was made."""
    assert bench.operations["nightly"] > 30
    assert all(count >= 3 for count in bench.operations.values()), bench.operations
    assert all(bench.old[command] != bench.new[command] for command in bench.operations if command != "recognised")
