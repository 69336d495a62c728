"""The scheduler kit: one table of exit codes, and every manifest held against it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml
from croniter import croniter

from genrepipe.core import errors
from genrepipe.pipeline import requests
from tests import docs
from tests.support import (
    ROOT,
    ask,
)

JOBS = ROOT / "jobs"


CODES = yaml.safe_load((JOBS / "exit_codes.yaml").read_text(encoding="utf-8"))


FINAL = {row["code"] for row in CODES if not row["retry"] and row["code"]}


def manifest(kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((JOBS / "kubernetes/cronjob.yaml").read_text(encoding="utf-8"))
    return next(document for document in documents if document["kind"] == kind)


def test_the_table_of_exit_codes_is_the_error_trees() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.GenrepipeError)]
    assert {c.exit_code for c in classes} | {0} == {row["code"] for row in CODES}
    assert {74, 75, 66, 130, 143} == {row["code"] for row in CODES if row["retry"]}


def test_the_runbook_is_the_table() -> None:
    assert docs.runbook() in (ROOT / "docs/run.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", [row for row in CODES if row["look"]], ids=lambda row: str(row["code"]))
def test_the_queries_of_the_runbook_run(scored: Path, row: dict[str, Any]) -> None:
    ask(scored, row["look"])


def test_kubernetes_fails_at_once_on_the_codes_that_cannot_mend() -> None:
    job = manifest("CronJob")["spec"]["jobTemplate"]["spec"]
    (rule,) = (rule for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule)
    assert (rule["action"], set(rule["onExitCodes"]["values"])) == ("FailJob", FINAL)
    pod = job["template"]["spec"]
    assert (pod["restartPolicy"], manifest("CronJob")["spec"]["concurrencyPolicy"]) == ("Never", "Forbid")
    assert rule["onExitCodes"]["containerName"] == pod["containers"][0]["name"]


@pytest.mark.parametrize(
    ("name", "word"), [("cronjob.yaml", "concurrencyPolicy"), ("toolbox.yaml", "terminationGracePeriodSeconds")]
)
def test_kubernetes_accepts_the_manifests_and_refuses_broken_ones(tmp_path: Path, name: str, word: str) -> None:
    tool = Path(sys.executable).with_name("kubernetes-validate")
    text = (JOBS / "kubernetes" / name).read_text(encoding="utf-8")
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(word, f"{word}s"))
    codes = [
        subprocess.run([tool, "--strict", path], check=False, capture_output=True).returncode
        for path in (JOBS / "kubernetes" / name, broken)
    ]
    assert codes[0] == 0
    assert codes[1] != 0


def test_the_pods_are_restricted_and_share_one_claim() -> None:
    """As the restricted Pod Security Standard wants them; a schedule is not looked at by the validator."""
    toolbox = yaml.safe_load((JOBS / "kubernetes/toolbox.yaml").read_text(encoding="utf-8"))["spec"]
    job = manifest("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for pod in (toolbox, job):
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        (claim,) = (volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume)
        assert claim["claimName"] == manifest("PersistentVolumeClaim")["metadata"]["name"]
    assert toolbox["containers"][0]["image"] == job["containers"][0]["image"]
    assert croniter.is_valid(manifest("CronJob")["spec"]["schedule"])


def test_the_config_map_is_a_job_file(tmp_path: Path) -> None:
    (tmp_path / "score_nightly.yaml").write_text(manifest("ConfigMap")["data"]["score_nightly.yaml"])
    job = requests.load(tmp_path / "score_nightly.yaml", environment={})
    assert isinstance(job, requests.ScoreRequest)
    assert str(job.warehouse).startswith("/data/")
    assert 0 < job.wait_seconds < manifest("CronJob")["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    # nothing that the image sets stands before what the ConfigMap says
    assert "GENREPIPE_" not in (ROOT / "Dockerfile").read_text()


def test_systemd_does_not_restart_on_the_codes_that_cannot_mend() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(JOBS / "systemd/genrepipe.service")
    assert {int(code) for code in unit["Service"]["RestartPreventExitStatus"].split()} == FINAL
    assert unit["Service"]["ExecStart"].endswith("genrepipe run score_nightly")


def test_airflow_tries_again_only_on_codes_that_can_mend() -> None:
    text = (JOBS / "airflow/genrepipe_nightly.py").read_text(encoding="utf-8")
    found = re.search(r"^NO_RETRY = \[(.*)\]", text, re.MULTILINE)
    assert found is not None
    assert {int(code) for code in found.group(1).split(",")} == FINAL
    assert "skip_on_exit_code" in text
    assert "{{ ds }}" in text


def test_the_crontab_has_schedules_and_commands_that_exist() -> None:
    lines = [
        line for line in (JOBS / "genrepipe.crontab").read_text(encoding="utf-8").splitlines() if line[:1].isdigit()
    ]
    assert len(lines) == 2
    for line in lines:
        schedule, words = line.split(maxsplit=5)[:5], shlex.split(line.split(maxsplit=5)[5])
        assert croniter.is_valid(" ".join(schedule))
        assert words[1:3] == ["run", "score_nightly"]
    timer = (JOBS / "systemd/genrepipe.timer").read_text(encoding="utf-8")
    assert "OnCalendar=" in timer


def test_compose_is_as_closed_as_the_pod() -> None:
    (service,) = yaml.safe_load((JOBS / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    assert service["read_only"]
    assert service["network_mode"] == "none"
    assert service["cap_drop"] == ["ALL"]


def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("hadolint")
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && sudo pip install x\n")
    assert subprocess.run([tool, ROOT / "Dockerfile"], check=False, capture_output=True, text=True).stdout == ""
    assert subprocess.run([tool, bad], check=False, capture_output=True).returncode != 0


def test_what_the_image_installs_is_what_is_pinned() -> None:
    pinned = dict(
        line.split(";")[0].strip().lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints/all.txt").read_text().splitlines()
    )
    hashed = (ROOT / "constraints/hashed/scoring.txt").read_text()
    found = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", hashed, re.MULTILINE))
    assert len(found) > 15
    assert {name: pinned[name] for name in found} == found
    assert not re.search(r"torch|scikit|spacy|://", hashed)
    assert len(re.findall("--hash=sha256:[0-9a-f]{64}", hashed)) > 2 * len(found)


def in_the_image(path: str) -> Path:
    """Return the file of the repository that lies at a path of the image for Spark."""
    assert "COPY jobs/spark /opt/genrepipe/jobs" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    file = JOBS / "spark" / path.removeprefix("local://").removeprefix("/opt/genrepipe/jobs/")
    assert file.is_file(), path
    return file


def test_the_spark_job_is_one() -> None:
    request = requests.load(JOBS / "spark/score_spark.yaml", environment={})
    assert (request.engine, str(request.lake), request.master) == ("spark", "/data/lake", None)


def test_the_spark_application_runs_the_job_of_the_image() -> None:
    application = yaml.safe_load((JOBS / "spark/application.yaml").read_text(encoding="utf-8"))
    spec = application["spec"]
    assert croniter.is_valid(spec["schedule"])
    template = spec["template"]
    in_the_image(template["mainApplicationFile"])
    assert template["arguments"][0] == "run"
    in_the_image(template["arguments"][1])
    pinned = dict(line.split("==") for line in (ROOT / "constraints/all.txt").read_text().splitlines())
    assert template["sparkVersion"] == pinned["pyspark"]
    for role in ("driver", "executor"):
        assert template[role]["securityContext"]["runAsNonRoot"]
        assert template[role]["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]


@pytest.mark.parametrize("master", ["spark://host:7077", "k8s://https://host:6443"])
def test_submit_hands_the_job_to_spark_submit(tmp_path: Path, master: str) -> None:
    tool = tmp_path / "spark-submit"
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    done = subprocess.run(
        [JOBS / "spark/submit.sh", master, "--set", "run_date=2026-11-22"], capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )  # fmt: skip
    words = done.stdout.splitlines()
    assert words[words.index("--master") + 1] == master
    script, verb, job, *more = words[next(n for n, word in enumerate(words) if word.endswith("score.py")) :]
    assert (verb, more) == ("run", ["--set", "run_date=2026-11-22"])
    for path in (script, job):
        assert in_the_image(path) if master.startswith("k8s") else Path(path).is_file()


def test_the_entrypoint_of_the_image_runs_any_command() -> None:
    entrypoint = JOBS / "spark/entrypoint.sh"
    done = subprocess.run([entrypoint, "echo", "as asked"], capture_output=True, text=True, check=True)
    assert done.stdout == "as asked\n"
    for role in ("driver", "executor"):  # of which each names the first variable that only Kubernetes sets
        started = subprocess.run(
            [entrypoint, role], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
        )
        assert started.returncode != 0
        assert "SPARK_HOME" in started.stderr or "JAVA_HOME" in started.stderr


@pytest.mark.slow
def test_airflow_imports_and_tests_the_dag(tmp_path: Path) -> None:
    """An environment of its own; the pod is not started, since there is no cluster: rendering goes up to it."""
    venv.create(tmp_path / "venv", with_pip=True)
    pip = [
        tmp_path / "venv/bin/pip",
        "install",
        "--quiet",
        "apache-airflow",
        "apache-airflow-providers-cncf-kubernetes",
        "apache-airflow-providers-apache-spark",
        "apache-airflow-providers-openlineage",
    ]
    subprocess.run(pip, check=True, capture_output=True)
    home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(JOBS / "airflow")}  # fmt: skip
    airflow = tmp_path / "venv/bin/airflow"
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True, env=home)
    listed = subprocess.run(
        [airflow, "dags", "list-import-errors"], check=False, capture_output=True, text=True, env=home
    )
    assert "No data found" in listed.stdout, listed.stdout
    codes = [row["code"] for row in CODES if row["code"]]
    cleanup = [
        tmp_path / "venv/bin/python",
        ROOT / "tests/airflow_cleanup.py",
        JOBS / "airflow/genrepipe_nightly.py",
        tmp_path / "kubeconfig",
    ]
    cleaned = subprocess.run([*cleanup, *map(str, codes)], check=False, capture_output=True, text=True, env=home)
    assert cleaned.returncode == 0, cleaned.stderr
    assert json.loads(cleaned.stdout.splitlines()[-1]) == {
        **{str(code): "AirflowFailException" if code in FINAL else "AirflowException" for code in codes},
        "66, opted in to skip": "AirflowSkipException",
    }
    rendered = subprocess.run(
        [airflow, "tasks", "render", "genrepipe_nightly", "score", "2026-11-22"],
        check=False,
        capture_output=True,
        text=True,
        env=home,
    )
    assert "run_date=2026-11-22" in rendered.stdout, rendered.stdout + rendered.stderr
    assert "default/genrepipe_nightly.score/" not in rendered.stdout
    to = {"AIRFLOW__OPENLINEAGE__TRANSPORT": '{"type": "console"}'}
    for dag in ("genrepipe_nightly", "genrepipe_spark"):
        words = [airflow, "tasks", "render", dag, "score", "2026-11-22"]
        traced = subprocess.run(words, check=False, capture_output=True, text=True, env=home | to)
        assert f"default/{dag}.score/" in traced.stdout, traced.stdout + traced.stderr
    submitted = subprocess.run(
        [airflow, "tasks", "render", "genrepipe_spark", "score", "2026-11-22"], check=False, capture_output=True, text=True, env=home
    )  # fmt: skip
    assert "run_date=2026-11-22" in submitted.stdout, submitted.stdout + submitted.stderr
    marked = [airflow, "dags", "test", "genrepipe_nightly", "2026-11-22", "--mark-success-pattern", "score"]
    tested = subprocess.run(marked, check=False, capture_output=True, text=True, env=home)
    assert "state=success" in tested.stdout + tested.stderr
