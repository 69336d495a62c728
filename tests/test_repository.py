"""The repository: its README is true, its wheel is whole, every Python runs it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from genrepipe.core import errors
from genrepipe.core.version import VERSION
from genrepipe.model import bundle as bundles
from tests import docs, release
from tests.support import DAY, NEXT, ROOT, run, score, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable

GUIDES = ("README.md", "docs/run.md", "docs/query.md", "docs/deploy.md", "docs/train.md")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GUIDES)
def test_the_commands_of_a_guide_run(tmp_path: Path, name: str) -> None:
    """Every genrepipe command in a console block that does not train, in order, in one folder."""
    blocks = re.findall(r"```console\n(.*?)```", text_of(name), re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ genrepipe ")]
    assert commands
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    for command in commands:
        words = shlex.split(command.split("  #")[0])[1:]
        if words[0] == "train":
            continue
        result = run(*words, cwd=tmp_path)
        assert result.code == 0, (command, result.err)


def test_the_python_of_the_readme_runs(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample, "sample.csv")
    blocks = re.findall(r"```python\n(.*?)```", text_of("README.md"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


@pytest.mark.parametrize(
    ("name", "piece", "write"), docs.PIECES, ids=[f"{name}-{piece}" for name, piece, _ in docs.PIECES]
)
def test_the_docs_are_generated(name: str, piece: str, write: Callable[[], str]) -> None:
    """``make docs`` would change nothing."""
    text = text_of(name)
    assert docs.between(text, piece, write()) == text


def test_questions_are_answered_as_the_docs_say(tmp_path: Path) -> None:
    """Each query of the guide gives the answer below it."""
    text = text_of("docs/query.md")
    assert len(re.findall(r"^### .*\?$", text, re.MULTILINE)) >= 12
    assert docs.answered(text, docs.nights(tmp_path)) == text


def test_links_of_the_docs_lead_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), (path.name, target)


def test_the_readme_is_one_page() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_the_readme_quotes_the_card_of_the_champion() -> None:
    metrics = bundles.load().manifest.metrics
    for split in ("artist_disjoint", "random"):
        measured = metrics[split]["accuracy"]
        assert f"{100 * measured['mean']:.1f} ± {100 * measured['sd']:.1f} %" in text_of("README.md")


def test_the_changelog_the_image_and_the_manifests_have_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert release.version() == VERSION
    for file in (ROOT / "jobs").rglob("*.*"):
        if "__pycache__" not in file.parts:
            named = re.findall(r"(?:genrepipe(?:-\w+)?:|newTag: |version: )(\d+\.\d+\.\d+)", file.read_text())
            assert set(named) <= {VERSION}, file
    for name in ("genrepipe/core/version.py", "pyproject.toml", "CHANGELOG.md", "Dockerfile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text_of(name))
    (tmp_path / "CHANGELOG.md").write_text("## 0.0.9, 2026-11-28\n")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    with pytest.raises(release.Refused, match=r"CHANGELOG\.md 0\.0\.9"):
        release.version()


def test_the_exit_codes_in_the_docs_are_the_error_trees() -> None:
    cells = re.findall(r"^\| ([\d, ]+) \|", text_of("docs/run.md"), re.MULTILINE)
    codes = {int(code) for cell in cells for code in cell.split(",")}
    classes = {
        c.exit_code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.GenrepipeError)
    }
    assert classes <= codes


def test_the_wheel_holds_contracts_sql_jobs_and_bundles(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("contracts", "sql", "jobs"):
        ours = {
            p.relative_to(ROOT).as_posix()
            for p in (ROOT / folder).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert {f"genrepipe/_shipped/{name}" for name in ours} <= names
    assert {
        f"genrepipe/pretrained/{name}/{file}"
        for name in bundles.available()
        for file in (bundles.MANIFEST, *bundles.FILES)
    } <= names
    assert not any("tests/" in name or name.endswith(".csv") for name in names)
    # an installed wheel finds them, away from the checkout
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r}); import genrepipe; from genrepipe import contracts; from genrepipe.core import assets; print(genrepipe.__file__, len(contracts.versions()), assets.sql('macros/shared')[:2])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert out.startswith(str(unpacked))
    assert out.strip().endswith("5 --")


@pytest.mark.slow
def test_datacontract_lints_every_contract(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "--quiet", "datacontract-cli"], check=True)
    for path in sorted((ROOT / "contracts").glob("*.yaml")):
        done = subprocess.run(
            [tmp_path / "venv/bin/datacontract", "lint", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "Data contract is valid" in done.stdout
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        (ROOT / "contracts/tracks.odcs.yaml").read_text().replace("logicalType: number", "logicalType: numeral")
    )
    assert (
        subprocess.run(
            [tmp_path / "venv/bin/datacontract", "lint", broken], capture_output=True, check=False
        ).returncode
        != 0
    )


@pytest.mark.slow
def test_datacontract_tests_a_warehouse_what_was_published_and_a_source(tmp_path: Path, sample: Path) -> None:
    """By the servers that the documents name, in the folder where they say that the data is."""
    venv.create(tmp_path / "venv", with_pip=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "--quiet", "datacontract-cli[duckdb]"], check=True)

    def tested(document: Path, folder: Path) -> subprocess.CompletedProcess[str]:
        command = [tmp_path / "venv/bin/datacontract", "test", document]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)

    score(sample, tmp_path / "warehouse.duckdb", DAY)
    score(sample, tmp_path / "warehouse.duckdb", NEXT, "--publish", tmp_path / "published")
    # Every column of the contract, those too that a source may leave out, and numbers as such: a tempo of ? is none to this tool.
    write_csv(tmp_path / "tracks.csv", [{**row, "quarantine_id": ""} for row in tracks(30)])
    for name in ("predictions", "operations", "tracks", "source_tracks"):
        done = tested(ROOT / f"contracts/{name}.odcs.yaml", tmp_path)
        assert (done.returncode, "Data contract is valid" in done.stdout) == (0, True), done.stdout
    done = tested(tmp_path / "published/contract.odcs.yaml", tmp_path / "published")
    assert done.returncode == 0, done.stdout
    (part,) = (tmp_path / "published/predictions").rglob("*.parquet")
    rows = pl.read_parquet(part)
    rows.with_columns(pl.lit(1.5, pl.Float32).alias("probability")).write_parquet(part)
    broken = tested(tmp_path / "published/contract.odcs.yaml", tmp_path / "published")
    assert (broken.returncode, "probability has a" in " ".join(broken.stdout.split())) == (1, True), broken.stdout


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_a_fresh_environment_of_every_python_scores(tmp_path: Path, sample: Path, version: str) -> None:
    python = next((p for p in find_pythons(version) if starts(p)), None)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [
        tmp_path / "venv/bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        ROOT / "constraints/all.txt",
    ]
    subprocess.run([*pip, ROOT], check=True, capture_output=True)
    listed = subprocess.run(
        [tmp_path / "venv/bin/python", "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"^(torch|scikit-learn|spacy|skl2onnx|onnx|pyarrow|nvidia\S*) ", listed, re.MULTILINE)
    score = [tmp_path / "venv/bin/genrepipe", "score", sample, "--warehouse", tmp_path / "w.duckdb", "--output", "json"]
    done = subprocess.run(
        score, capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONWARNINGS": "error"}
    )
    assert json.loads(done.stdout)["predicted"] == 3000


@pytest.mark.slow
def test_a_release_is_built_checked_installed_and_tried(tmp_path: Path) -> None:
    where = [f"RELEASE={tmp_path}/venv", f"DIST={tmp_path}/dist", f"PYTHON={sys.executable}"]
    done = subprocess.run(["make", "release", *where], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(re.findall(r"steps of the first minute ran", done.stdout)) == 2
    assert done.stdout.count("PASSED") == 2


def find_pythons(version: str) -> list[str]:
    """Return interpreters of a version: on the path, and those that pyenv keeps."""
    found = shutil.which(f"python{version}")
    return [*([found] if found else []), *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]


def starts(python: str) -> bool:
    return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0
