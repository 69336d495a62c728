"""Results as people read them on a terminal."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genrepipe.cli.tables import table
from genrepipe.core.profile import StepCost
from genrepipe.core.quoting import printable
from genrepipe.pipeline.results import BrokenModel, FailedDate, FailedPublish

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from genrepipe.pages.explore import ExploreResult
    from genrepipe.pages.model import CardResult
    from genrepipe.pages.night import ReportResult
    from genrepipe.pipeline.results import (
        BackfillResult,
        CompareResult,
        ContractDiff,
        DoctorResult,
        ExportResult,
        InitResult,
        LabelsResult,
        MissingResult,
        ModelDiff,
        ModelList,
        ModelPerformance,
        PromoteResult,
        ProposeResult,
        PublishResult,
        QuarantineList,
        ReplayResult,
        RetractResult,
        RollbackResult,
        ScoreResult,
        SignResult,
        VacuumResult,
        ValidateResult,
        VerifiedModel,
        VerifyResult,
    )
    from genrepipe.quality.performance import Measured
    from genrepipe.training.results import AuditResult, TrainResult


COSTS = ("seconds", "cpu_seconds", "rows", "read_bytes", "written_bytes")


def score_text(result: ScoreResult) -> str:
    """Show what a scoring run did, and what to ask next."""
    imputed = ", ".join(f"{column} {count:,}" for column, count in result.imputed.items())
    outcome = {
        "published": "predicted and published",
        "dry run": "dry run, nothing was written",
        "already published": "already published from the same input and model, nothing to do",
    }[result.status]
    lines = [
        f"{result.run_date}  {outcome}",
        f"  model      {result.model} {result.model_version}",
        (
            f"  received   {result.received:,} = {result.predicted:,} predicted + {result.quarantined:,} quarantined "
            f"+ {result.duplicates:,} duplicates + {result.empty:,} empty"
        ),
        *([f"  left out   {result.filtered:,} rows by the recipe's filter"] if result.filtered else []),
        f"  imputed    {imputed}",
        *([f"  withdrawn  {result.withdrawn:,} tracks are no longer in the catalogue"] if result.withdrawn else []),
        *(
            [
                f"  flips      {result.flips:,} {'track has' if result.flips == 1 else 'tracks have'} another genre than before"
            ]
            if result.flips
            else []
        ),
        *([f"  warnings   {', '.join(result.warnings)}"] if result.warnings else []),
        *([f"  publish    {_published(result.publish)}"] if result.publish else []),
        *([f"  took       {_took(result)}"] if result.status != "already published" else []),
    ]
    if result.status != "dry run":
        ask = f'genrepipe query --warehouse {shlex.quote(result.warehouse)} "'
        lines += [
            f"  warehouse  {result.warehouse}",
            "",
            "Try:",
            f"  {ask}SELECT genre, tracks, share FROM genre_daily WHERE run_date = '{result.run_date}'\"",
            f'  {ask}SELECT artist_name, track_name, genre, margin FROM predictions_latest ORDER BY margin DESC LIMIT 5"',
        ]
        if result.quarantined:
            lines.append(f'  {ask}SELECT * FROM quarantine_reasons"')
    if result.profile:
        lines += ["", *profile_lines(result.profile)]
    return "\n".join(lines)


def _took(result: ScoreResult) -> str:
    waited = result.stages.get("waiting", 0.0)
    rate = f"{result.received / max(result.seconds - waited, 1e-3):,.0f} rows/s"
    return f"{result.seconds:.2f} s, {rate}{f', after waiting {waited:.0f} s' if waited >= 1 else ''}"


def _published(publish: PublishResult | FailedPublish) -> str:
    if isinstance(publish, FailedPublish):
        return printable(f"failed: {publish.message}")
    return printable(f"{publish.status}, to {publish.to}")


def publish_text(result: PublishResult) -> str:
    """Show which run dates were written, and what is still lacking."""
    done = {"published": "published", "already published": "nothing is different, nothing was written"}[result.status]
    lines = [f"{printable(result.to)}  {done}", f"  format     {result.format}"]
    for day in result.run_dates:
        tables = [f"{each.table} {each.rows:,}" for each in result.written if each.run_date == day]
        gone = [each.split()[0] for each in result.removed if each.endswith(day)]
        lines.append(f"  {day} {', '.join(tables + [f'{table} removed' for table in gone])}")
    if result.format != "duckdb":
        lines.append(f"  holds      {result.held:,} run date{'' if result.held == 1 else 's'}")
    if result.missing:
        first, last = result.missing[0], result.missing[-1]
        lines.append(
            f"  lacks      {len(result.missing):,} of the warehouse, {first} to {last}: --missing publishes them too"
        )
    lines.append(
        f"  took       {result.seconds:.2f} s, {sum(each.bytes for each in result.written) / 1e6:,.1f} MB written"
    )
    return "\n".join(lines)


def contracts_text(found: dict[str, Any]) -> str:
    """List contracts with their versions and tables."""
    rows = [(each["contract"], each["version"], ", ".join(each["tables"])) for each in found["contracts"]]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"{name:<{widths[0]}}  {version:<{widths[1]}}  {tables}" for name, version, tables in rows)


def contract_diff_text(result: ContractDiff) -> str:
    """Name each change by its document, the breaking ones first."""
    lines = []
    for name, (before, after) in result.versions.items():
        changes = [change for change in result.changes if change.contract == name]
        lines.append(f"{printable(name)}  {before or 'none'} to {after or 'none'}{'' if changes else ', the same'}")
        lines += [printable(f"  {each.kind:<9} {each.where}: {each.what}") for each in changes]
    return "\n".join(lines)


def profile_lines(profile: Sequence[StepCost]) -> list[str]:
    """Show what each step cost, stage by stage, and all of them together."""
    whole = StepCost("total", "", *(sum(getattr(cost, name) for cost in profile) for name in COSTS))
    rows = [
        (
            cost.stage,
            cost.step,
            f"{cost.seconds:.2f}",
            f"{cost.cpu_seconds:.2f}",
            f"{cost.rows:,}" if cost.rows else "",
            f"{cost.read_bytes / 1e6:,.1f}",
            f"{cost.written_bytes / 1e6:,.1f}",
        )
        for cost in [*profile, replace(whole, rows=0)]
    ]
    return _table(("stage", "step", "seconds", "CPU s", "rows", "MB read", "MB written"), rows, range(2, 7))


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return the lines of a table that fits the terminal, with a last one where it shows not all columns."""
    lines, shown = table(names, rows, right, whole=[0, *right])  # what a row is called is not cut
    left_out = len(names) - shown
    return [
        *lines,
        *([f" {len(names)} columns, {left_out} of them not shown; --output json has all"] if left_out else []),
    ]


def report_text(result: ReportResult) -> str:
    """Show the verdict on a night, and where its page is."""
    lines = [f"{result.run_date}  {printable(result.headline)}", f"  page       {result.page}"]
    lines += [f"  front page {result.index}"] if result.index else []
    return "\n".join(lines)


def card_text(result: CardResult) -> str:
    """Say where the page of a bundle is."""
    return f"{result.page}: the card of {printable(result.model)} {printable(result.version)}; open it in a browser"


def backfill_text(result: BackfillResult) -> str:
    """Show what became of each run date."""
    lines = []
    for run in result.runs:
        if isinstance(run, FailedDate):
            outcome = run.message
        else:
            outcome = f"{run.predicted:,} predicted, {run.quarantined:,} quarantined"
        lines.append(f"{run.run_date}  {run.status:<18} {printable(outcome)}")
    return "\n".join([*lines, backfill_counts(result)])


def backfill_counts(result: BackfillResult) -> str:
    """Say how many run dates ended how."""
    counts = Counter(run.status for run in result.runs)
    return f"{len(result.runs)} run date{'' if len(result.runs) == 1 else 's'}: {', '.join(f'{count} {status}' for status, count in counts.items())}"


def init_text(result: InitResult) -> str:
    """Say what was made, and what comes next, each a command that works as it stands."""
    job, inbox = shlex.quote(result.job_file), shlex.quote(result.inbox)
    sample, warehouse = (shlex.quote(str(Path(result.folder) / f"sample.{kind}")) for kind in ("csv", "duckdb"))
    return "\n".join(
        [
            f"{result.job_file}: the job, with a comment for each key",
            f"{result.json_schema}: what it can hold, for editors",
            f"{result.inbox}: a folder for the files to score",
            f"{result.warehouse}: where the predictions will be",
            "",
            "Next:",
            f"  genrepipe doctor {job}",
            "With made-up tracks, in a warehouse of their own:",
            f"  genrepipe sample --out {sample}",
            f"  genrepipe run {job} --source {sample} --warehouse {warehouse}",
            f"When your files are in {inbox}:",
            f"  genrepipe run {job}",
        ]
    )


def doctor_text(result: DoctorResult) -> str:
    """Show each finding, with what to do about those that are not ok."""
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    lines = []
    for each in result.findings:
        lines.append(
            f"{styled(f'{each.status:<4}', fg=colours[each.status])}  {each.check:<12} {printable(each.message)}"
        )
        if each.remedy:
            lines.append(f"{'':<19}{printable(each.remedy)}")
    return "\n".join(lines)


def styled(text: str, **style: Any) -> str:
    """Return text in colour where stdout is a terminal that wants it."""
    return click.style(text, **style) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def rollback_text(result: RollbackResult) -> str:
    """Show what is served now, and what is undone."""
    lines = [f"{result.warehouse} is as run {result.to.run_id} of {result.to.run_date} left it"]
    lines += [f"  undone: {run.action} {run.run_date}, run {run.run_id}" for run in result.undone]
    return "\n".join([*lines, "once more brings it back"])


def vacuum_text(result: VacuumResult) -> str:
    """Show how much was removed."""
    return f"{result.removed:,} files removed, {result.bytes / 1e6:,.1f} MB; {result.listed:,} are in use by {result.warehouse}"


def missing_text(result: MissingResult) -> str:
    """List the dates, one a line, for shells."""
    return "\n".join(result.missing) or f"none of {result.dates} dates is missing"


def signed_text(result: SignResult) -> str:
    """Say where the signature is."""
    return f"signed: {printable(result.model)} {printable(result.version)}, {result.signature}"


def retracted_text(result: RetractResult) -> str:
    """Say what was taken back."""
    return f"retracted: {result.run_date} of job {printable(result.job)}, {result.predictions:,} predictions"


def verify_text(result: VerifyResult) -> str:
    """Say whether a run's answers are the same."""
    later = f"; {result.later_runs} later runs may have changed what is known of artists" if result.later_runs else ""
    return (
        f"{result.status}: {result.compared:,} of {result.tracks:,} tracks of run {result.run_id} scored again; probabilities differ by at "
        f"most {result.largest_difference:.2g} (tolerance {result.tolerance:g}), {result.genres_differ:,} genres differ{later}"
    )


def labels_text(result: LabelsResult) -> str:
    """Show how good each run date's predictions were."""
    counts = (
        f"{result.received:,} received = {result.labelled:,} tracks labelled + {result.unknown_tracks:,} unknown tracks "
        f"+ {result.repeated:,} repeated + {result.not_labels:,} that are no label"
    )
    return "\n".join([counts, *(f"{m.run_date}  {printable(m.job)}  {_performance(m)}" for m in result.performance)])


def _performance(measured: Measured | ModelPerformance) -> str:
    auroc = "–" if measured.macro_auroc is None else f"{measured.macro_auroc:.4f}"
    return (
        f"{measured.role:<7} {measured.model:<19} {measured.tracks:>9,} labelled tracks  accuracy {measured.accuracy:.4f}  "
        f"AUROC macro {auroc}"
    )


def quarantine_text(result: QuarantineList) -> str:
    """Show open rows by run date, job and rule, with a few examples."""
    lines = []
    for group in result.groups:
        lines.append(f"{group.run_date}  {printable(group.job)}  {group.rows:>8,}  {printable(group.reason)}")
        lines += [
            f"{'':>22}{example['id']}  {printable(example['file'])} row {example['row']}" for example in group.examples
        ]
    return "\n".join(lines) or "nothing is quarantined"


def quarantined_row_text(row: dict[str, Any]) -> str:
    """Show one row of table ``quarantine``, a cell a line."""
    state = f"resolved by {row['resolved_by']}" if row["resolved_by"] else "open"
    lines = [f"{printable(row['file'])} row {row['row_number']} of {row['run_date']}, {state}"]
    lines += [f"  broken: {printable(reason)}" for reason in row["reasons"]]
    received = row["received"]
    cells = received.items() if isinstance(received, dict) else [("line", received)]
    return "\n".join([*lines, *(f"  {name:<17} {printable(value)}" for name, value in cells if value is not None)])


def exported_text(result: ExportResult) -> str:
    """Say where the rows are, and how they come back."""
    return (
        f"{result.file}: {result.rows:,} rows; correct them, then: genrepipe quarantine replay {result.file} "
        "with the same --run-date and --warehouse"
    )


def replay_text(result: ReplayResult) -> str:
    """Show what became of corrected rows."""
    return (
        f"{result.run_date}  {result.status}: {result.received:,} = {result.predicted:,} predicted + {result.quarantined:,} quarantined again "
        f"+ {result.duplicates:,} duplicates + {result.empty:,} empty, with {result.model} {result.model_version}; "
        f"{result.resolved:,} rows resolved, {result.open:,} open"
        + "".join(f"\n  {reason.rows:>8,}  {printable(reason.reason)}" for reason in result.reasons)
    )


def promoted_text(result: PromoteResult) -> str:
    """Say which bundle is champion now."""
    if result.promotions is None:
        return f"{printable(result.champion)} is the champion of {printable(result.bundles)} already"
    folder, before = printable(result.bundles), printable(result.before) or "a broken one"
    lines = [
        f"{printable(result.champion)} is the champion of {folder}, after {before}; jobs with --bundles {folder} use it"
    ]
    if found := result.evidence:
        rows = [
            (each.measure, f"{each.before:.4f}", f"{each.after:.4f}", f"{each.difference:+.4f}", f"{each.low:+.4f} to {each.high:+.4f}")
            for each in found.differences
        ]  # fmt: skip
        lines += [
            "",
            f"on {printable(found.on)}: {found.labelled:,} labelled tracks of {found.artists:,} artists",
            *table(("measure", printable(found.before), printable(found.after), "difference", "95 % interval"), rows)[
                0
            ],
            f"{found.changed:,} of {found.tracks:,} genres change",
            "",
        ]
    if result.reason:
        lines.append(f"reason: {printable(result.reason)}")
    return "\n".join([*lines, f"kept in {printable(result.promotions)}"])


def models_diff_text(result: ModelDiff) -> str:
    """Show the measures of two bundles side by side, and what else differs."""
    rows = [
        (m.split.replace("_", " "), m.measure, f"{m.before:.4f} ± {m.before_sd:.4f}", f"{m.after:.4f} ± {m.after_sd:.4f}", f"{m.difference:+.4f}")
        for m in result.measures
    ]  # fmt: skip
    data = "the same table" if result.same_data else "different tables"
    lines = [
        f"{printable(result.before)} → {printable(result.after)}, trained on {data}",
        f"  parameters  {result.parameters[0]:,} → {result.parameters[1]:,}",
        *([f"  inputs      + {', '.join(result.inputs_added)}"] if result.inputs_added else []),
        *([f"  inputs      - {', '.join(result.inputs_removed)}"] if result.inputs_removed else []),
        *(
            f"  {name:<11} {printable(old)} → {printable(new)}"
            for name, (old, new) in result.recipe.items()
            if name != "inputs"
        ),
    ]
    if result.golden_rows:
        lines.append(
            f"  golden rows {result.golden_genres:,} of {result.golden_rows:,} have another genre; a probability differs by {result.golden_largest:.3f} at most"
        )
    else:
        lines.append("  golden rows cannot be compared: the two read different columns")
    return "\n".join([*lines, "", *table(("split", "measure", "before", "after", "difference"), rows)[0]])


def compare_text(result: CompareResult) -> str:
    """Show where two bundles disagree, the most frequent first."""
    lines = [
        f"{result.run_date}  {printable(result.job)}  {result.shadow} agrees with {result.model} on {result.agreement:.2%} of {result.tracks:,} tracks"
    ]
    lines += [f"  {_performance(measured)}" for measured in result.performance]
    lines += [f"  {flip.tracks:>8,}  {flip.served} → {flip.shadow}" for flip in result.flips[:10]]
    return "\n".join(lines)


def config_text(result: dict[str, Any]) -> str:
    """Show each key, its value and where it comes from."""
    rows = [
        (each["key"], "" if each["value"] is None else printable(each["value"]), printable(each["origin"]))
        for each in result["settings"]
    ]
    return "\n".join(_table(("key", "value", "from"), rows))


def proposed_text(result: ProposeResult) -> str:
    """Show what was found for each column, and what is left to fill in."""
    lines = [f"{result.recipe}: {len(result.columns)} columns"]
    lines += [f"  {name:<17} {printable(found)}" for name, found in result.columns.items()]
    lines += [f"  to fill in: {printable(line)}" for line in result.fill_in]
    return "\n".join([*lines, f"Next: genrepipe recipe check {shlex.quote(result.recipe)} SOURCE"])


def recipes_text(result: dict[str, Any]) -> str:
    """List the recipes that ship."""
    return "\n".join(
        _table(("recipe", "what it reads"), [(each["recipe"], each["description"]) for each in result["recipes"]])
    )


def checked_text(result: ValidateResult) -> str:
    """Show what the contract's columns hold, as a recipe reads them, and how the source keeps its contract."""
    rows = [
        (
            column.name,
            f"{column.missing:,}",
            *("" if each is None else f"{each:,.6g}" for each in (column.low, column.median, column.high)),
            ", ".join(f"{printable(each['value'])[:24]} {each['rows']:,}" for each in column.values[:4]),
        )
        for column in result.columns
    ]
    lines = _table(("column", "missing", "5 %", "median", "95 %", "most frequent"), rows, range(1, 5))
    return "\n".join([*lines, "", validate_text(result)])


def validate_text(result: ValidateResult) -> str:
    """Show how a source keeps its contract, with a few examples for each broken rule."""
    lines = [
        (
            f"{result.status}: {result.received:,} rows = {result.accepted:,} good + {result.quarantined:,} rejected "
            f"+ {result.duplicates:,} duplicates + {result.empty:,} empty"
        ),
        *([f"left out by the recipe's filter: {result.filtered:,} rows more"] if result.filtered else []),
        f"rejected {result.quarantined_percent:.2f} %, the limit is {result.max_quarantined_percent} %",
        *result.notes,
    ]
    for check in result.checks:
        if check.verdict != "passed":
            lines.append(f"  {check.verdict:>8}  {check.name} {check.observed:g}: {check.sentence}")
            lines += _values(check.values)
    lines += [f"  doubtful  {doubt}" for doubt in result.doubts]
    for reason in result.reasons:
        lines.append(f"  {reason.rows:>8,}  {printable(reason.reason)}")
        lines += _values(reason.values)
        for file, examples in itertools.groupby(reason.examples, lambda example: str(example["file"])):
            rows = [f"{example['row']:,}" for example in examples]
            lines.append(f"            {printable(file)} row {', '.join(rows)}")
    return "\n".join(lines)


def _values(values: Sequence[dict[str, Any]]) -> list[str]:
    """Show the values that break a rule, and how many rows have each."""
    told = ", ".join(f"{printable(each['value'])!r} {each['rows']:,}" for each in values)
    return [f"            {told}"] if told else []


def train_text(result: TrainResult) -> str:
    """Show the measures of the trained bundles, mean ± sd over folds."""
    shown = {"macro_auroc": "AUROC macro", "micro_auroc": "AUROC micro", "accuracy": "accuracy", "top2": "top-2", "log_loss": "log loss", "ece": "ECE"}  # fmt: skip
    lines = [f"trained on {result.tracks:,} tracks; mean ± sd over 5 folds", ""]
    rows = []
    for bundle in result.bundles:
        tail = [f"{bundle.parameters:,}", str(bundle.epochs), f"{bundle.seconds}", str(bundle.bytes // 1000)]
        for split, measured in bundle.metrics.items():
            cells = [f"{m['mean']:.4f} ± {m['sd']:.4f}" for m in (measured[k] for k in shown)]
            rows.append([bundle.model, split.replace("_", " "), *cells, *tail])
            tail = [""] * len(tail)
    lines += _table(["model", "split", *shown.values(), "parameters", "epochs", "seconds", "KB"], rows, range(2, 12))
    imputers = [
        [name, *(f"{m[key]['mean']:.{places}f} ± {m[key]['sd']:.{places}f}" for key, places in (("mae", 2), ("r2", 4)))]
        for name, m in result.tempo_imputers.items()
    ]
    lines += ["", *_table(["tempo imputer", "MAE, bpm", "R²"], imputers, range(1, 3))]
    lines += [
        "",
        *(f"{bundle.folder}  version {bundle.version}  sha256 {bundle.sha256[:16]}" for bundle in result.bundles),
    ]
    return "\n".join(lines)


def audit_text(result: AuditResult) -> str:
    """Show how each gate ended."""
    lines = [f"{result.model}: {result.status}, on {result.tracks:,} tracks"]
    for gate in result.gates:
        mark = "passed" if gate.passed else "FAILED"
        lines.append(f"  {mark}  {gate.gate:<22} {gate.value:>8g}  at most {gate.limit:<5g} {gate.sentence}")
        if gate.explanation:
            lines.append(f"{'':<33}{gate.explanation}")
    return "\n".join([*lines, result.gap])


def explore_text(result: ExploreResult) -> str:
    """Say where the page is and what it shows."""
    return f"{result.page}: {result.tracks:,} tracks, {len(result.sections)} sections, {result.bytes / 1e6:.1f} MB; open it in a browser"


def models_text(result: ModelList) -> str:
    """List bundles with their artist-disjoint measures, and those that are broken; * is the champion."""
    rows, broken = [], []
    for model in result.models:
        name = f"{'*' if model.champion else ' '} {model.model}"
        if isinstance(model, BrokenModel):
            broken.append(f" {name}: {printable(model.broken)}")
        else:
            measures = [f"{model.parameters:,}", f"{model.macro_auroc:.3f}", f"{model.accuracy:.3f}"]
            rows.append([name, model.version, *measures, model.summary])
    names = ["  model", "version", "parameters", "AUROC", "accuracy", "what it is"]
    note = " AUROC, macro-averaged, and accuracy are those of artists that it was not trained on."
    return "\n".join([*_table(names, rows, range(2, 5)), *broken, "", note])


def verified_model_text(result: VerifiedModel) -> str:
    """Say that a bundle is whole."""
    return (
        f"{result.model} {result.version} verified: hashes match, {result.golden_rows} golden rows differ by at most "
        f"{result.largest_difference:.1e} (tolerance {result.tolerance:.0e})"
    )
