"""Commands that cannot be done: the exit code of the table, one line that says what to do, and nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import run


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("score",), 64, "source is not given. Name it"),
        (("sample", "--rows", "3"), 64, "--out"),
        (("scor", "x"), 64, "Did you mean score?"),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--run-date", "yesterday"), 64, "is not a date"),
        (
            ("score", "{sample}", "--warehouse", "w.duckdb", "--model", "all-feature"),
            78,
            "Did you mean all-features?",
        ),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--encoding", "klingon"), 64, "--encoding utf-8"),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--map", "tempo"), 64, "--map key=value"),
        (("score", "{sample}", "--warehouse", "w.duckdb", "--map", "tmpo=x"), 64, "Did you mean tempo?"),
        (("query", "SELECT 1", "--warehouse", "none.duckdb"), 78, "there is no such warehouse"),
        (("query", "SELEC 1", "--warehouse", "{scored}"), 64, "The query failed"),
        (("query", "DELETE FROM tracks", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", "SELECT 1; SELECT 2", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", " ; ", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", "COPY (SELECT 1) TO 'leak.csv'", "--warehouse", "{scored}"), 64, "not one SELECT"),
        (("query", "FROM read_csv('/etc/passwd')", "--warehouse", "{scored}"), 64, "The query failed"),
        (("score", "", "--warehouse", "w.duckdb"), 64, "empty text"),
        (("score", "{sample}", "--warehouse", ":memory:"), 78, "cannot be a warehouse"),
        (("score", "{sample}", "--warehouse", "md:cloud"), 78, "cannot be a warehouse"),
        (("score", "{sample}", "--warehouse", "w.parquet"), 78, "cannot be a warehouse"),
        (("sample", "--seed", "-1", "--out", "t.csv"), 64, "--seed"),
        ((), 64, "A command is missing"),
        (("query", "SELECT nothing FROM tracks", "--warehouse", "{scored}"), 64, "The query failed"),
        (("models", "show", "none"), 78, "There is no model 'none'"),
        (("sample", "--out", "t.xlsx"), 64, "neither .csv nor .parquet"),
        (("sample", "--out", "none/t.csv"), 74, "cannot be written"),
        (("run", "none.yaml"), 78, "Name a job file"),
    ],
)
def test_bad_commands(
    tmp_path: Path, sample: Path, scored: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    filled = [argument.format(sample=sample, scored=scored) for argument in arguments]
    result = run(*filled, cwd=tmp_path)
    assert result.code == code, result.err
    assert said in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("models", "list", "--output", "json"), ("models", "show"), ("nonsense", "--output", "json")]
)
def test_output_that_cannot_be_written_is_no_traceback(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "genrepipe", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == (64 if words[0] == "nonsense" else 74), done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(scored: Path) -> None:
    query = f"{sys.executable} -m genrepipe query 'FROM prediction_probabilities' --warehouse {scored} --output csv | head -1"
    done = subprocess.run(query, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout.startswith("run_date"), done.stderr) == (True, "")
