"""SIGINT and SIGTERM: at once outside of a run, at the next step inside of one.

A run that is torn out of a library's call by an exception may leave that library's own notes on the terminal. So
inside ``deferred`` a signal is only remembered, what is running is told to stop, and the run ends where it next looks.
Handlers are set even for signals whose default would do: a process that is PID 1 has no defaults.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from genrepipe.errors import INTERRUPTED, Interrupted, Terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_received: list[int] = []
_stoppers: list[Callable[[], None]] = []
_deferring = [False]
_listening = [False]


class Stopped(BaseException):
    """A signal came. No KeyboardInterrupt, which click would answer with an empty line."""


def listen() -> None:
    """Set the handlers; must be called from the main thread."""
    _listening[0] = True
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


def _handle(number: int, _: object) -> None:
    _received.append(number)
    if not _deferring[0]:
        raise Stopped
    for stop in _stoppers:
        stop()


def received() -> Interrupted | None:
    """Return the error that the first signal means, or None where there was none."""
    if not _received:
        return None
    kind = Terminated if _received[0] == signal.SIGTERM else Interrupted
    return kind(kind.__name__, INTERRUPTED)


def check() -> None:
    """End the run here, if a signal was received.

    Raises
    ------
    Interrupted
        Or its child ``Terminated``.
    """
    error = received()
    if error is not None:
        raise error


def heeding(call: Callable[[], T], seconds: float | None = None, *, last: bool = False) -> T:
    """Run what hears no signal, such as a wait for a network, in a thread, and leave it to itself where it takes too long.

    Raises
    ------
    Interrupted
        A signal came; where this is one of the ``last`` words after one, another signal.
    TimeoutError
        It did not end in time.
    """
    from concurrent.futures import Future, wait  # noqa: PLC0415  logging comes with it, and help needs neither

    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  it is raised below
            outcome.set_exception(error)

    heard = len(_received) if last else 0
    threading.Thread(target=run, daemon=True).start()
    until = None if seconds is None else time.monotonic() + seconds
    while not outcome.done():
        wait([outcome], 0.02)
        if len(_received) > heard:
            check()
        if until is not None and time.monotonic() > until and not outcome.done():
            raise TimeoutError
    return outcome.result()


@contextmanager
def deferred() -> Iterator[None]:
    """Only remember signals for as long as this lasts."""
    if _listening[0]:
        listen()  # once more: Polars, when it is imported, takes SIGINT for itself
    before, _deferring[0] = _deferring[0], True
    try:
        yield
    finally:
        _deferring[0] = before


@contextmanager
def unheard() -> Iterator[None]:
    """Let what is inside come to its end, whatever signal comes: it is short, and half of it would be worse."""
    kept = _stoppers[:]
    _stoppers.clear()
    try:
        yield
    finally:
        _stoppers[:] = kept


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on a signal while this lasts; it must be safe to call at any moment, and more than once."""
    _stoppers.append(stop)
    try:
        yield
    finally:
        if stop in _stoppers:
            _stoppers.remove(stop)
