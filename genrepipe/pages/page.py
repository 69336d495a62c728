"""A page: its parts, and the one HTML document that they become, which opens offline."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genrepipe.core import files
from genrepipe.core.errors import CHECK, REMEDIES, StorageError
from genrepipe.pages import svg, words

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 2_000_000  # bytes of a page


@dataclass(frozen=True)
class Part:
    """One section of a page.

    Attributes
    ----------
    id
        Its anchor.
    topic
        What it is about, in a word or two.
    title
        What it finds, as a sentence with a number.
    lede
        One line more.
    key
        The figure that stands for it in the index.
    tone
        ``warn`` or ``bad`` where that figure is one to look at.
    queries
        The SQL behind it.
    data
        What its template shows.
    """

    id: str
    topic: str
    title: str
    lede: str = ""
    key: str = ""
    tone: str = ""
    queries: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A page of a kind, such as the morning report, about a subject; ``description`` is what it says in one sentence, ``link`` an address and its words."""

    template: str
    title: str
    kind: str
    subject: str
    parts: tuple[Part, ...]
    footer: tuple[str, ...] = ()
    description: str = ""
    link: tuple[str, str] | None = None


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("genrepipe.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": words.count, "figure": words.figure, "percent": words.percent, "signed": words.signed, "seconds": words.seconds,
        "day": words.day, "sentence": words.sentence, "human": words.human,
    }  # fmt: skip
    environment.globals |= {"svg": svg, "colour": svg.colour, "words": words}
    return environment


def render(page: Page) -> str:
    """Return the document of a page; every text in it is escaped."""
    environment = _environment()
    css = Markup(environment.loader.get_source(environment, "page.css")[0])  # type: ignore[union-attr]  # noqa: S704  ours
    return environment.get_template(page.template).render(page=page, css=css)


def write(page: Page, out: Path) -> int:
    """Write the document of a page, whole or not at all, and return its size in bytes.

    Raises
    ------
    StorageError
        It cannot be written, or ``out`` is something that is no page.
    """
    text = render(page)
    if reason := files.not_ours(out, b"<!doctype html>"):
        raise StorageError(f"{out} {reason}", "Name another file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
        ) from error
    files.replace_text(out, text)
    return len(text.encode())
