"""Users' queries: every type is answered, no file is reached, a signal stops them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import (
    ask,
    run,
)


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        (
            "SELECT finished_at - started_at < INTERVAL 1 HOUR AS quick, finished_at - started_at AS took FROM runs",
            None,
        ),
        ("SELECT 1 AS a, 2 AS a", {"a": 1, "a_1": 2}),
        ("SELECT sum(tracks) AS tracks FROM genre_daily", {"tracks": 3000.0}),
        ("SELECT 'a'::BLOB AS b, '101'::BIT AS c", {"b": "a", "c": "101"}),
        (
            "SELECT p.track_id = t.track_id AS same FROM predictions p JOIN tracks t USING (track_id) LIMIT 1;",
            {"same": True},
        ),
    ],
)
def test_queries_of_any_type_are_answered(scored: Path, sql: str, answer: dict[str, object] | None) -> None:
    (row,) = ask(scored, sql)
    assert answer is None or row == answer


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("SELECT 1 AS n ; -- done", {"n": 1}),
        ("SELECT '東京 ;' AS n; -- für immer", {"n": "東京 ;"}),
        ("SELECT sum(n) AS n FROM range(4) AS t(n);;", {"n": 6}),
        ("SELECT 170141183460469231731687303715884105727::HUGEINT AS n", {"n": "170141183460469231731687303715884105727"}),
    ],
)  # fmt: skip
def test_queries_end_as_people_end_them(scored: Path, query: str, row: dict[str, Any]) -> None:
    assert ask(scored, query) == [row]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_query_can_be_stopped(scored: Path, number: int, code: int) -> None:
    endless = "SELECT count(*) FROM range(1000000000) a, range(100000) b"
    command = [sys.executable, "-m", "genrepipe", "query", endless, "--warehouse", str(scored)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(3)
        assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode == code, err


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
    done = run("query", sql, "--warehouse", scored, "--output", output, COLUMNS="400")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("infinity") >= 6
    assert output == "table" or all(word in done.out for word in ("290000", "2026-11-22", "5001-01-01 (BC)"))


def test_a_query_cannot_write_a_log(scored: Path, tmp_path: Path) -> None:
    for sql in (
        f"FROM enable_logging(storage='file', storage_config={{'path': '{tmp_path}/log'}})",
        "FROM enable_logging()",
        "FROM set_logging_level('debug')",
    ):
        result = run("query", sql, "--warehouse", scored)
        assert result.code == 64, sql
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT TIME '24:00:00' AS t, TIME '01:02:03' AS u", {"t": "24:00:00", "u": "01:02:03"}),
        ("SELECT [TIME '24:00:00'] AS t", {"t": "['24:00:00']"}),
        ("SELECT 123456789012345678901234567890123456789012::BIGNUM AS n", {"n": "123456789012345678901234567890123456789012"}),
        ("PIVOT (SELECT 'x' AS k, 1 AS v) ON k USING sum(v)", {"x": 1}),
        ("PIVOT (SELECT 'x' AS k, 1 AS v) ON k USING sum(v);", {"x": 1}),
        ("WITH t AS (SELECT 'é' AS k, 1 AS v) PIVOT t ON k USING sum(v) -- é", {"é": 1}),
        ("FROM (PIVOT (SELECT 'x' AS k, 1 AS v) ON k USING sum(v))", {"x": 1}),
        ("UNPIVOT (SELECT 1 AS a) ON a", {"name": "a", "value": 1}),
        ("SELECT count FROM (SUMMARIZE tracks) LIMIT 1", {"count": 3000}),
        ("SHOW DATABASES", {"database_name": "warehouse"}),
    ],
)  # fmt: skip
def test_rare_types_and_pivots_are_answered(scored: Path, sql: str, answer: dict[str, object]) -> None:
    assert ask(scored, sql) == [answer]
