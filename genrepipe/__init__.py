"""Predict the genre of every track in a music catalogue, nightly, with data contracts at both doors.

The Python API::

    import genrepipe

    result = genrepipe.score("tracks.csv", warehouse="warehouse.duckdb", run_date="2026-11-22")
    print(result.predicted, result.to_dict())

Every failure is a ``GenrepipeError`` with an ``exit_code`` and a one-line message that ends with a remedy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from genrepipe.core.errors import GenrepipeError
from genrepipe.core.version import VERSION as __version__

if TYPE_CHECKING:
    from genrepipe.api import score, train, validate
    from genrepipe.core.events import Reporter
    from genrepipe.pipeline.requests import ScoreRequest, TrainRequest
    from genrepipe.pipeline.results import ScoreResult, ValidateResult
    from genrepipe.training.results import TrainResult

__all__ = [
    "GenrepipeError", "Reporter", "ScoreRequest", "ScoreResult", "TrainRequest", "TrainResult", "ValidateResult",
    "__version__", "score", "train", "validate",
]  # fmt: skip

# Imported when they are first used: the command line must answer --help before Polars, DuckDB and onnxruntime are loaded.
_LAZY = {
    "score": "api", "train": "api", "validate": "api", "Reporter": "core.events", "ScoreRequest": "pipeline.requests",
    "TrainRequest": "pipeline.requests", "ScoreResult": "pipeline.results", "ValidateResult": "pipeline.results",
    "TrainResult": "training.results",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        msg = f"module 'genrepipe' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"genrepipe.{_LAZY[name]}"), name)
