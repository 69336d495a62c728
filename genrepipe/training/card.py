"""The card of a bundle: what it is, how it was measured, where it fails, as Markdown."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from genrepipe.model.features import AUDIO, BLOCKS, CONTEXT, LABELS, VECTORS
from genrepipe.training import calibrate, leakage
from genrepipe.training.evaluate import MISSING

if TYPE_CHECKING:
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.evaluate import Evaluation

MEASURES = {
    "macro_auroc": "AUROC, macro", "micro_auroc": "AUROC, micro", "accuracy": "accuracy", "top2": "label among the top two",
    "log_loss": "log loss, nats", "ece": "expected calibration error",
}  # fmt: skip


def write(manifest: dict[str, Any], parameters: int, data: Dataset, evaluation: Evaluation) -> str:
    """Return the card for a manifest that has its metrics and its audit; ``parameters`` is what ``trainable`` counts."""
    inputs = tuple(manifest["recipe"]["inputs"])
    metrics = manifest["metrics"]
    what = "leaves of its trees" if manifest["kind"] == "trees" else "parameters of its network"
    parts = [
        f"# {manifest['name']} {manifest['version']}",
        (
            f"{manifest['summary'].capitalize()}. It reads {'; '.join(BLOCKS[block].summary for block in inputs)}. It answers one of "
            f"{len(data.labels)} genres: {', '.join(data.labels)}."
        ),
        (
            f"Trained on {len(data):,} labelled tracks (source fingerprint {data.fingerprint[:16]}) by `{manifest['command']}`; "
            f"{parameters:,} {what}, {manifest['training_data']['epochs']} epochs."
        ),
        _measures(metrics),
        _visible_tracks(metrics) if CONTEXT in inputs else "",
        _genre_sets(metrics, evaluation),
        _missing(metrics, manifest["recipe"]) if AUDIO in inputs else "",
        _audit(manifest["audit"], metrics),
        _limitations(metrics, inputs),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(value: dict[str, float], digits: int = 4) -> str:
    return f"{value['mean']:.{digits}f} ± {value['sd']:.{digits}f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _measures(metrics: dict[str, Any]) -> str:
    columns = ("artist_disjoint", "random", "random_twins_apart")
    rows = [[label, *(_cell(metrics[split][key]) for split in columns)] for key, label in MEASURES.items()]
    disjoint = metrics["artist_disjoint"]
    return f"""## How it was measured

The same command refits everything on the train rows of five folds, three times. On the artist-disjoint split no artist
stands on both sides: this is what to expect of artists that are new. On the random split artists do, and so do tracks with
the very same audio, nearly always under another label; the last column keeps these twins on one side. Mean ± standard
deviation over the folds; probabilities are tempered as below, by answers for the train rows of each fold.

{_table(["measure", "artist-disjoint", "random", "random, twins on one side"], rows)}

Accuracy for new artists in the light of twins: {_cell(disjoint["accuracy_untwinned"])} on tracks without a twin,
{_cell(disjoint["accuracy_rap_hip_hop"])} with Rap and Hip-Hop taken as one, {_cell(disjoint["accuracy_any_twin"])} if any genre of a
track's twins is right."""


def _visible_tracks(metrics: dict[str, Any]) -> str:
    rows = [["all", _cell(metrics["artist_disjoint"]["macro_auroc"]), _cell(metrics["artist_disjoint"]["accuracy"])]]
    rows += [[size, _cell(m["macro_auroc"]), _cell(m["accuracy"])] for size, m in metrics["visible_tracks"].items()]
    return f"""How good it is depends on how many of an artist's tracks it sees together (artist-disjoint):

{_table(["visible tracks", "AUROC, macro", "accuracy"], rows)}"""


def _genre_sets(metrics: dict[str, Any], evaluation: Evaluation) -> str:
    sets = metrics["genre_sets"]
    starts = calibrate.VISIBLE_FROM
    names = [
        "no artist, or 1",
        *(f"{a} to {b - 1}" for a, b in pairwise(starts[1:])),
        f"{starts[-1]} and more",
    ]
    rows = [
        [name, f"{limit:.3f}", _cell(sets[f"coverage_from_{start}"], 3)]
        for name, start, limit in zip(names, starts, evaluation.thresholds, strict=True)
    ]
    return f"""## Calibration

The logits are divided by a temperature of {evaluation.temperature:.3f}. `genre_set` holds the genres at or above a threshold, so chosen that it
holds the label of nine in ten new artists' tracks, whatever number of the artist's tracks is visible; {_cell(sets["size"], 2)} genres on
average.

{_table(["visible tracks of the artist", "threshold", "coverage, artist-disjoint"], rows)}"""


def _training(recipe: dict[str, Any]) -> str:
    """Return a sentence on what the training rows lacked."""
    if recipe["kind"] == "trees":
        return "The training rows of the trees lacked nothing but what the source lacked."
    artists = f" and {recipe['masked_artists']:.0%} of the artists" if recipe["masked_artists"] else ""
    flags = " The network is told what is imputed." if recipe["missing_flags"] else ""
    return f"In each epoch of training {recipe['masked_rows']:.0%} of the tracks{artists} lacked features at random.{flags}"


def _missing(metrics: dict[str, Any], recipe: dict[str, Any]) -> str:
    tempo = metrics["tempo_imputer"]
    imputers = [[name, _cell(value["mae"], 2), _cell(value["r2"])] for name, value in tempo.items()]
    apart = metrics["missing_features"]["random_twins_apart"]
    rows = [["nothing", *(_cell(metrics[split][key]) for split in MISSING for key in ("macro_auroc", "accuracy"))]]
    rows += [
        [
            what,
            _cell(m["macro_auroc"]),
            _cell(m["accuracy"]),
            _cell(apart[what]["macro_auroc"]),
            _cell(apart[what]["accuracy"]),
        ]
        for what, m in metrics["missing_features"]["artist_disjoint"].items()
    ]
    head = [
        "missing",
        "artist-disjoint: AUROC, macro",
        "accuracy",
        "random, twins on one side: AUROC, macro",
        "accuracy",
    ]
    return f"""## Missing features

Any audio feature may be missing. A duration is first imputed by the median of the artist's other tracks; everything else by a
network inside the graph, from what is known. {_training(recipe)} Each row of the table is the same models where one feature is
missing from every track, or where each track lacks so many random ones; the context of an artist lacks them too.

{_table(head, rows)}

How well the tempo is imputed from the other features, on held-out known tempos, artist-disjoint:

{_table(["imputer", "MAE, beats per minute", "R²"], imputers)}"""


def _audit(gates: list[dict[str, Any]], metrics: dict[str, Any]) -> str:
    rows = [
        [g["gate"], "passed" if g["passed"] else "FAILED", f"{g['value']:g}", f"{g['limit']:g}", f"{g['sentence']} {g['explanation']}".strip()]
        for g in gates
    ]  # fmt: skip
    return f"""## Audit for leakage

{_table(["gate", "verdict", "measured", "at most", "what it says"], rows)}

{leakage.gap(metrics)}"""


def _limitations(metrics: dict[str, Any], inputs: tuple[str, ...]) -> str:
    disjoint, random = metrics["artist_disjoint"], metrics["random"]
    lines = [
        (
            f"{1 - disjoint['accuracy']['mean']:.0%} of its answers for new artists are wrong; use `margin`, `runner_up`, `genre_set` and the "
            "probabilities, not the genre alone."
        ),
        "It knows ten genres and nothing else: speech, noise, or a genre it never saw gets one of the ten all the same.",
        (
            "Rap and Hip-Hop, and Rock and Alternative, share tracks with identical audio under both labels; no model of the audio "
            "can tell those apart."
        ),
    ]
    if VECTORS in inputs:
        lines.append(
            "It learns names by heart. For artists that the training data knows it is good, and then less sure than it should be "
            f"(calibration error {random['ece']['mean']:.3f} on the random split); for new ones it is worse than the audio alone."
        )
    if CONTEXT in inputs:
        lines.append(
            "With one visible track of an artist, or none named, it has but that track and its names to go by: see the table."
        )
    if LABELS in inputs:
        lines.append(
            "It follows the labels of the artist's training tracks: an artist who changes genre is answered with the old one."
        )
    if max(disjoint["ece"]["mean"], random["ece"]["mean"]) > 0.02:
        lines.append("Its calibration error is above 0.02 on one of the splits: see the table.")
    return "## Where it fails\n\n" + "\n".join(f"- {line}" for line in lines)
