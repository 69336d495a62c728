"""Recipes are read back from the manifests of bundles."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from genrepipe.core.errors import BundleBroken
from genrepipe.model import bundle
from genrepipe.training import recipes
from genrepipe.training.recipes import RECIPES

if TYPE_CHECKING:
    from genrepipe.model.bundle import Bundle


def with_recipe(recipe: dict[str, Any]) -> Bundle:
    loaded = bundle.load("lda-2d")
    return replace(loaded, manifest=loaded.manifest.model_copy(update={"recipe": recipe}))


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_shipped_bundle_has_the_recipe_of_its_name(name: str) -> None:
    assert recipes.of_bundle(bundle.load(name)) == RECIPES[name]


@pytest.mark.parametrize("name", ["learned-3d", "all-features-words", "known-artist"])
def test_a_manifest_keeps_a_recipe(name: str) -> None:
    written = json.loads(json.dumps(asdict(RECIPES[name])))
    assert recipes.of_bundle(with_recipe(written)) == RECIPES[name]


@pytest.mark.parametrize("change", [{"momentum": 0.9}, {"kind": "forest"}, {"max_lr": "fast"}])
def test_an_unknown_recipe_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BundleBroken, match="its recipe is not one of this version"):
        recipes.of_bundle(with_recipe(asdict(RECIPES["lda-2d"]) | change))
