"""The scorer: a graph gives the answers that its bundle promises, and a row the same bits in any batch."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from genrepipe.model import bundle as bundles
from genrepipe.model import features
from genrepipe.model.scorer import BLOCK, Scorer

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = sorted(bundles.available())
Matrix = npt.NDArray[np.float32]


@cache
def scorer_of(name: str) -> Scorer:
    return Scorer(bundles.load(name), threads=2)


def golden_inputs(name: str, rows: int) -> Matrix:
    """Return golden rows, repeated, each of them changed a little so that no two are alike; flags and counts stay whole."""
    loaded = bundles.load(name)
    matrix = features.matrix([loaded.golden.select(loaded.manifest.input_columns)])
    many = np.tile(matrix, (-(-rows // len(matrix)), 1))[:rows]
    fractional = (np.nan_to_num(matrix) % 1 != 0).any(0)
    scale = np.random.default_rng(7).uniform(0.99, 1.01, many.shape).astype(np.float32)
    return np.ascontiguousarray(np.where(fractional, many * scale, many))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_keep_the_promised_parity(name: str) -> None:
    loaded = bundles.load(name)
    assert scorer_of(name).golden_difference <= 1e-5
    if features.AUDIO in loaded.manifest.inputs:  # the imputer is part of what is compared
        assert loaded.golden["tempo"].is_nan().sum() >= 16


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("size", [1, 7, 15, 16, 17, 100])
def test_a_row_has_the_same_bits_in_any_batch(name: str, size: int) -> None:
    matrix, scorer = golden_inputs(name, 517), scorer_of(name)
    parts = [scorer.probabilities(matrix[start : start + size]) for start in range(0, len(matrix), size)]
    assert np.array_equal(np.concatenate(parts), scorer.probabilities(matrix))


@pytest.mark.parametrize("name", ["all-features", "gradient-boosting", "artist-context", "known-artist"])
@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK + 5])
def test_a_row_has_the_same_bits_in_batches_of_several_blocks(name: str, size: int) -> None:
    matrix, scorer = golden_inputs(name, 2 * BLOCK + 21), scorer_of(name)
    parts = [scorer.probabilities(matrix[start : start + size]) for start in range(0, len(matrix), size)]
    whole = scorer.probabilities(matrix)
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(scorer.probabilities(matrix[-100:]), whole[-100:])


@pytest.mark.parametrize("name", ["all-features", "artist-context"])
def test_threads_and_memory_layout_change_no_bits(name: str) -> None:
    matrix = golden_inputs(name, 3 * BLOCK + 5)
    whole = scorer_of(name).probabilities(matrix)
    assert np.array_equal(Scorer(bundles.load(name), threads=1).probabilities(matrix), whole)
    assert np.array_equal(scorer_of(name).probabilities(np.asfortranarray(matrix)), whole)


def test_one_row_and_many_rows_and_none_are_scored() -> None:
    scorer, matrix = scorer_of(bundles.champion()), golden_inputs(bundles.champion(), 300)
    whole = scorer.probabilities(matrix)
    assert (whole.shape, whole.dtype) == ((300, 10), np.float32)
    assert np.abs(whole.sum(1) - 1).max() < 1e-5
    assert scorer.probabilities(matrix[:1]).shape == (1, 10)
    assert scorer.probabilities(matrix[:0]).shape == (0, 10)


def test_onnxruntime_reports_nothing_whoever_loads_it(tmp_path: Path) -> None:
    """Its telemetry is on by default, and leaves a session file among the temporary ones."""
    program = "from genrepipe.model import bundle, scorer; scorer.Scorer(bundle.load('lda-2d'))"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
