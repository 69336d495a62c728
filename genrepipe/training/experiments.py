"""Comparisons that were made once, to be made again: ``python -m genrepipe.training.experiments TRACKS WHICH``.

``rates`` holds the study's learning rates against the one-cycle schedule, ``speed`` times the study's recipe beside
ours, ``seeds`` trains the champion from other random numbers, ``words`` reduces word vectors (needs the extra ``text``), ``umap`` holds UMAP against PCA (pip install umap-learn). Each prints Markdown.
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

from genrepipe import names, resources, sources
from genrepipe.features import AUDIO, VECTORS
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
FITTED_ON = 5_000  # rows
SAMPLED = 8_000  # tracks for UMAP
ROUNDS = 3
SEEDS = (0, 1, 2, 3)
REDUCED = {"unskew": True, "hidden": (128, 64), "dropout": 0.3, "peak": 5e-3, "epochs": 16, "weight_decay": 0.01}


def rates(data: Dataset) -> Iterator[str]:
    """Compare rates by the loss of validation artists, within the train rows of the first artist-disjoint fold.

    The loss is that of the weights which were kept.
    """
    yield "| network | rate | epochs | validation loss, nats | seconds |\n|---|---|---|---|---|"
    train, _ = next(splits.artist_disjoint(data, 0))
    for name in ("all-features", "lda-3d", "lda-2d"):
        for label, recipe in _rates(RECIPES[name]):
            began = time.perf_counter()
            fitted = fit(recipe, data, train, 0)
            loss = next(validation for epoch, _, validation in fitted.curves if epoch == fitted.epochs)
            yield f"| {name} | {label} | {len(fitted.curves)} | {loss:.4f} | {time.perf_counter() - began:.1f} |"


def _rates(recipe: Recipe) -> list[tuple[str, Recipe]]:
    full = {"schedule": "constant", "batch_size": FULL_BATCH, "epochs": STUDY_EPOCHS}
    return [
        ("0.1, full batch, as in the study", replace(recipe, peak=0.1, **full)),  # type: ignore[arg-type]
        ("0.01, full batch, as in the study", replace(recipe, peak=0.01, **full)),  # type: ignore[arg-type]
        (f"one-cycle to {recipe.peak:g}, batches of {recipe.batch_size}", recipe),
    ]


def speed(data: Dataset) -> Iterator[str]:
    """Time each of the study's networks beside its own recipe: full-batch Adam at 0.1, 125 epochs; medians of 3."""
    yield "| network | ours, s | the study's recipe, s | ratio |\n|---|---|---|---|"
    everything = np.arange(len(data))
    for name in ("all-features", "lda-3d", "lda-2d", "words", "all-features-words"):
        ours = RECIPES[name]
        theirs = replace(
            ours, schedule="constant", batch_size=FULL_BATCH, epochs=STUDY_EPOCHS, by_heart=False, peak=0.1
        )
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(ROUNDS):
            for key, recipe in (("ours", ours), ("theirs", theirs)):
                began = time.perf_counter()
                fit(recipe, data, everything, 0)
                seconds[key].append(time.perf_counter() - began)
        mine, other = (float(np.median(seconds[key])) for key in ("ours", "theirs"))
        yield f"| {name} | {mine:.1f} | {other:.1f} | {mine / other:.2f} |"


def seeds(data: Dataset) -> Iterator[str]:
    """Train the champion from other random numbers, on the same artist-disjoint folds; mean ± sd over the folds."""
    yield "| seed | AUROC, macro | accuracy |\n|---|---|---|"
    for seed in SEEDS:
        found = []
        for train, test in splits.artist_disjoint(data, 0):
            fitted = fit(RECIPES["artist-context"], data, train, seed)
            found.append(metrics.measure(data.y[test], np.exp(logits(fitted, data, test))))
        told = metrics.summarise(found)
        cells = (f"{told[key]['mean']:.4f} ± {told[key]['sd']:.4f}" for key in ("macro_auroc", "accuracy"))
        yield f"| {seed} | {' | '.join(cells)} |"


def words(data: Dataset) -> Iterator[str]:
    """Compare reduced word vectors beside the audio (network 128-64), two folds of each split; fitted on train rows."""
    yield "| vectors of each name | artist-disjoint | random |\n|---|---|---|"
    whole = data.block(VECTORS)
    small = _smaller_table(data)
    ways: list[tuple[str, Matrix, Reduce]] = [("300, as they are", whole, lambda block, _: block)]
    ways += [(f"PCA to {k}", whole, _by(partial(PCA, k, random_state=0))) for k in (8, 16, 32)]
    ways += [("300, a table of 5,000 vectors", small, lambda block, _: block)]
    yield from _compared(data, ways)


def umap(data: Dataset) -> Iterator[str]:
    """Compare UMAP with PCA, both to 16 dimensions of each name, on a sample of the tracks, since UMAP takes minutes."""
    yield f"| vectors of each name, of {SAMPLED:,} tracks | artist-disjoint | random |\n|---|---|---|"
    rows = np.sort(np.random.default_rng(0).choice(len(data), SAMPLED, replace=False))
    part = data.part(rows)
    whole = part.block(VECTORS)
    yield from _compared(
        part, [("PCA to 16", whole, _by(partial(PCA, 16, random_state=0))), ("UMAP to 16", whole, _by(_umap))]
    )


def _compared(data: Dataset, ways: list[tuple[str, Matrix, Reduce]]) -> Iterator[str]:
    for label, block, reduce in ways:
        cells = []
        for split in (splits.artist_disjoint, splits.random):
            found = []
            for number, (train, test) in enumerate(split(data, 0)):
                if number == FOLDS:
                    break
                reduced = replace(data, _blocks={VECTORS: reduce(block, train)})
                recipe = replace(RECIPES["all-features-words"], inputs=(AUDIO, VECTORS), **REDUCED)  # type: ignore[arg-type]
                fitted = fit(recipe, reduced, train, 0)
                found.append(metrics.measure(data.y[test], np.exp(logits(fitted, reduced, test))))
            means = {key: float(np.mean([fold[key] for fold in found])) for key in ("macro_auroc", "accuracy")}
            cells.append(f"{means['macro_auroc']:.3f} / {means['accuracy']:.3f}")
        yield f"| {label} | {' | '.join(cells)} |"


def _by(make: Callable[[], Any]) -> Reduce:
    """Return a reduction of artist and title apart, fitted on a sample of the train rows."""

    def reduce(block: Matrix, train: Indices) -> Matrix:
        sides = []
        rows = np.random.default_rng(0).choice(train, min(FITTED_ON, len(train)), replace=False)
        for side in (block[:, : names.WIDTH], block[:, names.WIDTH :]):
            distinct, positions = np.unique(side, axis=0, return_inverse=True)  # an artist's name is there many times
            fitted = make().fit(np.unique(side[rows], axis=0))
            sides.append(fitted.transform(distinct)[positions.ravel()])
        return np.hstack(sides).astype(np.float32)

    return reduce


def _umap() -> Any:
    import umap  # noqa: PLC0415  for this comparison alone

    return umap.UMAP(n_components=16, random_state=0, n_jobs=1)


def _smaller_table(data: Dataset) -> Matrix:
    """Return the vectors of all names when spaCy's table is pruned to 5,000: other words take their nearest vector."""
    pipeline = names._pipeline()
    pipeline.vocab.prune_vectors(5_000)
    return names.vectors(data.tracks)


def main(source: str, *which: str) -> None:
    """Print comparisons."""
    torch.set_num_threads(1)
    data = dataset.load(sources.resolve([source]), resources.plan())
    for name in which or ("rates", "speed", "words"):
        print(f"\n{name}\n")
        for line in {"rates": rates, "speed": speed, "seeds": seeds, "words": words, "umap": umap}[name](data):
            print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
