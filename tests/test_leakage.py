"""Every gate of the audit passes on honest work, and fails on a leak that is planted for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from genrepipe.core import resources
from genrepipe.ingest import sources
from tests.conftest import genrepipe

torch = pytest.importorskip("torch", reason="training needs the extra: pip install 'genrepipe[train]'")

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.training.dataset import Dataset


@pytest.fixture(scope="module")
def data(sample: Path) -> Dataset:
    from genrepipe.training import dataset

    torch.set_num_threads(1)
    return dataset.load(sources.resolve([str(sample)]), resources.plan())


def test_honest_splits_pass_and_straddling_artists_are_caught(data: Dataset) -> None:
    from genrepipe.training import leakage, splits

    honest = leakage.artists_on_both_sides(data, splits.artist_disjoint(data, 0))
    planted = leakage.artists_on_both_sides(data, splits.random(data, 0))
    assert (honest.passed, honest.value) == (True, 0)
    assert not planted.passed
    assert planted.value > 100


def test_twins_are_kept_on_one_side_and_straddling_ones_are_caught(data: Dataset) -> None:
    from genrepipe.training import leakage, splits

    assert leakage.twins_on_both_sides(data, splits.random_twins_apart(data, 0)).passed
    planted = leakage.twins_on_both_sides(data, splits.random(data, 0))
    assert not planted.passed
    assert planted.value > 10


@pytest.mark.parametrize("name", ["lda-3d", "all-features-plus", "gradient-boosting", "artist-context", "known-artist"])
def test_fits_on_train_rows_pass_and_fits_that_see_test_rows_are_caught(data: Dataset, name: str) -> None:
    """Scalers, discriminants, imputers, usual variances and priors: fitted with test rows among them, each shows."""
    from genrepipe.training import leakage
    from genrepipe.training.recipes import RECIPES

    recipe = RECIPES[name]
    assert leakage.fitted_on_test_rows(recipe, data, 0).value == 0
    planted = leakage.fitted_on_test_rows(
        recipe, data, 0, rows_seen=lambda train, test: np.sort(np.concatenate([train, test[:5]]))
    )
    assert not planted.passed


def test_shuffled_labels_give_chance_and_an_input_that_knows_them_is_caught(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genrepipe.training import leakage
    from genrepipe.training.recipes import RECIPES

    recipe = replace(RECIPES["all-features"], epochs=10)
    # 600 test rows are few for a tolerance of 0.02, so the mean of several shuffles is judged here.
    values = [float(leakage.shuffled_labels(recipe, data, seed).explanation.split()[1]) for seed in range(4)]
    assert np.mean(values) == pytest.approx(0.5, abs=leakage.CHANCE)
    shuffled = np.random.default_rng(0).permutation(data.y)
    planted = replace(data, X=data.X.copy())
    planted.X[:, 0] = shuffled * 10  # the very labels that the gate will draw
    caught = leakage.shuffled_labels(recipe, planted, 0)
    assert not caught.passed
    assert caught.value > 0.1


def test_an_artists_labels_never_hold_the_tracks_own(data: Dataset) -> None:
    from genrepipe.training import episodes, leakage
    from genrepipe.training.recipes import RECIPES

    recipe = RECIPES["known-artist"]
    assert leakage.own_label(recipe, data).passed

    def with_own(artist: np.ndarray, y: np.ndarray, shown: np.ndarray, classes: int) -> np.ndarray:  # type: ignore[type-arg]
        counts = episodes.label_counts(artist, y, shown, classes)
        counts[np.arange(len(y)), y] += 1
        return counts

    assert not leakage.own_label(recipe, data, with_own).passed


@pytest.mark.parametrize("planted", ["file_row", "label", "obtained_date"])
def test_an_input_in_disguise_is_caught(data: Dataset, planted: str) -> None:
    from genrepipe.training import leakage
    from genrepipe.training.recipes import RECIPES

    recipe = RECIPES["artist-context"]
    honest = leakage.disguised(recipe, data)
    assert honest.passed
    leak = replace(data, X=data.X.copy(), _blocks=dict(data._blocks))
    values = {"file_row": data.tracks["file_row"].to_numpy(), "label": data.y, "obtained_date": leakage._dates(data)}
    leak.X[:, 4] = 3.0 * values[planted] + 7
    caught = leakage.disguised(recipe, leak)
    assert not caught.passed
    assert caught.value > 0.99


def test_training_refuses_to_write_a_bundle_that_fails(
    data: Dataset, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genrepipe.core.errors import OutputBroken
    from genrepipe.training import leakage, train

    monkeypatch.setattr(leakage, "of_data", lambda *_: [leakage.Gate("artists_on_both_sides", "No artist …", 7, 0)])
    with pytest.raises(OutputBroken, match="lda-2d is not written: the audit's gate artists_on_both_sides failed"):
        train.train((str(sample),), tmp_path / "out", models=("lda-2d",))
    assert not (tmp_path / "out").exists()


def test_the_audit_command_reports_every_gate(sample: Path) -> None:
    result = genrepipe("audit", "lda-3d", sample, "--output", "json", PYTHONWARNINGS="default")
    report = result.json
    assert {gate["gate"] for gate in report["gates"]} == {
        "artists_on_both_sides", "twins_on_both_sides", "fitted_on_test_rows", "shuffled_labels", "own_label", "disguised",
        "row_order_alone", "obtained_date_alone",
    }  # fmt: skip
    assert result.code == {"passed": 0, "failed": 78}[report["status"]]
    assert report["trained_on_this_source"] is False
    assert "knowledge of artists" in report["gap"]
    text = genrepipe("audit", "lda-3d", sample, PYTHONWARNINGS="default").out
    assert "passed  artists_on_both_sides" in text


@pytest.mark.parametrize("name", ["all-features", "artist-context", "known-artist", "words"])
def test_shipped_bundles_carry_a_passed_audit(name: str) -> None:
    from genrepipe.model import bundle as bundles

    bundle = bundles.load(name)
    assert len(bundle.manifest.audit) == 8
    assert all(gate["passed"] for gate in bundle.manifest.audit)
    card = (bundle.folder / bundles.CARD).read_text()
    for gate in bundle.manifest.audit:
        assert f"| {gate['gate']} | passed |" in card


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all-features", "artist-context", "known-artist"])
def test_the_audit_passes_on_the_real_table(real_tracks: Path, name: str) -> None:
    result = genrepipe("audit", name, real_tracks, "--output", "json", PYTHONWARNINGS="default")
    assert result.code == 0, result.out
    gates = {gate["gate"]: gate["value"] for gate in result.json["gates"]}
    assert gates["row_order_alone"] > 0.9
    assert gates["obtained_date_alone"] > 0.52
