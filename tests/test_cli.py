"""The command line: help, imports, job files and their precedence."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from genrepipe.cli.main import cli
from genrepipe.core.errors import ConfigurationError
from genrepipe.pipeline import settings
from tests.conftest import ROOT, genrepipe, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

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
    result = genrepipe(*words, "--help")
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
    assert re.fullmatch(r"genrepipe, version \d+\.\d+\.\d+\n", genrepipe("--version").out)


def job(path: Path, **keys: object) -> Path:
    path.write_text("\n".join(f"{key}: {value}" for key, value in keys.items()))
    return path


@pytest.mark.parametrize("name", ["score_nightly", "train_weekly"])
def test_shipped_jobs_are_valid(name: str) -> None:
    assert settings.load(ROOT / "jobs" / f"{name}.yaml", environment={}).name == name


def test_flag_wins_over_environment_over_file(tmp_path: Path) -> None:
    path = job(
        tmp_path / "j.yaml",
        job="score",
        name="n",
        source="a.csv",
        warehouse="file.duckdb",
        model="m",
        run_date="2026-01-01",
    )
    loaded = settings.load(
        path, {"warehouse": "flag.duckdb"}, {"GENREPIPE_WAREHOUSE": "env.duckdb", "GENREPIPE_MODEL": "env"}
    )
    assert isinstance(loaded, settings.ScoreJob)
    assert (str(loaded.warehouse), loaded.model, loaded.run_date, loaded.source) == (
        "flag.duckdb",
        "env",
        "2026-01-01",
        ("a.csv",),
    )


@pytest.mark.parametrize(
    ("keys", "flags", "said"),
    [
        ({"warehose": "w"}, {}, "unknown key 'warehose'. Did you mean warehouse?"),
        ({}, {"run-dat": "x"}, "--set run-dat: unknown key. Did you mean run_date?"),
        ({"1": "x"}, {}, "unknown key 1"),
        ({"job": "scare"}, {}, "job is 'scare'"),
        ({"source": "{a: 1}"}, {}, "source"),
        ({"map": "[1]"}, {}, "map"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, keys: dict[str, str], flags: dict[str, str], said: str) -> None:
    path = job(tmp_path / "j.yaml", **({"job": "score", "name": "n", "source": "a", "warehouse": "w"} | keys))
    result = genrepipe("run", path, *(f"--set={k}={v}" for k, v in flags.items()))
    assert result.code == (64 if flags else 78)
    assert said in result.error


def test_a_job_file_that_is_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "j.yaml").write_text("a: [")
    with pytest.raises(ConfigurationError, match="is not YAML"):
        settings.load(tmp_path / "j.yaml")


def test_run_runs_the_nightly_job(tmp_path: Path) -> None:
    write_csv(tmp_path / "2026-11-20.csv", tracks(4))
    result = genrepipe(
        "run", ROOT / "jobs/score_nightly.yaml", "--set", "source={run_date}.csv", "--set", "run_date=2026-11-20", "--output", "json",
        cwd=tmp_path, GENREPIPE_WAREHOUSE="w.duckdb",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert (result.json["run_date"], result.json["predicted"]) == ("2026-11-20", 4)
    assert (tmp_path / "w.duckdb").exists()


def test_environment_variables_serve_the_flags(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(4))
    environment = {
        "GENREPIPE_WAREHOUSE": str(tmp_path / "w.duckdb"),
        "GENREPIPE_RUN_DATE": "2026-11-19",
        "GENREPIPE_MODEL": "all-features",
    }
    result = genrepipe("score", source, "--output", "json", **environment)
    assert (result.json["run_date"], result.json["model"]) == ("2026-11-19", "all-features")


def test_logs_are_json_lines_off_a_terminal(tmp_path: Path, sample: Path) -> None:
    result = genrepipe("score", sample, "--warehouse", tmp_path / "w.duckdb")
    assert [line[0] for line in result.err.splitlines()] == ["{"] * len(result.err.splitlines())
    assert '"event": "tracks predicted"' in result.err


def test_a_terminal_gets_a_progress_bar(tmp_path: Path, sample: Path) -> None:
    leader, follower = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "genrepipe",
        "score",
        str(sample),
        "--warehouse",
        str(tmp_path / "w.duckdb"),
    ]
    with subprocess.Popen(command, stderr=follower, stdout=subprocess.DEVNULL) as process:
        shown = b""
        while process.poll() is None or select.select([leader], [], [], 0.2)[0]:
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65536)
    os.close(follower)
    os.close(leader)
    assert process.returncode == 0
    assert b"tracks predicted" in shown
    assert "━".encode() in shown


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


def test_a_table_shows_lists_and_structs_shortly(scored: Path) -> None:
    sql = "SELECT [DATE '2026-11-22', NULL] AS a, {'Rock': 0.123456789::DOUBLE, 'Jazz': ['x']} AS b"
    done = genrepipe("query", sql, "--warehouse", scored)
    assert "[2026-11-22, ]" in done.out
    assert "{Rock: 0.1235, Jazz: [x]}" in done.out


@pytest.mark.parametrize("form", ["{}", "[{}]", "{{'x': {}}}", "map{{'x': {}}}", "[[{{'x': [{}]}}]]"])
@pytest.mark.parametrize("output", ["csv", "json", "table"])
def test_query_shows_dates_that_python_has_not(scored: Path, form: str, output: str) -> None:
    odd = [
        ("infinity", kind)
        for kind in ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
    ]
    odd += [("-5000-01-01", "DATE"), ("290000-01-01", "TIMESTAMP")]
    columns = [form.format(f"'{text}'::{kind}") for text, kind in odd]
    sql = f"SELECT {', '.join(columns)}, DATE '2026-11-22', NULL::TIMESTAMP"
    done = genrepipe("query", sql, "--warehouse", scored, "--output", output, COLUMNS="400")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("infinity") >= 6
    assert output == "table" or all(word in done.out for word in ("290000", "2026-11-22", "5001-01-01 (BC)"))


def test_validate_reports_by_rule_with_at_most_five_examples(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [*tracks(9, energy="8"), *tracks(200)[10:]])
    result = genrepipe("validate", source, "--output", "json")
    assert result.code == 0
    (reason,) = result.json["reasons"]
    assert (reason["reason"], reason["rows"], [e["row"] for e in reason["examples"]]) == (
        "energy.maximum: must be at most 1",
        9,
        [1, 2, 3, 4, 5],
    )
    assert "row 5" in genrepipe("validate", source).out
    assert genrepipe("validate", write_csv(tmp_path / "u.csv", tracks(9, energy="8"))).code == 65
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "u.csv"]
