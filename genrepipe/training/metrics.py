"""Measures of predictions: AUROC, accuracy, log loss, calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset

CALIBRATION_BINS = 15


def measure(y: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]) -> dict[str, float]:
    """Measure probabilities of shape (tracks, classes) against labels of shape (tracks,).

    Returns
    -------
    ``macro_auroc``, ``micro_auroc`` (one-vs-rest), ``accuracy``, ``top2`` (the label is among the two most probable),
    ``log_loss`` (nats) and ``ece`` (expected calibration error over 15 equal bins, Guo et al. 2017).
    """
    p = probabilities.astype(np.float64)
    p /= p.sum(1, keepdims=True)
    classes = np.arange(p.shape[1])
    truth = y[:, None] == classes
    order = np.argsort(-p, axis=1)
    return {
        "macro_auroc": float(roc_auc_score(truth, p, average="macro")),
        "micro_auroc": float(roc_auc_score(truth, p, average="micro")),
        "accuracy": float((order[:, 0] == y).mean()),
        "top2": float((order[:, :2] == y[:, None]).any(1).mean()),
        "log_loss": float(log_loss(y, p, labels=classes)),
        "ece": _ece(y, p),
    }


def auroc_and_accuracy(y: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return ``macro_auroc`` and ``accuracy`` alone, of probabilities of shape (tracks, classes)."""
    truth = y[:, None] == np.arange(probabilities.shape[1])
    return {
        "macro_auroc": float(roc_auc_score(truth, probabilities, average="macro")),
        "accuracy": float((probabilities.argmax(1) == y).mean()),
    }


def twin_accuracy(
    data: Dataset, rows: npt.NDArray[np.intp], probabilities: npt.NDArray[np.floating]
) -> dict[str, float]:
    """Measure accuracy with regard to twins: tracks with identical audio, often under different genres.

    ``probabilities`` has shape (rows, classes).

    Returns
    -------
    ``accuracy_untwinned`` (on rows without a twin), ``accuracy_rap_hip_hop`` (with these two genres as one) and
    ``accuracy_any_twin`` (any genre among a track's twins counts as right).
    """
    answer, y = probabilities.argmax(1), data.y[rows]
    twins = data.twins
    genres = np.zeros((twins.max() + 1, len(data.labels)), np.bool_)
    genres[twins, data.y] = True
    merged = np.arange(len(data.labels))
    merged[data.labels.index("Rap")] = data.labels.index("Hip-Hop")
    alone = np.bincount(twins)[twins[rows]] == 1
    return {
        "accuracy_untwinned": float((answer == y)[alone].mean()),
        "accuracy_rap_hip_hop": float((merged[answer] == merged[y]).mean()),
        "accuracy_any_twin": float(genres[twins[rows], answer].mean()),
    }


def _ece(y: npt.NDArray[np.int64], p: npt.NDArray[np.float64]) -> float:
    confidence, hit = p.max(1), p.argmax(1) == y
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    weight = np.bincount(bins, minlength=CALIBRATION_BINS)
    gap = np.abs(np.bincount(bins, confidence, CALIBRATION_BINS) - np.bincount(bins, hit, CALIBRATION_BINS))
    return float(gap.sum() / weight.sum())


def measure_tempo(truth: npt.NDArray[np.floating], predicted: npt.NDArray[np.floating]) -> dict[str, float]:
    """Return ``mae`` (beats per minute) and ``r2`` of predicted tempos."""
    error = truth.astype(np.float64) - predicted
    spread = truth.astype(np.float64) - truth.mean(dtype=np.float64)
    return {"mae": float(np.abs(error).mean()), "r2": float(1 - (error**2).sum() / (spread**2).sum())}


def summarise(folds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the mean and the standard deviation (n − 1) of each measure over folds."""
    return {
        name: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
        for name in folds[0]
        for values in [[fold[name] for fold in folds]]
    }
