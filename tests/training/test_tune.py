"""The search of settings continues, and reads train rows alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import optuna

from genrepipe.core.events import SILENT
from genrepipe.model import features
from genrepipe.training import splits, tune
from genrepipe.training.recipes import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.training.dataset import Dataset


def test_a_search_continues_and_never_reads_the_test_rows(tmp_path: Path, data: Dataset) -> None:
    data = data.part(np.arange(0, len(data), 3))
    recipe = replace(RECIPES["lda-2d"], epochs=2)
    _, test = next(splits.artist_disjoint(data, 0))
    spoiled = replace(data, X=data.X.copy())
    # Features that do not make twins of tracks, which would change the splits.
    spoiled.X[np.ix_(test, [features.position(name) for name in ("popularity", "duration_ms", "tempo")])] = 1e6
    first, second = (
        tune.search(recipe, table, 0, 2, tmp_path / folder, SILENT) for table, folder in ((data, "a"), (spoiled, "b"))
    )
    assert first == second
    tune.search(recipe, data, 0, 1, tmp_path / "a", SILENT)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "a" / "lda-2d.tuning.log"))
    (study,) = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    assert study.n_trials == 3
