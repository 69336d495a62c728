"""Choose the reporters of a command."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from genrepipe.core.events import Reporter, Reporters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.pipeline.requests import ScoreRequest


class Quiet(Reporter):
    """Hands on to another reporter what is wrong, and nothing else."""

    def __init__(self, log: Reporter) -> None:
        self._log = log
        self.run_started, self.run_failed = log.run_started, log.run_failed  # type: ignore[method-assign]

    def warning(self, check: str, **facts: Any) -> None:
        """Hand the warning on."""
        self._log.warning(check, **facts)


@contextmanager
def watching(
    log_format: Literal["text", "json"] | None = None, *, quiet: bool = False, nights: bool = False
) -> Iterator[Reporter]:
    """Write what happens to stderr: as text with progress bars where it is a terminal, else as JSON lines.

    Parameters
    ----------
    log_format
        Text or JSON lines, wherever they go; text has bars on a terminal alone.
    quiet
        Write warnings alone, and why a run failed.
    nights
        Many run dates follow each other: a terminal shows a line for each, and no other note.
    """
    is_terminal = sys.stderr.isatty()
    if (log_format or ("text" if is_terminal else "json")) == "json":
        from genrepipe.observers.jsonlog import JSONLog  # noqa: PLC0415  structlog, which the terminal does not need

        log: Reporter = JSONLog()
    else:
        from genrepipe.observers.terminal import Terminal, TextLog  # noqa: PLC0415  rich, which the log does not need

        log = Terminal(nights=nights) if is_terminal else TextLog()
        if isinstance(log, Terminal) and not quiet:
            with log.live:
                yield log
            return
    yield Quiet(log) if quiet else log


@contextmanager
def following(
    request: ScoreRequest,
    log_format: Literal["text", "json"] | None = None,
    *,
    quiet: bool = False,
    nights: bool = False,
) -> Iterator[Reporter]:
    """Follow the runs of a scoring request: what ``watching`` shows, and where the request sends metrics, events and pings."""
    from genrepipe.observers.heartbeat import HeartbeatSwitch  # noqa: PLC0415
    from genrepipe.observers.metrics import Metrics  # noqa: PLC0415
    from genrepipe.observers.morning import MorningReport  # noqa: PLC0415
    from genrepipe.observers.openlineage import Lineage  # noqa: PLC0415

    with watching(log_format, quiet=quiet, nights=nights) as log:
        yield Reporters(
            log,
            Metrics(request.metrics_file, request.pushgateway, request.otlp, log),
            Lineage(request.lineage_file, log),
            MorningReport(request.report, log),
            HeartbeatSwitch(request.ping_start, request.ping_success, request.ping_failure, log),
        )
