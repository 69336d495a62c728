"""Waiting for a warehouse that another process holds."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

from genrepipe.core import signals
from genrepipe.core.errors import WarehouseBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from genrepipe.core.events import Reporter

T = TypeVar("T")

UNITS = {"s": 1, "m": 60, "h": 3600}
LONGEST = 24 * 3600  # seconds: by then another night begins
STEP = 0.25  # seconds between two attempts
AGAIN = 30  # seconds from one line that says who is waited for to the next


def seconds(text: str) -> int:
    """Return the seconds of a duration such as ``90s``, ``10m``, ``1h30m``, or ``90``.

    Raises
    ------
    ValueError
        It is none, or longer than a day.
    """
    written = text.strip().lower()
    if re.fullmatch(r"[0-9]{1,9}", written):
        written = f"{written}s"
    parts = re.findall(r"([0-9]{1,9})([smh])", written)
    if not parts or "".join(map("".join, parts)) != written:
        msg = "it is not a duration, such as 90s, 10m or 1h30m"
        raise ValueError(msg)
    whole = sum(int(number) * UNITS[unit] for number, unit in parts)
    if whole > LONGEST:
        msg = "it is longer than a day"
        raise ValueError(msg)
    return whole


def until_free(attempt: Callable[[], T], wait: float, reporter: Reporter) -> T:
    """Call ``attempt`` until no other process holds the warehouse, for ``wait`` seconds at most, and return its result.

    Who is waited for is a warning, at once and every ``AGAIN`` seconds.

    Raises
    ------
    WarehouseBusy
        It is held still.
    Interrupted
        A signal came meanwhile.
    """
    until, tell_at = time.monotonic() + wait, 0.0
    while True:
        try:
            return attempt()
        except WarehouseBusy as error:
            left = until - (now := time.monotonic())
            if left <= 0:
                raise
            if now >= tell_at:
                reporter.warning("busy", error=error.what, waiting_s=round(left))
                tell_at = now + AGAIN
        signals.check()
        time.sleep(min(STEP, left))
        signals.check()
