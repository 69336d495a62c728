"""What changed between two versions of a contract, and what of it breaks those who rely on it.

Of an input those rely on it who deliver: a new demand breaks them. Of all others it is those who read: a promise that is taken
back breaks them. A rule or a limit that becomes stricter is breaking in both: what was delivered or published may fail it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.contracts.documents import Column, Contract, Quality, Table

Kind = Literal["breaking", "addition", "other"]
BUMPS: dict[str, int] = {"breaking": 0, "addition": 1, "other": 2}  # the part of a version that rises
# Each type fits into those after it.
WIDER = (("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), ("FLOAT", "DOUBLE"))
# Bounds of a value, and whether a greater one is stricter.
BOUNDS = {"minimum": True, "maximum": False, "minLength": True, "maxLength": False}


@dataclass(frozen=True)
class Change:
    """One difference between two versions."""

    kind: Kind
    where: str  # table.column, a table, or the document
    what: str


def between(old: Contract, new: Contract) -> list[Change]:
    """Return the changes from one version of a document to another one, the breaking ones first."""
    order: tuple[Kind, ...] = ("breaking", "addition", "other")
    return sorted(_of_document(old, new), key=lambda change: order.index(change.kind))


def bump(old: str, new: str) -> int | None:
    """Return which part of a version is the first that rose: 0 the major, 1 the minor, 2 the patch; None where none did."""
    before, after = ([int(part) for part in version.split(".")] for version in (old, new))
    return (
        next((i for i, (a, b) in enumerate(zip(before, after, strict=True)) if b > a), None) if after > before else None
    )


def fits(changes: list[Change], old: str, new: str) -> bool:
    """Return whether a version rose as far as its changes ask for."""
    wanted = min((BUMPS[change.kind] for change in changes), default=None)
    given = bump(old, new)
    return old == new if wanted is None else given is not None and given <= wanted


def _of_document(old: Contract, new: Contract) -> Iterator[Change]:
    tables = {table.name: table for table in new.tables}
    for table in old.tables:
        if table.name in tables:
            yield from _of_table(table, tables[table.name], is_input=old.is_input or new.is_input)
        else:
            yield Change("breaking", table.name, "the table is gone")
    known = {table.name for table in old.tables}
    yield from (Change("addition", table.name, "a new table") for table in new.tables if table.name not in known)
    without = {"version", "tables"}
    if old.model_dump(exclude=without) != new.model_dump(exclude=without):
        yield Change("other", new.id, "its description, servers or owners")


def _of_table(old: Table, new: Table, *, is_input: bool) -> Iterator[Change]:
    yield from _of_columns(old.name, old.properties, new.properties, is_input=is_input)
    yield from _of_rules(old.name, old.quality, new.quality)
    without = {"properties", "quality"}
    if old.model_dump(exclude=without) != new.model_dump(exclude=without):
        yield Change("other", old.name, "its description or custom properties")


def _of_columns(where: str, old: tuple[Column, ...], new: tuple[Column, ...], *, is_input: bool) -> Iterator[Change]:
    columns, known = {column.name: column for column in new}, {column.name for column in old}
    added = [column for column in new if column.name not in known]
    for column in old:
        place = f"{where}.{column.name}"
        if column.name in columns:
            yield from _of_column(place, column, columns[column.name], is_input=is_input)
            continue
        renamed = [each.name for each in added if each.description == column.description]
        yield Change("breaking", place, f"renamed to {renamed[0]}" if renamed else "the column is gone")
    for column in added:
        asked = is_input and column.required
        yield Change(
            "breaking" if asked else "addition", f"{where}.{column.name}", f"a new {'required ' * asked}column"
        )


def _of_column(where: str, old: Column, new: Column, *, is_input: bool) -> Iterator[Change]:
    if (old.logicalType, old.physicalType) != (new.logicalType, new.physicalType):
        wider = any(
            old.physicalType in types and new.physicalType in types and types.index(old.physicalType) < types.index(new.physicalType)
            for types in WIDER
        )  # fmt: skip
        said = f"{old.logicalType} {old.physicalType} became {new.logicalType} {new.physicalType}"
        yield Change("addition" if wider else "breaking", where, said)
    if old.required != new.required:
        said = "it must not be missing now" if new.required else "it may be missing now"
        yield Change("breaking" if new.required or not is_input else "addition", where, said)
    for key in ("unique", "primaryKey"):
        if getattr(old, key) != getattr(new, key):
            yield Change("breaking", where, f"{key} became {str(getattr(new, key)).lower()}")
    for bound, greater_is_stricter in BOUNDS.items():
        yield from _of_limit(
            where, bound, *(getattr(each.logicalTypeOptions, bound) for each in (old, new)), greater=greater_is_stricter
        )
    if old.logicalTypeOptions.pattern != new.logicalTypeOptions.pattern:
        kind: Kind = "breaking" if new.logicalTypeOptions.pattern else "addition"
        yield Change(kind, where, f"its pattern is {new.logicalTypeOptions.pattern or 'gone'}")
    yield from _of_values(where, old, new)
    rest = [tuple(rule for rule in each.quality if rule.metric != "invalidValues") for each in (old, new)]
    yield from _of_rules(where, *rest)
    yield from _of_columns(where, old.properties, new.properties, is_input=is_input)
    if (old.description, old.customProperties) != (new.description, new.customProperties):
        yield Change("other", where, "its description or custom properties")


def _of_values(where: str, old: Column, new: Column) -> Iterator[Change]:
    before, after = old.valid_values, new.valid_values
    if after is None and before is not None:
        yield Change("addition", where, "any value is allowed now")
    if after is None or before == after:
        return
    if before is None:
        yield Change("breaking", where, "its values are listed now")
        return
    gone, come = ([str(each) for each in of if each not in beside] for of, beside in ((before, after), (after, before)))
    if gone:
        yield Change("breaking", where, f"no longer allowed: {', '.join(gone)}")
    if come:
        yield Change("addition", where, f"allowed too: {', '.join(come)}")


def _of_rules(where: str, old: tuple[Quality, ...], new: tuple[Quality, ...]) -> Iterator[Change]:
    rules, known = {rule.id: rule for rule in new}, {rule.id for rule in old}
    for rule in old:
        place = f"{where}.{rule.id}"
        if rule.id not in rules:
            yield Change("addition", place, "the check is gone")
            continue
        now = rules[rule.id]
        yield from _of_limit(place, "limit", rule.limit, now.limit, greater=False)
        if rule.severity != now.severity:
            yield Change(
                "breaking" if now.severity == "error" else "addition", place, f"its severity is {now.severity}"
            )
        same = {"mustBe", "mustBeLessOrEqualTo", "severity", "implementation"}
        if rule.model_dump(exclude=same) != now.model_dump(exclude=same) or rule.asked_of("") != now.asked_of(""):
            yield Change("other", place, "how it is measured or described")
    for rule in new:
        if rule.id not in known:
            yield Change("breaking" if rule.severity == "error" else "addition", f"{where}.{rule.id}", "a new check")


def _of_limit(where: str, name: str, old: float | None, new: float | None, *, greater: bool) -> Iterator[Change]:
    if old == new:
        return
    if new is None:
        yield Change("addition", where, f"{name} {old:g} is gone")
    elif old is None or (new > old) == greater:
        yield Change("breaking", where, f"{name} {new:g}" + (f", which was {old:g}" if old is not None else ""))
    else:
        yield Change("addition", where, f"{name} {new:g}, which was {old:g}")
