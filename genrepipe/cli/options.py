"""Options and arguments that commands share, those that come from a request's schema, and mistyped commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from genrepipe.cli import completion
from genrepipe.cli.output import OUTCOME
from genrepipe.core import waiting
from genrepipe.core.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pydantic.fields import FieldInfo

    from genrepipe.core.events import Reporter
    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.pipeline.requests import Request, ScoreRequest, TrainRequest

T = TypeVar("T")

OUTPUT = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print the result.",
)  # fmt: skip
SOURCE = click.argument("source", nargs=-1, required=True, shell_complete=completion.files)
ENCODING = click.option(
    "--encoding", default="utf-8", show_default=True, envvar="GENREPIPE_ENCODING",
    help="Encoding of CSV files: utf-8, windows-1252, latin-1, utf-16, or another of Python's.",
)  # fmt: skip
READ_BY = (
    click.option(
        "--map", multiple=True, metavar="OURS=THEIRS",
        help='Read a contract column from another one: --map artist_name="Artist Name".',
    ),
    click.option(
        "--recipe", envvar="GENREPIPE_RECIPE", metavar="RECIPE", shell_complete=completion.recipes,
        help="How another catalogue becomes ours: a recipe's name or file.",
    ),
    click.option(
        "--missing", multiple=True, metavar="TEXT",
        help="A text that says in any column that the value is not known, beside those of the contract.",
    ),
)  # fmt: skip


def READING(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802  used as the other options are
    """Give a command the options that say how a source is read; ``recipe_of`` takes all but the encoding."""
    for option in (*reversed(READ_BY), ENCODING):
        command = option(command)
    return command


def recipe_of(keys: dict[str, Any]) -> SourceRecipe:
    """Return the recipe by which the options say that a source is read."""
    from genrepipe.ingest import recipes

    return recipes.load(keys["recipe"]).with_keys(pairs(keys["map"], "--map"), keys["missing"])


WAREHOUSE = click.option(
    "--warehouse", type=click.Path(readable=False, path_type=Path), default=Path("warehouse.duckdb"), show_default=True,
    envvar="GENREPIPE_WAREHOUSE", show_envvar=True, help="The DuckDB file that people query.",
)  # fmt: skip
BUNDLES = click.option(
    "--bundles", type=click.Path(readable=False, path_type=Path), envvar="GENREPIPE_BUNDLES",
    help="Your own folder of bundles, which comes before those that ship.",
)  # fmt: skip
BUNDLE_KEY = click.option(
    "--bundle-key", type=click.Path(readable=False, path_type=Path), envvar="GENREPIPE_BUNDLE_KEY",
    help="Take bundles alone that are signed with the key of this public one, a PEM file.",
)  # fmt: skip
FROM = click.option(
    "--from", "first", shell_complete=completion.run_dates, help="Fill in every run date from this one, YYYY-MM-DD."
)
TO = click.option("--to", "last", shell_complete=completion.run_dates, help="The last run date to fill in.")
JOB = click.option("--job", shell_complete=completion.jobs, help="Of this job alone; without it, of any.")
SET = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a key of the job file; of a training job every key that is no flag here.",
)


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> int:
    try:
        return waiting.seconds(value)
    except ValueError as error:
        raise click.BadParameter(f"{value}: {error}", ctx, param) from None


WAIT = click.option(
    "--wait", callback=_seconds, metavar="DURATION", default="0s", envvar="GENREPIPE_WAIT",
    help="Wait so long, such as 10m, for another run, or for whoever has the warehouse open for writing.",
)  # fmt: skip


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep an option of the log for the whole command, whether it stands before the command's name or after it."""
    chosen = ctx.find_root().ensure_object(dict)
    if value not in (None, False):
        chosen[str(param.name)] = value


def LOGGING(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802  used as the other options are
    """Give a command the options of its log, which ``watching`` and ``following`` take."""
    log_format = click.option(
        "--log-format", type=click.Choice(["text", "json"]), expose_value=False, callback=_remember,
        envvar="GENREPIPE_LOG_FORMAT", help="How to log to stderr; without it, text on a terminal and JSON elsewhere.",
    )  # fmt: skip
    quiet = click.option(
        "--quiet", "-q", is_flag=True, expose_value=False, callback=_remember, envvar="GENREPIPE_QUIET",
        help="Log warnings and errors alone.",
    )  # fmt: skip
    return log_format(quiet(command))


def log_options() -> dict[str, Any]:
    """Return what was chosen of the log."""
    return dict(click.get_current_context().find_root().ensure_object(dict))


def watching() -> AbstractContextManager[Reporter]:
    """Follow what a command does, as the options of its log say."""
    from genrepipe import observers

    return observers.watching(**log_options())


def waited(call: Callable[[Reporter], T], wait: int) -> T:
    """Return what a command on a warehouse does, which is called again while another process holds it."""
    with watching() as reporter:
        return waiting.until_free(lambda: call(reporter), wait, reporter)


class Group(click.Group):
    """Lists commands in the order of their definition, and names the nearest one where one is mistyped.

    ``sections`` are the headings under which a long list of commands is shown, with a line for each command.
    """

    def __init__(self, *args: Any, sections: dict[str, dict[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections or {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each command, under its heading where there are several."""
        if not self.sections:
            super().format_commands(ctx, formatter)
            return
        longest = max(map(len, self.commands))
        for heading, lines in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(longest), line) for name, line in lines.items()])

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the signature is click's
        """Return the names in the order of their definition."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command, or say which one was probably meant."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            close = nearest(args[0], list(self.commands))
            raise UsageError(
                f"There is no command {args[0]!r}",
                f"Did you mean {close}?" if close else f"See {ctx.command_path} --help",
            )
        return super().resolve_command(ctx, args)


class RequestCommand(click.Command):
    """A command with an option for every key of a request's schema; ``kind`` names it in ``requests.KINDS``.

    The options are made when they are first needed, since the schema needs pydantic. What a user does not give is None.
    """

    def __init__(self, *args: Any, kind: str = "score", positional: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kind, self._positional, self._built = kind, positional, False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options of the schema, and those of the command."""
        if not self._built:
            from genrepipe.pipeline.requests import KINDS

            self.params += _options_of(KINDS[self._kind], self._positional)
            self._built = True
        return super().get_params(ctx)


def _options_of(kind: type[Request], positional: tuple[str, ...]) -> list[click.Parameter]:
    from genrepipe.pipeline.requests import FILE_ONLY_KEYS, PREFIX, flag_of

    options: list[click.Parameter] = []
    for key, field in kind.model_fields.items():
        if key in FILE_ONLY_KEYS or key in positional:
            continue
        flag = flag_of(kind, key)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        # Commands say that GENREPIPE_KEY is each key's variable; a flag of another name shows its own.
        notes = [] if flag.name == f"--{key.replace('_', '-')}" else [f"env var: {PREFIX}{key.upper()}"]
        if field.is_required() and positional:  # without a positional key, a job file has what is required
            notes.append("required")
        elif default not in (None, (), {}, False):
            notes.append(f"default: {default}")
        text = f"{field.description}  [{'; '.join(notes)}]" if notes else str(field.description)
        if field.annotation is bool:
            options.append(click.Option([flag.name, key], is_flag=True, default=None, help=text))
        elif flag.repeated:
            options.append(
                click.Option(
                    [flag.name, key], multiple=True, metavar=flag.metavar, default=None, help=text,
                    shell_complete=completion.OF_KEYS.get(key),
                )
            )  # fmt: skip
        else:
            kind_of_value = _metavar(field)
            complete = completion.OF_KEYS.get(key) or (completion.files if kind_of_value == "PATH" else None)
            options.append(
                click.Option(
                    [flag.name, key], metavar=flag.metavar or kind_of_value, default=None, help=text,
                    shell_complete=complete,
                )
            )  # fmt: skip
    return options


def _metavar(field: FieldInfo) -> str:
    """Return what a flag's value is called, of the first type of a field that may be None."""
    kind = (*get_args(field.annotation), field.annotation)[0]
    return {int: "NUMBER", Path: "PATH"}.get(kind, "TEXT")


def flags(values: dict[str, Any]) -> dict[str, Any]:
    """Return what the user gave of a request's keys, pairs as mappings."""
    given = {key: value for key, value in values.items() if value not in (None, ())}
    if "map" in given:
        given["map"] = pairs(given["map"], "--map")
    if "limits" in given:
        given["limits"] = numbers(given["limits"], "--limit")
    return given


def score_request(values: dict[str, Any]) -> ScoreRequest:
    """Resolve the request of a scoring command from its flags and the environment."""
    from genrepipe.pipeline.requests import ScoreRequest, resolve

    request = resolve(ScoreRequest, flags(values))
    OUTCOME.result_file = request.result_file
    return request


def job_request(job_file: Path, values: dict[str, Any], settings: tuple[str, ...]) -> ScoreRequest | TrainRequest:
    """Resolve the request of a job file, whose keys flags, ``--set`` and the environment can set."""
    from genrepipe.pipeline.requests import ScoreRequest, load

    request = load(job_file, {**flags(values), **settings_of(settings)})
    if isinstance(request, ScoreRequest):
        OUTCOME.result_file = request.result_file
    return request


def settings_of(texts: tuple[str, ...]) -> dict[str, str | None]:
    """Return the values of ``--set KEY=VALUE``, where nothing and ``null`` say that a key has no value."""
    from genrepipe.pipeline.requests import NONE

    return {key: None if text.strip() in NONE else text for key, text in pairs(texts, "--set").items()}


def pairs(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    """Return KEY=VALUE texts as a mapping.

    Raises
    ------
    UsageError
        A text is not a pair.
    """
    parsed = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{flag} {text}: not a pair", f"Write it as {flag} key=value")
        parsed[key.strip()] = value
    return parsed


def numbers(texts: tuple[str, ...], flag: str) -> dict[str, float]:
    """Return KEY=NUMBER texts as a mapping.

    Raises
    ------
    UsageError
        A text is not a pair, or its value is not a number.
    """
    parsed = {}
    for key, text in pairs(texts, flag).items():
        try:
            parsed[key] = float(text)
        except ValueError:
            raise UsageError(f"{flag} {key}={text}: {text!r} is not a number", f"Write it as {flag} {key}=10") from None
    return parsed
