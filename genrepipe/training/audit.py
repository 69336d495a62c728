"""Audit a bundle for leakage: every gate of its recipe, on a labelled source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core.events import SILENT
from genrepipe.training import leakage, trained
from genrepipe.training.results import AuditResult

if TYPE_CHECKING:
    from genrepipe.core.events import Reporter
    from genrepipe.ingest.recipes import SourceRecipe


def audit(
    model: str | None,
    source: tuple[str, ...],
    encoding: str = "utf-8",
    source_recipe: SourceRecipe | None = None,
    reporter: Reporter = SILENT,
) -> AuditResult:
    """Run every gate for the recipe of a bundle on a labelled source. A gate that fails is a result, not an error.

    Raises
    ------
    UnknownModel
        There is no such bundle.
    BundleBroken
        The bundle's files or its recipe cannot be used.
    ExtraMissing
        The bundle needs a package that is not installed.
    SourceShapeError
        The source has too few labelled tracks.
    """
    subject = trained.load(model, source, encoding, source_recipe)
    manifest, data = subject.bundle.manifest, subject.data
    seed = int(manifest.training_data["seed"])
    reporter.note("auditing", model=subject.recipe.name, tracks=len(data))
    gates = (*leakage.of_data(data, seed), *leakage.of_recipe(subject.recipe, data, seed))
    return AuditResult(
        status="passed" if all(gate.passed for gate in gates) else "failed",
        model=manifest.name,
        tracks=len(data),
        trained_on_this_source=data.fingerprint == manifest.training_data["sha256"],
        gates=gates,
        gap=leakage.gap(manifest.metrics),
    )
