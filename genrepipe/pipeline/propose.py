"""Look at a source, and write the recipe by which its columns become those of the contract."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from genrepipe import contracts
from genrepipe.core import resources, signals
from genrepipe.core.errors import StorageError, UsageError, nearest
from genrepipe.core.quoting import literal
from genrepipe.ingest import columns, reader, recipes, sources
from genrepipe.pipeline.results import ProposeResult
from genrepipe.warehouse import schema

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.contracts.documents import Column
    from genrepipe.ingest.reader import Sample
    from genrepipe.warehouse.connection import Database

ROWS = 20_000  # of the first part
MANY = 0.9  # share of the values that must be what a column says
LISTED = 12  # values that are not understood
REPEATED = 3  # rows with a text in a column of numbers, from which on it may be a mark of what is missing
ID = "instance_id"


@dataclass
class Proposal:
    """What is proposed for one column of the contract: lines of YAML, and the reason."""

    keys: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    fill_in: list[str] = field(default_factory=list)


def propose(source: tuple[str, ...], out: Path, encoding: str = "utf-8") -> ProposeResult:
    """Write a recipe for a source, with the reasons as comments; what cannot be told is a line to fill in.

    Names decide which column is which, and values in which unit and which words it is. The first 20,000 rows of the
    first part are looked at.

    Raises
    ------
    UsageError
        The file is there already.
    StorageError
        The file cannot be written.
    GenrepipeError
        The source is not there, or is no table.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", "Name another file, or remove that one")
    with (
        signals.deferred(),
        sources.open_source(source, encoding=encoding) as opened,
        schema.open_memory(resources.plan()) as database,
    ):
        database.create_macros()
        part = opened.parts[0]
        sample = reader.sample(database, part, opened, ROWS)
        folders = tuple(part.constants)
        found = _of_columns(database, sample, folders)
        name = part.name
    text = _written(found, sample, name)
    recipes.load(yaml.safe_load(text))  # what is proposed is a recipe
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}", "Name another file") from error
    return ProposeResult(
        str(out),
        {ours: "; ".join([_origin(ours, each), *each.reasons]) for ours, each in found.items() if each.keys},
        [line for each in found.values() for line in each.fill_in],
    )


def _of_columns(database: Database, sample: Sample, folders: tuple[str, ...]) -> dict[str, Proposal]:
    """Return a proposal for each column of the contract."""
    names = ", ".join(f"{name} VARCHAR" for name in sample.rows.columns)
    database.execute(f"CREATE TEMP TABLE sampled ({names})")
    database.insert("sampled", sample.rows)
    spare = [*sample.header, *folders]
    found = {}
    properties = [c for c in contracts.load("source_tracks").table.properties if c.name != "quarantine_id"]
    taken: dict[str, str] = {}
    for exact in (True, False):  # a column that has the contract's own name is no other's
        for column in properties:
            if column.name in taken:
                continue
            if not exact and column.custom("optionalColumn"):
                continue
            name = sources.also_known(column, spare) if exact else nearest(column.name, spare)
            if name is not None:
                taken[column.name] = name
                spare.remove(name)
    for column in properties:
        proposal = Proposal()
        if (name := taken.get(column.name)) is None:
            _without_a_column(proposal, column, taken)
        else:
            proposal.keys["column"] = name
            if name in sample.header:
                _of_values(database, proposal, column, f"c{sample.header.index(name)}", is_list=name in sample.lists)
            else:
                proposal.reasons.append("from the names of folders")
        found[column.name] = proposal
    _of_filter(database, sample, found)
    return found


def _without_a_column(proposal: Proposal, column: Column, taken: dict[str, str]) -> None:
    if column.custom("optionalColumn"):
        return
    if column.name == ID:
        names = [taken[each] for each in ("artist_name", "track_name") if each in taken]
        if len(names) == 2:
            proposal.keys["hash"] = names
            proposal.reasons.append(
                "no column looks like an id: made of these, so that rows with the same ones are one track"
            )
            return
    proposal.fill_in.append(
        f"{column.name}: the name of its column, or null where there is none ({column.description.rstrip('.')})"
    )


def _of_values(database: Database, proposal: Proposal, column: Column, name: str, *, is_list: bool) -> None:
    """Add to a proposal what the values of the column ``name`` of the sample say."""
    if is_list:
        proposal.keys["list"] = "join"
        proposal.reasons.append("holds lists")
    elif column.logicalType == "number":
        _of_numbers(database, proposal, column, name)
    elif column.valid_values is not None:
        _of_words(database, proposal, column, name)
    elif column.primaryKey:
        known, distinct = database.rows(
            f"SELECT count(track_id_of({name})), count(DISTINCT track_id_of({name})) FROM sampled"
        )[0]
        proposal.reasons.append(f"{distinct:,} ids in {known:,} rows")


def _of_numbers(database: Database, proposal: Proposal, column: Column, name: str) -> None:
    known = f"FROM sampled WHERE {name} IS NOT NULL AND NOT is_missing({name}) AND trim({name}) <> ''"
    texts = f"CASE WHEN contains({name}, ':') THEN clock_milliseconds({name}) END"
    rows, numbers, clocks = database.rows(f"SELECT count(*), count(number({name})), count(number({texts})) {known}")[0]
    if not rows:
        proposal.fill_in.append(
            f"{column.name}: {proposal.keys['column']} holds no value; null says that there is none"
        )
        return
    if clocks > MANY * rows:
        if recipes.CLOCK in recipes.units_of(column):
            proposal.keys["unit"] = recipes.CLOCK
            proposal.reasons.append("minutes and seconds, as 3:25")
        return
    strange = database.rows(
        f"SELECT trim({name}), count(*) {known} AND number({name}) IS NULL GROUP BY 1 HAVING count(*) >= {REPEATED} ORDER BY 2 DESC LIMIT {LISTED}"
    )
    options = column.logicalTypeOptions
    if numbers and options.minimum is not None:
        # A number below all that can be, again and again, says that the value is not known.
        strange += database.rows(
            f"SELECT trim({name}), count(*) {known} AND number({name}) < {options.minimum} AND trim({name}) NOT IN ({_known_marks(column)}) "
            f"GROUP BY 1 HAVING count(*) BETWEEN {REPEATED} AND {rows // 2} ORDER BY 2 DESC LIMIT 1"
        )
    if strange and numbers:
        proposal.keys["missing"] = [text for text, _ in strange]
        proposal.reasons.append("not known: " + ", ".join(f"{text} ({count:,} rows)" for text, count in strange))
        known += f" AND trim({name}) NOT IN ({', '.join(literal(text) for text, _ in strange)})"
    known += f" AND trim({name}) NOT IN ({_known_marks(column)})"
    low, median, high, whole = database.rows(
        f"SELECT quantile_disc(number({name}), 0.05), quantile_disc(number({name}), 0.5), quantile_disc(number({name}), 0.95), "
        f"coalesce(bool_and(number({name}) = trunc(number({name}))), true) {known}"
    )[0]
    if low is None:
        proposal.fill_in.append(
            f"{column.name}: {proposal.keys['column']} holds no numbers, for example {_shown(database, name)}"
        )
        return
    described = f"{low:.6g} to {high:.6g}, median {median:.6g}"
    if len(recipes.units_of(column)) > 1:
        unit = columns.unit_of(column, high, whole=whole)
        if unit is None:
            proposal.fill_in.append(
                f"{column.name}: its unit cannot be told from {described}: {', '.join(recipes.units_of(column))}"
            )
        elif unit != columns.own_unit(column):
            proposal.keys["unit"] = unit
            described += f": {unit}"
    proposal.reasons.append(described)
    if "unit" not in proposal.keys and options.minimum is not None and options.maximum is not None:
        outside = database.value(
            f"SELECT count(*) {known} AND number({name}) NOT BETWEEN {options.minimum} AND {options.maximum}"
        )
        if outside > (1 - MANY) * rows:
            proposal.fill_in.append(
                f"{column.name}: {outside:,} of {rows:,} values are outside {options.minimum:g} to {options.maximum:g}"
            )


def _known_marks(column: Column) -> str:
    """Return, as a list in SQL, the texts that the contract says are missing values of a column, as numbers are written."""
    texts = sorted(column.missing_values | {""})
    return ", ".join(literal(each) for text in texts for each in (text, f"{text}.0"))


def _of_words(database: Database, proposal: Proposal, column: Column, name: str) -> None:
    """Map the words of a column whose values the contract lists; what the landing understands needs no map."""
    ours = [str(each) for each in column.valid_values or ()]
    read = {"key": f"key_of({name})", "mode": f"mode_of({name})"}.get(column.name, f"trimmed({name})")
    rows = database.rows(
        f"SELECT trim({name}), {read}, count(*) FROM sampled WHERE trim({name}) <> '' AND NOT is_missing({name}) GROUP BY ALL ORDER BY 3 DESC, 1"
    )
    by_fold = {each.casefold(): each for each in ours}
    values: dict[str, str | None] = {}
    strange: list[tuple[str, int]] = []
    for text, value, count in rows:
        if value in ours or (value is None and column.name in {"key", "mode"}):
            continue
        if (same := by_fold.get(str(value).casefold())) is not None:
            values[text] = same
        else:
            strange.append((text, count))
    if values:
        proposal.keys["values"] = values
    if not rows:
        proposal.reasons.append("holds no value")
    elif column.custom("isLabel"):
        if strange:
            proposal.keys["others"] = "missing"
            proposal.reasons.append(
                f"{len(strange):,} labels are none of the genres, such as {', '.join(text[:40] for text, _ in strange[:3])}; they count as missing"
            )
    elif strange:
        listed = ", ".join(f"{text[:40]} ({count:,} rows)" for text, count in strange[:LISTED])
        proposal.fill_in.append(f"{column.name}: add to values what these mean: {listed}; one of {', '.join(ours)}")
    else:
        proposal.reasons.append("values such as " + ", ".join(text[:20] for text, *_ in rows[:3]))


def _of_filter(database: Database, sample: Sample, found: dict[str, Proposal]) -> None:
    """Note a column by which rows may be other things than tracks."""
    if "type" not in sample.header or any(each.keys.get("column") == "type" for each in found.values()):
        return
    name = f"c{sample.header.index('type')}"
    kinds = [
        kind
        for (kind,) in database.rows(f"SELECT DISTINCT trim({name}) FROM sampled ORDER BY 1 LIMIT {LISTED}")
        if kind
    ]
    if "track" in kinds and len(kinds) > 1:
        found["filter"] = Proposal({"type": "track"}, [f"type is one of {', '.join(kinds)}"])


def _shown(database: Database, name: str) -> str:
    return ", ".join(
        repr(text[:20]) for (text,) in database.rows(f"SELECT DISTINCT {name} FROM sampled WHERE {name} <> '' LIMIT 3")
    )


def _origin(ours: str, proposal: Proposal) -> str:
    if "hash" in proposal.keys:
        return f"made of {', '.join(proposal.keys['hash'])}"
    if ours == "filter":
        return "rows whose type is track"
    return f"from {proposal.keys['column']}"


def _written(found: dict[str, Proposal], sample: Sample, name: str) -> str:
    """Return the recipe as YAML, with comments."""
    lines = [
        f"# How the columns of {name} become those of the contract; proposed from its first {len(sample.rows):,} rows.",
        "# Check it, fill in what could not be told, and try it: genrepipe recipe check RECIPE SOURCE",
        "columns:",
    ]
    lines = [line.replace("\n", " ") for line in lines]
    begun = False
    for ours, each in found.items():
        if ours == "filter":
            continue
        for line in each.fill_in:
            lines.append(f"  # FILL IN {_comment(line)}")
        if each.keys:
            begun = True
            said = each.keys["column"] if list(each.keys) == ["column"] else each.keys
            reasons = f"   # {_comment('; '.join(each.reasons))}" if each.reasons else ""
            lines.append(f"  {_quoted(ours)}: {_quoted(said)}{reasons}")
    if not begun:
        lines.append("  {}")
    if "filter" in found:
        lines.append(f"filter: {_quoted(found['filter'].keys)}   # {_comment('; '.join(found['filter'].reasons))}")
    used = {each.keys.get("column") for each in found.values()} | {
        n for each in found.values() for n in each.keys.get("hash", ())
    }
    unused = [each.strip() or f"column {i}" for i, each in enumerate(sample.header, 1) if each not in used]
    if unused:
        lines.append(f"# Not used: {_comment(', '.join(unused))}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:500]


def _quoted(value: object) -> str:
    """Return a value as YAML in one line."""
    if isinstance(value, str):
        text = yaml.safe_dump(value, allow_unicode=True, width=10**6, default_style=None).strip()
        text = text.removesuffix("...").strip()
        return text if "\n" not in text else json.dumps(value)
    return yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, sort_keys=False, width=10**6).strip()
