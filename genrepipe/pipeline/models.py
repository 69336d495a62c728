"""Bundles as a user meets them: list, verify, sign, promote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core import signals
from genrepipe.core.errors import BundleBroken
from genrepipe.model import bundle as bundles
from genrepipe.model import signature
from genrepipe.model.scorer import Scorer
from genrepipe.pipeline.results import BrokenModel, ModelList, ModelSummary, PromoteResult, SignResult, VerifiedModel

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


def promote(model: str, folder: Path, key: Path | None = None) -> PromoteResult:
    """Make a bundle the champion of your own folder: the bundle that a job uses when it names none.

    Raises
    ------
    BundleBroken
        Its files are not what its manifest says, it is not signed with the key, its golden rows do not reproduce, or a gate
        of its audit failed.
    StorageError
        The folder cannot be written.
    """
    Scorer(bundles.load(model, folder, key))
    with signals.deferred():  # a signal is too late once the name is being written
        before, champion = bundles.promote(model, folder, key)
    return PromoteResult(before, champion, str(folder))


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
