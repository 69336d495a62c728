"""Training walks the scoring path, learns something, and leaves the same bundle twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from genrepipe import bundles, features, resources, scoring, sources
from tests.conftest import genrepipe, tracks, write_csv
from tests.test_bundles import PARAMETERS

torch = pytest.importorskip("torch", reason="training needs the extra: pip install 'genrepipe[train]'")

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.training.dataset import Dataset


@pytest.fixture(scope="module")
def data(sample: Path) -> Dataset:
    from genrepipe.training import dataset

    return dataset.load(sources.resolve([str(sample)]), resources.plan())


@pytest.fixture(scope="module")
def trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    for run in ("a", "b"):
        result = genrepipe(
            "train",
            sample,
            "--model",
            "all-features",
            "--out",
            out / run,
            "--output",
            "json",
            PYTHONWARNINGS="default",
        )
        assert result.code == 0, result.err
        (out / f"{run}.json").write_text(result.out)
    return out


def test_the_same_data_and_seed_give_the_same_bundle(trained: Path) -> None:
    first, second = (bundles.load(str(trained / run / "all-features")) for run in ("a", "b"))
    assert first.sha256 == second.sha256


def test_a_trained_bundle_scores_and_its_parity_holds(trained: Path, sample: Path, tmp_path: Path) -> None:
    folder = trained / "a" / "all-features"
    assert scoring.Scorer(bundles.load(str(folder))).golden_difference <= 1e-5
    result = genrepipe("score", sample, "--warehouse", tmp_path / "w.duckdb", "--model", folder, "--output", "json")
    assert result.json["predicted"] == 3000


def test_the_report_has_both_splits_with_spread_and_the_imputers(trained: Path) -> None:
    report = json.loads((trained / "a.json").read_text())
    (bundle,) = report["bundles"]
    assert set(bundle["metrics"]) == {"artist_disjoint", "random"}
    for split in bundle["metrics"].values():
        assert set(split) == {"macro_auroc", "micro_auroc", "accuracy", "top2", "log_loss", "ece"}
        assert all(value["sd"] > 0 for value in split.values())
        assert split["macro_auroc"]["mean"] > 0.75
    assert set(report["tempo_imputers"]) == {"network", "linear", "median"}
    assert bundle["parameters"] == 755


def test_no_artist_stands_on_both_sides_of_the_artist_disjoint_split(data: Dataset) -> None:
    from genrepipe.training import splits

    seen = []
    for train, test in splits.artist_disjoint(data, 0):
        assert set(data.artist[train]) & set(data.artist[test]) <= {""}
        seen.append(test)
    assert sorted(np.concatenate(seen)) == list(range(len(data)))
    random = [set(data.artist[train]) & set(data.artist[test]) for train, test in splits.random(data, 0)]
    assert all(len(shared) > 50 for shared in random)


def test_a_track_without_an_artist_goes_with_its_twin(data: Dataset) -> None:
    from dataclasses import replace

    from genrepipe.training import splits

    twins = replace(
        data,
        X=np.repeat(data.X[:3], 2, axis=0),
        artist=np.array(["a", "", "", "", "b", "a"]),
        y=np.zeros(6, np.int64),
    )
    a, with_a, alone, with_alone, b, a_again = splits.groups(twins)
    assert a == with_a == a_again
    assert alone == with_alone
    assert len({a, alone, b}) == 3


def test_a_fold_is_fitted_on_its_train_rows_only(data: Dataset) -> None:
    """Monstrous test rows leave no trace in imputer, scaler, median or weights; a fit on all rows would show them."""
    from dataclasses import replace

    from genrepipe.training import evaluate, fit, splits

    train, test = next(splits.random(data, 0))
    poisoned = replace(data, X=data.X.copy())
    poisoned.X[test] = 1e6
    recipe = fit.RECIPES["lda-3d"]
    clean, again = (evaluate.fit_fold(recipe, table, train, 0) for table in (data, poisoned))
    assert clean.duration_ms == again.duration_ms
    for name, value in clean.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    leaked = evaluate.fit_fold(recipe, poisoned, np.arange(len(data)), 0)
    assert not torch.equal(clean.model.scaler.mean, leaked.model.scaler.mean)


@pytest.mark.parametrize(("recipe", "parameters"), PARAMETERS.items())
def test_scaler_and_parameters_are_what_the_card_says(data: Dataset, recipe: str, parameters: int) -> None:
    from genrepipe.training import fit

    fitted = fit.fit(fit.RECIPES[recipe], data.X, data.y, 10, seed=0)
    model = fitted.model
    assert model.trainable == parameters
    inputs = model.inputs(torch.from_numpy(fit.with_durations(data.X, fitted.duration_ms))).detach()
    scaled = (inputs - model.scaler.mean) / model.scaler.scale
    assert torch.allclose(scaled.mean(0), torch.zeros(13), atol=1e-3)
    assert torch.allclose(scaled.std(0, correction=0), torch.ones(13), atol=1e-3)
    assert sum(p.numel() for p in model.imputer.net.parameters()) == 961


def test_the_discriminants_are_those_of_scikit_learn(data: Dataset) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    from genrepipe.training import fit

    fitted = fit.fit(fit.RECIPES["lda-3d"], data.X, data.y, 10, seed=0)
    rows = torch.from_numpy(fit.with_durations(data.X, fitted.duration_ms))
    scaled = fitted.model.scaler(fitted.model.inputs(rows)).detach()
    expected = LinearDiscriminantAnalysis(n_components=3).fit(scaled.numpy(), data.y).transform(scaled.numpy())
    assert np.abs(fitted.model.projection(scaled).numpy() - expected).max() < 1e-4


def test_known_tempos_pass_and_missing_ones_are_imputed(data: Dataset) -> None:
    from genrepipe.training import fit

    fitted = fit.fit(fit.RECIPES["all-features"], data.X, data.y, 10, seed=0)
    rows = torch.from_numpy(fit.with_durations(data.X, fitted.duration_ms))
    missing = torch.isnan(rows[:, 11])
    assert 0 < missing.sum() < len(rows)
    filled = fitted.model.inputs(rows)[:, 11].detach()
    assert torch.equal(filled[~missing], rows[~missing, 11])
    assert torch.equal(filled[missing], fitted.model.imputer(fitted.model.unskewed(rows))[missing].detach())
    assert ((filled > 30) & (filled < 250)).all()


def test_measures_against_hand_computed_values() -> None:
    from genrepipe.training import metrics

    p = np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3], [0.1, 0.9]])
    found = metrics.measure(np.array([0, 0, 1, 1]), p)
    assert found["accuracy"] == 0.5
    assert found["top2"] == 1.0
    # class 0: positives .8 and .4, negatives .7 and .1: three of four pairs in order
    assert found["macro_auroc"] == pytest.approx(0.75)
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 0.3, 0.9]).mean())
    assert found["ece"] == pytest.approx((0.2 + 0.6 + 0.7 + 0.1) / 4)
    assert metrics.measure_tempo(np.array([100.0, 120.0]), np.array([110.0, 110.0])) == {
        "mae": 10.0,
        "r2": 0.0,
    }


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    result = genrepipe(
        "train",
        write_csv(tmp_path / "t.csv", tracks(60)),
        "--out",
        tmp_path / "out",
        PYTHONWARNINGS="default",
    )
    assert result.code == 65
    assert "fewer than 50 are labelled Alternative" in result.error
    assert not (tmp_path / "out").exists()


def test_an_unknown_recipe_names_the_nearest(tmp_path: Path, sample: Path) -> None:
    result = genrepipe("train", sample, "--model", "all-featurs", "--out", tmp_path / "out", PYTHONWARNINGS="default")
    assert (result.code, "Did you mean all-features?" in result.error) == (78, True)


def test_the_order_of_the_inputs_is_the_contracts() -> None:
    assert features.columns()[3] == "duration_ms"
    assert features.columns()[11] == "tempo"


@pytest.mark.slow
def test_the_shipped_bundles_are_the_ones_that_training_leaves(tmp_path: Path, real_tracks: Path) -> None:
    """On the real table the measures reach what is promised; the shipped manifests quote these measures."""
    result = genrepipe("train", real_tracks, "--out", tmp_path, "--output", "json", PYTHONWARNINGS="default")
    assert result.code == 0, result.err
    promised = {
        "all-features": {"artist_disjoint": {"macro_auroc": 0.922, "accuracy": 0.56}, "random": {"macro_auroc": 0.926, "micro_auroc": 0.933, "accuracy": 0.58}},
        "all-features-plus": {"artist_disjoint": {"macro_auroc": 0.928, "accuracy": 0.585}},
        "lda-3d": {"artist_disjoint": {"macro_auroc": 0.894, "accuracy": 0.49}, "random": {"macro_auroc": 0.895, "accuracy": 0.50}},
        "lda-2d": {"artist_disjoint": {"macro_auroc": 0.860, "accuracy": 0.42}, "random": {"macro_auroc": 0.863, "accuracy": 0.42}},
        "learned-3d": {"artist_disjoint": {"macro_auroc": 0.920, "accuracy": 0.57}, "random": {"macro_auroc": 0.923, "accuracy": 0.58}},
        "learned-2d": {"artist_disjoint": {"macro_auroc": 0.908, "accuracy": 0.55}},
    }  # fmt: skip
    assert {bundle["model"] for bundle in result.json["bundles"]} == set(promised)
    for bundle in result.json["bundles"]:
        for split, least in promised[bundle["model"]].items():
            for name, value in least.items():
                assert bundle["metrics"][split][name]["mean"] >= value, (bundle["model"], split, name)
                shipped = bundles.load(bundle["model"]).manifest.metrics[split][name]
                assert bundle["metrics"][split][name]["mean"] == pytest.approx(shipped["mean"], abs=0.002)
    tempo = result.json["tempo_imputers"]
    for other in ("linear", "median"):
        assert tempo["network"]["mae"]["mean"] < tempo[other]["mae"]["mean"]
        assert tempo["network"]["r2"]["mean"] > tempo[other]["r2"]["mean"]
