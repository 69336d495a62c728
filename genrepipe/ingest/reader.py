"""One part of a source as DuckDB reads it: its columns, its relation, and the rows that cannot be parsed."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from genrepipe.core.errors import SourceShapeError, StorageError
from genrepipe.core.quoting import file_literal, identifier, literal
from genrepipe.ingest import cells, files, recipes, sources, sqlite, text
from genrepipe.ingest.sources import Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genrepipe.contracts import Table
    from genrepipe.contracts.documents import Column
    from genrepipe.ingest.sources import Part, Source
    from genrepipe.ingest.text import Dialect
    from genrepipe.warehouse.connection import Database

ALIAS = "genrepipe_source"  # of a source's database; that of a warehouse is its file's name
COPY = "genrepipe_view"  # what a view of such a database says
# Every column as text. Binary text is decoded; DuckDB writes bytes as \xFF, and reads them so.
ALL_TEXT = (
    "CASE WHEN typeof(COLUMNS(*)) = 'BLOB' THEN decode(CAST(CAST(COLUMNS(*) AS VARCHAR) AS BLOB)) "
    "ELSE CAST(COLUMNS(*) AS VARCHAR) END"
)
MAX_LINE_BYTES = 2_000_000
ROW_NUMBER = "file_row_number"  # DuckDB's name of a row's position in a Parquet file
NO_DELIMITER = "\x1f"  # in no JSON: control characters are escaped there, RFC 8259
IS_OBJECT = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
FILTERED_IN, FILTERED = "quarantine_id", "filtered"  # the column that says so of a row that a recipe leaves out
COMPRESSION = {"": "none", ".gz": "gzip", ".zst": "zstd"}  # in DuckDB's words
PARSE_FAILURES = {
    "MISSING COLUMNS": "columns: has fewer cells than the header",
    "TOO MANY COLUMNS": "columns: has more cells than the header",
    "UNQUOTED VALUE": "quotes: a quoted cell does not end where it should",
    "LINE SIZE OVER MAXIMUM": f"size: is longer than {MAX_LINE_BYTES:,} bytes",
    "INVALID ENCODING": "encoding: is not text of the named encoding; see --encoding",
}


@dataclass(frozen=True)
class Reading:
    """What was read of a part.

    Attributes
    ----------
    header
        The names of its columns.
    columns
        Where in it the contract's columns are.
    rejected
        How many rows could not be parsed; they are in the relation ``unparsed``.
    uncounted
        How many records the reader saw too few, of a text file; below zero, too many.
    notes
        What was found that is unusual, for the user.
    """

    header: tuple[str, ...] = ()
    columns: Columns = field(default_factory=lambda: Columns({}))
    delimiter: str = ","
    rejected: int = 0
    uncounted: int = 0
    notes: tuple[str, ...] = ()


def read(
    database: Database, part: Part, source: Source, contract: Table, ordinal: int, insert: Callable[[str], int]
) -> Reading:
    """Call ``insert`` with a SELECT of the contract's columns as text, which reads the part's rows and returns their number.

    ``insert`` is called a second time where DuckDB's reader refuses a file whose lines end in more than one way.

    Raises
    ------
    SourceShapeError
        The part is not a table, or its columns are not those of the contract.
    StorageError
        The part cannot be read.
    """
    how = {"csv": _read_text, "json": _read_json}.get(part.kind, _read_typed)
    return how(database, part, source, contract, ordinal, insert)


def _read_typed(
    database: Database, part: Part, source: Source, contract: Table, _: int, insert: Callable[[str], int]
) -> Reading:
    with opened(database, part) as table:
        rows = table if part.kind == "table" else _read_parquet(part)
        described = database.rows(f"DESCRIBE SELECT * FROM {rows}", reading=part)
        kinds = {str(name): str(kind) for name, kind, *_ in described}
        if part.kind == "parquet":
            _refuse_repeated(database, part)
        header, columns = _columns(part, source, contract, list(kinds))

        def cell(at: int, column: Column) -> str:
            if at >= len(kinds):
                return cells.constant(part.constants[header[at]])
            said = source.recipe.columns.get(column.name)
            of_list = said.list if said else "refuse"
            return cells.as_text(database, part, rows, header[at], kinds[header[at]], column, of_list)

        insert(_select(source, contract, columns, cell, rows))
    return Reading(header, columns)


def _read_parquet(part: Part) -> str:
    file = file_literal(part.path)
    if part.rows is None:
        return f"read_parquet({file}, hive_partitioning = false)"
    first, last = part.rows
    return (
        f"(SELECT * EXCLUDE ({ROW_NUMBER}) FROM read_parquet({file}, hive_partitioning = false, {ROW_NUMBER} = true) "
        f"WHERE {ROW_NUMBER} >= {first} AND {ROW_NUMBER} < {last})"
    )


def _refuse_repeated(database: Database, part: Part) -> None:
    """Refuse a Parquet file with two columns of one name, the second of which DuckDB would rename."""
    fields = database.rows(f"SELECT name, num_children FROM parquet_schema({file_literal(part.path)})", reading=part)
    names, within = [], 0
    for name, children in fields[1:]:
        if not within:
            names.append(name)
        within = max(within - 1, 0) + (children or 0)
    alike = [sources.folded(name) for name in names]
    for name in alike:
        if alike.count(name) > 1:
            raise SourceShapeError(
                f"{part.name}: the column {name} occurs {alike.count(name)} times", "Keep one of them"
            )


def _columns(part: Part, source: Source, contract: Table, names: list[str]) -> tuple[tuple[str, ...], Columns]:
    """Return the columns of a part, after its own those that its folders name, and where the contract's columns are."""
    own = {sources.folded(name) for name in names}
    header = [*names, *(name for name in part.constants if sources.folded(name) not in own)]
    where = f"{part.name} (SQLite)" if part.kind == "table" and sqlite.is_sqlite(part.path) else part.name
    return tuple(header), sources.match_columns(header, contract, source.recipe, where)


def _select(source: Source, contract: Table, columns: Columns, cell: Callable[[int, Column], str], rows: str) -> str:
    """Return the SELECT of the contract's columns as the recipe has them.

    ``cell`` gives the SQL expression of the text at a position of the header, for one of the contract's columns. A row
    that the recipe's filter leaves out holds nothing but the mark of that.
    """
    recipe = source.recipe
    expressions = {}
    for column in contract.properties:
        at, said = columns.positions[column.name], recipe.columns.get(column.name)
        if said and said.constant is not None:
            expressions[column.name] = cells.constant(said.constant)
        elif said and said.hash:
            expressions[column.name] = recipes.made_id(cell(at, _text_of(column)) for at in columns.hashed)
        else:
            expressions[column.name] = cells.constant(None) if at is None else recipe.sql(cell(at, column), column)
    if recipe.filter:
        text = _text_of(contract.properties[0])
        left_out = recipe.is_left_out({name: cell(at, text) for name, at in columns.filtered.items()})
        expressions = {name: f"CASE WHEN NOT ({left_out}) THEN {each} END" for name, each in expressions.items()}
        if FILTERED_IN in expressions:
            expressions[FILTERED_IN] = (
                f"CASE WHEN {left_out} THEN {literal(FILTERED)} ELSE {expressions[FILTERED_IN]} END"
            )
    listed = ", ".join(f"{expression} AS {identifier(ours)}" for ours, expression in expressions.items())
    return f"SELECT {listed} FROM {rows}"


def _text_of(column: Column) -> Column:
    """Return a column of plain text, in which no cell is an id or a number."""
    return column.model_copy(update={"logicalType": "string", "primaryKey": False})


def _read_text(
    database: Database, part: Part, source: Source, contract: Table, ordinal: int, insert: Callable[[str], int]
) -> Reading:
    files.check_complete(part.path, part.name)
    dialect = text.detect(part.path, part.name, source.encoding, part.delimiter)
    if not any(name.strip() for name in dialect.header):
        if not files.head(part.path, 1 << 16).strip():
            if len(source.parts) > 1:  # a writer of many parts may have had nothing for this one
                return Reading(notes=("holds no rows",))
            raise SourceShapeError(f"{part.name} is empty", "Check that the export was complete")
        raise SourceShapeError(
            f"{part.name} has no header that can be read",
            "If it is text but not UTF-8, add --encoding windows-1252 or utf-16",
        )
    header, columns = _columns(part, source, contract, list(dialect.header))
    names = [f"c{i}" for i in range(len(dialect.header))]

    def cell(at: int, column: Column) -> str:
        if at >= len(names):
            return cells.constant(part.constants[header[at]])
        if dialect.decimal == "," and column.logicalType == "number":
            return f"replace({names[at]}, ',', '.')"
        if dialect.decimal == "," and column.primaryKey:  # 7,0 is 7.0
            return f"regexp_replace({names[at]}, '^([0-9]+),(0+)$', '\\1.\\2')"
        return f"CAST({names[at]} AS VARCHAR)"

    def read_rows(path: Path, how: Dialect) -> Reading:
        rows = insert(_select(source, contract, columns, cell, _read_csv(path, how, names)))
        rejected = _take_rejects(database, path, how, ordinal)
        _refuse_cut(database, part, path, ordinal, rows + rejected)
        lost = _uncounted(path, how, rows + rejected)
        return Reading(header, columns, how.delimiter, rejected, lost, how.notes)

    if dialect.plain:
        try:
            return read_rows(part.path, dialect)
        except SourceShapeError:
            # DuckDB's strict reader gives up where lines end in more than one way; its lenient one drops cells in silence.
            _drop_rejects(database)
    with _copied(part, dialect, database.scratch) as (path, how):
        return read_rows(path, how)


def _read_json(
    database: Database, part: Part, source: Source, contract: Table, ordinal: int, insert: Callable[[str], int]
) -> Reading:
    """Read JSON Lines: one object in each line, whose keys are the columns."""
    files.check_complete(part.path, part.name)
    dialect = text.detect(part.path, part.name, "utf-8", NO_DELIMITER)  # JSON is in no other, RFC 8259
    how = replace(
        dialect,
        header=("line",),
        delimiter=NO_DELIMITER,
        quote="",
        begins_at=0,
        skipped=0,
        spaced=False,
        notes=(),
        plain=False,
    )
    with _copied(part, how, database.scratch) as (path, how):
        database.execute(
            f"CREATE OR REPLACE TEMP TABLE json_lines AS SELECT line FROM {_read_csv(path, how, ['line'])} WHERE line <> ''",
            reading=part,
        )
        rejected = int(database.value("SELECT count(*) FROM reject_errors"))
        _drop_rejects(database)
        uncounted = _uncounted(path, how, int(database.value("SELECT count(*) FROM json_lines")) + rejected)
    if rejected:
        raise SourceShapeError(
            f"{part.name}: {rejected:,} of its lines are not UTF-8, or longer than {MAX_LINE_BYTES:,} bytes",
            "Write JSON in UTF-8, one object a line",
        )
    database.execute(
        f"INSERT INTO unparsed SELECT row_id_of({ordinal}, rowid + 1), 'json: is not a JSON object', line FROM json_lines "
        f"WHERE NOT {IS_OBJECT}"
    )
    database.execute(f"UPDATE json_lines SET line = NULL WHERE NOT {IS_OBJECT}")
    rejected = int(database.value("SELECT count(*) FROM unparsed WHERE part_of(row_id) = ?", [ordinal]))
    names = [
        str(name)
        for (name,) in database.rows(
            "SELECT name FROM (SELECT unnest(json_keys(line)) AS name, rowid FROM json_lines) GROUP BY name ORDER BY min(rowid)"
        )
    ]
    if not names:
        raise SourceShapeError(
            f"{part.name} holds no line that is a JSON object",
            "Write one object a line, for example: jq -c '.[]' in.json > out.jsonl",
        )
    header, columns = _columns(part, source, contract, names)
    own = sorted(at for at in columns.used if at < len(names))
    paths = {at: "$." + json.dumps(names[at], ensure_ascii=False) for at in own}
    for at in own:
        _refuse_objects(database, part, names[at], paths[at])
    values = f"json_extract_string(line, [{', '.join(map(literal, paths.values()))}])"
    rows = f"(SELECT {values} AS v FROM json_lines WHERE line IS NOT NULL ORDER BY rowid)"

    def cell(at: int, _: Column) -> str:
        return cells.constant(part.constants[header[at]]) if at >= len(names) else f"v[{own.index(at) + 1}]"

    insert(_select(source, contract, columns, cell, rows))
    database.execute("DROP TABLE json_lines")
    return Reading(header, columns, NO_DELIMITER, rejected, uncounted)


def _refuse_objects(database: Database, part: Part, name: str, path: str) -> None:
    """Refuse a key whose values are objects, or lists of anything but texts, which the contract has no column for."""
    kind, first = f"json_type(line, {literal(path)})", f"json_type(line, {literal(path + '[0]')})"
    found = database.value(
        f"SELECT any_value({kind}) FROM json_lines "
        f"WHERE ({kind} = 'OBJECT' OR ({kind} = 'ARRAY' AND coalesce({first}, '') <> 'VARCHAR'))"
    )
    if found is not None:
        what = "an object" if found == "OBJECT" else "a list"
        raise SourceShapeError(
            f"{part.name}: {name[:60]} is {what} in some lines, and one value is read",
            "Write it as text or as a number",
        )


@dataclass(frozen=True)
class Sample:
    """The first rows of a part, every column as text.

    Attributes
    ----------
    header
        The names of its columns, in the order of those of ``rows``, which are c0, c1 and so on.
    lists
        The names of those that hold lists.
    """

    header: tuple[str, ...]
    rows: pl.DataFrame
    lists: tuple[str, ...] = ()


def sample(database: Database, part: Part, source: Source, limit: int) -> Sample:
    """Return the first ``limit`` rows of a part; those that cannot be parsed are passed over.

    Raises
    ------
    SourceShapeError
        It is no table.
    StorageError
        It cannot be read.
    """
    if part.kind == "csv":
        files.check_complete(part.path, part.name)
        dialect = text.detect(part.path, part.name, source.encoding, part.delimiter)
        names = [f"c{i}" for i in range(len(dialect.header))]
        if not any(name.strip() for name in dialect.header):
            raise SourceShapeError(
                f"{part.name} has no header that can be read", "Write the names of the columns into its first line"
            )
        with (
            nullcontext((part.path, dialect)) if dialect.plain else _copied(part, dialect, database.scratch) as (
                path,
                how,
            )
        ):
            rows = database.frame(f"FROM {_read_csv(path, how, names)} LIMIT {limit}")
            _drop_rejects(database)
        return Sample(dialect.header, rows)
    if part.kind == "json":
        files.check_complete(part.path, part.name)
        lines = files.head(part.path, limit * 1000).splitlines()[:limit]
        objects = [each for line in lines if isinstance(each := _object(line), dict)]
        header = tuple(dict.fromkeys(str(name) for each in objects for name in each))
        cells_of = {name: [_cell(each.get(name)) for each in objects] for name in header}
        lists = tuple(name for name in header if any(isinstance(each.get(name), list) for each in objects))
        return Sample(header, _texts(list(cells_of.values())), lists)
    with opened(database, part) as table:
        rows_of = (
            table if part.kind == "table" else f"read_parquet({file_literal(part.path)}, hive_partitioning = false)"
        )
        described = database.rows(f"DESCRIBE SELECT * FROM {rows_of}", reading=part)
        header = tuple(str(name) for name, *_ in described)
        texts = ", ".join(f"CAST({identifier(name)} AS VARCHAR) AS c{i}" for i, name in enumerate(header))
        rows = database.frame(f"SELECT {texts} FROM {rows_of} LIMIT {limit}")
    return Sample(header, rows, tuple(str(name) for name, kind, *_ in described if str(kind).endswith("]")))


def _object(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _cell(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _texts(columns: list[list[str | None]]) -> pl.DataFrame:
    return pl.DataFrame({f"c{i}": pl.Series(each, dtype=pl.String) for i, each in enumerate(columns)})


@contextmanager
def _copied(part: Part, dialect: Dialect, scratch: Path) -> Iterator[tuple[Path, Dialect]]:
    """Yield a copy of a text file that DuckDB's reader takes, and how it is written."""
    scratch.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".csv", dir=scratch) as copy:
        how = text.rewrite(part.path, part.name, dialect, copy)  # type: ignore[arg-type]
        copy.flush()
        yield Path(copy.name), how


@contextmanager
def opened(database: Database, part: Part) -> Iterator[str]:
    """Yield the name by which a table part is read, as long as its database is open.

    A table of another file is read where it is. A view of one may name any file here, so what it says is copied by a
    connection that can reach no other; text suffices, as all of a source is read as text.
    """
    name = ".".join(identifier(each) for each in part.table.split("."))
    if part.kind != "table" or (database.shown_as is not None and _same(part.path, database.shown_as)):
        yield name  # the warehouse's own tables can be a source too; a file cannot be attached to itself
        return
    if sqlite.is_sqlite(part.path):
        sqlite.copy(database, part, COPY)
        yield COPY
        return
    database.execute(f"ATTACH {literal(str(part.path))} AS {ALIAS} (READ_ONLY)", reading=part)
    try:
        is_table = database.value(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = ? AND table_name = ? AND schema_name = ?",
            [ALIAS, *reversed(["main", *part.table.split(".")][-2:])],
        )
        if is_table:
            yield f"{ALIAS}.{name}"
    finally:
        database.execute(f"DETACH {ALIAS}")
    if not is_table:
        database.copy_from(part.path, f"SELECT {ALL_TEXT} FROM {name}", COPY, reading=part)
        try:
            yield COPY
        finally:
            database.execute(f"DROP TABLE {COPY}")


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _read_csv(path: Path, how: Dialect, names: list[str]) -> str:
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    header = f"header = true, skip = {how.skipped}" if how.plain else "header = false"
    return (
        f"read_csv({file_literal(path)}, compression = '{COMPRESSION[files.compression(path)]}', auto_detect = false, "
        f"max_line_size = {MAX_LINE_BYTES}, {header}, delim = {literal(how.delimiter)}, quote = {literal(how.quote)}, "
        f"escape = {literal(how.quote)}, store_rejects = true, rejects_limit = 0, columns = {{{columns}}})"
    )


def _take_rejects(database: Database, path: Path, how: Dialect, ordinal: int) -> int:
    """Move what the CSV reader rejected into the relation ``unparsed``, and return how many rows that are.

    DuckDB counts lines: a header is the first, and blank ones count too, although they are no rows. It gives a row with
    the blank lines before it.
    """
    database.execute("CREATE OR REPLACE TEMP TABLE blank_lines (line BIGINT, blank_before BIGINT)")
    if database.value("SELECT count(*) FROM reject_errors"):
        blank = files.blank_lines(path, how.delimiter, how.quote)
        if blank:
            database.insert("blank_lines", pl.DataFrame({"line": blank, "blank_before": range(1, len(blank) + 1)}))
    reason = "CASE error_type " + " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in PARSE_FAILURES.items())
    database.execute(
        f"""
        INSERT INTO unparsed
        SELECT row_id_of({ordinal}, rejected.line - {int(how.plain)} - coalesce(blank_before, 0)), reason, received
        FROM (
            SELECT line, any_value({reason} ELSE lower(error_type) END) AS reason, any_value(ltrim(csv_line, '\r\n')) AS received
            FROM reject_errors GROUP BY line
        ) AS rejected ASOF LEFT JOIN blank_lines ON rejected.line > blank_lines.line
        """
    )
    _drop_rejects(database)
    return int(database.value("SELECT count(*) FROM unparsed WHERE part_of(row_id) = ?", [ordinal]))


def _drop_rejects(database: Database) -> None:
    database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")


def _uncounted(path: Path, how: Dialect, rows: int) -> int:
    """Return how many records of a file, as counted without DuckDB, its reader has not seen."""
    header = int(how.plain)
    if files.count_records(path, how.quote) - header == rows:
        return 0
    # Quotes within cells are no quotes around them: to tell them takes longer.
    return files.count_lines(path, how.delimiter, how.quote) - header - rows


def refuse_uncounted(part: Part, reading: Reading, rows: int) -> None:
    """Stop where the reader saw another number of records than the file holds.

    Raises
    ------
    SourceShapeError
        It did.
    """
    if reading.uncounted:
        raise SourceShapeError(
            f"{part.name} holds {rows + reading.uncounted:,} records, of which {rows:,} could be read",
            f"Look for a line of more than {MAX_LINE_BYTES:,} bytes, or for quotes that are not closed",
        )


def refuse_swallowed(database: Database, part: Part, reading: Reading, ordinal: int, swallowed: str) -> None:
    """Stop where an unclosed quote made one cell of several rows: these cannot be counted.

    ``swallowed`` is a SELECT of the numbers of the rows that were read and have such a cell.

    Raises
    ------
    SourceShapeError
        There is one, or a line that could not be parsed holds a line break and the delimiters of more than one row.
    """
    several = 3 * (len(reading.header) - 1) // 2
    row = database.value(
        f"""
        SELECT min(row_number) FROM (
            SELECT row_number_of(row_id) AS row_number FROM unparsed
            WHERE part_of(row_id) = ? AND contains(received, chr(10))
            AND length(received) - length(replace(received, {literal(reading.delimiter)}, '')) >= {several}
            UNION ALL {swallowed}
        )
        """,
        [ordinal],
    )
    if row is not None:
        raise SourceShapeError(
            f"{part.name}: a quote that opens in row {row:,} is not closed and swallows the rows after it",
            "Correct the quotes, or export again with every quote in a cell doubled",
        )


def _refuse_cut(database: Database, part: Part, path: Path, ordinal: int, rows: int) -> None:
    """Stop where a text file ends within the last of its ``rows``, with no line end after it.

    Raises
    ------
    StorageError
        It does.
    """
    if files.compression(part.path) or files.ends_in_line_end(path):
        return
    reason = database.value("SELECT reason FROM unparsed WHERE row_id = row_id_of(?, ?)", [ordinal, rows])
    if reason == PARSE_FAILURES["MISSING COLUMNS"]:
        raise StorageError(
            f"{part.name} ends within row {rows:,}", "It may be cut short or still be written: deliver it again"
        )
