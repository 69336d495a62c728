"""Measure recipes on every split, with everything refitted on each fold's train rows, in one process for each core.

The networks are small: two processes of one thread train twice as fast as one of two threads, and the weights do not
depend on the number of cores.
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
from threadpoolctl import threadpool_limits

from genrepipe.model import features
from genrepipe.model.features import AUDIO, CONTEXT, LABELS
from genrepipe.training import calibrate, leakage, masks, metrics, splits
from genrepipe.training.fit import fit, logits
from genrepipe.training.imputation import duration_median, fit_imputer, with_durations
from genrepipe.training.networks import Audio

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.core.events import Reporter
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.fit import Fitted
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.results import GateResult
    from genrepipe.training.splits import Indices

SPLITS = {
    "artist_disjoint": splits.artist_disjoint,
    "random_twins_apart": splits.random_twins_apart,
    "random": splits.random,
}
AUDIT = "audit"
MISSING = ("artist_disjoint", "random_twins_apart")  # splits on which models are measured where features are missing
VISIBLE = (5, 2, 1)  # numbers of an artist's tracks that are seen together, measured beside all of them


@dataclass(frozen=True)
class Outcome:
    """What one job of the pool returns.

    Attributes
    ----------
    split
        The split of a fold; None for the fit on all rows, ``audit`` for the gates.
    test, logits
        The test rows, and their log-probabilities of shape (rows, classes).
    visible
        The same log-probabilities where so many tracks of an artist are seen together.
    missing
        The same log-probabilities where audio features are missing, by what is missing.
    fitted
        The model of the fit on all rows.
    gates
        The gates of the audit.
    """

    recipe: str
    split: str | None
    test: Indices
    logits: npt.NDArray[np.float64]
    seconds: float
    visible: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)
    missing: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    fitted: Fitted | None = None
    gates: list[GateResult] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a recipe, and the temperature and thresholds that its bundle is calibrated with."""

    metrics: dict[str, Any]
    temperature: float
    thresholds: list[float]


class _Worker:
    """State of a process of the pool."""

    data: Dataset
    queue: Any
    folds: dict[str, list[tuple[Indices, Indices]]]
    missing: dict[str, Dataset]


def deterministic() -> None:
    """Make torch give the same weights on any number of cores, and scikit-learn's trees use one thread."""
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="openmp")
    torch.use_deterministic_algorithms(True)


def _start_worker(data: Dataset, queue: Any) -> None:
    deterministic()
    _Worker.data, _Worker.queue, _Worker.folds, _Worker.missing = data, queue, {}, {}


def _run_job(recipe: Recipe, split: str | None, fold: int, seed: int) -> Outcome:
    data, start = _Worker.data, time.perf_counter()
    empty = np.empty(0)
    if split == AUDIT:
        gates = leakage.of_recipe(recipe, data, seed)
        return Outcome(recipe.name, AUDIT, empty.astype(int), empty, time.perf_counter() - start, gates=gates)

    def progress(epoch: int, loss: float, validation: float) -> None:
        _Worker.queue.put((recipe.name, epoch / recipe.epochs, loss, validation))

    if split is None:
        every_row = np.arange(len(data))
        fitted = fit(recipe, data, every_row, seed, progress)
        return Outcome(recipe.name, None, every_row, empty, time.perf_counter() - start, fitted=fitted)
    if split not in _Worker.folds:
        _Worker.folds[split] = list(SPLITS[split](data, seed))
    train, test = _Worker.folds[split][fold]
    fitted = fit(recipe, data, train, seed, progress)
    sizes = VISIBLE if CONTEXT in recipe.inputs and split == "artist_disjoint" else ()
    return Outcome(
        recipe.name, split, test, logits(fitted, data, test), time.perf_counter() - start,
        {size: logits(fitted, data, test, size) for size in sizes},
        {what: logits(fitted, less, test) for what, less in _missing(recipe, split).items()},
    )  # fmt: skip


def _missing(recipe: Recipe, split: str) -> dict[str, Dataset]:
    """Return the tracks without some of their audio features, by what is missing; none where the recipe is not measured so."""
    if AUDIO not in recipe.inputs or split not in MISSING:
        return {}
    if not _Worker.missing:
        hidden = masks.scenarios(_Worker.data)
        _Worker.missing = {what: _Worker.data.without(lost) for what, lost in hidden.items()}
    return _Worker.missing


def fit_all(
    recipes: list[Recipe], data: Dataset, seed: int, workers: int, reporter: Reporter
) -> dict[str, list[Outcome]]:
    """Fit every recipe on the train rows of every fold of every split and on all rows, and run its gates.

    Returns
    -------
    The outcomes by the name of the recipe: one for each fold, one with the model, one with the gates.
    """
    for block in dict.fromkeys(block for recipe in recipes for block in recipe.inputs if block != LABELS):
        data.block(block)  # computed here once, not in every process
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    jobs: list[tuple[Recipe, str | None, int]] = [
        (recipe, split, fold) for recipe in recipes for split in SPLITS for fold in range(splits.FOLDS)
    ]
    jobs += [(recipe, split, 0) for recipe in recipes for split in (None, AUDIT)]
    # The longest first, so that no core is idle while the last one works.
    jobs.sort(key=lambda job: -job[0].epochs / job[0].batch_size * sum(job[0].hidden))
    total = len(SPLITS) * splits.FOLDS + 2
    done = {recipe.name: 0 for recipe in recipes}
    thread = Thread(target=_forward_progress, args=(queue, done, total, reporter), daemon=True)
    thread.start()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(data, queue)) as pool:
        futures = [pool.submit(_run_job, *job, seed) for job in jobs]
        for future in as_completed(futures):
            name = future.result().recipe
            done[name] += 1
            reporter.progress(name, done[name], total)
        queue.put(None)
        thread.join()
    # In the order of the jobs, not of their ends: a mean depends on the order of its terms.
    outcomes = [future.result() for future in futures]
    return {recipe.name: [each for each in outcomes if each.recipe == recipe.name] for recipe in recipes}


def _forward_progress(queue: Any, done: dict[str, int], total: int, reporter: Reporter) -> None:
    while (message := queue.get()) is not None:
        name, share, loss, validation = message
        if done[name] < total - 1:
            reporter.progress(name, done[name] + min(share, 0.99), total, loss=loss, validation=validation)


def evaluate(data: Dataset, outcomes: list[Outcome]) -> Evaluation:
    """Measure the folds of a recipe, and calibrate it.

    Each fold is measured with the temperature and the thresholds that the artist-disjoint answers for its own train
    rows give, so that no test row influences its own measure.
    """
    disjoint = np.empty((len(data), len(data.labels)))  # log-probabilities of every track, by a model of other artists
    for outcome in outcomes:
        if outcome.split == "artist_disjoint":
            disjoint[outcome.test] = outcome.logits
    visible = data.tracks["artist_tracks"].to_numpy()
    measured: dict[str, Any] = {}
    missing: dict[str, dict[str, list[dict[str, float]]]] = {split: {} for split in MISSING}
    sets: list[dict[str, float]] = []
    by_size: dict[str, list[dict[str, float]]] = {str(size): [] for size in VISIBLE}
    for split in SPLITS:
        folds = []
        for outcome in (each for each in outcomes if each.split == split):
            test = outcome.test
            train = np.setdiff1d(np.arange(len(data)), test)
            temperature = calibrate.temperature(disjoint[train], data.y[train])
            answers = calibrate.tempered(outcome.logits, temperature)
            folds.append(metrics.measure(data.y[test], answers))
            for what, other in outcome.missing.items():
                tempered = calibrate.tempered(other, temperature)
                missing[split].setdefault(what, []).append(metrics.auroc_and_accuracy(data.y[test], tempered))
            if split == "artist_disjoint":
                folds[-1] |= metrics.twin_accuracy(data, test, answers)
                train_answers = calibrate.tempered(disjoint[train], temperature)
                limits = calibrate.thresholds(train_answers, data.y[train], visible[train])
                sets.append(_set_measures(answers, data.y[test], visible[test], limits))
                for size, other in outcome.visible.items():
                    by_size[str(size)].append(metrics.measure(data.y[test], calibrate.tempered(other, temperature)))
        measured[split] = metrics.summarise(folds)
    measured["genre_sets"] = metrics.summarise(sets)
    if by_size[str(VISIBLE[0])]:
        measured["visible_tracks"] = {size: metrics.summarise(folds) for size, folds in by_size.items()}
    if missing[MISSING[0]]:
        measured["missing_features"] = {
            split: {what: metrics.summarise(folds) for what, folds in by_what.items()}
            for split, by_what in missing.items()
        }
    temperature = calibrate.temperature(disjoint, data.y)
    limits = calibrate.thresholds(calibrate.tempered(disjoint, temperature), data.y, visible)
    return Evaluation(measured, temperature, limits)


def _set_measures(
    p: npt.NDArray[np.float64], y: npt.NDArray[np.int64], visible: Any, limits: list[float]
) -> dict[str, float]:
    """Return the mean size of genre sets, and their coverage: of all rows, and by bucket of visible tracks."""
    members, bucket = calibrate.in_sets(p, visible, limits), calibrate.buckets(visible)
    hit = members[np.arange(len(y)), y]
    measures = {"size": float(members.sum(1).mean()), "coverage": float(hit.mean())}
    for number, start in enumerate(calibrate.VISIBLE_FROM):
        inside = bucket == number
        measures[f"coverage_from_{start}"] = float(hit[inside].mean()) if inside.any() else float("nan")
    return measures


def evaluate_imputers(data: Dataset, seed: int, reporter: Reporter) -> dict[str, Any]:
    """Return MAE and R² of the imputed tempo, of linear regression and of the median, over artist-disjoint folds."""
    tempo = features.position("tempo")
    folds: dict[str, list[dict[str, float]]] = {"network": [], "linear": [], "median": []}
    for number, (train, test) in enumerate(splits.artist_disjoint(data, seed), 1):
        median = duration_median(data.X[train])
        train_rows, test_rows = (with_durations(data.X[rows], median) for rows in (train, test))
        audio = Audio(unskew=True)
        audio.fit(torch.from_numpy(train_rows))
        fit_imputer(audio, train_rows, seed)
        # A linear regression takes no missing value: it is given the means.
        means = np.nanmean(train_rows, 0)
        train_rows, test_rows = (rows[~np.isnan(rows[:, tempo])] for rows in (train_rows, test_rows))
        known, truth = train_rows[:, tempo], test_rows[:, tempo]
        train_others, test_others = (
            np.delete(np.where(np.isnan(rows), means, rows), tempo, axis=1) for rows in (train_rows, test_rows)
        )
        predicted = {
            "network": _impute_tempo(audio, test_rows),
            "linear": LinearRegression().fit(train_others, known).predict(test_others),
            "median": np.full(len(truth), np.median(known)),
        }
        for name, tempos in predicted.items():
            folds[name].append(metrics.measure_tempo(truth, tempos))
        reporter.progress("imputers", number, splits.FOLDS)
    return {name: metrics.summarise(measures) for name, measures in folds.items()}


def _impute_tempo(audio: Audio, rows: npt.NDArray[np.float32]) -> Any:
    """Return what the module takes for the tempo of each row, in beats per minute, of shape (rows,)."""
    tempo, hidden = features.position("tempo"), torch.from_numpy(rows.copy())
    hidden[:, tempo] = float("nan")
    with torch.no_grad():
        return (audio(hidden)[:, tempo] * audio.scaler.scale[tempo] + audio.scaler.mean[tempo]).numpy()
