"""A trained bundle, its recipe, and labelled tracks to measure both on: where the audit and the explore page begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genrepipe.model import bundle, features
from genrepipe.training import dataset, evaluate, recipes

if TYPE_CHECKING:
    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.model.bundle import Bundle
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe


@dataclass(frozen=True)
class Trained:
    """A bundle, the recipe that it was trained with, and the tracks of a labelled source."""

    bundle: Bundle
    recipe: Recipe
    data: Dataset


def load(
    model: str | None, source: tuple[str, ...], encoding: str = "utf-8", source_recipe: SourceRecipe | None = None
) -> Trained:
    """Load a bundle by name or folder (None for the champion), and read a labelled source.

    Torch is made deterministic, so that fits of the recipe give the same weights as in training.

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
    loaded = bundle.load(model)
    recipe = recipes.of_bundle(loaded)
    features.prepare(recipe.inputs)
    evaluate.deterministic()
    return Trained(loaded, recipe, dataset.read(source, encoding, source_recipe))
