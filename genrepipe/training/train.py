"""Train bundles: read, measure on every split, audit, fit on everything, export, prove, write the card."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genrepipe import names, resources, sources
from genrepipe.console import Reporter, Silent
from genrepipe.errors import OutputBroken, UnknownModel, nearest
from genrepipe.training import card, dataset, evaluate, export, leakage, tune
from genrepipe.training.recipes import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.training.evaluate import Outcome
    from genrepipe.training.recipes import Recipe

VERSION = "1.3.0"


def train(
    source: tuple[str, ...],
    out: Path,
    *,
    models: tuple[str, ...] = (),
    seed: int = 0,
    trials: int = 0,
    encoding: str = "utf-8",
    mapping: dict[str, str] | None = None,
    say: Reporter | None = None,
) -> dict[str, Any]:
    """Train bundles on a labelled source and write each to a folder of its name in ``out``.

    The same data and seed give the same bundle, to the byte. With ``trials``, each network's settings are searched
    first; the search is kept in ``out`` and goes on where an earlier one ended.

    Raises
    ------
    UnknownModel
        A name is not that of a recipe.
    ExtraMissing
        A recipe needs word vectors, and spaCy is not installed.
    SourceShapeError
        The source has too few labelled tracks.
    OutputBroken
        A gate of the audit failed; that bundle is not written.
    """
    say = say or Silent()
    recipes = _named(models)
    if any(recipe.needs_words for recipe in recipes):
        names.ready()  # an hour's work would else end there
    plan = resources.plan()
    with sources.opened(source, encoding=encoding, mapping=mapping) as found:
        data = dataset.load(found, plan)
    say.progress("labelled tracks", len(data), len(data))
    if trials:
        recipes = [tune.search(recipe, data, seed, trials, out, say) for recipe in recipes]
    imputers = evaluate.measure_imputers(data, seed, say)
    common = leakage.of_data(data, seed)
    outcomes = evaluate.fit_all(recipes, data, seed, plan.threads, say)
    command = "genrepipe train TRACKS --model {name} --seed {seed}" + (f" --tune {trials}" if trials else "")
    bundles = [
        _write(
            recipe,
            data,
            outcomes[recipe.name],
            imputers,
            common,
            out,
            seed,
            command.format(name=recipe.name, seed=seed),
        )
        for recipe in recipes
    ]
    return {"status": "trained", "tracks": len(data), "tempo_imputers": imputers, "bundles": bundles}


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


def _write(
    recipe: Recipe,
    data: dataset.Dataset,
    outcomes: list[Outcome],
    imputers: dict[str, Any],
    common: list[leakage.Gate],
    out: Path,
    seed: int,
    command: str,
) -> dict[str, Any]:
    measured = evaluate.measure(data, outcomes)
    gates = [*common, *(gate for outcome in outcomes for gate in outcome.gates)]
    for gate in gates:
        if not gate.passed:
            raise OutputBroken(
                f"{recipe.name} is not written: the audit's gate {gate.name} failed ({gate.value:.3g}, at most {gate.limit:g}): {gate.sentence}",
                "Find what leaks in the source or the recipe; genrepipe audit shows every gate",
            )
    (final,) = (outcome for outcome in outcomes if outcome.fitted is not None)
    fitted = final.fitted
    assert fitted is not None  # noqa: S101  just chosen so
    manifest = {
        "name": recipe.name,
        "version": VERSION,
        "kind": recipe.kind,
        "summary": recipe.summary,
        "recipe": asdict(recipe),
        "training_data": {"tracks": len(data), "sha256": data.fingerprint, "seed": seed, "epochs": fitted.epochs},
        "metrics": {**measured.metrics, "tempo_imputer": imputers},
        "audit": [gate.report() for gate in gates],
        "command": command,
    }
    text = card.write(manifest, fitted.model.trainable, data, measured)
    bundle = export.write(out / recipe.name, fitted, data, measured, manifest, text, seed)
    return {
        "model": recipe.name,
        "folder": str(bundle.folder),
        "sha256": bundle.sha256,
        "parameters": fitted.model.trainable,
        "epochs": fitted.epochs,
        "seconds": round(final.seconds, 1),
        "seconds_measuring": round(sum(outcome.seconds for outcome in outcomes) - final.seconds, 1),
        "bytes": sum(path.stat().st_size for path in bundle.folder.iterdir()),
        "metrics": {split: measured.metrics[split] for split in evaluate.SPLITS},
    }
