"""models list, show, diff, verify, sign, promote and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genrepipe.cli import completion, rendering
from genrepipe.cli.options import BUNDLE_KEY, BUNDLES, JOB, OUTPUT, READING, WAREHOUSE, Group, recipe_of
from genrepipe.cli.output import show
from genrepipe.core.quoting import printable


@click.group(cls=Group)
def models() -> None:
    """List, show, diff, verify, sign, promote and compare the bundles that can score.

    \b
    Example:
        genrepipe models list
    """


@models.command("list")
@BUNDLES
@OUTPUT
def models_list(bundles: Path | None, output: str) -> None:
    """List the bundles, your own and those that ship; * is the champion.

    \b
    Example:
        genrepipe models list --output json
    """
    from genrepipe.pipeline.models import list_models

    show(list_models(bundles), output, rendering.models_text)


@models.command("show")
@click.argument("model", required=False, shell_complete=completion.models)
@click.option(
    "--out", type=click.Path(readable=False, path_type=Path), help="Write the card as a page, a file such as card.html."
)
@BUNDLES
def models_show(model: str | None, out: Path | None, bundles: Path | None) -> None:
    """Print the card of a bundle: what it is, how it was measured, where it fails; or write it as a page.

    \b
    Example:
        genrepipe models show all-features
    """
    if out is not None:
        from genrepipe.pages.model import card as write_page

        show(write_page(model, bundles, out), "text", rendering.card_text)
        return
    from genrepipe.pipeline.models import card

    text = card(model, bundles)
    click.echo("\n".join(map(printable, text.split("\n"))), nl=False)


@models.command("diff")
@click.argument("before")
@click.argument("after")
@BUNDLES
@OUTPUT
def models_diff(before: str, after: str, bundles: Path | None, output: str) -> None:
    """Compare two bundles: measures on each split, inputs, settings, and the golden answers that moved.

    \b
    Example:
        genrepipe models diff all-features all-features-plus
    """
    from genrepipe.pipeline.models import diff

    show(diff(before, after, bundles), output, rendering.models_diff_text)


@models.command("verify")
@click.argument("model", required=False, shell_complete=completion.models)
@BUNDLES
@BUNDLE_KEY
@OUTPUT
def models_verify(model: str | None, bundles: Path | None, bundle_key: Path | None, output: str) -> None:
    """Check a bundle's hashes, its signature where a key is named, and score its golden rows against their recorded answers.

    \b
    Example:
        genrepipe models verify bundles/all-features
    """
    from genrepipe.pipeline.models import verify_model

    show(verify_model(model, bundles, bundle_key), output, rendering.verified_model_text)


@models.command("sign")
@click.argument("model", required=False, shell_complete=completion.models)
@click.option(
    "--key", type=click.Path(readable=False, path_type=Path), required=True,
    help="The private key: a PEM file, an elliptic curve.",
)  # fmt: skip
@BUNDLES
@OUTPUT
def models_sign(model: str | None, key: Path, bundles: Path | None, output: str) -> None:
    """Sign a bundle, for --bundle-key. Needs: pip install 'genrepipe[signing]'.

    \b
    Example:
        genrepipe models sign bundles/all-features --key private.pem
    """
    from genrepipe.pipeline.models import sign_model

    show(sign_model(model, bundles, key), output, rendering.signed_text)


@models.command("promote")
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--bundles", type=click.Path(readable=False, path_type=Path), required=True, envvar="GENREPIPE_BUNDLES",
    help="Your own folder of bundles, which holds the champion's name too.",
)  # fmt: skip
@click.option(
    "--on", multiple=True, metavar="SOURCE", shell_complete=completion.files,
    help="Compare MODEL with the champion on this labelled source, that neither was trained on.",
)  # fmt: skip
@click.option(
    "--warehouse", type=click.Path(readable=False, path_type=Path),
    help="Compare them on the nights of this warehouse that scored MODEL with --shadow.",
)  # fmt: skip
@click.option(
    "--run-date", shell_complete=completion.run_dates, help="Of the warehouse, this night alone; without it, all of them."
)  # fmt: skip
@click.option("--anyway", metavar="REASON", help="Promote without a comparison, or against one; the reason is kept.")
@READING
@BUNDLE_KEY
@OUTPUT
def models_promote(
    model: str, bundles: Path, on: tuple[str, ...], warehouse: Path | None, run_date: str | None, anyway: str | None,
    encoding: str, bundle_key: Path | None, output: str, **keys: Any,
) -> None:  # fmt: skip
    """Make MODEL the champion of your own folder: the bundle that a job uses when it names none.

    It must not be significantly worse than the present champion, on labelled tracks. Exits with 78 where it is, and where
    nothing compares the two.

    \b
    Example:
        genrepipe models promote known-artist --bundles bundles --on labelled.csv
    """
    from genrepipe.pipeline.promote import promote

    promoted = promote(
        model, bundles, on=on, encoding=encoding, recipe=recipe_of(keys), warehouse=warehouse, run_date=run_date,
        anyway=anyway, key=bundle_key,
    )  # fmt: skip
    show(promoted, output, rendering.promoted_text)


@models.command("compare")
@click.option(
    "--run-date",
    shell_complete=completion.run_dates,
    help="The run date, YYYY-MM-DD; without it, the newest one with a shadow.",
)
@JOB
@WAREHOUSE
@OUTPUT
def models_compare(run_date: str | None, job: str | None, warehouse: Path, output: str) -> None:
    """Compare the shadow's answers with those that were served.

    \b
    Example:
        genrepipe models compare --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.compare import compare

    show(compare(warehouse, run_date, job), output, rendering.compare_text)
