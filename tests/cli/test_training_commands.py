"""train, audit and explore on the command line: what they print, and their exit codes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import polars as pl
import pytest

from genrepipe.model import bundle as bundles
from tests.support import run, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra: pip install 'genrepipe[train]'")


def test_train_writes_bundles_that_score_and_prints_their_measures(tmp_path: Path, sample: Path) -> None:
    result = run("train", sample, "--model", "lda-2d", "--out", tmp_path / "out", "--output", "json")
    assert result.code == 0, result.err
    (bundle,) = result.json["bundles"]
    assert bundle["sha256"] == bundles.load(bundle["folder"]).sha256
    assert set(bundle["metrics"]) == {"artist_disjoint", "random", "random_twins_apart"}
    scored = run("score", sample, "--model", bundle["folder"], "--warehouse", tmp_path / "w.duckdb", "--output", "json")
    assert (scored.code, scored.json["model"]) == (0, "lda-2d"), scored.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("train", "{sample}", "--model", "all-featurs"), 78, "Did you mean all-features?"),
        (("train", "{few}", "--model", "lda-2d"), 65, "Training needs labelled tracks of every genre"),
        (("train", "none.csv"), 66, "there is no such file"),
        (("train", "{sample}", "--tune", "-1"), 64, "--tune: Input should be greater than or equal to 0"),
        (("explore", "{few}"), 65, "Training needs labelled tracks of every genre"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(
    tmp_path: Path, sample: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    few = write_csv(tmp_path / "few.csv", tracks(20))
    named = (word.format(sample=sample, few=few) for word in words)
    result = run(*named, "--out", tmp_path / "out")
    assert (result.code, message in result.error) == (code, True), result.error


def test_train_says_where_bundles_go() -> None:
    assert run("train", "t.csv").error.startswith("genrepipe: error: out is not given. Name it, or set GENREPIPE_OUT")


def test_audit_exits_with_78_where_a_gate_fails(tmp_path: Path, sample: Path) -> None:
    """A source whose popularity is the order of its rows: an input that is the file's order in disguise."""
    ordered = tmp_path / "ordered.csv"
    table = pl.read_csv(sample, infer_schema=False).drop_nulls("instance_id").with_row_index("row")
    table.with_columns(popularity=(pl.col("row") * 100 / len(table)).cast(pl.String)).drop("row").write_csv(ordered)
    result = run("audit", "lda-2d", ordered)
    assert result.code == 78, result.err
    assert "FAILED" in result.out
    assert result.out.splitlines()[0].startswith("lda-2d: failed, on ")
