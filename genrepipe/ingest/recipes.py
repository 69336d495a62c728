"""Recipes: how the columns of another catalogue become those of the contract.

A recipe is YAML, in ``jobs/recipes/``, in a file of its own or within a job. For each column of the contract it says where
the value comes from and what it means there. A column that it does not name is read from the source's column of that name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from genrepipe import contracts
from genrepipe.core import assets, yamltext
from genrepipe.core.errors import ConfigurationError, UsageError, nearest
from genrepipe.core.quoting import literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genrepipe.contracts.documents import Column

# The units in which a source may have a column, by the unit of the contract, and what one of them is in that.
UNITS: dict[str, dict[str, float]] = {
    "milliseconds": {"ms": 1, "s": 1_000, "min": 60_000},
    "share": {"share": 1, "percent": 0.01},
    "points": {"points": 1, "share": 100},
}
# A duration whose unit is told from its value: with a colon it is minutes and seconds.
CLOCK, AUTO = "m:ss", "auto"
RECIPE = "Write a recipe with: genrepipe recipe propose SOURCE --out recipe.yaml"


def _text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int | float) else value


def _texts(value: object) -> object:
    return [_text(each) for each in value] if isinstance(value, list | tuple) else [_text(value)]


def _value_map(value: object) -> object:
    """Return a map whose keys are as ``spelling`` in SQL has them: without spaces around, in lower case, 7.0 as 7."""
    if not isinstance(value, dict):
        return value
    return {str(_text(theirs)).strip().lower(): _text(ours) for theirs, ours in value.items()}


Text = Annotated[str, BeforeValidator(_text)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnRecipe(_Part):
    """Where one column of the contract comes from, and what its values mean.

    A text alone is the name of the source's column.
    """

    column: Text | None = Field(None, description="The source's column; without it, that of the contract's name.")
    optional: bool = Field(False, description="Whether the source may leave the column out.")
    constant: Text | None = Field(None, description="One value for every row, in place of a column.")
    hash: Texts = Field((), description="Columns of the source, of whose values the id of a track is made.")
    missing: Texts = Field((), description="Texts that say that the value is not known.")
    values: Annotated[dict[str, Text | None], BeforeValidator(_value_map)] = Field(
        default_factory=dict, description="Value of the source: value of the contract, or null where it is not known."
    )
    others: Literal["keep", "missing"] = Field("keep", description="What a value is that values does not name.")
    unit: Literal["ms", "s", "min", "m:ss", "auto", "share", "percent", "points"] | None = Field(
        None, description="The unit of the source's values."
    )
    list: Literal["refuse", "join", "first"] = Field("refuse", description="What is read of a list of values.")

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, value: object) -> object:
        return {"column": value} if isinstance(value, str | int | float) else value

    @model_validator(mode="after")
    def _has_one_origin(self) -> ColumnRecipe:
        named = [key for key in ("column", "constant", "hash") if getattr(self, key)]
        if len(named) > 1:
            msg = f"{' and '.join(named)} are given, and a value has one origin"
            raise ValueError(msg)
        return self


class Condition(_Part):
    """Which rows are tracks, by the values of one column: those that are one of ``is``, or none of ``not``."""

    is_: Texts = Field((), alias="is")
    not_: Texts = Field((), alias="not")

    @model_validator(mode="before")
    @classmethod
    def _of_values(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"is": value}


def _known_columns(columns: dict[str, ColumnRecipe | None]) -> dict[str, ColumnRecipe | None]:
    table = contracts.load("source_tracks").table
    for name, column in columns.items():
        if name not in table.columns:
            close = nearest(name, table.columns)
            msg = f"the contract has no column {name}" + (f"; did you mean {close}?" if close else "")
            raise ValueError(msg)
        unit = column.unit if column else None
        if unit and unit not in units_of(table.column(name)):
            units = units_of(table.column(name))
            msg = f"{name}: the unit {unit} is none of {', '.join(units) or 'those of a text, which has none'}"
            raise ValueError(msg)
        if column and column.hash and not table.column(name).primaryKey:
            msg = f"{name}: hash makes the id of a track, and nothing else"
            raise ValueError(msg)
    return columns


class SourceRecipe(_Part):
    """How the columns of a catalogue become those of the contract; see the module."""

    recipe: Text = Field("", description="Its name.")
    description: Text = Field("", description="Which catalogue it is for.")
    columns: Annotated[dict[str, ColumnRecipe | None], AfterValidator(_known_columns)] = Field(
        default_factory=dict,
        description="Column of the contract: column of the source, or what is said of it; null where the source has none.",
    )
    missing: Texts = Field((), description="Texts that say in any column that the value is not known.")
    filter: dict[str, Condition] = Field(
        default_factory=dict, description="Column of the source: the values of the rows that are tracks."
    )

    def with_keys(self, mapping: Mapping[str, str], missing: Iterable[str] = ()) -> SourceRecipe:
        """Return the same with the keys of a job: ``map``, which says where columns are, and ``missing``."""
        columns = dict(self.columns)
        for ours, theirs in mapping.items():
            before = columns.get(ours) or ColumnRecipe()
            columns[ours] = before.model_copy(update={"column": theirs, "constant": None, "hash": ()})
        return self.model_copy(update={"columns": columns, "missing": (*self.missing, *missing)})

    def dumped(self) -> dict[str, Any]:
        """Return what the recipe says, without what it leaves as it is, as JSON has it."""
        said: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return said

    def is_empty(self) -> bool:
        """Return whether every column is read as it is, but for its name."""
        return (
            not self.missing
            and not self.filter
            and all(each is not None and each == ColumnRecipe(column=each.column) for each in self.columns.values())
        )

    def names(self) -> dict[str, str]:
        """Return the source's name of each column that has another one there."""
        return {ours: each.column for ours, each in self.columns.items() if each is not None and each.column}

    def is_absent(self, ours: str) -> bool:
        """Return whether the recipe says that the source has no such column."""
        return ours in self.columns and self.columns[ours] is None

    def has_value(self, ours: str) -> bool:
        """Return whether the recipe itself gives a column its values: a constant, or an id that is made."""
        each = self.columns.get(ours)
        return each is not None and (each.constant is not None or bool(each.hash))

    def needs(self, ours: str) -> bool:
        """Return whether the source must have a column for this one."""
        each = self.columns.get(ours)
        return not (self.is_absent(ours) or self.has_value(ours) or (each and each.optional))

    def sql(self, cell: str, column: Column) -> str:
        """Return the SQL expression of a value in the contract's words, for that of the source's cell as text."""
        said = self.columns.get(column.name) or ColumnRecipe()
        markers = (*said.missing, *self.missing)
        if markers:
            cell = f"CASE WHEN trim({cell}) IN ({_listed(markers)}) THEN NULL ELSE {cell} END"
        if said.values:
            cases = " ".join(f"WHEN {literal(theirs)} THEN {_or_null(ours)}" for theirs, ours in said.values.items())
            others = cell if said.others == "keep" else "NULL"
            cell = f"CASE spelling({cell}) {cases} ELSE {others} END"
        if said.unit in {CLOCK, AUTO}:
            cell = f"milliseconds_of({cell})" if said.unit == AUTO else f"clock_milliseconds({cell})"
        elif said.unit and (factor := units_of(column)[said.unit]) != 1:
            cell = f"scaled({cell}, {factor!r})"
        return cell

    def is_left_out(self, cells: Mapping[str, str]) -> str:
        """Return the predicate of rows that are no tracks; ``cells`` are the SQL expressions of the filter's columns."""
        kept = []
        for name, condition in self.filter.items():
            cell = f"coalesce(spelling({cells[name]}), '')"
            kept += [f"{cell} IN ({_listed(each.strip().lower() for each in condition.is_)})"] if condition.is_ else []
            kept += (
                [f"{cell} NOT IN ({_listed(each.strip().lower() for each in condition.not_)})"]
                if condition.not_
                else []
            )
        return f"NOT ({' AND '.join(kept)})" if kept else "false"


def made_id(cells: Iterable[str]) -> str:
    """Return the SQL expression of an id made of cells: a hash of their texts, none where all are missing.

    It begins with a letter, so that no program takes it for a number.
    """
    texts = [f"coalesce(tidy({cell}), '')" for cell in cells]
    joined = " || chr(31) || ".join(texts)
    return f"CASE WHEN {' || '.join(texts)} <> '' THEN 'h' || left(md5({joined}), 20) END"


def units_of(column: Column) -> dict[str, float]:
    """Return the units in which a source may have a column, and what one of each is in the contract's unit."""
    unit = column.custom("unit")
    return {**UNITS.get(unit, {}), **({CLOCK: 1, AUTO: 1} if unit == "milliseconds" else {})}


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(literal(text) for text in texts)


def _or_null(value: str | None) -> str:
    return "NULL" if value is None else literal(value)


def shipped() -> dict[str, Path]:
    """Return the recipes that ship, by name."""
    return {path.stem: path for path in sorted((assets.shipped("jobs") / "recipes").glob("*.yaml"))}


def path_of(named: str) -> Path:
    """Return the file of a recipe, which is named by its path or, where it ships, by its name.

    Raises
    ------
    UsageError
        There is no such recipe.
    """
    path = Path(named)
    if path.suffix or path.exists() or "/" in named:
        return path
    if named in shipped():
        return shipped()[named]
    close = nearest(named, list(shipped()))
    raise UsageError(
        f"There is no recipe {named!r}",
        f"Did you mean {close}?" if close else f"Recipes: {', '.join(shipped())}, or the path of a file",
    )


def load(named: str | Mapping[str, Any] | SourceRecipe | None) -> SourceRecipe:
    """Return a recipe, which is given by its name, by the path of its file, or as the mapping that such a file holds.

    Raises
    ------
    ConfigurationError
        It cannot be read, or says something that no recipe can.
    UsageError
        There is no recipe of that name.
    """
    if named is None:
        return SourceRecipe()
    if isinstance(named, SourceRecipe):
        return named
    if not isinstance(named, str):
        return _validated(dict(named), "recipe")
    path = path_of(named)
    return _validated(yamltext.read(path, RECIPE), str(path))


def _validated(values: dict[str, Any], where: str) -> SourceRecipe:
    try:
        return SourceRecipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(each) for each in first["loc"])
        raise ConfigurationError(
            f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}",
            "Correct that value, see genrepipe recipe show",
        ) from error
