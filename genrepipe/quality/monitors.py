"""Monitors: each measures how a run differs from others, and writes a table of its own.

To add one: a table in ``contracts/operations.odcs.yaml``, a module with a subclass of ``Monitor``, and a place in
``quality.MONITORS``. A limit on what it measures is a check in a contract, whose query reads the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import polars as pl

    from genrepipe.model.bundle import Bundle
    from genrepipe.model.scorer import Scorer
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.ledger import Run
    from genrepipe.warehouse.steps import Steps


@dataclass(frozen=True)
class Scored:
    """A run whose predictions are written, and the generation of the warehouse before it, where there is one."""

    run: Run
    steps: Steps
    before: Database | None
    bundle: Bundle
    scorer: Scorer

    @property
    def database(self) -> Database:
        """The warehouse as the run writes it."""
        return self.steps.database


@dataclass(frozen=True)
class Batch:
    """Predictions of a run, as it makes or continues them.

    Attributes
    ----------
    predictions
        Rows with ``genre`` and, where a label is known, ``probabilities``.
    labels
        The position of each known label among the genres, null where none is known.
    """

    predictions: pl.DataFrame
    labels: pl.Series


class Monitor:
    """Watches the batches of one run, and writes what it measured.

    Attributes
    ----------
    table
        The table that it writes, with one set of rows for each run.
    trimmed
        Whether ``keep_days`` removes its rows.
    is_evidence
        Whether its rows are kept of a run that a check of the output refuses, as a reason to look at.
    on_replay
        Whether it runs after a replay of corrected rows too.
    """

    table: ClassVar[str]
    trimmed: ClassVar[bool] = True
    is_evidence: ClassVar[bool] = False
    on_replay: ClassVar[bool] = False

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def observe(self, batch: Batch) -> None:
        """Look at a batch of predictions."""

    def measure(self, scored: Scored) -> None:
        """Look at the run, or at the part of its tracks that an engine scored together, once all batches were shown."""

    def seen(self) -> Any:
        """Return what was seen of a part, to be sent to where the run is written; None where that is nothing."""
        return None

    def merge(self, seen: Any) -> None:
        """Add what was seen of a part."""

    def write(self, scored: Scored) -> int:
        """Write the run's rows, and return how many they are."""
        raise NotImplementedError
