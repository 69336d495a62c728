"""The contract of what is published, as one ODCS document beside it, with which other tools can test the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from genrepipe import contracts
from genrepipe.core import assets, yamltext
from genrepipe.core.quoting import identifier
from genrepipe.exports.tables import TABLES

if TYPE_CHECKING:
    from genrepipe.exports.targets import Target

NAME = "contract.odcs.yaml"
# Where the tables of a format lie, from the folder of the document. An Iceberg table is found by its catalogue.
PATHS = {"parquet": "./{model}/*/*.parquet", "delta": "./{model}"}


def document(form: str) -> str:
    """Return the document of a target: the published tables, as their own contracts have them."""
    raw = {name: _raw(name) for name in dict.fromkeys(TABLES.values())}
    found = {table["name"]: table for each in raw.values() for table in each["schema"]}
    predictions = raw["predictions"]
    value = {
        **{key: each for key, each in predictions.items() if key not in {"servers", "schema"}},
        "id": "genrepipe-published",
        "name": "Published tables",
        "description": {
            **predictions["description"],
            "purpose": "What genrepipe publish wrote here: predictions, flips, checks and runs by run date.",
            "usage": "Read the tables as a whole, or by run_date; _manifest.json says which run dates are here.",
        },
        "schema": [_published(found[name]) for name in reversed(TABLES)],
    }
    if form in PATHS:
        value["servers"] = [
            {
                "server": "published",
                "type": "local",
                "path": PATHS[form],
                "format": form,
                "description": "The folder of this document; run the test there.",
            }
        ]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(contracts.versions().items()))
    head = f"# Made by genrepipe publish of the contracts {versions}.\n"
    return head + yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def _published(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table as it is in files: without the checks of the inside of a run, and with types as Parquet names them."""
    outside = [rule for rule in table.get("quality", ()) if rule.get("type") != "custom"]
    columns = [_in_files(column) for column in table["properties"]]
    kept = {key: value for key, value in table.items() if key != "quality"}
    return {**kept, "physicalType": "table", "properties": columns, **({"quality": outside} if outside else {})}


def _in_files(column: dict[str, Any]) -> dict[str, Any]:
    if column["logicalType"] == "array":
        element = str(column["physicalType"]).partition("[")[0]
        return {**column, "physicalType": "LIST", "items": {**column["items"], "physicalType": element}}
    if column["logicalType"] == "object":
        # Tools that make SQL of the names of fields do not quote them.
        fields = [
            each
            if each["name"].isidentifier()
            else {**each, "name": identifier(each["name"]), "physicalName": each["name"]}
            for each in column["properties"]
        ]
        return {**column, "properties": fields}
    return column


class _Plain(yaml.SafeDumper):
    """Without anchors, which not every tool reads."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the signature is YAML's
        """Write everything out."""
        return True


def _raw(name: str) -> dict[str, Any]:
    text = (assets.shipped("contracts") / f"{name}.odcs.yaml").read_text(encoding="utf-8")
    value: dict[str, Any] = yamltext.load(text, yamltext.fast_loader(text))
    return value


def write(target: Target, form: str) -> None:
    """Write the document, where it is not there as it is now."""
    content = document(form).encode()
    if target.read(NAME) != content:
        target.write(NAME, content)
