"""Comparisons behind the choices in the recipes: ``python -m genrepipe.training.experiments TRACKS NAME...``.

``rates`` compares the study's learning rates with the one-cycle schedule, ``speed`` times the study's recipe and ours,
``seeds`` trains the champion with other seeds, ``words`` reduces word vectors (needs the extra ``text``) and ``umap``
compares UMAP with PCA (pip install umap-learn). Each prints a table in Markdown.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from genrepipe.model import features, names
from genrepipe.model.features import AUDIO, VECTORS
from genrepipe.training import dataset, metrics, splits
from genrepipe.training.fit import fit, logits
from genrepipe.training.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.splits import Indices

    Matrix = npt.NDArray[np.float32]
    Reduce = Callable[[Matrix, Indices], Matrix]

FULL_BATCH = 10**9
STUDY_EPOCHS = 125
FOLDS = 2
REDUCTION_ROWS = 5_000  # that a reduction is fitted on
UMAP_TRACKS = 8_000
REPEATS = 3
SEEDS = (0, 1, 2, 3)
REDUCED = {"unskew": True, "hidden": (128, 64), "dropout": 0.3, "max_lr": 5e-3, "epochs": 16, "weight_decay": 0.01}


def rates(data: Dataset) -> Iterator[str]:
    """Compare learning rates by the validation loss of the kept weights, on the first artist-disjoint fold."""
    yield "| network | rate | epochs | validation loss, nats | seconds |\n|---|---|---|---|---|"
    train, _ = next(splits.artist_disjoint(data, 0))
    for name in ("all-features", "lda-3d", "lda-2d"):
        for label, recipe in _rates(RECIPES[name]):
            start = time.perf_counter()
            fitted = fit(recipe, data, train, 0)
            loss = next(validation for epoch, _, validation in fitted.curves if epoch == fitted.epochs)
            yield f"| {name} | {label} | {len(fitted.curves)} | {loss:.4f} | {time.perf_counter() - start:.1f} |"


def _rates(recipe: Recipe) -> list[tuple[str, Recipe]]:
    full = {"schedule": "constant", "batch_size": FULL_BATCH, "epochs": STUDY_EPOCHS}
    return [
        ("0.1, full batch, as in the study", replace(recipe, max_lr=0.1, **full)),  # type: ignore[arg-type]
        ("0.01, full batch, as in the study", replace(recipe, max_lr=0.01, **full)),  # type: ignore[arg-type]
        (f"one-cycle to {recipe.max_lr:g}, batches of {recipe.batch_size}", recipe),
    ]


def speed(data: Dataset) -> Iterator[str]:
    """Time each network with our recipe and the study's: full-batch Adam at 0.1, 125 epochs; medians of 3 runs."""
    yield "| network | ours, s | the study's recipe, s | ratio |\n|---|---|---|---|"
    every_row = np.arange(len(data))
    for name in ("all-features", "lda-3d", "lda-2d", "words", "all-features-words"):
        ours = RECIPES[name]
        study = replace(
            ours, schedule="constant", batch_size=FULL_BATCH, epochs=STUDY_EPOCHS, retrain_on_all=False, max_lr=0.1
        )
        seconds: dict[str, list[float]] = {"ours": [], "study": []}
        for _ in range(REPEATS):
            for key, recipe in (("ours", ours), ("study", study)):
                start = time.perf_counter()
                fit(recipe, data, every_row, 0)
                seconds[key].append(time.perf_counter() - start)
        our_time, study_time = (float(np.median(seconds[key])) for key in ("ours", "study"))
        yield f"| {name} | {our_time:.1f} | {study_time:.1f} | {our_time / study_time:.2f} |"


def seeds(data: Dataset) -> Iterator[str]:
    """Train the champion with other seeds on the same artist-disjoint folds; mean ± sd over the folds."""
    yield "| seed | AUROC, macro | accuracy |\n|---|---|---|"
    for seed in SEEDS:
        folds = []
        for train, test in splits.artist_disjoint(data, 0):
            fitted = fit(RECIPES["artist-context"], data, train, seed)
            folds.append(metrics.measure(data.y[test], np.exp(logits(fitted, data, test))))
        summary = metrics.summarise(folds)
        cells = (f"{summary[key]['mean']:.4f} ± {summary[key]['sd']:.4f}" for key in ("macro_auroc", "accuracy"))
        yield f"| {seed} | {' | '.join(cells)} |"


def words(data: Dataset) -> Iterator[str]:
    """Compare reductions of word vectors, read with the audio by a network of 128 and 64; two folds of each split."""
    yield "| vectors of each name | artist-disjoint | random |\n|---|---|---|"
    full = data.block(VECTORS)
    pruned = _pruned_vectors(data)
    variants: list[tuple[str, Matrix, Reduce]] = [("300, as they are", full, lambda block, _: block)]
    variants += [(f"PCA to {k}", full, _reduction(partial(PCA, k, random_state=0))) for k in (8, 16, 32)]
    variants += [("300, a table of 5,000 vectors", pruned, lambda block, _: block)]
    yield from _compare(data, variants)


def umap(data: Dataset) -> Iterator[str]:
    """Compare UMAP with PCA, both to 16 dimensions of each name, on a sample of the tracks: UMAP takes minutes."""
    yield f"| vectors of each name, of {UMAP_TRACKS:,} tracks | artist-disjoint | random |\n|---|---|---|"
    rows = np.sort(np.random.default_rng(0).choice(len(data), UMAP_TRACKS, replace=False))
    part = data.part(rows)
    full = part.block(VECTORS)
    pca = _reduction(partial(PCA, 16, random_state=0))
    yield from _compare(part, [("PCA to 16", full, pca), ("UMAP to 16", full, _reduction(_umap))])


def _compare(data: Dataset, variants: list[tuple[str, Matrix, Reduce]]) -> Iterator[str]:
    for label, block, reduce in variants:
        cells = []
        for split in (splits.artist_disjoint, splits.random):
            folds = []
            for number, (train, test) in enumerate(split(data, 0)):
                if number == FOLDS:
                    break
                reduced = data.with_blocks({VECTORS: reduce(block, train)})
                recipe = replace(RECIPES["all-features-words"], inputs=(AUDIO, VECTORS), **REDUCED)  # type: ignore[arg-type]
                fitted = fit(recipe, reduced, train, 0)
                folds.append(metrics.measure(data.y[test], np.exp(logits(fitted, reduced, test))))
            means = {key: float(np.mean([fold[key] for fold in folds])) for key in ("macro_auroc", "accuracy")}
            cells.append(f"{means['macro_auroc']:.3f} / {means['accuracy']:.3f}")
        yield f"| {label} | {' | '.join(cells)} |"


def _reduction(make: Callable[[], Any]) -> Reduce:
    """Return a function that reduces artist and title separately, fitted on a sample of the train rows."""

    def reduce(block: Matrix, train: Indices) -> Matrix:
        sides = []
        rows = np.random.default_rng(0).choice(train, min(REDUCTION_ROWS, len(train)), replace=False)
        for side in (block[:, : names.WIDTH], block[:, names.WIDTH :]):
            distinct, positions = np.unique(side, axis=0, return_inverse=True)  # artist names repeat
            fitted = make().fit(np.unique(side[rows], axis=0))
            sides.append(fitted.transform(distinct)[positions.ravel()])
        return np.hstack(sides).astype(np.float32)

    return reduce


def _umap() -> Any:
    import umap  # noqa: PLC0415  not a dependency of any extra

    return umap.UMAP(n_components=16, random_state=0, n_jobs=1)


def _pruned_vectors(data: Dataset) -> Matrix:
    """Return the vectors of all names from spaCy's table pruned to 5,000: other words take the nearest of them."""
    pipeline = names._pipeline()
    pipeline.vocab.prune_vectors(5_000)
    return features.matrix([features.BLOCKS[VECTORS].build(data.tracks)])


def main(source: str, *which: str) -> None:
    """Print comparisons by name; without a name ``rates``, ``speed`` and ``words``."""
    torch.set_num_threads(1)
    data = dataset.read((source,))
    for name in which or ("rates", "speed", "words"):
        print(f"\n{name}\n")
        for line in {"rates": rates, "speed": speed, "seeds": seeds, "words": words, "umap": umap}[name](data):
            print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
