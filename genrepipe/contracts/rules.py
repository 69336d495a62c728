"""The rules that a single row can break, derived from a contract's columns, and their SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from genrepipe.contracts import documents
from genrepipe.core.quoting import identifier, literal

if TYPE_CHECKING:
    from genrepipe.contracts.documents import Column, Table


@dataclass(frozen=True)
class Rule:
    """One thing that a value must be."""

    column: str
    kind: Literal["readable", "exact", "required", "minimum", "maximum", "minLength", "maxLength", "pattern", "oneOf"]
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
            case "exact":
                return f"NOT is_rounded({typed})"
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
    rules: list[Rule] = []
    if column.logicalType == "number":
        rules.append(Rule(name, "readable", None, "must be a finite number"))
    if column.primaryKey:
        rules.append(Rule(name, "exact", None, "must not be a rounded number"))
    if column.required:
        rules.append(Rule(name, "required", True, "must not be missing"))
    if options.minimum is not None:
        rules.append(Rule(name, "minimum", options.minimum, f"must be at least {options.minimum:g}{unit}"))
    if options.maximum is not None:
        rules.append(Rule(name, "maximum", options.maximum, f"must be at most {options.maximum:g}{unit}"))
    if options.minLength is not None:
        rules.append(Rule(name, "minLength", options.minLength, f"must have at least {options.minLength} characters"))
    if options.maxLength is not None:
        rules.append(Rule(name, "maxLength", options.maxLength, f"must have at most {options.maxLength} characters"))
    if options.pattern is not None:
        rules.append(Rule(name, "pattern", options.pattern, f"must match {options.pattern}"))
    if column.valid_values is not None and not column.custom("isLabel"):
        listed = ", ".join(map(str, column.valid_values))
        rules.append(Rule(name, "oneOf", column.valid_values, f"must be one of {listed}"))
    return rules


SWALLOWED = "row.quotes: a cell holds what looks like other rows"
# Text columns, in any of which an unclosed quote can swallow the rows after it.
_LONG_TEXT = ("instance_id", "artist_name", "track_name", "obtained_date")
_TYPED_NAMES = {"instance_id": "track_id"}  # of typed columns that differ from the received ones


def row_rules(table: Table) -> tuple[str, str]:
    """Return the row rules of a source's table as two SQL expressions over the relation ``typed``.

    The first is true where a row keeps every rule, and NULL where nothing can be said against it; the second is the list
    of the reasons for which it does not, with a NULL for each rule that is kept.
    """
    # No cell of a good row has a line break and the delimiters of half a row. CASE leaves the count to the few long cells.
    swallowed = " OR ".join(
        f"CASE WHEN strlen(received.{name}) > 60 THEN contains(received.{name}, chr(10)) "
        f"AND len(string_split_regex(received.{name}, '[,\\t]')) > 10 END"
        for name in _LONG_TEXT
    )
    keeps = [f"NOT coalesce({swallowed}, false)"]
    reasons = [f"CASE WHEN {swallowed} THEN {literal(SWALLOWED)} END"]
    limit = table.custom("maxMissingFeatures")
    if limit is not None:
        audio = [identifier(name) for name in documents.load("features").named("audio_features").columns]
        missing = " + ".join(f"({name} IS NULL)::INTEGER" for name in audio)
        # CASE leaves the sum to the rows that lack anything.
        complete = " AND ".join(f"{name} IS NOT NULL" for name in audio)
        few = f"CASE WHEN {complete} THEN true ELSE {missing} <= {int(limit)} END"
        reason = f"row.features: more than {limit} of the {len(audio)} audio features are missing"
        keeps.append(few)
        reasons.append(f"CASE WHEN NOT {few} THEN {literal(reason)} END")
    for column in table.properties:
        typed = identifier(_TYPED_NAMES.get(column.name, column.name))
        predicates = {rule: rule.sql(typed, f"received.{identifier(column.name)}") for rule in rules_of(column)}
        every = " AND ".join(predicates.values()) or "true"
        low, high = column.logicalTypeOptions.minimum, column.logicalTypeOptions.maximum
        if column.logicalType == "number" and low is not None and high is not None:
            # A number within its bounds keeps every rule of its column; only the others need the whole predicate.
            every = f"CASE WHEN {typed} BETWEEN {literal(low)} AND {literal(high)} THEN true ELSE {every} END"
        keeps.append(every)
        reasons += [f"CASE WHEN NOT ({sql}) THEN {literal(rule.reason)} END" for rule, sql in predicates.items()]
    return f"({' AND '.join(keeps)})", f"[{', '.join(reasons)}]"
