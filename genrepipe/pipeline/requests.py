"""The one schema of a request: what a job can be told, by a flag, in the environment, or in a job file.

Every key works in all three: ``keep_days: 90`` in the file, ``GENREPIPE_KEEP_DAYS=90`` or ``GENREPIPE_KEEP_DAYS_FILE``
(which names a file that holds the value, as secrets are mounted) in the environment, ``--keep-days 90`` as a flag. A flag
wins over the environment, which wins over the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from genrepipe.core import assets, waiting, yamltext
from genrepipe.core.errors import ConfigurationError, UsageError, nearest
from genrepipe.ingest import recipes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genrepipe.ingest.recipes import SourceRecipe

PREFIX = "GENREPIPE_"
BEGIN = "Name a job file, or begin one with: genrepipe init FOLDER"
MAX_KEEP_DAYS = 36_500  # a century
MAX_BUCKETS = 4096
MAX_MOUNTED = 100_000  # characters of a mounted value


# What pydantic says of a value, in words of ours.
WORDED = {
    "int_parsing": "it is not a whole number",
    "float_parsing": "it is not a number",
    "bool_parsing": "it is neither true nor false",
}


@dataclass(frozen=True)
class Flag:
    """How a key is written as a flag, where that is not ``--key VALUE``."""

    name: str = ""
    metavar: str = ""
    repeated: bool = False  # KEY=VALUE pairs, or several values, one for each use of the flag


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _as_text(value: object) -> object:
    # YAML reads 2026-11-22 as a date, and a folder named 2026 as a number
    return value if value is None or isinstance(value, dict | list) else str(value)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for each in pair for text in _texts_in(each))
    elif isinstance(value, list | tuple):
        yield from (text for each in value for text in _texts_in(each))


Text = Annotated[str, BeforeValidator(_as_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_as_list)]
Pairs = Annotated[dict[str, str], Flag("--map", "OURS=THEIRS", repeated=True)]


class Request(BaseModel):
    """Keys that every job has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    secrets: ClassVar[tuple[str, ...]] = ()

    source: Texts = Field(
        description="CSV, JSON Lines or Parquet files, globs, folders, lake tables, file.duckdb::table, or s3://bucket/key. {run_date} becomes the run date."
    )
    encoding: Text = Field(
        "utf-8", description="Encoding of CSV files: utf-8, windows-1252, latin-1, utf-16, or another of Python's."
    )
    map: Pairs = Field(
        default_factory=dict, description='Read a contract column from another one: --map artist_name="Artist Name".'
    )
    recipe: Annotated[Text | dict[str, Any] | None, Flag("--recipe", "RECIPE")] = Field(
        None,
        description="How another catalogue becomes ours: a recipe's name or file, or, in a job file, what such a file holds.",
    )
    missing: Annotated[Texts, Flag("--missing", "TEXT", repeated=True)] = Field(
        (), description="A text that says in any column that the value is not known, beside those of the contract."
    )

    @field_validator("recipe")
    @classmethod
    def _is_a_recipe(cls, value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        if isinstance(value, dict):
            recipes.load(value)
        return value

    @property
    def reading(self) -> SourceRecipe:
        """The recipe by which the source is read, with the keys ``map`` and ``missing``.

        Raises
        ------
        ConfigurationError
            It cannot be read, or says something that no recipe can.
        UsageError
            There is no recipe of that name.
        """
        return recipes.load(self.recipe).with_keys(self.map, self.missing)

    @field_validator("*", mode="before")
    @classmethod
    def _is_without_zeros(cls, value: object) -> object:
        if any("\0" in text for text in _texts_in(value)):
            msg = "it holds a NUL character, which no name has"
            raise ValueError(msg)
        return value


class ScoreRequest(Request):
    """A scoring job: predict the genre of every track of a source, into a warehouse."""

    secrets: ClassVar[tuple[str, ...]] = ("pushgateway", "otlp", "ping_start", "ping_success", "ping_failure")

    job: Literal["score"] = Field("score", description="The kind of job.")
    name: Text = Field("score", description="The job's name: with the run date the key of its predictions.")
    warehouse: Path = Field(Path("warehouse.duckdb"), description="The DuckDB file that people query.")
    engine: Literal["local", "spark"] = Field(
        "local", description="Where the steps run: in this process, or in the tasks of a Spark cluster."
    )
    master: Text | None = Field(
        None,
        description="Spark's address of the cluster, such as local[2] or spark://host:7077; spark-submit names it itself.",
    )
    lake: Text | None = Field(
        None,
        description="Where the engine spark keeps the large tables, a folder that every worker sees; without it, WAREHOUSE.lake.",
    )
    buckets: int | None = Field(
        None,
        ge=1,
        le=MAX_BUCKETS,
        description="In how many buckets a new lake keeps its tracks; without it, by the size of the source.",
    )
    delivery: Literal["increment", "snapshot"] = Field(
        "increment",
        description="What the source is: an increment, of tracks that are new or changed, or a snapshot of the whole catalogue, which withdraws the job's tracks that it lacks.",
    )
    run_date: Text | None = Field(None, description="The business date, YYYY-MM-DD; without it, today in UTC.")
    model: Text | None = Field(None, description="A bundle's name or folder; without it, the champion.")
    bundles: Path | None = Field(None, description="Your own folder of bundles, which comes before those that ship.")
    bundle_key: Path | None = Field(
        None, description="Score with bundles alone that are signed with the key of this public one, a PEM file."
    )
    shadow: Text | None = Field(None, description="Score a second bundle too, into shadow_predictions.")
    limits: Annotated[dict[str, float], Flag("--limit", "CHECK=NUMBER", repeated=True)] = Field(
        default_factory=dict, description="Set the limit of a check: --limit flipped_percent=30."
    )
    keep_days: int | None = Field(
        None, ge=1, le=MAX_KEEP_DAYS, description="Forget run dates further than this behind the newest."
    )
    wait: Annotated[Text | None, Flag("--wait", "DURATION")] = Field(
        None,
        description="Wait so long, such as 10m, for another run, or for whoever has the warehouse open for writing; without it, not at all.",
    )
    force: bool = Field(
        False, description="Clean and score everything again, also what is already published from the same input."
    )
    dry_run: bool = Field(False, description="Do everything but write.")
    profile: bool = Field(
        False,
        description="Show what each step costs and keep it in the ledger; steps run one after the other, so the run takes longer.",
    )
    report: Path | None = Field(
        None,
        description="Write the run's page when it ends: to a file NIGHT.html, or to a folder, which gets a page a night and a front page.",
    )
    publish: Text | None = Field(
        None,
        description="After the run, publish its tables by run date to this folder or address (s3://bucket/prefix), or a copy of the warehouse to this file.",
    )
    publish_format: Literal["parquet", "delta", "iceberg", "duckdb"] | None = Field(
        None, description="As what: parquet, delta, iceberg, or duckdb, a copy; without it, as before, or parquet."
    )
    metrics_file: Path | None = Field(None, description="Write a Prometheus textfile.")
    pushgateway: Text | None = Field(
        None, description="Push the metrics to a Prometheus Pushgateway, http://host:9091."
    )
    otlp: Text | None = Field(None, description="Send the metrics by OTLP over HTTP to a collector, http://host:4318.")
    lineage_file: Path | None = Field(None, description="Append OpenLineage events to this file.")
    result_file: Path | None = Field(None, description="Write the JSON result there, whatever the end.")
    ping_start: str | None = Field(None, description="Request this address when a run starts.")
    ping_success: str | None = Field(None, description="Request this address when a run succeeds.")
    ping_failure: str | None = Field(None, description="Request this address when a run fails.")

    @field_validator("wait")
    @classmethod
    def _is_a_duration(cls, value: str | None) -> str | None:
        if value is not None:
            waiting.seconds(value)
        return value

    @property
    def wait_seconds(self) -> int:
        """How long another process that holds the warehouse is waited for."""
        return waiting.seconds(self.wait) if self.wait else 0


class TrainRequest(Request):
    """A training job: train bundles on a labelled source."""

    job: Literal["train"] = Field("train", description="The kind of job.")
    name: Text = Field("train", description="The job's name.")
    out: Path = Field(description="Where the bundles go, one folder each.")
    models: Annotated[Texts, Flag("--model", "MODEL", repeated=True)] = Field(
        (), description="A recipe's name, more than once for more; without it, or as all, every one."
    )
    seed: int = Field(0, description="Same data and seed: same bundle.")
    tune: int = Field(0, ge=0, description="Search settings first, with this many more trials; resumable.")


R = TypeVar("R", bound=Request)
KINDS: dict[str, type[ScoreRequest | TrainRequest]] = {"score": ScoreRequest, "train": TrainRequest}
NONE = {"", "null"}  # what says in the environment, or by --set, that a key has no value
FILE_ONLY_KEYS = ("job",)  # neither a flag nor a variable can change them


@dataclass(frozen=True)
class Setting:
    """One key of a job: its value in force, and where that comes from."""

    key: str
    value: Any
    origin: str


def flag_of(kind: type[Request], key: str) -> Flag:
    """Return how a key is written as a flag."""
    declared = next((each for each in kind.model_fields[key].metadata if isinstance(each, Flag)), Flag())
    return declared if declared.name else Flag(f"--{key.replace('_', '-')}", declared.metavar, declared.repeated)


def from_values(kind: type[R], values: Mapping[str, Any]) -> R:
    """Return a request of values that a program gives; neither environment nor file is looked at.

    Raises
    ------
    UsageError
        A key is unknown, or a value does not fit.
    """
    return resolve(kind, dict(values), {})


def resolve(kind: type[R], flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> R:
    """Return a request of flags and the environment, which is that of the process where none is given.

    Raises
    ------
    UsageError
        A flag has an unknown key or a value that does not fit, or a key is missing.
    ConfigurationError
        A value of the environment does not fit.
    """
    return _merged(kind, flags, environment)[0]


def _merged(
    kind: type[R],
    flags: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
    path: str = "",
) -> tuple[R, dict[str, str]]:
    """Return a request, and the origin of each key that is not a default; messages call the file ``path``."""
    keys = list(kind.model_fields)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, value in (file or {}).items():
        if key not in keys:
            raise ConfigurationError(f"{path}: unknown key {key!r}", _hint(str(key), keys))
        values[key], origins[key] = value, path
    for key in keys:
        if key not in FILE_ONLY_KEYS and (
            given := _of_environment(key, os.environ if environment is None else environment)
        ):
            text, variable = given
            values[key], origins[key] = None if text.strip() in NONE else _parsed(kind, key, text), variable
    for key, value in flags.items():
        if key not in keys:
            raise UsageError(f"{key}: unknown key", _hint(key, keys))
        flag = flag_of(kind, key).name
        values[key] = _parsed(kind, key, value) if isinstance(value, str) else value
        if isinstance(value, str) and (not value.strip() or values[key] is None):
            raise UsageError(f"{flag}: {value!r} is no value", "Give one, or leave the flag out")
        origins[key] = f"flag {flag}"
    values = {key: value for key, value in values.items() if value is not None}
    try:
        return kind.model_validate(values), origins
    except ValidationError as error:
        raise _translated(error, origins, path) from error


def _translated(error: ValidationError, origins: Mapping[str, str], path: str) -> ConfigurationError | UsageError:
    first = error.errors()[0]
    key, where = str(first["loc"][0]), ".".join(map(str, first["loc"]))
    said = WORDED.get(first["type"], first["msg"].removeprefix("Value error, "))
    origin = origins.get(key, path)
    if origin.startswith("flag "):
        flag = origin.removeprefix("flag ")
        return UsageError(f"{flag}{where.removeprefix(key)}: {said}", "Correct the value")
    if not origin:
        return UsageError(f"{key} is not given", f"Name it, or set {PREFIX}{key.upper()} in the environment")
    return ConfigurationError(f"{origin}: {where}: {said}", "Correct that value")


def load(
    path: Path, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> ScoreRequest | TrainRequest:
    """Read a job file, or a job that ships by its name, such as ``score_nightly``, and resolve it.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or has an unknown key or a value that does not fit.
    UsageError
        A flag names an unknown key, or there is no such job.
    """
    return _loaded(path, flags, environment)[0]


def _loaded(
    path: Path, flags: Mapping[str, Any] | None, environment: Mapping[str, str] | None
) -> tuple[ScoreRequest | TrainRequest, dict[str, str]]:
    shipped = assets.shipped("jobs") / f"{path}.yaml"
    if not path.suffix and not path.exists() and shipped.is_file():
        path = shipped
    if not path.suffix and not path.exists() and (close := nearest(str(path), shipped_jobs())):
        raise UsageError(f"There is no job {str(path)!r}", f"Did you mean {close}?")
    values = yamltext.read(path, BEGIN)
    kind = KINDS.get(str(values.get("job")))
    if kind is None:
        raise ConfigurationError(f"{path}: job is {values.get('job')!r}", f"Write job: {' or job: '.join(KINDS)}")
    request, origins = _merged(kind, flags or {}, environment, values, str(path))
    if "name" not in origins:  # two files without one would replace each other's predictions
        raise ConfigurationError(f"{path}: name is not given", "Write name: and one word; predictions are kept by it")
    return request, origins


def settings(path: Path, flags: Mapping[str, Any] | None = None) -> list[Setting]:
    """Return every key of a job, its value in force and where that comes from; secrets are not shown."""
    request, origins = _loaded(path, flags, None)
    return [
        Setting(
            key,
            "(set, not shown)" if key in request.secrets and value is not None else value,
            origins.get(key, "default"),
        )
        for key, value in request.model_dump(mode="json").items()
    ]


def shipped_jobs() -> list[str]:
    """Return the names of the jobs that ship."""
    return [
        file.stem for file in assets.shipped("jobs").glob("*.yaml") if "\njob: " in file.read_text(encoding="utf-8")
    ]


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a job file of this kind: score or train."""
    schema = KINDS[kind].model_json_schema()
    schema["required"] = ["job", "name", *schema.get("required", ())]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _of_environment(key: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the value of a key in the environment, and the variable's name; an empty variable is none."""
    name = PREFIX + key.upper()
    if text := environment.get(name):
        return text, name
    mounted = environment.get(f"{name}_FILE")
    if not mounted or name in environment:
        return None
    remedy = "Mount the file, or unset the variable"
    try:
        if Path(mounted).exists() and not Path(mounted).is_file():
            raise ConfigurationError(f"{name}_FILE names {mounted}, which is not a regular file", remedy)
        with Path(mounted).open(encoding="utf-8") as file:
            text = file.read(MAX_MOUNTED + 1).strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{name}_FILE names {mounted}, which cannot be read", remedy) from error
    if len(text) > MAX_MOUNTED:
        raise ConfigurationError(f"{name}_FILE names {mounted}, which holds more than a value", remedy)
    return (text, f"{name}_FILE") if text else None


def _parsed(kind: type[Request], key: str, text: str) -> Any:
    """Return the value that a text means: a path or a name as it stands; a list, pairs, a number or a bool as YAML."""
    annotation: Any = kind.model_fields[key].annotation
    kinds = get_args(annotation) if get_origin(annotation) in {UnionType, Union} else (annotation,)
    is_text = not any(each in {int, bool} or get_origin(each) is dict for each in kinds)
    if is_text and not (text.startswith("[") and text.endswith("]")):
        return text
    try:
        return yamltext.load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _hint(key: str, keys: list[str]) -> str:
    close = nearest(key, keys)
    return f"Did you mean {close}?" if close else f"Keys: {', '.join(keys)}"
