"""Write the tables of models and of exit codes into the README, from where they are kept: python -m tests.readme_tables."""

from __future__ import annotations

import re

import yaml

from genrepipe.model import bundle as bundles
from tests.conftest import ROOT

STUDY = {
    "all-features": "0.93 / 58 %", "lda-3d": "0.91 / 50 %", "lda-2d": "0.88 / 42 %", "gradient-boosting": "0.89 / 49 %",
    "words": "0.88 / 60 %", "all-features-words": "0.96 / 70 %",
}  # fmt: skip
ORDER = (
    "artist-context", "known-artist", "all-features-plus", "all-features", "learned-3d", "learned-2d", "lda-3d", "lda-2d",
    "gradient-boosting", "all-features-words", "words",
)  # fmt: skip
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


def runbook() -> str:
    """Return the table of exit codes as Markdown."""
    lines = ["| code | meaning | retry | look at | do |", "|---|---|---|---|---|"]
    for row in yaml.safe_load((ROOT / "jobs/exit_codes.yaml").read_text(encoding="utf-8")):
        look = f"`{row['look']}`" if row["look"] else "the line on stderr"
        lines.append(f"| {row['code']} | {row['meaning']} | {'yes' if row['retry'] else 'no'} | {look} | {row['do']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    for head, written in ((r"\| bundle \| split \|", table()), (r"\| code \| meaning \|", runbook())):
        text = re.sub(head + r".*?\n(?!\|)", lambda _, new=written: new + "\n", text, flags=re.DOTALL)  # type: ignore[misc]
    path.write_text(text, encoding="utf-8")
