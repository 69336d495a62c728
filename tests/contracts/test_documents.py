"""Contract documents: valid by the standard's own schema, strict, and what the warehouse says of itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.core.errors import ConfigurationError
from genrepipe.warehouse import schema
from tests.support import ROOT, ask, run, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DOCUMENTS = sorted(assets.shipped("contracts").glob("*.odcs.yaml"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_pass_the_standards_own_schema(path: Path) -> None:
    standard = json.loads((ROOT / "tests/data/odcs-3.1.0.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft201909Validator(standard).validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    contract = contracts.read(path)
    assert re.fullmatch(r"\d+\.\d+\.\d+", contract.version)
    assert all(column.description for table in contract.tables for column in table.properties)


@pytest.mark.parametrize(
    ("change", "said"), [({"minimun": 0}, "minimun: Extra inputs"), ({"minimum": "low"}, "minimum: Input should be")]
)
def test_an_unknown_key_or_value_is_an_error(tmp_path: Path, change: dict[str, object], said: str) -> None:
    document = yaml.safe_load(DOCUMENTS[0].read_text(encoding="utf-8"))
    document["schema"][0]["properties"][0]["logicalTypeOptions"] = change
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"{re.escape(str(path))} is not valid at .*{said}"):
        contracts.read(path)


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe", None])
def test_a_document_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{re.escape(str(path))} cannot be read"):
        contracts.read(path)


def spoil(shipped: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = shipped / "contracts/source_tracks.odcs.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(document["schema"][0])
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table["properties"].pop(0), "do not fit each other"),
        (lambda table: table.update(quality=[]), "has no check quarantined_percent"),
        (
            lambda table: table["quality"][1]["implementation"].update(query="SELECT nothing FROM delivery"),
            "do not fit each other",
        ),
        (lambda table: table["quality"][2]["implementation"].update(query="SELECT ("), "cannot be parsed"),
        (
            lambda table: table.update(customProperties=[{"property": "maxMissingFeatures", "value": {}}]),
            "is no whole number",
        ),
        (lambda table: table["properties"].append(table["properties"][0]), "is there more than once"),
        (lambda table: table["properties"][1].update(logicalTypeOptions={"pattern": "("}), "no regular expression"),
        (lambda table: table["properties"][1].update(physicalType="VARCHAR); --"), "physicalType"),
        (lambda table: table.update(properties=[]), "properties"),
    ],
)
def test_a_contract_that_was_changed_wrongly_is_a_configuration_error(
    shipped: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    source = write_csv(tmp_path / "s.csv", tracks(3))
    spoil(shipped, change)
    result = run("validate", source)
    assert (result.code, said in result.error) == (78, True), result.err


def test_comments_and_columns_of_the_warehouse_are_the_contracts(scored: Path) -> None:
    rows = ask(
        scored,
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main'",
    )
    views = set(schema.VIEWS)
    found = {(r["table_name"], r["column_name"]): r["comment"] for r in rows if r["table_name"] not in views}
    documents = ("tracks", "predictions", "operations")
    tables = [t for c in documents for t in contracts.load(c).tables if t.physicalType == "table"]
    assert set(found) == {(t.name, c.name) for t in tables for c in t.properties}
    assert all(found[t.name, c.name].startswith(c.description) for t in tables for c in t.properties)
    described = {r["table_name"]: r["comment"] for r in ask(scored, "SELECT table_name, comment FROM duckdb_tables()")}
    assert described == {t.name: t.description for t in tables}
