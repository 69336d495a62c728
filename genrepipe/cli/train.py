"""train, audit and explore: they need the extra [train]."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genrepipe.cli import completion, rendering
from genrepipe.cli.options import LOGGING, OUTPUT, READING, SOURCE, RequestCommand, flags, recipe_of, watching
from genrepipe.cli.output import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.pipeline.requests import TrainRequest
    from genrepipe.training.results import TrainResult


@click.command(cls=RequestCommand, kind="train", positional=("source",))
@click.argument("source", nargs=-1, shell_complete=completion.files)
@LOGGING
@OUTPUT
def train(output: str, **values: Any) -> None:
    """Train bundles on labelled SOURCE and measure them. Needs: pip install 'genrepipe[train]'.

    \b
    Example:
        genrepipe train tracks.csv --model all-features --out bundles
    """
    from genrepipe.pipeline.requests import TrainRequest, resolve

    show(train_bundles(resolve(TrainRequest, flags(values))), output, rendering.train_text)


@click.command()
@click.argument("bundle", shell_complete=completion.models)
@SOURCE
@READING
@LOGGING
@OUTPUT
def audit(bundle: str, source: tuple[str, ...], encoding: str, output: str, **keys: Any) -> None:
    """Look for leaks in how BUNDLE is trained and measured on labelled SOURCE. Exits with 78 where a gate fails.

    \b
    Example:
        genrepipe audit artist-context tracks.csv
    """
    from genrepipe.core.errors import BundleBroken

    with _needs_extra(), watching() as reporter:
        from genrepipe.training.audit import audit as run_gates

        result = run_gates(bundle, source, encoding, recipe_of(keys), reporter)
    show(result, output, rendering.audit_text)
    if result.status == "failed":
        click.get_current_context().exit(BundleBroken.exit_code)


@click.command()
@SOURCE
@click.option(
    "--out",
    type=click.Path(readable=False, path_type=Path),
    required=True,
    help="The page: one HTML file that opens offline.",
)
@click.option(
    "--model", shell_complete=completion.models, help="The bundle whose answers are shown; without it, the champion."
)
@READING
@LOGGING
@OUTPUT
def explore(source: tuple[str, ...], out: Path, model: str | None, encoding: str, output: str, **keys: Any) -> None:
    """Draw labelled SOURCE, and a bundle's answers for it, on one page. Needs: pip install 'genrepipe[train]'.

    \b
    Example:
        genrepipe explore tracks.csv --out report.html
    """
    with _needs_extra(), watching() as reporter:
        from genrepipe.pages.explore import explore as draw

        result = draw(source, out, model, encoding, recipe_of(keys), reporter)
    show(result, output, rendering.explore_text)


def train_bundles(request: TrainRequest) -> TrainResult:
    """Train as a request says."""
    with _needs_extra(), watching() as reporter:
        from genrepipe.training.train import train as fit

        return fit(
            request.source, request.out, models=request.models, seed=request.seed, trials=request.tune,
            encoding=request.encoding, source_recipe=request.reading, reporter=reporter,
        )  # fmt: skip


@contextmanager
def _needs_extra() -> Iterator[None]:
    """Say which extra a missing package comes with."""
    from genrepipe.core.errors import ExtraMissing

    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"This needs {error.name}, which is not installed", "pip install 'genrepipe[train]'"
        ) from error
