"""Accuracy and AUROC of published predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe.quality import performance


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 200), coarse=st.booleans())
def test_areas_are_those_of_scikit_learn(seed: int, rows: int, coarse: bool) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(3, 0.7), rows).astype(np.float32)
    p = np.round(p, 1).astype(np.float32) if coarse else p
    y = rng.integers(0, 3, rows)
    areas = performance.Areas(3)
    areas.add(y[: rows // 2], p[: rows // 2])
    areas.add(y[rows // 2 :], p[rows // 2 :])
    each = [metrics.roc_auc_score(y == g, p[:, g]) for g in range(3) if 0 < (y == g).sum() < rows]
    assert areas.macro == pytest.approx(np.mean(each) if each else None, abs=2e-3)
    assert areas.micro == pytest.approx(metrics.roc_auc_score(np.eye(3)[y].ravel(), p.ravel()), abs=2e-3)
