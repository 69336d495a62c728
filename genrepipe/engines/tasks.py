"""What a task does where the rows of a run are spread over many: pieces of the source, buckets of tracks, buckets of artists.

A bucket of tracks is a small warehouse: the same steps run on it, in a DuckDB in memory. Nothing here knows who places the
tasks and carries the messages between them::

    land(piece) → deliver(tracks) → profile(artists) → score(tracks)

What a task leaves for good is a Parquet file of its own, which counts once the run has committed it. A failure that
nobody can mend by trying again is a message too.
"""

from __future__ import annotations

import io
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from genrepipe import contracts
from genrepipe.core.errors import StorageError, as_genrepipe_error
from genrepipe.core.quoting import file_literal, identifier, literal
from genrepipe.engines import catalogue, history, prepare
from genrepipe.engines.predict import predict
from genrepipe.ingest import landing, pieces
from genrepipe.model import features
from genrepipe.model.scorer import Scorer
from genrepipe.quality import MONITORS, checks, quarantine
from genrepipe.quality.monitors import Scored
from genrepipe.warehouse import lake, schema
from genrepipe.warehouse.connection import Database
from genrepipe.warehouse.lake import LakeFile
from genrepipe.warehouse.ledger import RowCounts
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from genrepipe.core.resources import Plan
    from genrepipe.ingest.landing import LandedPart
    from genrepipe.ingest.pieces import Piece
    from genrepipe.ingest.sources import Source
    from genrepipe.model.bundle import Bundle
    from genrepipe.quality.checks import CheckResult
    from genrepipe.warehouse.ledger import Run
    from genrepipe.warehouse.steps import Scope

# Of which scopes a task has all rows together.
LANDS: frozenset[Scope] = frozenset({"row"})
DELIVERS: frozenset[Scope] = frozenset({"row", "track"})
PROFILES: frozenset[Scope] = frozenset({"row", "artist"})
SCORES: frozenset[Scope] = frozenset({"row", "track", "artist"})
# Of a visible track, what its artist's profile is made of.
PROFILED = ("artist_key", *(name for name in features.columns() if name != "key"))
# Relations that are kept for the stages after, until the run ends.
DELIVERED = ("landed", "unparsed", "superseded", "known_labels")
SCORED = ("scorable", "earlier_predictions")
TO_THE_RUN = {"delivered", "failed"}  # kinds of messages of ``deliver`` that are for no bucket
# What is bound where no bucket has rows of a relation.
NOTHING = {
    "superseded": "SELECT NULL::BIGINT AS row_id, NULL::BOOLEAN AS contradicts, NULL::BOOLEAN AS relabels WHERE false",
    "known_labels": "SELECT NULL::BIGINT AS row_id, NULL::VARCHAR AS music_genre WHERE false",
    "scorable": "SELECT NULL::BIGINT AS row_id WHERE false",
    "earlier_predictions": "SELECT NULL::VARCHAR AS track_id, NULL::VARCHAR AS model_sha256_before WHERE false",
}


@dataclass(frozen=True)
class Job:
    """What every task of a run knows.

    Attributes
    ----------
    plan
        What one task may use.
    bundles
        That of the run, and that of the shadow, where there is one.
    ledger
        Table ``runs``, as Arrow IPC.
    state
        The committed files of each table of the lake.
    beside
        Parquet files of other tables of the warehouse, whose rows have a ``bucket``.
    horizon
        The last run date that is settled.
    is_earlier
        Whether tracks were delivered for a later date than that of the run.
    kept
        By bucket, the files of relations that earlier tasks kept.
    """

    run: Run
    source: Source
    buckets: int
    plan: Plan
    lake: str
    bundles: tuple[Bundle, ...]
    ledger: bytes
    state: dict[str, list[LakeFile]]
    beside: dict[str, str]
    horizon: date | None = None
    is_earlier: bool = False
    kept: dict[int, dict[str, LakeFile]] = field(default_factory=dict)

    def of_bucket(self, table: str, bucket: int) -> list[LakeFile]:
        """Return the committed files of a bucket of a table."""
        return [file for file in self.state.get(table, ()) if file.bucket == bucket]


@dataclass(frozen=True)
class Message:
    """What a task sends to the task of a bucket, or to the run: rows as Arrow IPC, or any other value.

    ``origin`` is the sender's bucket, the place of its piece, or of a ``part`` its place in the source.
    """

    kind: str
    content: Any
    origin: int = 0


@dataclass(frozen=True)
class Delivered:
    """What a bucket of tracks received, and the files that it wrote."""

    bucket: int
    parts: list[tuple[int, LandedPart]]
    counts: RowCounts
    known: int
    withdrawn: int
    kept: dict[str, LakeFile]
    files: list[LakeFile]
    settled_labels: bytes | None


@dataclass(frozen=True)
class Profiled:
    """The files of a bucket of artists."""

    bucket: int
    files: list[LakeFile]


@dataclass(frozen=True)
class ScoredBucket:
    """What became of a bucket of tracks, the files that it wrote, and what the monitors saw of it."""

    bucket: int
    predicted: int
    imputed: dict[str, int]
    audits: list[CheckResult]
    seen: list[Any]
    kept: dict[str, LakeFile]
    files: list[LakeFile]
    profiled: Profiled


Sent = tuple[int, Message]


def attempt(call: Callable[[], Iterable[Sent]], bucket: int, *, is_last: bool) -> list[Sent]:
    """Return what a task sends; its failure, where another attempt would not mend it or this is the last.

    Raises
    ------
    StorageError
        A file could not be read or written, and another attempt may.
    """
    try:
        return list(call())
    except Exception as error:
        failure = as_genrepipe_error(error)
        if isinstance(failure, StorageError) and not is_last:
            raise
        return [(bucket, Message("failed", failure, bucket))]


def first_failure(messages: Iterable[Message]) -> Message | None:
    """Return the failure among messages that the first piece or bucket sent; None where there is none."""
    return min((each for each in messages if each.kind == "failed"), key=lambda each: each.origin, default=None)


def survey(job: Job, ordinal: int) -> tuple[str, list[Piece]]:
    """Return what tells the content of a part of the source from any other, and its pieces."""
    with Database(None, job.plan) as database:
        return landing.content(database, job.source.parts[ordinal]), pieces.cut(database, job.source, ordinal)


def land(job: Job, piece: Piece) -> Iterator[Sent]:
    """Read a piece, and send each row to the bucket of its track; rows without one are spread."""
    with schema.open_bare(job.plan) as database:
        steps = Steps(database, scopes=LANDS)
        steps.bind_row("run", **job.run.relation())
        landed = landing.land_piece(steps, job.source, piece)
        yield piece.ordinal % job.buckets, Message("part", landed, piece.ordinal)
        spread = f"(row_number_of(row_id) % {job.buckets})::INTEGER"
        buckets = {"landed": f"coalesce(bucket_of(track_id, {job.buckets}), {spread})", "unparsed": spread}
        for relation, bucket in buckets.items():
            if relation in steps:
                yield from _spread(relation, database.frame(f"SELECT {bucket} AS bucket, * FROM {relation}"))


def deliver(job: Job, bucket: int, messages: Sequence[Message]) -> Iterator[Sent]:
    """Put the rows of a bucket into the history of its tracks, and send the visible tracks to the buckets of their artists."""
    if failed := first_failure(messages):
        yield bucket, failed
        return
    with _warehouse(job, bucket) as steps:
        database, files = steps.database, Files(job.lake, job.run, bucket)
        _bind_received(job, steps, messages)
        steps.make("superseded", "accepted")
        counts = landing.count(database)
        known, withdrawn = catalogue.withdrawn(steps)
        quarantine.save(steps, job.run)
        old = (
            "SELECT DISTINCT artist_key FROM track_history SEMI JOIN accepted USING (track_id) "
            "WHERE is_current AND artist_key IS NOT NULL"
        )
        database.execute(f"CREATE TEMP TABLE old_artists AS {old}")
        catalogue.deliver(steps)
        steps.make("known_labels")
        kept = {name: files.write(database, name, f"FROM {name}", kept=True) for name in DELIVERED}
        yield from _send_visible(job, steps, bucket)
        settled = _settle(job, steps)
        if settled is not None and database.value("SELECT count(*) FROM changed_rows"):
            yield from _spread("after", _visible(job, database), bucket)
        written = [files.write(database, "track_history", "FROM track_history")]
    said = [(message.origin, message.content) for message in messages if message.kind == "part"]
    done = Delivered(bucket, said, counts, known, withdrawn, kept, written, settled)
    yield bucket, Message("delivered", done, bucket)


def profile(job: Job, bucket: int, messages: Sequence[Message]) -> Iterator[Sent]:
    """Make the profiles of a bucket of artists anew, and send them to the buckets of tracks that asked for them."""
    with schema.open_bare(job.plan) as database:
        steps = Steps(database, scopes=PROFILES)
        steps.bind_row("run", **job.run.relation())
        database.insert("runs", unpacked(job.ledger))
        read_files(database, "artist_profiles", job.of_bucket("artist_profiles", bucket))
        database.execute("CREATE TEMP TABLE former AS FROM artist_profiles")
        _renew(steps, [message for message in messages if message.kind == "visible"])
        if job.is_earlier:
            database.execute("CREATE TEMP TABLE seen_then AS FROM track_history LIMIT 0")
            _insert(database, "seen_then", [message for message in messages if message.kind == "then"])
            steps.bind("tracks_then", "FROM seen_then")
            catalogue.make_profiles_then(steps)
        else:
            steps.bind("profiles", "FROM artist_profiles")
        yield from _answer(steps, [message for message in messages if message.kind == "wanted"])
        if after := {message.origin: message for message in messages if message.kind == "after"}:
            before = [message for message in messages if message.kind == "visible" and message.origin not in after]
            _renew(steps, [*before, *after.values()])
        written = [Files(job.lake, job.run, bucket).write(database, "artist_profiles", "FROM artist_profiles")]
        yield bucket, Message("profiled", Profiled(bucket, written), bucket)


def score(job: Job, bucket: int, messages: Sequence[Message]) -> Iterator[Sent]:
    """Score the tracks of a bucket, audit the answers, and explain which genres changed."""
    if failed := first_failure(messages):
        yield bucket, failed
        return
    bundle, *shadow = job.bundles
    monitors = [monitor(bundle) for monitor in MONITORS]
    with ExitStack() as stack:
        database = stack.enter_context(schema.open_bare(job.plan))
        steps, files = Steps(database, scopes=SCORES), Files(job.lake, job.run, bucket)
        _bind_delivered(job, steps, bucket)
        _insert(database, "artist_profiles", [message for message in messages if message.kind == "profiles"])
        steps.bind("profiles", "FROM artist_profiles")
        prepare.make_scorable(steps, bundle.duration_ms)
        history.none_continue(steps)
        for other in shadow:
            predict(steps, job.run, other, _scorer(other), table="shadow_predictions", of="scorable")
        predicted = predict(steps, job.run, bundle, _scorer(bundle), monitors=monitors)
        steps.make("flipped", "earlier_predictions")
        before = None
        if database.value("SELECT count(*) FROM flipped"):
            before = stack.enter_context(_before(job, bucket, messages))
        scored = Scored(job.run, steps, before, bundle, _scorer(bundle))
        for monitor in monitors:
            monitor.measure(scored)
        audits = checks.of_audits(steps)
        kept = {name: files.write(database, name, f"FROM {name}", kept=True) for name in SCORED}
        written = [
            files.write(database, "prediction_history", "FROM prediction_history SEMI JOIN run ON run.job = prediction_history.job AND run.run_date = from_run_date"),
            files.write(database, "shadow_predictions", "FROM shadow_predictions"),
        ]  # fmt: skip
        imputed = prepare.imputed(steps)
    profiled = next(message.content for message in messages if message.kind == "profiled")
    seen = [monitor.seen() for monitor in monitors]
    yield bucket, Message("scored", ScoredBucket(bucket, predicted, imputed, audits, seen, kept, written, profiled))


class Files:
    """Writes the files of one task, whose names no other task has, nor another attempt at it."""

    def __init__(self, folder: str, run: Run, bucket: int) -> None:
        self._lake, self._run, self._bucket = folder, run, bucket

    def write(self, database: Database, table: str, select: str, *, kept: bool = False) -> LakeFile:
        """Write a relation; one that is ``kept`` for the run alone lies apart."""
        run = self._run
        folder = f"{run.run_id}/{'kept/' if kept else ''}{table}"
        path = f"{folder}/{self._bucket:05}-{os.urandom(4).hex()}.parquet"
        columns = ["*"]
        if table in lake.TABLES:
            columns = [identifier(name) for name in contracts.load(lake.TABLES[table]).named(table).columns]
        place = Path(self._lake, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        packed = "snappy" if kept else "zstd"
        rows = int(
            database.value(
                f"COPY (SELECT {', '.join(columns)} FROM ({select})) TO {literal(str(place))} (FORMAT parquet, COMPRESSION {packed})"
            )
        )
        if rows:
            with place.open("rb") as file:
                os.fsync(file.fileno())
        else:
            place.unlink()
        of_date = (run.job, run.run_date) if table in {"prediction_history", "shadow_predictions"} else (None, None)
        return LakeFile(table, self._bucket, self._lake, path, rows, run.run_id, *of_date)


_scorers: dict[str, Scorer] = {}  # by the hash of their bundle: a process makes each once


def _scorer(bundle: Bundle) -> Scorer:
    if bundle.sha256 not in _scorers:
        features.prepare(bundle.manifest.inputs)
        _scorers[bundle.sha256] = Scorer(bundle, 1)
    return _scorers[bundle.sha256]


def _spread(kind: str, frame: pl.DataFrame, origin: int = 0) -> Iterator[Sent]:
    """Send the rows of a frame to their buckets."""
    for (bucket,), rows in frame.partition_by("bucket", as_dict=True, include_key=False).items():
        yield int(bucket), Message(kind, packed(rows), origin)


def packed(frame: pl.DataFrame) -> bytes:
    """Return a frame as Arrow IPC."""
    out = io.BytesIO()
    frame.write_ipc(out, compression="lz4")
    return out.getvalue()


def unpacked(content: bytes) -> pl.DataFrame:
    """Return the frame of Arrow IPC."""
    return pl.read_ipc(io.BytesIO(content))


def _together(messages: Iterable[Message]) -> pl.DataFrame | None:
    """Return the rows of messages, with the bucket that each is from as ``origin``; None where there are none."""
    frames = [unpacked(each.content).with_columns(origin=pl.lit(each.origin, pl.Int32)) for each in messages]
    return pl.concat(frames) if frames else None


def _insert(database: Database, table: str, messages: Iterable[Message], select: str = "* EXCLUDE (origin)") -> None:
    rows = _together(messages)
    if rows is not None:
        database.insert(table, rows, select)


def read_files(database: Database, table: str, files: Iterable[LakeFile]) -> None:
    """Insert the rows of files into a table."""
    if rows := lake.rows_of(files):
        database.execute(f"INSERT INTO {table} BY NAME {rows}")


def bind_nothing(steps: Steps, name: str) -> None:
    """Bind a relation of ``DELIVERED`` or ``SCORED`` to an empty table."""
    if name == "landed":
        landing.declare_landed(steps)
    elif name in NOTHING:
        steps.bind(name, NOTHING[name], kind="table")
    else:
        steps.declare(name)


@contextmanager
def _warehouse(job: Job, bucket: int) -> Iterator[Steps]:
    """Yield a warehouse of a bucket of tracks: what its tables of tracks, labels and quarantined rows say of them, and the ledger."""
    with schema.open_bare(job.plan) as database:
        database.insert("runs", unpacked(job.ledger))
        read_files(database, "track_history", job.of_bucket("track_history", bucket))
        for table, path in job.beside.items():
            database.execute(
                f"INSERT INTO {table} BY NAME SELECT * EXCLUDE (bucket) FROM read_parquet({file_literal(Path(path))}) WHERE bucket = {bucket}"
            )
        steps = Steps(database, scopes=DELIVERS)
        steps.bind_row("run", **job.run.relation())
        yield steps


def _bind_received(job: Job, steps: Steps, messages: Sequence[Message]) -> None:
    """Bind the rows that a bucket received, in the order of the source."""
    steps.bind_frame("parts", parts(job))
    steps.declare("known_rows")
    for relation in ("landed", "unparsed"):
        bind_nothing(steps, relation)
        received = _together(message for message in messages if message.kind == relation)
        if received is not None:
            steps.database.insert(relation, received.sort("row_id"), "* EXCLUDE (origin)")


def parts(job: Job) -> pl.DataFrame:
    """Return the relation ``parts``."""
    return pl.DataFrame(
        {"ordinal": range(len(job.source.parts)), "file": [part.name for part in job.source.parts]},
        schema={"ordinal": pl.Int64, "file": pl.String},
    )


def _visible(job: Job, database: Database) -> pl.DataFrame:
    columns = ", ".join(identifier(name) for name in PROFILED)
    return database.frame(
        f"SELECT bucket_of(artist_key, {job.buckets}) AS bucket, {columns} FROM track_history WHERE is_current AND artist_key IS NOT NULL"
    )


def _send_visible(job: Job, steps: Steps, bucket: int) -> Iterator[Sent]:
    """Send what is visible to the artists, now and on the run date, and which profiles this bucket will ask for."""
    database = steps.database
    yield from _spread("visible", _visible(job, database), bucket)
    if job.is_earlier:
        catalogue.see_then(steps)
        columns = ", ".join(identifier(name) for name in PROFILED)
        yield from _spread(
            "then",
            database.frame(f"SELECT bucket_of(artist_key, {job.buckets}) AS bucket, {columns} FROM tracks_then WHERE artist_key IS NOT NULL"),
            bucket,
        )  # fmt: skip
    yield from _spread(
        "wanted",
        database.frame(
            f"SELECT bucket_of(artist_key, {job.buckets}) AS bucket, * FROM ("
            "SELECT DISTINCT artist_key, false AS is_old FROM accepted WHERE artist_key IS NOT NULL "
            "UNION ALL SELECT artist_key, true FROM old_artists)"
        ),
        bucket,
    )


def _settle(job: Job, steps: Steps) -> bytes | None:
    """Settle the tracks of a bucket, and return the labels that stay of them; ``changed_rows`` are visible before or after alone."""
    if job.horizon is None:
        return None
    database = steps.database
    current = "SELECT job, track_id, from_run_date FROM track_history WHERE is_current"
    database.execute(f"CREATE TEMP TABLE current_before AS {current}")
    database.execute("CREATE TEMP TABLE labels_before AS FROM labels")
    catalogue.settle_tracks(steps, job.horizon)
    database.execute(
        f"CREATE TEMP TABLE changed_rows AS (FROM current_before EXCEPT {current}) UNION ALL ({current} EXCEPT FROM current_before)"
    )
    return packed(database.frame("FROM labels EXCEPT FROM labels_before"))


def _renew(steps: Steps, visible: Sequence[Message]) -> None:
    """Make the profiles of all artists of a bucket anew, of tracks that are visible."""
    database = steps.database
    database.execute("DELETE FROM track_history")
    _insert(database, "track_history", visible, "* EXCLUDE (origin), true AS is_current")
    steps.release("touched_artists")
    steps.bind(
        "touched_artists",
        "SELECT DISTINCT artist_key FROM track_history UNION SELECT artist_key FROM artist_profiles",
        kind="table",
    )
    catalogue.renew_profiles(steps)


def _answer(steps: Steps, wanted: Sequence[Message]) -> Iterator[Sent]:
    """Send each bucket of tracks the profiles that it asked for; a former one only where it is another one now."""
    database = steps.database
    database.execute("CREATE TEMP TABLE wanted_profiles (bucket INTEGER, artist_key VARCHAR, is_old BOOLEAN)")
    _insert(database, "wanted_profiles", wanted, "* EXCLUDE (origin), origin AS bucket")
    yield from _spread(
        "profiles",
        database.frame("SELECT bucket, profiles.* FROM profiles JOIN (FROM wanted_profiles WHERE NOT is_old) AS wanted USING (artist_key)"),
    )  # fmt: skip
    yield from _spread(
        "former profiles",
        database.frame(
            "SELECT wanted.bucket, former.* FROM former JOIN (FROM wanted_profiles WHERE is_old) AS wanted USING (artist_key) "
            "ANTI JOIN (SELECT bucket, profiles.* FROM profiles JOIN (FROM wanted_profiles WHERE NOT is_old) AS sent USING (artist_key)) AS same "
            "ON same.bucket = wanted.bucket AND same.artist_key = former.artist_key AND same.version = former.version"
        ),
    )


def _bind_delivered(job: Job, steps: Steps, bucket: int) -> None:
    """Bind what was kept of a bucket when it was delivered, and the earlier predictions of its tracks."""
    database = steps.database
    steps.bind_row("run", **job.run.relation())
    database.insert("runs", unpacked(job.ledger))
    steps.bind_frame("parts", parts(job))
    steps.declare("known_rows")
    for name, file in job.kept[bucket].items():
        bind_nothing(steps, name)
        read_files(database, name, [file])
    steps.make("recent_dates")
    recent = {day for (day,) in database.rows("FROM recent_dates")}
    read_files(
        database,
        "prediction_history",
        [
            file
            for file in job.of_bucket("prediction_history", bucket)
            if file.job == job.run.job and file.run_date in recent
        ],
    )


@contextmanager
def _before(job: Job, bucket: int, messages: Sequence[Message]) -> Iterator[Database]:
    """Yield what the generation before knows of a bucket of tracks: their rows, and the profiles of their artists."""
    with schema.open_bare(job.plan) as database:
        read_files(database, "track_history", job.of_bucket("track_history", bucket))
        _insert(database, "artist_profiles", [message for message in messages if message.kind == "former profiles"])
        sent = _together(message for message in messages if message.kind == "profiles")
        if sent is not None:
            known = database.frame("SELECT artist_key FROM artist_profiles")
            database.insert("artist_profiles", sent.join(known, on="artist_key", how="anti"), "* EXCLUDE (origin)")
        yield database
