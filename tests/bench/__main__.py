"""Measure everything, and write docs/benchmarks.md and docs/benchmarks.png: ``make bench``, or some with ``make bench ONLY="floor peers"``."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import altair
import polars as pl

from genrepipe.core import resources
from tests.bench import data
from tests.bench.measure import HEAD, Runs, control_group, in_turn, run, whole_tree
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.measure import Used

ROWS = int(os.environ.get("ROWS", "2_000_000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
NIGHTS = int(os.environ.get("NIGHTS", "30"))
GROWTH = [int(rows) for rows in os.environ.get("GROWTH", "2_000_000 5_000_000 10_000_000 20_000_000").split()]
KINDS = (("CSV", "t{}.csv"), ("Parquet", "t{}.parquet"), (f"{data.FILES} CSV files", "t{}"))
LIMITED = 10_000_000  # rows, scored under a limit of memory too
SPARK = ((10, (1,)), (1_000_000, (8, 32)), (10_000_000, (8, 32, 128)))  # rows, and in how many buckets
FIRST = date(2026, 1, 1)
PYTHON = sys.executable
Points = list[dict[str, object]]


def score(source: Path, warehouse: Path, *more: object) -> list[object]:
    """Return the command that scores a source."""
    return [PYTHON, "-m", "genrepipe", "score", source, "--warehouse", warehouse, *more]


def of_floor(folder: Path) -> tuple[str, Points]:
    """Measure a run beside what cannot be avoided."""
    source, kept = data.tracks(folder / "tracks.csv", ROWS), folder / "floor"
    kept.mkdir(exist_ok=True)
    warehouse = folder / "w.duckdb"
    run(score(source, warehouse), warehouse)
    floor = [PYTHON, "-m", "tests.bench.floor"]
    run([*floor, "prepare", warehouse, kept, ROWS])
    runs = in_turn(
        {
            "load: DuckDB reads the CSV, types sniffed, into a new file": ([*floor, "load", source, folder / "l.duckdb"], folder / "l.duckdb"),
            "graph: the champion over a ready matrix": ([*floor, "graph", kept], None),
            "write: the finished predictions into a new file": ([*floor, "write", kept, folder / "p.duckdb"], folder / "p.duckdb"),
            "genrepipe score": (score(source, warehouse), warehouse),
            "genrepipe score --model all-features": (score(source, warehouse, "--model", "all-features"), warehouse),
        },
        ROUNDS,
    )  # fmt: skip
    *parts, champion, audio = runs.values()
    least = sum(part.seconds for part in parts)
    lines = [
        HEAD,
        *(each.row(name) for name, each in runs.items()),
        "",
        (
            f"The champion takes **{champion.seconds / least:.2f} ×** what load, graph and write take together, {least:.2f} s (we aim for 1.5, "
            f"at most 2.0); an audio bundle {audio.seconds / least:.2f} × (at most 1.6)."
        ),
    ]
    return "\n".join(lines), []


def of_peers(folder: Path) -> tuple[str, Points]:
    """Measure a run beside scripts that do nothing else."""
    source, kept = data.tracks(folder / "tracks.csv", ROWS), folder / "peers"
    kept.mkdir(exist_ok=True)
    run([PYTHON, "-W", "ignore", "-m", "tests.bench.peers.prepare", data.tracks(folder / "small.csv", 40_000), kept])
    warehouse = folder / "w.duckdb"
    peer = "tests.bench.peers."
    runs = in_turn(
        {
            "pandas, scikit-learn, torch": ([PYTHON, "-m", f"{peer}pandas_torch", source, kept, folder / "p.parquet"], folder / "p.parquet"),
            "Polars, onnxruntime, DuckDB": ([PYTHON, "-m", f"{peer}polars_onnx", source, kept, folder / "p.duckdb"], folder / "p.duckdb"),
            "genrepipe score": (score(source, warehouse), warehouse),
        },
        ROUNDS,
    )  # fmt: skip
    pandas, polars, ours = runs.values()
    lines = [
        HEAD,
        *(each.row(name) for name, each in runs.items()),
        "",
        (
            f"The champion takes {ours.seconds / pandas.seconds:.2f} × the seconds of the first (we aim for 0.67) at "
            f"{ours.peak / pandas.peak:.2f} of its memory (0.33), and {ours.seconds / polars.seconds:.2f} × those of the second (at most 1.6)."
        ),
    ]
    return "\n".join(lines), []


def of_nights(folder: Path) -> tuple[str, Points]:
    """Measure nights in which one track in a hundred has changed, and an increment."""
    source, warehouse = data.tracks(folder / "tracks.csv", ROWS), folder / "nights.duckdb"
    points: Points = []
    used: list[Used] = []
    sizes: list[float] = []
    for number in range(NIGHTS + 1):
        tonight = data.night(folder / "night.csv", source, number) if number else source
        day = FIRST + timedelta(days=number)
        used.append(run(score(tonight, warehouse, "--run-date", day), None if number else warehouse))
        sizes.append(warehouse.stat().st_size / 1e6)
        points += [
            {"chart": "nights: seconds", "x": number + 1, "y": used[-1].seconds, "what": "genrepipe score"},
            {"chart": "nights: MB of the file", "x": number + 1, "y": sizes[-1], "what": "genrepipe score"},
        ]
    small = data.tracks(folder / "few.csv", 5_000)
    few = folder / "increment.csv"
    few.write_text(small.read_text().replace("\n", "\nnew").removesuffix("new"))  # other ids, and so other tracks
    increment = run(
        score(few, warehouse, "--run-date", FIRST + timedelta(days=NIGHTS + 1), "--limit", "volume_drop_percent=100")
    )
    names = {0: "the first", 1: "the second", NIGHTS: f"the {NIGHTS + 1}st"}
    rows = [
        f"| {name} | {used[i].seconds:.1f} | {used[i].cpu:.1f} | {used[i].peak / 1e6:,.0f} | {sizes[i]:,.0f} |"
        for i, name in names.items()
    ]
    lines = [
        "| night | seconds | CPU s | peak MB | file MB |", "|---|---:|---:|---:|---:|", *rows,
        f"| 5,000 new tracks | {increment.seconds:.1f} | {increment.cpu:.1f} | {increment.peak / 1e6:,.0f} | {warehouse.stat().st_size / 1e6:,.0f} |", "",
        (f"The second night takes **{used[1].seconds / used[0].seconds:.2f} ×** the first (at most 0.5), and adds {sizes[1] / sizes[0] - 1:.0%} to "
        f"the file (at most 10 %); the last takes {used[-1].seconds / used[1].seconds:.2f} × the second (at most 1.15)."),
    ]  # fmt: skip
    return "\n".join(lines), points


def of_growth(folder: Path) -> tuple[str, Points]:
    """Measure tables of up to twenty million rows, of CSV, Parquet and many files, and a small one."""
    points: Points = []
    rows = []
    warehouse = folder / "w.duckdb"
    for kind, name in KINDS:
        base: float | None = None
        for count in GROWTH:
            source = data.tracks(folder / name.format(count), count)
            used = run(score(source, warehouse), warehouse)
            base = base or used.seconds / count
            linear = used.seconds / count / base
            rows.append(
                f"| {count:,} | {kind} | {used.seconds:.1f} | {used.cpu:.1f} | {used.peak / 1e6:,.0f} | {linear:.2f} |"
            )
            points += [
                {"chart": "rows: seconds", "x": count, "y": used.seconds, "what": kind},
                {"chart": "rows: peak MB", "x": count, "y": used.peak / 1e6, "what": kind},
            ]
            if (count, kind) == (LIMITED, "CSV") and (group := control_group(1 << 30)):
                used = run(
                    ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", *score(source, warehouse)],
                    warehouse,
                )
                group.rmdir()
                rows.append(
                    f"| {count:,} | {kind}, in a control group of 1 GB | {used.seconds:.1f} | {used.cpu:.1f} | {used.peak / 1e6:,.0f} | |"
                )
            subprocess.run(["rm", "-rf", str(source)], check=True)
    small = Runs([run(score(data.tracks(folder / "small.csv", 40_000), warehouse), warehouse) for _ in range(ROUNDS)])
    rows.append(f"| 40,000 | CSV | {small.seconds:.2f} | {small.cpu:.2f} | {small.peak:,.0f} | |")
    lines = ["| rows | from | seconds | CPU s | peak MB | of linear |", "|---:|---|---:|---:|---:|---:|", *rows]
    return "\n".join(lines), points


def of_mlflow(folder: Path) -> tuple[str, Points]:
    """Measure MLflow's pyfunc with the champion's graph and a ready matrix, beside a whole run."""
    source, kept, warehouse = data.tracks(folder / "tracks.csv", ROWS), folder / "floor", folder / "w.duckdb"
    kept.mkdir(exist_ok=True)
    run(score(source, warehouse), warehouse)
    run([PYTHON, "-m", "tests.bench.floor", "prepare", warehouse, kept, ROWS])
    script = [ROOT / ".venv-mlflow" / "bin" / "python", ROOT / "tests" / "bench" / "peers" / "mlflow_pyfunc.py"]
    run([*script, "save", ROOT / "genrepipe" / "pretrained" / "artist-context" / "model.onnx", folder / "mlflow"])
    answers = folder / "answers.parquet"
    runs = in_turn(
        {
            "MLflow pyfunc, over a ready matrix": ([*script, "predict", folder / "mlflow", kept / "matrix.npy", answers], answers),
            "genrepipe score, everything": (score(source, warehouse), warehouse),
        },
        ROUNDS,
    )  # fmt: skip
    theirs, ours = runs.values()
    rows = [each.row(name) for name, each in runs.items()]
    told = f"MLflow takes {theirs.seconds / ours.seconds:.2f} × the seconds of a whole run (we aim for 3)."
    return "\n".join([HEAD, *rows, "", told]), []


def of_spark(folder: Path) -> tuple[str, Points]:
    """Measure Spark on this machine beside a local run: by rows, and by buckets."""
    warehouse = folder / "w.duckdb"
    on_spark = ["--engine", "spark", "--master", f"local[{resources.plan().threads}]", "--buckets"]
    rows = []
    for count, buckets in SPARK:
        source = data.tracks(folder / f"t{count}.csv", count)
        for what in ("local", *buckets):
            with whole_tree("pyspark" if what != "local" else "genrepipe") as used:
                run(score(source, warehouse, *([] if what == "local" else [*on_spark, what])), warehouse)
            subprocess.run(["rm", "-rf", f"{warehouse}.lake"], check=True)
            name = "local" if what == "local" else f"Spark, {what} buckets"
            rows.append(
                f"| {count:,} | {name} | {used['seconds']:.1f} | {used['cpu']:.1f} | {used['peak'] / 1e6:,.0f} |"
            )
        subprocess.run(["rm", "-f", str(source)], check=True)
    return "\n".join(
        ["| rows | where | seconds | CPU s | peak MB of a process |", "|---:|---|---:|---:|---:|", *rows]
    ), []


SECTIONS: dict[str, tuple[str, Callable[[Path], tuple[str, Points]]]] = {
    "floor": ("Beside what cannot be avoided", of_floor),
    "peers": ("Beside scripts that do nothing else", of_peers),
    "nights": ("Night after night", of_nights),
    "growth": ("Larger tables", of_growth),
    "mlflow": ("Beside MLflow", of_mlflow),
    "spark": ("On Spark", of_spark),
}
ALWAYS = ("floor", "peers", "nights", "growth")  # the others need an environment of their own


def machine() -> str:
    """Describe where this was measured."""
    plan = resources.plan()
    return (
        f"{plan.threads} CPUs, {resources.memory() / 1e9:.0f} GB of memory, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, on {datetime.now(UTC).date()}"
    )


def main(*only: str) -> None:
    """Measure the sections that are named, or those that need nothing else."""
    told = [
        "# Benchmarks", "", (f"Written by `make bench`: {ROWS:,} rows where nothing else is said, medians of {ROUNDS} runs in turn, whole processes. "
        f"Measured with {machine()}."), "",
    ]  # fmt: skip
    points: Points = []
    with tempfile.TemporaryDirectory() as name:
        for key in only or ALWAYS:
            title, measure = SECTIONS[key]
            text, some = measure(Path(name))
            points += some
            told += [f"## {title}", "", text, ""]
            print(f"## {title}\n\n{text}\n", flush=True)
    if points:
        chart = (
            altair.Chart(pl.DataFrame(points))
            .mark_line(point=True)
            .encode(x=altair.X("x", title=None), y=altair.Y("y", title=None), color="what")
        )
        faceted = chart.properties(width=320, height=180).facet(altair.Facet("chart:N", title=None), columns=2)
        faceted.resolve_scale(x="independent", y="independent").save(ROOT / "docs" / "benchmarks.png")
        told += ["![Seconds, memory and bytes](benchmarks.png)", ""]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
