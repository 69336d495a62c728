"""What a run needs is said before it begins, and where there is less, that is a warning."""

from __future__ import annotations

import shutil
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import pytest

from genrepipe.core import resources
from genrepipe.core.events import Reporter
from genrepipe.core.resources import MB, Plan
from genrepipe.ingest import sources
from genrepipe.pipeline import needs
from tests.support import tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

Usage = namedtuple("Usage", "total used free")


class Heard(Reporter):
    def __init__(self) -> None:
        self.said: dict[str, dict[str, Any]] = {}

    def note(self, event: str, **facts: Any) -> None:
        self.said[event] = facts

    def warning(self, check: str, **facts: Any) -> None:
        self.said[check] = facts


def heard(source: Path, warehouse: Path) -> dict[str, dict[str, Any]]:
    reporter = Heard()
    with sources.open_source([str(source)]) as opened:
        needs.tell(needs.text_of(opened), warehouse, Plan(1, 200, 1), reporter)
    return reporter.said


def test_what_a_run_needs(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(3))
    (tmp_path / "w.duckdb").write_bytes(b"0" * 5 * MB)
    assert heard(source, tmp_path / "w.duckdb") == {"needs": {"memory_mb": 680, "disk_mb": 5}}
    source.write_bytes(source.read_bytes() * 30_000)  # of which DuckDB spills what does not fit
    text = source.stat().st_size / MB
    assert heard(source, tmp_path / "new.duckdb")["needs"]["disk_mb"] == round(text * 0.9 + max(0, text * 1.8 - 200))


@pytest.mark.parametrize("what", ["memory", "disk"])
def test_too_little_is_a_warning(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(3))
    (tmp_path / "w.duckdb").write_bytes(b"0" * 5 * MB)
    monkeypatch.setattr(resources, "memory", lambda: (500 if what == "memory" else 5000) * MB)
    free = 1 if what == "disk" else 5000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9, 9, free * MB))
    said = heard(source, tmp_path / "w.duckdb")
    assert set(said) == {"needs", what}
    assert said[what]["remedy"]
