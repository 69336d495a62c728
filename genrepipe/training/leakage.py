"""Checks on leakage: each a gate that measures something, names its limit, and can fail.

A leak flatters a model in the laboratory and fails it at night. The gates look for the ways by which one can come in
here: artists or twins on both sides of a split, statistics or priors fitted on test rows, labels that shine through an
input, and what the file alone knows (its order, and a date that depends on the genre).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from genrepipe.features import LABELS
from genrepipe.training import episodes, metrics, splits
from genrepipe.training.fit import fit, logits, matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.splits import Indices

    Folds = Iterable[tuple[Indices, Indices]]

CHANCE = 0.02  # how far from 0.5 an AUROC of shuffled labels may lie
SAME = 0.99  # rank correlation from which a column is another one in disguise
MARK = 1e5


@dataclass(frozen=True)
class Gate:
    """One check: what it says, what was measured, the most that may be, and how it ended."""

    name: str
    sentence: str
    value: float
    limit: float
    explanation: str = ""

    @property
    def passed(self) -> bool:
        """Whether the measure is within the limit."""
        return bool(self.value <= self.limit)

    def report(self) -> dict[str, Any]:
        """Return the check as the report shows it."""
        return {
            "gate": self.name, "passed": self.passed, "value": round(self.value, 4), "limit": self.limit,
            "sentence": self.sentence, "explanation": self.explanation,
        }  # fmt: skip


def of_data(data: Dataset, seed: int) -> list[Gate]:
    """Return the gates that hold for every recipe on these labelled tracks."""
    return [
        artists_on_both_sides(data, splits.artist_disjoint(data, seed)),
        twins_on_both_sides(data, splits.random_twins_apart(data, seed)),
        *file_alone(data, seed),
    ]


def of_recipe(recipe: Recipe, data: Dataset, seed: int) -> list[Gate]:
    """Return the gates of one recipe; it is fitted three times for them."""
    return [
        fitted_on_test_rows(recipe, data, seed),
        shuffled_labels(recipe, data, seed),
        own_label(recipe, data),
        disguised(recipe, data),
    ]


def artists_on_both_sides(data: Dataset, folds: Folds) -> Gate:
    """Count artists that stand on both sides of a fold."""
    shared = sum(len((set(data.artist[train]) & set(data.artist[test])) - {""}) for train, test in folds)
    return Gate("artists_on_both_sides", "No artist stands on both sides of the artist-disjoint split.", shared, 0)


def twins_on_both_sides(data: Dataset, folds: Folds) -> Gate:
    """Count groups of exact audio twins that stand on both sides of a fold."""
    twins = data.twins
    shared = sum(len(set(twins[train]) & set(twins[test])) for train, test in folds)
    return Gate(
        "twins_on_both_sides", "No track's exact audio twin stands on the other side of the split that keeps twins apart.", shared, 0
    )  # fmt: skip


def fitted_on_test_rows(
    recipe: Recipe,
    data: Dataset,
    seed: int,
    rows_seen: Callable[[Indices, Indices], Indices] = lambda train, test: train,  # noqa: ARG005
) -> Gate:
    """Mark the test rows of a fold with monstrous values and other labels, refit, and look for a trace.

    Whatever is fitted (imputers, scalers, discriminants, usual variances, priors, weights) shows in the answers for the
    train rows. ``rows_seen`` tells which rows are fitted on; a test plants a leak with it.
    """
    train, test = next(splits.artist_disjoint(data, seed))
    marked = replace(
        data, X=data.X.copy(), y=data.y.copy(), _blocks={k: data.block(k).copy() for k in recipe.inputs if k != LABELS}
    )
    marked.X[test] = MARK
    marked.y[test] = (marked.y[test] + 1) % len(data.labels)
    for name, block in marked._blocks.items():
        if name in recipe.inputs:
            block[test] = MARK
    short = replace(recipe, epochs=min(recipe.epochs, 2))
    seen = rows_seen(train, test)
    clean, again = (fit(short, table, seen, seed) for table in (data, marked))
    difference = np.abs(np.exp(logits(clean, data, train)) - np.exp(logits(again, data, train))).max()
    return Gate(
        "fitted_on_test_rows", "Marked test rows leave no trace in imputers, scalers, projections, priors or weights.", float(difference), 0
    )  # fmt: skip


def shuffled_labels(recipe: Recipe, data: Dataset, seed: int) -> Gate:
    """Train and test on shuffled labels: an AUROC away from one half means that an input knows the label."""
    train, test = next(splits.artist_disjoint(data, seed))
    shuffled = replace(data, y=np.random.default_rng(seed).permutation(data.y))
    fitted = fit(replace(recipe, by_heart=False), shuffled, train, seed)
    auroc = metrics.measure(shuffled.y[test], np.exp(logits(fitted, shuffled, test)))["macro_auroc"]
    # Of few rows an AUROC is uncertain: its standard error, over ten genres, is about 0.3 / √rows.
    limit = max(CHANCE, round(1 / len(test) ** 0.5, 3))
    sentence = f"On shuffled labels the macro AUROC is one half, within {limit:g}."
    return Gate("shuffled_labels", sentence, abs(auroc - 0.5), limit, f"AUROC {auroc:.3f}")


def own_label(
    recipe: Recipe,
    data: Dataset,
    counts: Callable[..., npt.NDArray[np.float32]] = episodes.label_counts,
) -> Gate:
    """Look for a track's own label among the labels of its artist that training shows."""
    sentence = "The labels of an artist that a track sees in training never hold its own."
    if LABELS not in recipe.inputs:
        return Gate("own_label", sentence, 0, 0, "the bundle reads no labels")
    artist = data.artist_code
    shown = counts(artist, data.y, np.ones(len(data), np.bool_), len(data.labels))
    alone = (artist >= 0) & (np.bincount(np.maximum(artist, 0))[np.maximum(artist, 0)] == 1)
    return Gate("own_label", sentence, float(shown[alone].sum()), 0)


def disguised(recipe: Recipe, data: Dataset) -> Gate:
    """Look for an input that is the file's order, the label, or the date in disguise, by rank correlation."""
    rows = np.arange(len(data))
    # Labels of known artists are looked at by the gate of their own.
    without = replace(recipe, inputs=tuple(block for block in recipe.inputs if block != LABELS))
    raw = matrix(without, data, rows, rows, 0.0)
    kept_out = {"file order": data.tracks["file_row"].to_numpy(), "label": data.y, "obtained_date": _dates(data)}
    most, which = 0.0, ""
    ranked = _ranks(raw)
    for name, values in kept_out.items():
        found = np.abs(ranked.T @ _ranks(values[:, None].astype(np.float64))[:, 0])
        if found.max() > most:
            most, which = float(found.max()), name
    return Gate(
        "disguised", "No input is the file's order, the label or the date in disguise.", most, SAME, f"the nearest is to {which}"
    )  # fmt: skip


def file_alone(data: Dataset, seed: int) -> list[Gate]:
    """Measure what the file's order and the date alone would tell: the reason why they are kept out."""
    found = []
    for name, values in (("row order", data.tracks["file_row"].to_numpy()), ("obtained_date", _dates(data))):
        X = values[:, None].astype(np.float64)
        train, test = next(splits.artist_disjoint(data, seed))
        trees = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=seed).fit(
            X[train], data.y[train]
        )
        auroc = metrics.measure(data.y[test], trees.predict_proba(X[test]))["macro_auroc"]
        found.append(
            Gate(
                f"{name.replace(' ', '_')}_alone", f"Shown, not judged: AUROC of a model that sees nothing but the {name}.", auroc, 1.0,
                "above one half it would leak the label, so no bundle reads it" if auroc > 0.5 + CHANCE else "tells nothing here",
            )
        )  # fmt: skip
    return found


def gap(measured: dict[str, Any]) -> str:
    """Say in a sentence what lies between the random and the artist-disjoint split."""
    disjoint, apart, random = (
        measured[split]["macro_auroc"]["mean"] for split in ("artist_disjoint", "random_twins_apart", "random")
    )
    return (
        f"Macro AUROC is {disjoint:.3f} for new artists and {random:.3f} on a random split ({apart:.3f} with twins on one side): "
        f"{random - disjoint:.3f} of the latter is knowledge of artists that the training data holds."
    )


def _dates(data: Dataset) -> npt.NDArray[np.int64]:
    texts = data.tracks["obtained_date"].fill_null("").to_numpy().astype(np.str_)
    codes: npt.NDArray[np.int64] = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    return codes


def _ranks(columns: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    ranks = pl.DataFrame(np.nan_to_num(columns, nan=-1.0)).select(pl.all().rank()).to_numpy()
    centred = ranks - ranks.mean(0)
    scaled: npt.NDArray[np.float64] = centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-12)
    return scaled
