"""Numbers, dates and lists as the pages write them."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NARROW = "\u202f"  # the space before a percent sign and between a number and its unit
SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count(number: float) -> str:
    """Return a whole number with commas: 12,400."""
    return f"{number:,.0f}"


def figure(number: float) -> str:
    """Return a number with as many digits as tell something: 0.36, 17.7, 240,227."""
    if not math.isfinite(number):
        return "–"
    size = abs(number)
    if number == int(number) or size >= 100:
        text = f"{number:,.0f}"
    else:
        text = f"{number:.1f}" if size >= 10 else f"{number:.2f}" if size >= 0.1 else f"{number:.2g}"
    return text.replace("-", "−")


def percent(share: float, digits: int | None = None) -> str:
    """Return a share as percent, with one digit where it is not whole; what is not all is never 100 %, what is some never 0 %."""
    value = 100 * share
    if digits is None:
        digits = 0 if value == round(value) else 1
    text = f"{value:,.{digits}f}"
    if value < 100 and float(text.replace(",", "")) >= 100:
        text = f"{min(value, 99.99):.2f}"
    elif value > 0 and float(text.replace(",", "")) == 0:
        text = "under 0.1" if digits else "under 1"
    return f"{text}{NARROW}%".replace("-", "−")


def signed(number: float, digits: int = 1) -> str:
    """Return a difference with its sign: +6.6, −0.4; 0 has none."""
    text = f"{number:+,.{digits}f}".replace("-", "−")
    return text[1:] if float(f"{number:.{digits}f}") == 0 else text


def spelled(number: int) -> str:
    """Return a whole number as a word up to ten."""
    return SMALL[number] if 0 <= number <= 10 else count(number)


def many(number: int, one: str, several: str = "", *, words: bool = False) -> str:
    """Return a number with its noun: 1 row, 12 rows; with ``words`` one row, two rows."""
    return f"{spelled(number) if words else count(number)} {one if number == 1 else several or f'{one}s'}"


def one_in(share: float) -> str:
    """Return a share in words where that is about right: all, half, a third, one in six; else 17.7 %."""
    if share == 1:
        return "all"
    named = {1 / 2: "half", 1 / 3: "a third", 1 / 4: "a quarter"} | {
        1 / n: f"one in {spelled(n)}" for n in range(5, 11)
    }
    for value, words in named.items():
        if abs(share - value) / value < 0.06:
            return words
    return percent(share, 0) if share > 0.5 else percent(share)


def seconds(value: float) -> str:
    """Return a duration: 35 ms, 0.94 s, 11.2 s, 3 min 20 s."""
    if value < 0.1:
        return f"{1000 * value:.0f}{NARROW}ms"
    if value < 10:
        return f"{value:.2f}{NARROW}s"
    if value < 120:
        return f"{value:.1f}{NARROW}s"
    if value < 7200:
        return f"{value // 60:.0f}{NARROW}min {value % 60:.0f}{NARROW}s"
    return f"{value // 3600:.0f}{NARROW}h {value % 3600 // 60:.0f}{NARROW}min"


def day(value: date) -> str:
    """Return a date within a year: 9 Nov."""
    return f"{value.day} {value:%b}"


def month_day(value: date) -> str:
    """Return a date in a sentence: 9 November."""
    return f"{value.day} {value:%B}"


def long_day(value: date) -> str:
    """Return a date in full: Wednesday 25 November 2026."""
    return f"{value:%A} {value.day} {value:%B %Y}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return words as a list: a, b and c."""
    *most, end = list(words) or [""]
    return f"{', '.join(most)} {last} {end}" if most else end


def sentence(text: str) -> str:
    """Return text with a capital letter."""
    return text[:1].upper() + text[1:]


def human(name: str) -> str:
    """Return the name of a column or check as words: duration ms becomes duration."""
    return {"duration_ms": "duration"}.get(name, name.replace("_", " "))
