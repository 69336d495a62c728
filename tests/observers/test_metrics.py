"""Metrics: a textfile, a Pushgateway and OTLP have the same, of successes, failures and runs that were recognised."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from genrepipe.observers.metrics import METRICS
from tests.observers.servers import listening, pushgateway
from tests.support import DAY, NEXT, run, score, tracks, write_csv

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return the samples of our metrics, without the labels that Prometheus and a Pushgateway add."""
    return {
        (s.name, frozenset((k, v) for k, v in s.labels.items() if k not in {"job", "instance"})): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.name in METRICS
    }


def value(found: Samples, name: str, job: str = "score", **labels: str) -> float:
    return found[f"genrepipe_{name}", frozenset({"genrepipe_job": job, **labels}.items())]


def test_a_textfile_keeps_of_each_metric_what_the_last_run_that_measured_it_wrote(tmp_path: Path) -> None:
    source, warehouse, file = tmp_path / "t.csv", tmp_path / "w.duckdb", tmp_path / "m.prom"
    to = ("--metrics-file", file)
    write_csv(source, [*tracks(20), {**tracks(21)[20], "energy": "7"}])
    first = score(source, warehouse, DAY, *to)
    published = samples(file.read_text())
    assert {name for name, _ in published} == set(METRICS)
    assert value(published, "last_exit_code") == 0
    assert value(published, "rows", outcome="predicted") == 20
    assert value(published, "quarantined_ratio") == 1 / 21
    assert value(published, "check_status", check="quarantined_percent", severity="error") == 0
    assert value(published, "check_limit", check="quarantined_percent", severity="error") == 5
    assert value(published, "flips", cause="model") == 0
    assert value(published, "stage_seconds", stage="scoring") > 0

    score(source, warehouse, DAY, *to, "--dry-run")
    assert samples(file.read_text()) == published

    again = score(source, warehouse, DAY, *to)
    assert (again["status"], again["run_id"]) == ("already published", first["run_id"])
    recognised = samples(file.read_text())
    assert value(recognised, "run_seconds") == value(published, "run_seconds")
    assert value(recognised, "last_success_timestamp_seconds") > value(published, "last_success_timestamp_seconds")

    assert run("score", tmp_path / "none.csv", "--warehouse", warehouse, *to).code == 66
    missing = samples(file.read_text())
    assert value(missing, "last_exit_code") == 66
    changed = {name for (name, labels), number in missing.items() if recognised[name, labels] != number}
    assert changed == {"genrepipe_last_run_timestamp_seconds", "genrepipe_last_exit_code"}
    assert missing.keys() == recognised.keys()

    write_csv(source, tracks(20, energy="7"))
    assert run("score", source, "--warehouse", warehouse, "--run-date", NEXT, *to).code == 65
    refused = samples(file.read_text())
    assert value(refused, "last_exit_code") == 65
    assert value(refused, "check_status", check="quarantined_percent", severity="error") == 2
    assert value(refused, "quarantined_ratio") == 1
    assert "sum_to_one" not in {dict(labels).get("check") for _, labels in refused}  # it was not asked
    for kept in ("last_success_timestamp_seconds", "run_seconds"):
        assert value(refused, kept) == value(recognised, kept)
    assert value(refused, "rows", outcome="predicted") == 20


def test_jobs_share_a_textfile_and_an_older_one_is_replaced(tmp_path: Path) -> None:
    source, file = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "m.prom"
    file.write_text(
        '# HELP genrepipe_rows Rows.\n# TYPE genrepipe_rows gauge\ngenrepipe_rows{job="a",outcome="received"} 1.0\n'
    )
    for job in ("a", "b"):
        score(source, tmp_path / f"{job}.duckdb", DAY, "--metrics-file", file, "--name", job)
    assert (
        run("score", "none.csv", "--warehouse", tmp_path / "b.duckdb", "--metrics-file", file, "--name", "b").code == 66
    )
    found = samples(file.read_text())
    assert [value(found, "last_exit_code", job) for job in ("a", "b")] == [0, 66]
    assert [value(found, "rows", job, outcome="received") for job in ("a", "b")] == [5, 5]
    assert len({labels for name, labels in found if name == "genrepipe_info"}) == 2


def test_a_pushgateway_has_what_the_textfile_has(tmp_path: Path) -> None:
    source, warehouse, file = tmp_path / "t.csv", tmp_path / "w.duckdb", tmp_path / "m.prom"
    with pushgateway(tmp_path) as address:
        to = ("--metrics-file", file, "--pushgateway", address)
        for energy, code in (("0.5", 0), ("7", 65)):
            write_csv(source, tracks(20, energy=energy))
            ended = run("score", source, "--warehouse", warehouse, *to)
            assert (ended.code, '"pushgateway"' in ended.err) == (code, False), ended.err
            host = address.partition("@")[2]
            login = {"Authorization": f"Basic {base64.b64encode(b'user:hush').decode()}"}
            with urllib.request.urlopen(urllib.request.Request(f"http://{host}/metrics", headers=login)) as answer:
                text = answer.read().decode()
            assert samples(text) == samples(file.read_text())
            assert 'job="genrepipe"' in text
        wrong = run("score", source, "--warehouse", warehouse, "--pushgateway", address.replace("hush", "s3cret"))
    assert wrong.code == 65
    (warned,) = (json.loads(line) for line in wrong.err.splitlines() if '"pushgateway"' in line)
    assert (warned["error"], warned["host"]) == ("HTTPError", "127.0.0.1")
    assert "s3cret" not in wrong.err


def test_otlp_has_what_the_textfile_has(tmp_path: Path) -> None:
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http", reason="OTLP needs the extra: pip install 'genrepipe[otlp]'"
    )
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    heard: list[tuple[str, str | None, Any]] = []

    def hear(request: BaseHTTPRequestHandler, body: bytes) -> None:
        heard.append((request.path, request.headers["Authorization"], ExportMetricsServiceRequest.FromString(body)))

    file = tmp_path / "m.prom"
    with listening(hear) as address:
        to = ("--metrics-file", file, "--otlp", address.replace("//", "//user:hush@"))
        score(write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "w.duckdb", DAY, *to)
    ((path, login, message),) = heard
    assert (path, login) == ("/v1/metrics", f"Basic {base64.b64encode(b'user:hush').decode()}")
    (resource,) = message.resource_metrics
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"] == "genrepipe"
    points = {
        (metric.name, frozenset((a.key, a.value.string_value) for a in point.attributes)): point.as_double
        or point.as_int
        for metric in resource.scope_metrics[0].metrics
        for point in metric.gauge.data_points
    }
    assert points == samples(file.read_text())


def test_receivers_that_are_gone_or_refuse_fail_no_run(tmp_path: Path) -> None:
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http", reason="OTLP needs the extra: pip install 'genrepipe[otlp]'"
    )

    def refuse(request: BaseHTTPRequestHandler, _: bytes) -> bool:
        request.send_error(400)
        return True

    with listening(refuse) as address:
        gone = "http://user:hush@127.0.0.1:9"  # the port of discard, on which nothing listens
        words = (
            "--pushgateway",
            gone,
            "--otlp",
            address.replace("//", "//user:hush@"),
            "--metrics-file",
            tmp_path / "no/m.prom",
        )
        result = run("score", write_csv(tmp_path / "t.csv", tracks(5)), "--warehouse", tmp_path / "w.duckdb", *words)
    assert result.code == 0, result.err
    warned = [json.loads(line) for line in result.err.splitlines() if '"warning"' in line]
    said = {line["check"]: (line["error"], line.get("host")) for line in warned if "error" in line}
    assert said["pushgateway"] == ("URLError", "127.0.0.1")
    assert said["otlp"] == ("ConnectionError", "127.0.0.1")
    assert said["metrics"] == (f"{tmp_path}/no/m.prom: No such file or directory", None)
    assert all(line.startswith("{") for line in result.err.splitlines())  # no library prints on its own
    assert "hush" not in result.err


def test_addresses_of_metrics_are_not_shown() -> None:
    shown = run(
        "config", "show", "score_nightly", "--set", "otlp=http://u:hush@h", "--set", "pushgateway=http://u:hush@h"
    )
    assert (shown.code, "hush" in shown.out, shown.out.count("(set, not shown)")) == (0, False, 2)


def test_an_older_warehouse_that_a_run_does_not_open_has_no_metrics(tmp_path: Path) -> None:
    import duckdb

    source, warehouse, file = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "w.duckdb", tmp_path / "m.prom"
    score(source, warehouse, DAY)
    with duckdb.connect(warehouse) as connection:
        connection.execute("UPDATE layout SET layout_version = layout_version - 1; ALTER TABLE checks DROP severity")
    ended = run("score", "none.csv", "--warehouse", warehouse, "--metrics-file", file)
    assert (ended.code, '"metrics"' in ended.err) == (66, False), ended.err
    names = {name for name, _ in samples(file.read_text())}
    assert names == {"genrepipe_last_run_timestamp_seconds", "genrepipe_last_exit_code"}
