"""SIGINT, SIGTERM and SIGXCPU: at once outside of a run, at the next step inside one.

An exception that is raised in the middle of a library's call can make the library print notes of its own. Inside
``deferred`` a signal is therefore only recorded, what is running is told to stop, and the run ends at its next check.
Handlers are set even where the default would do: a process that is PID 1 has no defaults.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from genrepipe.core.errors import (
    INTERRUPTED,
    MORE_MEMORY,
    MORE_THREADS,
    GenrepipeError,
    Interrupted,
    StorageError,
    Terminated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU)
CPU_TIME = "The limit of CPU time is reached (ulimit -t)"

_received: list[int] = []
_callbacks: list[Callable[[], None]] = []
_deferring = [False]
_installed = [False]


class Stopped(BaseException):
    """A signal came. Not a KeyboardInterrupt, which click would answer with an empty line."""


def install() -> None:
    """Set the handlers; must be called from the main thread."""
    _installed[0] = True
    for number in HANDLED:
        signal.signal(number, _handle)


def _handle(number: int, _: object) -> None:
    _received.append(number)
    if not _deferring[0]:
        raise Stopped
    for callback in _callbacks:
        callback()


def received() -> Interrupted | None:
    """Return the error that the first signal stands for, or None where there was none."""
    if not _received:
        return None
    if _received[0] == signal.SIGXCPU:
        return Terminated(CPU_TIME, f"{INTERRUPTED}. Raise it first")
    kind = Terminated if _received[0] == signal.SIGTERM else Interrupted
    return kind(kind.__name__, INTERRUPTED)


def stopped() -> GenrepipeError:
    """Return why a library's call was stopped: a signal, or where none came, the library itself for want of something."""
    if error := received():
        return error
    if _installed[0]:
        return StorageError("A library stopped its work", f"{MORE_THREADS}; {MORE_MEMORY[0].lower()}{MORE_MEMORY[1:]}")
    return Interrupted("Interrupted", INTERRUPTED)  # in a program that uses the API, which has handlers of its own


def check() -> None:
    """End the run here if a signal was received.

    Raises
    ------
    Interrupted
        Or its subclass ``Terminated``.
    """
    error = received()
    if error is not None:
        raise error


def call_interruptibly(call: Callable[[], T], timeout: float | None = None, *, after_signal: bool = False) -> T:
    """Run a call that ignores signals, such as a network request, in a thread, and abandon it on a signal or timeout.

    Parameters
    ----------
    call
        What to run.
    timeout
        In seconds; None waits without end.
    after_signal
        Signals that came before this call are ignored: it reports the end of a run that a signal stopped.

    Raises
    ------
    Interrupted
        A signal came.
    TimeoutError
        The call did not end in time.
    """
    from concurrent.futures import Future, wait  # noqa: PLC0415  logging comes with it, and --help needs neither

    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  it is raised below
            outcome.set_exception(error)

    earlier = len(_received) if after_signal else 0
    threading.Thread(target=run, daemon=True).start()
    until = None if timeout is None else time.monotonic() + timeout
    while not outcome.done():
        wait([outcome], 0.02)
        if len(_received) > earlier:
            check()
        if until is not None and time.monotonic() > until and not outcome.done():
            raise TimeoutError
    return outcome.result()


@contextmanager
def deferred() -> Iterator[None]:
    """Only record signals while this lasts."""
    if _installed[0]:
        install()  # again: importing Polars replaces the handler of SIGINT
    before, _deferring[0] = _deferring[0], True
    try:
        yield
    finally:
        _deferring[0] = before


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let what is inside finish whatever signal comes: it is short, and half of it would be worse."""
    kept = _callbacks[:]
    _callbacks.clear()
    try:
        yield
    finally:
        _callbacks[:] = kept


@contextmanager
def on_signal(callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` on a signal while this lasts; it must be safe at any moment, and more than once."""
    _callbacks.append(callback)
    try:
        yield
    finally:
        if callback in _callbacks:
            _callbacks.remove(callback)
