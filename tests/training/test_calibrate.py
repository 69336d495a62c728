"""Calibration recovers a planted temperature, and sets cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from genrepipe.training import calibrate


def test_temperature_and_thresholds_recover_what_was_planted() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 4)) * 2
    p = calibrate.tempered(logits, 1.0)
    y = (rng.random((20_000, 1)) > p.cumsum(1)).sum(1)
    assert calibrate.temperature(logits * 1.7, y) == pytest.approx(1.7, abs=0.06)
    visible = rng.choice([0, 3, 7, 40], 20_000)
    members = calibrate.in_sets(p, visible, calibrate.thresholds(p, y, visible))
    for size in (0, 3, 7, 40):
        rows = visible == size
        assert members[np.arange(len(y)), y][rows].mean() == pytest.approx(0.9, abs=0.005)
