"""Alerts and a dashboard on the metrics: what promtool and a real Prometheus say of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from genrepipe.observers.metrics import METRICS
from tests.observers.servers import pushgateway, served, tool
from tests.support import DAY, NEXT, ROOT, run, score, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

OBSERVABILITY = ROOT / "jobs/observability"
RULES = [
    rule
    for group in yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((OBSERVABILITY / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_alerts_fire_where_they_should_and_nowhere_else(tmp_path: Path) -> None:
    for words in (("check", "config", "prometheus.yaml"), ("test", "rules", "alerts_test.yaml")):
        done = promtool(*words[:2], OBSERVABILITY / words[2])
        assert done.returncode == 0, done.stdout + done.stderr
    # and the cases would say so
    for file in ("alerts.yaml", "alerts_test.yaml"):
        shutil.copy(OBSERVABILITY / file, tmp_path)
    text = (tmp_path / "alerts.yaml").read_text()
    for right, wrong in (
        ("26 * 3600", "27 * 3600"),
        ("== 65", "== 67"),
        ("0.8 *", "0.9 *"),
        ("[14d] offset 1d", "[14d]"),
    ):
        assert right in text
        (tmp_path / "alerts.yaml").write_text(text.replace(right, wrong))
        assert promtool("test", "rules", tmp_path / "alerts_test.yaml").returncode != 0, wrong


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = [
        case
        for test in yaml.safe_load((OBSERVABILITY / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]
    for fires in (True, False):
        assert {c["alertname"] for c in cases if bool(c["exp_alerts"]) == fires} == {rule["alert"] for rule in RULES}


def test_alerts_and_panels_ask_for_metrics_that_there_are() -> None:
    asked = {name for rule in RULES for name in named(rule["expr"])}
    shown = {name for _, expression in PANELS for name in named(expression)}
    assert asked <= set(METRICS)
    assert shown == set(METRICS) - {"genrepipe_last_run_timestamp_seconds"}  # of which the list of jobs is made
    job = DASHBOARD["templating"]["list"][1]
    assert job["definition"] == "label_values(genrepipe_last_run_timestamp_seconds, genrepipe_job)"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def named(expression: str) -> set[str]:
    return set(re.findall(r"genrepipe_\w+", expression)) - {"genrepipe_job"}


@pytest.mark.slow
def test_a_prometheus_answers_every_panel_and_fires_the_alerts(tmp_path: Path) -> None:
    """Real runs, a real Pushgateway, and a real Prometheus with the rules and a history of three days."""
    source, warehouse, file = tmp_path / "t.csv", tmp_path / "w.duckdb", tmp_path / "m.prom"
    with pushgateway(tmp_path) as gateway:
        to = ("--pushgateway", gateway, "--metrics-file", file)
        for day in (DAY, NEXT):
            write_csv(source, [*tracks(20), {**tracks(21)[20], "energy": "7"}])
            score(source, warehouse, day, *to, "--limit", "quarantined_percent=5.5")
        history(file.read_text(), tmp_path)
        host = gateway.partition("@")[2]
        shutil.copy(OBSERVABILITY / "alerts.yaml", tmp_path)
        settings = yaml.safe_load((OBSERVABILITY / "prometheus.yaml").read_text())
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (pushed,) = (scrape for scrape in settings["scrape_configs"] if scrape["job_name"] == "pushgateway")
        pushed |= {"static_configs": [{"targets": [host]}], "basic_auth": {"username": "user", "password": "hush"}}
        settings["scrape_configs"] = [pushed]
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(settings))
        with served(tmp_path, "prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data") as address:
            until(lambda: answer(address, "query", query="genrepipe_info")["result"])
            for title, expression in PANELS:
                found = answer(address, "query", query=expression.replace("$job", ".*"))["result"]
                assert found, (title, expression)
                assert all(series["metric"].get("genrepipe_job", "score") == "score" for series in found)
            jobs = answer(address, "label/genrepipe_job/values", **{"match[]": "genrepipe_last_run_timestamp_seconds"})
            assert jobs == ["score"]
            for rule in RULES:
                # What a comparison compares is there, whether or not it holds.
                compared = re.sub(r" (==|>=|>) ", r" \1 bool ", rule["expr"])
                found = answer(address, "query", query=compared)["result"]
                assert found or rule["alert"] == "GenrepipeMetricsAbsent", rule
            until(lambda: firing(address) == {"GenrepipeQuarantineNearLimit", "GenrepipeCheckWarned", "GenrepipeDrift"})
            write_csv(source, tracks(20, energy="7"))
            assert run("score", source, "--warehouse", warehouse, "--run-date", "2026-11-22", *to).code == 65
            until(lambda: {"GenrepipeRunStopped", "GenrepipeCheckFailed"} <= firing(address))
            groups = answer(address, "rules")["groups"]
            assert [(r["name"], r["health"], r.get("lastError")) for g in groups for r in g["rules"]] == [
                (rule["alert"], "ok", None) for rule in RULES
            ]


def history(text: str, folder: Path) -> None:
    """Make Prometheus's data of the last three days, in which the metrics were what they are now."""
    now = int(time.time())
    lines = []
    for line in text.splitlines():
        if line.startswith("#"):
            lines.append(line)
            continue
        sample, _, value = line.rpartition(" ")
        name, _, labels = sample.partition("{")
        pushed = f'{name}{{job="genrepipe",{labels}'  # as the Pushgateway has it
        lines += [f"{pushed} {value} {now - hours * 3600}" for hours in range(72, 24, -1)]
    (folder / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    made = promtool("tsdb", "create-blocks-from", "openmetrics", folder / "history.txt", folder / "data")
    assert made.returncode == 0, made.stderr


def answer(address: str, path: str, **parameters: str) -> Any:
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url) as response:
        found = json.load(response)
    assert found["status"] == "success"
    return found["data"]


def firing(address: str) -> set[str]:
    return {alert["labels"]["alertname"] for alert in answer(address, "alerts")["alerts"] if alert["state"] == "firing"}


def until(holds: Any) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)
