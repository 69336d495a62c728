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
from genrepipe.pages import findings, night, page, words
from genrepipe.pipeline import night as nights
from genrepipe.synthetic import tracks as synthetic
from tests.support import ask, run, score, track, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable

# A few made-up rows differ from the training data, and from each other, as much as they like.
QUIET = [f"--limit={name}=999" for name in ("drift_from_training", "drift_from_recent_runs", "largest_genre_percent", "volume_change_percent", "low_margin_percent", "flipped_percent")]  # fmt: skip
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
    assert "genrepipe rollback --warehouse" in text
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
    page.write(night.page_of(of_night, findings.verdict(of_night)), tmp_path / "night.html")
    text = (tmp_path / "night.html").read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert html.escape(HOSTILE).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in text


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A date that was published twice, and a third delivery of it that was refused; a date by another model; a replayed one."""
    folder = tmp_path_factory.mktemp("corrected")
    warehouse = folder / "w.duckdb"
    rows = [track(i, energy=f"0.{i % 9 + 1}", loudness=str(-5 - i % 20), popularity=str(i % 80)) for i in range(1, 120)]
    first, second = (write_csv(folder / f"{n}.csv", rows[: 100 + n]) for n in (0, 10))
    score(first, warehouse, "2026-11-20", *QUIET)
    score(second, warehouse, "2026-11-20", *QUIET)
    broken = write_csv(folder / "broken.csv", [row | {"danceability": "7"} for row in rows])
    assert run("score", broken, "--warehouse", warehouse, "--run-date", "2026-11-20").code == 65
    score(write_csv(folder / "third.csv", rows[:111]), warehouse, "2026-11-21", "--model", "all-features", *QUIET)
    score(
        write_csv(folder / "few.csv", [*rows[:60], *(track(i, energy="5") for i in (500, 501))]),
        warehouse,
        "2026-11-22",
        "--model",
        "all-features",
        *QUIET,
    )
    fixes = folder / "fixes.csv"
    assert run("quarantine", "export", "--run-date", "2026-11-22", "--out", fixes, "--warehouse", warehouse).code == 0
    fixes.write_text(fixes.read_text(encoding="utf-8").replace(",5,", ",0.5,", 1), encoding="utf-8")
    assert run("quarantine", "replay", fixes, "--run-date", "2026-11-22", "--warehouse", warehouse).code == 0
    return warehouse


def told(warehouse: Path, **which: str) -> str:
    of_night = nights.read(warehouse, **which)[0]
    assert "<h1" in page.render(night.page_of(of_night, findings.verdict(of_night)))
    verdict = findings.verdict(of_night)
    return f"{verdict.state} | {verdict.headline} | {verdict.evidence} | {verdict.actions}"


def test_a_page_says_which_run_of_a_date_stands(corrected: Path) -> None:
    first, second, refused = ask(corrected, "SELECT run_id FROM runs WHERE run_date = '2026-11-20' ORDER BY started_at")
    assert "replaced | This run of 20 November was replaced by a later one." in told(corrected, run_id=first["run_id"])
    assert second["run_id"] in told(corrected, run_id=first["run_id"])
    assert "A good night: 110 tracks predicted" in told(corrected, run_id=second["run_id"])
    said = told(corrected, run_id=refused["run_id"])
    assert "A new delivery for 20 November was not published: danceability" in said
    assert f"Readers still see what run {second['run_id']} published for that date." in said
    assert "A good night" in told(corrected, run_date="2026-11-20")  # the one that stands


def test_a_page_names_a_new_model_and_counts_what_it_changed(corrected: Path) -> None:
    said = told(corrected, run_date="2026-11-21")
    (flips,) = ask(corrected, "SELECT count(*) AS n FROM flips WHERE run_date = '2026-11-21'")
    assert "by a new model, all-features 1.4.0" in said
    assert (
        f"{100 * flips['n'] / 110:.1f}\u202f% of 110 known tracks changed genre; the model before was artist-context 1.4.0"
        in said
    )


def test_a_page_counts_what_a_replay_brought_back(corrected: Path) -> None:
    said = told(corrected, run_date="2026-11-22")
    assert "A good night: 61 tracks predicted" in said
    assert "1 row waits in quarantine." in said
    assert "Where labels are known" in said  # measured by the replay


@pytest.mark.parametrize(
    ("share", "said"),
    [(1.0, "all"), (0.9999, "100"), (0.5, "half"), (0.29, "29.0"), (0.33, "a third"), (0.2, "one in five"), (0.177, "17.7"), (0.0001, "under 0.1")],
)  # fmt: skip
def test_shares_are_told_as_they_are(share: float, said: str) -> None:
    shown = words.one_in(share) if share > 0.001 else words.percent(share)
    assert shown.startswith(said) if said != "100" else not shown.startswith("100")
    assert not words.percent(0.99996).startswith("100")


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
    bare = nights.Night(line_of_run, [line], known.labels, "w.duckdb", {"checks": [check(name, 3.0, 2.0, verdict)]}, {})
    told = findings.verdict(bare)
    assert told.headline.endswith(".")
    assert "None" not in told.headline + told.evidence
    assert told.tone == ("warn" if status == "published" else "bad")
    assert "<h1" in page.render(night.page_of(bare, findings.verdict(bare)))


@pytest.mark.parametrize(
    ("given", "code", "said"),
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
    warehouse: Path, tmp_path: Path, given: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    given = given if "--warehouse" in given else (*given, "--warehouse", str(warehouse))
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
