"""The numbers behind the explore page: distributions, structure, and a model's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import mutual_info_classif
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score, roc_auc_score, roc_curve, silhouette_score

from genrepipe.model import features
from genrepipe.training import calibrate

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.model.scorer import Scorer
    from genrepipe.training.dataset import Dataset

    Floats = npt.NDArray[np.floating]

SAMPLE = 2_000  # tracks in scatter plots and silhouettes
IMPORTANCE_SAMPLE = 8_000
CLUSTER_SAMPLE = 5_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def filled(data: Dataset) -> npt.NDArray[np.float64]:
    """Return the audio features with medians where they are missing, float64 of shape (tracks, 13)."""
    X = data.X.astype(np.float64)
    return np.where(np.isnan(X), np.nanmedian(X, axis=0), X)


def standardised(data: Dataset) -> npt.NDArray[np.float64]:
    """Return the filled audio features with mean 0 and standard deviation 1, float64 of shape (tracks, 13)."""
    X = filled(data)
    scaled: npt.NDArray[np.float64] = (X - X.mean(0)) / np.maximum(X.std(0), 1e-12)
    return scaled


def sample(data: Dataset, seed: int, size: int = SAMPLE) -> npt.NDArray[np.intp]:
    """Return the positions of a random sample of tracks."""
    return np.random.default_rng(seed).choice(len(data), min(size, len(data)), replace=False)


def histograms(data: Dataset) -> pl.DataFrame:
    """Return histograms: ``feature``, ``genre``, ``value`` (middle of one of 30 bins), ``share`` of the genre's tracks."""
    rows = []
    for i, feature in enumerate(features.columns()):
        values = data.X[:, i]
        low, high = np.nanquantile(values, [0.001, 0.999])
        edges = np.linspace(low, max(high, low + 1e-9), 31)
        for g, genre in enumerate(data.labels):
            known = values[(data.y == g) & ~np.isnan(values)]
            counts, _ = np.histogram(known.clip(low, high), edges)
            rows += [
                {"feature": feature, "genre": genre, "value": float((edges[b] + edges[b + 1]) / 2), "share": count / max(len(known), 1)}
                for b, count in enumerate(counts)
            ]  # fmt: skip
    return pl.DataFrame(rows)


def quantiles(data: Dataset) -> pl.DataFrame:
    """Return quantiles by feature and genre: ``feature``, ``genre``, ``q5``, ``q25``, ``q50``, ``q75``, ``q95``."""
    rows = []
    for i, feature in enumerate(features.columns()):
        for g, genre in enumerate(data.labels):
            values = np.nanquantile(data.X[data.y == g, i], QUANTILES)
            rows.append(
                {"feature": feature, "genre": genre}
                | {f"q{int(q * 100)}": float(v) for q, v in zip(QUANTILES, values, strict=True)}
            )
    return pl.DataFrame(rows)


def correlations(data: Dataset) -> pl.DataFrame:
    """Return rank correlations between features: ``a``, ``b``, ``correlation``."""
    ranks = pl.DataFrame(standardised(data), schema=features.columns()).select(pl.all().rank()).to_numpy()
    table = np.corrcoef(ranks.T)
    names = features.columns()
    return pl.DataFrame(
        [{"a": a, "b": b, "correlation": float(table[i, j])} for i, a in enumerate(names) for j, b in enumerate(names)]
    )


def outliers(data: Dataset) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the share of tracks beyond the whiskers (1.5 interquartile ranges) by feature, and the ten most extreme."""
    low, high = np.nanquantile(data.X, [0.25, 0.75], axis=0)
    reach = 1.5 * (high - low)
    beyond = ((low - reach > data.X) | (high + reach < data.X)).mean(0)
    shares = pl.DataFrame({"feature": features.columns(), "share": beyond})
    Z = standardised(data)
    most = np.argsort(-np.abs(Z).max(1))[:10]
    names = features.columns()
    rows = [
        {"artist": data.tracks["artist_name"][int(i)] or "–", "track": data.tracks["track_name"][int(i)] or "–",
         "genre": data.labels[data.y[i]], "feature": names[int(np.abs(Z[i]).argmax())], "standard deviations": round(float(Z[i][np.abs(Z[i]).argmax()]), 1)}
        for i in most
    ]  # fmt: skip
    return shares, pl.DataFrame(rows)


def importance(
    data: Dataset, raw: npt.NDArray[np.float32], columns: list[str], scorer: Scorer, seed: int
) -> pl.DataFrame:
    """Return the permutation importance of each input to the exported model.

    ``auroc_lost`` is the loss of macro AUROC when the input's values are shuffled (Breiman 2001). An audio feature is
    shuffled with the artist's mean and variance of it, every other block as a whole. ``information`` is the mutual
    information of an audio feature with the genre, in nats.

    Parameters
    ----------
    raw, columns
        The input matrix of the model, float32 of shape (tracks, columns), and the names of its columns.
    """
    rows = sample(data, seed, IMPORTANCE_SAMPLE)
    X, truth = raw[rows], data.y[rows, None] == np.arange(len(data.labels))
    base = roc_auc_score(truth, scorer.probabilities(X))
    audio = features.columns()
    groups: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        groups.setdefault(_group(column), []).append(i)
    rng = np.random.default_rng(seed)
    known = filled(data)[rows]
    discrete = [column in {"key", "mode"} for column in audio]
    information = dict(
        zip(audio, mutual_info_classif(known, data.y[rows], discrete_features=discrete, random_state=seed), strict=True)
    )
    losses = []
    for group, positions in groups.items():
        shuffled = X.copy()
        shuffled[:, positions] = X[rng.permutation(len(X))][:, positions]
        losses.append(
            {"input": group, "auroc_lost": float(base - roc_auc_score(truth, scorer.probabilities(shuffled))), "information": information.get(group)}
        )  # fmt: skip
    return pl.DataFrame(losses, schema={"input": pl.String, "auroc_lost": pl.Float64, "information": pl.Float64})


def _group(column: str) -> str:
    """Return the input that a column is shuffled with: an audio feature, or a block in brackets."""
    feature = column.removesuffix("_mean").removesuffix("_variance")
    if feature in features.columns():
        return feature
    block = next(block for block in features.BLOCKS.values() if column in block.columns)
    return "(number of tracks)" if block.name == features.CONTEXT else f"({block.name.replace('_', ' ')})"


def discriminants(data: Dataset) -> tuple[pl.DataFrame, list[float], npt.NDArray[np.float64]]:
    """Return the first three linear discriminants.

    Returns
    -------
    The loadings (correlation of a feature with an axis), the share of the variance between genres of each axis, and the
    coordinates of the tracks, of shape (tracks, 3).
    """
    Z = standardised(data)
    analysis = LinearDiscriminantAnalysis(n_components=3).fit(Z, data.y)
    axes = analysis.transform(Z)
    rows = [
        {"feature": name, "axis": f"LD{a + 1}", "loading": float(np.corrcoef(Z[:, i], axes[:, a])[0, 1])}
        for i, name in enumerate(features.columns())
        for a in range(3)
    ]
    return pl.DataFrame(rows), [float(v) for v in analysis.explained_variance_ratio_[:3]], axes


def interpretation(loadings: pl.DataFrame, shares: list[float]) -> list[str]:
    """Return a sentence for each discriminant: the features at its two ends."""
    sentences = []
    for a, share in enumerate(shares, 1):
        axis = loadings.filter(pl.col("axis") == f"LD{a}").sort("loading")
        low = [str(name) for name, value in zip(axis["feature"], axis["loading"], strict=True) if value < -0.3][:3]
        high = [str(name) for name, value in zip(axis["feature"], axis["loading"], strict=True) if value > 0.3][-3:]
        high.reverse()
        sides = " against ".join(", ".join(side) for side in (high, low) if side) or "no single feature"
        sentences.append(f"LD{a} holds {share:.0%} of the variance between genres: {sides}.")
    return sentences


def projections(data: Dataset, axes: npt.NDArray[np.float64], seed: int) -> tuple[pl.DataFrame, list[float]]:
    """Return a sample's first two coordinates by PCA, discriminants and t-SNE, and the variance shares of all components.

    ``axes`` are the coordinates that ``discriminants`` returns.
    """
    Z = standardised(data)
    pca = PCA(random_state=seed).fit(Z)
    rows = sample(data, seed)
    embedded = TSNE(random_state=seed, init="pca", perplexity=30).fit_transform(Z[rows])
    frame = pl.DataFrame({"genre": [data.labels[i] for i in data.y[rows]]})
    for name, axis in (("PC", pca.transform(Z[rows])), ("LD", axes[rows]), ("t-SNE ", embedded)):
        frame = frame.with_columns(pl.Series(f"{name}1", axis[:, 0]), pl.Series(f"{name}2", axis[:, 1]))
    return frame, [float(v) for v in pca.explained_variance_ratio_]


def clusters(data: Dataset, axes: npt.NDArray[np.float64], seed: int) -> pl.DataFrame:
    """Measure K-means with 2 to 10 clusters on three discriminants.

    ``silhouette`` is the mean silhouette, ``agreement`` the adjusted Rand index with the genres.
    """
    rows = sample(data, seed, CLUSTER_SAMPLE)
    measures = []
    for k in range(2, 11):
        assigned = KMeans(k, n_init=4, random_state=seed).fit_predict(axes[rows])
        measures.append(
            {"clusters": k, "silhouette": float(silhouette_score(axes[rows], assigned, sample_size=min(SAMPLE, len(rows)), random_state=seed)),
             "agreement": float(adjusted_rand_score(data.y[rows], assigned))}
        )  # fmt: skip
    return pl.DataFrame(measures)


def roc(y: npt.NDArray[np.int64], p: Floats, labels: tuple[str, ...]) -> pl.DataFrame:
    """Return one-vs-rest ROC curves, thinned to 60 points each."""
    rows = []
    for g, genre in enumerate(labels):
        false, true, _ = roc_curve(y == g, p[:, g])
        name = f"{genre} {roc_auc_score(y == g, p[:, g]):.3f}"
        grid = np.linspace(0, 1, 60) ** 2
        rows += [
            {"genre": name, "false positives": float(x), "true positives": float(np.interp(x, false, true))}
            for x in grid
        ]
    return pl.DataFrame(rows)


def confusion(y: npt.NDArray[np.int64], p: Floats, labels: tuple[str, ...]) -> pl.DataFrame:
    """Return the share of each genre's tracks with each answer: ``genre``, ``answer``, ``share``."""
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (y, p.argmax(1)), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return pl.DataFrame(
        [
            {"genre": a, "answer": b, "share": float(shares[i, j])}
            for i, a in enumerate(labels)
            for j, b in enumerate(labels)
        ]
    )


def reliability(y: npt.NDArray[np.int64], p: Floats) -> pl.DataFrame:
    """Return the mean confidence, the accuracy and the number of tracks of ten bins of confidence."""
    confidence, hit = p.max(1), p.argmax(1) == y
    bins = np.minimum((confidence * 10).astype(int), 9)
    return pl.DataFrame(
        [
            {"confidence": float(confidence[bins == b].mean()), "accuracy": float(hit[bins == b].mean()), "tracks": int((bins == b).sum())}
            for b in range(10)
            if (bins == b).any()
        ]
    )  # fmt: skip


def by_genre(y: npt.NDArray[np.int64], p: Floats, labels: tuple[str, ...]) -> pl.DataFrame:
    """Return precision and recall of each genre."""
    answer = p.argmax(1)
    rows = []
    for g, genre in enumerate(labels):
        hits = int(((answer == g) & (y == g)).sum())
        rows += [
            {"genre": genre, "measure": "recall", "value": hits / max(int((y == g).sum()), 1)},
            {"genre": genre, "measure": "precision", "value": hits / max(int((answer == g).sum()), 1)},
        ]
    return pl.DataFrame(rows)


def by_visible(y: npt.NDArray[np.int64], p: Floats, visible: npt.NDArray[np.integer]) -> pl.DataFrame:
    """Return the accuracy by how many tracks of the artist are visible."""
    bucket = calibrate.buckets(visible)
    names = ["none or 1", "2 to 4", "5 to 19", "20 and more"]  # of calibrate.VISIBLE_FROM
    rows: list[dict[str, Any]] = [
        {
            "visible": names[b],
            "accuracy": float((p.argmax(1) == y)[bucket == b].mean()),
            "tracks": int((bucket == b).sum()),
        }
        for b in range(len(names))
        if (bucket == b).any()
    ]
    return pl.DataFrame(rows)
