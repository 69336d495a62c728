"""init and doctor: what they print works as it stands, and each finding has a remedy and the exit code of the run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import jsonschema
import pytest
import yaml

from tests.support import DATE, Finished, ask, run, score, tracks, write_csv


def begun(folder: Path) -> Finished:
    result = run("init", "night shift", cwd=folder)
    assert result.code == 0, result.err
    return result


def test_the_commands_that_init_prints_work_as_they_stand(tmp_path: Path) -> None:
    lines = begun(tmp_path).out.splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("  genrepipe ")]
    assert [words[0] for words in commands] == ["doctor", "sample", "run", "run"]
    for number, words in enumerate(commands):
        if number == 3:  # when files are in the inbox
            write_csv(tmp_path / "night shift/inbox/tracks.csv", tracks(9))
        result = run(*words, cwd=tmp_path)
        assert result.code == 0, (words, result.err)
    of_sample, of_job = (
        {row["track_id"] for row in ask(tmp_path / "night shift" / name, "FROM tracks")}
        for name in ("sample.duckdb", "warehouse.duckdb")
    )
    assert (len(of_sample), of_job) == (5000, {str(number) for number in range(1, 10)})
    assert all(track.startswith("sample-") for track in of_sample)


def test_the_job_file_of_init_is_what_its_schema_says_and_an_editor_finds_it(tmp_path: Path) -> None:
    begun(tmp_path)
    folder = tmp_path / "night shift"
    first, *_ = (folder / "score.yaml").read_text(encoding="utf-8").splitlines()
    schema = folder / first.removeprefix("# yaml-language-server: $schema=")
    job = yaml.safe_load((folder / "score.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(job, json.loads(schema.read_text(encoding="utf-8")))
    assert (job["name"], job["source"], job["warehouse"]) == (
        "night_shift", [f"{folder}/inbox"], f"{folder}/warehouse.duckdb",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["score.yaml", "score.schema.json", "inbox"])
def test_init_overwrites_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "night shift").mkdir()
    (tmp_path / "night shift" / name).write_text("mine")
    result = run("init", "night shift", cwd=tmp_path)
    assert (result.code, name in result.error) == (74 if name == "inbox" else 64, True)
    assert {p.name: p.read_text() for p in (tmp_path / "night shift").iterdir()} == {name: "mine"}


HOLDER = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def findings(*words: object, **environment: str) -> tuple[int, dict[str, dict[str, object]]]:
    result = run("doctor", *words, "--output", "json", **environment)
    found = {each["check"]: each for each in result.json["findings"]}
    assert all(each["remedy"] or each["status"] == "ok" for each in found.values())
    assert result.code == result.json["exit_code"]
    return result.code, found


def test_doctor_finds_nothing_in_a_night_that_can_come(scored: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    warehouse.write_bytes(scored.read_bytes())
    code, found = findings("score_nightly", "--warehouse", warehouse, GENREPIPE_SOURCE=str(scored.parent))
    assert (code, found.pop("source")["status"]) == (0, "warn")  # it is not there yet
    assert {each["status"] for each in found.values()} == {"ok"}
    assert set(found) == {"job file", "warehouse", "DuckDB", "clock", "lock", "disk", "memory", "permissions", "bundle"}
    assert found["DuckDB"]["message"] == "DuckDB 1.4 and later open w.duckdb"
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]


def test_doctor_names_who_holds_the_warehouse_a_broken_bundle_and_a_wrong_clock(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    score(source, warehouse, DATE)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, warehouse], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        code, found = findings("--warehouse", warehouse)
        holder.communicate()
    assert (code, found["warehouse"]["status"]) == (75, "fail")
    assert f"PID {holder.pid}, user " in str(found["warehouse"]["message"])
    (tmp_path / "bundles" / "mine").mkdir(parents=True)
    (tmp_path / "bundles" / "mine" / "bundle.json").write_text("{}")
    code, found = findings("--warehouse", warehouse, "--bundles", tmp_path / "bundles", GENREPIPE_MODEL="mine")
    assert (code, found["bundle"]["status"]) == (78, "fail")
    ahead = 4_000_000_000  # 2096
    os.utime(warehouse, (ahead, ahead))
    code, found = findings("--warehouse", warehouse)
    assert (code, found["clock"]["status"]) == (78, "fail")


def test_doctor_says_what_is_wrong_with_a_job_file_and_where_no_run_can_write(tmp_path: Path) -> None:
    (tmp_path / "j.yaml").write_text("job: score\nname: n\nsorce: x\n")
    code, found = findings(tmp_path / "j.yaml")
    assert (code, found["job file"]["remedy"]) == (78, "Did you mean source?")
    code, found = findings("--warehouse", tmp_path / "none" / "w.duckdb")
    assert (code, found["permissions"]["status"], found["disk"]["status"]) == (74, "fail", "fail")


def test_a_file_of_a_newer_storage_is_told_and_the_copy_that_the_remedy_makes_is_not(
    tmp_path: Path, scored: Path
) -> None:
    warehouse = tmp_path / "w.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{scored}' AS old (READ_ONLY)")
        connection.execute(f"ATTACH '{warehouse}' AS new (STORAGE_VERSION 'v1.5.0')")
        connection.execute("COPY FROM DATABASE old TO new")
    code, found = findings("--warehouse", warehouse)
    assert (code, found["DuckDB"]["status"]) == (0, "warn")
    assert found["DuckDB"]["message"] == "DuckDB 1.5 and later open w.duckdb"
    statements = str(found["DuckDB"]["remedy"]).split('"')[1]
    with duckdb.connect() as connection:
        connection.execute(statements)
    Path(f"{warehouse}.copy").replace(warehouse)
    assert findings("--warehouse", warehouse)[1]["DuckDB"]["message"] == "DuckDB 1.4 and later open w.duckdb"
    assert ask(warehouse, "SELECT count(*) AS n FROM predictions") == ask(
        scored, "SELECT count(*) AS n FROM predictions"
    )
    assert score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, "2026-11-23")["status"] == "published"
