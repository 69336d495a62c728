"""The image, built from the unchanged Dockerfile and really run: ``make image-test``.

There is no engine and no registry here: buildah and podman build and run with a private storage, over a stand-in for the
official base image that ``image.sh`` makes from this machine's Debian packages.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from genrepipe import __version__
from tests.support import REAL, ROOT, Store, ask, genrepipe, track, tracks, write_csv

pytestmark = pytest.mark.image

BASE = "docker.io/library/python"
LABELS = {"revision": "5a8f289", "created": "2026-11-22T02:15:00Z", "source": "https://example.com/genrepipe"}
USER = 10001
DAY = "2026-11-22"
WORK = Path(os.environ.get("GENREPIPE_IMAGE_WORK", "/var/tmp/genrepipe-image"))
LIMITS = [
    "--pull=never", "--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096", "--network=none", "--read-only", "--read-only-tmpfs=false",
    "--tmpfs", "/tmp:size=64m", "--cap-drop=all", "--security-opt", "no-new-privileges", "--cpus=1", "--memory=1g", "--pids-limit=256",
]  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def image() -> None:
    if os.geteuid() != 0:
        pytest.skip("building needs root here")
    build(
        "score",
        "score",
        *(word for name, value in LABELS.items() for word in ("--build-arg", f"{name.upper()}={value}")),
    )


def build(*target_tag_and_options: str) -> None:
    command = [ROOT / "tests/image.sh", ROOT, WORK, *target_tag_and_options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def podman(*arguments: object) -> list[str]:
    return ["podman", "--runtime", "runc", *map(str, arguments)]


ENV = {**os.environ, "CONTAINERS_STORAGE_CONF": str(WORK / "storage.conf")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder


def run(
    data: Path, *arguments: object, name: str = "", options: tuple[str, ...] = (), tag: str = "score"
) -> subprocess.CompletedProcess[str]:
    named = ["--name", name] if name else []
    command = podman("run", "--rm", *named, *LIMITS, *options, "-v", f"{data}:/data", f"genrepipe:{tag}", *arguments)
    return subprocess.run(command, check=False, capture_output=True, text=True, env=ENV, timeout=300)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_the_default_command_is_the_nightly_job_and_its_files_belong_to_the_user(data: Path) -> None:
    genrepipe("sample", "--rows", 5000, "--out", data / "tracks.csv")
    done = run(data)
    assert done.returncode == 0, done.stderr
    assert "5,000 predicted" in done.stdout
    warehouse = data / "warehouse.duckdb"
    assert (warehouse.stat().st_uid, warehouse.stat().st_gid) == (USER, USER)
    assert {path.name for path in data.iterdir()} == {"tracks.csv", "warehouse.duckdb"}
    assert len(ask(warehouse, "FROM predictions")) == 5000
    asked = run(data, "query", "SELECT count(*) AS n FROM predictions_latest", "--output", "json")
    assert json.loads(asked.stdout) == [{"n": 5000}]


def test_the_real_table_is_scored(data: Path) -> None:
    if not REAL.exists():
        pytest.skip(f"the real table is not here: {REAL}")
    shutil.copy(REAL, data / "tracks.csv")
    done = run(data, "run", "score_nightly", "--output", "json")
    assert json.loads(done.stdout)["predicted"] == 40_505


def test_nothing_is_written_outside_the_volume_and_tmp(data: Path) -> None:
    """The root file system may be written here, and is looked at afterwards."""
    write_csv(data / "tracks.csv", tracks(50))
    open_root = [word for word in LIMITS if word not in {"--read-only", "--read-only-tmpfs=false"}]
    subprocess.run(
        podman("run", "--name", "looked-at", *open_root, "-v", f"{data}:/data", "genrepipe:score"),
        check=True,
        capture_output=True,
        env=ENV,
    )
    try:
        changed = subprocess.run(
            podman("diff", "looked-at"), check=True, capture_output=True, text=True, env=ENV
        ).stdout.split("\n")
    finally:
        subprocess.run(podman("rm", "-f", "looked-at"), check=True, capture_output=True, env=ENV)
    ours = [line for line in changed if line and not re.match(r"[ACD] /(data|tmp|etc|run|proc|sys|dev)(/|$)", line)]
    assert ours == []


@pytest.mark.parametrize(
    ("code", "arguments", "rows"),
    [
        (64, ("score", "--no-such-flag"), None),
        (65, ("run", "score_nightly"), [*tracks(5), track(6, energy="7")]),
        (66, ("run", "score_nightly"), None),
        (74, ("score", "/data/tracks.csv", "--warehouse", "/nowhere/w.duckdb"), tracks(5)),
        (78, ("run", "score_nightly", "--set", "model=jukebox"), tracks(5)),
    ],
)
def test_exit_codes_come_through(
    data: Path, code: int, arguments: tuple[str, ...], rows: list[dict[str, str]] | None
) -> None:
    if rows:
        write_csv(data / "tracks.csv", rows)
    done = run(data, *arguments)
    assert done.returncode == code, done.stderr
    assert last_line(done).startswith("genrepipe: error: ")


def test_exit_code_70_comes_through(data: Path) -> None:
    write_csv(data / "tracks.csv", tracks(40, artist_name="empty_field"))
    assert run(data, "run", "score_nightly", "--set", "run_date=2026-11-21").returncode == 0
    quiet = {"energy": "0.02", "acousticness": "0.99", "instrumentalness": "0.9", "popularity": "5", "loudness": "-28"}
    write_csv(data / "tracks.csv", tracks(40, artist_name="empty_field", **quiet))
    assert run(data, "run", "score_nightly", "--set", f"run_date={DAY}").returncode == 70


@contextlib.contextmanager
def running(data: Path, name: str):  # type: ignore[no-untyped-def]
    """A run that has begun to score, in a container that is still there."""
    command = podman(
        "run",
        "--name",
        name,
        *LIMITS,
        "-v",
        f"{data}:/data",
        "genrepipe:score",
        "run",
        "score_nightly",
        "--set",
        f"run_date={DAY}",
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"stage": "scoring"' in line:
                break
        yield process
        subprocess.run(podman("rm", "-f", "-t", "0", name), check=False, capture_output=True, env=ENV)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "tracks.csv"
    genrepipe("sample", "--rows", 400_000, "--out", path)
    return path


def test_stop_ends_a_run_cleanly_within_five_seconds_with_143(data: Path, large: Path) -> None:
    shutil.copy(large, data / "tracks.csv")
    with running(data, "stopped") as process:
        since = time.monotonic()
        subprocess.run(podman("stop", "-t", "20", "stopped"), check=True, capture_output=True, env=ENV)
        took = time.monotonic() - since
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert took < 5
    (line,) = ask(data / "warehouse.duckdb", "FROM runs")
    assert (line["status"], line["exit_code"]) == ("interrupted", 143)


def test_a_second_container_gets_75_and_a_restart_after_a_kill_publishes(data: Path, large: Path) -> None:
    shutil.copy(large, data / "tracks.csv")
    with running(data, "first") as process:
        second = run(data, "run", "score_nightly")
        assert second.returncode == 75, second.stderr
        assert "is locked by run" in last_line(second)
        subprocess.run(podman("kill", "-s", "KILL", "first"), check=True, capture_output=True, env=ENV)
        process.wait(timeout=60)
    assert process.returncode == 137
    write_csv(data / "tracks.csv", tracks(50))
    assert run(data, "run", "score_nightly", "--set", f"run_date={DAY}").returncode == 0
    statuses = [line["status"] for line in ask(data / "warehouse.duckdb", "FROM runs ORDER BY started_at")]
    assert statuses == ["killed", "published"]
    assert {path.name for path in data.iterdir()} == {"tracks.csv", "warehouse.duckdb"}


def test_a_file_that_cannot_be_read_is_74(data: Path) -> None:
    path = write_csv(data / "tracks.csv", tracks(5))
    path.chmod(0o600)  # root's
    assert run(data).returncode == 74


def test_the_image_is_small_closed_and_labelled(data: Path) -> None:
    inspected = subprocess.run(
        podman("image", "inspect", "genrepipe:score"), check=True, capture_output=True, text=True, env=ENV
    )
    (found,) = json.loads(inspected.stdout)
    assert found["Size"] < 700_000_000
    config = found["Config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == (
        "10001:10001",
        ["genrepipe"],
        ["run", "score_nightly"],
    )
    assert list(config["Volumes"]) == ["/data"]
    assert "ORT_DISABLE_TELEMETRY=1" in config["Env"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert {name: labels[name] for name in LABELS} == LABELS
    assert (labels["version"], labels["licenses"], labels["base.name"]) == (
        __version__,
        "MIT",
        "python:3.11-slim-bookworm",
    )
    listed = run(
        data,
        "-c",
        "import os; print(*os.listdir('/opt/genrepipe/lib/python3.11/site-packages'))",
        options=("--entrypoint", "/opt/genrepipe/bin/python"),
    )
    packages = listed.stdout.split()
    assert not {"torch", "sklearn", "spacy", "onnx", "pip", "tests"} & set(packages)
    assert "genrepipe" in packages


def test_the_base_is_the_one_of_a_digest() -> None:
    form = ["image", "inspect", "--format", "{{.Digest}}", f"{BASE}:3.11-slim-bookworm"]
    digest = subprocess.run(podman(*form), check=True, capture_output=True, text=True, env=ENV).stdout.strip()
    build("base", "pinned", "--build-arg", f"BASE={BASE}@{digest}")
    with pytest.raises(AssertionError, match=r"sha256:0{64}"):
        build("base", "other", "--build-arg", f"BASE={BASE}@sha256:{'0' * 64}")


def test_a_bill_of_materials_names_what_is_in_the_image(data: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "--quiet", "cyclonedx-bom"], check=True, capture_output=True)
    done = subprocess.run(
        [tmp_path / "venv/bin/cyclonedx-py", "requirements", ROOT / "constraints/hashed/scoring.txt"],
        check=True,
        capture_output=True,
        text=True,
    )
    components = {(c["name"].lower().replace("_", "-"), c["version"]) for c in json.loads(done.stdout)["components"]}
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    listed = run(data, "-c", code, options=("--entrypoint", "/opt/genrepipe/bin/python")).stdout.split()
    installed = {tuple(item.lower().replace("_", "-").split("==")) for item in listed}
    assert installed - components == {("genrepipe", "0.1.0")}


def test_a_real_cron_daemon_runs_the_job_three_minutes_in_a_row(data: Path, tmp_path: Path) -> None:
    if shutil.which("cron") is None:
        subprocess.run(
            ["apt-get", "install", "-yq", "--no-install-recommends", "cron"], check=True, capture_output=True
        )
    write_csv(data / "tracks.csv", tracks(50))
    table = Path("/etc/cron.d/genrepipe-test")
    command = " ".join(
        podman("run", "--rm", *LIMITS, "-v", f"{data}:/data", "genrepipe:score", "run", "score_nightly", "--force")
    )
    table.write_text(
        f"PATH=/usr/sbin:/usr/bin:/sbin:/bin\nCONTAINERS_STORAGE_CONF={WORK}/storage.conf\n* * * * * root {command} >> {tmp_path}/cron.log 2>&1\n"
    )
    with subprocess.Popen(["cron", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            deadline = time.monotonic() + 240
            minutes: set[str] = set()
            while len(minutes) < 3 and time.monotonic() < deadline:
                time.sleep(5)
                if (data / "warehouse.duckdb").exists():
                    minutes = {line["started_at"][:16] for line in ask(data / "warehouse.duckdb", "FROM runs")}
        finally:
            table.unlink()
            daemon.send_signal(signal.SIGTERM)
    assert len(minutes) >= 3, (
        (tmp_path / "cron.log").read_text() if (tmp_path / "cron.log").exists() else "cron ran nothing"
    )
    assert {line["status"] for line in ask(data / "warehouse.duckdb", "FROM runs")} == {"published"}


def test_the_image_starts_as_fast_as_its_python(data: Path) -> None:
    """Not a timed test: the help of the command imports nothing heavy, in the image too."""
    heavy = "import sys; from genrepipe.cli import main; print(*({'duckdb', 'polars', 'onnxruntime', 'pandera'} & set(sys.modules)))"
    done = run(data, "-c", heavy, options=("--entrypoint", "/opt/genrepipe/bin/python"))
    assert done.stdout.strip() == ""
    assert sys.version_info >= (3, 11)


@pytest.mark.slow
def test_the_image_with_word_vectors_scores_a_words_bundle(data: Path) -> None:
    build("score", "text", "--build-arg", "EXTRA=text")
    write_csv(data / "tracks.csv", tracks(50))
    done = run(data, "score", "tracks.csv", "--warehouse", "w.duckdb", "--model", "words", tag="text")
    assert done.returncode == 0, done.stderr
    assert "50 predicted" in done.stdout


@pytest.mark.slow
def test_the_image_with_stores_of_objects_scores_one(data: Path, store: Store) -> None:
    build("score", "cloud", "--build-arg", "EXTRA=cloud")
    store.put("night.csv", write_csv(data / "tracks.csv", tracks(50)))
    settings = {key: value for key, value in store.environment.items() if key != "TMPDIR"}
    given = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
    limits = [word for word in LIMITS if word != "--network=none"]
    command = podman("run", "--rm", "--network=host", *limits, *given, "-v", f"{data}:/data", "genrepipe:cloud")
    words = ["score", "s3://music/night.csv", "--warehouse", "w.duckdb"]
    done = subprocess.run([*command, *words], check=False, capture_output=True, text=True, env=ENV, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "50 predicted" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("form", ["Delta", "Iceberg"])
def test_the_image_with_lake_tables_scores_one(data: Path, form: str) -> None:
    lakes = pytest.importorskip("tests.ingest.test_lakes", reason="pip install 'genrepipe[lake]'")
    build("score", "lake", "--build-arg", "EXTRA=lake")
    lakes.Lake(data, form).append(lakes.rows(*range(50)))
    done = run(data, "score", "lake/tracks", "--warehouse", "w.duckdb", tag="lake")
    assert done.returncode == 0, done.stderr
    assert "50 predicted" in done.stdout


@pytest.mark.slow
def test_the_image_for_spark_is_driver_and_workers(data: Path) -> None:
    """On one machine: Java, Spark and Python of the image, as any user and without a network."""
    build("spark")
    write_csv(data / "tracks.csv", tracks(50))
    options = (
        "--memory=3g",
        "--memory-swap=3g",
        "--pids-limit=1024",
        "--env",
        "SPARK_LOCAL_IP=127.0.0.1",
        "--tmpfs",
        "/var/tmp:size=512m",
        "--env",
        "TMPDIR=/var/tmp",
    )
    words = ["genrepipe", "score", "tracks.csv", "--warehouse", "w.duckdb", "--engine", "spark", "--master", "local[2]"]
    done = run(data, *words, tag="spark", options=options)
    assert done.returncode == 0, done.stderr
    assert "50 predicted" in done.stdout
    assert (data / "w.duckdb.lake").is_dir()


@pytest.mark.slow
def test_the_training_image_trains_a_bundle_that_the_scoring_image_takes(data: Path) -> None:
    build("train")
    genrepipe("sample", "--rows", 3000, "--out", data / "tracks.csv")
    options = ("--memory=4g", "--memory-swap=4g")
    done = run(data, "train", "tracks.csv", "--model", "lda-2d", "--out", "own", tag="train", options=options)
    assert done.returncode == 0, done.stderr
    done = run(data, "score", "tracks.csv", "--warehouse", "w.duckdb", "--bundles", "own", "--model", "lda-2d")
    assert done.returncode == 0, done.stderr
    (line,) = ask(data / "w.duckdb", "FROM bundles")
    assert line["folder"] == "/data/own/lda-2d"
