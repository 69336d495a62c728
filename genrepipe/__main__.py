"""The process: every way out is one line and an exit code of the table."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

import click

from genrepipe import resources
from genrepipe.cli import cli
from genrepipe.errors import GenrepipeError, Interrupted, StorageError, UsageError


def _leave(code: int) -> NoReturn:
    """End the process at once.

    The libraries' own clean-up at the end of an interpreter takes longer than a small run, and prints notes of its own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(error: GenrepipeError, arguments: list[str]) -> NoReturn:
    """Print one line, and the JSON object where it was asked for, and leave with the error's exit code."""
    message = " ".join(str(error).split())
    print(f"genrepipe: error: {message}", file=sys.stderr)
    if (
        "json" in arguments[arguments.index("--output") + 1 :][:1]
        if "--output" in arguments
        else "--output=json" in arguments
    ):
        print(
            json.dumps(
                {
                    "status": "failed",
                    "error": type(error).__name__,
                    "message": message,
                    "exit_code": error.exit_code,
                    **error.details,
                }
            )
        )
    _leave(error.exit_code)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every failure is one line and an exit code of the table."""
    arguments = sys.argv[1:] if arguments is None else arguments
    resources.limit_threads(resources.plan().threads)
    code: object = 0
    try:
        code = cli.main(args=arguments, prog_name="genrepipe", standalone_mode=False)
    except GenrepipeError as error:
        _fail(error, arguments)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "genrepipe"
        _fail(UsageError(error.format_message().rstrip("."), f"See {where} --help"), arguments)
    except (KeyboardInterrupt, click.Abort):
        _fail(Interrupted("Interrupted", "Nothing was published; run again"), arguments)
    except BrokenPipeError:
        os._exit(0)  # the reader of our output has seen enough
    except OSError as error:
        _fail(
            StorageError(
                f"{error.filename or 'A file'}: {error.strerror or error}",
                "Check its permissions and the disk",
            ),
            arguments,
        )
    except Exception as error:
        if os.environ.get("GENREPIPE_DEBUG"):
            raise
        first = next(iter(str(error).splitlines()), "")
        _fail(
            GenrepipeError(
                f"A bug: {type(error).__name__}: {first}",
                "Please report it with the traceback that GENREPIPE_DEBUG=1 shows",
            ),
            arguments,
        )
    _leave(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
