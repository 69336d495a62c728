"""What is known of artists is the same in memory and in a file, which leaves nothing and needs its room before."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

import genrepipe
from genrepipe.core.errors import StorageError
from genrepipe.engines import context
from tests.support import ask, files

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = "SELECT track_id, genre, probabilities, artist_tracks FROM predictions ORDER BY track_id"


def test_a_matrix_in_a_file_gives_the_same_answers(
    tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = tmp_path / "small.duckdb", tmp_path / "large.duckdb"
    genrepipe.score(sample, warehouse=small)
    monkeypatch.setattr(context, "IN_MEMORY", 0)
    monkeypatch.setattr(context, "ARTISTS", 7)
    made = []
    monkeypatch.setattr(
        context, "_mapped", lambda folder, size, mapped=context._mapped: made.append(size) or mapped(folder, size)
    )
    genrepipe.score(sample, warehouse=large)
    assert made
    assert ask(small, ANSWERS) == ask(large, ANSWERS)
    assert files(large) == {"large.duckdb"}


@pytest.mark.parametrize(("number", "fails"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.EOPNOTSUPP, False)])
def test_a_disk_without_room_fails_the_run_before_it_scores(
    tmp_path: Path, sample: Path, number: int, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(context, "IN_MEMORY", 0)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    if not fails:
        assert genrepipe.score(sample, warehouse=tmp_path / "w.duckdb").status == "published"
        return
    with pytest.raises(StorageError, match="what is known of artists") as raised:
        genrepipe.score(sample, warehouse=tmp_path / "w.duckdb")
    assert raised.value.exit_code == 74
