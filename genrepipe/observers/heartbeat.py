"""A dead man's switch: addresses that are requested when a run starts, succeeds or fails."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genrepipe.core.events import Reporter, RunFailed, RunStarted
from genrepipe.observers.delivery import TIMEOUT, deliver

if TYPE_CHECKING:
    from genrepipe.core.results import Result


class HeartbeatSwitch(Reporter):
    """Requests an address at each event that has one. Addresses hold secrets: the log names their host alone."""

    def __init__(self, start: str | None, success: str | None, failure: str | None, log: Reporter) -> None:
        self._start, self._success, self._failure, self._log = start, success, failure, log

    def run_started(self, run: RunStarted) -> None:  # noqa: ARG002
        """Request the address for starts."""
        self._ping(self._start)

    def run_succeeded(self, result: Result) -> None:  # noqa: ARG002
        """Request the address for successes."""
        self._ping(self._success)

    def run_failed(self, failure: RunFailed) -> None:  # noqa: ARG002
        """Request the address for failures."""
        self._ping(self._failure)

    def _ping(self, url: str | None) -> None:
        if not url:
            return
        host = None
        try:
            host = urlsplit(url).hostname
            if urlsplit(url).scheme not in {"http", "https"}:
                raise ValueError("not an http address")
        except ValueError as error:
            self._log.warning("ping", error=type(error).__name__, host=host)
            return

        def send() -> None:
            with urllib.request.urlopen(url, timeout=2 * TIMEOUT):  # noqa: S310  its scheme is one of two
                pass

        deliver(self._log, "ping", send, host=host)
