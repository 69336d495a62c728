"""Search the settings of a network with Optuna, by cross-validation within the train rows of one artist-disjoint fold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import torch
from optuna.storages.journal import JournalFileBackend
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from genrepipe.core.errors import StorageError
from genrepipe.training import splits
from genrepipe.training.fit import fit, logits

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.core.events import Reporter
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe

INNER_FOLDS = 3
FULL_BATCH = 10**9
CONSTANT_EPOCHS = 150


def search(recipe: Recipe, data: Dataset, seed: int, trials: int, out: Path, reporter: Reporter) -> Recipe:
    """Return the recipe with the settings of the lowest validation log loss, after ``trials`` more trials.

    The trials are kept in ``out/NAME.tuning.log``, where an interrupted search continues. The first trial is the recipe
    unchanged; the study's learning rates, full-batch at 0.1 and 0.01, are among the choices. Trees are not tuned.

    Raises
    ------
    StorageError
        ``out`` cannot be written.
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
        study_name=f"{recipe.name} {data.fingerprint[:16]} seed {seed}", storage=storage, load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )  # fmt: skip
    if not study.trials:
        study.enqueue_trial(
            {"schedule": "one-cycle", "max_lr": recipe.max_lr, "epochs": recipe.epochs, "batch_size": recipe.batch_size,
             "weight_decay": max(recipe.weight_decay, 1e-5), "dropout": recipe.dropout}
        )  # fmt: skip
    train, _ = next(splits.artist_disjoint(data, seed))
    groups = splits.groups(data)[train]
    done = len(study.trials)

    def objective(trial: optuna.Trial) -> float:
        candidate = _settings(recipe, trial)
        losses = []
        for number, (inner, held_out) in enumerate(GroupKFold(INNER_FOLDS).split(train, groups=groups)):
            fitted = fit(candidate, data, train[inner], seed)
            answers = np.exp(logits(fitted, data, train[held_out]))
            losses.append(float(log_loss(data.y[train[held_out]], answers, labels=np.arange(len(data.labels)))))
            trial.report(float(np.mean(losses)), number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        reporter.progress(f"{recipe.name}: tuning", trial.number + 1 - done, trials, best=study.best_value)

    study.optimize(objective, n_trials=trials, callbacks=[report])
    return _settings(recipe, optuna.trial.FixedTrial(study.best_params))


def _settings(recipe: Recipe, trial: Any) -> Recipe:
    schedule = trial.suggest_categorical("schedule", ["one-cycle", "constant 0.1", "constant 0.01"])
    # Every setting is drawn in every trial, whether it is used or not, so that all trials have the same search space.
    max_lr = trial.suggest_float("max_lr", 1e-3, 1e-1, log=True)
    epochs = trial.suggest_int("epochs", max(recipe.epochs // 2, 2), recipe.epochs * 2)
    batch_size = trial.suggest_categorical("batch_size", sorted({256, 512, 1024, recipe.batch_size}))
    weight_decay = trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True)
    tuned = replace(recipe, weight_decay=weight_decay, dropout=trial.suggest_float("dropout", 0.0, 0.5))
    if schedule == "one-cycle":
        return replace(tuned, max_lr=max_lr, epochs=epochs, batch_size=batch_size)
    constant = float(schedule.split()[1])
    return replace(tuned, schedule="constant", max_lr=constant, epochs=CONSTANT_EPOCHS, batch_size=FULL_BATCH)
