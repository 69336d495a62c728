"""Who watches a run: a progress display, text or JSON log lines, Prometheus metrics, a heartbeat, OpenLineage.

Each is a ``Reporter`` of ``core.events``. ``watching`` chooses those that a request asks for. None can fail a run: what
cannot be delivered is a warning in the log.
"""

from genrepipe.observers.choose import following, watching

__all__ = ["following", "watching"]
