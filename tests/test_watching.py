"""What a run says of itself: flips, drift, performance, shadows, verification, metrics, lineage, pings."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe.core import assets
from genrepipe.model import bundle as bundles
from genrepipe.quality import drift, performance
from tests.conftest import ask, genrepipe, track, tracks, write_csv
from tests.test_operations import DAY, go_on, run_until, score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEXT = "2026-11-21"
CLASSICAL = {"energy": "0.02", "acousticness": "0.99", "instrumentalness": "0.9", "popularity": "20", "loudness": "-28"}
FREE = ("--limit", "flipped_percent=100")


def flips(warehouse: Path) -> list[dict[str, Any]]:
    return ask(warehouse, "FROM flips ORDER BY track_id")


def test_a_flip_names_the_changed_input(tmp_path: Path) -> None:
    warehouse, alone = tmp_path / "w.duckdb", {"artist_name": "empty_field"}
    score(write_csv(tmp_path / "t.csv", tracks(20, **alone)), warehouse)
    rows = [track(i, **alone, **(CLASSICAL if i == 7 else {})) for i in range(1, 21)]
    assert score(write_csv(tmp_path / "t.csv", rows), warehouse, NEXT)["flips"] == 1
    (flip,) = flips(warehouse)
    assert (flip["track_id"], flip["cause"], flip["date_before"]) == ("7", "input", DAY)
    assert set(flip["changed"]) == set(CLASSICAL)
    assert flip["genre"] != flip["genre_before"]
    (check,) = ask(warehouse, f"FROM checks WHERE name = 'flipped_percent' AND run_date = '{NEXT}'")
    assert check["observed"] == pytest.approx(5)


def test_a_flip_names_the_changed_artist(tmp_path: Path) -> None:
    """The track itself stays; its artist turns out to make other music."""
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", [track(1), *(track(i, artist_name="B") for i in range(2, 40))]), warehouse)
    more = [track(1), *(track(i, **CLASSICAL) for i in range(100, 160))]
    score(write_csv(tmp_path / "t.csv", more), warehouse, NEXT, *FREE)
    (flip,) = (flip for flip in flips(warehouse) if flip["track_id"] == "1")
    assert (flip["cause"], flip["changed"]) == ("artist context", [])


def test_a_flip_names_the_changed_imputation(tmp_path: Path) -> None:
    """A net that sees no artist context; the duration of one track is the median of its artist's others."""
    warehouse = tmp_path / "w.duckdb"
    some = [track(i, artist_name=f"A{i % 40}", duration_ms="60000", energy=f"{i / 400}") for i in range(1, 321)]
    guessed = [track(1000 + i, artist_name=f"A{i}", duration_ms="-1", energy=f"{i / 41}") for i in range(40)]
    model = ("--model", "all-features", *FREE)
    score(write_csv(tmp_path / "t.csv", [*some, *guessed]), warehouse, DAY, *model)
    longer = [row | {"duration_ms": "1200000"} for row in some]
    score(write_csv(tmp_path / "t.csv", [*longer, *guessed]), warehouse, NEXT, *model)
    causes = {flip["cause"] for flip in flips(warehouse) if int(flip["track_id"]) >= 1000}
    assert causes == {"imputation"}
    assert {flip["cause"] for flip in flips(warehouse) if int(flip["track_id"]) < 1000} == {"input"}


def test_a_flip_names_the_changed_model_and_is_not_held_against_it(tmp_path: Path, sample: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(sample, warehouse)
    assert score(sample, warehouse, NEXT, "--model", "lda-2d")["flips"] > 600
    assert {flip["cause"] for flip in flips(warehouse)} == {"model"}


def test_an_unchanged_night_has_no_flips(tmp_path: Path, sample: Path) -> None:
    score(sample, tmp_path / "w.duckdb")
    assert score(sample, tmp_path / "w.duckdb", NEXT)["flips"] == 0


def test_a_difference_that_is_noise_is_called_so(tmp_path: Path) -> None:
    """A stored answer of before is altered to what rounding could have made of it."""
    import duckdb

    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    score(source, warehouse)
    with duckdb.connect(warehouse) as connection:
        connection.execute(
            "UPDATE predictions SET genre = runner_up, probability = runner_up_probability WHERE track_id = '3'"
        )
    score(source, warehouse, NEXT, *FREE)
    assert [(flip["track_id"], flip["cause"]) for flip in flips(warehouse)] == [("3", "numeric noise")]


# Drift


def test_stability_by_hand() -> None:
    shares, expected = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert drift.stability(shares, expected) == pytest.approx(0.25 * np.log(2) + -0.25 * np.log(0.5 / 0.75))
    assert drift.stability(expected, expected) == 0
    assert np.isfinite(drift.stability(np.array([1.0, 0.0]), expected))
    assert [drift.verdict(psi) for psi in (0, 0.1, 0.25)] == ["stable", "moving", "drifted"]


def test_a_shifted_feature_drifts_and_the_others_do_not(tmp_path: Path, sample: Path) -> None:
    import polars as pl

    warehouse, shifted = tmp_path / "w.duckdb", tmp_path / "s.csv"
    score(sample, warehouse)
    louder = pl.read_csv(sample, infer_schema=False).with_columns(liveness=pl.lit("0.97"))
    louder.write_csv(shifted)
    score(shifted, warehouse, NEXT, *FREE)
    found = {(r["subject"], r["against"]): r for r in ask(warehouse, f"FROM drift WHERE run_date = '{NEXT}'")}
    assert len(found) == 28
    for against in ("bundle", "recent runs"):
        assert found["liveness", against]["verdict"] == "drifted"
        assert found["valence", against]["verdict"] == "stable"
    assert sum(found["liveness", "bundle"]["shares"]) == pytest.approx(1)


def test_the_training_data_is_its_own_reference(tmp_path: Path, real_tracks: Path) -> None:
    score(real_tracks, tmp_path / "w.duckdb")
    rows = ask(tmp_path / "w.duckdb", "SELECT subject, psi FROM drift WHERE against = 'bundle'")
    assert max(row["psi"] for row in rows if row["subject"] != "duration_ms") < 0.001


# Performance


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 200), coarse=st.booleans())
def test_areas_are_those_of_scikit_learn(seed: int, rows: int, coarse: bool) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(3, 0.7), rows).astype(np.float32)
    p = np.round(p, 1).astype(np.float32) if coarse else p
    y = rng.integers(0, 3, rows)
    areas = performance.Areas(3)
    areas.add(y[: rows // 2], p[: rows // 2])
    areas.add(y[rows // 2 :], p[rows // 2 :])
    each = [metrics.roc_auc_score(y == g, p[:, g]) for g in range(3) if 0 < (y == g).sum() < rows]
    assert areas.macro == pytest.approx(np.mean(each) if each else None, abs=2e-3)
    assert areas.micro == pytest.approx(metrics.roc_auc_score(np.eye(3)[y].ravel(), p.ravel()), abs=2e-3)


def test_labels_that_come_later_measure_the_runs(tmp_path: Path, sample: Path) -> None:
    import polars as pl

    warehouse, bare, labels = tmp_path / "w.duckdb", tmp_path / "bare.csv", tmp_path / "labels.csv"
    whole = pl.read_csv(sample, infer_schema=False)
    whole.drop("music_genre").write_csv(bare)
    score(bare, warehouse)
    score(bare, warehouse, NEXT, "--model", "all-features", "--shadow", "lda-2d")
    assert ask(warehouse, "FROM performance") == []
    given = whole.select("instance_id", "music_genre").drop_nulls()
    extra = pl.DataFrame({"instance_id": ["nobody", "1"], "music_genre": ["Rock", "Polka"]})
    pl.concat([given, extra]).write_csv(labels)
    result = genrepipe("labels", labels, "--warehouse", warehouse, "--output", "json")
    assert result.code == 0, result.err
    counts = result.json
    assert (
        counts["received"] == counts["labelled"] + counts["unknown_tracks"] + counts["repeated"] + counts["not_labels"]
    )
    assert (counts["labelled"], counts["unknown_tracks"], counts["not_labels"]) == (3000, 1, 1)
    rows = ask(warehouse, "SELECT run_date, role, model, tracks FROM performance ORDER BY run_date, role")
    assert [(r["run_date"], r["role"], r["model"]) for r in rows] == [
        (DAY, "served", "artist-context"), (NEXT, "served", "all-features"), (NEXT, "shadow", "lda-2d"),
    ]  # fmt: skip
    (by_hand,) = ask(
        warehouse,
        f"SELECT avg((genre = music_genre)::INT) AS a FROM predictions JOIN tracks USING (track_id) WHERE run_date = '{DAY}'",
    )
    assert ask(warehouse, f"SELECT accuracy FROM performance WHERE run_date = '{DAY}'")[0]["accuracy"] == pytest.approx(
        by_hand["a"]
    )
    assert genrepipe("labels", bare, "--warehouse", warehouse).code == 65


# Champion and challengers


def test_a_shadow_scores_beside_and_changes_nothing_that_is_served(tmp_path: Path, sample: Path) -> None:
    with_shadow, without = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    score(sample, with_shadow, DAY, "--shadow", "all-features")
    score(sample, without)
    served = "SELECT track_id, genre, probability FROM predictions ORDER BY 1"
    assert ask(with_shadow, served) == ask(without, served)
    assert len(ask(with_shadow, "SELECT track_id FROM shadow_predictions WHERE model = 'all-features'")) == 3000
    compared = genrepipe("models", "compare", "--warehouse", with_shadow, "--output", "json").json
    assert compared["agreement"] == pytest.approx(1 - sum(flip["tracks"] for flip in compared["flips"]) / 3000)
    assert [row["role"] for row in compared["performance"]] == ["served", "shadow"]
    assert genrepipe("models", "compare", "--warehouse", without).code == 64


def test_a_promoted_model_is_the_champion_of_that_shelf(tmp_path: Path, sample: Path) -> None:
    shelf, warehouse = tmp_path / "shelf", tmp_path / "w.duckdb"
    shutil.copytree(bundles.shelf()["lda-3d"], shelf / "mine")
    assert genrepipe("models", "promote", "mine", "--bundles", shelf).code == 0
    assert score(sample, warehouse, DAY, "--bundles", shelf)["model"] == "lda-3d"
    assert score(sample, warehouse, NEXT)["model"] == bundles.champion()
    assert genrepipe("models", "promote", "learned-2d", "--bundles", shelf, "--output", "json").json["before"] == "mine"
    assert score(sample, warehouse, "2026-11-22", "--bundles", shelf)["model"] == "learned-2d"
    (shelf / "mine" / "model.onnx").write_bytes(b"x")
    assert genrepipe("models", "promote", "mine", "--bundles", shelf).code == 78


def test_a_model_whose_audit_failed_is_not_promoted(tmp_path: Path) -> None:
    folder = tmp_path / "shelf" / "leaky"
    shutil.copytree(bundles.shelf()["lda-3d"], folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["audit"][0]["passed"] = False
    (folder / "bundle.json").write_text(json.dumps(manifest))
    result = genrepipe("models", "promote", "leaky", "--bundles", tmp_path / "shelf")
    assert result.code == 78
    assert f"its audit failed at {manifest['audit'][0]['gate']}" in result.error


# The same answer


def test_a_run_is_scored_again_and_told_apart(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    warehouse, source = tmp_path / "w.duckdb", tmp_path / "s.csv"
    shutil.copy(sample, source)
    shutil.copytree(assets.pretrained() / "lda-2d", tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    run_id = score("s.csv", Path("w.duckdb"), DAY, "--model", "own")["run_id"]
    monkeypatch.chdir("/")
    verify = ("verify", "--run", run_id, "--warehouse", warehouse, "--output", "json")
    same = genrepipe(*verify)
    assert (same.code, same.json["status"], same.json["compared"], same.json["largest_difference"]) == (
        0,
        "identical",
        3000,
        0,
    )
    for change, code, status in ((4e-6, 0, "within tolerance"), (0.01, 70, "different")):
        with duckdb.connect(warehouse) as connection:
            connection.execute(
                f"UPDATE predictions SET probabilities = struct_update(probabilities, Rock := (probabilities.Rock + {change})::FLOAT) WHERE track_id = (SELECT min(track_id) FROM predictions)"
            )
        found = genrepipe(*verify)
        assert (found.code, found.json["status"]) == (code, status)
    with source.open("a") as file:
        file.write("\n")
    assert genrepipe(*verify).code == 65
    assert genrepipe("verify", "--run", "20260101T000000", "--warehouse", warehouse).code == 64


# Telling others


def test_metrics_are_a_prometheus_textfile_and_a_failure_keeps_the_last_success(tmp_path: Path, sample: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    def read() -> dict[str, float]:
        return {
            s.name + (s.labels.get("stage") or s.labels.get("outcome") or ""): s.value
            for family in text_string_to_metric_families(metrics.read_text())
            for s in family.samples
        }

    warehouse, metrics = tmp_path / "w.duckdb", tmp_path / "genrepipe.prom"
    score(sample, warehouse, DAY, "--metrics-file", metrics)
    first = read()
    assert (first["genrepipe_rowspredicted"], first["genrepipe_last_exit_code"]) == (3000, 0)
    assert first["genrepipe_stage_secondsscoring"] > 0
    assert genrepipe("score", tmp_path / "none.csv", "--warehouse", warehouse, "--metrics-file", metrics).code == 66
    second = read()
    assert second["genrepipe_last_exit_code"] == 66
    assert second["genrepipe_last_success_timestamp_seconds"] == first["genrepipe_last_success_timestamp_seconds"]
    assert second["genrepipe_last_run_timestamp_seconds"] > first["genrepipe_last_run_timestamp_seconds"]


@contextmanager
def listening(answer: Callable[[BaseHTTPRequestHandler, bytes], object]) -> Iterator[str]:
    """A server of its own thread that hands each request to ``answer``, which may answer itself, and its address."""

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if answer(self, body):
                return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_lineage_events_name_the_run_its_datasets_and_their_columns(tmp_path: Path) -> None:
    pytest.importorskip("openlineage.client", reason="lineage needs the extra: pip install 'genrepipe[lineage]'")
    write_csv(tmp_path / "t.csv", tracks(5))
    words = ("score", "t.csv", "--warehouse", "w.duckdb", "--lineage-file", "events.json", "--run-date")
    result = genrepipe(*words, DAY, "--output", "json", cwd=tmp_path)
    write_csv(tmp_path / "t.csv", tracks(5, energy="7"))
    assert genrepipe(*words, NEXT, cwd=tmp_path).code == 65
    assert genrepipe(*words, "yesterday", cwd=tmp_path).code == 64
    told = [json.loads(line) for line in (tmp_path / "events.json").read_text().splitlines()]
    assert [event["eventType"] for event in told] == ["START", "COMPLETE", *["START", "FAIL"] * 2]
    first, second = told[:2], told[2:4]
    assert len({event["run"]["runId"] for event in told}) == 3
    assert first[0]["run"]["runId"] == first[1]["run"]["runId"]
    assert first[0]["run"]["facets"]["tags"]["tags"][0]["value"] == result.json["run_id"]
    assert second[1]["run"]["facets"]["nominalTime"]["nominalStartTime"] == f"{NEXT}T00:00:00Z"
    assert "break the contract" in second[1]["run"]["facets"]["errorMessage"]["message"]
    (wrote,) = first[1]["outputs"]
    assert {"genre", "probability"} <= {column["name"] for column in wrote["facets"]["schema"]["fields"]}
    assert wrote["outputFacets"]["outputStatistics"]["rowCount"] == 5
    assert wrote["name"] == f"{tmp_path}/w.duckdb/predictions"
    assert first[1]["inputs"][0]["name"] == str(tmp_path / "t.csv")
    write_csv(tmp_path / "t.csv", tracks(6))
    assert genrepipe(*words, NEXT, "--dry-run", cwd=tmp_path).code == 0
    dry = json.loads((tmp_path / "events.json").read_text().splitlines()[-1])
    assert (dry["eventType"], dry["outputs"]) == ("COMPLETE", [])


def test_lineage_events_are_sent_to_a_server(tmp_path: Path, big: Path) -> None:
    pytest.importorskip("openlineage.client", reason="lineage needs the extra: pip install 'genrepipe[lineage]'")
    told: list[dict[str, Any]] = []

    def hear(request: BaseHTTPRequestHandler, body: bytes) -> None:
        assert (request.command, request.path) == ("POST", "/api/v1/lineage")
        told.append(json.loads(body))

    warehouse = tmp_path / "w.duckdb"
    with listening(hear) as address:
        score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, DAY, OPENLINEAGE_URL=address)
        words = ("score", big, "--warehouse", warehouse, "--run-date", NEXT)
        with run_until("scoring", *words, OPENLINEAGE_URL=address) as process:
            process.terminate()
            assert go_on(process)[0] == 143
    assert [event["eventType"] for event in told] == ["START", "COMPLETE", "START", "ABORT"]


@pytest.mark.parametrize("number", [0, signal.SIGTERM])
def test_who_does_not_answer_holds_up_no_run(tmp_path: Path, number: int) -> None:
    """A lineage server and a dead man's switch that take a call and say nothing, with and without a signal meanwhile."""
    pytest.importorskip("openlineage.client", reason="lineage needs the extra: pip install 'genrepipe[lineage]'")
    over, called = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        called.set()
        over.wait()

    source, warehouse = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "w.duckdb"
    with listening(hang) as address:
        job = tmp_path / "j.yaml"
        job.write_text(
            f"job: score\nname: n\nsource: {source}\nwarehouse: {warehouse}\nping_start: {address}/a\nping_success: {address}/b\nping_failure: {address}/c\n"
        )
        command = [sys.executable, "-m", "genrepipe", "run", str(job)]
        environment = os.environ | {"OPENLINEAGE_URL": address}
        try:
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
                try:
                    assert called.wait(60)
                    since = time.monotonic()
                    if number:
                        process.send_signal(number)
                    _, err = process.communicate(timeout=120)
                    took = time.monotonic() - since
                finally:
                    process.kill()
        finally:
            over.set()
    assert process.returncode == (143 if number else 0), err
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    unheard = [line["check"] for line in lines if line.get("error") == "no answer in time"]
    assert unheard == ["ping", "lineage", "lineage", "ping"]
    if number:
        assert took < 5
    else:
        assert took < 40  # four deliveries of 5 s and a run; the client alone would try for longer


def test_a_dead_mans_switch_hears_of_start_and_end(tmp_path: Path) -> None:
    asked: list[str] = []

    with listening(lambda request, _: asked.append(request.path)) as address:
        source = write_csv(tmp_path / "t.csv", tracks(5))
        job = tmp_path / "j.yaml"
        job.write_text(
            f"job: score\nname: n\nsource: {source}\nwarehouse: {tmp_path}/w.duckdb\nping_start: {address}/secret/start\n"
            f"ping_success: {address}/ok\nping_failure: {address}/failed\n"
        )
        assert genrepipe("run", job).code == 0
        assert genrepipe("run", job, "--set", "source=none.csv").code == 66
    assert asked == ["/secret/start", "/ok", "/secret/start", "/failed"]
    unheard = genrepipe("run", job, "--force")  # nobody listens any more, and the run counts
    assert unheard.code == 0
    assert "127.0.0.1" in unheard.err
    assert "secret" not in unheard.err


def test_every_log_line_names_the_run_and_its_level(tmp_path: Path, sample: Path) -> None:
    result = genrepipe("score", sample, "--warehouse", tmp_path / "w.duckdb", "--output", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert len(lines) > 8
    assert {line["run_id"] for line in lines} == {result.json["run_id"]}
    assert set(result.json["stages"]) == {line["stage"] for line in lines if line["event"] == "stage"}
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{6}", result.json["run_id"])
    assert {line["level"] for line in lines if line["event"] != "warning"} == {"info"}


def test_log_lines_say_what_is_a_warning_and_why_a_run_failed(tmp_path: Path) -> None:
    """A collector reads the JSON lines alone, and looks at their level."""
    source = write_csv(tmp_path / "t.csv", tracks(20, **CLASSICAL))
    few = genrepipe("score", source, "--warehouse", tmp_path / "w.duckdb")
    warned = [json.loads(line) for line in few.err.splitlines()]
    assert {(line["event"], line["level"]) for line in warned} == {("stage", "info"), ("warning", "warning")} | {
        (line["event"], "info") for line in warned if line["event"] not in {"stage", "warning"}
    }
    write_csv(source, tracks(20, energy="7"))
    failed = genrepipe("score", source, "--warehouse", tmp_path / "w.duckdb")
    last = json.loads([line for line in failed.err.splitlines() if line.startswith("{")][-1])
    assert (last["event"], last["level"], last["exit_code"]) == ("failed", "error", 65)
    assert failed.error == f"genrepipe: error: {last['error']}"
    assert ask(tmp_path / "w.duckdb", f"SELECT status FROM runs WHERE run_id = '{last['run_id']}'") == [{"status": "refused"}]  # fmt: skip
