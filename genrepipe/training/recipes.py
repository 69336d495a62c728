"""The recipes: what each bundle reads, how its network is built, how it is trained. Adding a model adds a recipe here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter, ValidationError
from torch import nn

from genrepipe.core.errors import BundleBroken
from genrepipe.model.features import AUDIO, CONTEXT, FLAGS, LABELS, VECTORS
from genrepipe.training.networks import Bottleneck, Discriminants, WithFlags, layers

if TYPE_CHECKING:
    from genrepipe.model.bundle import Bundle


def _alias(name: str, alias: str) -> AliasChoices:
    return AliasChoices(name, alias)


@dataclass(frozen=True)
class Recipe:
    """How one bundle is trained. Manifests hold recipes; ``of_bundle`` reads them back.

    The optimiser is AdamW (Adam where ``weight_decay`` is 0) on mini-batches.

    Attributes
    ----------
    inputs
        The blocks of features that the bundle reads, in the order of its input matrix.
    unskew
        Whether the audio features are made nearly symmetric before they are standardised.
    hidden
        Hidden units of each layer of the network.
    dimensions, encoder
        A projection before the network: linear discriminants, or with ``encoder`` a learned bottleneck that has hidden
        layers of these sizes. None for no projection.
    flag_dimensions, flag_dropout
        The width of the projection through which a network reads the name flags, and the dropout before it.
    max_lr, schedule, pct_start
        The learning rate: the maximum of a one-cycle schedule (Smith and Topin 2018), which rises over the share
        ``pct_start`` of the steps, or a constant.
    missing_flags
        Whether the network is told which audio features are imputed.
    masked_rows, masked_artists
        The share of the tracks that lose audio features at random in each epoch, and of the artists all of whose tracks
        lose the same.
    retrain_on_all
        Whether to train again on all rows and for all epochs, after a first fit with validation artists. Word vectors
        are memorised name by name: early stopping on unknown artists would end that at once.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    summary: str
    inputs: tuple[str, ...] = (AUDIO,)
    kind: Literal["network", "trees"] = "network"
    unskew: bool = False
    hidden: tuple[int, ...] = ()
    activation: Literal["relu", "silu"] = "relu"
    dropout: float = 0.0
    flag_dimensions: Annotated[int, Field(validation_alias=_alias("flag_dimensions", "flags_to"))] = 8
    flag_dropout: Annotated[float, Field(validation_alias=_alias("flag_dropout", "flags_dropped"))] = 0.4
    dimensions: int | None = None
    encoder: tuple[int, ...] | None = None
    max_lr: Annotated[float, Field(validation_alias=_alias("max_lr", "peak"))] = 2e-2
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    pct_start: Annotated[float, Field(validation_alias=_alias("pct_start", "rising"))] = 0.3
    epochs: int = 20
    batch_size: int = 512
    weight_decay: float = 0.0
    missing_flags: bool = False
    masked_rows: float = 0.15
    masked_artists: float = 0.0
    retrain_on_all: Annotated[bool, Field(validation_alias=_alias("retrain_on_all", "by_heart"))] = False

    @property
    def patience(self) -> int:
        """Epochs without a lower validation loss after which training stops: half of all epochs.

        The loss hardly falls while a one-cycle rate is high, and falls when the rate does.
        """
        return self.epochs // 2

    def projection(self, columns: int) -> nn.Module:
        """Return the module between the inputs, of that many columns, and the network, not yet fitted."""
        if self.dimensions is None:
            return nn.Identity()
        if self.encoder is None:
            return Discriminants(columns, self.dimensions)
        return Bottleneck(columns, self.encoder, self.dimensions)

    def network(self, widths: dict[str, int], classes: int) -> nn.Module:
        """Return the network, not yet trained, for blocks of these widths."""
        activation = {"relu": nn.ReLU, "silu": nn.SiLU}[self.activation]
        if FLAGS not in widths:
            return layers((self.dimensions or sum(widths.values()), *self.hidden, classes), activation, self.dropout)
        start = sum(widths[block] for block in self.inputs[: self.inputs.index(FLAGS)])
        flags = widths[FLAGS]
        inputs = sum(widths.values()) - flags + self.flag_dimensions
        net = layers((inputs, *self.hidden, classes), activation, self.dropout)
        return WithFlags(start, flags, self.flag_dimensions, self.flag_dropout, net, classes)


def of_bundle(bundle: Bundle) -> Recipe:
    """Return the recipe that a bundle was trained with, from its manifest.

    Raises
    ------
    BundleBroken
        The manifest holds a recipe that this version does not know.
    """
    try:
        return TypeAdapter(Recipe).validate_python(bundle.manifest.recipe)
    except ValidationError as error:
        raise BundleBroken(
            f"{bundle.folder}: its recipe is not one of this version", "Train it again with this version"
        ) from error


_CONTEXT = {
    "unskew": True, "hidden": (112, 64), "activation": "silu", "dropout": 0.25, "max_lr": 8e-3, "pct_start": 0.2, "epochs": 64,
    "weight_decay": 0.01, "missing_flags": True, "masked_rows": 0.3, "masked_artists": 0.35,
}  # fmt: skip
_WORDS = {"retrain_on_all": True, "unskew": True, "hidden": (200, 100, 50, 25), "max_lr": 3e-3}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "all-features", "13 audio features, 20 and 15 hidden units, as in the study",
            hidden=(20, 15), max_lr=4e-2, epochs=60, batch_size=1024,
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
            unskew=True, hidden=(15,), dimensions=3, encoder=(64, 32), max_lr=1e-2, epochs=40, weight_decay=1e-3,
        ),
        Recipe(
            "learned-2d", "a learned bottleneck of 2 in place of the linear discriminants",
            unskew=True, hidden=(15,), dimensions=2, encoder=(64, 32), max_lr=1e-2, epochs=40, weight_decay=1e-3,
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
            inputs=(AUDIO, FLAGS, CONTEXT), batch_size=1024, **{**_CONTEXT, "hidden": (106, 64), "masked_rows": 0.2, "masked_artists": 0.3},  # type: ignore[arg-type]
        ),
        Recipe(
            "known-artist", "the same, and the labels of the artist's training tracks",
            inputs=(AUDIO, FLAGS, CONTEXT, LABELS), batch_size=512, **{**_CONTEXT, "hidden": (104, 64)},  # type: ignore[arg-type]
        ),
    )
}  # fmt: skip
