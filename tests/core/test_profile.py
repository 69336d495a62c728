"""A profile counts each step for itself, and all steps together for the whole."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from genrepipe.core import profile as profiles
from genrepipe.core.events import Stages
from genrepipe.core.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path


def test_a_step_within_another_counts_for_itself_alone() -> None:
    profile = Profile(enabled=True)
    stages = Stages(profile=profile)
    before = time.perf_counter()
    stages.start("scoring")
    with profile.step("outer") as outer:
        time.sleep(0.02)
        with profile.step("inner"):
            time.sleep(0.05)
        outer.rows += 7
    with profile.step("inner") as inner:
        time.sleep(0.05)
        inner.rows = 3
    stages.start("checks")
    stages.finish()
    whole = time.perf_counter() - before
    costs = {(cost.stage, cost.step): cost for cost in profile.costs()}
    assert list(costs) == [("scoring", "inner"), ("scoring", "outer"), ("scoring", "other"), ("checks", "other")]
    assert costs["scoring", "inner"].seconds >= 0.1
    assert 0.02 <= costs["scoring", "outer"].seconds < costs["scoring", "inner"].seconds
    assert (costs["scoring", "outer"].rows, costs["scoring", "inner"].rows) == (7, 3)
    assert sum(cost.seconds for cost in costs.values()) == pytest.approx(whole, abs=0.01)


def test_bytes_are_those_of_system_calls(tmp_path: Path) -> None:
    if not profiles.IO.exists():
        pytest.skip("only Linux counts the bytes of a process")
    profile = Profile(enabled=True)
    with profile.step("write"):
        (tmp_path / "f").write_bytes(os.urandom(300_000))
    with profile.step("read"):
        (tmp_path / "f").read_bytes()
    write, read = profile.costs()
    assert 300_000 <= write.written_bytes < 310_000
    assert 300_000 <= read.read_bytes < 320_000


def test_what_is_not_asked_for_is_not_measured() -> None:
    profile = Profile()
    with profile.step("anything") as measured:
        measured.rows = 1
    assert profile.costs() == []


def test_a_step_that_fails_is_counted_and_fails() -> None:
    profile = Profile(enabled=True)
    with pytest.raises(ZeroDivisionError), profile.step("outer"), profile.step("inner"):
        _ = 1 / 0
    assert [cost.step for cost in profile.costs()] == ["inner", "outer"]
