"""What a run asks of an engine, and what it tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from genrepipe.core.events import Stages
    from genrepipe.core.resources import Plan
    from genrepipe.ingest.landing import Landing
    from genrepipe.ingest.sources import Source
    from genrepipe.model.bundle import Bundle
    from genrepipe.model.scorer import Scorer
    from genrepipe.quality.checks import CheckResult
    from genrepipe.quality.monitors import Monitor, Scored
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.ledger import Run
    from genrepipe.warehouse.steps import Steps


@dataclass(frozen=True)
class Models:
    """The bundle of a run, verified, with its scorer; and those of the shadow, where there is one."""

    bundle: Bundle
    scorer: Scorer
    shadow: tuple[Bundle, Scorer] | None = None


@dataclass(frozen=True)
class Work:
    """What a run is to do.

    Attributes
    ----------
    force
        Clean and score everything, also what the run date before had.
    """

    run: Run
    source: Source
    models: Models
    plan: Plan
    stages: Stages
    monitors: Sequence[Monitor]
    force: bool = False


@dataclass(frozen=True)
class Predicted:
    """How many tracks were predicted, how many of these predictions are older ones that continue, and imputed values by column."""

    tracks: int
    continued: int
    imputed: dict[str, int]


class Engine(Protocol):
    """Runs the steps of one run. Its methods are called in this order, each once; ``steps`` are those of the warehouse.

    What the stages of a run read after a method is bound on ``steps``, wherever the rows lie.
    """

    def fingerprint(self, database: Database) -> str:
        """Return a sha256 of the source and of how it is read, see ``landing.fingerprint``."""
        ...

    def open(self, steps: Steps, before: Database | None, horizon: date | None) -> None:
        """Begin on a generation of the warehouse; ``before`` is the one that users see.

        ``horizon`` is the last run date that ``settle`` will settle.

        Raises
        ------
        WarehouseUnusable
            The engine cannot write this warehouse.
        """
        ...

    def land(self) -> Landing:
        """Read the source, see ``landing.land``."""
        ...

    def folders(self) -> list[str]:
        """Return the folders whose files the run still reads once its source is read."""
        ...

    def withdrawn(self) -> tuple[int, int]:
        """Return how many tracks the job had before, and how many of them a snapshot lacks, see ``catalogue.withdrawn``."""
        ...

    def update_catalogue(self) -> None:
        """Put the accepted rows into the history of tracks, and renew what is known of artists."""
        ...

    def predict(self) -> Predicted:
        """Replace the job's predictions of the run date, and show the monitors each of them."""
        ...

    def watch(self, monitor: Monitor, scored: Scored) -> int:
        """Have a monitor write its rows, and return how many they are."""
        ...

    def audits(self) -> list[CheckResult]:
        """Run every audit."""
        ...

    def settle(self) -> None:
        """Remove what only run dates up to the horizon need: rows of tracks, and predictions."""
        ...

    def close(self) -> None:
        """Remove what only the run needed; also called where it failed."""
        ...
