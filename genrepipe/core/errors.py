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
    · PromotionRefused          nothing says that a bundle is as good as the champion, or it is worse
    · WarehouseUnusable         the file is not a warehouse that this version can use
    · ExtraMissing              a package of an extra is not installed
  x Interrupted            130  stopped by the user
    x Terminated           143  stopped by the system

Every message is one line: what is wrong, where, and what to do.
"""

from __future__ import annotations

import errno
import os

from genrepipe.core import assets


class GenrepipeError(Exception):
    """Base of every failure that genrepipe reports in one line."""

    exit_code = 70

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)
        self.what, self.remedy = what, remedy


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


class PromotionRefused(ConfigurationError):
    """Nothing says that a bundle is as good as the champion, or it is worse: as wrong for a job as one whose audit failed."""


class WarehouseUnusable(ConfigurationError):
    """The warehouse file is not one that this version can use."""


class ExtraMissing(ConfigurationError):
    """A package that belongs to an optional extra is not installed."""

    def __init__(self, what: str, remedy: str = "") -> None:
        if assets.is_checkout():
            remedy = remedy.replace("'genrepipe[", "'.[").removesuffix(".") + " in the checkout"
        super().__init__(what, remedy)


class Interrupted(GenrepipeError):
    """The run was stopped by the user."""

    exit_code = 130


class Terminated(Interrupted):
    """The run was stopped by the system: an eviction, a shutdown, ``docker stop``."""

    exit_code = 143


INTERRUPTED = "What had not been published is rolled back; run again, a published run is recognised"
# What to do about a failure of the operating system, by its errno. Every one of them ends with 74: a file cannot be read or
# written, or the process may have no more of something. One that is not here is answered with CHECK.
CHECK = "Check its permissions and the disk"
MORE_MEMORY = "Give the process more memory; a run needs about 1 GB"
MORE_THREADS = "Allow the user more processes and threads (ulimit -u), or the container more pids"
MORE_FILES = "Raise the limit of open files: ulimit -n 1024"
WRITABLE = "Check its permissions, and as whom this runs"
REMEDIES = {
    errno.ENOSPC: "Free disk space, then run again",
    errno.EDQUOT: "Free disk space, or have the quota raised",
    errno.EFBIG: "Raise the limit of a file's size (ulimit -f), or use a file system of larger files",
    errno.EIO: "Check the disk, and restore what it lost",
    errno.EROFS: "The file system is mounted for reading alone: mount it for writing",
    errno.EACCES: WRITABLE,
    errno.EPERM: WRITABLE,
    errno.EMFILE: MORE_FILES,
    errno.ENFILE: "The machine has no more open files: stop something, or raise fs.file-max",
    errno.ENOMEM: MORE_MEMORY,
    errno.EAGAIN: MORE_THREADS,
    errno.ETXTBSY: "A program runs from that file: wait for it, or name another one",
    errno.EBUSY: "Something else uses it: wait for it, then run again",
    errno.ESTALE: "The network file system changed under it: mount it again, then run again",
    errno.ENOTCONN: "The network file system is gone: mount it again, then run again",
    errno.ETIMEDOUT: "The network or its file system does not answer: run again when it does",
    errno.ENOLCK: "The file system has no locks: put the warehouse on one that has",
    errno.ENOENT: "Check the path; if it was there, something removed it",
    errno.ENOTDIR: "Check the path: a part of it is a file",
    errno.EISDIR: "Name a file, not a folder",
    errno.EEXIST: "Name another file, or move that one away",
    errno.ELOOP: "Links lead around in a circle: correct the link",
    errno.ENAMETOOLONG: "Name a shorter path",
    errno.EXDEV: "Both must lie on one file system",
    errno.EMLINK: "The file has too many names: remove some",
    errno.EOPNOTSUPP: "The file system cannot do that: use another one",
}
# Limits of the process, which a library may report by any exception, and as a bug of its own.
LIMITS = (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
# What libraries say where there is no memory: the C++ library, Python for a thread's stack, Rust, the loader, DuckDB.
NO_MEMORY = (
    "bad alloc", "bad_alloc", "can't start new thread", "memory allocation of", "failed to map segment",
    "cannot allocate memory", "out of memory error",
)  # fmt: skip


def errno_in(text: str, among: tuple[int, ...] = tuple(REMEDIES)) -> int | None:
    """Return the errno whose words a message has, as libraries pass them on, or None."""
    lowered = text.lower()
    found = [number for number in among if os.strerror(number).lower() in lowered]
    return max(found, key=lambda number: len(os.strerror(number)), default=None)  # some words begin as others do


def of_limit(error: BaseException) -> StorageError | None:
    """Return the failure that an exception of any library stands for where memory, threads or files ran out, or None."""
    if isinstance(error, GenrepipeError):
        return None
    text = str(error)
    number = errno_in(text, LIMITS)
    if isinstance(error, MemoryError) or any(word in text.lower() for word in NO_MEMORY) or number == errno.ENOMEM:
        return StorageError("Out of memory, or of threads", MORE_MEMORY)
    return StorageError(os.strerror(number), REMEDIES[number]) if number else None


def as_genrepipe_error(error: BaseException) -> GenrepipeError:
    """Return a GenrepipeError for whatever ended a command or a run."""
    if isinstance(error, GenrepipeError):
        return error
    if isinstance(error, OSError) and error.errno not in LIMITS:
        return StorageError(
            f"{error.filename or 'Output'}: {error.strerror or error}", REMEDIES.get(error.errno or 0, CHECK)
        )
    if limit := of_limit(error):
        return limit
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted", INTERRUPTED)
    return a_bug(error)


def a_bug(error: BaseException) -> GenrepipeError:
    """Return the failure of an exception that nothing but a mistake of ours can raise."""
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
