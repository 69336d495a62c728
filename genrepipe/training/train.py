"""Train bundles: read, measure on every split, audit, fit on all rows, export, verify, write the card."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core import resources
from genrepipe.core.errors import OutputBroken, UnknownModel, nearest
from genrepipe.core.events import SILENT
from genrepipe.model import features
from genrepipe.training import card, dataset, evaluate, export, leakage, tune
from genrepipe.training.recipes import RECIPES
from genrepipe.training.results import TrainedBundle, TrainResult

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.core.events import Reporter
    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.evaluate import Outcome
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.results import GateResult

BUNDLE_VERSION = "1.4.0"  # of how bundles are trained; what one was trained on, and by which code, comes after a +


def train(
    source: tuple[str, ...],
    out: Path,
    *,
    models: tuple[str, ...] = (),
    seed: int = 0,
    trials: int = 0,
    encoding: str = "utf-8",
    source_recipe: SourceRecipe | None = None,
    reporter: Reporter = SILENT,
) -> TrainResult:
    """Train bundles on a labelled source, and write each to a folder of its name in ``out``.

    The same source and seed give the same bundles, byte for byte.

    Parameters
    ----------
    models
        Names of recipes; empty, or with ``all`` among them, for every recipe.
    trials
        How many settings of each network to try first. The trials are kept in ``out``, and a later search continues
        them.
    source_recipe
        How the source's columns become those of the contract.

    Raises
    ------
    UnknownModel
        There is no recipe of that name.
    ExtraMissing
        A recipe needs a package that is not installed.
    SourceShapeError
        The source has too few labelled tracks.
    OutputBroken
        A gate of the audit failed; that bundle is not written.
    StorageError
        ``out`` cannot be written.
    """
    recipes = _named(models)
    features.prepare([block for recipe in recipes for block in recipe.inputs])
    evaluate.deterministic()
    data = dataset.read(source, encoding, source_recipe)
    reporter.progress("labelled tracks", len(data), len(data))
    data_gates = leakage.of_data(data, seed)
    for recipe in recipes:
        _refuse_failed(recipe, data_gates)
    if trials:
        recipes = [tune.search(recipe, data, seed, trials, out, reporter) for recipe in recipes]
    imputers = evaluate.evaluate_imputers(data, seed, reporter)
    outcomes = evaluate.fit_all(recipes, data, seed, resources.plan().threads, reporter)
    bundles = []
    for recipe in recipes:
        command = f"genrepipe train TRACKS --model {recipe.name} --seed {seed}" + (
            f" --tune {trials}" if trials else ""
        )
        bundles.append(_write(recipe, data, outcomes[recipe.name], imputers, data_gates, out, seed, command))
    return TrainResult(status="trained", tracks=len(data), tempo_imputers=imputers, bundles=tuple(bundles))


def version_of(recipe: dict[str, Any], fingerprint: str, seed: int, code: dict[str, str]) -> str:
    """Return the version of a bundle: that of how bundles are trained, and a hash of what it is made of, as in 1.4.0+3b274a8d.

    Two bundles of one version are the same: settings, labelled tracks, seed, and versions of the code and of the contracts.
    All of that is in the manifest. The form is that of a local version in PEP 440.
    """
    made_of = json.dumps([recipe, fingerprint, seed, code], sort_keys=True)
    return f"{BUNDLE_VERSION}+{hashlib.sha256(made_of.encode()).hexdigest()[:8]}"


def _named(models: tuple[str, ...]) -> list[Recipe]:
    if not models or "all" in models:
        return list(RECIPES.values())
    for name in models:
        if name not in RECIPES:
            close = nearest(name, list(RECIPES))
            raise UnknownModel(
                f"There is no model {name!r} to train",
                f"Did you mean {close}?" if close else f"Models: all, {', '.join(RECIPES)}",
            )
    return [RECIPES[name] for name in dict.fromkeys(models)]


def _refuse_failed(recipe: Recipe, gates: list[GateResult]) -> None:
    for gate in gates:
        if not gate.passed:
            raise OutputBroken(
                f"{recipe.name} is not written: the audit's gate {gate.gate} failed ({gate.value:.3g}, at most {gate.limit:g}): {gate.sentence}",
                "Find what leaks in the source or the recipe; genrepipe audit shows every gate",
            )


def _write(
    recipe: Recipe,
    data: Dataset,
    outcomes: list[Outcome],
    imputers: dict[str, Any],
    data_gates: list[GateResult],
    out: Path,
    seed: int,
    command: str,
) -> TrainedBundle:
    evaluation = evaluate.evaluate(data, outcomes)
    gates = [*data_gates, *(gate for outcome in outcomes for gate in outcome.gates)]
    _refuse_failed(recipe, gates)
    (final,) = (outcome for outcome in outcomes if outcome.fitted is not None)
    fitted = final.fitted
    assert fitted is not None  # noqa: S101  the line above says so, which mypy cannot see
    manifest = {
        "name": recipe.name,
        "version": version_of(asdict(recipe), data.fingerprint, seed, {**export.versions(), **contracts.versions()}),
        "kind": recipe.kind,
        "summary": recipe.summary,
        "recipe": asdict(recipe),
        "training_data": {"tracks": len(data), "sha256": data.fingerprint, "seed": seed, "epochs": fitted.epochs},
        "metrics": {**evaluation.metrics, "tempo_imputer": imputers},
        "audit": [gate.to_dict() for gate in gates],
        "command": command,
    }
    text = card.write(manifest, fitted.model.trainable, data, evaluation)
    bundle = export.write(out / recipe.name, fitted, data, evaluation, manifest, text, seed)
    return TrainedBundle(
        model=recipe.name,
        version=bundle.manifest.version,
        folder=bundle.folder,
        sha256=bundle.sha256,
        parameters=fitted.model.trainable,
        epochs=fitted.epochs,
        seconds=round(final.seconds, 1),
        seconds_measuring=round(sum(outcome.seconds for outcome in outcomes) - final.seconds, 1),
        bytes=sum(path.stat().st_size for path in bundle.folder.iterdir()),
        metrics={split: evaluation.metrics[split] for split in evaluate.SPLITS},
    )
