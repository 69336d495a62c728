"""YAML that somebody wrote: read by a safe loader, and refused where its aliases make a small file a large document."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import yaml

from genrepipe.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

VALUES = 100_000  # the largest of our contracts has some thousands
# What opens another level, in one line or by its indentation: the C loader ends the process at some ten thousand of them.
LEVELS = re.compile(r"[\[{]|[-?] (?=[-?] )|^ {500}", re.MULTILINE)
MANY_LEVELS = 1000


def fast_loader(text: str) -> Any:
    """Return the fast loader, or for a text that may be nested too deeply for it the one that says so."""
    many = sum(1 for _ in itertools.islice(LEVELS.finditer(text), MANY_LEVELS + 1)) > MANY_LEVELS
    return yaml.SafeLoader if many else getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C where the wheel has it


def load(text: str, loader: Any = yaml.SafeLoader) -> Any:
    """Return what a YAML document holds.

    Raises
    ------
    YAMLError
        It is not YAML.
    RecursionError
        It is nested too deeply.
    ValueError
        A value is none, or there are more than VALUES when every alias is replaced by what it stands for.
    """
    document = yaml.load(text, Loader=loader)  # noqa: S506  the loaders are safe ones
    waiting, seen = [document], 0
    while waiting:
        each = waiting.pop()
        seen += 1
        if seen > VALUES:
            msg = f"it holds more than {VALUES:,} values, by aliases as it seems"
            raise ValueError(msg)
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return document


def read(path: Path, begin: str) -> dict[str, Any]:
    """Return the keys of a YAML file that somebody wrote; ``begin`` tells them how to begin one.

    Raises
    ------
    ConfigurationError
        It cannot be read, is not YAML, or holds no keys.
    """
    try:
        values = load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", begin) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is not YAML: {' '.join(str(error).split())[:200]}", "Correct the file"
        ) from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} holds no keys", begin)
    return values
