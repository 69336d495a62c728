"""Changes of contracts: what breaks is named, and the versions of the documents say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from genrepipe import contracts
from genrepipe.contracts import changes
from tests.contracts.release import RELEASED
from tests.support import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = sorted({path.name for folder in (RELEASED, ROOT / "contracts") for path in folder.glob("*.odcs.yaml")})


@pytest.mark.parametrize("name", NAMES)
def test_a_version_rises_as_its_changes_ask(name: str) -> None:
    """A breaking change since the last release raises the major version, an addition the minor one, anything else the patch."""
    assert (RELEASED / name).exists(), "new documents are taken in by: python -m tests.contracts.release"
    old, new = (contracts.read(folder / name) for folder in (RELEASED, ROOT / "contracts"))
    found = changes.between(old, new)
    assert changes.fits(found, old.version, new.version), (old.version, new.version, found)


def column(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in document["schema"][0]["properties"] if each["name"] == name)


def _narrow(document: dict[str, Any]) -> None:
    column(document, "artist_tracks")["physicalType"] = "SMALLINT"


def _widen(document: dict[str, Any]) -> None:
    column(document, "artist_tracks")["physicalType"] = "BIGINT"


def _fewer_genres(document: dict[str, Any]) -> None:
    values = column(document, "genre")["quality"][0]["arguments"]["validValues"]
    column(document, "genre")["quality"][0]["arguments"] = {"validValues": values[1:]}


def _add(document: dict[str, Any], *, required: bool) -> None:
    added = {"name": "mood", "logicalType": "string", "physicalType": "VARCHAR", "description": "Mood."}
    document["schema"][0]["properties"].append(added | {"required": required})


def _limit(document: dict[str, Any], check: str, limit: float) -> None:
    rule = next(each for each in document["schema"][0]["quality"] if each["id"] == check)
    rule.get("implementation", rule)["mustBeLessOrEqualTo"] = limit


@pytest.mark.parametrize(
    ("name", "change", "kind", "said"),
    [
        ("predictions", lambda d: d["schema"].pop(), "breaking", "prediction_history: the table is gone"),
        ("predictions", lambda d: d["schema"][0]["properties"].pop(), "breaking", "predictions.job: the column is gone"),
        ("predictions", lambda d: column(d, "margin").update(name="gap"), "breaking", "predictions.margin: renamed to gap"),
        ("predictions", _narrow, "breaking", "integer INTEGER became integer SMALLINT"),
        ("predictions", _widen, "addition", "integer INTEGER became integer BIGINT"),
        ("predictions", _fewer_genres, "breaking", "predictions.genre: no longer allowed: Alternative"),
        ("predictions", lambda d: column(d, "margin").update(required=False), "breaking", "it may be missing now"),
        ("predictions", lambda d: column(d, "margin")["logicalTypeOptions"].update(minimum=0.1), "breaking", "minimum 0.1"),
        ("predictions", lambda d: column(d, "margin")["logicalTypeOptions"].pop("minimum"), "addition", "minimum 0 is gone"),
        ("predictions", lambda d: _add(d, required=True), "addition", "predictions.mood: a new column"),
        ("predictions", lambda d: _limit(d, "flipped_percent", 10), "breaking", "limit 10, which was 20"),
        ("predictions", lambda d: _limit(d, "low_margin_percent", 50), "addition", "limit 50, which was 40"),
        ("predictions", lambda d: d["schema"][0].update(description="Other."), "other", "its description"),
        ("source_tracks", lambda d: _add(d, required=True), "breaking", "a new required column"),
        ("source_tracks", lambda d: _add(d, required=False), "addition", "a new column"),
        ("source_tracks", lambda d: column(d, "instance_id").update(required=False), "addition", "it may be missing now"),
        ("source_tracks", lambda d: column(d, "energy").update(required=True), "breaking", "it must not be missing now"),
    ],
)  # fmt: skip
def test_changes_are_named(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None], kind: str, said: str
) -> None:
    old, new = ROOT / f"contracts/{name}.odcs.yaml", tmp_path / f"{name}.odcs.yaml"
    document = yaml.safe_load(old.read_text(encoding="utf-8"))
    change(document)
    new.write_text(yaml.safe_dump(document), encoding="utf-8")
    result = run("contracts", "diff", old, new, "--output", "json")
    assert result.code == (65 if kind == "breaking" else 0), result.err
    assert result.json["status"] == ("breaking" if kind == "breaking" else "compatible")
    first = result.json["changes"][0]
    assert (first["kind"], said in f"{first['where']}: {first['what']}") == (kind, True), first


def test_two_folders_and_what_ships() -> None:
    same = run("contracts", "diff", ROOT / "contracts", ROOT / "contracts")
    assert (same.code, same.out.count(", the same")) == (0, 5)
    listed = run("contracts", "list", "--output", "json").json["contracts"]
    assert {each["contract"]: each["version"] for each in listed} == {
        path.name.partition(".")[0]: contracts.read(path).version for path in (ROOT / "contracts").glob("*.odcs.yaml")
    }
    assert run("contracts", "show", "tracks").out == (ROOT / "contracts/tracks.odcs.yaml").read_text(encoding="utf-8")
    assert "Did you mean tracks?" in run("contracts", "show", "track").error
    mixed = run("contracts", "diff", ROOT / "contracts", ROOT / "contracts/tracks.odcs.yaml")
    assert (mixed.code, "two documents, or two folders" in mixed.error) == (64, True)
    assert run("contracts", "diff", "none.yaml", "other.yaml").code == 78


@pytest.mark.parametrize(
    ("old", "new", "part"), [("1.2.3", "2.0.0", 0), ("1.2.3", "1.3.0", 1), ("1.2.3", "1.2.4", 2), ("1.2.3", "1.1.9", None)]
)  # fmt: skip
def test_the_part_of_a_version_that_rose(old: str, new: str, part: int | None) -> None:
    assert changes.bump(old, new) == part
