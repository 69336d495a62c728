"""What a command prints, and what is known of its result when the process ends."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from genrepipe.core.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

R = TypeVar("R", bound="Result | list[Any] | dict[str, Any]")


@dataclass
class Outcome:
    """The last result that was shown, and the file where a scheduler wants it."""

    shown: dict[str, Any] = field(default_factory=dict)
    result_file: Path | None = None

    def clear(self) -> None:
        """Forget an earlier command of this process."""
        self.shown, self.result_file = {}, None


OUTCOME = Outcome()


def show(result: R, output: str, render: Callable[[R], str]) -> None:
    """Print a result as one JSON object, or as text, and remember it for the result file."""
    plain = result.to_dict() if isinstance(result, Result) else result
    if isinstance(plain, dict):
        OUTCOME.shown = plain
    with suppress(BrokenPipeError):  # nobody reads it; what was done is done
        click.echo(json.dumps(plain, ensure_ascii=False, default=str) if output == "json" else render(result))
