"""Proofs of batches: pandera finds what should not be there, and the extremes of many batches find the same."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe import contracts
from genrepipe.contracts import schemas
from genrepipe.core.errors import OutputBroken

AUDIO = contracts.load("features").table.columns


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy": 1.5}, "energy less_than_or_equal_to"),
        ({"duration_ms": None}, "duration_ms not_nullable"),
        ({"key": 12.0}, "key less_than_or_equal_to"),
        ({"loudness": -81.0}, "loudness greater_than_or_equal_to"),
    ],
)
def test_the_proof_of_a_batch_can_fail(change: dict[str, float | None], said: str) -> None:
    good = dict.fromkeys(AUDIO, 1.0)
    frame = pl.DataFrame([good, {**good, **change}], schema=dict.fromkeys(good, pl.Float32))
    schemas.prove("features", frame[:1])
    with pytest.raises(OutputBroken, match=said):
        schemas.prove("features", frame)


maybe = st.one_of(st.floats(-1, 2, width=32), st.sampled_from([None, float("nan"), 0.5, 1.0]))


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(st.lists(st.lists(maybe, min_size=13, max_size=13), max_size=4), min_size=1, max_size=3),
    good=st.booleans(),
)
def test_the_extremes_fail_exactly_where_a_row_does(batches: list[list[list[float | None]]], good: bool) -> None:
    frames = [
        pl.DataFrame(
            [[0.5] * 13 for _ in rows] if good else rows, schema=dict.fromkeys(AUDIO, pl.Float32), orient="row"
        )
        for rows in batches
    ]
    proof = schemas.RunningProof()
    for frame in frames:
        proof.add("features", "audio_features", frame)
    failing = [schemas.failing_rows("features", frame) for frame in frames]
    try:
        proof.check()
    except OutputBroken:
        assert any(failing)
    else:
        assert not any(failing)


def test_the_message_names_the_column_that_fails() -> None:
    row = [5000.0 if name == "duration_ms" else 120.0 if name == "tempo" else 0.5 for name in AUDIO]
    good = pl.DataFrame([row], schema=dict.fromkeys(AUDIO, pl.Float32), orient="row")
    proof = schemas.RunningProof()
    proof.add("features", "audio_features", good, only=tuple(AUDIO))
    proof.add("features", "audio_features", good.with_columns(valence=pl.lit(1.5, pl.Float32)))
    with pytest.raises(OutputBroken, match=r"valence less_than_or_equal_to\(1.0\)"):
        proof.check()


@pytest.mark.parametrize("row", [[0.5, 0.6], [0.5, 0.49], [float("nan"), 0.5]])
def test_what_does_not_sum_to_one_is_no_distribution(row: list[float]) -> None:
    good = np.array([[0.25, 0.75], [0.5, 0.50005]], np.float32)
    schemas.prove_distributions(good, 1e-4)
    with pytest.raises(OutputBroken, match="probabilities of 1 tracks do not sum to one"):
        schemas.prove_distributions(np.vstack([good, np.array([row], np.float32)]), 1e-4)
