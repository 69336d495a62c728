"""Measure recipes on every split, refitting everything on each fold's train rows, in a process for each core.

The networks are small: two processes of one thread each train twice as fast as one of two threads, and give the same
weights whatever the machine.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from genrepipe.features import CONTEXT, VECTORS
from genrepipe.training import calibrate, leakage, metrics, splits
from genrepipe.training.dataset import TEMPO
from genrepipe.training.fit import duration_median, fit, fit_imputer, logits, with_durations
from genrepipe.training.networks import Unskewed

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.console import Reporter
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.fit import Fitted
    from genrepipe.training.leakage import Gate
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.splits import Indices

SPLITS = {
    "artist_disjoint": splits.artist_disjoint,
    "random_twins_apart": splits.random_twins_apart,
    "random": splits.random,
}
AUDIT = "audit"
VISIBLE = (5, 2, 1)  # how many of an artist's tracks are seen together, beside all of them


@dataclass(frozen=True)
class Outcome:
    """What one fit left: log-probabilities of its test rows; of a fit on all rows the model; of an audit the gates."""

    recipe: str
    split: str | None
    test: Indices
    logits: npt.NDArray[np.float64]
    seconds: float
    visible: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)
    fitted: Fitted | None = None
    gates: list[Gate] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """How good a recipe is, and what its bundle is calibrated with."""

    metrics: dict[str, Any]
    temperature: float
    thresholds: list[float]


class _Worker:
    """What a process of the pool keeps between fits."""

    data: Dataset
    queue: Any
    folds: dict[str, list[tuple[Indices, Indices]]]


def _begin(data: Dataset, queue: Any) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    _Worker.data, _Worker.queue, _Worker.folds = data, queue, {}


def _fit_one(recipe: Recipe, split: str | None, fold: int, seed: int) -> Outcome:
    data, began = _Worker.data, time.perf_counter()
    nothing = np.empty(0)
    if split == AUDIT:
        gates = leakage.of_recipe(recipe, data, seed)
        return Outcome(recipe.name, AUDIT, nothing.astype(int), nothing, time.perf_counter() - began, gates=gates)

    def progress(epoch: int, loss: float, validation: float) -> None:
        _Worker.queue.put((recipe.name, epoch / recipe.epochs, loss, validation))

    if split is None:
        everything = np.arange(len(data))
        fitted = fit(recipe, data, everything, seed, progress)
        return Outcome(recipe.name, None, everything, nothing, time.perf_counter() - began, fitted=fitted)
    if split not in _Worker.folds:
        _Worker.folds[split] = list(SPLITS[split](data, seed))
    train, test = _Worker.folds[split][fold]
    fitted = fit(recipe, data, train, seed, progress)
    sizes = VISIBLE if CONTEXT in recipe.inputs and split == "artist_disjoint" else ()
    return Outcome(
        recipe.name, split, test, logits(fitted, data, test), time.perf_counter() - began,
        {k: logits(fitted, data, test, k) for k in sizes},
    )  # fmt: skip


def fit_all(recipes: list[Recipe], data: Dataset, seed: int, workers: int, say: Reporter) -> dict[str, list[Outcome]]:
    """Fit every recipe on the train rows of every fold of every split, and on all rows, and audit it.

    Returns
    -------
    The outcomes of each recipe: one for each fold, one that holds the model, one that holds the gates.
    """
    if any(recipe.needs_words for recipe in recipes):
        data.block(VECTORS)  # computed here once, not in every process
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    jobs: list[tuple[Recipe, str | None, int]] = [
        (r, split, fold) for r in recipes for split in SPLITS for fold in range(splits.FOLDS)
    ]
    jobs += [(recipe, split, 0) for recipe in recipes for split in (None, AUDIT)]
    # The long ones first, so that no core waits for the last of them alone.
    jobs.sort(key=lambda job: -job[0].epochs / job[0].batch_size * sum(job[0].hidden))
    total = len(SPLITS) * splits.FOLDS + 2
    done = {recipe.name: 0 for recipe in recipes}
    follower = Thread(target=_follow, args=(queue, done, total, say), daemon=True)
    follower.start()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(data, queue)) as pool:
        futures = [pool.submit(_fit_one, *job, seed) for job in jobs]
        for future in as_completed(futures):
            name = future.result().recipe
            done[name] += 1
            say.progress(name, done[name], total)
        queue.put(None)
        follower.join()
    # In the order of the folds, not of their ends: even a mean depends on the order of what is added.
    found = [future.result() for future in futures]
    return {recipe.name: [outcome for outcome in found if outcome.recipe == recipe.name] for recipe in recipes}


def _follow(queue: Any, done: dict[str, int], total: int, say: Reporter) -> None:
    while (said := queue.get()) is not None:
        name, share, loss, validation = said
        if done[name] < total - 1:
            say.progress(name, done[name] + min(share, 0.99), total, loss=loss, validation=validation)


def measure(data: Dataset, outcomes: list[Outcome]) -> Measured:
    """Measure a recipe's folds, and calibrate it.

    A fold is judged with the temperature and the thresholds that the artist-disjoint answers for its own train rows
    give, so nothing of a test row shapes what it is judged by.
    """
    known = np.empty((len(data), len(data.labels)))
    for outcome in outcomes:
        if outcome.split == "artist_disjoint":
            known[outcome.test] = outcome.logits
    visible = data.tracks["artist_tracks"].to_numpy()
    found: dict[str, Any] = {}
    sets: list[dict[str, float]] = []
    seen: dict[str, list[dict[str, float]]] = {str(k): [] for k in VISIBLE}
    for split in SPLITS:
        folds = []
        for outcome in (o for o in outcomes if o.split == split):
            test = outcome.test
            train = np.setdiff1d(np.arange(len(data)), test)
            heat = calibrate.temperature(known[train], data.y[train])
            answers = calibrate.tempered(outcome.logits, heat)
            folds.append(metrics.measure(data.y[test], answers))
            if split == "artist_disjoint":
                folds[-1] |= metrics.beside_twins(data, test, answers)
                limits = calibrate.thresholds(calibrate.tempered(known[train], heat), data.y[train], visible[train])
                sets.append(_sets(answers, data.y[test], visible[test], limits))
                for k, other in outcome.visible.items():
                    seen[str(k)].append(metrics.measure(data.y[test], calibrate.tempered(other, heat)))
        found[split] = metrics.summarise(folds)
    found["genre_sets"] = metrics.summarise(sets)
    if seen[str(VISIBLE[0])]:
        found["visible_tracks"] = {k: metrics.summarise(folds) for k, folds in seen.items()}
    heat = calibrate.temperature(known, data.y)
    return Measured(found, heat, calibrate.thresholds(calibrate.tempered(known, heat), data.y, visible))


def _sets(p: npt.NDArray[np.float64], y: npt.NDArray[np.int64], visible: Any, limits: list[float]) -> dict[str, float]:
    members, bucket = calibrate.in_sets(p, visible, limits), calibrate.buckets(visible)
    hit = members[np.arange(len(y)), y]
    found = {"size": float(members.sum(1).mean()), "coverage": float(hit.mean())}
    for number, start in enumerate(calibrate.VISIBLE_FROM):
        inside = bucket == number
        found[f"coverage_from_{start}"] = float(hit[inside].mean()) if inside.any() else float("nan")
    return found


def measure_imputers(data: Dataset, seed: int, say: Reporter) -> dict[str, Any]:
    """Return MAE and R² of the tempo imputer, linear regression and the median, over artist-disjoint folds."""
    found: dict[str, list[dict[str, float]]] = {"network": [], "linear": [], "median": []}
    for number, (train, test) in enumerate(splits.artist_disjoint(data, seed), 1):
        median = duration_median(data.X[train])
        fit_rows, held_out = (with_durations(data.X[rows], median) for rows in (train, test))
        fit_rows, held_out = (rows[~np.isnan(rows[:, TEMPO])] for rows in (fit_rows, held_out))
        known, truth = fit_rows[:, TEMPO], held_out[:, TEMPO]
        linear = LinearRegression().fit(np.delete(fit_rows, TEMPO, axis=1), known)
        predicted = {
            "network": _impute(fit_imputer(fit_rows, seed), held_out),
            "linear": linear.predict(np.delete(held_out, TEMPO, axis=1)),
            "median": np.full(len(truth), np.median(known)),
        }
        for name, tempos in predicted.items():
            found[name].append(metrics.measure_tempo(truth, tempos))
        say.progress("tempo imputers", number, splits.FOLDS)
    return {name: metrics.summarise(folds) for name, folds in found.items()}


def _impute(imputer: torch.nn.Module, rows: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    with torch.no_grad():
        return imputer(Unskewed()(torch.from_numpy(rows))).numpy()
