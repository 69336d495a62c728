"""Write what the docs have of the code: the tables of models and of exit codes, and the flow. ``make docs``."""

from __future__ import annotations

import errno
import re

import yaml

from genrepipe.core import errors
from genrepipe.model import bundle as bundles
from genrepipe.warehouse import failures
from genrepipe.warehouse.steps import ACCUMULATED, INPUTS, PART, registry
from tests.support import ROOT

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


if __name__ == "__main__":
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    tables = (
        (r"\| bundle \| split \|", table()), (r"\| code \| meaning \|", runbook()),
        (r"\| missing \|", missing_table()), (r"\| imputer \|", imputer_table()),
    )  # fmt: skip
    for head, written in tables:
        text = re.sub(head + r".*?\n(?!\|)", lambda _, new=written: new + "\n", text, flags=re.DOTALL)  # type: ignore[misc]
    path.write_text(text, encoding="utf-8")
    path = ROOT / "docs/architecture.md"
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"```mermaid\n.*?```", lambda _: f"```mermaid\n{flow()}\n```", text, flags=re.DOTALL)
    for head, written in ((r"\| DuckDB's exception", failures_table()), (r"\| errno \|", errno_table())):
        text = re.sub(head + r".*?\n(?!\|)", lambda _, new=written: new + "\n", text, flags=re.DOTALL)  # type: ignore[misc]
    text = re.sub(r"\| step \| reads.*?\n(?!\|)", lambda _: f"{steps_table()}\n", text, flags=re.DOTALL)
    path.write_text(text, encoding="utf-8")
