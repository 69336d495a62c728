"""Data contracts: ODCS v3.1 documents become typed rules, and rules become SQL.

A contract is read by the same words everywhere: the rules say which rows are quarantined (as SQL, where the
rows are), what pandera proves about the others (``checks``), and how the warehouse's tables are declared and
described. A key that this module does not know is an error, since a rule that is silently ignored is no rule.
What a table as a whole promises is a query with a limit (``verdicts`` runs it), or is held by ``sql/audits``.

Standard: Open Data Contract Standard v3.1.0, https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genrepipe import assets
from genrepipe.errors import ConfigurationError

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
        """What the answer of the query may be at most."""
        limit = self.mustBe if self.mustBe is not None else self.mustBeLessOrEqualTo
        return 0.0 if limit is None else limit


class Item(_Document):
    """What an array holds."""

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
    def limits(self) -> dict[str, Quality]:
        """The rules of the table as a whole that a query answers, by id."""
        return {rule.id: rule for rule in self.quality if rule.query is not None}

    @property
    def rules(self) -> list[Rule]:
        """Every rule that a single row can break, column by column."""
        return [rule for column in self.properties for rule in rules_of(column)]


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


@dataclass(frozen=True)
class Rule:
    """One thing that a value must be."""

    column: str
    kind: Literal["readable", "required", "minimum", "maximum", "minLength", "maxLength", "pattern", "oneOf"]
    value: Any
    sentence: str

    @property
    def name(self) -> str:
        """``column.kind``, as it stands in the quarantine."""
        return f"{self.column}.{self.kind}"

    @property
    def reason(self) -> str:
        """What the quarantine says of a row that breaks the rule."""
        return f"{self.name}: {self.sentence}"

    def sql(self, typed: str, received: str) -> str:
        """Return a predicate that is false where the rule is broken, and true or NULL where it holds.

        ``typed`` and ``received`` are SQL expressions: the column's value and the text that it was read from. A
        missing value breaks ``required`` only; a cell that holds something unreadable, or not finite, ``readable`` only.
        """
        match self.kind:
            case "readable":
                # CASE, since it is the one conditional that leaves the slow branch to the rows that need it
                return f"CASE WHEN {typed} IS NULL THEN NOT unreadable({received}) ELSE isfinite({typed}) END"
            case "required":
                return f"CASE WHEN {typed} IS NULL THEN unreadable({received}) ELSE true END"
            case "minimum":
                return f"CASE WHEN isfinite({typed}) THEN {typed} >= {literal(self.value)} END"
            case "maximum":
                return f"CASE WHEN isfinite({typed}) THEN {typed} <= {literal(self.value)} END"
            case "minLength":
                return f"length({typed}) >= {self.value}"
            case "maxLength":
                return f"length({typed}) <= {self.value}"
            case "pattern":
                return f"regexp_full_match({typed}, {literal(self.value)})"
            case "oneOf":
                return f"{typed} IN ({', '.join(map(literal, self.value))})"


def rules_of(column: Column) -> list[Rule]:
    """Spell out the rules of one column, each with the sentence that the quarantine shows."""
    name, options = column.name, column.logicalTypeOptions
    unit = column.custom("unit")
    unit = f" {unit}" if unit and unit not in {"share", "ordinal", "probability"} else ""
    found: list[Rule] = []
    if column.logicalType == "number":
        found.append(Rule(name, "readable", None, "must be a finite number"))
    if column.required:
        found.append(Rule(name, "required", True, "must not be missing"))
    if options.minimum is not None:
        found.append(Rule(name, "minimum", options.minimum, f"must be at least {options.minimum:g}{unit}"))
    if options.maximum is not None:
        found.append(Rule(name, "maximum", options.maximum, f"must be at most {options.maximum:g}{unit}"))
    if options.minLength is not None:
        found.append(Rule(name, "minLength", options.minLength, f"must have at least {options.minLength} characters"))
    if options.maxLength is not None:
        found.append(Rule(name, "maxLength", options.maxLength, f"must have at most {options.maxLength} characters"))
    if options.pattern is not None:
        found.append(Rule(name, "pattern", options.pattern, f"must match {options.pattern}"))
    if column.valid_values is not None:
        listed = ", ".join(map(str, column.valid_values))
        found.append(Rule(name, "oneOf", column.valid_values, f"must be one of {listed}"))
    return found


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Quote a value for SQL; only values of our own documents and counters come here."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if not math.isfinite(value):
            msg = f"{value} is not a number that a contract can name"
            raise ValueError(msg)
        return f"{value!r}::FLOAT" if isinstance(value, float) else str(value)
    return "'" + str(value).replace("'", "''") + "'"


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
