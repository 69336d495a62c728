"""What is sent of a run: read from its warehouse, and handed to a server, without failing the run or holding it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genrepipe.core import signals
from genrepipe.core.errors import Interrupted, as_genrepipe_error
from genrepipe.pipeline import measures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genrepipe.core.events import Reporter

TIMEOUT = 5.0  # seconds for each delivery
TIMEOUT_AFTER_SIGNAL = 0.75  # the same once a signal came: with four deliveries the process ends within 5 s of one


def deliver(log: Reporter, check: str, send: Callable[[], object], **facts: Any) -> None:
    """Call ``send``; what fails, or takes too long, is a warning. ``facts`` say where it went, without secrets."""
    stopped = signals.received() is not None
    try:
        signals.call_interruptibly(send, TIMEOUT_AFTER_SIGNAL if stopped else TIMEOUT, after_signal=stopped)
    except (Interrupted, TimeoutError):  # after a signal the run ends at its next check
        log.warning(check, error="no answer in time", **facts)
    except Exception as error:  # noqa: BLE001  whatever a client or the network does, the run counts
        log.warning(check, error=type(error).__name__, **facts)


def measured(log: Reporter, check: str, warehouse: Path, run_id: str) -> measures.Measures:
    """Return what a run measured; where the warehouse cannot be read, nothing, and a warning."""
    try:
        return measures.of_run(warehouse, run_id) if warehouse.exists() else measures.Measures()
    except Exception as error:  # noqa: BLE001  what is sent is no reason to fail a run
        log.warning(check, error=str(as_genrepipe_error(error)))
        return measures.Measures()
