"""The process: every way out is one line and an exit code of the table."""

from __future__ import annotations

import os
import signal

# Until main() can report a signal, let it end the process silently. Python ignores SIGTERM as PID 1.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
    signal.signal(_number, lambda number, _: os._exit(130 if number == signal.SIGINT else 143))

import codecs
import contextlib
import io
import itertools
import json
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from genrepipe.cli.main import cli
from genrepipe.cli.output import OUTCOME
from genrepipe.core import files, resources, signals
from genrepipe.core.errors import MORE_MEMORY, GenrepipeError, StorageError, UsageError, as_genrepipe_error

EXIT_CODES = {0, 64, 65, 66, 70, 74, 75, 78, 130, 143}
LONGEST = 2_000  # characters of a message
TERMINATION_LOG = "/dev/termination-log"  # Kubernetes keeps what is written there as the container's last message


def main() -> NoReturn:
    """Run the command line and end the process."""
    signals.install()
    sys.unraisablehook = _unraisable
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before we began, as 2>&- does
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    if resources.is_memory_limited():
        _watch_over(sys.argv[1:])
    _leave(run(sys.argv[1:]))


def _watch_over(arguments: list[str]) -> None:
    """Return in a child process, and in this one wait for it: a library that gets no memory may end its process.

    What has not the memory to say so is said here. The child hears every signal that this process does.
    """
    if not (child := os.fork()):
        _end_with_parent()
        return
    for number in signals.HANDLED:
        signal.signal(number, lambda number, _: os.kill(child, number))
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended in EXIT_CODES:
        os._exit(ended)
    if ended == -signal.SIGKILL:
        os.kill(os.getpid(), signal.SIGKILL)
    _leave(_fail(StorageError("A library ended the process, for want of memory as it seems", MORE_MEMORY), arguments))


def _end_with_parent() -> None:
    """Ask the system to end this process where its parent is killed, as one process would be."""
    with contextlib.suppress(ImportError, OSError, AttributeError, MemoryError):
        import ctypes  # noqa: PLC0415  only here

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, see prctl(2)


def run(arguments: list[str]) -> int:
    """Run one command, and return its exit code; a failure is one line on stderr."""
    OUTCOME.clear()
    _write_any_character()
    try:
        threads = resources.plan().threads
        resources.limit_threads(threads)
        resources.require(threads)
        code = cli.main(args=arguments, prog_name="genrepipe", standalone_mode=False)
    except (BrokenPipeError, SystemExit):  # click exits where the reader of our output has gone
        code = 0
    except BaseException as error:  # noqa: BLE001  every way out is explained
        if os.environ.get("GENREPIPE_DEBUG"):
            traceback.print_exc()
        return _fail(_reported(error), arguments)
    code = code if isinstance(code, int) else 0
    if OUTCOME.shown:
        _write_result({**OUTCOME.shown, "exit_code": code}, arguments)
    return code


def _write_any_character() -> None:
    """Let every name be printed: files and pipes get UTF-8, and a terminal that knows fewer characters a mark for the others."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8")


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


def _fail(error: GenrepipeError, arguments: list[str]) -> int:
    """Print one line, and the JSON object where it was asked for, and return the error's exit code."""
    # Names in it may hold anything, control characters of terminals too.
    message = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(str(error).split()))
    if len(message) > LONGEST:  # by a value that is repeated in it; the end says what to do
        message = f"{message[: LONGEST - 500]} … {message[-500:]}"
    failure = {"status": "failed", "error": type(error).__name__, "message": message, "exit_code": error.exit_code}
    if OUTCOME.shown:  # a result that is a failure: what was printed of it says more
        failure = {**OUTCOME.shown, "exit_code": error.exit_code}
    wanted = "--output=json" in arguments or ("--output", "json") in itertools.pairwise(arguments)
    _write_result(failure, arguments)
    with contextlib.suppress(
        OSError, ValueError, AttributeError
    ):  # a closed or full stream must not hide the exit code
        print(f"genrepipe: error: {message}", file=sys.stderr)
        if wanted and not OUTCOME.shown:
            print(json.dumps(failure))
    return error.exit_code


def _write_result(result: dict[str, Any], arguments: list[str]) -> None:
    """Write a job's JSON object where a scheduler looks: ``--result-file``, and the termination log, where there is one."""
    if _command(arguments) not in {"score", "run"}:
        return
    named = OUTCOME.result_file or _named_result_file(arguments)
    if named and (reason := files.not_ours(Path(named), b"{")):
        with contextlib.suppress(OSError, ValueError):
            print(f"genrepipe: warning: {named} {reason}, and is not written", file=sys.stderr)
        named = None
    for path in ([str(named)] if named else []) + ([TERMINATION_LOG] if os.path.exists(TERMINATION_LOG) else []):  # noqa: PTH110
        try:
            with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
        except OSError as error:  # the exit code says the same
            with contextlib.suppress(OSError, ValueError):
                print(f"genrepipe: warning: {path} cannot be written: {error.strerror}", file=sys.stderr)


def _command(arguments: list[str]) -> str | None:
    """Return the command that a command line names, after the options of the program itself."""
    before = ["", *arguments]
    named = (word for flag, word in zip(before, arguments, strict=False) if flag != "--log-format")
    return next((word for word in named if not word.startswith("-")), None)


def _named_result_file(arguments: list[str]) -> str | None:
    """Return the result file that the command line names, where the command failed before it was understood."""
    named = dict(itertools.pairwise(arguments)).get("--result-file") or os.environ.get("GENREPIPE_RESULT_FILE")
    return next((a.partition("=")[2] for a in arguments if a.startswith("--result-file=")), named)


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    """Ignore an interrupt that was raised where nothing can catch it, such as in a destructor."""
    if signals.received() is None:
        sys.__unraisablehook__(what)


def _reported(error: BaseException) -> GenrepipeError:
    """Return a GenrepipeError for whatever ended the command; a user never sees a traceback."""
    if (stopped := signals.received()) is not None:
        return stopped
    if isinstance(error, click.Abort):
        return as_genrepipe_error(KeyboardInterrupt())
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return UsageError("A command is missing", "Name one of those above")
    if isinstance(error, click.ClickException):
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "genrepipe"
        return UsageError(error.format_message().rstrip("."), f"See {where} --help")
    return as_genrepipe_error(error)


if __name__ == "__main__":
    main()
