"""Bundles: what is not exactly what was trained is refused before any data is touched."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import genrepipe as api
from genrepipe.core.errors import BundleBroken, StorageError, UnknownModel
from genrepipe.model import bundle as bundles
from genrepipe.pipeline.models import card, list_models, verify_model
from tests.support import genrepipe, run, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHIPPED = sorted(bundles.available())
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
    """The bundle is refused, by a run and by who verifies it, in one line; there is no warehouse."""
    warehouse = tmp_path / "w.duckdb"
    with pytest.raises(BundleBroken) as caught:
        api.score(write_csv(tmp_path / "t.csv", tracks(3)), warehouse, model=str(folder))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 78
    assert not warehouse.exists()
    with pytest.raises(BundleBroken):
        verify_model(str(folder), None)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_hold_what_is_promised(name: str) -> None:
    loaded = bundles.load(name)
    assert len(loaded.golden) >= 256
    assert loaded.manifest.parameters <= 15_000 or name in LARGE
    size = sum(path.stat().st_size for path in loaded.folder.iterdir())
    assert size < (6_000_000 if name in LARGE else 1_000_000)
    curves = loaded.curves
    assert (curves is None) == (name == "gradient-boosting")
    if curves is not None:
        assert curves.columns == ["epoch", "train_loss", "validation_loss"]
        assert curves["train_loss"][-1] < curves["train_loss"][0]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("all-features", 755),
        ("all-features-plus", 755),
        ("lda-3d", 220),
        ("lda-2d", 205),
        ("learned-3d", 3334),
        ("learned-2d", 3273),
        ("words", 146_885),
        ("all-features-words", 149_485),
        ("artist-context", 14_908),
        ("known-artist", 15_802),
    ],
)
def test_the_networks_have_the_size_of_the_study(name: str, parameters: int) -> None:
    assert bundles.load(name).manifest.parameters == parameters


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_quote_the_measures_of_the_manifest(name: str) -> None:
    manifest, text = bundles.load(name).manifest, card(name, None)
    for split in ("artist_disjoint", "random"):
        for measure in manifest.metrics[split].values():
            assert f"{measure['mean']:.4f} ± {measure['sd']:.4f}" in text
    assert manifest.command in text
    assert text.startswith(f"# {name} {manifest.version}\n")


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


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: len(content) // 2])
    refused(tmp_path, bundle, name)


def golden_off(folder: Path) -> None:
    path = folder / bundles.GOLDEN
    pl.read_parquet(path).with_columns(pl.col("p_Rock") + 1e-3).write_parquet(path)
    rewrite(folder)


def golden_nan(folder: Path) -> None:
    path = folder / bundles.GOLDEN
    pl.read_parquet(path).with_columns(p_Rock=pl.lit(float("nan"), pl.Float64)).write_parquet(path)
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


def test_a_refused_bundle_is_exit_code_78_and_one_line(tmp_path: Path, bundle: Path) -> None:
    stranger(bundle)
    source = write_csv(tmp_path / "t.csv", tracks(3))
    scored = genrepipe("score", source, "--warehouse", tmp_path / "w.duckdb", "--model", bundle)
    assert scored.code == 78
    assert "hook.py" in scored.error
    assert scored.out == ""
    assert not (tmp_path / "w.duckdb").exists()


def test_a_copied_bundle_scores_by_its_path(tmp_path: Path, bundle: Path) -> None:
    result = api.score(write_csv(tmp_path / "t.csv", tracks(3)), tmp_path / "w.duckdb", model=str(bundle))
    assert (result.model, result.predicted) == ("known-artist", 3)


def test_what_changes_on_the_disk_after_loading_changes_nothing(bundle: Path) -> None:
    loaded = bundles.load(str(bundle))
    golden_not_parquet(bundle)
    assert loaded.golden.equals(bundles.load("known-artist").golden)


def test_a_saved_bundle_is_the_one_that_is_loaded_and_replaces_an_older_one(tmp_path: Path) -> None:
    shipped, folder = bundles.load("all-features"), tmp_path / "mine"
    manifest = {k: v for k, v in shipped.manifest.model_dump().items() if k not in {"format", "files"}}
    saved = bundles.save(folder, shipped.contents, manifest)
    assert (saved.manifest, saved.contents) == (shipped.manifest, shipped.contents)
    without = {name: content for name, content in shipped.contents.items() if name != bundles.CURVES}
    assert bundles.save(folder, without, manifest).curves is None
    stranger(folder)
    with pytest.raises(StorageError, match="holds other files"):
        bundles.save(folder, shipped.contents, manifest)


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UnknownModel, match=r"Did you mean all-features-plus\?") as caught:
        bundles.load("all-feature-plus")
    assert caught.value.exit_code == 78


def test_models_are_listed_shown_and_verified() -> None:
    listed = list_models(None)
    assert run("models", "list", "--output", "json").json == listed.to_dict()
    models = listed.to_dict()["models"]
    assert [m["model"] for m in models] == SHIPPED
    assert [m["model"] for m in models if m["champion"]] == [bundles.champion()]
    assert run("models", "show", "all-features").out == card("all-features", None)
    assert verify_model(None, None).largest_difference <= 1e-5
    assert run("models", "verify", "--output", "json").json["model"] == bundles.champion()
