"""Results as people read them on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from genrepipe.bundles import Bundle

MAX_ROWS = 50  # of a table on a terminal; the other formats print all


def score_text(result: dict[str, Any]) -> str:
    """Say what a scoring run did, and what to ask next."""
    imputed = ", ".join(f"{column} {count:,}" for column, count in result["imputed"].items())
    said = {
        "published": "predicted and published",
        "dry run": "dry run, nothing was written",
        "already published": "already published from the same input and model, nothing to do",
    }[result["status"]]
    lines = [
        f"{result['run_date']}  {said}",
        f"  model      {result['model']} {result['model_version']}",
        (
            f"  received   {result['received']:,} = {result['predicted']:,} predicted + {result['quarantined']:,} quarantined "
            f"+ {result['duplicates']:,} duplicates + {result['empty']:,} empty"
        ),
        f"  imputed    {imputed}",
        f"  took       {result['seconds']:.2f} s, {result['rows_per_second']:,} rows/s",
    ]
    if result["status"] != "dry run":
        ask = f'genrepipe query --warehouse {result["warehouse"]} "'
        lines += [
            f"  warehouse  {result['warehouse']}",
            "",
            "Try:",
            f'  {ask}SELECT genre, tracks, share FROM genre_daily"',
            f'  {ask}SELECT artist_name, track_name, genre, margin FROM predictions_latest ORDER BY margin DESC LIMIT 5"',
        ]
        if result["quarantined"]:
            lines.append(f'  {ask}SELECT * FROM quarantine_reasons"')
    return "\n".join(lines)


def validate_text(result: dict[str, Any]) -> str:
    """Say how a source keeps its contract, with a few examples for each broken rule."""
    lines = [
        (
            f"{result['status']}: {result['received']:,} rows = {result['accepted']:,} good + {result['quarantined']:,} rejected "
            f"+ {result['duplicates']:,} duplicates + {result['empty']:,} empty"
        ),
        f"rejected {result['quarantined_percent']:.2f} %, the limit is {result['max_quarantined_percent']} %",
        *result["notes"],
    ]
    for reason in result["reasons"]:
        lines.append(f"  {reason['rows']:>8,}  {reason['reason']}")
        lines += [f"            {example['file']} row {example['row']}" for example in reason["examples"]]
    return "\n".join(lines)


def train_text(result: dict[str, Any]) -> str:
    """Show the measures of the trained bundles, mean ± sd over folds."""
    shown = {"macro_auroc": "AUROC macro", "micro_auroc": "AUROC micro", "accuracy": "accuracy", "top2": "top-2", "log_loss": "log loss", "ece": "ECE"}  # fmt: skip
    lines = [f"trained on {result['tracks']:,} tracks; mean ± sd over 5 folds", ""]
    lines.append(
        f"{'model':<19} {'split':<19} {' '.join(f'{name:<15}' for name in shown.values())} parameters epochs seconds   KB"
    )
    for bundle in result["bundles"]:
        tail = f"{bundle['parameters']:>10,} {bundle['epochs']:>6} {bundle['seconds']:>7} {bundle['bytes'] // 1000:>4}"
        for split, measured in bundle["metrics"].items():
            cells = " ".join(f"{m['mean']:.4f} ± {m['sd']:.4f}" for m in (measured[k] for k in shown))
            lines.append(f"{bundle['model']:<19} {split.replace('_', ' '):<19} {cells} {tail}".rstrip())
            tail = ""
    lines += ["", f"{'tempo imputer':<20} {'MAE, bpm':<17} R²"]
    lines += [
        f"{name:<20} {m['mae']['mean']:.2f} ± {m['mae']['sd']:.2f}      {m['r2']['mean']:.4f} ± {m['r2']['sd']:.4f}"
        for name, m in result["tempo_imputers"].items()
    ]
    lines += ["", *(f"{bundle['folder']}  sha256 {bundle['sha256'][:16]}" for bundle in result["bundles"])]
    return "\n".join(lines)


def audit_text(result: dict[str, Any]) -> str:
    """Say how each gate ended."""
    lines = [f"{result['model']}: {result['status']}, on {result['tracks']:,} tracks"]
    for gate in result["gates"]:
        mark = "passed" if gate["passed"] else "FAILED"
        lines.append(
            f"  {mark}  {gate['gate']:<22} {gate['value']:>8g}  at most {gate['limit']:<5g} {gate['sentence']}"
        )
        if gate["explanation"]:
            lines.append(f"{'':<33}{gate['explanation']}")
    return "\n".join([*lines, result["gap"]])


def explore_text(result: dict[str, Any]) -> str:
    """Say where the page is and what it shows."""
    return f"{result['page']}: {result['tracks']:,} tracks, {len(result['sections'])} sections, {result['bytes'] / 1e6:.1f} MB; open it in a browser"


def facts(bundle: Bundle) -> dict[str, Any]:
    """Return what ``models`` tells of a bundle."""
    manifest = bundle.manifest
    measured = manifest.metrics["artist_disjoint"]
    return {
        "model": manifest.name,
        "version": manifest.version,
        "summary": manifest.summary,
        "parameters": manifest.parameters,
        "macro_auroc": measured["macro_auroc"]["mean"],
        "accuracy": measured["accuracy"]["mean"],
        "folder": str(bundle.folder),
        "sha256": bundle.sha256,
    }


def models_text(result: dict[str, Any]) -> str:
    """List bundles with their artist-disjoint measures."""
    lines = [f"  {'model':<20} {'version':<8} {'parameters':>10}  AUROC macro  accuracy  (artist-disjoint)"]
    lines += [
        f"{'*' if m['champion'] else ' '} {m['model']:<20} {m['version']:<8} {m['parameters']:>10,}  {m['macro_auroc']:>11.3f}  {m['accuracy']:>8.3f}  {m['summary']}"
        for m in result["models"]
    ]
    return "\n".join(lines)


def verify_text(result: dict[str, Any]) -> str:
    """Say that a bundle is whole."""
    return (
        f"{result['model']} {result['version']} verified: hashes match, {result['golden_rows']} golden rows differ by at most "
        f"{result['largest_difference']:.1e} (tolerance {result['tolerance']:.0e})"
    )


def print_frame(frame: pl.DataFrame, output: str) -> None:
    """Print the rows of a query as a table, CSV, JSON, or Parquet bytes."""
    import polars as pl  # noqa: PLC0415

    if output == "parquet":
        frame.write_parquet(sys.stdout.buffer)
    elif output == "json":
        print(frame.write_json())
    elif output == "csv":
        nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
        texts = [pl.col(name).map_elements(_json, return_dtype=pl.String) for name in nested]
        print(frame.with_columns(texts).write_csv(), end="")
    else:
        _print_table(frame)


def _json(value: Any) -> str:
    import json  # noqa: PLC0415

    plain = value.to_list() if hasattr(value, "to_list") else value
    return json.dumps(plain, ensure_ascii=False, default=str)


def _print_table(frame: pl.DataFrame) -> None:
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD)
    for name, kind in frame.schema.items():
        table.add_column(Text(name), justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in frame.head(MAX_ROWS).iter_rows():
        table.add_row(*(Text(_cell(value)) for value in row))
    width = None if sys.stdout.isatty() else 200
    console = Console(width=width, highlight=False)
    console.print(table)
    if frame.height > MAX_ROWS:
        console.print(f"{frame.height:,} rows, the first {MAX_ROWS} shown; --output csv, json or parquet prints all")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
