"""The explore page: a labelled source, and a model's answers for it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe.core import resources
from genrepipe.core.events import SILENT
from genrepipe.core.results import Result
from genrepipe.model import features
from genrepipe.model.scorer import Scorer
from genrepipe.pages import page, study, svg, words
from genrepipe.pages.model import losses
from genrepipe.pages.page import Page, Part
from genrepipe.training import calibrate, exploration, splits, trained
from genrepipe.training.fit import fit, logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.core.events import Reporter
    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.trained import Trained

SECTIONS = 14
CATEGORIES = {"key": ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"), "mode": ("Minor", "Major")}
UNITS = {
    "duration_ms": (1000, " s"),
    "loudness": (1, " dB"),
    "tempo": (1, " bpm"),
}  # what a value is divided by, and its unit


@dataclass(frozen=True)
class ExploreResult(Result):
    """The page that was written.

    Attributes
    ----------
    status
        ``drawn``.
    tracks
        How many labelled tracks the source has.
    sections
        The ids of the page's sections, in their order.
    bytes
        Size of the page.
    """

    status: str
    page: Path
    tracks: int
    sections: tuple[str, ...]
    bytes: int


def explore(
    source: tuple[str, ...],
    out: Path,
    model: str | None = None,
    encoding: str = "utf-8",
    source_recipe: SourceRecipe | None = None,
    reporter: Reporter = SILENT,
) -> ExploreResult:
    """Draw a labelled source, and the answers of a bundle (None for the champion), on one self-contained page.

    Raises
    ------
    UnknownModel
        There is no such bundle.
    BundleBroken
        The bundle's files or its recipe cannot be used.
    ExtraMissing
        The bundle needs a package that is not installed.
    SourceShapeError
        The source has too few labelled tracks.
    StorageError
        The page cannot be written.
    """
    subject = trained.load(model, source, encoding, source_recipe)
    data, manifest = subject.data, subject.bundle.manifest
    parts: list[Part] = []
    for part in chain(_tracks(data), _structure(data), _answers(subject)):
        parts.append(part)
        reporter.progress("sections", len(parts), SECTIONS)
    artists = len(set(data.artist) - {""})
    title = f"{words.many(len(data), 'labelled track')} of {words.many(artists, 'artist')}, and what {manifest.name} makes of them."
    first = Part(
        "tracks", "Tracks", title, f"Source fingerprint {data.fingerprint[:16]}; answers by {manifest.name} {manifest.version}.",
        key=words.count(len(data)), data={"state": "", "heads": []},
    )  # fmt: skip
    footer = (
        "Projections, clusters and importance are of a sample; answers are of artists that a model of the same recipe had not seen.",
    )
    made = Page(
        "study.html",
        "Tracks and genres, genrepipe",
        "genrepipe, tracks and genres",
        f"{manifest.name} {manifest.version}",
        (first, *parts),
        footer,
        title,
    )
    size = page.write(made, out)
    return ExploreResult("drawn", out, len(data), tuple(part.id for part in parts), size)


def _part(name: str, topic: str, title: str, *pieces: study.Piece, lede: str = "", key: str = "") -> Part:
    return Part(name, topic, title, lede, key, data={"pieces": pieces})


def _tracks(data: Dataset) -> Iterator[Part]:
    quantiles = exploration.quantiles(data)
    spread = _spread(quantiles)
    best, least = max(spread, key=lambda name: spread[name]), min(spread, key=lambda name: spread[name])
    yield _part(
        "distributions", "Distributions", f"{words.sentence(words.human(best))} tells the genres apart best, {words.human(least)} least",
        study.multiples(_histograms(data, spread), title="All tracks", note="share by value; key and mode by name"),
        study.multiples(_ranges(quantiles, spread), wide=True, title="By genre", genres=data.labels, note="thin from 5 to 95 %, thick from 25 to 75 %, the median a tick"),
        lede="Features are in the order of how far the medians of the genres lie apart, in widths of the middle half of all tracks.", key=words.human(best),
    )  # fmt: skip
    missing = {
        "artist name": float((data.artist == "").mean()), "track name": data.tracks["track_name"].null_count() / len(data),
        **{words.human(name): float(np.isnan(data.X[:, i]).mean()) for i, name in enumerate(features.columns())},
    }  # fmt: skip
    missing["duration"] = float((~data.known[:, features.position("duration_ms")]).mean())
    twins = int((np.bincount(data.twins)[data.twins] > 1).sum())
    most = max(missing, key=lambda name: missing[name])
    shown = sorted(((name, share) for name, share in missing.items() if share), key=lambda pair: -pair[1])
    yield _part(
        "missing", "Missing", f"{words.sentence(most)} is missing most, in {words.percent(missing[most])} of the tracks" if shown else "Nothing is missing",
        study.rows("Missing values", ["Column", "Missing"], [study.row(name, words.percent(share, 1), chart=svg.bar(share / max(missing.values()))) for name, share in shown], chart=("0", words.percent(missing[most]))),
        study.text(
            "Sentinels (durations of −1, tempos of ? and 0, artists called empty_field) count as missing. Rows with impossible values are left out: genrepipe validate lists them.",
            f"{words.count(twins)} tracks ({words.percent(twins / len(data))}) share their audio with another track, most often under another genre.", soft=True,
        ), key=words.percent(missing[most]),
    )  # fmt: skip
    table = exploration.correlations(data)
    names = features.columns()
    values = {(a, b): value for a, b, value in table.iter_rows()}
    pair = max(((a, b) for i, a in enumerate(names) for b in names[:i]), key=lambda both: abs(values[both]))
    strongest = values[pair]
    yield _part(
        "correlations", "Correlations", f"{words.sentence(words.human(pair[0]))} and {words.human(pair[1])} {'rise together' if strongest > 0 else 'oppose each other'} most, at {words.figure(strongest)}",
        study.matrix("Rank correlations between features", "", [words.human(name) for name in names], [[values[a, b] for b in names] for a in names], signed=True),
        lede="Rank correlations: grey where two features rise together, blue where one falls as the other rises.", key=words.figure(strongest),
    )  # fmt: skip
    shares, extremes = exploration.outliers(data)
    outside = sorted(shares.iter_rows(), key=lambda row: -row[1])
    yield _part(
        "outliers", "Outliers", f"{words.sentence(words.human(outside[0][0]))} has the most outliers, {words.percent(outside[0][1])} of the tracks",
        study.rows("Tracks beyond 1.5 interquartile ranges", ["Feature", "Beyond"], [study.row(words.human(name), words.percent(share, 1), chart=svg.bar(share / max(outside[0][1], 1e-9))) for name, share in outside], chart=("0", words.percent(outside[0][1]))),
        study.text(title="The ten tracks that lie furthest out"),
        study.table("The ten most extreme tracks", [words.sentence(name) for name in extremes.columns], [(artist, track, genre, words.human(feature), words.figure(deviations)) for artist, track, genre, feature, deviations in extremes.iter_rows()]),
        key=words.percent(outside[0][1]),
    )  # fmt: skip


def _spread(quantiles: pl.DataFrame) -> dict[str, float]:
    """Return by feature how far the genres' medians lie apart, in mean widths of the middle half."""
    return {
        name: float(np.std(rows["q50"].to_numpy()) / max(float((rows["q75"] - rows["q25"]).mean()), 1e-9))  # type: ignore[arg-type]
        for (name,), rows in quantiles.group_by("feature", maintain_order=True)
    }


def _histograms(data: Dataset, spread: dict[str, float]) -> list[study.Figure]:
    """Return the distribution of each feature over all tracks; of key and mode by their names."""
    figures: list[study.Figure] = []
    for name in sorted(spread, key=lambda name: -spread[name]):
        i = features.position(name)
        known = data.X[:, i][~np.isnan(data.X[:, i])]
        ends: tuple[str, ...]
        if name in CATEGORIES:
            counts = np.bincount(known.astype(int), minlength=len(CATEGORIES[name]))
            ends = (CATEGORIES[name][0], CATEGORIES[name][-1])
        else:
            low, high = np.quantile(known, [0.001, 0.999])
            counts, _ = np.histogram(known.clip(low, high), np.linspace(low, max(high, low + 1e-9), 25))
            ends = tuple(
                words.figure(value / UNITS.get(name, (1, ""))[0]) + UNITS.get(name, (1, ""))[1] for value in (low, high)
            )
        label = f"Distribution of {words.human(name)}"
        figures.append(
            (words.human(name), "", svg.histogram((counts / max(len(known), 1)).tolist(), None, label), ends)
        )
    return figures


def _ranges(quantiles: pl.DataFrame, spread: dict[str, float]) -> list[study.Figure]:
    """Return the quantiles of each numeric feature by genre, the largest median first."""
    figures: list[study.Figure] = []
    for name in sorted(spread, key=lambda name: -spread[name]):
        if name in CATEGORIES:
            continue
        rows = quantiles.filter(pl.col("feature") == name).sort("q50", descending=True).to_dicts()
        low, high = min(row["q5"] for row in rows), max(row["q95"] for row in rows)
        scale, unit = UNITS.get(name, (1, ""))
        drawn = svg.ranges(
            [(row["genre"], [(row[q] - low) / max(high - low, 1e-9) for q in ("q5", "q25", "q50", "q75", "q95")]) for row in rows],
            f"{words.human(name)} by genre: {rows[0]['genre']} has the highest median, {rows[-1]['genre']} the lowest",
        )  # fmt: skip
        ends = (words.figure(low / scale) + unit, words.figure(high / scale) + unit)
        figures.append((words.human(name), f"{spread[name]:.2f}", drawn, ends))
    return figures


def _structure(data: Dataset) -> Iterator[Part]:
    loadings, shares, axes = exploration.discriminants(data)
    sentences = tuple(exploration.interpretation(loadings, shares))
    names = features.columns()
    by_axis = {(feature, axis): value for feature, axis, value in loadings.iter_rows()}
    axes_names = [f"LD{a + 1}" for a in range(3)]
    order = sorted(names, key=lambda name: -by_axis[name, "LD1"])
    yield _part(
        "discriminants", "Linear discriminants", f"One axis holds {words.percent(shares[0], 0)} of what tells the genres apart",
        study.text(*sentences),
        study.multiples(
            [(axis, words.percent(share, 0), svg.diverging([(words.human(name), by_axis[name, axis]) for name in order], f"Loadings on {axis}"), ("−1", "0", "+1")) for axis, share in zip(axes_names, shares, strict=True)],
            wide=True, title="Loadings", note="the correlation of each feature with the axis",
        ), key=words.percent(shares[0], 0),
    )  # fmt: skip
    coordinates, variances = exploration.projections(data, axes, 0)
    yield _part(
        "components", "Principal components", f"The first two components hold {words.percent(sum(variances[:2]), 0)} of the variance, but not of the genres",
        study.rows("Share of the variance by component", ["Component", "Share"], [study.row(str(i), words.percent(share, 1), chart=svg.bar(share / variances[0])) for i, share in enumerate(variances, 1)], chart=("0", words.percent(variances[0]))),
        key=words.percent(sum(variances[:2]), 0),
    )  # fmt: skip
    genres = sorted(set(coordinates["genre"]))
    kinds = {"LD": "Linear discriminants", "PC": "Principal components", "t-SNE ": "t-SNE, perplexity 30"}
    figures: list[study.Figure] = []
    for kind, name in kinds.items():
        x, y = (coordinates[f"{kind}{i}"].to_numpy() for i in (1, 2))
        placed = {g: (coordinates["genre"] == g).to_numpy() for g in genres}
        (x0, x1), (y0, y1) = (np.quantile(each, [0.002, 0.998]) for each in (x, y))
        points = {
            g: [(100 * (a - x0) / (x1 - x0), 100 - 100 * (b - y0) / (y1 - y0)) for a, b in zip(x[at], y[at], strict=True) if x0 <= a <= x1 and y0 <= b <= y1]
            for g, at in placed.items()
        }  # fmt: skip
        figures.append(
            (
                name,
                "",
                svg.scatter([(g, points[g]) for g in genres], f"{name}: {len(coordinates)} tracks, coloured by genre"),
                (),
            )
        )
    clusters = exploration.clusters(data, axes, 0)
    best = clusters.sort("silhouette", descending=True).row(0, named=True)
    agreement = max(clusters["agreement"].to_list())
    yield _part(
        "maps", "Maps of a sample", f"On no map of {words.count(len(coordinates))} tracks are genres islands",
        study.multiples(figures, wide=True, genres=genres), key="3",
    )  # fmt: skip
    lines = [
        study.row(
            str(row["clusters"]),
            f"{row['silhouette']:.2f}",
            f"{row['agreement']:.2f}",
            chart=svg.bar(max(row["agreement"], 0)),
        )
        for row in clusters.to_dicts()
    ]
    yield _part(
        "clusters", "Clusters", f"Clusters agree with the genres by {agreement:.2f} at most, where 1 is perfect",
        study.rows("K-means on three discriminants", ["Clusters", "Silhouette", "Agreement"], lines, chart=("0", "1")),
        lede=f"K-means on three discriminants: the silhouette is best at {best['clusters']} clusters ({best['silhouette']:.2f}); agreement is the adjusted Rand index.", key=f"{agreement:.2f}",
    )  # fmt: skip


def _answers(subject: Trained) -> Iterator[Part]:
    bundle, recipe, data = subject.bundle, subject.recipe, subject.data
    manifest = bundle.manifest
    tracks = data.tracks.with_columns(pl.col("duration_ms").fill_null(bundle.duration_ms))
    raw = features.matrix(features.build(tracks, manifest.inputs, bundle.artist_labels))
    scorer = Scorer(bundle, resources.plan().threads)
    importance = (
        exploration.importance(data, raw, list(manifest.input_columns), scorer, 0)
        .sort("auroc_lost", descending=True)
        .to_dicts()
    )
    top = max(importance[0]["auroc_lost"], 1e-9)
    lines = [
        study.row(words.human(row["input"]), f"{row['auroc_lost']:.3f}".replace("-", "−"), "" if row["information"] is None else f"{row['information']:.2f}", chart=svg.bar(max(row["auroc_lost"], 0) / top))
        for row in importance
    ]  # fmt: skip
    yield _part(
        "importance", "What matters", f"{words.sentence(words.human(importance[0]['input']).strip('()'))} matters most: shuffled, it costs {importance[0]['auroc_lost']:.3f} of AUROC",
        study.rows("Loss of macro AUROC where an input is shuffled", ["Input", "AUROC lost", "Information, nats"], lines, chart=("0", f"{top:.3f}")),
        lede="What is lost of macro AUROC when the values of an input are shuffled, with the artist's mean and variance of it; inputs in brackets are whole blocks. Beside it the mutual information of each feature with the genre.",
        key=words.human(importance[0]["input"]).strip("()"),
    )  # fmt: skip
    train, test = next(splits.artist_disjoint(data, 0))
    fitted = fit(recipe, data, train, 0)
    y, p = data.y[test], calibrate.tempered(logits(fitted, data, test), manifest.temperature)
    accuracy = float((p.argmax(1) == y).mean())
    areas = []
    for (named,), rows in exploration.roc(y, p, data.labels).group_by("genre", maintain_order=True):
        name, area = str(named).rsplit(" ", 1)
        points = [(0.0, 0.0), *zip(rows["false positives"], rows["true positives"], strict=True)]
        drawn = svg.curves(
            [(name, points, svg.colour(name), 2)],
            f"ROC curve of {name}: area {area}",
            x=(0, 1),
            y=(0, 1),
            diagonal=True,
            named=False,
            height=130,
        )
        areas.append((name, area, drawn, ()))
    areas.sort(key=lambda figure: -float(figure[1]))
    of_whom = f"Of {words.count(len(test))} tracks of artists that a model of the same recipe had not seen: accuracy {words.percent(accuracy, 1)}."
    yield _part(
        "roc", "ROC curves", f"From {areas[0][0]} with {areas[0][1]} to {areas[-1][0]} with {areas[-1][1]}", study.multiples(areas),
        lede=f"{of_whom} Each genre against all others: true positives over false ones, and the area below.", key=areas[-1][1],
    )  # fmt: skip
    labels = list(data.labels)
    shares = exploration.confusion(y, p, data.labels)["share"].to_numpy().reshape(len(labels), len(labels))
    off = shares - np.diag(np.diag(shares))
    worst = np.unravel_index(int(off.argmax()), off.shape)
    yield _part(
        "confusion", "Mistakes", f"{labels[worst[0]]} is taken for {labels[worst[1]]} in {words.percent(float(off.max()), 0)} of its tracks, the most",
        study.matrix("Answers by label, in percent", "Label ↓ answer →", labels, shares.tolist(), genres=True, percent=True),
        lede="Each row sums to 100 tracks: grey is right, amber a mistake, a dot under one in two hundred.", key=words.percent(float(off.max()), 0),
    )  # fmt: skip
    stated = exploration.reliability(y, p).to_dicts()
    off_by = sum(row["tracks"] * abs(row["accuracy"] - row["confidence"]) for row in stated) / max(
        sum(row["tracks"] for row in stated), 1
    )
    near = min(stated, key=lambda row: abs(row["confidence"] - 0.7))
    drawn = svg.curves(
        [("", [(row["confidence"], row["accuracy"]) for row in stated], "var(--ink)", 2)], f"Share that is right by stated probability; off by {off_by:.3f} on average",
        x=(0, 1), y=(0, 1), diagonal=True, named=False, ticks=[(v, words.percent(v, 0)) for v in (0.25, 0.5, 0.75)], ends=[(0, "says 0"), (0.5, "0.5"), (1, "1")], height=260,
    )  # fmt: skip
    by_visible = exploration.by_visible(y, p, data.tracks["artist_tracks"].to_numpy()[test]).to_dicts()
    visible = [
        study.row(
            row["visible"],
            words.percent(row["accuracy"], 1),
            words.count(row["tracks"]),
            chart=svg.bar(row["accuracy"]),
        )
        for row in by_visible
    ]
    yield _part(
        "calibration", "Calibration", f"When it says {words.percent(near['confidence'], 0)}, it is right in {words.percent(near['accuracy'], 0)}",
        study.beside([study.chart(drawn, title="Share that is right", note="by stated probability; on the diagonal both are one")], [study.rows("Accuracy by visible tracks of the artist", ["Visible", "Right", "Tracks"], visible, chart=("0", "100 %"), title="By visible tracks of the artist")]),
        key=f"{off_by:.3f}",
    )  # fmt: skip
    measured: dict[str, dict[str, float]] = {}
    for genre, measure, value in exploration.by_genre(y, p, data.labels).iter_rows():
        measured.setdefault(genre, {})[measure] = value
    order = sorted(measured, key=lambda genre: -measured[genre]["recall"])
    by_genre = [
        study.row(genre, words.percent(measured[genre]["precision"], 0), words.percent(measured[genre]["recall"], 0), genre=True,
                  chart=svg.pair(measured[genre]["precision"], measured[genre]["recall"], svg.colour(genre), f"{genre}: precision {words.percent(measured[genre]['precision'], 0)}, recall {words.percent(measured[genre]['recall'], 0)}"))
        for genre in order
    ]  # fmt: skip
    yield _part(
        "genres", "By genre", f"{order[0]} is easy, {words.listed(order[:-4:-1])} are hard",
        study.rows("Precision and recall by genre", ["Genre", "Precision", "Recall"], by_genre, chart=("0", "50", "100 %")),
        lede="Precision, filled: of the tracks it calls so, how many are. Recall, a ring: of the tracks that are, how many it finds.", key=order[-1],
    )  # fmt: skip
    if pieces := losses(bundle):
        yield _part(
            "curves",
            "Loss by epoch",
            f"The {recipe.schedule} rate ends at epoch {recipe.epochs}",
            *pieces,
            key=str(recipe.epochs),
        )
