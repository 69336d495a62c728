"""What training and the audit return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrepipe.core.results import Result


@dataclass(frozen=True)
class GateResult(Result):
    """One gate of the audit.

    Attributes
    ----------
    gate
        The name of the gate.
    value, limit
        What was measured, and the largest value that passes.
    sentence
        What the gate checks.
    explanation
        What else was measured; may be empty.
    """

    gate: str
    passed: bool
    value: float
    limit: float
    sentence: str
    explanation: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, ``value`` rounded to 4 decimal places."""
        return {**super().to_dict(), "value": round(self.value, 4)}


@dataclass(frozen=True)
class AuditResult(Result):
    """The audit of a bundle on a labelled source.

    Attributes
    ----------
    status
        ``passed`` or ``failed``.
    model
        The name of the bundle.
    tracks
        How many labelled tracks the source has.
    trained_on_this_source
        Whether the source is the one that the bundle was trained on, by its fingerprint.
    gap
        A sentence on the difference between the random and the artist-disjoint split, as the bundle measured it.
    """

    status: str
    model: str
    tracks: int
    trained_on_this_source: bool
    gates: tuple[GateResult, ...]
    gap: str


@dataclass(frozen=True)
class TrainedBundle(Result):
    """One bundle that was trained and written.

    Attributes
    ----------
    parameters
        Trainable parameters of the network, or leaves of the trees.
    epochs
        The epoch whose weights the bundle has.
    seconds, seconds_measuring
        CPU time of the fit on all rows, and of the folds and the audit.
    bytes
        Size of all files of the bundle.
    metrics
        Mean and standard deviation of every measure, by split.
    """

    model: str
    version: str
    folder: Path
    sha256: str
    parameters: int
    epochs: int
    seconds: float
    seconds_measuring: float
    bytes: int
    metrics: dict[str, Any]


@dataclass(frozen=True)
class TrainResult(Result):
    """What ``train`` did.

    Attributes
    ----------
    status
        ``trained``.
    tracks
        How many labelled tracks the source has.
    tempo_imputers
        MAE (beats per minute) and R² of the imputer for the tempo, and of two simpler ones, over artist-disjoint folds.
    """

    status: str
    tracks: int
    tempo_imputers: dict[str, Any]
    bundles: tuple[TrainedBundle, ...]
