"""The front page of a folder of morning reports: the nights of a warehouse, each with its page where there is one."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from genrepipe.pages import findings, svg, words
from genrepipe.pages.page import Page, Part

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from genrepipe.pipeline.night import Row

NAME = "index.html"
HEADLINE = re.compile(r'<meta name="description" content="([^"]*)">')
BEGINNING = 2000  # characters of a page, among which its headline is


def name_of(job: str, run_date: date) -> str:
    """Return the name of the page of a night; a job's name may hold what a file's cannot."""
    return f"{quote(job, safe='')}-{run_date.isoformat()}.html"


def headline(page: Path) -> str | None:
    """Return the headline of a page that was written before, or None where there is none."""
    try:
        with page.open(encoding="utf-8") as file:
            found = HEADLINE.search(file.read(BEGINNING))
    except (OSError, ValueError):
        return None
    return html.unescape(found[1]) if found else ""


def front(rows: list[Row], folder: Path) -> Page:
    """Return the front page; ``rows`` are those of ``sql/report/front``, the newest first."""
    jobs = sorted({row["job"] for row in rows})
    nights = []
    for row in rows:
        name = name_of(row["job"], row["run_date"])
        said = headline(folder / name)
        tone = findings.tone_of(row)
        plain = f"{words.many(row['predicted'], 'track')} predicted" if tone != "bad" else "No predictions"
        nights.append(
            {**row, "tone": tone, "mark": findings.STATES[tone][0], "said": said or plain, "href": None if said is None else quote(name)}
        )  # fmt: skip
    newest = nights[0]
    stopped = sum(night["tone"] == "bad" for night in nights)
    warned = sum(night["tone"] == "warn" for night in nights)
    told = [f"{words.spelled(stopped)} stopped"] if stopped else []
    told += [f"{words.spelled(warned)} with warnings"] if warned else []
    summary = f"{words.many(len(nights), 'night')}{' of ' + words.many(len(jobs), 'job') if len(jobs) > 1 else ''}: {words.listed(told) or 'all published, without a warning'}."
    colours = {"good": "var(--ghost)", "warn": "var(--warn-mark)", "bad": "var(--bad)"}
    of_job = [night for night in nights if night["job"] == newest["job"]][: svg.NIGHTS][::-1]
    strip = svg.columns(
        [(n["received"], colours[n["tone"]], f"{words.day(n['run_date'])}: {words.many(n['received'], 'row')} received") for n in of_job],
        f"Bars of rows received on the last {len(of_job)} run dates", words.day(of_job[0]["run_date"]), words.day(newest["run_date"]),
    )  # fmt: skip
    part = Part(
        "nights", "Nights", newest["said"], key=newest["mark"],
        data={"nights": nights, "newest": newest, "summary": summary, "strip": strip, "jobs": len(jobs) > 1, "day": words.long_day(newest["run_date"])},
    )  # fmt: skip
    footer = (
        "Made by genrepipe from the ledger of the warehouse. A night whose page is not in this folder has no link.",
    )
    return Page(
        "front.html",
        "genrepipe, nights",
        "genrepipe, nights",
        words.long_day(newest["run_date"]),
        (part,),
        footer,
        newest["said"],
    )
