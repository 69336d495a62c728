"""The contract of what is published, as one ODCS document beside it, with which other tools can test the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from genrepipe import contracts
from genrepipe.core import assets, yamltext
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
        "schema": [{**found[name], "physicalType": "table"} for name in reversed(TABLES)],
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
