"""The explore page: complete, offline, drawn without an error, and safe whatever names hold."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from genrepipe.synthetic import tracks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>"
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


SECTIONS = [
    "distributions", "missing", "correlations", "outliers", "discriminants", "components", "maps", "clusters",
    "importance", "roc", "confusion", "calibration", "groups", "curves",
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


@pytest.fixture
def chromium() -> str:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("headless Chromium is not here: apt-get install chromium")
    return path


def test_the_page_is_one_file_that_names_no_other(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", text, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=", markup)
    assert "LD1 holds" in text
    assert "of artists that a model of the same recipe had not seen" in text


def test_markup_in_a_name_is_shown_and_not_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;/script&gt;&lt;script&gt;" in text


def test_every_chart_is_drawn_without_an_error(page: Path, tmp_path: Path, chromium: str) -> None:
    done = rendered(chromium, page, tmp_path)
    charts = json.loads(
        re.search(r'<script type="application/json" id="charts">(.*?)</script>', page.read_text(), re.DOTALL)[1]
    )  # type: ignore[index]
    assert f'data-drawn="{len(charts)}"' in done.stdout
    assert done.stdout.count("<svg") >= len(charts)
    assert "<title>Tracks and genres</title>" in done.stdout
    assert not re.search(r"CONSOLE.*(error|Uncaught|WARN)", done.stderr), done.stderr


def test_a_broken_chart_is_noticed(page: Path, tmp_path: Path, chromium: str) -> None:
    """The test above can fail: a page whose library throws says so on the console."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        page.read_text(encoding="utf-8").replace('"mark":{"type":"rect"', '"mark":{"type":"no such mark"', 1),
        encoding="utf-8",
    )
    done = rendered(chromium, broken, tmp_path)
    assert "data-drawn" not in done.stdout
    assert re.search(r"CONSOLE.*(error|Uncaught|WARN)", done.stderr)


def rendered(chromium: str, page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Open a page on a server that serves nothing else, and return its DOM and the console's lines."""
    handler = functools.partial(QuietHandler, directory=str(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{page.name}"
        command = [chromium, *CHROMIUM, f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=30000", "--dump-dom", address]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        server.shutdown()
    return done


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
        pass
