"""Other versions of DuckDB, from their own packages, read a warehouse: every table, view and macro."""

from __future__ import annotations

import json
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support import ask

pytestmark = pytest.mark.slow

RELATIONS = "SELECT table_name AS name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
MACROS = "SELECT DISTINCT function_name AS name FROM duckdb_functions() WHERE function_type LIKE '%macro' AND NOT internal ORDER BY ALL"
TRACK = "(SELECT min(track_id) FROM tracks)"
CALLS = {
    "artist_key_of": "SELECT artist_key_of('A feat. B')",
    "explain_track": f"FROM explain_track({TRACK})",
    "genre_logs": "SELECT genre_logs(probabilities) FROM predictions_latest",
    "similar_tracks": f"FROM similar_tracks({TRACK}, 7)",
}
CLIENT = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print(json.dumps([len(connection.execute(query).fetchall()) for query in json.load(sys.stdin)]))
"""
NODE = """
const { DuckDBInstance } = require("@duckdb/node-api");
(async () => {
  const instance = await DuckDBInstance.create(process.argv[2], { access_mode: "READ_ONLY" });
  const connection = await instance.connect();
  const counts = [];
  for (const query of JSON.parse(require("fs").readFileSync(0))) counts.push((await connection.runAndReadAll(query)).currentRowCount);
  console.log(JSON.stringify(counts));
})();
"""


def questions(warehouse: Path) -> list[str]:
    """Return a query of everything that the warehouse offers."""
    assert [row["name"] for row in ask(warehouse, MACROS)] == sorted(CALLS)
    return [f'FROM "{row["name"]}"' for row in ask(warehouse, RELATIONS)] + list(CALLS.values())


def answers(warehouse: Path, command: list[object]) -> list[int]:
    done = subprocess.run(
        [*map(str, command), str(warehouse)],
        input=json.dumps(questions(warehouse)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("version", ["==1.4.0", "==1.4.*", "==1.5.0", "==1.5.*", "==2.*"])
def test_clients_of_other_versions_read_everything(scored: Path, tmp_path: Path, version: str) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"duckdb{version}"], check=True)
    assert answers(scored, [python, "-c", CLIENT]) == [len(ask(scored, query)) for query in questions(scored)]


@pytest.mark.parametrize("version", ["1.4.4-r.4", "1.5.6-r.1"])
def test_node_reads_everything(scored: Path, tmp_path: Path, version: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not on this machine")
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", tmp_path]
    subprocess.run([*install, f"@duckdb/node-api@{version}"], check=True, cwd=tmp_path)
    script = tmp_path / "client.js"
    script.write_text(NODE)
    assert answers(scored, ["node", script]) == [len(ask(scored, query)) for query in questions(scored)]
