"""The explore page and the card of a model: complete, offline, without a fault in a browser, and safe whatever names hold."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genrepipe.model import bundle as bundles
from genrepipe.pages import model
from genrepipe.pages import page as pages
from genrepipe.synthetic import tracks
from tests.support import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>"


SECTIONS = [
    "distributions", "missing", "correlations", "outliers", "discriminants", "components", "maps", "clusters",
    "importance", "roc", "confusion", "calibration", "genres", "curves",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Keeps scikit-learn from starting a thread for each core in each of the processes that run tests."""
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="pip install 'genrepipe[train]'")
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    explore = pytest.importorskip("genrepipe.pages.explore", reason="pip install 'genrepipe[train]'")
    folder = tmp_path_factory.mktemp("explore")
    source, out = folder / "tracks.csv", folder / "report.html"
    tracks.write(1200, 1, source)
    lines = source.read_text(encoding="utf-8").splitlines()
    # A track whose name is markup, and whose duration puts it among the outliers that the page lists.
    header, values = lines[0].split(","), lines[1].split(",")
    hostile = dict(zip(header, values, strict=True)) | {
        "instance_id": "999999",
        "artist_name": HOSTILE,
        "duration_ms": "86000000",
    }
    lines.append(",".join(hostile[name] for name in header))
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = explore.explore((str(source),), out).to_dict()
    assert result == {
        "status": "drawn", "page": str(out), "tracks": 1201, "sections": SECTIONS, "bytes": out.stat().st_size,
    }  # fmt: skip
    return out


def test_the_page_is_one_file_that_names_no_other(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=\"(?!data:)", text)
    assert "LD1 holds" in text
    assert "of artists that a model of the same recipe had not seen" in text
    assert text.count("<svg") > 100


def test_markup_in_a_name_is_shown_and_not_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;/script&gt;&lt;script&gt;" in text


def test_the_page_passes_in_a_browser(page: Path, faults: Callable[[Path], list[str]]) -> None:
    assert faults(page) == []
    assert page.stat().st_size < pages.LARGEST


@pytest.mark.parametrize("name", bundles.available())
def test_every_bundle_has_a_card_with_its_own_numbers(name: str, tmp_path: Path) -> None:
    bundle = bundles.load(name)
    done = run("models", "show", name, "--out", tmp_path / "card.html")
    assert (done.code, "card.html" in done.out) == (0, True), done.err
    text = html.unescape((tmp_path / "card.html").read_text(encoding="utf-8"))
    for measure in ("macro_auroc", "log_loss"):
        assert f"{bundle.manifest.metrics['random'][measure]['mean']:.4f}" in text
    assert all(gate["sentence"] in text for gate in bundle.manifest.audit)
    assert bundle.sha256[:12] in text


def test_cards_pass_in_a_browser(tmp_path: Path, faults: Callable[[Path], list[str]]) -> None:
    for name in ("artist-context", "words"):  # with and without tables of missing features
        model.card(name, None, tmp_path / f"{name}.html")
        assert faults(tmp_path / f"{name}.html") == [], name
