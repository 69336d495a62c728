"""A sample of the images of ``make crash-images``, and what they look like where a sync is missing."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.torture.crash import COMMANDS, FOLDER, Change, Disk, Images, Part, State, Trace, record

if TYPE_CHECKING:
    from tests.torture.torture import Bench

SEED = int(os.environ.get("GENREPIPE_TORTURE_SEED", "0"))


@pytest.fixture(scope="module")
def nightly(bench: Bench) -> Trace:
    return record(bench, "nightly")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_power_cut_leaves_a_whole_generation(bench: Bench, nightly: Trace, command: str) -> None:
    trace = nightly if command == "nightly" else record(bench, command)
    images = Images(bench, command, trace).open_all(bound=4, next_of=30, seed=SEED)
    assert images.broken == []
    assert images.boundaries >= 5
    assert images.count > 40
    assert images.gone_on
    assert images.old != images.new


def test_a_generation_that_is_not_synced_before_its_rename_is_found_broken(bench: Bench, nightly: Trace) -> None:
    images = Images(bench, "nightly", nightly.without(set(nightly.syncs("w.duckdb.next")))).open_all(4, next_of=None)
    assert any("neither the old generation nor the new one" in each for each in images.broken)


def test_the_last_sync_of_a_generation_is_needed(bench: Bench) -> None:
    """Without the one of genrepipe itself, a file that was cut and written on, as by labels, may be short."""
    trace = record(bench, "labels")
    images = Images(bench, "labels", trace.without({trace.syncs("w.duckdb.next")[-1]}))
    for moment, disk in images.moments():
        for state in disk.states(10_000, random.Random(0)):
            if state.entries and any(part.but == "short" for _, part in state.parts):
                images.open(moment, disk, state)
    assert any("neither the old generation nor the new one" in each for each in images.broken)


def test_a_rename_whose_folder_is_not_synced_may_be_lost(bench: Bench, nightly: Trace) -> None:
    images = Images(bench, "nightly", nightly.without(set(nightly.syncs("")))).open_all(0, next_of=None)
    assert any("the command said that it succeeded" in each for each in images.broken)


def test_the_states_of_two_writes_and_a_rename() -> None:
    """The model itself, on a file so small that its states can be written down."""
    disk = Disk({"a": 1}, {1: b"old"})
    for change in (
        Change("create", 2, 0, 0, b"", "b", ""),
        Change("write", 2, 0, 2, b"ne", "b", ""),
        Change("write", 2, 2, 1, b"w", "b", ""),
        Change("rename", 2, 0, 0, b"", "b", "a"),
    ):
        disk.make(change)
    images = [disk.image(state) for state in disk.states(100, random.Random(0))]
    assert {each["a"] for each in images} == {b"old", b"", b"ne", b"n", b"\0\0w", b"new", b"\0\0\0"}
    assert {each.get("b") for each in images if each["a"] == b"old"} == {
        None,
        b"",
        b"ne",
        b"n",
        b"\0\0w",
        b"new",
        b"\0\0\0",
    }
    disk.make(Change("sync", 2, 0, 0, b"", "b", ""))
    assert {each["a"] for each in map(disk.image, disk.states(100, random.Random(0)))} == {b"old", b"new"}
    disk.make(Change("sync", FOLDER, 0, 0, b"", "", ""))
    assert disk.states(100, random.Random(0)) == [State(0, ())]
    assert disk.image(State(0, ((2, Part(())),))) == {"a": b"new"}
