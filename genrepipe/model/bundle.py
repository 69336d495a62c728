"""Bundles: a folder that holds one trained model, all it needs to score, and the rows that prove that it still does.

Loading reads JSON, Parquet and ONNX, and executes nothing else. The manifest ``bundle.json`` is written last and
names the sha256 of every other file, so a bundle that was cut short, or changed by a byte, is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genrepipe import contracts
from genrepipe.core import assets, files
from genrepipe.core.errors import BundleBroken, ConfigurationError, StorageError, UnknownModel, nearest
from genrepipe.model import features, signature

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = signature.MANIFEST
FORMAT = 4  # until 3, graphs imputed the tempo alone
MODEL, GOLDEN, REFERENCE, CARD = "model.onnx", "golden.parquet", "reference.parquet", "card.md"
FILES = (MODEL, GOLDEN, REFERENCE, CARD)
# Only where there is something to keep: loss by epoch, labels of known artists.
CURVES, ARTISTS = "curves.parquet", "artists.parquet"
OPTIONAL = (CURVES, ARTISTS)
# In an ONNX file, the key of a tensor's external data (StringStringEntryProto, onnx.proto3): a field of 8 bytes.
EXTERNAL_DATA = b"\x0a\x08location\x12"
RESTORE = "Restore the bundle from where it came, or train it again"
CHAMPION = "champion"  # a file beside the bundles that names one of them


class GenreSets(BaseModel):
    """Thresholds of conformal sets, by how many of the artist's tracks are visible.

    A genre is in a track's set where its probability reaches the threshold of the track's bucket (least ambiguous
    sets, Sadinle, Lei and Wasserman 2019); bucket ``i`` begins at ``visible_from[i]`` tracks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    coverage: float = Field(gt=0, lt=1)
    visible_from: tuple[int, ...]
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...]

    @model_validator(mode="after")
    def _one_threshold_a_bucket(self) -> Self:
        if len(self.thresholds) != len(self.visible_from) or list(self.visible_from[:1]) != [0]:
            msg = "there must be a threshold for each bucket, the first of which begins at 0 tracks"
            raise ValueError(msg)
        if list(self.visible_from) != sorted(set(self.visible_from)):
            msg = "the buckets must ascend"
            raise ValueError(msg)
        return self


class Manifest(BaseModel):
    """What ``bundle.json`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format: int
    name: str
    version: str
    kind: str
    summary: str
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    input_columns: tuple[str, ...]
    parameters: int
    temperature: float = Field(gt=0)
    genre_sets: GenreSets | None
    tolerance: float = Field(gt=0, le=1e-4)
    contracts: dict[str, str]
    recipe: dict[str, Any]
    training_data: dict[str, Any]
    metrics: dict[str, Any]
    audit: tuple[dict[str, Any], ...]
    command: str
    versions: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are what its manifest says."""

    folder: Path
    manifest: Manifest
    sha256: str
    contents: Mapping[str, bytes]  # as they were verified: what changes on the disk afterwards changes no run

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.manifest.name} {self.manifest.version}"

    @property
    def model(self) -> Path:
        """Path of the ONNX graph, for messages."""
        return self.folder / MODEL

    @cached_property
    def golden(self) -> pl.DataFrame:
        """Inputs, one Float32 column each, and the probabilities that a float64 reference gave, one column a label."""
        return self._table(GOLDEN)

    @cached_property
    def duration_ms(self) -> float:
        """The global median duration of the training data, in milliseconds."""
        known = self._table(REFERENCE)
        try:
            return float(known.filter(pl.col("feature") == "duration_ms")["median"].item())
        except (pl.exceptions.PolarsError, ValueError) as error:
            raise BundleBroken(f"{self.folder / REFERENCE} has no median of duration_ms", RESTORE) from error

    @cached_property
    def reference(self) -> pl.DataFrame:
        """Bins of every audio feature and of the answers (``feature`` is ``genre``) in the training data, and their shares."""
        return self._table(REFERENCE).select("feature", "edges", "shares")

    @cached_property
    def artist_labels(self) -> pl.DataFrame | None:
        """Counts of the training labels of known artists, where the bundle has them."""
        return self._table(ARTISTS) if ARTISTS in self.manifest.files else None

    @property
    def curves(self) -> pl.DataFrame | None:
        """Train and validation loss by epoch, where the bundle has them."""
        return self._table(CURVES) if CURVES in self.manifest.files else None

    def _table(self, name: str) -> pl.DataFrame:
        try:
            return pl.read_parquet(io.BytesIO(self.contents[name]))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BundleBroken(f"{self.folder / name} is not a Parquet file", RESTORE) from error


def available(bundles: Path | None = None) -> dict[str, Path]:
    """Return the folders of the bundles by name: those in ``bundles``, a folder of bundles, and those that ship.

    Raises
    ------
    ConfigurationError
        The folder does not exist: the shipped champion would silently take its place.
    """
    if bundles is not None and not bundles.is_dir():
        raise ConfigurationError(
            f"{bundles}: there is no such folder of bundles", "Make it or mount it, or check --bundles"
        )
    folders = [assets.pretrained()] + ([bundles] if bundles is not None else [])
    return {path.parent.name: path.parent for each in folders for path in sorted(each.glob(f"*/{MANIFEST}"))}


def champion(bundles: Path | None = None) -> str:
    """Return the name of the bundle that a job uses when it names none: that of ``bundles``, else the shipped one.

    Raises
    ------
    ConfigurationError
        The alias names nothing.
    StorageError
        The alias cannot be read.
    """
    alias = (
        bundles / CHAMPION if bundles is not None and (bundles / CHAMPION).is_file() else assets.pretrained() / CHAMPION
    )
    try:
        name = alias.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{alias} cannot be read: {error}", "Promote a model again") from error
    if not name:
        raise ConfigurationError(f"{alias} names no model", "Promote one: genrepipe models promote NAME")
    return name


def refuse_unaudited(bundle: Bundle) -> None:
    """Refuse a bundle that may hold a leak.

    Raises
    ------
    BundleBroken
        It has no audit, or a gate of its audit failed.
    """
    if not bundle.manifest.audit:
        raise BundleBroken(f"{bundle.folder} has no audit", "Train it again: training looks for leaks")
    failed = [str(gate.get("gate")) for gate in bundle.manifest.audit if not gate.get("passed")]
    if failed:
        raise BundleBroken(
            f"{bundle.folder}: its audit failed at {', '.join(failed)}", "Find what leaks, and train again"
        )


def promote(bundle: Bundle, model: str, bundles: Path) -> str:
    """Make a bundle, which was found as ``model``, the champion of a folder of bundles, and return how the folder names it.

    Raises
    ------
    WarehouseBusy
        Another command promotes a bundle of that folder.
    StorageError
        The folder cannot be written.
    """
    name = model if model in available(bundles) else str(bundle.folder.resolve())
    files.replace_text(bundles / CHAMPION, f"{name}\n")
    return name


def find(model: str | None, bundles: Path | None = None) -> Path:
    """Return the folder of a bundle, by its name in ``bundles`` or among those that ship, or by path; None is the champion.

    Raises
    ------
    UnknownModel
        There is no such bundle.
    """
    model = model or champion(bundles)
    shipped = available(bundles)
    if model in shipped:
        return shipped[model]
    folder = Path(model)
    if (folder / MANIFEST).is_file():
        return folder
    if folder.is_dir():
        raise BundleBroken(f"{folder} has no {MANIFEST}", "Name a bundle's folder; training writes that file last")
    close = nearest(model, list(shipped))
    raise UnknownModel(
        f"There is no model {model!r}",
        f"Did you mean {close}?" if close else f"Models: {', '.join(shipped)}, or a bundle's folder",
    )


def load(model: str | None = None, bundles: Path | None = None, key: Path | None = None) -> Bundle:
    """Find a bundle and verify its files against its manifest, and that against its signature where there is a ``key``.

    ``bundles`` is a folder of bundles that comes first, ``key`` the public key of who may sign them.

    Raises
    ------
    UnknownModel
        There is no such bundle.
    BundleBroken
        The manifest cannot be read, is of another format, or a file is missing or changed; it is not signed with the key.
    """
    folder = find(model, bundles)
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
        manifest = Manifest.model_validate_json(text)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", "Check its permissions") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its start"
        raise BundleBroken(f"{path} is not a manifest at {where}: {first['msg']}", RESTORE) from error
    if manifest.format != FORMAT or not set(FILES) <= set(manifest.files) <= {*FILES, *OPTIONAL}:
        raise BundleBroken(
            f"{path} is of a format that this version does not know: format {manifest.format}, and this version has {FORMAT}",
            "Train it again with this version",
        )
    if key is not None:
        signature.verify(folder, text, key)
    contents = {}
    for name, expected in manifest.files.items():
        if not (folder / name).is_file():
            raise BundleBroken(f"{folder}: {name} is missing", RESTORE)
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise StorageError(f"{folder / name} cannot be read: {error.strerror}", "Check its permissions") from error
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise BundleBroken(f"{folder}: {name} is not the file that was trained (its sha256 differs)", RESTORE)
    strangers = {entry.name for entry in folder.iterdir()} - {MANIFEST, signature.SIGNATURE, *manifest.files}
    if strangers:
        raise BundleBroken(
            f"{folder} holds files that its manifest does not name: {', '.join(sorted(strangers))}", RESTORE
        )
    _check_fits(folder, manifest)
    if EXTERNAL_DATA in contents[MODEL]:
        raise BundleBroken(f"{folder}: {MODEL} reads other files, which the manifest does not name", RESTORE)
    return Bundle(folder, manifest, hashlib.sha256(text).hexdigest(), contents)


def _check_fits(folder: Path, manifest: Manifest) -> None:
    known = {table.name for table in contracts.load("features").tables}
    if not set(manifest.inputs) <= known or list(manifest.input_columns) != features.columns(manifest.inputs):
        raise BundleBroken(
            f"{folder} takes other inputs than the contract of the features has",
            "Train it again with this version",
        )
    if list(manifest.labels) != contracts.genres():
        raise BundleBroken(
            f"{folder} answers other genres than the contract of the predictions has",
            "Train it again with this version",
        )


def save(folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Bundle:
    """Write a bundle, its manifest last, and load it back.

    ``manifest`` has every key but ``format`` and ``files``. An existing bundle in ``folder`` is replaced.

    Raises
    ------
    StorageError
        The folder cannot be written, or holds something else than a bundle.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in folder.iterdir()}
        if present - {MANIFEST, signature.SIGNATURE, *FILES, *OPTIONAL}:
            raise StorageError(f"{folder} holds other files", "Name an empty or new folder")
        for name in (MANIFEST, *present):
            (folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
        whole = Manifest.model_validate({"format": FORMAT, **manifest, "files": hashes})
        text = json.dumps(whole.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}", "Check its permissions and the disk"
        ) from error
    return load(str(folder))
