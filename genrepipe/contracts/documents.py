"""ODCS v3.1 documents as typed objects.

A key that is not known here is an error: a rule that is ignored in silence is no rule.

Standard: Open Data Contract Standard v3.1.0, https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genrepipe.core import assets
from genrepipe.core.errors import ConfigurationError
from genrepipe.core.quoting import identifier

if TYPE_CHECKING:
    from pathlib import Path

LogicalType = Literal["string", "number", "integer", "date", "timestamp", "boolean", "array", "object"]
Scalar = str | int | float
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe in both forms; C where the wheel has it


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CustomProperty(_Document):
    """A key that the standard leaves to the owner."""

    property: str
    value: Any
    description: str = ""


class TypeOptions(_Document):
    """Bounds of a column's values, all inclusive; ``pattern`` must match the whole value."""

    minimum: float | None = None
    maximum: float | None = None
    minLength: int | None = None
    maxLength: int | None = None
    pattern: str | None = None


class Quality(_Document):
    """One quality rule of a column or a table."""

    id: str
    description: str
    type: Literal["library", "sql"] = "library"
    metric: Literal["invalidValues", "missingValues", "duplicateValues", "rowCount"] | None = None
    arguments: dict[str, list[Scalar]] = Field(default_factory=dict)
    query: str | None = None
    mustBe: float | None = None
    mustBeGreaterThan: float | None = None
    mustBeLessOrEqualTo: float | None = None
    unit: str = "rows"
    severity: Literal["error", "warning"] = "error"
    dimension: str | None = None

    @property
    def limit(self) -> float:
        """The largest answer of the query that keeps the rule."""
        limit = self.mustBe if self.mustBe is not None else self.mustBeLessOrEqualTo
        return 0.0 if limit is None else limit


class Item(_Document):
    """The type of an array's elements."""

    name: str
    logicalType: LogicalType


class Column(_Document):
    """One property of a table."""

    name: str
    logicalType: LogicalType
    physicalType: str
    description: str
    required: bool = False
    unique: bool = False
    primaryKey: bool = False
    primaryKeyPosition: int = -1
    logicalTypeOptions: TypeOptions = TypeOptions()
    quality: tuple[Quality, ...] = ()
    customProperties: tuple[CustomProperty, ...] = ()
    items: Item | None = None
    properties: tuple[Column, ...] = ()

    def custom(self, key: str) -> Any:
        """Return the value of a custom property, or None."""
        return next((p.value for p in self.customProperties if p.property == key), None)

    @property
    def valid_values(self) -> tuple[Scalar, ...] | None:
        """The enumeration, if the column has one."""
        for rule in self.quality:
            if rule.metric == "invalidValues" and "validValues" in rule.arguments:
                return tuple(rule.arguments["validValues"])
        return None

    @property
    def sql_type(self) -> str:
        """The column's type in the warehouse."""
        if self.physicalType != "STRUCT":
            return self.physicalType
        return f"STRUCT({', '.join(f'{identifier(p.name)} {p.sql_type}' for p in self.properties)})"


class Table(_Document):
    """One schema object: a table, or the matrix of features."""

    name: str
    physicalType: str
    description: str
    dataGranularityDescription: str = ""
    properties: tuple[Column, ...]
    quality: tuple[Quality, ...] = ()
    customProperties: tuple[CustomProperty, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of all columns, in order."""
        return [column.name for column in self.properties]

    def column(self, name: str) -> Column:
        """Return one column by name."""
        return next(column for column in self.properties if column.name == name)

    def custom(self, key: str) -> Any:
        """Return the value of a custom property, or None."""
        return next((p.value for p in self.customProperties if p.property == key), None)

    @property
    def checks(self) -> dict[str, Quality]:
        """The rules of the table as a whole that a query measures, by id."""
        return {rule.id: rule for rule in self.quality if rule.query is not None}


class Contract(_Document):
    """One ODCS document."""

    apiVersion: Literal["v3.1.0"]
    kind: Literal["DataContract"]
    id: str
    name: str
    version: str
    status: str
    domain: str
    dataProduct: str
    description: dict[Literal["purpose", "limitations", "usage"], str]
    tags: tuple[str, ...]
    team: dict[str, Any]
    tables: tuple[Table, ...] = Field(alias="schema")

    @property
    def table(self) -> Table:
        """The document's first table; most documents hold just one."""
        return self.tables[0]

    def named(self, name: str) -> Table:
        """Return one table by name."""
        return next(table for table in self.tables if table.name == name)


def read(path: Path) -> Contract:
    """Read one ODCS document.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not YAML, or has a key or value that is not known here.
    """
    try:
        return Contract.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER))  # noqa: S506  a safe loader, see above
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"The contract {path} cannot be read: {str(error).splitlines()[0]}",
            "Restore the file from the installation",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"The contract {path} is not valid at {where}: {first['msg']}", "Correct that key"
        ) from error


@cache
def load(name: str) -> Contract:
    """Return a shipped contract: source_tracks, tracks, features, predictions or operations."""
    return read(assets.shipped("contracts") / f"{name}.odcs.yaml")


@cache
def versions() -> dict[str, str]:
    """Return the version of every shipped contract by its id."""
    names = ("source_tracks", "tracks", "features", "predictions", "operations")
    return {load(name).id: load(name).version for name in names}


def genres() -> list[str]:
    """Return the genres that a prediction may have, in the contract's order."""
    values = load("predictions").table.column("genre").valid_values
    return [str(value) for value in values or ()]
