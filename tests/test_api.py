"""The Python API: what it hands out, typed results, errors with exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import genrepipe
from genrepipe.core.errors import SourceMissing, UsageError
from genrepipe.core.events import Reporter, RunStarted
from tests.support import DATE, ROOT, run, tracks, write_csv

if TYPE_CHECKING:
    from genrepipe.core.results import Result


def test_all_of_the_api_is_there_and_documented() -> None:
    expected = {
        "GenrepipeError", "Reporter", "ScoreRequest", "ScoreResult", "TrainRequest", "TrainResult", "ValidateResult",
        "__version__", "score", "train", "validate",
    }  # fmt: skip
    assert set(genrepipe.__all__) == expected
    for name in expected - {"__version__"}:
        assert getattr(genrepipe, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        genrepipe.nothing  # noqa: B018
    assert (Path(genrepipe.__file__).parent / "py.typed").exists()


def test_the_version_is_that_of_the_package() -> None:
    import tomllib

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == genrepipe.__version__


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import genrepipe, sys; print(*({'duckdb', 'polars', 'numpy', 'pydantic', 'onnxruntime', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_score_returns_what_the_command_prints(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(30))
    result = genrepipe.score(source, tmp_path / "a.duckdb", run_date=DATE, limits={"largest_genre_percent": 100})
    assert isinstance(result, genrepipe.ScoreResult)
    assert (result.status, result.predicted, result.run_date) == ("published", 30, DATE)
    printed = run("score", source, "--warehouse", tmp_path / "b.duckdb", "--run-date", DATE, "--output", "json").json
    assert set(printed) == set(result.to_dict())
    assert json.loads(json.dumps(result.to_dict()))["received"] == 30


def test_validate_takes_several_files(tmp_path: Path) -> None:
    files = [write_csv(tmp_path / f"{n}.csv", tracks(3, energy=energy)) for n, energy in enumerate(("0.5", "7"))]
    result = genrepipe.validate(files)
    assert (result.status, result.received, result.quarantined) == ("rejected", 6, 3)
    assert result.reasons[0].reason == "energy.maximum: must be at most 1"


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"run_dat": DATE}, "run_dat: unknown key. Did you mean run_date?"), ({"keep_days": 0}, "--keep-days: Input should be greater")],
)  # fmt: skip
def test_a_wrong_key_is_an_error(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace(".", r"\.").replace("?", r"\?")):
        genrepipe.score("t.csv", tmp_path / "w.duckdb", **keys)


class Recorder(Reporter):
    def __init__(self) -> None:
        self.events: list[object] = []

    def run_started(self, run: RunStarted) -> None:
        self.events.append(run.job)

    def stage_started(self, stage: str) -> None:
        self.events.append(stage)

    def run_succeeded(self, result: Result) -> None:
        self.events.append(result)

    def run_failed(self, failure: Any) -> None:
        self.events.append(failure.exit_code)


def test_a_reporter_follows_a_run(tmp_path: Path) -> None:
    recorder = Recorder()
    result = genrepipe.score(
        write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "w.duckdb", reporter=recorder, name="mine"
    )
    assert recorder.events[0] == "mine"
    assert recorder.events[1:-1] == list(result.stages) == [
        "bundle", "lock", "copy", "landing", "catalogue", "scoring", "checks", "ledger", "publishing",
    ]  # fmt: skip
    assert recorder.events[-1] is result
    with pytest.raises(SourceMissing) as raised:
        genrepipe.score(tmp_path / "none.csv", tmp_path / "w.duckdb", reporter=recorder)
    assert (raised.value.exit_code, recorder.events[-1]) == (66, 66)
