"""One point of a pair of each kind; ``make crash-images`` tries some of every pair."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.torture.interleavings import PAIRS, READERS, Interleavings

if TYPE_CHECKING:
    from tests.torture.torture import Bench

SEED = int(os.environ.get("GENREPIPE_TORTURE_SEED", "0"))
KINDS = {
    "the first warehouse": [pair for pair in PAIRS if pair[0] == "first" and pair[1] not in READERS],
    "both write": [pair for pair in PAIRS if not READERS.keys() & set(pair) and "first" not in pair],
    "a reader meanwhile": [pair for pair in PAIRS if pair[1] in READERS and pair[0] != "first"],
    "a reader held": [pair for pair in PAIRS if pair[0] in READERS],
}


@pytest.fixture(scope="module")
def interleavings(bench: Bench) -> Interleavings:
    return Interleavings(bench)


@pytest.mark.parametrize("kind", KINDS)
def test_two_commands_at_once_are_one_after_the_other(interleavings: Interleavings, kind: str) -> None:
    pair = random.Random(SEED).choice(KINDS[kind])
    operation = random.Random(SEED).choice(interleavings.points(pair, SEED))
    assert interleavings.try_point(pair, operation) != "not held", (pair, operation)


def test_the_order_of_two_commands_shows(interleavings: Interleavings) -> None:
    """Else the oracle would take one order for the other, or a command that had no effect for one that had."""
    in_order, reversed_, *alone = interleavings.serial(("nightly", "rollback"))
    assert in_order != reversed_
    assert len({repr(each.left) for each in (in_order, reversed_, *alone)}) == 4
    assert in_order.codes == reversed_.codes == (0, 0)
