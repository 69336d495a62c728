"""Results as people read them on a terminal."""

from __future__ import annotations

import io
import shlex
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
        *([f"  flips      {result['flips']:,} tracks have another genre than before"] if result["flips"] else []),
        *([f"  warnings   {', '.join(result['warnings'])}"] if result["warnings"] else []),
        f"  took       {result['seconds']:.2f} s, {result['rows_per_second']:,} rows/s",
    ]
    if result["status"] != "dry run":
        ask = f'genrepipe query --warehouse {shlex.quote(result["warehouse"])} "'
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


def backfill_text(result: dict[str, Any]) -> str:
    """Say what became of each run date."""
    lines = []
    for run in result["runs"]:
        said = (
            run["message"]
            if run["status"] == "failed"
            else f"{run['predicted']:,} predicted, {run['quarantined']:,} quarantined"
        )
        lines.append(f"{run['run_date']}  {run['status']:<18} {plain(said)}")
    return "\n".join(lines)


def rollback_text(result: dict[str, Any]) -> str:
    """Say what is undone, and what is served now."""
    to = result["to"]
    lines = [
        f"{result['warehouse']} is as run {to['run_id']} of {to['run_date']} left it"
        if to
        else f"{result['warehouse']} holds no run"
    ]
    lines += [f"  undone: {done['action']} {done['run_date']}, run {done['run_id']}" for done in result["undone"]]
    return "\n".join([*lines, "once more brings it back"])


def missing_text(result: dict[str, Any]) -> str:
    """List the dates, one a line, as shells like it."""
    return "\n".join(result["missing"]) or f"none of {result['dates']} dates is missing"


def again_text(result: dict[str, Any]) -> str:
    """Say whether a run's answers are the same."""
    later = (
        f"; {result['later_runs']} later runs may have changed what is known of artists" if result["later_runs"] else ""
    )
    return (
        f"{result['status']}: {result['compared']:,} of {result['tracks']:,} tracks of run {result['run_id']} scored again; probabilities differ by at "
        f"most {result['largest_difference']:.2g} (tolerance {result['tolerance']:g}), {result['genres_differ']:,} genres differ{later}"
    )


def labels_text(result: dict[str, Any]) -> str:
    """Say how good each run date's predictions were."""
    counts = (
        f"{result['received']:,} received = {result['labelled']:,} tracks labelled + {result['unknown_tracks']:,} unknown tracks "
        f"+ {result['repeated']:,} repeated + {result['not_labels']:,} that are no label"
    )
    return "\n".join([counts, *(f"{m['run_date']}  {_measured(m)}" for m in result["performance"])])


def _measured(m: dict[str, Any]) -> str:
    return f"{m['role']:<7} {m['model']:<19} {m['tracks']:>9,} labelled tracks  accuracy {m['accuracy']:.4f}  AUROC macro {_number(m['macro_auroc'])}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def quarantine_text(result: dict[str, Any]) -> str:
    """Show open rows by run date and rule, with a few examples."""
    lines = []
    for group in result["groups"]:
        lines.append(f"{group['run_date']}  {group['rows']:>8,}  {plain(group['reason'])}")
        lines += [
            f"{'':>22}{example['id']}  {plain(example['file'])} row {example['row']}" for example in group["examples"]
        ]
    return "\n".join(lines) or "nothing is quarantined"


def quarantined_row_text(result: dict[str, Any]) -> str:
    """Show one row, a cell a line."""
    lines = [
        f"{plain(result['file'])} row {result['row_number']} of {result['run_date']}, {'resolved by ' + result['resolved_by'] if result['resolved_by'] else 'open'}"
    ]
    lines += [f"  broken: {plain(reason)}" for reason in result["reasons"]]
    received = result["received"]
    cells = received.items() if isinstance(received, dict) else [("line", received)]
    return "\n".join([*lines, *(f"  {name:<17} {plain(value)}" for name, value in cells if value is not None)])


def exported_text(result: dict[str, Any]) -> str:
    """Say where the rows are, and how they come back."""
    return f"{result['file']}: {result['rows']:,} rows; correct them, then: genrepipe quarantine replay {result['file']} with the same --run-date and --warehouse"


def replay_text(result: dict[str, Any]) -> str:
    """Say what became of corrected rows."""
    return (
        f"{result['run_date']}  {result['status']}: {result['received']:,} = {result['predicted']:,} predicted + {result['quarantined']:,} quarantined again "
        f"+ {result['duplicates']:,} duplicates + {result['empty']:,} empty, with {result['model']} {result['model_version']}; "
        f"{result['resolved']:,} rows resolved, {result['open']:,} open"
        + "".join(f"\n  {reason['rows']:>8,}  {plain(reason['reason'])}" for reason in result["reasons"])
    )


def promoted_text(result: dict[str, Any]) -> str:
    """Say who is champion now."""
    return f"{result['champion']} is the champion of {result['bundles']}, after {result['before']}; jobs with --bundles {result['bundles']} use it"


def compare_text(result: dict[str, Any]) -> str:
    """Show where two bundles disagree, the most frequent first."""
    lines = [
        f"{result['run_date']}  {result['shadow']} agrees with {result['model']} on {result['agreement']:.2%} of {result['tracks']:,} tracks"
    ]
    lines += [f"  {_measured(m)}" for m in result["performance"]]
    lines += [f"  {flip['tracks']:>8,}  {flip['served']} → {flip['shadow']}" for flip in result["flips"][:10]]
    return "\n".join(lines)


def config_text(result: dict[str, Any]) -> str:
    """Show each key, its value and where it comes from."""
    return "\n".join(f"{s['key']:<14} {plain(s['value']):<40} {plain(s['origin'])}" for s in result["settings"])


def plain(value: object) -> str:
    """Return text as a terminal may show it: what would move its cursor, or worse, is replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def validate_text(result: dict[str, Any]) -> str:
    """Say how a source keeps its contract, with a few examples for each broken rule."""
    lines = [
        (
            f"{result['status']}: {result['received']:,} rows = {result['accepted']:,} good + {result['quarantined']:,} rejected "
            f"+ {result['duplicates']:,} duplicates + {result['empty']:,} empty"
        ),
        f"rejected {result['quarantined_percent']:.2f} %, the limit is {result['max_quarantined_percent']} %",
        *result["notes"],
        *(
            f"  {check['verdict']:>8}  {check['name']} {check['observed']:g}: {check['sentence']}"
            for check in result["checks"]
            if check["verdict"] != "passed"
        ),
    ]
    for reason in result["reasons"]:
        lines.append(f"  {reason['rows']:>8,}  {plain(reason['reason'])}")
        lines += [f"            {plain(example['file'])} row {example['row']}" for example in reason["examples"]]
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
        f"{'*' if m['champion'] else ' '} {m['model']:<20} {plain(m['broken'])}"
        if "broken" in m
        else f"{'*' if m['champion'] else ' '} {m['model']:<20} {m['version']:<8} {m['parameters']:>10,}  {m['macro_auroc']:>11.3f}  {m['accuracy']:>8.3f}  {m['summary']}"
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
        whole = io.BytesIO()  # a pipe that breaks under Polars is a bug, and here it is not
        frame.write_parquet(whole)
        sys.stdout.buffer.write(whole.getvalue())
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
    if isinstance(value, list):
        return f"[{', '.join(map(_cell, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_cell(name)}: {_cell(each)}' for name, each in value.items())}}}"
    return f"{value:.4g}" if isinstance(value, float) else plain(value)
