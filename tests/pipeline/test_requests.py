"""Requests: one schema for flags, environment and job files."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrepipe.core.errors import (
    ConfigurationError,
)
from genrepipe.pipeline import requests
from tests.support import (
    ROOT,
    run,
    tracks,
    write_csv,
)


def job(path: Path, **keys: object) -> Path:
    path.write_text("\n".join(f"{key}: {value}" for key, value in keys.items()))
    return path


@pytest.mark.parametrize("name", ["score_nightly", "train_weekly"])
def test_shipped_jobs_are_valid(name: str) -> None:
    assert requests.load(ROOT / "jobs" / f"{name}.yaml", environment={}).name == name


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
    loaded = requests.load(
        path, {"warehouse": "flag.duckdb"}, {"GENREPIPE_WAREHOUSE": "env.duckdb", "GENREPIPE_MODEL": "env"}
    )
    assert isinstance(loaded, requests.ScoreRequest)
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
        ({}, {"run-dat": "x"}, "run-dat: unknown key. Did you mean run_date?"),
        ({"1": "x"}, {}, "unknown key 1"),
        ({"job": "scare"}, {}, "job is 'scare'"),
        ({"source": "{a: 1}"}, {}, "source"),
        ({"map": "[1]"}, {}, "map"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, keys: dict[str, str], flags: dict[str, str], said: str) -> None:
    path = job(tmp_path / "j.yaml", **({"job": "score", "name": "n", "source": "a", "warehouse": "w"} | keys))
    result = run("run", path, *(f"--set={k}={v}" for k, v in flags.items()))
    assert result.code == (64 if flags else 78)
    assert said in result.error


def test_a_job_file_that_is_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "j.yaml").write_text("a: [")
    with pytest.raises(ConfigurationError, match="is not YAML"):
        requests.load(tmp_path / "j.yaml")


def test_run_runs_the_nightly_job(tmp_path: Path) -> None:
    write_csv(tmp_path / "2026-11-20.csv", tracks(4))
    result = run(
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
    result = run("score", source, "--output", "json", **environment)
    assert (result.json["run_date"], result.json["model"]) == ("2026-11-19", "all-features")


@pytest.mark.parametrize("key", [key for key in requests.ScoreRequest.model_fields if key != "job"])
def test_every_key_can_come_from_the_environment(key: str) -> None:
    values = {
        "limits": "{flipped_percent: 3}",
        "map": "{energy: Energy}",
        "keep_days": "7",
        "force": "true",
        "dry_run": "true",
    }
    name = f"GENREPIPE_{key.upper()}"
    shown = run("config", "show", "--output", "json", **{name: values.get(key, "x")}).json["settings"]
    (line,) = (line for line in shown if line["key"] == key)
    assert line["origin"] == name
    assert line["value"] not in (None, {})


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "ping"
    secret.write_text("https://example.org/s3cret\n")
    result = run("config", "show", "score_nightly", GENREPIPE_PING_SUCCESS_FILE=str(secret))
    assert "s3cret" not in result.out
    assert "GENREPIPE_PING_SUCCESS_FILE" in result.out
    job = requests.load(Path("score_nightly"), environment={"GENREPIPE_PING_SUCCESS_FILE": str(secret)})
    assert isinstance(job, requests.ScoreRequest)
    assert job.ping_success == "https://example.org/s3cret"
    with pytest.raises(ConfigurationError, match="which cannot be read"):
        requests.load(Path("score_nightly"), environment={"GENREPIPE_MODEL_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("source=my #2.csv", 66, "my #2.csv: there is no such file"),
        ("source=2026", 66, "2026: there is no such file"),
        ("source={run_date}", 66, "2026-11-20: there is no such file"),
        ("run_date=2026-02-30", 64, "'2026-02-30' is not a date"),
        ("limits={flipped_percent: -1}", 78, "flipped_percent is -1"),
        ("limits={flipped_percent: .nan}", 78, "flipped_percent is nan"),
        ("keep_days=99999999999", 64, "--keep-days: Input should be less than or equal to 36500"),
    ],
)
def test_settings_are_taken_as_they_stand(tmp_path: Path, setting: str, code: int, said: str) -> None:
    job = tmp_path / "j.yaml"
    job.write_text(
        f"job: score\nname: n\nsource: s.csv\nwarehouse: {tmp_path}/w.duckdb\nrun_date: 2026-11-20\nlimits:\nmap:\n"
    )
    result = run("run", job, "--set", setting, GENREPIPE_MODEL="", GENREPIPE_LIMITS="")
    assert result.code == code
    assert said in result.error


@pytest.mark.parametrize("text", ["run_date: 2026-02-30", "a: " + "[" * 5000], ids=["date", "nested"])
def test_a_job_file_that_yaml_cannot_read_is_explained(tmp_path: Path, text: str) -> None:
    (tmp_path / "j.yaml").write_text(text)
    result = run("run", tmp_path / "j.yaml")
    assert result.code == 78
    assert "is not YAML" in result.error
