"""Judging a run: checks with limits, quarantined rows and their way back, flips, drift, performance.

``checks`` measures what the contracts promise of whole tables, and ``sql/audits``. The monitors, one module each, write
a table that says how a run differs from others; ``MONITORS`` lists them.
"""

from genrepipe.quality.drift import Drift
from genrepipe.quality.flips import Flips
from genrepipe.quality.monitors import Monitor
from genrepipe.quality.performance import Performance

MONITORS: tuple[type[Monitor], ...] = (Flips, Drift, Performance)

__all__ = ["MONITORS", "Drift", "Flips", "Monitor", "Performance"]
