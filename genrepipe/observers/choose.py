"""Choose the reporters of a command."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genrepipe.core.events import Reporter, Reporters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.pipeline.requests import ScoreRequest


@contextmanager
def watching() -> Iterator[Reporter]:
    """Show progress bars where stderr is a terminal, else write JSON lines to it."""
    if sys.stderr.isatty():
        from genrepipe.observers.terminal import Terminal  # noqa: PLC0415  rich, which the log does not need

        terminal = Terminal()
        with terminal.live:
            yield terminal
    else:
        from genrepipe.observers.jsonlog import JSONLog  # noqa: PLC0415  structlog, which the terminal does not need

        yield JSONLog()


@contextmanager
def following(request: ScoreRequest) -> Iterator[Reporter]:
    """Follow the runs of a scoring request: what ``watching`` shows, and where the request sends metrics, events and pings."""
    from genrepipe.observers.heartbeat import HeartbeatSwitch  # noqa: PLC0415
    from genrepipe.observers.metrics import Metrics  # noqa: PLC0415
    from genrepipe.observers.morning import MorningReport  # noqa: PLC0415
    from genrepipe.observers.openlineage import Lineage  # noqa: PLC0415

    with watching() as log:
        yield Reporters(
            log,
            Metrics(request.metrics_file, request.pushgateway, request.otlp, log),
            Lineage(request.lineage_file, log),
            MorningReport(request.report, log),
            HeartbeatSwitch(request.ping_start, request.ping_success, request.ping_failure, log),
        )
