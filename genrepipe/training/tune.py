"""Search a network's settings with Optuna, on validation folds of one fold's training artists."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import torch
from optuna.storages.journal import JournalFileBackend
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from genrepipe.errors import StorageError
from genrepipe.training import splits
from genrepipe.training.fit import fit, logits

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.console import Reporter
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe

INNER = 3
FULL_BATCH = 10**9


def search(recipe: Recipe, data: Dataset, seed: int, trials: int, out: Path, say: Reporter) -> Recipe:
    """Return the recipe with the settings of the least validation log loss after ``trials`` more trials.

    The trials are kept in ``out/NAME.tuning.log``, and an interrupted search goes on from there. Trees are left as the
    study has them. The first trial is the recipe as it stands; the study's own rates, full-batch at 0.1 and 0.01, are
    among the choices.
    """
    if recipe.kind == "trees":
        return recipe
    try:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{recipe.name}.tuning.log"
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written: {error.strerror}", "Check its permissions and the disk"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    study = optuna.create_study(
        study_name=f"{recipe.name} {data.fingerprint[:16]} {seed}", storage=storage, load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )  # fmt: skip
    if not study.trials:
        study.enqueue_trial(
            {"rate": "one-cycle", "peak": recipe.peak, "epochs": recipe.epochs, "batch_size": recipe.batch_size,
             "weight_decay": max(recipe.weight_decay, 1e-5), "dropout": recipe.dropout}
        )  # fmt: skip
    train, _ = next(splits.artist_disjoint(data, seed))
    groups = splits.groups(data)[train]
    done = len(study.trials)

    def objective(trial: optuna.Trial) -> float:
        tried = _settings(recipe, trial)
        losses = []
        for number, (inner, held) in enumerate(GroupKFold(INNER).split(train, groups=groups)):
            fitted = fit(tried, data, train[inner], seed)
            answers = np.exp(logits(fitted, data, train[held]))
            losses.append(float(log_loss(data.y[train[held]], answers, labels=np.arange(len(data.labels)))))
            trial.report(float(np.mean(losses)), number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    def told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        say.progress(f"{recipe.name}: tuning", trial.number + 1 - done, trials, best=study.best_value)

    study.optimize(objective, n_trials=trials, callbacks=[told])
    return _settings(recipe, optuna.trial.FixedTrial(study.best_params))


def _settings(recipe: Recipe, trial: Any) -> Recipe:
    rate = trial.suggest_categorical("rate", ["one-cycle", "constant 0.1", "constant 0.01"])
    # A setting that a trial does not use is drawn all the same: it keeps the space the same for every trial.
    peak = trial.suggest_float("peak", 1e-3, 1e-1, log=True)
    epochs = trial.suggest_int("epochs", max(recipe.epochs // 2, 2), recipe.epochs * 2)
    batch_size = trial.suggest_categorical("batch_size", sorted({256, 512, 1024, recipe.batch_size}))
    found = replace(
        recipe, weight_decay=trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True), dropout=trial.suggest_float("dropout", 0.0, 0.5)
    )  # fmt: skip
    if rate == "one-cycle":
        return replace(found, peak=peak, epochs=epochs, batch_size=batch_size)
    return replace(found, schedule="constant", peak=float(rate.split()[1]), epochs=150, batch_size=FULL_BATCH)
