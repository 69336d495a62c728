"""Write what the docs have of the code: tables, commands, the flow, and the answers of queries. ``make docs``."""

from __future__ import annotations

import errno
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import yaml

from genrepipe import contracts
from genrepipe.cli.main import cli
from genrepipe.core import errors
from genrepipe.model import bundle as bundles
from genrepipe.observers.metrics import METRICS
from genrepipe.pipeline import requests
from genrepipe.warehouse import failures, schema
from genrepipe.warehouse.steps import ACCUMULATED, INPUTS, PART, header, registry
from tests.support import PLAN, ROOT, run

STUDY = {
    "all-features": "0.93 / 58 %", "lda-3d": "0.91 / 50 %", "lda-2d": "0.88 / 42 %", "gradient-boosting": "0.89 / 49 %",
    "words": "0.88 / 60 %", "all-features-words": "0.96 / 70 %",
}  # fmt: skip
ORDER = (
    "artist-context", "known-artist", "all-features-plus", "all-features", "learned-3d", "learned-2d", "lda-3d", "lda-2d",
    "gradient-boosting", "all-features-words", "words",
)  # fmt: skip
LACKING = ("artist-context", "known-artist", "all-features")
SPLITS = {"artist_disjoint": "artist-disjoint", "random": "random", "random_twins_apart": "random, twins apart"}
MEASURES = ("macro_auroc", "micro_auroc", "accuracy", "top2", "log_loss", "ece")


def table() -> str:
    """Return the table as Markdown."""
    lines = [
        "| bundle | split | AUROC, macro | AUROC, micro | accuracy | top two | log loss | ECE | the study |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ORDER:
        bundle = bundles.load(name)
        size = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1000
        kind = "leaves" if bundle.manifest.kind == "trees" else "parameters"
        shown = f"**{name}** (champion)" if name == bundles.champion() else f"**{name}**"
        epochs = bundle.manifest.training_data["epochs"]
        notes = {
            "artist_disjoint": shown,
            "random": f"{bundle.manifest.parameters:,} {kind}",
            "random_twins_apart": f"{epochs} epochs, {size:,.0f} KB" if epochs else f"{size:,.0f} KB",
        }
        for split, title in SPLITS.items():
            measured = bundle.manifest.metrics[split]
            cells = " | ".join(f"{measured[m]['mean']:.4f} ± {measured[m]['sd']:.4f}" for m in MEASURES)
            study = STUDY.get(name, "") if split == "random" else ""
            lines.append(f"| {notes[split]} | {title} | {cells} | {study} |")
    return "\n".join(lines)


def missing_table() -> str:
    """Return macro AUROC and accuracy of three bundles where features are missing, as Markdown."""
    columns = [(name, split) for name in LACKING for split in ("artist_disjoint", "random_twins_apart")]
    heads = [f"{name}, {SPLITS[split]}" for name, split in columns]
    lines = [f"| missing | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    metrics = {name: bundles.load(name).manifest.metrics for name in LACKING}
    for what in ("nothing", *metrics[LACKING[0]]["missing_features"]["artist_disjoint"]):
        measured = [
            metrics[name][split] if what == "nothing" else metrics[name]["missing_features"][split][what]
            for name, split in columns
        ]
        cells = [f"{m['macro_auroc']['mean']:.3f} / {m['accuracy']['mean']:.3f}" for m in measured]
        shown = f"{what} of each track" if what.endswith("random") else what
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return "\n".join(lines)


def imputer_table() -> str:
    """Return how well the tempo is imputed, as Markdown."""
    titles = {"network": "network, 64 and 32 units", "linear": "linear regression", "median": "global median"}
    lines = ["| imputer | MAE, beats per minute | R² |", "|---|---|---|"]
    for name, m in bundles.load().manifest.metrics["tempo_imputer"].items():
        mae, r2 = (f"{m[k]['mean']:.{d}f} ± {m[k]['sd']:.{d}f}" for k, d in (("mae", 2), ("r2", 4)))
        lines.append(f"| {titles[name]} | {mae} | {r2.replace('-', '−')} |")
    return "\n".join(lines)


def runbook() -> str:
    """Return the table of exit codes as Markdown."""
    lines = ["| code | meaning | retry | look at | do |", "|---|---|---|---|---|"]
    for row in yaml.safe_load((ROOT / "jobs/exit_codes.yaml").read_text(encoding="utf-8")):
        look = f"`{row['look']}`" if row["look"] else "the line on stderr"
        lines.append(f"| {row['code']} | {row['meaning']} | {'yes' if row['retry'] else 'no'} | {look} | {row['do']} |")
    return "\n".join(lines)


def flow() -> str:
    """Return the steps and the relations between them as a Mermaid flowchart, a box for each phase.

    The relation ``run``, which most steps read, is left out.
    """
    lines = ["flowchart TB"]
    for phase in dict.fromkeys(step.phase for step in registry().values()):
        lines.append(f"  subgraph {phase}")
        lines += [f"    {step.name}" for step in registry().values() if step.phase == phase]
        lines += [f"    {name}" for name, made in ACCUMULATED.items() if registry()[made].phase == phase]
        lines.append("  end")
    for step in registry().values():
        for name in step.reads:
            if name in INPUTS or name == PART:
                origin = f"{name}([{name}])"  # bound by code
            else:
                origin = name if name in registry() or name in ACCUMULATED else f"{name}[({name})]"
            if name != "run":
                lines.append(f"  {origin} --> {step.name}")
        lines += [f"  {step.name} -.-> {table}[({table})]" for table in step.feeds]
    lines += [f"  {made} --> {name}" for name, made in ACCUMULATED.items()]
    return "\n".join(lines)


def failures_table() -> str:
    """Return DuckDB's exceptions and the exit codes that they lead to as Markdown, those of one meaning on one line."""
    named: dict[tuple[object, ...], list[str]] = {}
    for kind, row in failures.MEANINGS.items():
        codes = tuple(each.exit_code for each in (row.writing, row.reading, row.query))
        named.setdefault((*codes, row.errno), []).append(kind.__name__.removesuffix("Exception"))
    lines = [
        "| DuckDB's exception | our statement | reading a source | a query | words of an errno |",
        "|---|---|---|---|---|",
    ]
    for (writing, reading, query, counts), kinds in named.items():
        code = "130 or 143" if writing == 130 else writing
        words = "74 in all three" if counts else "do not count"
        lines.append(
            f"| {', '.join(kinds)} | {code} | {reading if writing != 130 else code} | {query if writing != 130 else code} | {words} |"
        )
    return "\n".join(lines)


def errno_table() -> str:
    """Return the errnos and what to do about each as Markdown, those of one remedy on one line."""
    named: dict[str, list[str]] = {}
    for number, remedy in errors.REMEDIES.items():
        named.setdefault(remedy, []).append(errno.errorcode[number])
    lines = ["| errno | what the line says |", "|---|---|"]
    lines += [f"| {', '.join(names)} | {remedy} |" for remedy, names in named.items()]
    return "\n".join([*lines, f"| any other | {errors.CHECK} |"])


def steps_table() -> str:
    """Return the steps as a Markdown table, phase by phase."""
    lines = ["| step | reads | scope | makes |", "|---|---|---|---|"]
    for step in registry().values():
        reads = ", ".join(f"`{name}`" for name in step.reads)
        lines.append(f"| `{step.phase}/{step.name}` | {reads} | {step.scope} | {step.description} |")
    return "\n".join(lines)


def dictionary() -> str:
    """Return every table and view with its columns, as Markdown, from the contracts and the comments of a new warehouse."""
    with schema.open_memory(PLAN) as database:
        relations = database.rows(
            "SELECT table_name AS name, comment FROM duckdb_tables() WHERE NOT temporary AND NOT internal "
            "UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY name"
        )
        columns = database.rows(
            "SELECT table_name, column_name, data_type, coalesce(comment, '') FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
        )
        macros = database.rows(
            "SELECT DISTINCT function_name, array_to_string(parameters, ', '), comment FROM duckdb_functions() "
            "WHERE function_type = 'table_macro' AND NOT internal AND comment IS NOT NULL ORDER BY ALL"
        )
    views = [name for name, _ in relations if name in schema.VIEWS]
    lines = []
    for title, names in (("Views", views), ("Tables", [name for name, _ in relations if name not in views])):
        lines.append(f"## {title}\n")
        for name, comment in relations:
            if name in names:
                lines += [f"### {name}\n", f"{comment}\n", "| column | type | what |", "|---|---|---|"]
                lines += [
                    f"| `{c}` | {_short(kind)} | {_cell(what)} |" for table, c, kind, what in columns if table == name
                ]
                lines.append("")
    lines.append("## Table macros\n")
    lines += [f"- `FROM {name}({parameters})`: {comment}" for name, parameters, comment in macros]
    return "\n".join(lines)


def _short(kind: str) -> str:
    return "STRUCT of ten FLOAT" if kind.startswith("STRUCT") else kind


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def checks_table() -> str:
    """Return the checks of both doors with their limits, as Markdown."""
    lines = ["| check | limit | severity | what it measures |", "|---|---|---|---|"]
    for contract in ("source_tracks", "predictions"):
        for name, rule in contracts.load(contract).table.checks.items():
            unit = "%" if rule.unit == "percent" else rule.unit
            lines.append(f"| `{name}` | {rule.limit:g} {unit} | {rule.severity} | {_cell(rule.description)} |")
    lines += [
        f"| `{path.stem}` | 0 rows | error | {header(path.read_text(encoding='utf-8'))['description']} |"
        for path in sorted((ROOT / "sql/audits").glob("*.sql"))
    ]
    return "\n".join(lines)


def metrics_table() -> str:
    """Return every metric with its labels, as Markdown."""
    lines = ["| metric | labels | what |", "|---|---|---|"]
    for name, metric in METRICS.items():
        lines.append(f"| `{name}` | {', '.join(f'`{label}`' for label in metric.labels)} | {_cell(metric.help)} |")
    return "\n".join(lines)


def commands() -> str:
    """Return every command with its help, as Markdown."""
    lines = []

    def describe(command: click.Command, path: str, parent: click.Context | None) -> None:
        settings = {**command.context_settings, "max_content_width": 100, "terminal_width": 100}
        context = click.Context(command, info_name=path.rsplit(" ", 1)[-1], parent=parent, **settings)
        if path != "genrepipe":
            lines.extend([f"## {path}\n", "```", command.get_help(context).strip(), "```", ""])
        if isinstance(command, click.Group):
            for name in sorted(command.commands):
                describe(command.commands[name], f"{path} {name}", context)

    describe(cli, "genrepipe", None)
    return "\n".join(lines)


def keys() -> str:
    """Return every key of a scoring job as Markdown."""
    lines = ["| key | default | what |", "|---|---|---|"]
    for name, field in requests.ScoreRequest.model_fields.items():
        if name != "job":
            default = (
                ""
                if field.is_required() or field.default in (None, ()) or field.default_factory
                else f"`{field.default}`"
            )
            lines.append(f"| `{name}` | {default} | {_cell(field.description or '')} |")
    return "\n".join(lines)


QUESTION = re.compile(r"```sql\n(?P<sql>.*?)\n```\n(?:\n```text\n(?P<answer>.*?)\n```\n)?", re.DOTALL)


def nights(folder: Path) -> Path:
    """Make the warehouse of which docs/query.md asks, by the commands that it names, and return it."""
    text = (ROOT / "docs/query.md").read_text(encoding="utf-8")
    for line in re.findall(r"^\$ genrepipe ((?:sample|score) .*)$", text, re.MULTILINE):
        done = run(*shlex.split(line), cwd=folder)
        assert done.code == 0, done.err
    return folder / "nights.duckdb"


def answered(text: str, warehouse: Path) -> str:
    """Return a page with the answer below each of its queries, as the command prints it."""

    def answer(found: re.Match[str]) -> str:
        done = run("query", found["sql"], "--warehouse", warehouse, COLUMNS="200")  # whatever the terminal's width is
        assert done.code == 0, (found["sql"], done.err)
        printed = "\n".join(line.rstrip() for line in done.out.strip("\n").splitlines())
        return f"```sql\n{found['sql']}\n```\n\n```text\n{printed}\n```\n"

    return QUESTION.sub(answer, text)


def between(text: str, name: str, written: str) -> str:
    """Return a text with what stands between the marks of a name written anew."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, rest = text.split(begin, 1)
    return f"{head}{begin}\n\n{written.strip()}\n\n{end}{rest.split(end, 1)[1]}"


# Each generated piece: the file, the name of its marks, and what writes it.
PIECES: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("docs/train.md", "models", table),
    ("docs/train.md", "missing features", missing_table),
    ("docs/train.md", "tempo imputers", imputer_table),
    ("docs/run.md", "exit codes", runbook),
    ("docs/tables.md", "tables", dictionary),
    ("docs/commands.md", "commands", commands),
    ("docs/commands.md", "keys", keys),
    ("docs/reference.md", "exit codes", runbook),
    ("docs/reference.md", "checks", checks_table),
    ("docs/reference.md", "metrics", metrics_table),
    ("docs/architecture.md", "flow", lambda: f"```mermaid\n{flow()}\n```"),
    ("docs/architecture.md", "steps", steps_table),
    ("docs/architecture.md", "exceptions", failures_table),
    ("docs/architecture.md", "errnos", errno_table),
)


if __name__ == "__main__":
    for name, piece, write in PIECES:
        path = ROOT / name
        path.write_text(between(path.read_text(encoding="utf-8"), piece, write()), encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        path = ROOT / "docs/query.md"
        path.write_text(answered(path.read_text(encoding="utf-8"), nights(Path(scratch))), encoding="utf-8")
