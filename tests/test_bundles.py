"""Bundles: what is not exactly what was trained is refused before any data is touched."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from genrepipe.core.errors import BundleBroken, UnknownModel
from genrepipe.model import bundle as bundles
from genrepipe.model import features
from genrepipe.model import scorer as scoring
from tests.conftest import genrepipe, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHIPPED = sorted(bundles.shelf())
PARAMETERS = {
    "all-features": 755,
    "all-features-plus": 755,
    "lda-3d": 220,
    "lda-2d": 205,
    "learned-3d": 3334,
    "learned-2d": 3273,
    "gradient-boosting": None,  # leaves, as many as the data asks for
    "words": 146_885,
    "all-features-words": 149_485,
    "artist-context": 14_202,
    "known-artist": 14_450,
}
LARGE = {"words", "all-features-words", "known-artist"}
FILES = (bundles.MANIFEST, *bundles.FILES, *bundles.OPTIONAL)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(bundles.find("known-artist"), folder)  # the one that holds every file that a bundle can
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    """Change the manifest, with honest hashes of whatever lies there."""
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest |= changes
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["files"]}
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))


def refused(tmp_path: Path, folder: Path, said: str) -> None:
    """The bundle is refused with 78, one line, and no warehouse."""
    warehouse = tmp_path / "w.duckdb"
    result = genrepipe("score", write_csv(tmp_path / "t.csv", tracks(3)), "--warehouse", warehouse, "--model", folder)
    assert result.code == 78, result.err
    assert said in result.error
    assert not warehouse.exists()
    assert genrepipe("models", "verify", folder).code == 78


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_verify_and_keep_the_promised_parity(name: str) -> None:
    loaded = bundles.load(name)
    scorer = scoring.Scorer(loaded)
    assert len(loaded.golden) >= 256
    if features.AUDIO in loaded.manifest.inputs:
        assert loaded.golden["tempo"].is_nan().sum() >= 16
    assert scorer.golden_difference <= 1e-5
    assert loaded.manifest.parameters == (PARAMETERS[name] or loaded.manifest.parameters)
    assert loaded.manifest.parameters <= 15_000 or name in LARGE
    size = sum(path.stat().st_size for path in loaded.folder.iterdir())
    assert size < (6_000_000 if name in LARGE else 1_000_000)
    curves = loaded.curves
    assert (curves is None) == (name == "gradient-boosting")
    if curves is not None:
        assert curves.columns == ["epoch", "train_loss", "validation_loss"]
        assert curves["train_loss"][-1] < curves["train_loss"][0]


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_quote_the_measures_of_the_manifest(name: str) -> None:
    loaded = bundles.load(name)
    card = (loaded.folder / bundles.CARD).read_text()
    for split in ("artist_disjoint", "random"):
        for measure in loaded.manifest.metrics[split].values():
            assert f"{measure['mean']:.4f} ± {measure['sd']:.4f}" in card
    assert loaded.manifest.command in card


def test_one_row_and_many_rows_and_none_are_scored() -> None:
    scorer = scoring.Scorer(bundles.load(), threads=2)
    matrix = features.matrix([bundles.load().golden.select(bundles.load().manifest.input_columns)])
    many = np.tile(matrix, (300, 1))  # several blocks, the last one short
    whole = scorer.probabilities(many)
    assert whole.shape == (len(many), 10)
    assert np.abs(whole[: len(matrix)] - scorer.probabilities(matrix)).max() < 1e-6
    assert np.abs(whole[-1:] - scorer.probabilities(many[-1:])).max() < 1e-6
    assert scorer.probabilities(matrix[:0]).shape == (0, 10)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_one_changed_byte_in_any_file_is_refused(tmp_path: Path, bundle: Path, name: str, where: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[where]] ^= 1
    (bundle / name).write_bytes(content)
    try:
        loaded = bundles.load(str(bundle))
    except BundleBroken:
        refused(tmp_path, bundle, str(bundle))
    else:
        # Only the manifest is not covered by a hash of its own; then the run must carry another identity.
        assert name == bundles.MANIFEST
        assert loaded.sha256 != bundles.load("known-artist").sha256


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(tmp_path: Path, bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    refused(tmp_path, bundle, name)


def golden_off(folder: Path) -> None:
    path = folder / bundles.GOLDEN
    pl.read_parquet(path).with_columns(pl.col("p_Rock") + 1e-3).write_parquet(path)
    rewrite(folder)


def golden_nan(folder: Path) -> None:
    path = folder / bundles.GOLDEN
    pl.read_parquet(path).with_columns(energy=pl.lit(float("nan"), pl.Float32)).write_parquet(path)
    rewrite(folder)


def golden_without_columns(folder: Path) -> None:
    path = folder / bundles.GOLDEN
    pl.read_parquet(path).drop("energy").write_parquet(path)
    rewrite(folder)


def golden_not_parquet(folder: Path) -> None:
    (folder / bundles.GOLDEN).write_text("not parquet")
    rewrite(folder)


def other_model(folder: Path) -> None:
    shutil.copy(bundles.find("all-features") / bundles.MODEL, folder / bundles.MODEL)
    rewrite(folder)


def not_onnx(folder: Path) -> None:
    (folder / bundles.MODEL).write_bytes(b"not a graph")
    rewrite(folder)


def stranger(folder: Path) -> None:
    (folder / "hook.py").write_text("print('never run')")


def other_labels(folder: Path) -> None:
    rewrite(folder, labels=["Rock", "Polka"])


def other_inputs(folder: Path) -> None:
    rewrite(folder, input_columns=["energy"])


def other_format(folder: Path) -> None:
    rewrite(folder, format=99)


def unknown_key(folder: Path) -> None:
    rewrite(folder, hook="os.system")


def not_json(folder: Path) -> None:
    (folder / bundles.MANIFEST).write_text("{")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (golden_off, "golden rows differ by 0.001"),
        (golden_nan, "golden rows differ by nan"),
        (golden_without_columns, "golden rows cannot be scored"),
        (golden_not_parquet, "golden"),
        (other_model, "golden rows cannot be scored"),
        (not_onnx, "is not a graph that onnxruntime can run"),
        (stranger, "hook.py"),
        (other_labels, "other genres"),
        (other_inputs, "other inputs"),
        (other_format, "of a format that this version does not know"),
        (unknown_key, "is not a manifest at hook"),
        (not_json, "is not a manifest"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bundle_that_does_not_reproduce_is_refused(
    tmp_path: Path, bundle: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(bundle)
    refused(tmp_path, bundle, said)


def test_a_copied_bundle_scores_by_its_path(tmp_path: Path, bundle: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(3))
    result = genrepipe("score", source, "--warehouse", tmp_path / "w.duckdb", "--model", bundle, "--output", "json")
    assert result.json["model"] == "known-artist"


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UnknownModel, match="Did you mean all-features-plus?"):
        bundles.load("all-feature-plus")


def test_models_commands() -> None:
    listed = genrepipe("models", "list", "--output", "json").json["models"]
    assert [m["model"] for m in listed] == SHIPPED
    assert [m["model"] for m in listed if m["champion"]] == [bundles.champion()]
    version = bundles.load("all-features").manifest.version
    assert genrepipe("models", "show", "all-features").out.startswith(f"# all-features {version}\n")
    assert genrepipe("models", "verify", "--output", "json").json["largest_difference"] <= 1e-5
