"""The scheduler kit: one table of exit codes, and every manifest held against it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import venv
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from croniter import croniter

from genrepipe import __version__
from genrepipe.core import assets, errors
from genrepipe.pipeline import requests
from tests import docs
from tests.support import DATE, NEXT, ROOT, ask, run, tracks, write_csv

JOBS = ROOT / "jobs"


CODES = yaml.safe_load((JOBS / "exit_codes.yaml").read_text(encoding="utf-8"))


FINAL = {row["code"] for row in CODES if not row["retry"] and row["code"]}


KUBERNETES = JOBS / "kubernetes"
OVERLAYS = sorted(path.parent.relative_to(KUBERNETES).as_posix() for path in KUBERNETES.rglob("kustomization.yaml"))
TRAINING = "overlays/training"


@cache
def rendered(folder: str = "base") -> str:
    """Return the manifests that ``kubectl apply -k`` sends; it renders without a cluster."""
    if shutil.which("kustomize"):
        words = ["kustomize", "build"]
    elif shutil.which("kubectl"):
        words = ["kubectl", "kustomize"]
    else:
        pytest.skip("neither kubectl nor kustomize is here to render the manifests")
    done = subprocess.run([*words, KUBERNETES / folder], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(folder: str = "base") -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(rendered(folder)))


def manifest(kind: str, folder: str = "base", name: str = "genrepipe") -> dict[str, Any]:
    return next(
        each for each in manifests(folder) if each["kind"] == kind and each["metadata"]["name"].startswith(name)
    )


def pods(folder: str) -> list[dict[str, Any]]:
    """Return the templates of all pods, the toolbox's too."""
    return [
        each if each["kind"] == "Pod" else each["spec"]["jobTemplate"]["spec"]["template"]
        for each in manifests(folder)
        if each["kind"] in {"Pod", "CronJob"}
    ]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def job_file(folder: str, name: str, target: Path) -> requests.ScoreRequest | requests.TrainRequest:
    path = target / name
    path.write_text(manifest("ConfigMap", folder)["data"][name])
    return requests.load(path, environment={})


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
    for folder in OVERLAYS:
        for cron in (each["spec"] for each in manifests(folder) if each["kind"] == "CronJob"):
            job = cron["jobTemplate"]["spec"]
            pod = job["template"]["spec"]
            assert (pod["restartPolicy"], cron["concurrencyPolicy"]) == ("Never", "Forbid")
            rules = [rule for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
            assert {(rule["action"], frozenset(rule["onExitCodes"]["values"])) for rule in rules} == {
                ("FailJob", frozenset(FINAL))
            }
            ours = {each["name"] for each in containers({"spec": pod}) if "command" not in each}
            assert {rule["onExitCodes"]["containerName"] for rule in rules} == ours


def accepted(text: str, version: str) -> None:
    for each in yaml.safe_load_all(text):
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_kubernetes_accepts_the_manifests(folder: str) -> None:
    for version in ("1.29", kubernetes_validate.latest_version()):
        accepted(rendered(folder), version)


@pytest.mark.parametrize("word", ["concurrencyPolicy", "terminationGracePeriodSeconds", "status", "egress"])
def test_the_validator_refuses_what_is_misspelt(word: str) -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        accepted(re.sub(rf"\b{word}:", f"{word}s:", rendered()), "1.29")


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_pods_are_restricted_and_share_one_claim(folder: str) -> None:
    """As the restricted Pod Security Standard wants them; a schedule is not looked at by the validator."""
    for pod in pods(folder):
        spec = pod["spec"]
        assert not spec["automountServiceAccountToken"]
        assert not spec["enableServiceLinks"]
        assert spec["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            for kind in ("requests", "limits"):
                assert {"memory", "ephemeral-storage"} <= set(container["resources"][kind])
        (claim,) = (volume["persistentVolumeClaim"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume)
        assert claim["claimName"] == manifest("PersistentVolumeClaim", folder)["metadata"]["name"]
    images = {each["image"] for pod in pods(folder) for each in containers(pod)}
    assert len(images) == (2 if folder == TRAINING else 1)
    assert all(image.split(":")[1].split("-")[0] == __version__ for image in images)
    for each in manifests(folder):
        assert each["kind"] != "CronJob" or croniter.is_valid(each["spec"]["schedule"])


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_network_policy_and_the_affinity_find_every_pod(folder: str) -> None:
    policy = manifest("NetworkPolicy", folder)["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == ({53, 443} if folder.endswith("object-store") else {53})
    for pod in pods(folder):
        labels = pod["metadata"]["labels"]
        assert labels["app.kubernetes.io/version"] == __version__
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        for rule in pod["spec"].get("affinity", {}).get("podAffinity", {}).values():
            assert rule[0]["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_config_map_is_a_job_file(tmp_path: Path, folder: str) -> None:
    job = job_file(folder, "score_nightly.yaml", tmp_path)
    assert isinstance(job, requests.ScoreRequest)
    assert str(job.warehouse).startswith("/data/")
    deadline = manifest("CronJob", folder)["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    assert 0 < job.wait_seconds < deadline
    assert job.source[0].startswith("s3://" if folder.endswith("object-store") else "/data/")
    # nothing that the image sets stands before what the ConfigMap says
    assert "GENREPIPE_" not in (ROOT / "Dockerfile").read_text()


def test_the_overlays_change_what_they_say() -> None:
    nightly = manifest("CronJob", "overlays/example")["spec"]
    pod = nightly["jobTemplate"]["spec"]["template"]["spec"]
    assert nightly["schedule"] != manifest("CronJob")["spec"]["schedule"]
    assert pod["priorityClassName"] == manifest("PriorityClass", "overlays/example")["metadata"]["name"]
    namespace = manifest("Namespace", "overlays/example")["metadata"]["name"]
    assert {each["metadata"].get("namespace", namespace) for each in manifests("overlays/example")} == {namespace}
    for pod in pods("overlays/object-store"):
        (container,) = pod["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "genrepipe-store"}}]
        (room,) = (each["emptyDir"]["sizeLimit"] for each in pod["spec"]["volumes"] if each["name"] == "tmp")
        assert int(room[:-2]) < int(container["resources"]["limits"]["ephemeral-storage"][:-2])
    assert "Secret" not in {each["kind"] for each in manifests("overlays/object-store")}


def test_the_training_job_hands_its_bundle_to_the_nightly_one(tmp_path: Path, sample: Path) -> None:
    """The words of both containers, with the claim as a folder here and a bundle in place of the training."""
    nightly = job_file(TRAINING, "score_nightly.yaml", tmp_path)
    training = job_file(TRAINING, "train_weekly.yaml", tmp_path)
    assert isinstance(training, requests.TrainRequest)
    pod = manifest("CronJob", TRAINING, "genrepipe-training")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (train,), (promote,) = pod["initContainers"], pod["containers"]
    data = tmp_path / "data"

    def here(words: list[str]) -> list[str]:
        """Return the words as the kubelet would fill them in, on this machine's paths."""
        filled = [word.replace("$(JOB)", "genrepipe-training-1") for word in words]
        return [word.replace("/data", str(data)).replace("/etc/genrepipe", str(tmp_path)) for word in filled]

    verb, path, option, setting = here(train["args"])
    assert (verb, option) == ("run", "--set")  # run knows no --out
    told = requests.load(Path(path), dict([setting.split("=")]), environment={})
    assert isinstance(told, requests.TrainRequest)
    assert train["env"] == promote["env"]
    words = here(promote["args"])
    assert words[2] == str(told.out / training.models[0])
    shutil.copytree(assets.pretrained() / "artist-context", words[2])
    bundles = data / Path(str(nightly.bundles)).relative_to("/data")
    assert run("models", "promote", "all-features", "--bundles", bundles, "--anyway", "a worse one").code == 0
    shutil.copy(sample, words[words.index("--on") + 1])
    done = run(*words)
    assert done.code == 0, done.err
    source = write_csv(tmp_path / "tracks.csv", tracks(20))
    done = run("score", source, "--bundles", bundles, "--warehouse", tmp_path / "w.duckdb")
    assert done.code == 0, done.err
    (line,) = ask(tmp_path / "w.duckdb", "FROM bundles")
    assert line["folder"] == words[2]


def test_systemd_does_not_restart_on_the_codes_that_cannot_mend() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(JOBS / "systemd/genrepipe.service")
    assert {int(code) for code in unit["Service"]["RestartPreventExitStatus"].split()} == FINAL
    assert unit["Service"]["ExecStart"].endswith("genrepipe run score_nightly")


@pytest.mark.parametrize("name", ["nightly", "docker", "bash"])
def test_airflow_tries_again_only_on_codes_that_can_mend(name: str) -> None:
    text = (JOBS / f"airflow/genrepipe_{name}.py").read_text(encoding="utf-8")
    found = re.search(r"^NO_RETRY = \[(.*)\]", text, re.MULTILINE)
    assert found is not None
    assert {int(code) for code in found.group(1).split(",")} == FINAL
    assert "skip_on_exit_code" in text
    assert re.search(r"\{\{ ds \}\}", text.replace("{{{{", "{{").replace("}}}}", "}}"))


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


@pytest.mark.slow
def test_the_bill_of_materials_is_what_the_image_installs(tmp_path: Path) -> None:
    where = [f"RELEASE={tmp_path}/venv", f"SBOM={tmp_path}/sbom", f"PYTHON={sys.executable}", "EXTRA=cloud"]
    done = subprocess.run(["make", "sbom", *where], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    bill = json.loads((tmp_path / f"sbom/genrepipe-{__version__}-cloud.cdx.json").read_text())
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("genrepipe", __version__)
    components = {(each["name"].lower().replace("_", "-"), each["version"]) for each in bill["components"]}
    texts = [(ROOT / f"constraints/hashed/{name}.txt").read_text() for name in ("scoring", "cloud")]
    assert components <= set(re.findall(r"^([\w.-]+)==(\S+) \\$", "".join(texts), re.MULTILINE))
    (direct,) = (each["dependsOn"] for each in bill["dependencies"] if each["ref"] == root["bom-ref"])
    assert {"duckdb", "obstore", "polars"} <= {each.split("==")[0] for each in direct}


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


@dataclass(frozen=True)
class Airflow:
    """An installation of Airflow, with a database and the DAGs of the kit."""

    folder: Path

    def run(self, program: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program of its environment."""
        home = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AIRFLOW_HOME": str(self.folder / "home"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__DAGS_FOLDER": str(JOBS / "airflow")}  # fmt: skip
        command = [self.folder / "venv/bin" / program, *map(str, words)]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=home | environment)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask its database."""
        with closing(sqlite3.connect(self.folder / "home/airflow.db")) as database:
            return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    folder = tmp_path_factory.mktemp("airflow")
    venv.create(folder / "venv", with_pip=True)
    providers = ("cncf-kubernetes", "apache-spark", "docker", "openlineage", "standard")
    packages = ["apache-airflow", *(f"apache-airflow-providers-{name}" for name in providers)]
    subprocess.run([folder / "venv/bin/pip", "install", "--quiet", *packages], check=True, capture_output=True)
    installed = Airflow(folder)
    migrated = installed.run("airflow", "db", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    return installed


ENDED = [row["code"] for row in CODES if row["code"]]


@pytest.mark.slow
def test_airflow_imports_and_renders_the_dags(airflow: Airflow) -> None:
    """No pod is started, since there is no cluster: rendering goes up to it."""
    listed = airflow.run("airflow", "dags", "list-import-errors")
    assert "No data found" in listed.stdout, listed.stdout
    for dag in ("genrepipe_nightly", "genrepipe_spark", "genrepipe_docker", "genrepipe_bash"):
        rendered = airflow.run("airflow", "tasks", "render", dag, "score", DATE)
        assert f"run_date={DATE}" in rendered.stdout, rendered.stdout + rendered.stderr
        assert f"default/{dag}.score/" not in rendered.stdout
    to = {"AIRFLOW__OPENLINEAGE__TRANSPORT": '{"type": "console"}'}
    for dag in ("genrepipe_nightly", "genrepipe_spark"):
        traced = airflow.run("airflow", "tasks", "render", dag, "score", DATE, **to)
        assert f"default/{dag}.score/" in traced.stdout, traced.stdout + traced.stderr
    tested = airflow.run("airflow", "dags", "test", "genrepipe_nightly", DATE, "--mark-success-pattern", "score")
    assert "state=success" in tested.stdout + tested.stderr


@pytest.mark.slow
def test_the_pod_of_airflow_is_as_closed_as_that_of_the_cron_job(airflow: Airflow, tmp_path: Path) -> None:
    words = [ROOT / "tests/airflow_cleanup.py", JOBS / "airflow/genrepipe_nightly.py", tmp_path / "kubeconfig", *ENDED]
    done = airflow.run("python", *words)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ended"] == {
        **{str(code): "AirflowFailException" if code in FINAL else "AirflowException" for code in ENDED},
        "66, opted in to skip": "AirflowSkipException",
    }
    theirs = told["pod"]
    kubernetes_validate.validate(theirs, kubernetes_validate.latest_version(), strict=True)
    ours = manifest("CronJob")["spec"]["jobTemplate"]["spec"]["template"]
    for key in ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "restartPolicy"):
        assert theirs["spec"][key] == ours["spec"][key], key
    (their,), (our,) = theirs["spec"]["containers"], ours["spec"]["containers"]
    for key in ("securityContext", "resources", "terminationMessagePolicy", "image"):
        assert their[key] == our[key], key
    shared = [each for each in ours["spec"]["volumes"] if each["name"] != "job"]  # the image's own job, with --set
    assert sorted(theirs["spec"]["volumes"], key=lambda each: each["name"]) == shared
    found = manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert found.items() <= theirs["metadata"]["labels"].items()


@pytest.mark.slow
def test_the_container_of_airflow_has_no_network_and_ends_as_its_code_says(airflow: Airflow) -> None:
    done = airflow.run("python", ROOT / "tests/airflow_docker.py", JOBS / "airflow/genrepipe_docker.py", 0, *ENDED)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    failed = {str(c): "AirflowFailException" if c in FINAL else "DockerContainerFailedException" for c in ENDED}
    assert told["ended"] == {"0": [DATE], **failed}
    host = told["created"]["HostConfig"]
    assert (told["created"]["User"], host["NetworkMode"]) == ("10001:10001", "none")
    assert [each["Target"] for each in host["Mounts"]] == ["/data"]


@pytest.mark.slow
def test_the_command_of_airflow_publishes_a_partition_or_fails_at_once(airflow: Airflow, tmp_path: Path) -> None:
    """The whole DAG, with the command of this environment."""
    variables = {
        "AIRFLOW_VAR_GENREPIPE_COMMAND": str(Path(sys.executable).with_name("genrepipe")),
        "AIRFLOW_VAR_GENREPIPE_DATA": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    write_csv(tmp_path / "tracks.csv", tracks(30))
    done = airflow.run("airflow", "dags", "test", "genrepipe_bash", DATE, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = ask(tmp_path / "warehouse.duckdb", "FROM runs")
    assert (line["run_date"], line["status"]) == (DATE, "published")
    assert airflow.rows("SELECT source_dag_id, partition_key FROM asset_event") == [("genrepipe_bash", DATE)]
    (tmp_path / "tracks.csv").write_text("a,b\n1,2\n")
    done = airflow.run("airflow", "dags", "test", "genrepipe_bash", NEXT, **variables)
    assert "Exit code 65" in done.stdout + done.stderr
    query = "SELECT state, try_number FROM task_instance WHERE dag_id = 'genrepipe_bash' ORDER BY start_date"
    assert airflow.rows(query) == [("success", 1), ("failed", 1)]
