"""What pages about models and data are made of: pieces of a part, each a mapping that ``study.html`` knows by its ``kind``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Piece = dict[str, Any]
Figure = tuple[str, str, object, tuple[str, ...]]  # name, figure, chart, labels of its axis


def text(*lines: str, title: str = "", soft: bool = False) -> Piece:
    """Return paragraphs."""
    return {"kind": "text", "title": title, "note": "", "lines": lines, "soft": soft}


def key(*entries: tuple[str, str]) -> Piece:
    """Return what the shapes of a chart mean; a shape is a class of ``page.css``: fill, step, tick or round."""
    return {"kind": "key", "title": "", "entries": entries}


def facts(*rows: tuple[str, str, str, str]) -> Piece:
    """Return facts, each with its name, value, a note and an id."""
    return {"kind": "facts", "title": "", "facts": rows}


def row(name: str, *cells: str, chart: object = "", note: str = "", genre: bool = False, hot: bool = False) -> Piece:
    """Return a row of ``rows``; the name of a genre gets its colour."""
    return {"name": name, "cells": cells, "chart": chart, "note": note, "genre": genre, "hot": hot}


def rows(
    caption: str, head: Sequence[str], lines: Iterable[Piece], *, chart: Sequence[str] = (), width: str = "40%", title: str = "", note: str = ""
) -> Piece:  # fmt: skip
    """Return a table of numbers, with a chart at the end of each row whose axis has the labels ``chart``."""
    return {"kind": "rows", "caption": caption, "head": head, "rows": list(lines), "chart": chart, "width": width, "title": title, "note": note}  # fmt: skip


def table(caption: str, head: Sequence[str], lines: Iterable[Sequence[object]]) -> Piece:
    """Return a table of text."""
    return {"kind": "table", "title": "", "caption": caption, "head": head, "rows": list(lines)}


def multiples(
    figures: Iterable[Figure], *, wide: bool = False, title: str = "", note: str = "", genres: Sequence[str] = ()
) -> Piece:
    """Return small charts of one kind; ``genres`` are those whose colours they use."""
    return {
        "kind": "multiples", "figures": list(figures), "wide": wide, "title": title, "note": note, "genres": genres,
    }  # fmt: skip


def chart(drawn: object, *, title: str = "", note: str = "", ends: Sequence[str] = ()) -> Piece:
    """Return one chart."""
    return {"kind": "chart", "chart": drawn, "title": title, "note": note, "ends": ends}


def code(*lines: str, title: str = "") -> Piece:
    """Return commands."""
    return {"kind": "code", "lines": lines, "title": title, "note": ""}


def beside(*parts: Sequence[Piece], wide: bool = False) -> Piece:
    """Return pieces in two columns; with ``wide`` the first is the wider one."""
    return {"kind": "side by side", "title": "", "parts": parts, "wide": wide}


def matrix(
    caption: str, corner: str, names: Sequence[str], values: Sequence[Sequence[float]], *, genres: bool = False, signed: bool = False, percent: bool = False
) -> Piece:  # fmt: skip
    """Return a table whose cells are shaded by their value, from −1 to 1 where ``signed``, else from 0 to 1.

    Of shares the diagonal is grey and what is off it amber; of signed values those below 0 are blue.
    """
    lines = []
    for i, (name, cells) in enumerate(zip(names, values, strict=True)):
        shown = []
        for j, value in enumerate(cells):
            strength = min(abs(value), 1.0)
            other = "link" if signed else "warn-mark"
            right = value >= 0 if signed else i == j
            # Up to 45 % of the mark's colour: text on it stays readable in light and dark.
            fill = (
                f"background:color-mix(in srgb, var(--{'mark' if right else other}) {45 * strength:.0f}%, transparent)"
            )
            words = (f"{100 * value:.0f}" if percent else f"{value:.2f}").replace("-", "−")
            shown.append(("·" if strength < 0.005 else words, fill if strength >= 0.005 else ""))
        lines.append({"name": name, "cells": shown, "note": "", "genre": genres})
    return {"kind": "matrix", "title": "", "caption": caption, "corner": corner, "columns": names, "rows": lines}
