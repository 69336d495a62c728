"""What no run can avoid, each a process of its own: ``python -m tests.bench.floor load|prepare|graph|write …``.

``load TRACKS FILE`` lets DuckDB read the CSV, types sniffed, into a new file. ``prepare WAREHOUSE FOLDER`` keeps the matrix that the
champion reads and its finished predictions; ``graph FOLDER`` scores that matrix, ``write FOLDER FILE`` writes those
predictions into a new file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb


def load(tracks: str, file: str) -> None:
    """Load the CSV into a table, and close the file."""
    with duckdb.connect(file) as database:
        database.execute(f"CREATE TABLE tracks AS FROM read_csv('{tracks}')")


def prepare(warehouse: str, folder: str, rows: str) -> None:
    """Keep a matrix of so many rows, and the predictions of a warehouse as Parquet."""
    import numpy as np

    from genrepipe.model import bundle, features

    champion = bundle.load(None)
    golden = features.matrix([champion.golden.select(champion.manifest.input_columns)], "C")
    matrix = np.resize(golden, (int(rows), golden.shape[1]))
    np.save(Path(folder, "matrix.npy"), matrix)
    with duckdb.connect(warehouse, read_only=True) as database:
        database.execute(
            f"COPY (FROM predictions) TO '{Path(folder, 'predictions.parquet')}' (COMPRESSION uncompressed)"
        )


def graph(folder: str) -> None:
    """Score the matrix by the champion's graph, with the threads of a run."""
    import numpy as np

    from genrepipe.core import resources
    from genrepipe.model import bundle
    from genrepipe.model.scorer import Scorer

    matrix = np.load(Path(folder, "matrix.npy"), mmap_mode="r")
    Scorer(bundle.load(None), resources.plan().threads).probabilities(matrix)


def write(folder: str, file: str) -> None:
    """Write the predictions into a table, and close the file."""
    with duckdb.connect(file) as database:
        database.execute(f"CREATE TABLE predictions AS FROM '{Path(folder, 'predictions.parquet')}'")


if __name__ == "__main__":
    {"load": load, "prepare": prepare, "graph": graph, "write": write}[sys.argv[1]](*sys.argv[2:])
