"""Remove the files of a lake that no generation of its warehouse lists."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from genrepipe.core import resources, signals
from genrepipe.core.errors import CHECK, REMEDIES, StorageError, UsageError
from genrepipe.pipeline.results import VacuumResult
from genrepipe.warehouse import lake, ledger, schema
from genrepipe.warehouse.generations import sibling
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.session import write_session

RUN_FOLDER = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{6}")  # what a run leaves in a lake is under its id


def vacuum(warehouse: Path, folder: Path | None = None) -> VacuumResult:
    """Remove what killed and older runs left in a lake; the generation that users see, and the one before it, stay whole.

    Parameters
    ----------
    folder
        The lake, where the warehouse does not know it yet: no run was published.

    Raises
    ------
    UsageError
        The tables of the warehouse lie in no lake, and none is named.
    WarehouseBusy
        A run writes the warehouse.
    StorageError
        A file cannot be removed.
    """
    plan = resources.plan()
    run = Run("vacuum", ledger.parse_date(None), "vacuum")
    with signals.deferred(), write_session(warehouse, run, plan) as session:
        current = session.require_current()
        listed = {file.place for file in lake.files(current)}
        folders = {Path(each) for each in lake.folders(current)} | ({folder.resolve()} if folder else set())
        previous = sibling(warehouse.resolve(), "previous")
        if previous.exists():
            with schema.open_reading(previous, plan) as before:
                listed |= {file.place for file in lake.files(before)}
        if not folders:
            raise UsageError(
                f"The tables of {warehouse} lie in no lake", "Name the folder with --lake, or there is nothing to do"
            )
        removed, freed = 0, 0
        for each in sorted(folders):
            lake.refuse_foreign(each, warehouse)
            for path in sorted(each.glob("*/**/*"), reverse=True):
                signals.check()
                if path in listed or not RUN_FOLDER.fullmatch(path.relative_to(each).parts[0]):
                    continue
                if path.is_dir():
                    _remove_empty(path)
                    continue
                size = path.stat().st_size
                try:
                    path.unlink()
                except OSError as error:
                    raise StorageError(
                        f"{path} cannot be removed: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
                    ) from error
                removed, freed = removed + 1, freed + size
            for path in each.iterdir():
                if path.is_dir() and RUN_FOLDER.fullmatch(path.name):
                    _remove_empty(path)
    return VacuumResult(str(warehouse), removed, freed, len(listed))


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it holds files that are listed
        folder.rmdir()
