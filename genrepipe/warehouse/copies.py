"""A copy of the published generation: a file that people open as they like, and that no run waits for."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from genrepipe.core.errors import CHECK, REMEDIES, ConfigurationError, StorageError, WarehouseBusy, WarehouseUnusable
from genrepipe.core.files import replace_text
from genrepipe.core.version import VERSION
from genrepipe.warehouse import lake, schema
from genrepipe.warehouse.generations import copy_file, sibling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from genrepipe.core.resources import Plan

NOTE = "manifest.json"  # beside a copy: that it is ours, and of which generation


def copy(warehouse: Path, to: Path, plan: Plan) -> tuple[str, int, bool]:
    """Make a file a copy of the published generation, at once; who reads the copy before keeps reading that.

    Returns
    -------
    The newest run in it, its size in bytes, and whether it is another generation than before.

    Raises
    ------
    ConfigurationError
        The file is not a copy that was made here, or the warehouse is none that can be copied.
    WarehouseBusy
        Another process has the warehouse open for writing.
    StorageError
        There is no room for the copy, or its folder cannot be written.
    """
    _refuse_foreign(warehouse, to)
    with _alone(to) as aside:
        return _copied(warehouse, to, aside, plan)


@contextmanager
def _alone(to: Path) -> Iterator[Path]:
    """Yield the file in which the copy is made, which one command at a time has; nothing is left of it."""
    aside = sibling(to, "publishing")
    try:
        descriptor = os.open(aside, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise StorageError(
            f"{to} cannot be written: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not aside.exists() or not os.path.samestat(os.fstat(descriptor), aside.stat()):
            raise BlockingIOError
    except BlockingIOError as error:
        os.close(descriptor)
        raise WarehouseBusy(f"Another command publishes to {to}", "Wait for it, then run again") from error
    try:
        yield aside
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        os.close(descriptor)


def _copied(warehouse: Path, to: Path, aside: Path, plan: Plan) -> tuple[str, int, bool]:
    try:
        for _ in range(3):
            before = warehouse.stat()
            with schema.open_reading(warehouse, plan) as database:
                lake.refuse(database, "Publish it in another format: --format parquet")
                run_id = str(database.value("SELECT max(run_id) FROM runs"))
                if sibling(warehouse, "wal").exists():
                    raise WarehouseUnusable(
                        f"Another program left {sibling(warehouse, 'wal').name} beside {warehouse}",
                        "The next genrepipe score takes it in; copy it then",
                    )
                identity = f"{run_id} {before.st_ino} {before.st_mtime_ns}"
                if to.exists() and _note(to).get("generation") == identity:
                    return run_id, to.stat().st_size, False
                copy_file(warehouse, aside)
            if os.path.samestat(before, warehouse.stat()):  # else a run published meanwhile
                return run_id, _publish(aside, to, identity), True
    except FileNotFoundError as error:
        raise WarehouseUnusable(
            f"{warehouse}: there is no such warehouse", "Run genrepipe score first, or check --warehouse"
        ) from error
    raise WarehouseBusy(f"{warehouse} is published again and again", "Run again")


def _refuse_foreign(warehouse: Path, to: Path) -> None:
    try:
        if to.exists() and (not to.is_file() or (warehouse.exists() and to.samefile(warehouse)) or not _note(to)):
            raise ConfigurationError(
                f"{to} is not a copy that genrepipe publish made", "Name another file, or move that one away"
            )
        if not to.exists() and not to.parent.is_dir():
            raise StorageError(f"{to}: its folder does not exist", f"Make it first: mkdir -p {to.parent}")
    except OSError as error:
        raise StorageError(f"{to} cannot be read: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)) from error


def _note(to: Path) -> dict[str, str]:
    try:
        found = json.loads(sibling(to, NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _publish(aside: Path, to: Path, identity: str) -> int:
    try:
        descriptor = os.open(aside, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        size = aside.stat().st_size
        # The note comes first: a kill in between must leave a file that is known to be a copy.
        replace_text(sibling(to, NOTE), json.dumps({"genrepipe_version": VERSION, "generation": ""}) + "\n")
        aside.replace(to)
        replace_text(sibling(to, NOTE), json.dumps({"genrepipe_version": VERSION, "generation": identity}) + "\n")
    except OSError as error:
        raise StorageError(
            f"{to} cannot be written: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
        ) from error
    return size
