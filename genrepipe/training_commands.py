"""The commands of the training wing: words to calls, and which extra is missing."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genrepipe import rendering
from genrepipe.options import ENCODING, MAP, OUTPUT, SOURCE, pairs, show

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@SOURCE
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A recipe's name, more than once for more; without it, or as all, every one.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the bundles go, one folder each.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same data and seed: same bundle.")
@click.option(
    "--tune",
    "trials",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Search settings first, with so many trials more; resumable.",
)
@ENCODING
@MAP
@OUTPUT
def train(
    source: tuple[str, ...],
    models: tuple[str, ...],
    out: Path,
    seed: int,
    trials: int,
    encoding: str,
    mapping: tuple[str, ...],
    output: str,
) -> None:
    """Train bundles on labelled SOURCE and measure them. Needs: pip install 'genrepipe[train]'.

    \b
    Example:
        genrepipe train tracks.csv --model all-features --out bundles
    """
    result = train_with(source, out, models, seed, trials, encoding, pairs(mapping, "--map"))
    show(result, output, rendering.train_text)


@click.command()
@click.argument("bundle")
@SOURCE
@ENCODING
@MAP
@OUTPUT
def audit(bundle: str, source: tuple[str, ...], encoding: str, mapping: tuple[str, ...], output: str) -> None:
    """Look for leaks in how BUNDLE is trained and measured on labelled SOURCE. Exits with 78 where a gate fails.

    \b
    Example:
        genrepipe audit artist-context tracks.csv
    """
    from genrepipe.console import reporter
    from genrepipe.errors import BundleBroken

    with _training_wing(), reporter() as say:
        from genrepipe.training.report import audit as look

        result = look(bundle, source, encoding, pairs(mapping, "--map"), say)
    show(result, output, rendering.audit_text)
    if result["status"] == "failed":
        click.get_current_context().exit(BundleBroken.exit_code)


@click.command()
@SOURCE
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The page: one HTML file that opens offline."
)
@click.option("--model", help="The bundle whose answers are shown; without it, the champion.")
@ENCODING
@MAP
@OUTPUT
def explore(
    source: tuple[str, ...], out: Path, model: str | None, encoding: str, mapping: tuple[str, ...], output: str
) -> None:
    """Draw labelled SOURCE, and a bundle's answers for it, on one page. Needs: pip install 'genrepipe[train]'.

    \b
    Example:
        genrepipe explore tracks.csv --out report.html
    """
    from genrepipe.console import reporter

    with _training_wing(), reporter() as say:
        from genrepipe.training.report import explore as draw

        result = draw(source, out, model, encoding, pairs(mapping, "--map"), say)
    show(result, output, rendering.explore_text)


def train_with(
    source: tuple[str, ...],
    out: Path,
    models: tuple[str, ...],
    seed: int,
    trials: int,
    encoding: str,
    mapping: dict[str, str],
) -> dict[str, Any]:
    """Train as a command or a job file says."""
    from genrepipe.console import reporter

    with _training_wing(), reporter() as say:
        from genrepipe.training.train import train

        return train(source, out, models=models, seed=seed, trials=trials, encoding=encoding, mapping=mapping, say=say)


@contextmanager
def _training_wing() -> Iterator[None]:
    """Say which extra a missing package of the training wing comes with."""
    from genrepipe.errors import ExtraMissing

    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"This needs {error.name}, which is not installed", "pip install 'genrepipe[train]'"
        ) from error
