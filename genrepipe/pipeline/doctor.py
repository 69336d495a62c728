"""Look at all that a night needs, before it comes: each finding is ok, a warning, or a failure with the exit code of the run."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import tempfile
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from genrepipe.core import addresses, files, resources, signals
from genrepipe.core.errors import (
    CHECK,
    REMEDIES,
    ConfigurationError,
    GenrepipeError,
    SourceMissing,
    StorageError,
    WarehouseBusy,
)
from genrepipe.core.resources import MB
from genrepipe.ingest import sources
from genrepipe.pipeline import models, needs, requests
from genrepipe.pipeline.requests import ScoreRequest
from genrepipe.pipeline.results import BrokenModel, DoctorResult, Finding
from genrepipe.warehouse import ledger, lock, schema
from genrepipe.warehouse.connection import STORAGE_VERSION
from genrepipe.warehouse.generations import sibling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from genrepipe.ingest.sources import Source
    from genrepipe.warehouse.connection import Database

STATUSES = ("ok", "warn", "fail")
SLACK = timedelta(minutes=5)  # by which clocks of machines may differ


def examine(job_file: Path | None, flags: Mapping[str, Any]) -> DoctorResult:
    """Look at a job, its source, warehouse and bundles, and at the machine.

    Parameters
    ----------
    job_file
        Without one, what flags and the environment name is looked at, and no source.
    """
    found: list[Finding] = []
    request = None
    with signals.deferred():
        try:
            request = _request(job_file, flags)
            found.append(Finding("job file", "ok", f"{job_file}: job {request.name}" if job_file else "none is named"))
        except GenrepipeError as error:
            found.append(_failed("job file", error))
        if not isinstance(request, ScoreRequest):
            found += _bundles(ScoreRequest(source=()))
        else:
            source, told = _source(request) if job_file else (None, [])
            found += told
            for look in (_warehouse, _lock, lambda each: _room(each, source), _permissions, _bundles):
                signals.check()
                found += look(request)
    worst = max((each.status for each in found), key=STATUSES.index)
    return DoctorResult(worst, found, next((each.exit_code for each in found if each.status == "fail"), 0))


def _request(job_file: Path | None, flags: Mapping[str, Any]) -> requests.ScoreRequest | requests.TrainRequest:
    if job_file is None:
        return requests.resolve(ScoreRequest, {"source": (), **flags})
    return requests.load(job_file, flags)


def _failed(check: str, error: GenrepipeError, status: str = "fail") -> Finding:
    return Finding(check, status, error.what, error.remedy, error.exit_code if status == "fail" else 0)


def _attempt(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a look finds; what stops it is a finding too."""
    try:
        return look()
    except GenrepipeError as error:
        return [_failed(check, error)]
    except OSError as error:
        return [
            _failed(check, StorageError(f"{error.filename}: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)))
        ]


def _source(request: ScoreRequest) -> tuple[Source | None, list[Finding]]:
    """Find the source as a run of today would; objects are not fetched."""
    today = request.run_date or ledger.parse_date(None).isoformat()
    arguments = [argument.replace("{run_date}", today) for argument in request.source]
    shown = ", ".join(map(addresses.redacted, arguments))
    if any(map(addresses.is_address, arguments)):
        return None, [Finding("source", "ok", f"{shown}: not looked at, a run fetches it")]
    try:
        source = sources.resolve(arguments, encoding=request.encoding, recipe=request.reading)
    except SourceMissing as error:  # tonight it may be
        return None, [_failed("source", error, "warn")]
    except GenrepipeError as error:
        return None, [_failed("source", error)]
    return source, [Finding("source", "ok", f"{shown}: {len(source.parts)} files or tables")]


def _warehouse(request: ScoreRequest) -> list[Finding]:
    """Open the warehouse as a run would: is it one, does another process write it, who can open it, is the clock right."""
    path = request.warehouse
    if not path.exists():
        clock = Finding("clock", "ok", f"it is {ledger.utc_now():%Y-%m-%d %H:%M} in UTC")
        return [Finding("warehouse", "ok", f"{path} is not there yet: the first run makes it"), clock]

    def look() -> list[Finding]:
        with schema.open_reading(path, resources.plan()) as database:
            known = len(ledger.run_dates(database))
            found = [
                Finding("warehouse", "ok", f"{path}: {known} run dates published, {path.stat().st_size / 1e6:,.1f} MB")
            ]
            return [*found, _clients(database, path), _clock(database, path)]

    try:
        return look()
    except WarehouseBusy as error:
        return [_failed("warehouse", error)]
    except GenrepipeError as error:
        return [_failed("warehouse", error)]


def _clients(database: Database, path: Path) -> Finding:
    """Say which versions of DuckDB open the file."""
    tags = database.value("SELECT tags FROM duckdb_databases() WHERE database_name = current_database()") or {}
    version = re.match(r"v(\d+)\.(\d+)", str(tags.get("storage_version")))
    if version is None:
        return Finding("DuckDB", "warn", f"which versions of DuckDB open {path} is not known")
    message = f"DuckDB {version[1]}.{version[2]} and later open {path.name}"
    ours = re.match(r"v(\d+)\.(\d+)", STORAGE_VERSION)
    if ours and tuple(map(int, version.groups())) > tuple(map(int, ours.groups())):
        copy = shlex.quote(f"{path}.copy")
        statements = (
            f"ATTACH '{path}' AS old (READ_ONLY); ATTACH '{path}.copy' AS new (STORAGE_VERSION '{STORAGE_VERSION}'); "
            "COPY FROM DATABASE old TO new"
        )
        remedy = f'For {ours[1]}.{ours[2]}, while no job runs: duckdb -c "{statements}" && mv {copy} {shlex.quote(str(path))}'
        return Finding("DuckDB", "warn", message, remedy)
    return Finding("DuckDB", "ok", message)


def _clock(database: Database, path: Path) -> Finding:
    """Hold the clock against what the ledger and the file say of earlier runs."""
    now = ledger.utc_now()
    newest = database.value("SELECT max(finished_at) FROM runs")
    written = datetime.fromtimestamp(path.stat().st_mtime, tz=now.tzinfo)
    last = max(each.replace(tzinfo=now.tzinfo) for each in (newest or written, written))
    if last > now + SLACK:
        return Finding(
            "clock", "fail", f"It is {now:%Y-%m-%d %H:%M} in UTC, and {path} was written at {last:%Y-%m-%d %H:%M}",
            "Set the clock: without a run date, that of the clock is taken", ConfigurationError.exit_code,
        )  # fmt: skip
    if future := [day for day in ledger.run_dates(database) if day > ledger.latest_date()]:
        return Finding(
            "clock", "warn", f"Today is {now.date()}, and {future[0]} is published",
            f"Check the clock; genrepipe retract --run-date {future[0]} takes it back",
        )  # fmt: skip
    return Finding("clock", "ok", f"it is {now:%Y-%m-%d %H:%M} in UTC, after every run")


def _lock(request: ScoreRequest) -> list[Finding]:
    """Say who writes the warehouse now."""

    def look() -> list[Finding]:
        holder = lock.holder(sibling(request.warehouse.resolve(), "lock"))
        if holder is None:
            return [Finding("lock", "ok", "no command writes the warehouse")]
        busy = WarehouseBusy(f"{request.warehouse} is locked by {holder}", lock.BUSY)
        return [_failed("lock", busy)]

    return _attempt("lock", look)


def _room(request: ScoreRequest, source: Source | None) -> list[Finding]:
    """Hold the room that the next run needs against what there is."""
    text = needs.text_of(source) if source else 0.0
    need = needs.of(text, request.warehouse, resources.plan(text))
    more = "" if source else ", and more for its source"
    found = []
    if need.disk_free is None:
        found.append(_failed("disk", StorageError(f"The folder of {request.warehouse} is not there", "Make it first")))
    else:
        message = f"the next run needs about {need.disk / MB:,.0f} MB beside {request.warehouse}{more}; {need.disk_free / MB:,.0f} MB are free"
        remedy = "Free disk space for two more copies of the warehouse"
        status = "fail" if need.disk > need.disk_free else "warn" if 2 * need.disk > need.disk_free else "ok"
        found.append(
            Finding(
                "disk",
                status,
                message,
                "" if status == "ok" else remedy,
                StorageError.exit_code if status == "fail" else 0,
            )
        )
    message = f"the next run needs about {need.memory / MB:,.0f} MB{more}; there are {need.memory_there / MB:,.0f} MB"
    remedy = "" if need.fits_in_memory else f"Give the container more memory, or {needs.ELSEWHERE}"
    found.append(Finding("memory", "ok" if need.fits_in_memory else "warn", message, remedy))
    return found


def _permissions(request: ScoreRequest) -> list[Finding]:
    """Try in the warehouse's folder what a run does there, and look at the files that a run writes for others."""

    def look() -> list[Finding]:
        folder = request.warehouse.resolve().parent
        with tempfile.TemporaryDirectory(dir=folder, prefix=".genrepipe-doctor-") as scratch:
            place = Path(scratch) / "a"
            with place.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.link(place, Path(scratch) / "b")
        if request.warehouse.exists() and not os.access(request.warehouse, os.R_OK):
            raise PermissionError(13, "Permission denied", str(request.warehouse))
        return [Finding("permissions", "ok", f"{folder} can be written, and has locks and hard links")]

    found = _attempt("permissions", look)
    beginnings = {"metrics_file": b"# HELP genrepipe_", "lineage_file": b"{", "result_file": b"{"}
    for key, beginning in beginnings.items():
        path: Path | None = getattr(request, key)
        if path is None:
            continue
        reason = files.not_ours(path, beginning)
        if reason is None and not os.access(path if path.exists() else path.parent, os.W_OK):
            reason = "cannot be written"
        if reason:  # no run fails for it
            found.append(Finding(key, "warn", f"{path} {reason}", "Name another file, or move that one away"))
    return found


def _bundles(request: ScoreRequest) -> list[Finding]:
    """Load the bundles that a job scores with, and look whether any other is broken."""
    found = []
    for role, model in (("bundle", request.model), ("shadow", request.shadow)):
        if role == "shadow" and model is None:
            continue
        try:
            verified = models.verify_model(model, request.bundles, request.bundle_key)
            message = f"{verified.model} {verified.version}: hashes match, {verified.golden_rows} golden rows are answered as recorded"
            found.append(Finding(role, "ok", message))
        except GenrepipeError as error:
            found.append(_failed(role, error))
    with suppress(GenrepipeError):
        for each in models.list_models(request.bundles).models:
            if isinstance(each, BrokenModel) and not any(finding.message in each.broken for finding in found):
                found.append(Finding("bundles", "warn", each.broken))
    return found
