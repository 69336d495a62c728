"""Bring a target up to a generation of the warehouse: whole run dates, those that it lacks, and those that changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genrepipe.core import signals
from genrepipe.core.errors import ConfigurationError, OutputBroken, StorageError, UsageError
from genrepipe.core.events import SILENT, Reporter
from genrepipe.exports import documents, manifest, tables
from genrepipe.exports.formats import open_format
from genrepipe.exports.manifest import Manifest
from genrepipe.exports.tables import TABLES
from genrepipe.warehouse import ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from genrepipe.exports.formats import Format
    from genrepipe.exports.manifest import Entry
    from genrepipe.exports.tables import Generation
    from genrepipe.exports.targets import Target
    from genrepipe.warehouse.connection import Database

ELSEWHERE = "Name another target with --to, or move that one away"


@dataclass
class Published:
    """What was done in a target, and what it holds."""

    format: str
    written: list[tuple[str, date, Entry]] = field(default_factory=list)
    removed: list[tuple[str, date]] = field(default_factory=list)
    held: list[date] = field(default_factory=list)  # run dates of which it has predictions
    lacking: list[date] = field(default_factory=list)  # those that the warehouse has, and the target has not


class Publishing:
    """A target that is brought up to a generation."""

    def __init__(
        self, database: Database, generation: Generation, target: Target, form: str | None = None,
        job: str | None = None, reporter: Reporter = SILENT,
    ) -> None:  # fmt: skip
        """Look at what the target holds, and write nothing.

        Raises
        ------
        ConfigurationError
            It holds data of another warehouse, job, format or origin.
        """
        self._database, self._generation, self._target = database, generation, target
        self._job, self._reporter = job, reporter
        if form:
            open_format(form, target)  # what it lacks is said before a store is asked
        content = target.read(manifest.NAME)
        if content is None:
            self._refuse_foreign()
            self.known = Manifest(form or "parquet", generation.origin, job)
        else:
            self.known = manifest.load(f"{target.name}/{manifest.NAME}", content)
            self._refuse_other(form)
        self._format: Format = open_format(self.known.format, target)
        for key in self._format.lacking(self.known):
            del self.known.entries[key]
            self.known.writing.add(key)

    def _refuse_foreign(self) -> None:
        names = [*(f"{table}/" for table in TABLES), documents.NAME]
        found = [name for each in names for name in (self._target.files(each) if each.endswith("/") else [])]
        if self._target.read(documents.NAME) is not None:
            found.append(documents.NAME)
        if found:
            raise ConfigurationError(
                f"{self._target.name} holds {found[0]}, which genrepipe did not write: there is no {manifest.NAME}",
                ELSEWHERE,
            )

    def _refuse_other(self, form: str | None) -> None:
        where, known = self._target.name, self.known
        if known.origin != self._generation.origin:
            raise ConfigurationError(
                f"{where} holds what another warehouse published, whose first run is {known.origin}", ELSEWHERE
            )
        if known.job != self._job:
            of = f"of job {known.job} alone" if known.job else "of every job"
            raise ConfigurationError(f"{where} holds what was published {of}", f"Give the same --job. {ELSEWHERE}")
        if form not in {None, known.format}:
            raise ConfigurationError(f"{where} holds tables in format {known.format}, not {form}", ELSEWHERE)

    def changed(self) -> set[date]:
        """Return the run dates that the target has, and not as the warehouse has them."""
        standing = self._generation.standing
        changed = {key for key, entry in self.known.entries.items() if self._version(key) != entry.version}
        held = {day for _, day in self.known.entries}
        changed |= {key for key in standing if key[1] in held and key not in self.known.entries}
        return {day for _, day in changed | self.known.writing}

    def new(self) -> set[date]:
        """Return the run dates after the newest one of the target, or the newest where it has none; none is in the future."""
        newest, latest = self._generation.newest, ledger.latest_date()
        days = {day for _, day in self._generation.standing if day <= latest}
        held = [day for _, day in self.known.entries if day <= latest]
        after = max(held, default=None)
        return {day for day in days if (after and day > after) or (newest and day >= newest)}

    def missing(self) -> set[date]:
        """Return the run dates that the target lacks, or has in an old version."""
        lacking = {day for key in self._generation.standing if (day := key[1]) and key not in self.known.entries}
        return lacking | self.changed()

    def one(self, day: date) -> set[date]:
        """Return a run date.

        Raises
        ------
        UsageError
            Neither the warehouse nor the target has it.
        """
        days = {each for _, each in (*self._generation.standing, *self.known.entries, *self.known.writing)}
        if day not in days:
            raise UsageError(
                f"{day} is no run date of {self._database.shown_as}", "SELECT run_date, job FROM runs shows what was"
            )
        return {day}

    def publish(self, days: set[date]) -> Published:
        """Bring run dates up to date, the oldest first."""
        done = Published(self.known.format)
        documents.write(self._target, self.known.format)
        work = [(day, keys) for day in sorted(days) if (keys := self._outdated(day))]
        for number, (day, keys) in enumerate(work):
            signals.check()
            self._reporter.progress("run dates published", number, len(work))
            for key in keys:
                self.known.entries.pop(key, None)
            self.known.writing.update(keys)
            self._write_manifest()
            self._replace(keys, done)
            rows = sum(entry.rows for table, each, entry in done.written if each == day and table == "predictions")
            self._reporter.note("published", run_date=day.isoformat(), predictions=rows)
        if work or self._target.read(manifest.NAME) is None:
            self._write_manifest()
        standing = {day for table, day in self._generation.standing if table == "predictions"}
        done.held = sorted(day for table, day in self.known.entries if table == "predictions")
        done.lacking = sorted(standing - set(done.held))
        return done

    def _version(self, key: tuple[str, date]) -> str | None:
        standing = self._generation.standing.get(key)
        return standing.version if standing else None

    def _outdated(self, day: date) -> list[tuple[str, date]]:
        """Return the tables whose rows of a run date are to be written or removed: what goes first, then what comes."""
        keys = [(table, day) for table in TABLES]
        there = {key: entry.version for key, entry in self.known.entries.items()}
        outdated = [k for k in keys if self._version(k) != there.get(k) or k in self.known.writing]
        gone = [key for key in reversed(outdated) if key not in self._generation.standing]
        return gone + [key for key in outdated if key in self._generation.standing]

    def _replace(self, keys: list[tuple[str, date]], done: Published) -> None:
        for key in keys:
            table, day = key
            standing = self._generation.standing.get(key)
            if standing is None:
                self._format.remove(table, day)
                done.removed.append(key)
            else:
                file = self._target.staging / f"{table}.parquet"
                rows = self._here(lambda: tables.write(
                    self._database, table, day, file, self._job, with_date=self._format.with_date  # noqa: B023
                ))  # fmt: skip
                if rows != standing.rows:
                    raise OutputBroken(
                        f"{rows:,} rows of {table} are there for {day}, and {standing.rows:,} were expected",
                        "This is a bug: please report it",
                    )
                entry = self._format.replace(table, day, file, standing.version, rows)
                self.known.entries[key] = entry
                done.written.append((table, day, entry))
            self.known.writing.discard(key)

    def _here(self, write: Callable[[], int]) -> int:
        """Write into the target's folder; where that fails, the target is named and not the warehouse."""
        try:
            return write()
        except StorageError as error:
            why, _, remedy = str(error).partition(". ")
            raise StorageError(f"{self._target.name}: {why}", remedy) from error

    def _write_manifest(self) -> None:
        self.known = replace(
            self.known, run_id=self._generation.run_id, published_at=ledger.utc_now().isoformat(timespec="seconds")
        )
        self._target.write(manifest.NAME, self.known.dump())
