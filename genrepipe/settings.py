"""Job files: what a job is told, from the command line, the environment and the file, in that order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from genrepipe import assets
from genrepipe.errors import ConfigurationError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "GENREPIPE_"
MOST_DAYS = 36_500  # that can be kept: a century
NOT_TEXT = ("map", "limits", "keep_days", "seed", "tune")  # whose values are read as YAML where they come as text


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _as_text(value: object) -> object:
    # YAML reads 2026-11-22 as a date, and a folder named 2026 as a number
    return value if value is None or isinstance(value, dict | list) else str(value)


Text = Annotated[str, BeforeValidator(_as_text)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_listed)]


class _Job(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    source: Words
    encoding: Text = "utf-8"
    map: dict[str, str] = Field(default_factory=dict)


class ScoreJob(_Job):
    """Keys of a scoring job."""

    job: Literal["score"]
    warehouse: Path
    run_date: Text | None = None
    model: Text | None = None
    bundles: Path | None = None
    shadow: Text | None = None
    keep_days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    limits: dict[str, float] = Field(default_factory=dict)
    metrics_file: Path | None = None
    lineage_file: Path | None = None
    ping_start: str | None = None
    ping_success: str | None = None
    ping_failure: str | None = None


class TrainJob(_Job):
    """Keys of a training job."""

    job: Literal["train"]
    out: Path
    models: Words = ()
    seed: int = 0
    tune: int = 0


KINDS: dict[str, type[ScoreJob | TrainJob]] = {"score": ScoreJob, "train": TrainJob}


@dataclass(frozen=True)
class Origin:
    """One key of a job: its value as it is in force, and where that comes from."""

    key: str
    value: Any
    origin: str


SECRET = ("ping_start", "ping_success", "ping_failure")  # addresses of a dead man's switch are their own password


def load(
    path: Path, flags: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> ScoreJob | TrainJob:
    """Read a job file; flags win over the environment, which wins over the file.

    In the environment a key is ``GENREPIPE_KEY``, or ``GENREPIPE_KEY_FILE``, which names a file that holds the value, as
    secrets are mounted. ``path`` may be the name of a job that ships, such as ``score_nightly``.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or has an unknown key or a value that does not fit.
    UsageError
        A flag names an unknown key.
    """
    return _load(path, flags, environment)[0]


def shipped_names() -> list[str]:
    """Return the names of the jobs that ship."""
    return [
        file.stem for file in assets.shipped("jobs").glob("*.yaml") if "\njob: " in file.read_text(encoding="utf-8")
    ]


def explain(path: Path, flags: Mapping[str, str] | None = None) -> list[Origin]:
    """Return every key of a job, its value in force and where that comes from; secrets are not shown."""
    job, origins = _load(path, flags, None)
    told = job.model_dump(mode="json")
    return [
        Origin(key, "(set, not shown)" if key in SECRET and value is not None else value, origins.get(key, "default"))
        for key, value in told.items()
    ]


def _load(
    path: Path, flags: Mapping[str, str] | None, environment: Mapping[str, str] | None
) -> tuple[ScoreJob | TrainJob, dict[str, str]]:
    shipped = assets.shipped("jobs") / f"{path}.yaml"
    if not path.suffix and not path.exists() and shipped.is_file():
        path = shipped
    if not path.suffix and not path.exists() and (close := nearest(str(path), shipped_names())):
        raise UsageError(f"There is no job {str(path)!r}", f"Did you mean {close}?")
    values = _read(path)
    kind = KINDS.get(str(values.get("job")))
    if kind is None:
        raise ConfigurationError(f"{path}: job is {values.get('job')!r}", f"Write job: {' or job: '.join(KINDS)}")
    known = list(kind.model_fields)
    origins = {}
    for key in values:
        if key not in known:
            raise ConfigurationError(f"{path}: unknown key {key!r}", _hint(str(key), known))
        origins[key] = str(path)
    environment = environment if environment is not None else os.environ
    for key in known:
        name = PREFIX + key.upper()
        text = environment.get(name)
        if text is None and (mounted := environment.get(f"{name}_FILE")):
            text, name = _mounted(Path(mounted), f"{name}_FILE"), f"{name}_FILE"
        if text and key != "job":  # an empty variable is none
            values[key], origins[key] = _value(key, text), name
    for key, text in (flags or {}).items():
        if key not in known:
            raise UsageError(f"--set {key}: unknown key", _hint(key, known))
        values[key], origins[key] = _value(key, text), "--set"
    values = {key: value for key, value in values.items() if value is not None}
    try:
        return kind.model_validate(values), origins
    except ValidationError as error:
        first = error.errors()[0]
        where, origin = ".".join(map(str, first["loc"])), origins.get(str(first["loc"][0]), str(path))
        if origin == "--set":
            raise UsageError(f"--set {where}: {first['msg']}", "Correct the value") from error
        raise ConfigurationError(f"{origin}: {where}: {first['msg']}", "Correct that value") from error


def _mounted(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{name} names {path}, which cannot be read", "Mount the file, or unset the variable"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}", "Name a job file, for example jobs/score_nightly.yaml"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is not YAML: {' '.join(str(error).split())[:200]}", "Correct the file"
        ) from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} holds no keys", "Begin from jobs/score_nightly.yaml")
    return values


def _value(key: str, text: str) -> Any:
    """Return the value that a flag or a variable means: a path or a name is taken as it stands, ``null`` is none."""
    if text.strip() in {"", "null"}:
        return None
    if key not in NOT_TEXT and not (text.startswith("[") and text.endswith("]")):
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _hint(key: str, known: list[str]) -> str:
    close = nearest(key, known)
    return f"Did you mean {close}?" if close else f"Keys: {', '.join(known)}"
