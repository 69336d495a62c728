"""Addresses of object stores: what they may be, what of them may be shown, and the settings with which a store is reached.

Both rooms that reach stores, ``ingest`` and ``exports``, share it; the library that does lives there.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from urllib.parse import urlsplit

from genrepipe.core.errors import ConfigurationError, UsageError

WEB = ("http", "https")  # a server of files: one address, one file
SCHEMES = ("s3", "gs", "az", "abfs", "abfss", *WEB)
RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}
CLIENT = {
    "connect_timeout": "5 seconds",
    "read_timeout": "20 seconds",  # of silence; a whole object may take its time
    "timeout": "24 hours",
    "allow_http": True,  # an endpoint without TLS is one that the user named so
}
CHECK_STORE = "Check the address, the store's settings and the credentials in the environment"


def is_address(argument: str) -> bool:
    """Return whether a source is an address rather than a path."""
    return "://" in argument


def redacted(address: str) -> str:
    """Return an address as logs, ledger and messages may show it: the scheme alone, where the rest may hold a secret."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://…" if has_secret(scheme, rest) else address


def bucket(address: str) -> str:
    """Return the store's part of an address: ``s3://bucket`` of ``s3://bucket/key``."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def has_secret(scheme: str, rest: str) -> bool:
    """Return whether the part of an address after the scheme may hold a secret."""
    host, _, key = rest.partition("/")
    if scheme in WEB:
        return bool(re.search("[@?#]", rest))
    user = "@" in host and not scheme.startswith("abfs")  # there the container stands before it
    return user or bool(re.search("[?:]", host)) or bool(re.search(r"\?[\w-]+=", key))


def check(address: str, schemes: tuple[str, ...] = SCHEMES) -> None:
    """Refuse an address that no store has, that holds a secret, or for which the environment says something impossible.

    Raises
    ------
    UsageError
        The scheme is another one, or a secret is part of the address.
    ConfigurationError
        A setting in the environment cannot be used.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in schemes:
        raise UsageError(f"{scheme}://… is not known here", f"Name a path, or {'://, '.join(schemes)}://")
    if has_secret(scheme, rest):
        raise UsageError(
            f"{redacted(address)}: a secret, or a query, is part of the address",
            "Give the store's address alone, and credentials in the environment, as its own tools take them",
        )
    _check_settings()


def _check_settings() -> None:
    """Refuse settings that would abort the process inside the library."""
    for name, value in os.environ.items():
        if not name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            continue
        if not value.isprintable():
            raise ConfigurationError(f"{name} holds a line break or another control character", "Set it without")
        if re.search(r"ENDPOINT(_URL)?(_S3)?$", name):
            try:
                parts = urlsplit(value)
                usable = parts.scheme in WEB and bool(parts.hostname) and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                raise ConfigurationError(f"{name} is not the address of a server", "Write it as https://host:port")


def line(error: BaseException) -> str:
    """Return the first line of an error without what may be signed or secret: queries, users, and what a server answered."""
    line = next(iter(str(error).splitlines()), type(error).__name__)
    line = re.sub(r"^Generic \w+ error: | in [\d.]+\S?s\b", "", line)
    line = re.sub(r"\?\S+", "?…", re.sub(r"://[^/\s]*@", "://…@", line))
    line = re.sub(r"(status code: \d+[\w ]*).*", r"\1", line)
    return line[:300].strip().rstrip(".:")
