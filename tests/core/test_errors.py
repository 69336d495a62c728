"""What the operating system and libraries raise, as failures of the error tree."""

from __future__ import annotations

import errno
import os

import pytest

from genrepipe.core.errors import CHECK, LIMITS, REMEDIES, StorageError, as_genrepipe_error, of_limit


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_errno_is_a_failure_of_storage_that_says_what_to_do(number: int) -> None:
    failure = as_genrepipe_error(OSError(number, os.strerror(number), "tracks.csv"))
    assert (type(failure), failure.exit_code) == (StorageError, 74)
    assert str(failure).endswith(REMEDIES.get(number, CHECK))
    assert number in LIMITS or str(failure).startswith(f"tracks.csv: {os.strerror(number)}. ")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "Out of memory"),
        (RuntimeError("can't start new thread"), "Out of memory"),
        (RuntimeError("std::bad_alloc"), "Out of memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "Out of memory"),
        (RuntimeError("Os { code: 11, message: Resource temporarily unavailable }"), "ulimit -u"),
        (RuntimeError("Os { code: 24, message: Too many open files }"), "ulimit -n"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "x"), "ulimit -n"),
    ],
)
def test_a_limit_is_known_by_its_words_whatever_raises_it(error: Exception, said: str) -> None:
    failure = as_genrepipe_error(error)
    assert (failure.exit_code, said in str(failure), "A bug" in str(failure)) == (74, True, False)


def test_what_is_no_limit_stays_a_bug() -> None:
    assert of_limit(ValueError("no such key")) is None
    assert as_genrepipe_error(ValueError("no such key")).exit_code == 70
