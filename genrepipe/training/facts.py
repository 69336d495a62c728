"""Measure the statistics that synthetic tracks are drawn from: ``python -m genrepipe.training.facts TRACKS``.

Only quantiles, correlations, counts and rates are kept of the source: no row, name or title.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from genrepipe import contracts
from genrepipe.engines import prepare
from genrepipe.ingest import sources
from genrepipe.synthetic.tracks import FACTS, KEYS, NUMBERS
from genrepipe.warehouse.ledger import Run

KNOTS = 33  # quantiles of each feature


def measure(source: str) -> dict[str, Any]:
    """Return the statistics of a labelled source."""
    run = Run("facts", date(1970, 1, 1), "facts")
    with prepare.landed_in_memory(sources.resolve([source]), run) as (steps, landed):
        tracks = steps.database.frame("FROM accepted")
    per_artist = Counter(Counter(tracks["artist_key"].drop_nulls().to_list()).values())
    audio = tracks.group_by([c for c in (*NUMBERS, "key", "mode") if c not in {"popularity", "duration_ms", "tempo"}])
    twins = int(audio.len().filter(pl.col("len") > 1)["len"].sum())
    return {
        "tracks": len(tracks),
        "empty_rate": landed.counts.empty / landed.counts.received,
        "missing_rate": {
            "artist_name": tracks["artist_name"].null_count() / len(tracks),
            "duration_ms": tracks["duration_ms"].null_count() / len(tracks),
            "tempo": tracks["tempo"].null_count() / len(tracks),
        },
        "twin_rate": twins / len(tracks),
        "tracks_per_artist": {str(k): v for k, v in sorted(per_artist.items())},
        "dates": dict(sorted(Counter(tracks["obtained_date"].drop_nulls().to_list()).items())),
        "genres": {genre: _genre(tracks.filter(tracks["music_genre"] == genre)) for genre in contracts.genres()},
    }


def _genre(tracks: pl.DataFrame) -> dict[str, Any]:
    grid = np.linspace(0, 1, KNOTS)
    values = tracks.select(NUMBERS).drop_nulls().to_numpy().astype(np.float64)
    ranks = (values.argsort(0).argsort(0) + 0.5) / len(values)
    normal = statistics.NormalDist()
    scores = np.vectorize(normal.inv_cdf)(ranks)
    return {
        "share": len(tracks),
        "quantiles": {
            name: [float(f"{q:.5g}") for q in np.quantile(tracks[name].drop_nulls().to_numpy(), grid)]
            for name in NUMBERS
        },
        "correlation": [[round(float(c), 3) for c in row] for row in np.corrcoef(scores.T)],
        "keys": [int((tracks["key"] == key).sum()) for key in KEYS],
        "minor_rate": round(float((tracks["mode"] == "Minor").mean() or 0.0), 4),  # type: ignore[arg-type]
    }


if __name__ == "__main__":
    FACTS.write_text(json.dumps(measure(sys.argv[1]), separators=(",", ":")) + "\n", encoding="utf-8")
