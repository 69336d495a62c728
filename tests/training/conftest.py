"""Labelled tracks, and contracts that a test may change."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from genrepipe.contracts import documents, schemas
from genrepipe.core import assets
from genrepipe.synthetic import tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from genrepipe.model.bundle import Bundle
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.fit import Fitted
    from genrepipe.training.recipes import Recipe

    EditFeatures = Callable[[Callable[[list[dict[str, Any]]], None]], None]

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]  # pip install 'genrepipe[train]'


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keeps scikit-learn from starting a thread for each core in each of the processes that run tests."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 tracks, for what trains many models."""
    path = tmp_path_factory.mktemp("small") / "small.csv"
    tracks.write(1200, 1, path)
    return path


@pytest.fixture(scope="session")
def data(sample: Path) -> Dataset:
    """The 3,000 tracks of the sample; only for reading."""
    from genrepipe.training import dataset, evaluate

    evaluate.deterministic()
    return dataset.read((str(sample),))


def forget_contracts() -> None:
    for cached in (documents.load, documents.versions, schemas.schema):
        cached.cache_clear()


@pytest.fixture
def edit_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EditFeatures]:
    """Puts a copy of the contracts in force, in which a function has changed the tables of ``features``."""

    def edit(change: Callable[[list[dict[str, Any]]], None]) -> None:
        folder = shutil.copytree(assets.shipped("contracts"), tmp_path / "contracts")
        path = folder / "features.odcs.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(document["schema"])
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        monkeypatch.setattr(assets, "shipped", lambda name: {"contracts": folder}[name])
        forget_contracts()

    yield edit
    monkeypatch.undo()
    forget_contracts()


def fit_briefly(recipe: Recipe, data: Dataset, epochs: int = 1) -> Fitted:
    """Fit a recipe for a few epochs on all rows."""
    from dataclasses import replace

    import numpy as np

    from genrepipe.training.fit import fit

    return fit(replace(recipe, epochs=epochs), data, np.arange(len(data)), 0)


def write_bundle(folder: Path, fitted: Fitted, data: Dataset) -> Bundle:
    """Export a model as a bundle that was measured on nothing; the golden rows are scored."""
    from genrepipe.training import export
    from genrepipe.training.evaluate import Evaluation

    recipe = fitted.recipe
    manifest = {
        "name": recipe.name, "version": "0", "kind": recipe.kind, "summary": recipe.summary, "recipe": asdict(recipe),
        "training_data": {"sha256": data.fingerprint, "seed": 0}, "metrics": {}, "audit": [], "command": "",
    }  # fmt: skip
    return export.write(folder, fitted, data, Evaluation({}, 1.5, [0.1] * 4), manifest, "# A card\n", 0)
