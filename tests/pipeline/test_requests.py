"""Requests: one schema for flags, environment and job files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

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
        ({"recipe": "{columns: {energie: x}}"}, {}, "the contract has no column energie"),
        ({"recipe": "[1]"}, {}, "recipe"),
        ({"missing": "{a: 1}"}, {}, "missing"),
        *(
            ({key: '"a\\0b"'}, {}, "it holds a NUL character")
            for key in ("source", "warehouse", "metrics_file", "ping_start")
        ),
        ({"map": '{energy: "\\0"}'}, {}, "it holds a NUL character"),
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
        "profile": "true",
        "delivery": "snapshot",
        "engine": "spark",
        "buckets": "8",
        "publish_format": "delta",
        "wait": "10m",
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


def test_a_job_file_names_its_job(tmp_path: Path) -> None:
    """Two without a name would replace each other's predictions."""
    path = tmp_path / "j.yaml"
    path.write_text("job: score\nsource: t.csv\n")
    result = run("config", "show", path)
    assert (result.code, "name is not given" in result.error) == (78, True)
    assert run("config", "show", path, "--name", "mine").code == 0


@pytest.mark.parametrize("words", [("--keep-days", ""), ("--keep-days", "null"), ("--model", " "), ("--warehouse", "")])
def test_a_flag_without_a_value_is_a_mistake(words: tuple[str, ...]) -> None:
    result = run("score", "t.csv", *words)
    assert (result.code, f"{words[0]}: {words[1]!r} is no value" in result.error) == (64, True), result.err


VALUES: dict[str, Any] = {
    "source": "other.csv", "encoding": "latin-1", "map": {"energy": "Energy"}, "recipe": "kaggle-music-genre", "missing": ["n/k"], "name": "other", "warehouse": "o.duckdb",
    "run_date": "2026-11-19", "model": "all-features", "bundles": "folder", "bundle_key": "k.pem", "shadow": "lda-3d",
    "limits": {"flipped_percent": 3.0}, "delivery": "snapshot", "keep_days": 7, "force": True, "dry_run": True, "profile": True, "metrics_file": "m.prom",
    "publish": "s3://bucket/p", "publish_format": "delta", "lineage_file": "l.json", "result_file": "r.json", "ping_start": "http://a/s", "ping_success": "http://a/o",
    "ping_failure": "http://a/f", "engine": "spark", "master": "local[2]", "lake": "lake", "buckets": 8, "wait": "10m", "report": "night.html",
    "pushgateway": "http://g:9091", "otlp": "http://o:4318",
}  # fmt: skip
KEYS = [key for key in requests.ScoreRequest.model_fields if key not in requests.FILE_ONLY_KEYS]


def shown(settings: list[dict[str, Any]], key: str) -> Any:
    (line,) = (line for line in settings if line["key"] == key)
    return line["value"]


def as_flags(key: str, value: Any) -> list[str]:
    flag = requests.flag_of(requests.ScoreRequest, key).name
    if value is True:
        return [flag]
    if isinstance(value, list):
        return [word for each in value for word in (flag, each)]
    return [flag, *(f"{k}={v}" for k, v in value.items())] if isinstance(value, dict) else [flag, str(value)]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_works_as_a_flag_a_variable_a_mounted_file_and_in_a_job_file(tmp_path: Path, key: str) -> None:
    value = VALUES[key]
    keys = {"job": "score", "name": "n", "source": "a.csv", "warehouse": "w.duckdb"}
    plain, set_ = tmp_path / "plain.yaml", tmp_path / "set.yaml"
    plain.write_text(yaml.safe_dump(keys))
    set_.write_text(yaml.safe_dump(keys | {key: value}))
    text = (
        value
        if isinstance(value, str)
        else yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
    )
    (tmp_path / "mounted").write_text(f"{text}\n")
    variable = f"GENREPIPE_{key.upper()}"
    want = [value] if key == "source" else value
    secret = key in requests.ScoreRequest.secrets
    for words, environment in (
        ((set_,), {}),
        ((plain, *as_flags(key, value)), {}),
        ((plain,), {variable: text}),
        ((plain,), {f"{variable}_FILE": str(tmp_path / "mounted")}),
    ):
        found = run("config", "show", *words, "--output", "json", **environment)
        assert found.code == 0, found.err
        assert shown(found.json["settings"], key) == ("(set, not shown)" if secret else want), words


def test_score_and_run_have_the_same_flags() -> None:
    for command in ("score", "run"):
        text = run(command, "--help").out
        for key in KEYS:
            if (command, key) != ("score", "source"):
                assert requests.flag_of(requests.ScoreRequest, key).name in text, (command, key)


def test_score_takes_everything_from_mounted_files(tmp_path: Path) -> None:
    source, secret = write_csv(tmp_path / "t.csv", tracks(4)), tmp_path / "warehouse"
    secret.write_text(str(tmp_path / "w.duckdb"))
    (tmp_path / "source").write_text(str(source))
    environment = {"GENREPIPE_WAREHOUSE_FILE": str(secret), "GENREPIPE_SOURCE_FILE": str(tmp_path / "source")}
    result = run("score", "--output", "json", GENREPIPE_NAME="mine", **environment)
    assert (result.code, result.json["predicted"]) == (0, 4), result.err
    assert (
        run("score").error
        == "genrepipe: error: source is not given. Name it, or set GENREPIPE_SOURCE in the environment"
    )


@pytest.mark.parametrize("kind", ["score", "train"])
def test_the_json_schema_accepts_the_job_that_ships_and_refuses_others(kind: str) -> None:
    schema = run("config", "schema", kind).json
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    name = {"score": "score_nightly", "train": "train_weekly"}[kind]
    job = yaml.safe_load((ROOT / "jobs" / f"{name}.yaml").read_text())
    assert list(validator.iter_errors({key: value for key, value in job.items() if value is not None})) == []
    assert not validator.is_valid(job | {"warehose": "w"})
    assert not validator.is_valid({key: value for key, value in job.items() if key != "job"})
    assert all(field.get("description") for field in schema["properties"].values())
