"""How a text file is written: its encoding, delimiter, quotes, decimal mark and header, and what stands before the header.

DuckDB reads a file as it is where that is UTF-8, begins with its header, and ends as files end. Of any other a copy is made,
without its header: in UTF-8, with line feeds.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from genrepipe.core.errors import SourceShapeError, UsageError
from genrepipe.ingest import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = 1 << 20  # bytes from which a dialect is told
SAMPLE = 200  # rows from which the decimal mark is told
DELIMITERS = ",\t;|"
BOM = "\ufeff"
ENDS = "\x1a\0"  # a mark of the end from CP/M and DOS, and padding
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")  # in no name of a column
QUOTED = re.compile(r'"(?:[^"]|"")*"?')
SPACED = re.compile(r'[,;|\t] +"')
# Cells that are numbers, with a decimal comma and with a point.
COMMAS = re.compile(r'(?:^|[\t;|"])-?\d+,\d+(?=[\t;|"\r\n]|$)', re.MULTILINE)
POINTS = re.compile(r'(?:^|[\t;|"])-?\d*\.\d+(?=[\t;|"\r\n]|$)', re.MULTILINE)
# A cell that begins with a quote, and one that is quoted as a whole, where tabs are between cells.
TAB_QUOTES = re.compile(r'(?:^|\t)"', re.MULTILINE)
TAB_QUOTED = re.compile(r'(?:^|\t)"(?:[^"\t\n]|"")*"(?=\t|$)', re.MULTILINE)


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes
    ----------
    encoding
        A codec of Python.
    begins_at
        Where the rows begin: characters after any byte order mark.
    skipped
        Blank lines before the header.
    decimal
        The decimal mark of numbers, a point or a comma.
    quote
        The quote around cells; none where quotes are characters as any other.
    plain
        Whether DuckDB reads the file as it is.
    notes
        What was found that is unusual, for the user.
    """

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    begins_at: int
    skipped: int = 0
    decimal: str = "."
    quote: str = '"'
    spaced: bool = False
    plain: bool = True
    notes: tuple[str, ...] = ()


def check_encoding(encoding: str) -> str:
    """Return the name of a text encoding as Python has it.

    Raises
    ------
    UsageError
        There is no such encoding of text.
    """
    try:
        found = codecs.lookup(encoding)
        is_text = found._is_text_encoding  # as str.encode asks
    except (LookupError, ValueError, UnicodeError):
        is_text = False
    if not is_text:
        raise UsageError(
            f"The encoding {encoding!r} is not known",
            "Use --encoding utf-8, windows-1252, latin-1, utf-16 or another of Python's",
        )
    return {"utf-8-sig": "utf-8", "utf_8_sig": "utf-8", "iso8859-1": "latin-1", "cp1252": "windows-1252"}.get(
        found.name, found.name
    )


def detect(path: Path, name: str, encoding: str, delimiter: str | None = None) -> Dialect:
    """Return how a file is written, as its beginning and its end show it.

    Raises
    ------
    SourceShapeError
        It is not text of the encoding.
    StorageError
        It cannot be read.
    """
    head = files.head(path, HEAD)
    encoding, notes = _encoding(head, encoding, name)
    text = _decoded(head, encoding, name)
    marks = len(text) - len(text.lstrip(BOM))
    text = text[marks:]
    lines = LINE.findall(text)
    skipped, at, found = _before_the_header(lines)
    plain = encoding == "utf-8" and marks < 2 and at == skipped
    if at > skipped:
        notes.append(f"{at} lines before the header are not read")
    rest = "".join(lines[at:])
    first = lines[at] if at < len(lines) else ""
    delimiter = found or (delimiter if delimiter and delimiter in first else _delimiter(first))
    spaced = bool(SPACED.search(QUOTED.sub('""', first)))
    header, used = _header(lines[at:], delimiter, spaced=spaced)
    begins_at = sum(map(len, lines[: at + used]))
    if delimiter != ",":
        notes.append(f"cells are delimited by {_called(delimiter)}")
    body = "".join(lines[at + used : at + used + SAMPLE])
    decimal = "."
    if delimiter != "," and len(COMMAS.findall(body)) > len(POINTS.findall(body)):
        decimal = ","
        notes.append("numbers have a decimal comma")
    plain = (
        plain
        and used <= 1
        and not spaced
        and "\r" not in rest.replace("\r\n", "")
        and not files.has_padding(path, ENDS.encode())
    )
    dialect = Dialect(
        encoding, delimiter, tuple(header), begins_at, skipped, decimal, spaced=spaced, plain=plain, notes=tuple(notes)
    )
    if delimiter == "\t" and _quotes_are_characters(path, name, dialect):
        return replace(dialect, quote="", notes=(*notes, "quotes are read as characters"))
    return dialect


def _called(delimiter: str) -> str:
    return {"\t": "tabs", ";": "semicolons", "|": "bars"}.get(delimiter, repr(delimiter))


def _encoding(head: bytes, encoding: str, name: str) -> tuple[str, list[str]]:
    """Return the encoding of a file, by its byte order mark or by where its zeros are, and a note where it is not the named one."""
    for mark, found in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if head.startswith(mark) and not head.startswith(codecs.BOM_UTF32_LE):
            return found, [] if encoding.startswith("utf-16") else [f"its byte order mark says {found.upper()}"]
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8", [] if encoding == "utf-8" else ["its byte order mark says UTF-8"]
    if encoding != "utf-16":
        return encoding, []
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if not even and not odd:
        raise SourceShapeError(f"{name} is not UTF-16 text", "Leave --encoding out, or name another one")
    return ("utf-16-be" if even > odd else "utf-16-le"), []


def _decoded(head: bytes, encoding: str, name: str) -> str:
    # A row that is not UTF-8 is quarantined as one row; where all is to be decoded, all must be right.
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding == "utf-8" else "strict")
    try:
        return decoder.decode(head)
    except UnicodeError as error:
        raise _not_text(name, encoding, error) from error


def _not_text(name: str, encoding: str, error: UnicodeError) -> SourceShapeError:
    at = f": 0x{error.object[error.start]:02x} is no character there" if isinstance(error, UnicodeDecodeError) else ""
    return SourceShapeError(
        f"{name} is not {encoding} text{at}", "Name its encoding with --encoding: utf-8, windows-1252, latin-1, utf-16"
    )


def _before_the_header(lines: list[str]) -> tuple[int, int, str | None]:
    """Return how many blank lines come first, which line is the header, and the delimiter that a line ``sep=;`` names."""
    found, blank = None, 0
    for at, line in enumerate(lines):
        text = line.strip(" \r\n")  # a tab may be what sep= names
        if not line.strip("\r\n"):
            blank += blank == at
        elif match := SEPARATOR.fullmatch(text):
            found = match[1]
        elif not (text.startswith("#") and _is_comment(text, lines[at + 1 :])):
            return blank, at, found
    return blank, len(lines), found


def _is_comment(text: str, after: list[str]) -> bool:
    """Return whether a line is none of the table: a line after it has more cells."""
    follows = next((line for line in after if line.strip() and not line.lstrip().startswith("#")), "")
    return max(map(follows.count, DELIMITERS)) > max(map(text.count, DELIMITERS))


def _delimiter(header: str) -> str:
    outside = QUOTED.sub("", header)
    return max(DELIMITERS, key=lambda each: (outside.count(each), each == ","))


def _header(lines: list[str], delimiter: str, *, spaced: bool) -> tuple[list[str], int]:
    """Return the cells of the first record, none where it is not one, and how many lines it has."""
    reader = csv.reader(iter(lines), delimiter=delimiter, skipinitialspace=spaced)
    try:
        cells = next(reader, [])
    except csv.Error:
        return [], 1
    if any(CONTROL.search(cell) for cell in cells):
        return [], 1
    if reader.line_num > 1 and reader.line_num >= len(lines):  # a quote that is never closed
        return [], 1
    return cells, max(reader.line_num, 1) if lines else 0


def _quotes_are_characters(path: Path, name: str, dialect: Dialect) -> bool:
    """Return whether a table with tabs has quotes that begin a cell and end none, and as many cells in each line as there are columns.

    MySQL, psql and others write such files: nothing in them is quoted.
    """
    columns = len(dialect.header)
    if columns < 2:
        return False
    opened = closed = 0
    for lines in _whole_lines(_line_feeds(_body(path, name, dialect))):
        opened += len(TAB_QUOTES.findall(lines))
        closed += len(TAB_QUOTED.findall(lines))
    if opened == closed:
        return False
    return all(
        line.count("\t") == columns - 1 or not line.strip()
        for lines in _whole_lines(_line_feeds(_body(path, name, dialect)))
        for line in lines.split("\n")
    )


def rewrite(path: Path, name: str, dialect: Dialect, out: BinaryIO) -> Dialect:
    """Write the rows of a file, without header, in UTF-8 and with line feeds, and return how they are written there.

    Raises
    ------
    SourceShapeError
        The file is not text of its encoding.
    """
    text = _line_feeds(_body(path, name, dialect))
    if dialect.spaced:
        rows = csv.reader(_lines(text), delimiter=dialect.delimiter, skipinitialspace=True)
        wrapper = io.TextIOWrapper(out, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
        csv.writer(wrapper, delimiter=dialect.delimiter, lineterminator="\n").writerows(rows)
        wrapper.detach()
    else:
        out.writelines(chunk.encode("utf-8", "surrogateescape") for chunk in text)
    return replace(dialect, encoding="utf-8", begins_at=0, skipped=0, spaced=False, plain=False)


def _body(path: Path, name: str, dialect: Dialect) -> Iterator[str]:
    """Yield the text after the header, without what stands after the end."""
    errors = "surrogateescape" if dialect.encoding == "utf-8" else "strict"
    decoder = codecs.getincrementaldecoder(dialect.encoding)(errors)
    left, begun, kept = dialect.begins_at, False, ""
    try:
        for chunk in files.decompressed(path):
            text = decoder.decode(chunk)
            if not begun:
                text = text.lstrip(BOM)
                begun = bool(text)
            cut = min(left, len(text))
            left, text = left - cut, kept + text[cut:]
            kept = text[len(text.rstrip(ENDS)) :]
            yield text[: len(text) - len(kept)]
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise _not_text(name, dialect.encoding, error) from error


def _line_feeds(chunks: Iterator[str]) -> Iterator[str]:
    kept = ""
    for chunk in chunks:
        text = kept + chunk
        kept = "\r" if text.endswith("\r") else ""  # its line feed may come with the next chunk
        yield text[: len(text) - len(kept)].replace("\r\n", "\n").replace("\r", "\n")
    if kept:
        yield "\n"


def _whole_lines(chunks: Iterator[str]) -> Iterator[str]:
    """Yield text in pieces that end where a line does."""
    kept = ""
    for chunk in chunks:
        lines, end, kept = (kept + chunk).rpartition("\n")
        yield lines + end
    yield kept


def _lines(chunks: Iterator[str]) -> Iterator[str]:
    kept = ""
    for chunk in chunks:
        *lines, kept = (kept + chunk).split("\n")
        yield from (f"{line}\n" for line in lines)
    if kept:
        yield kept
