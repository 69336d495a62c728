"""Bundles that were made by somebody else: what they may not do."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from genrepipe.core.errors import BundleBroken
from genrepipe.model import bundle as bundles
from genrepipe.pipeline.promote import promote
from tests.support import genrepipe, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def forged(folder: Path, change: Callable[[dict[str, Any]], None] = lambda _: None, **files: bytes) -> Path:
    """Return a copy of a bundle whose manifest names what was changed, hashes and all."""
    shutil.copytree(bundles.available()["lda-2d"], folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content)
        manifest["files"][path.name] = hashlib.sha256(content).hexdigest()
    change(manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("thresholds", "visible_from"),
    [([], []), ([0.1], [0, 2, 5, 20]), ([0.1, 0.1], [0, 0]), ([0.1, 0.1], [5, 0]), ([0.1], [1]), ([2.0], [0]), ([float("nan")], [0])],
)  # fmt: skip
def test_thresholds_fit_their_buckets(tmp_path: Path, thresholds: list[float], visible_from: list[int]) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["genre_sets"] |= {"thresholds": thresholds, "visible_from": visible_from}

    with pytest.raises(BundleBroken, match="is not a manifest at genre_sets"):
        bundles.load(str(forged(tmp_path / "b", change)))


def test_a_bundle_without_an_audit_is_not_promoted(tmp_path: Path) -> None:
    forged(tmp_path / "shelf" / "b", lambda manifest: manifest.update(audit=[]))
    with pytest.raises(BundleBroken, match="has no audit"):
        promote("b", tmp_path / "shelf")


def graph(*nodes: Any, initializers: tuple[Any, ...] = ()) -> bytes:
    onnx = pytest.importorskip("onnx")
    features = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [None, 13])
    probabilities = onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, [None, None])
    made = onnx.helper.make_graph(nodes, "g", [features], [probabilities], list(initializers))
    return onnx.helper.make_model(
        made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9
    ).SerializeToString()


def test_a_graph_reads_no_other_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(
        name="w", data_type=onnx.TensorProto.FLOAT, dims=[13, 10], data_location=onnx.TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="weights.bin")
    node = onnx.helper.make_node("MatMul", ["features", "w"], ["probabilities"])
    with pytest.raises(BundleBroken, match="reads other files"):
        bundles.load(str(forged(tmp_path / "b", model_onnx=graph(node, initializers=(tensor,)))))
    assert bundles.EXTERNAL_DATA not in b"".join(
        bundles.load(name).contents["model.onnx"] for name in bundles.available()
    )


def test_a_graph_that_loops_without_end_is_refused(tmp_path: Path) -> None:
    """In a process of its own, which ends with its threads."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["x", "x"], ["y"])], "body",
        [helper.make_tensor_value_info("i", types.INT64, []), helper.make_tensor_value_info("go", types.BOOL, []), helper.make_tensor_value_info("x", types.FLOAT, None)],
        [helper.make_tensor_value_info("go_on", types.BOOL, []), helper.make_tensor_value_info("y", types.FLOAT, None)],
    )  # fmt: skip
    forever = helper.make_tensor("forever", types.BOOL, [], [True])
    loop = helper.make_node("Loop", ["", "forever", "features"], ["probabilities"], body=body)
    folder = forged(tmp_path / "b", model_onnx=graph(loop, initializers=(forever,)))
    result = genrepipe("models", "verify", folder)
    assert result.code == 78, result.err
    assert "its golden rows are not scored within 10 s" in result.error


def test_a_card_cannot_move_the_cursor(tmp_path: Path) -> None:
    folder = forged(tmp_path / "b", card_md=b"# Card\n\x1b[2Jgone\x07\n")
    shown = run("models", "show", folder)
    assert (shown.code, "\x1b" in shown.out, "\x07" in shown.out) == (0, False, False)
    assert shown.out.splitlines()[0] == "# Card"


@pytest.mark.parametrize("metrics", [{}, {"artist_disjoint": []}, {"artist_disjoint": {"macro_auroc": {"mean": None}}}])
def test_a_bundle_whose_metrics_are_missing_is_broken_and_listed(tmp_path: Path, metrics: dict[str, Any]) -> None:
    forged(tmp_path / "shelf" / "b", lambda manifest: manifest.update(metrics=metrics))
    assert run("models", "verify", "b", "--bundles", tmp_path / "shelf").code == 78
    listed = run("models", "list", "--bundles", tmp_path / "shelf")
    assert (listed.code, "has no mean of macro_auroc" in listed.out) == (0, True)


def test_a_card_that_is_not_text(tmp_path: Path) -> None:
    forged(tmp_path / "shelf" / "b", card_md=b"\xff\xfe")
    result = run("models", "show", "b", "--bundles", tmp_path / "shelf")
    assert (result.code, "card.md is not UTF-8 text" in result.error) == (78, True)
