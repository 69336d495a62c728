"""The steps: one SELECT per file in ``sql/``, each with the relations it reads, the one it makes, and its scope.

A file declares itself in its first comments::

    -- The rows that keep the contract, one for each track.
    -- reads: landed, superseded
    -- makes: accepted (view)
    -- scope: track

``registry()`` holds all of them. A ``Steps`` runs them on one connection: inputs are bound by name, and ``make`` runs a
step after those that it depends on.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal, cast

import duckdb

from genrepipe import contracts
from genrepipe.contracts.rules import row_rules
from genrepipe.core import assets
from genrepipe.core.errors import ConfigurationError, GenrepipeError
from genrepipe.core.profile import Profile
from genrepipe.core.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import polars as pl

    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.failures import NamedFile

Scope = Literal["row", "track", "artist", "run"]
PHASES = ("land", "catalogue", "features", "quality")
# The relations that code binds, and their columns.
INPUTS: dict[str, str] = {
    "run": "run_id VARCHAR, run_date DATE, job VARCHAR, action VARCHAR, delivery VARCHAR, started_at TIMESTAMP",
    "as_of": "run_date DATE",
    "parts": "ordinal BIGINT, file VARCHAR",
    "unparsed": "row_id BIGINT, reason VARCHAR, received VARCHAR",
    "known_rows": "row_id BIGINT, history_row BIGINT",
    "delivery": (
        "received BIGINT, accepted BIGINT, quarantined BIGINT, duplicates BIGINT, empty BIGINT, source_sha256 VARCHAR, "
        "source_age_hours DOUBLE, known BIGINT, withdrawn BIGINT, files_not_read BIGINT, absent VARCHAR[]"
    ),
    "medians": "duration_ms FLOAT",
    "wanted": "track_id VARCHAR",
    "new_labels": "track_id VARCHAR, genre VARCHAR",
}
# The relation that each part of the source is bound to in turn, and the one that collects the rows made of it.
PART = "received"
ACCUMULATED = {"landed": "judged"}
# Relations that are whole wherever a step runs: they are of the run, not of its rows.
WHOLE = {"run", "runs", "as_of", "parts", "medians", "delivery"}
# Columns of the history that say when a row holds, rather than what was delivered.
KEPT_BY_US = {
    "job", "track_id", "from_run_date", "to_run_date", "since", "is_current", "first_run_date", "known_genre", "artist_key", "received_hash",
}  # fmt: skip


def _delivered_values() -> dict[str, str]:
    columns = contracts.load("tracks").named("track_history").columns
    return {"values": ", ".join(identifier(name) for name in columns if name not in KEPT_BY_US)}


# Values of the placeholders in a step's SQL.
PLACEHOLDERS: dict[str, Callable[[], Mapping[str, str]]] = {
    "judged": lambda: dict(
        zip(("keeps_contract", "reasons"), row_rules(contracts.load("source_tracks").table), strict=True)
    ),
    "cleaned": lambda: {"genres": ", ".join(map(literal, contracts.genres()))},
    "scorable": lambda: {"genres": ", ".join(map(literal, contracts.genres()))},
    "same_rows": _delivered_values,
}


@dataclass(frozen=True)
class Step:
    """One SELECT.

    ``feeds`` are the tables of the warehouse into which code writes what is made of it. ``scope`` says which rows must be together for the answer to be right: each row stands alone, all rows of a track,
    all tracks of an artist, or the whole run.
    """

    name: str
    description: str
    reads: tuple[str, ...]
    feeds: tuple[str, ...]
    kind: Literal["view", "table"]
    scope: Scope
    phase: str
    text: str

    @property
    def sql(self) -> str:
        """The SELECT, with its placeholders filled."""
        text = self.text
        for key, value in PLACEHOLDERS.get(self.name, dict)().items():
            text = text.replace(f"{{{key}}}", value)
        return text


def header(text: str) -> dict[str, str]:
    """Return what the first comments of an SQL file declare; the first line is the ``description``."""
    lines = list(takewhile(lambda line: line.startswith("--"), text.splitlines()))
    declared = {"description": lines[0].removeprefix("--").strip()} if lines else {}
    for line in lines[1:]:
        if found := re.match(r"-- (reads|makes|feeds|scope|parameters): (.+)$", line):
            declared[found[1]] = found[2]
    return declared


def names(declared: Mapping[str, str], key: str = "reads") -> tuple[str, ...]:
    """Return a comma-separated declaration as names."""
    return tuple(name.strip() for name in declared.get(key, "").split(",") if name.strip())


def _read(path: Path) -> Step:
    text = path.read_text(encoding="utf-8")
    declared = header(text)
    makes = re.fullmatch(r"(\w+) \((view|table)\)", declared.get("makes", ""))
    if makes is None or makes[1] != path.stem or declared.get("scope") not in {"row", "track", "artist", "run"}:
        raise ConfigurationError(
            f"{path} must declare 'makes: {path.stem} (view)' or '(table)', and a scope",
            "Restore it, or correct what was changed",
        )
    return Step(
        makes[1], declared["description"], names(declared), names(declared, "feeds"), cast("Any", makes[2]), cast("Any", declared["scope"]),
        path.parent.name, text,
    )  # fmt: skip


@cache
def registry() -> dict[str, Step]:
    """Return the steps of ``sql/`` by name, phase by phase, each after those that it reads."""
    folder = assets.shipped("sql")
    steps = {path.stem: _read(path) for phase in PHASES for path in sorted((folder / phase).glob("*.sql"))}
    order = TopologicalSorter({name: [ACCUMULATED.get(r, r) for r in step.reads] for name, step in steps.items()})
    ordered = [steps[name] for name in order.static_order() if name in steps]
    return {step.name: step for step in sorted(ordered, key=lambda step: PHASES.index(step.phase))}


def referenced_tables(database: Database, sql: str) -> set[str]:
    """Return the tables and views that a SELECT reads, as DuckDB parses it; its own CTEs are left out.

    Raises
    ------
    ConfigurationError
        It is no SELECT.
    """
    parsed = json.loads(database.value("SELECT json_serialize_sql(?)", [sql]))
    if parsed["error"]:
        raise ConfigurationError(
            f"A query of contracts/ or sql/ cannot be parsed: {parsed['error_message']}",
            "Restore it, or correct what was changed",
        )
    tables: set[str] = set()
    ctes: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "BASE_TABLE":
                tables.add(node["table_name"])
            if "cte_map" in node:
                ctes.update(entry["key"] for entry in node["cte_map"]["map"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(parsed["statements"])
    return tables - ctes


@cache
def is_whole(name: str) -> bool:
    """Return whether a relation is of the run, or made of such alone."""
    step = registry().get(name)
    return name in WHOLE or (step is not None and bool(step.reads) and all(map(is_whole, step.reads)))


class Steps:
    """The relations of one run on one connection: inputs that were bound, and steps that were made of them.

    Relations are temporary tables and views. Tables of the warehouse need no binding.

    Parameters
    ----------
    scopes
        Of which scopes all rows are together on this connection; None is all of the run. A step of another scope is refused,
        other than one that reads only what is whole everywhere.
    """

    def __init__(
        self, database: Database, profile: Profile | None = None, scopes: frozenset[Scope] | None = None
    ) -> None:
        self.database, self.profile, self._scopes = database, profile or Profile(), scopes
        self._bound: set[str] = set()
        database.create_macros()

    def __contains__(self, name: str) -> bool:
        return name in self._bound

    def bind(
        self, name: str, select: str, *, kind: Literal["view", "table"] = "view", reading: NamedFile | None = None
    ) -> None:
        """Bind a relation to a SELECT; failures are those of the file ``reading``, where it is given.

        Raises
        ------
        ValueError
            The name is bound already.
        """
        self._claim(name)
        try:
            self.database.execute(f"CREATE TEMP {kind.upper()} {name} AS {select}", reading=reading)
        except BaseException:
            self._bound.discard(name)
            raise

    def bind_row(self, name: str, **values: Any) -> None:
        """Bind an input of one row, whose columns ``INPUTS`` declares."""
        self.declare(name)
        self.database.insert_row(name, values)

    def declare(self, name: str) -> None:
        """Bind an input to an empty table, whose columns ``INPUTS`` declares."""
        self._claim(name)
        self.database.execute(f"CREATE TEMP TABLE {name} ({INPUTS[name]})")

    def bind_frame(self, name: str, frame: pl.DataFrame) -> None:
        """Bind an input to the rows of a frame."""
        self.declare(name)
        self.database.insert(name, frame)

    def release(self, *names: str) -> None:
        """Drop relations, and every view and table that was made of them by a step."""
        for name in names:
            if name not in self._bound:
                continue
            dependents = [step.name for step in registry().values() if name in step.reads and step.name in self._bound]
            self._bound.discard(name)
            self.release(*dependents)
            is_view = self.database.value(
                "SELECT count(*) FROM duckdb_views() WHERE temporary AND view_name = ?", [name]
            )
            self.database.execute(f"DROP {'VIEW' if is_view else 'TABLE'} temp.{name}")

    @contextmanager
    def bound(self, name: str, select: str, *, reading: NamedFile | None = None) -> Iterator[None]:
        """Bind a relation for as long as this lasts."""
        self.bind(name, select, reading=reading)
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error, GenrepipeError):  # in a transaction that failed nothing can be dropped
                self.release(name)
            raise
        self.release(name)

    def after_rollback(self) -> None:
        """Forget the relations that were bound in a transaction which was rolled back: they are gone."""
        temporary = self.database.rows(
            "SELECT table_name FROM duckdb_tables() WHERE temporary UNION ALL SELECT view_name FROM duckdb_views() WHERE temporary"
        )
        self._bound &= {name for (name,) in temporary}

    def make(self, *wanted: str) -> None:
        """Run steps after those that they depend on; what is bound or made already stands.

        Raises
        ------
        ValueError
            A step reads a relation that is neither bound, nor made by a step, nor a table of the warehouse; or needs rows
            together that are not here.
        """
        for name in wanted:
            if name in self._bound:
                continue
            step = registry().get(name)
            if step is None:
                if self._in_warehouse(name):
                    continue
                msg = f"the relation {name} is not bound, and no step makes it"
                raise ValueError(msg)
            if self._scopes is not None and step.scope not in self._scopes and not is_whole(name):
                msg = f"the step {name} is of scope {step.scope}, here are all rows of {', '.join(sorted(self._scopes))} together"
                raise ValueError(msg)
            self.make(*step.reads)
            if step.kind == "view":
                self.bind(name, step.sql)
                continue
            with self.profile.step(name) as measured:
                self.bind(name, step.sql, kind="table")
                measured.rows = int(self.database.value(f"SELECT count(*) FROM {name}")) if self.profile.enabled else 0

    def make_for(self, sql: str) -> set[str]:
        """Make every relation that a query reads, and return their names."""
        names = referenced_tables(self.database, sql)
        self.make(*sorted(names))
        return names

    def _claim(self, name: str) -> None:
        if name in self._bound:
            msg = f"the relation {name} is bound already"
            raise ValueError(msg)
        self._bound.add(name)

    def _in_warehouse(self, name: str) -> bool:
        return bool(
            self.database.value(
                "SELECT count(*) FROM (SELECT table_name AS name, database_name, schema_name, temporary FROM duckdb_tables() "
                "UNION ALL SELECT view_name, database_name, schema_name, temporary FROM duckdb_views()) "
                "WHERE database_name = current_database() AND schema_name = 'main' AND name = ? AND NOT temporary",
                [name],
            )
        )
