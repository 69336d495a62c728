"""The gates of the audit: checks for leakage, each of which measures something, has a limit, and can fail.

A leak makes a model look better than it is in production. The gates look for the ways in which one can come in here:
artists or twins on both sides of a split, statistics or priors fitted on test rows, labels that reach an input, and
what the file alone knows (its order, and a date that depends on the genre).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from genrepipe.model.features import AUDIO, LABELS
from genrepipe.training import episodes, metrics, splits
from genrepipe.training.fit import fit, logits, matrix
from genrepipe.training.results import GateResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.splits import Indices

    Folds = Iterable[tuple[Indices, Indices]]

CHANCE = 0.02  # largest distance from 0.5 of an AUROC on shuffled labels
SAME = 0.99  # rank correlation from which an input counts as a copy of another column
MARK = 1e5  # a value that no feature has


def _gate(name: str, sentence: str, value: float, limit: float, explanation: str = "") -> GateResult:
    return GateResult(name, bool(value <= limit), value, limit, sentence, explanation)


def of_data(data: Dataset, seed: int) -> list[GateResult]:
    """Return the gates that do not depend on the recipe."""
    return [
        artists_on_both_sides(data, splits.artist_disjoint(data, seed)),
        twins_on_both_sides(data, splits.random_twins_apart(data, seed)),
        *file_alone(data, seed),
    ]


def of_recipe(recipe: Recipe, data: Dataset, seed: int) -> list[GateResult]:
    """Return the gates of one recipe, which is fitted three times."""
    return [
        fitted_on_test_rows(recipe, data, seed),
        shuffled_labels(recipe, data, seed),
        own_label(recipe, data),
        disguised(recipe, data),
    ]


def artists_on_both_sides(data: Dataset, folds: Folds) -> GateResult:
    """Count artists on both sides of a fold."""
    shared = sum(len((set(data.artist[train]) & set(data.artist[test])) - {""}) for train, test in folds)
    return _gate("artists_on_both_sides", "No artist stands on both sides of the artist-disjoint split.", shared, 0)


def twins_on_both_sides(data: Dataset, folds: Folds) -> GateResult:
    """Count groups of audio twins on both sides of a fold."""
    twins = data.twins
    shared = sum(len(set(twins[train]) & set(twins[test])) for train, test in folds)
    return _gate(
        "twins_on_both_sides", "No track's exact audio twin stands on the other side of the split that keeps twins apart.", shared, 0
    )  # fmt: skip


def fitted_on_test_rows(
    recipe: Recipe,
    data: Dataset,
    seed: int,
    fit_rows: Callable[[Indices, Indices], Indices] = lambda train, test: train,  # noqa: ARG005
) -> GateResult:
    """Give the test rows of a fold extreme values and other labels, fit again, and compare the answers for the train rows.

    Anything that is fitted on test rows (imputers, scalers, discriminants, usual variances, priors, weights) changes
    those answers. ``fit_rows`` returns the rows to fit on, from the train and the test rows of the fold.
    """
    train, test = next(splits.artist_disjoint(data, seed))
    blocks = {block: data.block(block).copy() for block in (AUDIO, *recipe.inputs) if block != LABELS}
    for values in blocks.values():
        values[test] = MARK
    y = data.y.copy()
    y[test] = (y[test] + 1) % len(data.labels)
    marked = replace(data.with_blocks(blocks), y=y)
    short = replace(recipe, epochs=min(recipe.epochs, 2))
    rows = fit_rows(train, test)
    first, second = (fit(short, table, rows, seed) for table in (data, marked))
    difference = np.abs(np.exp(logits(first, data, train)) - np.exp(logits(second, data, train))).max()
    return _gate(
        "fitted_on_test_rows", "Marked test rows leave no trace in imputers, scalers, projections, priors or weights.", float(difference), 0
    )  # fmt: skip


def shuffled_labels(recipe: Recipe, data: Dataset, seed: int) -> GateResult:
    """Train and test on shuffled labels: an AUROC that is not one half means that an input knows the label."""
    train, test = next(splits.artist_disjoint(data, seed))
    shuffled = replace(data, y=np.random.default_rng(seed).permutation(data.y))
    fitted = fit(replace(recipe, retrain_on_all=False), shuffled, train, seed)
    auroc = metrics.measure(shuffled.y[test], np.exp(logits(fitted, shuffled, test)))["macro_auroc"]
    # The standard error of an AUROC over ten genres is about 0.3 / √rows.
    limit = max(CHANCE, round(1 / len(test) ** 0.5, 3))
    sentence = f"On shuffled labels the macro AUROC is one half, within {limit:g}."
    return _gate("shuffled_labels", sentence, abs(auroc - 0.5), limit, f"AUROC {auroc:.3f}")


def own_label(
    recipe: Recipe,
    data: Dataset,
    count: Callable[..., npt.NDArray[np.float32]] = episodes.label_counts,
) -> GateResult:
    """Look for a track's own label among the labels of its artist that training shows.

    ``count`` counts labels as ``episodes.label_counts`` does.
    """
    sentence = "The labels of an artist that a track sees in training never hold its own."
    if LABELS not in recipe.inputs:
        return _gate("own_label", sentence, 0, 0, "the bundle reads no labels")
    artist = data.artist_code
    counts = count(artist, data.y, np.ones(len(data), np.bool_), len(data.labels))
    alone = (artist >= 0) & (np.bincount(np.maximum(artist, 0))[np.maximum(artist, 0)] == 1)
    return _gate("own_label", sentence, float(counts[alone].sum()), 0)


def disguised(recipe: Recipe, data: Dataset) -> GateResult:
    """Look for an input that has the order of the file, the label or the date, by rank correlation."""
    rows = np.arange(len(data))
    # Labels of known artists have a gate of their own.
    without = replace(recipe, inputs=tuple(block for block in recipe.inputs if block != LABELS))
    ranks = _ranks(matrix(without, data, rows, rows, 0.0))
    excluded = {"file order": data.tracks["file_row"].to_numpy(), "label": data.y, "obtained_date": date_codes(data)}
    highest, nearest = 0.0, ""
    for name, values in excluded.items():
        correlation = np.abs(ranks.T @ _ranks(values[:, None].astype(np.float64))[:, 0])
        if correlation.max() > highest:
            highest, nearest = float(correlation.max()), name
    return _gate(
        "disguised", "No input is the file's order, the label or the date in disguise.", highest, SAME, f"the nearest is to {nearest}"
    )  # fmt: skip


def file_alone(data: Dataset, seed: int) -> list[GateResult]:
    """Measure how well the order of the file and the date alone predict the genre; these gates never fail."""
    gates = []
    for name, values in (("row order", data.tracks["file_row"].to_numpy()), ("obtained_date", date_codes(data))):
        X = values[:, None].astype(np.float64)
        train, test = next(splits.artist_disjoint(data, seed))
        trees = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=seed).fit(
            X[train], data.y[train]
        )
        auroc = metrics.measure(data.y[test], trees.predict_proba(X[test]))["macro_auroc"]
        gates.append(
            _gate(
                f"{name.replace(' ', '_')}_alone", f"Shown, not judged: AUROC of a model that sees nothing but the {name}.", auroc, 1.0,
                "above one half it would leak the label, so no bundle reads it" if auroc > 0.5 + CHANCE else "tells nothing here",
            )
        )  # fmt: skip
    return gates


def gap(measured: dict[str, Any]) -> str:
    """Return a sentence on the difference between the random and the artist-disjoint split, from a bundle's metrics."""
    disjoint, apart, random = (
        measured[split]["macro_auroc"]["mean"] for split in ("artist_disjoint", "random_twins_apart", "random")
    )
    return (
        f"Macro AUROC is {disjoint:.3f} for new artists and {random:.3f} on a random split ({apart:.3f} with twins on one side): "
        f"{random - disjoint:.3f} of the latter is knowledge of artists that the training data holds."
    )


def date_codes(data: Dataset) -> npt.NDArray[np.int64]:
    """Return one number for each distinct ``obtained_date``, int64 of shape (tracks,)."""
    texts = data.tracks["obtained_date"].fill_null("").to_numpy().astype(np.str_)
    codes: npt.NDArray[np.int64] = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    return codes


def _ranks(columns: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the ranks of each column, centred and of length one: their products are rank correlations."""
    ranks = pl.DataFrame(np.nan_to_num(columns, nan=-1.0)).select(pl.all().rank()).to_numpy()
    centred = ranks - ranks.mean(0)
    scaled: npt.NDArray[np.float64] = centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-12)
    return scaled
