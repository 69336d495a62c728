"""The two reports on a labelled source: the audit for leakage, and the page that one looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from pydantic import TypeAdapter, ValidationError

from genrepipe import bundles, features, names, resources, sources
from genrepipe.errors import BundleBroken, StorageError
from genrepipe.scoring import Scorer
from genrepipe.training import calibrate, charts, dataset, leakage, splits
from genrepipe.training import explore as numbers
from genrepipe.training.fit import fit, logits
from genrepipe.training.recipes import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.bundles import Bundle
    from genrepipe.console import Reporter


def _prepare(
    model: str | None, source: tuple[str, ...], encoding: str, mapping: dict[str, str]
) -> tuple[Bundle, Recipe, dataset.Dataset]:
    bundle = bundles.load(model)
    try:
        recipe = TypeAdapter(Recipe).validate_python(bundle.manifest.recipe)
    except ValidationError as error:
        raise BundleBroken(
            f"{bundle.folder}: its recipe is not one of this version", "Train it again with this version"
        ) from error
    if recipe.needs_words:
        names.ready()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with sources.opened(source, encoding=encoding, mapping=mapping) as found:
        return bundle, recipe, dataset.load(found, resources.plan())


def audit(model: str, source: tuple[str, ...], encoding: str, mapping: dict[str, str], say: Reporter) -> dict[str, Any]:
    """Run every gate for the recipe of a bundle on a labelled source.

    Returns
    -------
    ``status`` (passed or failed), the gates, and what lies between the splits as the bundle measured them.
    """
    bundle, recipe, data = _prepare(model, source, encoding, mapping)
    seed = int(bundle.manifest.training_data["seed"])
    say.note("auditing", model=recipe.name, tracks=len(data))
    gates = [*leakage.of_data(data, seed), *leakage.of_recipe(recipe, data, seed)]
    return {
        "status": "passed" if all(gate.passed for gate in gates) else "failed",
        "model": bundle.manifest.name,
        "tracks": len(data),
        "trained_on_this_source": data.fingerprint == bundle.manifest.training_data["sha256"],
        "gates": [gate.report() for gate in gates],
        "gap": leakage.gap(bundle.manifest.metrics),
    }


def explore(
    source: tuple[str, ...], out: Path, model: str | None, encoding: str, mapping: dict[str, str], say: Reporter
) -> dict[str, Any]:
    """Draw a labelled source, and a model's answers for it, on one self-contained page.

    Raises
    ------
    StorageError
        The page cannot be written.
    """
    bundle, recipe, data = _prepare(model, source, encoding, mapping)
    sections: list[dict[str, Any]] = []

    def add(
        key: str, title: str, *texts: str, drawn: tuple[Any, ...] = (), tables: tuple[pl.DataFrame, ...] = ()
    ) -> None:
        sections.append({"id": key, "title": title, "texts": texts, "charts": drawn, "tables": tables})
        say.progress("sections", len(sections), 14)

    _about_tracks(data, add)
    _about_structure(data, add)
    _about_model(bundle, recipe, data, add)
    lead = (
        f"{len(data):,} labelled tracks of {len(set(data.artist) - {''}):,} artists, source fingerprint {data.fingerprint[:16]}; answers by "
        f"{bundle.manifest.name} {bundle.manifest.version}. Click a genre in a legend to see it alone."
    )
    text = charts.page("Tracks and genres", lead, sections)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}", "Check its folder and permissions") from error
    return {
        "status": "drawn", "page": str(out), "tracks": len(data), "sections": [section["id"] for section in sections], "bytes": len(text.encode()),
    }  # fmt: skip


def _about_tracks(data: dataset.Dataset, add: Any) -> None:
    add(
        "distributions", "Distributions",
        "The share of each genre's tracks, by feature.", "Below, quantiles: thin from 5 to 95 %, thick from 25 to 75 %, the median a tick.",
        drawn=(charts.densities(numbers.histograms(data)), charts.ranges(numbers.quantiles(data))),
    )  # fmt: skip
    tracks = data.tracks
    missing = pl.DataFrame(
        {
            "column": ["artist_name", "track_name", "duration_ms", "tempo"],
            "share": [
                (data.artist == "").mean(), tracks["track_name"].null_count() / len(data), (~data.duration_known).mean(),
                np.isnan(data.X[:, dataset.TEMPO]).mean(),
            ],
        }
    )  # fmt: skip
    twins = int((np.bincount(data.twins)[data.twins] > 1).sum())
    add(
        "missing", "Missing and impossible",
        "Sentinels (−1 durations, ? and 0 tempos, empty_field artists) count as missing. Impossible values never come here: "
        "genrepipe validate lists the rows that break the contract.",
        f"{twins:,} tracks ({twins / len(data):.1%}) share their audio with another track, most often under another genre.",
        drawn=(charts.bars(missing, "share", "column", title="missing"),),
    )  # fmt: skip
    add(
        "correlations",
        "Correlations",
        "Rank correlations.",
        drawn=(charts.heatmap(numbers.correlations(data), "a", "b", "correlation", diverging=True),),
    )
    shares, most = numbers.outliers(data)
    add(
        "outliers", "Outliers", "Tracks beyond 1.5 interquartile ranges; below, the ten tracks that lie furthest out.",
        drawn=(charts.bars(shares, "share", "feature", title="beyond the whiskers"),), tables=(most,),
    )  # fmt: skip


def _about_structure(data: dataset.Dataset, add: Any) -> None:
    loadings, shares, axes = numbers.discriminants(data)
    add("discriminants", "Linear discriminants", *numbers.reading(loadings, shares), drawn=(charts.loadings(loadings),))
    frame, variances = numbers.projections(data, axes, 0)
    components = pl.DataFrame({"component": [f"PC{i:02}" for i in range(1, len(variances) + 1)], "share": variances})
    add(
        "components", "Principal components", f"The first two hold {sum(variances[:2]):.0%} of the variance, but not of the genres.",
        drawn=(charts.bars(components, "share", "component", title="share of the variance"),),
    )  # fmt: skip
    add(
        "maps", "Maps of a sample", f"{len(frame):,} tracks on principal components, linear discriminants and t-SNE (perplexity 30).",
        drawn=(charts.scatters(frame, ("PC", "LD", "t-SNE ")),),
    )  # fmt: skip
    found = numbers.clusters(data, axes, 0)
    best = found.sort("silhouette", descending=True).row(0, named=True)
    add(
        "clusters", "Clusters",
        f"K-means on three discriminants: the silhouette is best at {best['clusters']} clusters ({best['silhouette']:.2f}), and agrees with the "
        f"genres at most to {max(found['agreement'].to_list()):.2f} (adjusted Rand index, 1 is perfect): genres are not islands.",
        drawn=(charts.lines(found, "clusters", "silhouette"), charts.lines(found, "clusters", "agreement")),
    )  # fmt: skip


def _about_model(bundle: Bundle, recipe: Recipe, data: dataset.Dataset, add: Any) -> None:
    scorer = Scorer(bundle, resources.plan().threads)
    frames = features.build(
        data.tracks.with_columns(pl.col("duration_ms").fill_null(bundle.duration_ms)),
        bundle.manifest.inputs,
        bundle.artist_labels,
    )
    worth = numbers.importance(data, features.matrix(frames), list(bundle.manifest.input_columns), scorer, 0)
    information = worth.drop_nulls("information")
    add(
        "importance", "What matters", "How much macro AUROC the exported model loses when an input's values are shuffled, with the artist's mean and variance of it; whole blocks in brackets.",
        "Below, the mutual information of each audio feature with the genre, in nats: what it could tell alone.",
        drawn=(charts.bars(worth, "auroc_lost", "input", title="macro AUROC lost", form=".3f"), charts.bars(information, "information", "input", title="nats", form=".2f")),
    )  # fmt: skip
    train, test = next(splits.artist_disjoint(data, 0))
    fitted = fit(recipe, data, train, 0)
    y, p = data.y[test], calibrate.tempered(logits(fitted, data, test), bundle.manifest.temperature)
    honest = f"Of {len(test):,} tracks of artists that a model of the same recipe had not seen: accuracy {(p.argmax(1) == y).mean():.3f}."
    add(
        "roc",
        "ROC curves",
        honest,
        drawn=(
            charts.lines(
                numbers.roc(y, p, data.labels), "false positives", "true positives", color="genre", diagonal=True
            ),
        ),
    )
    add(
        "confusion",
        "Confusion",
        "Rows are the labels; each sums to one.",
        drawn=(charts.heatmap(numbers.confusion(y, p, data.labels), "answer", "genre", "share"),),
    )
    add(
        "calibration",
        "Calibration",
        "On the diagonal, a probability is what it says.",
        drawn=(charts.lines(numbers.reliability(y, p), "confidence", "accuracy", diagonal=True),),
    )
    visible = data.tracks["artist_tracks"].to_numpy()[test]
    add(
        "groups", "By genre, and by visible tracks", "",
        drawn=(
            charts.bars(numbers.by_genre(y, p, data.labels), "value", "genre", title="share", color="measure"),
            charts.bars(numbers.by_visible(y, p, visible), "accuracy", "visible", title="accuracy, by visible tracks of the artist"),
        ),
    )  # fmt: skip
    curves = bundle.curves
    if curves is not None:
        long = curves.unpivot(index="epoch", variable_name="part", value_name="loss")
        add(
            "curves",
            "Loss by epoch",
            f"Of the bundle itself; the {recipe.schedule} rate ends at epoch {recipe.epochs}.",
            drawn=(charts.lines(long, "epoch", "loss", color="part"),),
        )
