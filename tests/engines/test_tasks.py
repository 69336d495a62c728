"""What a task may do with a part of the rows, and what its failures become."""

from __future__ import annotations

import pytest

from genrepipe.core.errors import GenrepipeError, SourceShapeError, StorageError
from genrepipe.engines import tasks
from genrepipe.warehouse import schema
from genrepipe.warehouse.steps import Steps, is_whole, registry
from tests.support import PLAN


@pytest.mark.parametrize(
    ("scopes", "name"),
    [
        (tasks.LANDS, "superseded"),
        (tasks.DELIVERS, "profiles"),
        (tasks.DELIVERS, "scorable"),
        (tasks.PROFILES, "superseded"),
    ],
)
def test_a_step_whose_rows_are_not_together_is_refused(scopes: frozenset[str], name: str) -> None:
    with schema.open_bare(PLAN) as database, pytest.raises(ValueError, match=f"{name} is of scope"):
        Steps(database, scopes=scopes).make(name)  # type: ignore[arg-type]


def test_what_is_of_the_run_is_whole_in_every_task() -> None:
    whole = {name for name in registry() if is_whole(name)}
    assert {"standing_deliveries", "delivery_dates", "recent_dates", "earlier_runs"} <= whole
    assert not whole & {"landed", "accepted", "profiles", "scorable", "run_predictions"}


@pytest.mark.parametrize(
    ("error", "is_last", "sent"),
    [
        (SourceShapeError("no columns"), False, SourceShapeError),
        (OSError(28, "No space left on device"), False, None),
        (OSError(28, "No space left on device"), True, StorageError),
        (MemoryError(), False, None),
        (ZeroDivisionError(), False, GenrepipeError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_another_attempt_may_mend_is_raised_and_the_rest_is_sent(
    error: Exception, is_last: bool, sent: type[GenrepipeError] | None
) -> None:
    def call() -> list[tasks.Sent]:
        raise error

    if sent is None:
        with pytest.raises(type(error)):
            tasks.attempt(call, 3, is_last=is_last)
        return
    ((bucket, message),) = tasks.attempt(call, 3, is_last=is_last)
    assert (bucket, message.kind, message.origin) == (3, "failed", 3)
    assert isinstance(message.content, sent)


def test_no_task_imports_spark() -> None:
    """``engines/spark.py`` alone does, and not before it is used."""
    import subprocess
    import sys

    code = "import sys; from genrepipe.engines import distributed, spark, tasks; print('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
