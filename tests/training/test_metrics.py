"""Measures against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from genrepipe.training import metrics


def test_measures_by_hand() -> None:
    p = np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3], [0.1, 0.9]])
    measures = metrics.measure(np.array([0, 0, 1, 1]), p)
    assert measures["accuracy"] == 0.5
    assert measures["top2"] == 1.0
    # Class 0: positives .8 and .4, negatives .7 and .1; three of four pairs are in order.
    assert measures["macro_auroc"] == pytest.approx(0.75)
    assert measures["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 0.3, 0.9]).mean())
    assert measures["ece"] == pytest.approx((0.2 + 0.6 + 0.7 + 0.1) / 4)


def test_tempo_measures_by_hand() -> None:
    measures = metrics.measure_tempo(np.array([100.0, 120.0]), np.array([110.0, 110.0]))
    assert measures == {"mae": 10.0, "r2": 0.0}
