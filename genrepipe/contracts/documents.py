"""ODCS v3.1 documents as typed objects.

A key that is not known here is an error: a rule that is ignored in silence is no rule.

Standard: Open Data Contract Standard v3.1.0, https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from genrepipe.core import assets, yamltext
from genrepipe.core.errors import ConfigurationError
from genrepipe.core.quoting import identifier

if TYPE_CHECKING:
    from pathlib import Path

LogicalType = Literal["string", "number", "integer", "date", "timestamp", "boolean", "array", "object"]
Scalar = str | int | float
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)]  # of a table or a column
# A type of DuckDB, or an array of it; STRUCT says more in its properties.
PhysicalType = Annotated[str, Field(pattern=r"^[A-Z]{1,30}(\[[0-9]{0,5}\])?$")]
# What the custom properties hold that are known here.
CUSTOM: dict[str, type] = {
    "unit": str, "alsoKnownAs": list, "missingMarkers": list, "optionalColumn": bool, "isLabel": bool, "maxMissingFeatures": int,
}  # fmt: skip
KINDS = {str: "text", list: "list of texts", bool: "true or false", int: "whole number"}
RESTORE = "Restore the file from the installation, or correct what was changed"


def _each_once(named: tuple[Any, ...]) -> tuple[Any, ...]:
    names = [each.name.lower() for each in named]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"{twice} is there more than once"
        raise ValueError(msg)
    return named


def _expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        msg = f"it is no regular expression: {error}"
        raise ValueError(msg) from error
    return pattern


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CustomProperty(_Document):
    """A key that the standard leaves to the owner."""

    property: str
    value: Any
    description: str = ""

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> CustomProperty:
        kind = CUSTOM.get(self.property)
        values = self.value if kind is list and isinstance(self.value, list) else [self.value]
        expected = (str, int, float) if kind is list else kind
        if kind and not (isinstance(self.value, kind) and all(isinstance(each, expected or object) for each in values)):
            msg = f"{self.property} is no {KINDS[kind]}"
            raise ValueError(msg)
        return self


class TypeOptions(_Document):
    """Bounds of a column's values, all inclusive; ``pattern`` must match the whole value."""

    minimum: float | None = None
    maximum: float | None = None
    minLength: int | None = None
    maxLength: int | None = None
    pattern: Annotated[str, AfterValidator(_expression)] | None = None


class Measure(_Document):
    """A query of the inside of a run, which no other tool can ask, and its limit."""

    query: str
    mustBe: float | None = None
    mustBeLessOrEqualTo: float | None = None


class Quality(_Document):
    """One quality rule of a column or a table."""

    id: str
    description: str
    type: Literal["library", "sql", "custom"] = "library"
    metric: Literal["invalidValues", "missingValues", "duplicateValues", "rowCount"] | None = None
    arguments: dict[str, list[Scalar]] = Field(default_factory=dict)
    query: str | None = None  # of a table as anybody reads it, which is ``{object}`` in it
    engine: Literal["genrepipe"] | None = None
    implementation: Measure | None = None
    mustBe: float | None = None
    mustBeGreaterThan: float | None = None
    mustBeLessOrEqualTo: float | None = None
    unit: str = "rows"
    severity: Literal["error", "warning"] = "error"
    dimension: str | None = None

    @model_validator(mode="after")
    def _says_what_it_asks(self) -> Quality:
        asked = {"library": (), "sql": ("query",), "custom": ("engine", "implementation")}[self.type]
        given = tuple(key for key in ("query", "engine", "implementation") if getattr(self, key) is not None)
        if given != asked:
            msg = f"a rule of type {self.type} has {' and '.join(asked) or 'no query'}"
            raise ValueError(msg)
        return self

    def asked_of(self, relation: str) -> str:
        """Return the query that measures the rule, of a relation in the place of the table; empty where there is none."""
        return self.implementation.query if self.implementation else (self.query or "").replace("{object}", relation)

    @property
    def limit(self) -> float:
        """The largest answer of the query that keeps the rule."""
        measured = self.implementation or self
        limit = measured.mustBe if measured.mustBe is not None else measured.mustBeLessOrEqualTo
        return 0.0 if limit is None else limit


class Item(_Document):
    """The type of an array's elements."""

    name: str
    logicalType: LogicalType


class Column(_Document):
    """One property of a table."""

    name: Name
    logicalType: LogicalType
    physicalType: PhysicalType
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
    def missing_values(self) -> set[str]:
        """The texts that mean that the value is not known; other tools look for those that a number may be."""
        listed = [text for rule in self.quality for text in rule.arguments.get("missingValues", ())]
        return {str(text) for text in (*listed, *(self.custom("missingMarkers") or ()))}

    @property
    def sql_type(self) -> str:
        """The column's type in the warehouse."""
        if self.physicalType != "STRUCT":
            return self.physicalType
        return f"STRUCT({', '.join(f'{identifier(p.name)} {p.sql_type}' for p in self.properties)})"


class Table(_Document):
    """One schema object: a table, or the matrix of features."""

    name: Name
    physicalType: str
    description: str
    dataGranularityDescription: str = ""
    properties: Annotated[tuple[Column, ...], Field(min_length=1), AfterValidator(_each_once)]
    quality: tuple[Quality, ...] = ()
    customProperties: tuple[CustomProperty, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of all columns, in order."""
        return [column.name for column in self.properties]

    def column(self, name: str) -> Column:
        """Return one column by name.

        Raises
        ------
        ConfigurationError
            The contract has no such column.
        """
        return _named(name, self.properties, f"The contract of table {self.name} has no column {name}")

    def custom(self, key: str) -> Any:
        """Return the value of a custom property, or None."""
        return next((p.value for p in self.customProperties if p.property == key), None)

    @property
    def checks(self) -> dict[str, Quality]:
        """The rules of the table as a whole that a query measures, by id."""
        return {rule.id: rule for rule in self.quality if rule.type != "library"}

    def check(self, name: str) -> Quality:
        """Return one of the ``checks`` by its id.

        Raises
        ------
        ConfigurationError
            The contract has no such check.
        """
        if name not in self.checks:
            raise ConfigurationError(f"The contract of table {self.name} has no check {name}", RESTORE)
        return self.checks[name]


class Server(_Document):
    """Where the tables are, for other tools: a DuckDB file, or files of a folder."""

    server: str
    type: Literal["duckdb", "local"]
    description: str = ""
    database: str | None = None
    schema_name: str | None = Field(None, alias="schema")
    path: str | None = None
    format: Literal["csv", "parquet", "delta"] | None = None


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
    servers: tuple[Server, ...] = ()
    tables: Annotated[tuple[Table, ...], Field(min_length=1), AfterValidator(_each_once)] = Field(alias="schema")

    @property
    def is_input(self) -> bool:
        """Whether others deliver what the document is about, rather than read it."""
        return "input" in self.tags

    @property
    def table(self) -> Table:
        """The document's first table; most documents hold just one."""
        return self.tables[0]

    def named(self, name: str) -> Table:
        """Return one table by name.

        Raises
        ------
        ConfigurationError
            The contract has no such table.
        """
        return _named(name, self.tables, f"The contract {self.name} has no table {name}")


N = TypeVar("N", Column, Table)


def _named(name: str, among: tuple[N, ...], otherwise: str) -> N:
    found = next((each for each in among if each.name == name), None)
    if found is None:
        raise ConfigurationError(otherwise, RESTORE)
    return found


def read(path: Path) -> Contract:
    """Read one ODCS document.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not YAML, or has a key or value that is not known here.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return Contract.model_validate(yamltext.load(text, yamltext.fast_loader(text)))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, ValidationError):
            raise _invalid(path, error) from error
        raise ConfigurationError(
            f"The contract {path} cannot be read: {next(iter(str(error).splitlines()), type(error).__name__)}", RESTORE
        ) from error


def _invalid(path: Path, error: ValidationError) -> ConfigurationError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return ConfigurationError(f"The contract {path} is not valid at {where}: {first['msg']}", "Correct that key")


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
