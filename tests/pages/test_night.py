"""The morning report: what it says of any night, that its numbers are the warehouse's, and how it looks."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import genrepipe as api
from genrepipe import contracts
from genrepipe.core.errors import GenrepipeError
from genrepipe.pages import findings, night, page
from genrepipe.pipeline import night as nights
from genrepipe.synthetic import tracks as synthetic
from tests.support import run, track, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = "</style></script><script>document.title='broken'</script><img src=x onerror=alert(1)>"
WIDE = "W" * 400  # one word that has nowhere to break
DATES = [f"2026-11-{day:02}" for day in range(17, 26)]
SHIFTED, REFUSED, FEW = DATES[-1], DATES[3], DATES[6]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine nights of a job: one refused since danceability came in percent, one of three rows, and a last one with popularity too low."""
    folder = tmp_path_factory.mktemp("nights")
    path, warehouse = folder / "tracks.csv", folder / "w.duckdb"
    synthetic.write(600, 2, path)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    names = header.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines if line.count(",") == len(names) - 1]
    rows[0] |= {"artist_name": HOSTILE, "track_name": HOSTILE}
    rows[1] |= {"artist_name": WIDE, "track_name": WIDE}
    for i, day in enumerate(DATES):
        given = [dict(row) for row in rows[: 400 + 10 * i]]
        for row in given[i * 7 : i * 7 + 3]:
            row["key"] = "H" if i else row["key"]
        if day == REFUSED:
            for row in given[:120]:
                row["danceability"] = "63.5"
        if day == FEW:
            given = given[:3]
        if day == SHIFTED:
            for row in given:
                row["popularity"] = (
                    str(max(int(float(row["popularity"] or 0)) - 9, 0)) if row["popularity"].strip("?") else ""
                )
        try:
            api.score(
                write_csv(folder / f"{day}.csv", given),
                warehouse,
                run_date=day,
                limits={"flipped_percent": 90, "volume_drop_percent": 100, "drift_from_training": 1},
            )
        except GenrepipeError as error:
            assert (day, error.exit_code) == (REFUSED, 65)  # noqa: PT017
    return warehouse


@pytest.fixture(scope="module")
def pages(warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages of some of those nights, and their front page."""
    folder = tmp_path_factory.mktemp("pages")
    for day in (DATES[0], REFUSED, FEW, SHIFTED):
        night.report(warehouse, folder=folder, run_date=day)
    return folder


def shown(path: Path) -> str:
    text = re.sub(r"<(style|script).*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (DATES[0], "A good night: 400 tracks predicted, nothing to do."),
        (REFUSED, "No predictions for 20 November: danceability came in percent."),
        (FEW, "Only 3 rows came, where 4"),
        (SHIFTED, "Popularity arrived "),
    ],
)
def test_a_night_is_told_in_one_sentence(pages: Path, day: str, said: str) -> None:
    written = pages / f"score-{day}.html"
    headline = re.search(r"<h1[^>]*>(.*?)</h1>", written.read_text(encoding="utf-8"), re.DOTALL)
    assert headline is not None
    assert html.unescape(headline[1]).startswith(said)
    assert " ".join(html.unescape(headline[1]).split()) in shown(pages / "index.html")


def test_the_page_of_a_shifted_night_says_why_and_what_to_do(pages: Path) -> None:
    text = shown(pages / f"score-{SHIFTED}.html")
    assert "Ask the source what happened to popularity" in text
    assert "genrepipe rollback" in text
    assert "Only popularity drifted" in text or "Popularity drifted" in text
    assert re.search(r"popularity \d+ → \d+", text)  # of a track whose genre changed


def test_a_refused_night_says_what_readers_see_and_whether_to_try_again(pages: Path) -> None:
    text = shown(pages / f"score-{REFUSED}.html")
    assert "Readers still see the answers of 19 November. Exit code 65: trying again will not help." in text
    assert "danceability must be at most 1" in text
    assert "Genres" not in text.split("genrepipe, morning report")[1].split("Verdict")[1][:400]


def test_every_query_that_is_shown_gives_what_the_page_was_made_of(warehouse: Path, pages: Path) -> None:
    run_id = nights.read(warehouse, run_date=SHIFTED)[0].run["run_id"]
    of_run = nights.read(warehouse, run_id)[0]
    text = (pages / f"score-{SHIFTED}.html").read_text(encoding="utf-8")
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        for name, query in of_run.queries.items():
            assert (
                html.escape(query, quote=False).replace("&#34;", '"').replace("'", "&#39;").replace('"', "&#34;")
                in text
            ), name
            cursor = connection.execute(query)
            columns = [each[0] for each in cursor.description]
            assert [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()] == of_run.rows[name], name


def test_the_rows_add_up(warehouse: Path) -> None:
    for day in DATES:
        made = nights.read(warehouse, run_date=day)[0].run
        assert made["received"] == sum(
            made[kind] for kind in ("predicted", "withheld", "quarantined", "duplicates", "empty")
        )
        stages = nights.seconds_by_stage(made)
        assert list(stages)[:3] == ["bundle", "lock", "copy"]
        assert sum(stages.values()) <= made["seconds"] + 0.01


def test_pages_pass_in_a_browser(pages: Path, faults: Callable[[Path], list[str]]) -> None:
    """No console line, no request, no horizontal scroll, no text under 12 px, no violation of accessibility rules, under 2 MB."""
    for path in sorted(pages.glob("*.html")):
        assert faults(path) == [], path.name
        assert path.stat().st_size < page.LARGEST


def test_what_is_wrong_with_a_page_is_found(pages: Path, tmp_path: Path, faults: Callable[[Path], list[str]]) -> None:
    """The test above can fail."""
    broken = tmp_path / "broken.html"
    text = (pages / f"score-{FEW}.html").read_text(encoding="utf-8")
    bad = '<img src="x.png" style="width:2000px"><p style="font-size:9px;color:#ddd">small</p><script>console.error("no")</script></main>'
    broken.write_text(text.replace("</main>", bad, 1), encoding="utf-8")
    found = " ".join(faults(broken))
    for fault in ("console: no", "scrolls to", "text under 12 px: small", "image-alt", "color-contrast"):
        assert fault in found


def test_markup_in_a_name_is_shown_and_not_run(warehouse: Path, tmp_path: Path) -> None:
    of_night = nights.read(warehouse, run_date=SHIFTED)[0]
    flip = {**of_night.of("flips")[0], "artist_name": HOSTILE, "track_name": WIDE}
    of_night.rows["flips"] = [flip]
    page.write(night.page_of(of_night), tmp_path / "night.html")
    text = (tmp_path / "night.html").read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert html.escape(HOSTILE).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in text


def check(name: str, observed: float, allowed: float, verdict: str) -> dict[str, Any]:
    return {
        "name": name,
        "observed": observed,
        "allowed": allowed,
        "verdict": verdict,
        "severity": "warning",
        "run_id": "r",
        "run_date": None,
    }


CHECKS = [name for contract in ("source_tracks", "predictions") for name in contracts.load(contract).table.checks]


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("status", ["published", "refused"])
def test_every_check_has_a_sentence_on_a_night_that_has_nothing_else(warehouse: Path, name: str, status: str) -> None:
    """The dull fallback: no rows but the ledger's line and the check."""
    known = nights.read(warehouse, run_date=DATES[0])[0]
    line_of_run = {**known.run, "run_id": "r", "status": status, "exit_code": 0 if status == "published" else 65}
    line = {**known.nights[0], "run_id": "r", "status": status}
    verdict = "warning" if status == "published" else "failed"
    bare = nights.Night(line_of_run, [line], known.labels, {"checks": [check(name, 3.0, 2.0, verdict)]}, {})
    told = findings.verdict(bare)
    assert told.headline.endswith(".")
    assert "None" not in told.headline + told.evidence
    assert told.tone == ("warn" if status == "published" else "bad")
    assert "<h1" in page.render(night.page_of(bare))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--out", "night.html", "--run", "nobody"), 64, "has no scoring run nobody"),
        (("--out", "night.html", "--run-date", "2020-01-01"), 64, "has no scoring run for 2020-01-01"),
        (("--out", "night.html", "--run-date", "yesterday"), 64, "is not a date"),
        ((), 64, "Add --out night.html, or --index FOLDER"),
        (("--out", "precious.txt"), 74, "holds something else"),
        (("--out", "precious.txt/night.html"), 74, "cannot be written"),
        (("--out", "night.html", "--warehouse", "none.duckdb"), 78, "none.duckdb"),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    warehouse: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    given = words if "--warehouse" in words else (*words, "--warehouse", warehouse)
    done = run("report", *given, cwd=tmp_path)
    assert (done.code, said in done.error) == (code, True), done.err
    assert (tmp_path / "precious.txt").read_text() == "precious"


def test_a_job_writes_its_page_whatever_its_end(tmp_path: Path) -> None:
    warehouse, pages = tmp_path / "w.duckdb", tmp_path / "pages"
    good = write_csv(tmp_path / "good.csv", [track(i) for i in range(40)])
    bad = write_csv(tmp_path / "bad.csv", [track(i, danceability="7") for i in range(40)])
    for source, day, code in ((good, "2026-11-20", 0), (bad, "2026-11-21", 65)):
        done = run("score", source, "--warehouse", warehouse, "--run-date", day, "--report", pages)
        assert done.code == code, done.err
    assert {path.name for path in pages.iterdir()} == {"index.html", "score-2026-11-20.html", "score-2026-11-21.html"}
    assert "No predictions for 21 November" in shown(pages / "index.html")
    # A run without a source has no line in the ledger, and its page all the same; the front page begins with it.
    assert (
        run(
            "score", tmp_path / "late.csv", "--warehouse", warehouse, "--run-date", "2026-11-22", "--report", pages
        ).code
        == 66
    )
    late = shown(pages / "score-2026-11-22.html")
    assert (
        "late.csv: there is no such file. Readers still see the answers of 20 November. Exit code 66: trying again can help."
        in late
    )
    assert shown(pages / "index.html").index("late.csv") < shown(pages / "index.html").index(
        "No predictions for 21 November"
    )
    none = tmp_path / "none.duckdb"
    assert (
        run(
            "score",
            tmp_path / "late.csv",
            "--warehouse",
            none,
            "--run-date",
            "2026-11-22",
            "--report",
            tmp_path / "first.html",
        ).code
        == 66
    )
    assert "There are no earlier answers." in shown(tmp_path / "first.html")
    assert not none.exists()
    # A page that cannot be written fails no run, and says so.
    blocked = tmp_path / "file.txt"
    blocked.write_text("precious")
    done = run(
        "score", good, "--warehouse", warehouse, "--run-date", "2026-11-22", "--report", blocked, "--output", "json"
    )
    assert (done.code, done.json["status"]) == (0, "published")
    assert "file.txt" in done.err
    assert blocked.read_text() == "precious"
