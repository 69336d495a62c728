"""The command line: help, imports, forms of output, streams that go away."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from genrepipe.cli.main import cli
from tests.support import (
    DATE,
    ask,
    genrepipe,
    run,
    score,
    track,
    tracks,
    write_csv,
)

HEAVY = (
    "duckdb",
    "polars",
    "pandera",
    "onnxruntime",
    "numpy",
    "torch",
    "sklearn",
    "skl2onnx",
    "spacy",
    "onnx",
    "pydantic",
    "yaml",
)


def commands() -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = [((), cli)]
    for name, command in cli.commands.items():
        found.append(((name,), command))
        found += [((name, sub), child) for sub, child in getattr(command, "commands", {}).items()]
    return found


@pytest.mark.parametrize(
    ("words", "command"), commands(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_help_with_an_example(words: tuple[str, ...], command: click.Command) -> None:
    result = run(*words, "--help")
    assert result.code == 0
    assert re.search(rf"genrepipe {' '.join(words)}", result.out)
    assert re.search(r"^  (Example|A first minute):\n      genrepipe ", result.out, re.MULTILINE)
    assert "\\b" not in result.out
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def imported(*words: str) -> set[str]:
    code = f"import sys; sys.argv[1:] = {list(words)!r}\nfrom genrepipe import __main__ as m\nm._leave = lambda code: print(*sys.modules)\nm.main()"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in out.splitlines()[-1].split()}


def test_help_imports_nothing_heavy() -> None:
    assert imported("--help") & set(HEAVY) == set()


def test_scoring_imports_no_training_library(tmp_path: Path, sample: Path) -> None:
    names = imported("score", str(sample), "--warehouse", str(tmp_path / "w.duckdb"))
    assert {"duckdb", "polars", "onnxruntime", "pandera"} <= names
    assert (
        names
        & {
            "torch",
            "sklearn",
            "skl2onnx",
            "onnx",
            "onnxscript",
            "spacy",
            "scipy",
            "altair",
            "pyarrow",
            "pandas",
        }
        == set()
    )


def test_version() -> None:
    assert re.fullmatch(r"genrepipe, version \d+\.\d+\.\d+\n", run("--version").out)


@pytest.mark.parametrize(
    ("output", "start"),
    [("csv", b"track_id,imputed\n"), ("json", b'[{"track_id":'), ("parquet", b"PAR1"), ("table", b" ")],
)
def test_query_prints_every_form(scored: Path, output: str, start: bytes) -> None:
    command = [
        sys.executable,
        "-m",
        "genrepipe",
        "query",
        "SELECT track_id, imputed FROM predictions LIMIT 3",
        "--warehouse",
        scored,
        "--output",
        output,
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.startswith(start)
    assert done.stderr == b""


def test_a_table_shows_lists_and_structs(scored: Path) -> None:
    sql = "SELECT [DATE '2026-11-22', NULL] AS a, {'Rock': 0.123456789::DOUBLE, 'Jazz': ['x']} AS b"
    done = run("query", sql, "--warehouse", scored)
    assert "[2026-11-22, ]" in done.out
    assert "{Rock: 0.123456789, Jazz: [x]}" in done.out


def shell(command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    program = f'genrepipe() {{ {shlex.quote(sys.executable)} -m genrepipe "$@"; }}; set -o pipefail; '
    return subprocess.run(["bash", "-c", program + command], check=False, capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("genrepipe query 'FROM predictions' --output csv --warehouse {scored} | head -c 10", 0),
        ("genrepipe query 'FROM predictions' --output parquet --warehouse {scored} | head -c 4", 0),
        ("genrepipe models list | true", 0),
        ("genrepipe query 'FROM predictions' --output parquet --warehouse {scored} > /dev/full", 74),
        ("genrepipe query 'FROM predictions' --warehouse {scored} >&-", 0),
        ("genrepipe score {sample} --warehouse {out} 2> >(true) > /dev/null", 0),
        ("genrepipe score {sample} --warehouse {out} 2>&- > /dev/null", 0),
        ("genrepipe score {sample} --warehouse {out} > >(true)", 0),
    ],
)  # fmt: skip
def test_a_reader_that_goes_away_fails_no_command(
    scored: Path, sample: Path, tmp_path: Path, command: str, code: int
) -> None:
    done = shell(command.format(scored=scored, sample=sample, out=tmp_path / "w.duckdb"))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if "score" in command.split():
        assert len(ask(tmp_path / "w.duckdb", "FROM predictions")) == 3000


def test_a_result_file_that_cannot_be_written_is_told_and_only_jobs_write_one(tmp_path: Path, sample: Path) -> None:
    word, warehouse = tmp_path / "none" / "r.json", tmp_path / "w.duckdb"
    result = run("score", sample, "--warehouse", warehouse, "--result-file", word)
    assert result.code == 0
    assert f"genrepipe: warning: {word} cannot be written" in result.err
    word.parent.mkdir()
    assert run("models", "list", GENREPIPE_RESULT_FILE=str(word)).code == 0
    assert not word.exists()


def test_debugging_shows_the_traceback_and_changes_no_exit_code() -> None:
    result = run("score", "none.csv", "--warehouse", "w.duckdb", GENREPIPE_DEBUG="1")
    assert result.code == 66
    assert "Traceback" in result.err


def test_control_characters_never_reach_a_terminal(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(
        write_csv(tmp_path / "t.csv", [*tracks(40), track(41, track_name="a\x1b[2Jb"), track(42, key="\x1b]0;x\x07")]),
        warehouse,
    )
    row = ask(warehouse, "SELECT quarantine_id FROM quarantine")[0]["quarantine_id"]
    for command in (("query", "SELECT track_name FROM tracks"), ("quarantine", "list"), ("quarantine", "show", row)):
        out = run(*command, "--warehouse", warehouse).out
        assert "\x1b" not in out, command
    missing = run("score", "\x1b[31mred.csv", "--warehouse", warehouse)
    assert missing.code == 66
    assert "\x1b" not in missing.err


def test_a_query_comes_from_a_file_or_stdin_too(scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "-- 東京\nSELECT genre FROM genre_daily\nORDER BY genre LIMIT 1;\n"
    (tmp_path / "q.sql").write_text(sql, encoding="utf-8")
    for words in (("@q.sql",), ("-f", "q.sql"), ("-",), ("--file", "-")):
        monkeypatch.setattr("sys.stdin", io.StringIO(sql))
        done = run("query", *words, "--warehouse", scored, "--output", "csv", cwd=tmp_path)
        assert (done.code, done.out) == (0, "genre\nAlternative\n"), (words, done.err)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("genrepipe score x --model artist", ["artist-context"]),
        ("genrepipe score x --limit flipped", ["flipped_percent="]),
        ("genrepipe run score", ["score_nightly"]),
        ("genrepipe recipe show kaggle-m", ["kaggle-music-genre"]),
        ("genrepipe verify --warehouse {scored} --run 2", ["{run_id}"]),
        ("genrepipe retract --warehouse {scored} --run-date 2", [DATE]),
        ("genrepipe verify --warehouse none.duckdb --run 2", []),
        ("genrepipe --quiet comp", ["completion"]),
    ],
)
def test_shells_complete_names(scored: Path, tmp_path: Path, line: str, offered: list[str]) -> None:
    (run_id,) = (row["run_id"] for row in ask(scored, "SELECT run_id FROM runs"))
    words = line.format(scored=scored)
    count = str(len(words.split()) - 1)
    asked = {"COMP_WORDS": words, "COMP_CWORD": count, "_GENREPIPE_COMPLETE": "bash_complete"}
    done = genrepipe(cwd=tmp_path, **asked)
    assert (done.code, done.err) == (0, "")
    assert done.out.split() == [f"plain,{each.format(run_id=run_id)}" for each in offered]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    done = run("completion", shell)
    assert (done.code, f"_GENREPIPE_COMPLETE={shell}_complete" in done.out) == (0, True)


def test_options_of_the_log_stand_before_or_after_the_command(tmp_path: Path) -> None:
    source, warehouse = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "w.duckdb"
    result_file = tmp_path / "r.json"
    score = ("score", source, "--warehouse", warehouse, "--force", "--result-file", result_file)
    text = run("--log-format", "text", *score)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  bundle verified: model artist-context, version ", text.err)
    assert "  warning: " in text.err
    assert "predicted" in result_file.read_text()
    quiet = [run(*words).err.splitlines() for words in (("-q", *score), (*score, "--quiet"))]
    for lines in quiet:
        assert lines
        assert {line.split('"level": "')[1].split('"')[0] for line in lines} == {"warning"}
    assert run(*score, GENREPIPE_QUIET="1", GENREPIPE_LOG_FORMAT="text").err.count("\n") == len(quiet[0])


def test_help_shows_every_command_under_a_heading_in_one_line() -> None:
    shown = run("--help").out.partition("Options:")[2]
    lines = dict(line.split(None, 1) for line in re.findall(r"^  (\w+ +\w.*)$", shown, re.MULTILINE))
    assert set(cli.commands) == set(lines)
    assert all(line.endswith(".") for line in lines.values())
    assert re.findall(r"^(\w+):$", shown, re.MULTILINE) == ["Begin", "Score", "Look", "Correct", "Models"]
