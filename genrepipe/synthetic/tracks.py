"""Made-up catalogues: realistic, messy, and the same for the same seed.

Every genre has the real table's feature distributions and their correlations (a Gaussian copula over measured
quantiles), artists have several tracks that resemble one another, and the sentinels, empty rows and audio twins of
other genres come at the measured rates. Ids begin with ``PREFIX``. Artists and titles are invented; nobody's music is described.
"""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.core.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

FACTS = assets.PACKAGE / "synthetic" / "facts.json"  # measured by: make facts
KEYS = [str(key) for key in contracts.load("tracks").table.column("key").valid_values or ()]
NUMBERS = (
    "popularity", "acousticness", "danceability", "duration_ms", "energy", "instrumentalness", "liveness", "loudness",
    "speechiness", "tempo", "valence",
)  # fmt: skip
PREFIX = "sample-"  # of ids: those of a real catalogue are others, whatever warehouse both come into
ARTIST_SHARE = 0.35  # of a feature's variance within a genre that an artist's tracks have in common

_FIRST = [
    "Velvet",
    "Crimson",
    "Paper",
    "Hollow",
    "Silver",
    "Northern",
    "Electric",
    "Quiet",
    "Golden",
    "Broken",
    "Marble",
    "Neon",
    "Winter",
    "Distant",
    "Copper",
    "Lunar",
    "Gentle",
    "Burning",
    "Mister",
    "Young",
    "Saint",
    "Little",
    "DJ",
    "Ólafur",
    "Señor",
    "Große",
    "Þór",
    "Šarka",
    "Émile",
    "Żywiec",
]
_SECOND = [
    "Harbour",
    "Foxes",
    "Machine",
    "Choir",
    "Parade",
    "Tigers",
    "Meridian",
    "Theory",
    "Satellites",
    "Orchard",
    "Wolves",
    "Cartel",
    "Avenue",
    "Ensemble",
    "Republic",
    "Hearts",
    "Static",
    "Pilots",
    "Garden",
    "Empire",
    "Cassette",
    "Brothers",
    "Quartet",
    "Motel",
    "Lanterns",
    "Anthem",
    "Canyon",
    "Ødegård",
    "Müller",
    "東京",
]
_TITLE = [
    "Night",
    "Morning",
    "River",
    "Fire",
    "Glass",
    "Dream",
    "Road",
    "Summer",
    "Shadow",
    "Water",
    "Letters",
    "Home",
    "Electric",
    "Heart",
    "Blue",
    "Rain",
    "Silence",
    "Dust",
    "Gravity",
    "Paradise",
    "Ghost",
    "Mirror",
    "Ocean",
    "Signal",
    "Thunder",
    "Velvet",
    "Avalanche",
    "Sunday",
    "Horizon",
    "Café",
]
_TAILS = (
    "",
    "",
    "",
    "",
    "",
    " - Live",
    " - Remastered 2011",
    " (feat. {other})",
    " - {other} Remix",
    ", Op. {n} No. {m}",
    " (Original Mix)",
    ' "Radio Edit"',
)


BROKEN = {"popularity": "999", "key": "H", "energy": "loud"}  # cells that no contract lets through


def make(rows: int, seed: int, broken: int = 0) -> pl.DataFrame:
    """Return a synthetic source table of text columns, one row for each of ``rows`` tracks plus the empty ones.

    So many of the tracks are ``broken``: a cell of theirs breaks the contract.
    """
    rng = np.random.default_rng(seed)
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    genres = list(facts["genres"])
    weights = np.array([facts["genres"][genre]["share"] for genre in genres], dtype=float)
    twins = int(rows * facts["twin_rate"] / 2)
    own = rows - twins

    artists = _artists(own, facts, rng)  # artist number of each track
    artist_genre = rng.choice(len(genres), artists.max() + 1, p=weights / weights.sum())
    genre = artist_genre[artists]
    numbers, key, minor = _audio(genre, artists, [facts["genres"][name] for name in genres], rng)

    # A twin is the same audio again, under another id, and nearly always another genre.
    copied = rng.choice(own, twins, replace=False)
    which = np.concatenate([np.arange(own), copied])
    label = np.concatenate([genre, (genre[copied] + rng.integers(1, len(genres), twins)) % len(genres)])
    names = _names(int(artists.max()) + 1, rng)

    table = pl.DataFrame(
        {
            "instance_id": [f"{PREFIX}{i}" for i in rng.choice(10 * rows + 20_000, rows, replace=False)],
            "artist_name": [names[a] for a in artists[which]],
            "track_name": _titles(artists[which], names, rng),
            **{name: [repr(float(v)) for v in numbers[which, i]] for i, name in enumerate(NUMBERS)},
            "key": [KEYS[k] for k in key[which]],
            "mode": ["Minor" if m else "Major" for m in minor[which]],
            "obtained_date": rng.choice(list(facts["dates"]), rows, p=_shares(facts["dates"])),
            "music_genre": [genres[g] for g in label],
        }
    )
    missing = {"artist_name": "empty_field", "duration_ms": "-1.0", "tempo": "?"}
    for name, sentinel in missing.items():
        gone = pl.Series(rng.random(rows) < facts["missing_rate"][name])
        table = table.with_columns(pl.when(gone).then(pl.lit(sentinel)).otherwise(pl.col(name)).alias(name))
    empty = pl.DataFrame(
        [[None] * table.width] * max(1, round(rows * facts["empty_rate"])), schema=table.schema, orient="row"
    )
    order = rng.permutation(rows + len(empty))
    columns = [name for name in contracts.load("source_tracks").table.columns if name != "quarantine_id"]
    return _broken(pl.concat([table, empty])[order].select(columns), broken, rng)


def _broken(table: pl.DataFrame, count: int, rng: np.random.Generator) -> pl.DataFrame:
    tracks = np.flatnonzero(table["instance_id"].is_not_null().to_numpy())
    chosen = rng.choice(tracks, min(count, len(tracks)), replace=False)
    for number, (column, cell) in enumerate(BROKEN.items()):
        here = pl.Series(np.isin(np.arange(len(table)), chosen[number :: len(BROKEN)]))
        table = table.with_columns(pl.when(here).then(pl.lit(cell)).otherwise(pl.col(column)).alias(column))
    return table


def write(rows: int, seed: int, out: Path, broken: int = 0) -> None:
    """Write a synthetic source table as CSV or Parquet, by the name of the file.

    Raises
    ------
    UsageError
        The name ends otherwise.
    StorageError
        The file cannot be written.
    """
    if out.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"{out}: neither .csv nor .parquet", "Name the file by its kind")
    if any("\ud800" <= letter <= "\udfff" for letter in str(out)):  # a byte that is not UTF-8, as Python holds it
        raise UsageError(f"{out}: its name is not UTF-8", "Name another --out")
    table = make(rows, seed, broken)
    try:
        if out.suffix == ".csv":
            table.write_csv(out)
        else:
            table.write_parquet(out)
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written: {error.strerror or error}", "Check its folder and the disk"
        ) from error


def _shares(counts: dict[str, int]) -> npt.NDArray[np.float64]:
    values = np.array(list(counts.values()), dtype=float)
    shares: npt.NDArray[np.float64] = values / values.sum()
    return shares


def _artists(tracks: int, facts: dict[str, Any], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return an artist number for each track; artists have as many tracks as in the real table."""
    sizes = rng.choice([int(k) for k in facts["tracks_per_artist"]], tracks, p=_shares(facts["tracks_per_artist"]))
    return np.repeat(np.arange(tracks), sizes)[:tracks]


def _audio(
    genre: npt.NDArray[np.int64],
    artists: npt.NDArray[np.int64],
    facts: list[dict[str, Any]],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Draw the numbers of shape (tracks, 11), the keys and the modes."""
    normal = statistics.NormalDist()
    grid = np.linspace(-4, 4, 801)
    cumulative = np.array([normal.cdf(z) for z in grid])
    noise = rng.standard_normal((len(genre), len(NUMBERS)))
    style = rng.standard_normal((artists.max() + 1, len(NUMBERS)))[artists]
    scores = np.sqrt(ARTIST_SHARE) * style + np.sqrt(1 - ARTIST_SHARE) * noise
    numbers = np.empty_like(scores)
    key = np.empty(len(genre), dtype=np.int64)
    minor = np.empty(len(genre), dtype=bool)
    for g, measured in enumerate(facts):
        rows = np.flatnonzero(genre == g)
        correlated = scores[rows] @ np.linalg.cholesky(np.array(measured["correlation"])).T
        uniform = np.interp(correlated, grid, cumulative)
        for i, name in enumerate(NUMBERS):
            knots = measured["quantiles"][name]
            numbers[rows, i] = np.interp(uniform[:, i], np.linspace(0, 1, len(knots)), knots)
        keys = np.array(measured["keys"], dtype=float)
        key[rows] = rng.choice(len(KEYS), len(rows), p=keys / keys.sum())
        minor[rows] = rng.random(len(rows)) < measured["minor_rate"]
    for i, name in enumerate(NUMBERS):
        numbers[:, i] = numbers[:, i].round(
            0 if name in {"popularity", "duration_ms"} else 3 if name in {"loudness", "tempo"} else 6
        )
    return numbers, key, minor


def _names(count: int, rng: np.random.Generator) -> list[str]:
    """Invent artists; a number sets apart those that would be called the same."""
    taken: dict[str, int] = {}
    names = []
    for first, second, the in zip(
        rng.choice(_FIRST, count), rng.choice(_SECOND, count), rng.random(count) < 0.2, strict=True
    ):
        name = f"{'The ' if the else ''}{first} {second}"
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 else f"{name} {taken[name]}")
    return names


def _titles(artists: npt.NDArray[np.int64], names: list[str], rng: np.random.Generator) -> list[str]:
    count = len(artists)
    words = rng.choice(_TITLE, (count, 2))
    tails = rng.choice(_TAILS, count)
    others = rng.integers(0, len(names), count)
    numbers = rng.integers(1, 90, (count, 2))
    return [
        " ".join(dict.fromkeys(words[i]))
        + str(tails[i]).format(other=names[others[i]], n=numbers[i, 0], m=numbers[i, 1] % 9 + 1)
        for i in range(count)
    ]
