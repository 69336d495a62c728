"""The Python API: ``genrepipe.score``, ``genrepipe.validate`` and ``genrepipe.train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrepipe.core.events import SILENT, Reporter
from genrepipe.pipeline.requests import ScoreRequest, TrainRequest, from_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genrepipe.pipeline.results import ScoreResult, ValidateResult
    from genrepipe.training.results import TrainResult


def score(
    source: str | Path | Sequence[str | Path], warehouse: str | Path = "warehouse.duckdb", *,
    reporter: Reporter = SILENT, **keys: Any,
) -> ScoreResult:  # fmt: skip
    """Score a source into a warehouse, all of it or nothing.

    Parameters
    ----------
    source
        CSV, JSON Lines or Parquet files, globs, folders, lake tables, ``file.duckdb::table``, or ``s3://bucket/key``.
    warehouse
        The DuckDB file that people query; it is made where it does not exist.
    reporter
        Follows the run.
    **keys
        Any other key of a scoring job, such as ``run_date``, ``model`` or ``limits``; see ``ScoreRequest``. The
        environment is not read.

    Raises
    ------
    GenrepipeError
        Nothing was published; the class and ``exit_code`` say why.
    """
    from genrepipe.pipeline.score import score as run  # noqa: PLC0415  DuckDB and onnxruntime

    return run(from_values(ScoreRequest, {"source": _texts(source), "warehouse": warehouse, **keys}), reporter)


def validate(
    source: str | Path | Sequence[str | Path],
    *,
    encoding: str = "utf-8",
    map: Mapping[str, str] | None = None,  # noqa: A002  the key's name
    recipe: str | Mapping[str, Any] | None = None,
    missing: Sequence[str] = (),
) -> ValidateResult:
    """Check a source against its contract, and write nothing.

    Parameters
    ----------
    map
        Contract column to source column.
    recipe
        How another catalogue becomes ours: the name of a recipe that ships, the path of a file, or what such a file holds.
    missing
        Texts that say in any column that the value is not known, beside those of the contract.

    Raises
    ------
    GenrepipeError
        The source is not there, or cannot be read as a track table.
    """
    from genrepipe.ingest import recipes  # noqa: PLC0415
    from genrepipe.pipeline.validate import validate as check  # noqa: PLC0415  DuckDB

    return check(_texts(source), encoding, recipes.load(recipe).with_keys(map or {}, missing))


def train(
    source: str | Path | Sequence[str | Path], out: str | Path, *, reporter: Reporter = SILENT, **keys: Any
) -> TrainResult:
    """Train bundles on a labelled source, measure them, and write each to a folder of its name in ``out``.

    Parameters
    ----------
    **keys
        Any other key of a training job, such as ``models``, ``seed`` or ``tune``; see ``TrainRequest``.

    Raises
    ------
    GenrepipeError
        Nothing was written of the bundle that failed.
    """
    from genrepipe.training.train import train as fit  # noqa: PLC0415  torch, of an extra

    request = from_values(TrainRequest, {"source": _texts(source), "out": out, **keys})
    return fit(
        request.source, request.out, models=request.models, seed=request.seed, trials=request.tune,
        encoding=request.encoding, source_recipe=request.reading, reporter=reporter,
    )  # fmt: skip


def _texts(source: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return (str(source),) if isinstance(source, str | Path) else tuple(map(str, source))
