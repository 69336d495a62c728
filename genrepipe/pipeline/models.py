"""Bundles as a user meets them: list, verify, compare, sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core.errors import BundleBroken
from genrepipe.model import bundle as bundles
from genrepipe.model import signature
from genrepipe.model.scorer import Scorer
from genrepipe.pipeline.results import (
    BrokenModel,
    MeasureDiff,
    ModelDiff,
    ModelList,
    ModelSummary,
    SignResult,
    VerifiedModel,
)

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.model.bundle import Bundle


def list_models(folder: Path | None) -> ModelList:
    """Return the bundles of your own folder and those that ship; a broken one says why."""
    champion = bundles.champion(folder)
    models: list[ModelSummary | BrokenModel] = []
    for name in bundles.available(folder):
        try:
            models.append(_summary(bundles.load(name, folder), name, champion=name == champion))
        except BundleBroken as error:
            models.append(BrokenModel(name == champion, name, str(error)))
    return ModelList(models)


def card(model: str | None, folder: Path | None) -> str:
    """Return the card of a bundle, as Markdown."""
    bundle = bundles.load(model, folder)
    try:
        return bundle.contents[bundles.CARD].decode()
    except UnicodeDecodeError as error:
        raise BundleBroken(f"{bundle.folder / bundles.CARD} is not UTF-8 text", bundles.RESTORE) from error


def verify_model(model: str | None, folder: Path | None, key: Path | None = None) -> VerifiedModel:
    """Check a bundle's hashes, its signature where there is a ``key``, and its golden rows against their recorded answers.

    Raises
    ------
    BundleBroken
        A file is not what the manifest says, it is not signed with the key, or a golden row differs by more than the tolerance.
    """
    bundle = bundles.load(model, folder, key)
    difference, manifest = Scorer(bundle).golden_difference, bundle.manifest
    summary = _summary(bundle, manifest.name, champion=manifest.name == bundles.champion(folder))
    return VerifiedModel(
        **vars(summary), golden_rows=len(bundle.golden), largest_difference=difference, tolerance=manifest.tolerance
    )


def sign_model(model: str | None, folder: Path | None, key: Path) -> SignResult:
    """Sign a bundle with a private key (PEM, an elliptic curve), and write the signature beside its manifest.

    Raises
    ------
    BundleBroken
        Its files are not what its manifest says.
    ConfigurationError
        The key is no private key, or the extra is not installed.
    StorageError
        The key cannot be read, or the signature cannot be written.
    """
    bundle = bundles.load(model, folder)
    return SignResult(bundle.manifest.name, bundle.manifest.version, str(signature.sign(bundle.folder, key)))


SPLITS = ("artist_disjoint", "random", "random_twins_apart")
MEASURES = ("macro_auroc", "micro_auroc", "accuracy", "top2", "log_loss", "ece")


def diff(before: str, after: str, folder: Path | None) -> ModelDiff:
    """Compare two bundles: their measures, inputs, settings, and the answers of the first one's golden rows.

    Raises
    ------
    UnknownModel
        There is no bundle of one of the names.
    BundleBroken
        A bundle's files are not what its manifest says, or its manifest lacks measures.
    """
    old, new = bundles.load(before, folder), bundles.load(after, folder)
    a, b = old.manifest, new.manifest
    measures = []
    for split in SPLITS:
        for name in MEASURES:
            x, y = (_measured(bundle, split, name) for bundle in (old, new))
            measures.append(MeasureDiff(split, name, *x, *y, round(y[0] - x[0], 6)))
    keys = sorted({*a.recipe, *b.recipe} - {"name", "summary"})
    settings = {key: [a.recipe.get(key), b.recipe.get(key)] for key in keys if a.recipe.get(key) != b.recipe.get(key)}
    rows, moved, largest = _golden_moved(old, new)
    return ModelDiff(
        f"{a.name} {a.version}", f"{b.name} {b.version}", a.training_data.get("sha256") == b.training_data.get("sha256"),
        [a.parameters, b.parameters], sorted({*b.input_columns} - {*a.input_columns}), sorted({*a.input_columns} - {*b.input_columns}),
        settings, measures, rows, moved, largest,
    )  # fmt: skip


def _measured(bundle: Bundle, split: str, name: str) -> tuple[float, float]:
    try:
        value = bundle.manifest.metrics[split][name]
        return float(value["mean"]), float(value["sd"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        where = bundle.folder / bundles.MANIFEST
        raise BundleBroken(f"{where} has no mean and sd of {name} on {split}", bundles.RESTORE) from error


def _golden_moved(old: Bundle, new: Bundle) -> tuple[int, int, float]:
    """Return how many golden rows of a bundle another one can answer, with how many other genres, and the largest difference."""
    columns, labels = list(new.manifest.input_columns), old.manifest.labels
    if not {*columns} <= {*old.golden.columns} or labels != new.manifest.labels:
        return 0, 0, 0.0
    inputs = old.golden.select(columns).to_numpy().astype("float32")
    recorded = old.golden.select(f"p_{label}" for label in labels).to_numpy()
    answers = Scorer(new).probabilities(inputs)
    moved = int((answers.argmax(1) != recorded.argmax(1)).sum())
    return len(inputs), moved, round(float(abs(answers - recorded).max()), 6)


def _summary(bundle: Bundle, name: str, *, champion: bool) -> ModelSummary:
    manifest = bundle.manifest
    try:
        measured = manifest.metrics["artist_disjoint"]
        macro_auroc, accuracy = float(measured["macro_auroc"]["mean"]), float(measured["accuracy"]["mean"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        where = bundle.folder / bundles.MANIFEST
        raise BundleBroken(f"{where} has no mean of macro_auroc and accuracy", bundles.RESTORE) from error
    return ModelSummary(
        champion, name, manifest.version, manifest.summary, manifest.parameters, macro_auroc, accuracy,
        str(bundle.folder), bundle.sha256,
    )  # fmt: skip
