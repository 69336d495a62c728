"""The process: every way out is one line and an exit code of the table."""

from __future__ import annotations

import signal

# Until main() is there to explain an interrupt, let it end the process without a word (130 in a shell).
signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import itertools
import json
import os
import sys
from typing import NoReturn

import click

from genrepipe import resources
from genrepipe.cli import cli
from genrepipe.errors import INTERRUPTED, GenrepipeError, Interrupted, StorageError, UsageError

_interrupts: list[int] = []


def _interrupt(number: int, _: object) -> NoReturn:
    """Remember that the user stopped us: what the exception becomes on its way out, libraries decide."""
    _interrupts.append(number)
    raise KeyboardInterrupt


def _leave(code: int) -> NoReturn:
    """End the process at once.

    The libraries' own clean-up at the end of an interpreter takes longer than a small run, and prints notes of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            pass  # the reader of our output has seen enough
        except (OSError, ValueError):
            code = code or StorageError.exit_code  # what was asked for could not be printed
    os._exit(code)


def _fail(error: GenrepipeError, arguments: list[str]) -> NoReturn:
    """Print one line, and the JSON object where it was asked for, and leave with the error's exit code."""
    message = " ".join(str(error).split())
    failure = {"status": "failed", "error": type(error).__name__, "message": message, "exit_code": error.exit_code}
    wanted = "--output=json" in arguments or ("--output", "json") in itertools.pairwise(arguments)
    with contextlib.suppress(
        OSError, ValueError, AttributeError
    ):  # a closed or full stream must not hide the exit code
        print(f"genrepipe: error: {message}", file=sys.stderr)
        if wanted:
            print(json.dumps(failure))
    _leave(error.exit_code)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every failure is one line and an exit code of the table."""
    arguments = sys.argv[1:] if arguments is None else arguments
    code: object = 0
    signal.signal(signal.SIGINT, _interrupt)
    try:
        resources.limit_threads(resources.plan().threads)
        code = cli.main(args=arguments, prog_name="genrepipe", standalone_mode=False)
    except BaseException as error:
        if os.environ.get("GENREPIPE_DEBUG"):
            raise
        _fail(_explained(error), arguments) if not isinstance(error, BrokenPipeError) else _leave(0)
    _leave(code if isinstance(code, int) else 0)


def _explained(error: BaseException) -> GenrepipeError:
    """Return one of our errors for whatever ended the command; a user never sees a traceback."""
    if _interrupts or isinstance(error, KeyboardInterrupt | click.Abort):
        return Interrupted("Interrupted", INTERRUPTED)
    if isinstance(error, GenrepipeError):
        return error
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return UsageError("A command is missing", "Name one of those above")
    if isinstance(error, click.ClickException):
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "genrepipe"
        return UsageError(error.format_message().rstrip("."), f"See {where} --help")
    if isinstance(error, OSError):
        return StorageError(
            f"{error.filename or 'Output'}: {error.strerror or error}", "Check its permissions and the disk"
        )
    first = next(iter(str(error).splitlines()), "")
    return GenrepipeError(
        f"A bug: {type(error).__name__}: {first}", "Please report it with the traceback that GENREPIPE_DEBUG=1 shows"
    )


if __name__ == "__main__":
    main()
