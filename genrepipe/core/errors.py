"""The error tree: one class for each way a run can end, and the exit code that a scheduler sees.

* GenrepipeError
  x UsageError              64  the command cannot be understood
  x ContractBroken          65  the input breaks its contract
    · SourceShapeError          columns are missing, doubled or not readable as a table
    · TooManyRejected           the breaker: more rows are rejected than the contract allows
  x SourceMissing           66  the source is not there (yet)
  x OutputBroken            70  our own output broke its contract: a bug
  x StorageError            74  a file cannot be read or written
  x WarehouseBusy           75  another process holds the warehouse
  x ConfigurationError      78  something that was set up is wrong
    · UnknownModel              no bundle has that name
    · BundleBroken              a bundle is not what its manifest says
    · WarehouseUnusable         the file is not a warehouse that this version can use
    · ExtraMissing              a package of an extra is not installed
  x Interrupted            130  stopped by the user
    x Terminated           143  stopped by the system

Every message is one line: what is wrong, where, and what to do.
"""

from __future__ import annotations


class GenrepipeError(Exception):
    """Base of every failure that genrepipe reports in one line."""

    exit_code = 70

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)


class UsageError(GenrepipeError):
    """The command or one of its values cannot be understood."""

    exit_code = 64


class ContractBroken(GenrepipeError):
    """The input breaks its contract as a whole; nothing was published."""

    exit_code = 65


class SourceShapeError(ContractBroken):
    """The source has not the columns, or not the form, of a track table."""


class TooManyRejected(ContractBroken):
    """More rows break the contract than it allows."""


class SourceMissing(GenrepipeError):
    """The source is not there, or not there yet."""

    exit_code = 66


class OutputBroken(GenrepipeError):
    """What genrepipe made breaks its own contract; nothing was published."""

    exit_code = 70


class StorageError(GenrepipeError):
    """A file cannot be read or written."""

    exit_code = 74


class WarehouseBusy(GenrepipeError):
    """Another process holds the warehouse, or writes in a folder of bundles."""

    exit_code = 75


class ConfigurationError(GenrepipeError):
    """A job file, a contract or a setting is wrong."""

    exit_code = 78


class UnknownModel(ConfigurationError):
    """No bundle has that name."""


class BundleBroken(ConfigurationError):
    """A bundle's files, hashes or golden rows are not what its manifest says."""


class WarehouseUnusable(ConfigurationError):
    """The warehouse file is not one that this version can use."""


class ExtraMissing(ConfigurationError):
    """A package that belongs to an optional extra is not installed."""


class Interrupted(GenrepipeError):
    """The run was stopped by the user."""

    exit_code = 130


class Terminated(Interrupted):
    """The run was stopped by the system: an eviction, a shutdown, ``docker stop``."""

    exit_code = 143


INTERRUPTED = "What had not been published is rolled back; run again, a published run is recognised"
# A thread cannot start where there is no room for its stack, or where there are too many.
NO_MEMORY = ("bad alloc", "can't start new thread")


def as_genrepipe_error(error: BaseException) -> GenrepipeError:
    """Return a GenrepipeError for whatever ended a command or a run."""
    if isinstance(error, GenrepipeError):
        return error
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in NO_MEMORY):
        return StorageError("Out of memory, or of threads", "Give the process more; a run needs about 1 GB")
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted", INTERRUPTED)
    if isinstance(error, OSError):
        return StorageError(
            f"{error.filename or 'Output'}: {error.strerror or error}", "Check its permissions and the disk"
        )
    first = next(iter(str(error).splitlines()), "")
    return GenrepipeError(
        f"A bug: {type(error).__name__}: {first}", "Please report it with the traceback that GENREPIPE_DEBUG=1 shows"
    )


def nearest(word: str, known: list[str]) -> str | None:
    """Return the member of ``known`` that ``word`` most likely meant, or None."""
    from difflib import get_close_matches  # noqa: PLC0415  only failures need it

    folded = {name.casefold().replace("_", " ").replace("-", " "): name for name in known}
    close = get_close_matches(word.casefold().replace("_", " ").replace("-", " ").strip(), folded, n=1, cutoff=0.5)
    return folded[close[0]] if close else None
