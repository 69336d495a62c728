"""The explore page: a labelled source, and a model's answers for it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe.core import resources
from genrepipe.core.errors import StorageError
from genrepipe.core.events import SILENT
from genrepipe.core.results import Result
from genrepipe.model import features
from genrepipe.model.scorer import Scorer
from genrepipe.pages import charts
from genrepipe.pages.charts import Section
from genrepipe.training import calibrate, exploration, splits, trained
from genrepipe.training.fit import fit, logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.core.events import Reporter
    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.trained import Trained

SECTIONS = 14


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
    sections: list[Section] = []
    for section in chain(_tracks(data), _structure(data), _answers(subject)):
        sections.append(section)
        reporter.progress("sections", len(sections), SECTIONS)
    lead = (
        f"{len(data):,} labelled tracks of {len(set(data.artist) - {''}):,} artists, source fingerprint {data.fingerprint[:16]}; answers by "
        f"{manifest.name} {manifest.version}. Click a genre in a legend to see it alone."
    )
    text = charts.page("Tracks and genres", lead, sections)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}", "Check its folder and permissions") from error
    return ExploreResult("drawn", out, len(data), tuple(section.id for section in sections), len(text.encode()))


def _tracks(data: Dataset) -> Iterator[Section]:
    yield Section(
        "distributions", "Distributions",
        ("The share of each genre's tracks, by feature.", "Below, quantiles: thin from 5 to 95 %, thick from 25 to 75 %, the median a tick."),
        charts=(charts.densities(exploration.histograms(data)), charts.ranges(exploration.quantiles(data))),
    )  # fmt: skip
    missing = pl.DataFrame(
        {
            "column": ["artist_name", "track_name", "duration_ms", "tempo"],
            "share": [
                (data.artist == "").mean(), data.tracks["track_name"].null_count() / len(data), (~data.known[:, features.position("duration_ms")]).mean(),
                np.isnan(data.X[:, features.position("tempo")]).mean(),
            ],
        }
    )  # fmt: skip
    twins = int((np.bincount(data.twins)[data.twins] > 1).sum())
    yield Section(
        "missing", "Missing and impossible",
        (
            "Sentinels (−1 durations, ? and 0 tempos, empty_field artists) count as missing.",
            "Rows with impossible values are left out: genrepipe validate lists the rows that break the contract.",
            f"{twins:,} tracks ({twins / len(data):.1%}) share their audio with another track, most often under another genre.",
        ),
        charts=(charts.bars(missing, "share", "column", title="missing"),),
    )  # fmt: skip
    correlations = charts.heatmap(exploration.correlations(data), "a", "b", "correlation", diverging=True)
    yield Section("correlations", "Correlations", ("Rank correlations.",), charts=(correlations,))
    shares, extremes = exploration.outliers(data)
    yield Section(
        "outliers", "Outliers", ("Tracks beyond 1.5 interquartile ranges; below, the ten tracks that lie furthest out.",),
        charts=(charts.bars(shares, "share", "feature", title="beyond the whiskers"),), tables=(extremes,),
    )  # fmt: skip


def _structure(data: Dataset) -> Iterator[Section]:
    loadings, shares, axes = exploration.discriminants(data)
    sentences = tuple(exploration.interpretation(loadings, shares))
    yield Section("discriminants", "Linear discriminants", sentences, charts=(charts.loadings(loadings),))
    coordinates, variances = exploration.projections(data, axes, 0)
    components = pl.DataFrame({"component": [f"PC{i:02}" for i in range(1, len(variances) + 1)], "share": variances})
    yield Section(
        "components", "Principal components", (f"The first two hold {sum(variances[:2]):.0%} of the variance, but not of the genres.",),
        charts=(charts.bars(components, "share", "component", title="share of the variance"),),
    )  # fmt: skip
    yield Section(
        "maps", "Maps of a sample", (f"{len(coordinates):,} tracks on principal components, linear discriminants and t-SNE (perplexity 30).",),
        charts=(charts.scatters(coordinates, ("PC", "LD", "t-SNE ")),),
    )  # fmt: skip
    clusters = exploration.clusters(data, axes, 0)
    best = clusters.sort("silhouette", descending=True).row(0, named=True)
    agreement = max(clusters["agreement"].to_list())
    yield Section(
        "clusters", "Clusters",
        (
            f"K-means on three discriminants: the silhouette is best at {best['clusters']} clusters ({best['silhouette']:.2f}).",
            f"The adjusted Rand index with the genres is at most {agreement:.2f} (1 is perfect): genres are not islands.",
        ),
        charts=(charts.lines(clusters, "clusters", "silhouette"), charts.lines(clusters, "clusters", "agreement")),
    )  # fmt: skip


def _answers(subject: Trained) -> Iterator[Section]:
    bundle, recipe, data = subject.bundle, subject.recipe, subject.data
    manifest = bundle.manifest
    tracks = data.tracks.with_columns(pl.col("duration_ms").fill_null(bundle.duration_ms))
    raw = features.matrix(features.build(tracks, manifest.inputs, bundle.artist_labels))
    scorer = Scorer(bundle, resources.plan().threads)
    importance = exploration.importance(data, raw, list(manifest.input_columns), scorer, 0)
    yield Section(
        "importance", "What matters",
        (
            "The loss of macro AUROC when the values of an input are shuffled, with the artist's mean and variance of it.",
            "Inputs in brackets are whole blocks. Below, the mutual information of each audio feature with the genre, in nats.",
        ),
        charts=(
            charts.bars(importance, "auroc_lost", "input", title="macro AUROC lost", form=".3f"),
            charts.bars(importance.drop_nulls("information"), "information", "input", title="nats", form=".2f"),
        ),
    )  # fmt: skip
    train, test = next(splits.artist_disjoint(data, 0))
    fitted = fit(recipe, data, train, 0)
    y, p = data.y[test], calibrate.tempered(logits(fitted, data, test), manifest.temperature)
    accuracy = (p.argmax(1) == y).mean()
    roc = exploration.roc(y, p, data.labels)
    yield Section(
        "roc", "ROC curves",
        (f"Of {len(test):,} tracks of artists that a model of the same recipe had not seen: accuracy {accuracy:.3f}.",),
        charts=(charts.lines(roc, "false positives", "true positives", color="genre", diagonal=True),),
    )  # fmt: skip
    confusion = charts.heatmap(exploration.confusion(y, p, data.labels), "answer", "genre", "share")
    yield Section("confusion", "Confusion", ("Rows are the labels; each sums to one.",), charts=(confusion,))
    reliability = charts.lines(exploration.reliability(y, p), "confidence", "accuracy", diagonal=True)
    yield Section(
        "calibration", "Calibration", ("On the diagonal, the confidence is the accuracy.",), charts=(reliability,)
    )
    by_genre = exploration.by_genre(y, p, data.labels)
    by_visible = exploration.by_visible(y, p, data.tracks["artist_tracks"].to_numpy()[test])
    yield Section(
        "groups", "By genre, and by visible tracks",
        charts=(
            charts.bars(by_genre, "value", "genre", title="share", color="measure"),
            charts.bars(by_visible, "accuracy", "visible", title="accuracy, by visible tracks of the artist"),
        ),
    )  # fmt: skip
    if bundle.curves is not None:
        losses = bundle.curves.unpivot(index="epoch", variable_name="part", value_name="loss")
        yield Section(
            "curves", "Loss by epoch", (f"Of the bundle itself; the {recipe.schedule} rate ends at epoch {recipe.epochs}.",),
            charts=(charts.lines(losses, "epoch", "loss", color="part"),),
        )  # fmt: skip
