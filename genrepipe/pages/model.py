"""The card of a bundle as a page: what it is, how it was measured, where it fails, from its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrepipe.core.errors import BundleBroken
from genrepipe.core.results import Result
from genrepipe.model import bundle as bundles
from genrepipe.model import features
from genrepipe.pages import page, study, svg, words
from genrepipe.pages.page import Page, Part

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.model.bundle import Bundle

MEASURES = {
    "accuracy": "Accuracy", "macro_auroc": "AUROC, macro", "micro_auroc": "AUROC, micro", "top2": "Label among the top two",
    "log_loss": "Log loss, nats", "ece": "Calibration error",
}  # fmt: skip
SPLITS = {"artist_disjoint": "New artists", "random": "Known artists", "random_twins_apart": "Known, twins on one side"}
VISIBLE = {"0": "no artist, or 1", "2": "2 to 4", "5": "5 to 19", "20": "20 and more"}


@dataclass(frozen=True)
class CardResult(Result):
    """The page of a bundle that was written."""

    page: str
    model: str
    version: str
    bytes: int
    status: str = "written"


def card(model: str | None, folder: Path | None, out: Path) -> CardResult:
    """Write the card of a bundle as a page; without a name, of the champion.

    Raises
    ------
    UnknownModel
        There is no such bundle.
    BundleBroken
        Its files are not what its manifest says, or the manifest lacks its measures.
    StorageError
        The page cannot be written.
    """
    bundle = bundles.load(model, folder)
    champion = bundle.manifest.name == bundles.champion(folder)
    try:
        made = page_of(bundle, champion=champion)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleBroken(f"{bundle.folder / bundles.MANIFEST} lacks measures of a card", bundles.RESTORE) from error
    return CardResult(str(out), bundle.manifest.name, bundle.manifest.version, page.write(made, out))


def page_of(bundle: Bundle, *, champion: bool) -> Page:
    """Return the page of a bundle."""
    manifest = bundle.manifest
    head = _head(bundle, champion=champion)
    others = [make(bundle) for make in (_what, _measures, _visible, _sets, _missing, _training, _audit)]
    parts = (head, *(part for part in others if part))
    footer = (
        f"Every number is from bundle.json and curves.parquet of {manifest.name} {manifest.version}: means and standard deviations over five folds.",
    )
    title = f"{manifest.name} {manifest.version}, genrepipe"
    return Page(
        "study.html",
        title,
        "genrepipe, model card",
        f"{manifest.name} {manifest.version}",
        parts,
        footer,
        head.title,
    )


def _spread(value: dict[str, float], *, percent: bool, digits: int | None = None) -> tuple[str, str]:
    if percent:
        return words.percent(value["mean"], 1), f"± {100 * value['sd']:.1f}"
    digits = 4 if digits is None else digits
    return f"{value['mean']:.{digits}f}", f"± {value['sd']:.{digits}f}"


def _head(bundle: Bundle, *, champion: bool) -> Part:
    metrics = bundle.manifest.metrics
    new = metrics["artist_disjoint"]
    right = words.percent(new["accuracy"]["mean"], 0)
    title = f"It names the genre of {right} of the tracks of artists it never heard, and says how sure it is."
    failed = [gate for gate in bundle.manifest.audit if not gate["passed"]]
    passed = "audit passed" if not failed else f"{words.many(len(failed), 'gate', words=True)} of the audit failed"
    state = f"{'■' if failed else '●'} {'Champion, ' if champion else ''}{passed}"
    lede = words.sentence(f"{bundle.manifest.summary}.")
    known = metrics["random"]["accuracy"]["mean"]
    lede += f" Of artists that it was trained with, {words.percent(known, 0)} of the tracks are right."
    heads = [
        (*_spread(new["accuracy"], percent=True), "accuracy for new artists"),
        (*_spread(new["macro_auroc"], percent=False), "area under the ROC curve, macro average"),
        (*_spread(new["top2"], percent=True), "label among the two best genres"),
        (
            *_spread(new["ece"], percent=False, digits=3),
            "calibration error: how far a stated probability is off, on average",
        ),
    ]
    return Part("card", "Card", title, lede, key="●" if not failed else "■", data={"state": words.sentence(state), "tone": "bad" if failed else "good", "heads": heads})  # fmt: skip


def _what(bundle: Bundle) -> Part:
    manifest = bundle.manifest
    reads = "; ".join(features.BLOCKS[name].summary for name in manifest.inputs)
    size = sum(len(each) for each in bundle.contents.values())
    what = "leaves" if manifest.kind == "trees" else "parameters"
    facts = study.facts(
        ("Bundle", f"{manifest.name} {manifest.version}", f"{words.count(manifest.parameters)} {what}, {words.count(size / 1000)} KB", f"sha256 {bundle.sha256[:12]}"),
        ("Reads", words.many(len(manifest.input_columns), "input"), reads, ""),
        ("Trained on", words.many(manifest.training_data["tracks"], "labelled track"), f"{manifest.training_data['epochs']} epochs, seed {manifest.training_data['seed']}", f"sha256 {manifest.training_data['sha256'][:12]}"),
        ("Answers", words.many(len(manifest.labels), "genre"), ", ".join(manifest.labels), ""),
    )  # fmt: skip
    title = f"{'Boosted trees' if manifest.kind == 'trees' else 'A small network'} of {words.count(manifest.parameters)} {what}"
    return Part(
        "what",
        "What it is",
        title,
        key=manifest.version,
        data={"pieces": [facts, study.code(manifest.command, title="Made again by")]},
    )


def _measures(bundle: Bundle) -> Part:
    metrics = bundle.manifest.metrics
    gap = metrics["random"]["accuracy"]["mean"] - metrics["artist_disjoint"]["accuracy"]["mean"]
    lines = []
    for name, title in MEASURES.items():
        cells = [" ".join(_spread(metrics[split][name], percent=name in {"accuracy", "top2"})) for split in SPLITS]
        lines.append(study.row(title, *cells))
    new = metrics["artist_disjoint"]
    also = [
        study.row("Tracks without a twin", " ".join(_spread(new["accuracy_untwinned"], percent=True))),
        study.row("Rap and Hip-Hop taken as one", " ".join(_spread(new["accuracy_rap_hip_hop"], percent=True))),
        study.row("Any genre of a track's twins counts", " ".join(_spread(new["accuracy_any_twin"], percent=True))),
    ]
    return Part(
        "measures", "Measures", f"Known artists are {words.figure(100 * gap)} points easier than new ones" if gap > 0 else "New artists are as easy as known ones",
        "On the artist-disjoint split no artist stands on both sides. On the random one artists do, and so do tracks with the very same audio, nearly always under another label; the last column keeps those twins on one side.",
        key=words.percent(new["accuracy"]["mean"], 0),
        data={"pieces": [study.rows("Measures by split", ["Measure", *SPLITS.values()], lines), study.rows("Accuracy in the light of twins", ["Accuracy for new artists", "Right"], also, title="In the light of twins", note="tracks with the very same audio as another")]},
    )  # fmt: skip


def _visible(bundle: Bundle) -> Part | None:
    metrics = bundle.manifest.metrics
    if features.CONTEXT not in bundle.manifest.inputs:
        return None
    sizes = {"all": metrics["artist_disjoint"], **metrics["visible_tracks"]}
    means = [each["accuracy"]["mean"] for each in sizes.values()]
    scale = (max(min(means) - 0.1, 0), min(max(means) + 0.05, 1))
    lines = []
    for name, each in sizes.items():
        value = each["accuracy"]
        drawn = svg.interval(value["mean"], value["mean"] - value["sd"], value["mean"] + value["sd"], None, "var(--ink)", f"{name} visible tracks: {words.percent(value['mean'], 1)} right", scale)  # fmt: skip
        lines.append(
            study.row(
                name,
                " ".join(_spread(value, percent=True)),
                " ".join(_spread(each["macro_auroc"], percent=False)),
                chart=drawn,
            )
        )
    ends = [words.percent(scale[0], 0), words.percent(scale[1], 0)]
    loss = 100 * (means[0] - means[-1])
    return Part(
        "visible", "Visible tracks", f"With one track of an artist it is {words.figure(loss)} points worse than with all",
        "How many of a new artist's tracks it sees together; the stroke is one standard deviation over the folds.", key=words.percent(means[-1], 0),
        data={"pieces": [study.rows("Measures by visible tracks", ["Visible", "Accuracy", "AUROC, macro"], lines, chart=ends)]},
    )  # fmt: skip


def _sets(bundle: Bundle) -> Part:
    manifest = bundle.manifest
    sets, lines = manifest.metrics["genre_sets"], []
    for start, name in VISIBLE.items():
        value = sets.get(f"coverage_from_{start}")
        if value:
            drawn = svg.interval(value["mean"], value["mean"] - value["sd"], min(value["mean"] + value["sd"], 1), 0.9, "var(--ink)", f"{name} visible tracks: the set holds the label {words.percent(value['mean'], 1)} of the time", (0.8, 1))  # fmt: skip
            lines.append(study.row(name, " ".join(_spread(value, percent=True)), chart=drawn))
    ece = manifest.metrics["artist_disjoint"]["ece"]["mean"]
    return Part(
        "calibration", "Calibration", f"A stated probability is off by {ece:.3f}, and nine sets in ten hold the label",
        f"Logits are divided by {manifest.temperature:.3f}. A set holds {sets['size']['mean']:.2f} genres on average; the upright line is the nine in ten that were wanted, of new artists.", key=f"{ece:.3f}",
        data={"pieces": [study.rows("How often the set holds the label", ["Visible tracks", "Holds the label"], lines, chart=["80 %", "100 %"])]},
    )  # fmt: skip


def _missing(bundle: Bundle) -> Part | None:
    metrics = bundle.manifest.metrics
    missing = metrics.get("missing_features", {}).get("artist_disjoint")
    if not missing:
        return None
    whole = metrics["artist_disjoint"]["accuracy"]["mean"]
    cases = sorted(missing.items(), key=lambda pair: pair[1]["accuracy"]["mean"])
    lines = [
        study.row(
            words.human(name), " ".join(_spread(each["accuracy"], percent=True)), words.signed(100 * (each["accuracy"]["mean"] - whole)),
            chart=svg.interval(each["accuracy"]["mean"], each["accuracy"]["mean"] - each["accuracy"]["sd"], each["accuracy"]["mean"] + each["accuracy"]["sd"], whole, "var(--ink)", f"without {name}: {words.percent(each['accuracy']['mean'], 1)} right", (0.3, 0.8)),
        )
        for name, each in cases
    ]  # fmt: skip
    worst, least = cases[0]
    return Part(
        "missing", "Missing features", f"Without {words.human(worst)} it loses {words.figure(100 * (whole - least['accuracy']['mean']))} points, the most",
        "Each row is the same model where one feature is missing from every track, or where each lacks so many at random; the upright line is nothing missing.", key=words.percent(least["accuracy"]["mean"], 0),
        data={"pieces": [study.rows("Accuracy for new artists where features are missing", ["Missing", "Accuracy", "Points"], lines, chart=["30 %", "80 %"])]},
    )  # fmt: skip


def losses(bundle: Bundle) -> list[study.Piece]:
    """Return the curves of training and validation, and why the one lies where it does; nothing where there are none."""
    if bundle.curves is None:
        return []
    rows = bundle.curves.sort("epoch").to_dicts()
    epochs, top = rows[-1]["epoch"], 1.6 * max(rows[-1]["train_loss"], rows[-1]["validation_loss"]) + 0.2
    series = [
        (f"{name} {rows[-1][column]:.2f}", [(row["epoch"], min(row[column], top)) for row in rows], stroke, width)
        for column, name, stroke, width in (
            ("train_loss", "training", "var(--mark)", 1.5),
            ("validation_loss", "validation", "var(--ink)", 2.0),
        )
    ]
    drawn = svg.curves(
        series, f"Loss by epoch, in nats: training ends at {rows[-1]['train_loss']:.3f}, validation at {rows[-1]['validation_loss']:.3f}",
        x=(1, epochs), y=(0, top), ticks=[(t, f"{t:g}") for t in (0.5, 1.0, 1.5) if t < top], ends=[(1, "epoch 1"), (epochs, str(epochs))], height=220,
    )  # fmt: skip
    below = rows[-1]["validation_loss"] < rows[-1]["train_loss"]
    why = [
        "The two are not the same exam. In training, features and tracks of an artist are hidden at random and units drop out; validation asks the whole network, with all that is known, about artists that were held out.",
        "It is also asked after each epoch, where the training loss is a mean over it.",
    ]  # fmt: skip
    verdict = (
        "So a validation loss below that of training is as it should be; overfitting would show as a validation curve that turns up."
        if below
        else "Overfitting would show as a validation curve that turns up while training goes on falling."
    )
    return [study.beside([study.chart(drawn, title="Loss by epoch", note="nats; the first epochs may be cut off")], [study.text(*why, verdict, title="How to read it")], wide=True)]  # fmt: skip


def _training(bundle: Bundle) -> Part | None:
    pieces = losses(bundle)
    if not pieces or bundle.curves is None:
        return None
    rows = bundle.curves.sort("epoch").to_dicts()
    lowest = min(rows, key=lambda row: row["validation_loss"])
    turned = rows[-1]["validation_loss"] > lowest["validation_loss"] + 0.02
    title = (
        f"Validation was best at epoch {lowest['epoch']} of {rows[-1]['epoch']}"
        if turned
        else "Validation loss falls to the end, as it should"
    )
    return Part("training", "Training", title, key=f"{rows[-1]['epoch']} epochs", data={"pieces": pieces})


def _verdict(gate: dict[str, Any]) -> str:
    if not gate["passed"]:
        return "■ failed"
    return "shown" if gate["sentence"].startswith("Shown") else "✓ passed"


def _audit(bundle: Bundle) -> Part:
    gates: list[dict[str, Any]] = list(bundle.manifest.audit)
    passed = sum(gate["passed"] for gate in gates)
    lines = [study.row(gate["sentence"], words.figure(gate["value"]), words.figure(gate["limit"]), _verdict(gate), note=gate["explanation"], hot=not gate["passed"]) for gate in gates]  # fmt: skip
    title = f"No leak was found, by {words.many(len(gates), 'gate', words=True)}" if passed == len(gates) else f"{words.sentence(words.many(len(gates) - passed, 'gate', words=True))} of {len(gates)} found a leak"  # fmt: skip
    return Part("audit", "Audit", title, key=f"{passed} of {len(gates)}", data={"pieces": [study.rows("Gates of the audit for leakage", ["Gate", "Measured", "At most", "Verdict"], lines)]})  # fmt: skip
