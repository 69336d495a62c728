"""Make the pictures in docs/ anew, of thirty made-up nights: ``python -m tests.pages.picture``."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from playwright.sync_api import sync_playwright

import genrepipe as api
from genrepipe.core.errors import GenrepipeError
from genrepipe.pages import night
from genrepipe.synthetic import tracks
from tests.support import ROOT

NIGHTS, LAST = 30, date(2026, 11, 25)
# Each picture: its name, the page, the width and height that are seen, and light or dark.
PICTURES = (
    ("night.png", f"score-{LAST}.html", 1280, 562, "light"),
    ("night-phone.png", f"score-{LAST}.html", 360, 1100, "dark"),
    ("nights.png", "index.html", 1280, 720, "light"),
)


def scored(folder: Path) -> Path:
    """Score thirty nights: one refused since danceability came in percent, one short, and a last one with popularity too low."""
    path, warehouse, chance = folder / "all.csv", Path("warehouse.duckdb"), random.Random(7)
    tracks.write(40_000, 0, path)
    table = pl.read_csv(path, infer_schema_length=0)
    order = list(range(len(table)))
    chance.shuffle(order)
    known, new = order[:3000], order[3000:]
    number = pl.col("popularity").cast(pl.Float64, strict=False)
    share = pl.col("danceability").cast(pl.Float64, strict=False)
    for k in range(NIGHTS):
        day = LAST - timedelta(NIGHTS - 1 - k)
        size = 850 if k == NIGHTS - 8 else chance.randint(1700, 2600)
        rows = [*chance.sample(known, size // 2), *new[: size // 2]]
        known, new = [*known, *new[: size // 2]], new[size // 2 :]
        faulty = pl.Series(
            [chance.random() < (0.09 if k == NIGHTS - 17 else 0.012 if k == NIGHTS - 1 else 0.001) for _ in rows]
        )
        delivered = table[rows].with_columns(
            popularity=(number - (8 if k == NIGHTS - 1 else 0)).clip(0, 100).cast(pl.Int64).cast(pl.String),
            danceability=pl.when(faulty).then((100 * share).round(1).cast(pl.String)).otherwise("danceability"),
        )
        source = folder / f"night-{day}.csv"
        delivered.write_csv(source)
        try:
            api.score(source, warehouse, run_date=day.isoformat(), limits={"flipped_percent": 40})
        except GenrepipeError as error:
            print(day, error)
    return warehouse


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        os.chdir(scratch)  # pages name the warehouse as it was named
        pages = Path(scratch) / "pages"
        warehouse = scored(Path(scratch))
        night.fill(warehouse, pages)
        print(night.report(warehouse, folder=pages).headline)
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, page, width, height, scheme in PICTURES:
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            tab.goto((pages / page).as_uri())
            tab.screenshot(path=ROOT / "docs" / name)
        browser.close()
