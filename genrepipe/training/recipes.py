"""The recipes: what each bundle reads, how it is built, how it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from genrepipe.features import AUDIO, CONTEXT, FLAGS, LABELS, VECTORS
from genrepipe.training.networks import Bottleneck, Discriminants, WithFlags, layers


@dataclass(frozen=True)
class Recipe:
    """How one bundle is trained.

    AdamW (Adam where nothing decays) in mini-batches. ``peak`` is the learning rate: the highest of a one-cycle schedule
    (Smith and Topin 2018), or a constant one. ``dimensions`` and ``encoder`` put a projection before the network: linear
    discriminants, or a learned bottleneck with hidden layers of the encoder's sizes.
    """

    name: str
    summary: str
    inputs: tuple[str, ...] = (AUDIO,)
    kind: Literal["network", "trees"] = "network"
    unskew: bool = False
    hidden: tuple[int, ...] = ()
    activation: Literal["relu", "silu"] = "relu"
    dropout: float = 0.0
    flags_to: int = 8  # dimensions through which a network sees the name flags
    flags_dropped: float = 0.4
    dimensions: int | None = None
    encoder: tuple[int, ...] | None = None
    peak: float = 2e-2
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    rising: float = 0.3  # share of the steps in which a one-cycle rate rises
    epochs: int = 20
    batch_size: int = 512
    weight_decay: float = 0.0
    # Whether to train once more, on all artists and for all epochs. Words are learned by heart, name by name: artists
    # that are held out would stop that at once, and leave a model that knows the artists of its training data no better.
    by_heart: bool = False

    @property
    def patience(self) -> int:
        """Epochs without a better validation loss, after which training stops.

        Half of them: while a one-cycle rate is high the loss stands still, and falls when the rate does.
        """
        return self.epochs // 2

    @property
    def needs_words(self) -> bool:
        """Whether training and scoring need spaCy's vectors."""
        return VECTORS in self.inputs

    def projection(self) -> nn.Module:
        """Return what stands between inputs and network, not yet fitted."""
        if self.dimensions is None:
            return nn.Identity()
        return Discriminants(self.dimensions) if self.encoder is None else Bottleneck(self.encoder, self.dimensions)

    def network(self, widths: dict[str, int], classes: int) -> nn.Module:
        """Return the network, not yet trained, for inputs of these widths."""
        activation = {"relu": nn.ReLU, "silu": nn.SiLU}[self.activation]
        if FLAGS not in widths:
            return layers((self.dimensions or sum(widths.values()), *self.hidden, classes), activation, self.dropout)
        start = sum(widths[block] for block in self.inputs[: self.inputs.index(FLAGS)])
        flags = widths[FLAGS]
        seen = sum(widths.values()) - flags + self.flags_to
        net = layers((seen, *self.hidden, classes), activation, self.dropout)
        return WithFlags(start, flags, self.flags_to, self.flags_dropped, net, classes)


_CONTEXT = {
    "unskew": True, "hidden": (112, 64), "activation": "silu", "dropout": 0.25, "peak": 8e-3, "rising": 0.2, "epochs": 64,
    "weight_decay": 0.01,
}  # fmt: skip
_WORDS = {"by_heart": True, "unskew": True, "hidden": (200, 100, 50, 25), "peak": 3e-3}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "all-features", "13 audio features, 20 and 15 hidden units, as in the study",
            hidden=(20, 15), peak=4e-2, epochs=60, batch_size=1024,
        ),
        Recipe(
            "all-features-plus", "the same 755 parameters on unskewed features",
            unskew=True, hidden=(20, 15), activation="silu", epochs=60,
        ),
        Recipe(
            "lda-3d", "3 linear discriminants of the 13 audio features, 15 hidden units, as in the study",
            hidden=(15,), dimensions=3,
        ),
        Recipe(
            "lda-2d", "2 linear discriminants of the 13 audio features, 15 hidden units, as in the study",
            hidden=(15,), dimensions=2,
        ),
        Recipe(
            "learned-3d", "a learned bottleneck of 3 in place of the linear discriminants",
            unskew=True, hidden=(15,), dimensions=3, encoder=(64, 32), peak=1e-2, epochs=40, weight_decay=1e-3,
        ),
        Recipe(
            "learned-2d", "a learned bottleneck of 2 in place of the linear discriminants",
            unskew=True, hidden=(15,), dimensions=2, encoder=(64, 32), peak=1e-2, epochs=40, weight_decay=1e-3,
        ),
        Recipe(
            "gradient-boosting", "100 rounds of boosted trees on 3 linear discriminants, the study's benchmark",
            kind="trees", dimensions=3,
        ),
        Recipe(
            "words", "word vectors of artist and title, as in the study",
            inputs=(VECTORS,), epochs=4, **_WORDS,  # type: ignore[arg-type]
        ),
        Recipe(
            "all-features-words", "13 audio features and word vectors of artist and title, as in the study",
            inputs=(AUDIO, VECTORS), epochs=6, **_WORDS,  # type: ignore[arg-type]
        ),
        Recipe(
            "artist-context", "audio, what the artist's visible tracks say together, flags from the names",
            inputs=(AUDIO, FLAGS, CONTEXT), batch_size=1024, **_CONTEXT,  # type: ignore[arg-type]
        ),
        Recipe(
            "known-artist", "the same, and the labels of the artist's training tracks",
            inputs=(AUDIO, FLAGS, CONTEXT, LABELS), batch_size=512, **{**_CONTEXT, "hidden": (104, 64)},  # type: ignore[arg-type]
        ),
    )
}  # fmt: skip
