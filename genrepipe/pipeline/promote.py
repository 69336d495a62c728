"""Make a bundle the champion of a folder of bundles, where a comparison with the present one speaks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genrepipe import contracts
from genrepipe.core import resources, signals
from genrepipe.core.errors import ConfigurationError, PromotionRefused, StorageError, UsageError
from genrepipe.core.quoting import identifier, literal
from genrepipe.engines import predict, prepare
from genrepipe.ingest import landing, sources
from genrepipe.model import bundle as bundles
from genrepipe.model import features, promotions
from genrepipe.model.scorer import Scorer
from genrepipe.pipeline.results import PromoteResult
from genrepipe.quality import checks, comparison
from genrepipe.quality.comparison import MIN_ARTISTS, WIDEST, Comparison
from genrepipe.warehouse import ledger, schema
from genrepipe.warehouse.ledger import Run

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path
    from typing import Any

    from genrepipe.ingest.recipes import SourceRecipe
    from genrepipe.model.bundle import Bundle
    from genrepipe.warehouse.connection import Database

COMPARE = (
    "Compare them with --on FILE, labelled tracks that neither was trained on, or with --warehouse FILE, nights that "
    "--shadow scored; or say with --anyway REASON why not"
)
MORE = (
    f"Compare on more: at least {MIN_ARTISTS} artists, and an interval of the accuracy of at most ± {WIDEST:g}; or say with "
    "--anyway REASON why not"
)
KEEP = "Keep the champion, or say with --anyway REASON why not"
# Every track once, by the newest night on which the champion was served and the other one was its shadow.
NIGHTS = """
    SELECT p.track_id, p.genre AS genre_before, s.genre AS genre_after, p.probabilities AS before, s.probabilities AS after
    FROM predictions AS p
    INNER JOIN shadow_predictions AS s USING (run_id, track_id)
    INNER JOIN runs USING (run_id)
    WHERE runs.model_sha256 = $champion AND s.model = $model AND s.model_version = $version
        AND p.run_date = coalesce($day, p.run_date)
    QUALIFY row_number() OVER (PARTITION BY p.track_id ORDER BY p.run_date DESC, p.job) = 1
"""


def promote(
    model: str, folder: Path, *, on: tuple[str, ...] = (), encoding: str = "utf-8", recipe: SourceRecipe | None = None,
    warehouse: Path | None = None, run_date: str | None = None, anyway: str | None = None, key: Path | None = None,
) -> PromoteResult:  # fmt: skip
    """Make a bundle the champion of your own folder: the bundle that a job uses when it names none.

    It is compared with the present champion, which is the shipped one where the folder names none. The comparison, and the
    reason where there is one, is kept in the folder's ``promotions.jsonl``.

    Parameters
    ----------
    on
        A labelled source, which both score as a run would; ``encoding`` and ``recipe`` say how it is read.
    warehouse
        A warehouse whose nights scored the bundle as a shadow; ``run_date`` takes one of them alone.
    anyway
        Why to promote it without a comparison, or against one.

    Raises
    ------
    UsageError
        The options do not fit together.
    PromotionRefused
        Without ``anyway``: there is no comparison, it rests on too little, or the bundle is significantly worse.
    BundleBroken
        Its files are not what its manifest says, it is not signed with the key, its golden rows do not reproduce, or a gate
        of its audit failed.
    StorageError
        The folder cannot be written.
    GenrepipeError
        The source or the warehouse cannot be read.
    """
    _check_usage(on, warehouse, run_date, anyway)
    with signals.deferred():
        bundle = bundles.load(model, folder, key)
        bundles.refuse_unaudited(bundle)
        features.prepare(bundle.manifest.inputs)
        scorer = Scorer(bundle)
        before, champion = _champion(folder, anyway)
        same = champion is not None and champion.sha256 == bundle.sha256
        evidence = None
        if champion is not None and not same:
            if on:
                evidence = _on(on, encoding, recipe, champion, (bundle, scorer))
            elif warehouse is not None:
                evidence = _of_nights(warehouse, run_date, champion, bundle)
        if not same and anyway is None and (refused := _refusal(bundle, champion, evidence)):
            raise PromotionRefused(*refused)
        signals.check()  # from here on a signal is too late
        if not same:
            promotions.add(folder, champion, bundle, evidence.to_dict() if evidence else None, anyway)
        name = bundles.promote(bundle, model, folder)
    return PromoteResult(
        before, name, str(folder), None if same else str(folder / promotions.FILE), evidence, anyway,
        "already champion" if same else "promoted",
    )  # fmt: skip


def _check_usage(on: tuple[str, ...], warehouse: Path | None, run_date: str | None, anyway: str | None) -> None:
    if on and warehouse is not None:
        raise UsageError("--on and --warehouse are two comparisons", "Name one of them")
    if run_date is not None and warehouse is None:
        raise UsageError("--run-date says which night of a warehouse", "Name the --warehouse too")
    if anyway is not None and not anyway.strip():
        raise UsageError("--anyway needs a reason", "Say why, in a few words: it is kept")


def _champion(folder: Path, anyway: str | None) -> tuple[str, Bundle | None]:
    """Return the present champion with its name; None where it is broken, and the promotion goes on for a reason."""
    name = ""
    try:
        name = bundles.champion(folder)
        return name, bundles.load(name, folder)
    except (ConfigurationError, StorageError) as error:
        if anyway is not None and folder.is_dir():
            return name, None
        raise type(error)(
            f"The present champion cannot be compared with: {error.what}", "Say with --anyway REASON that it is broken"
        ) from error


def _refusal(bundle: Bundle, champion: Bundle | None, found: Comparison | None) -> tuple[str, str] | None:
    """Return why a bundle may not become the champion, and what to do; or None."""
    if found is None:
        present = champion.manifest if champion else bundle.manifest
        return f"Nothing says that {bundle.title} is as good as the champion, {present.name} {present.version}", COMPARE
    labelled = f"{found.labelled:,} labelled tracks of {found.artists:,} artists"
    if found.artists < MIN_ARTISTS or found.differences[0].width > WIDEST:
        return f"{found.on} has {labelled}, which tells too little", MORE
    if not found.worse:
        return None
    measured = "; ".join(
        f"{each.measure} {each.after:.4f} after {each.before:.4f}, a difference of {each.difference:+.4f} (95 % interval "
        f"{each.low:+.4f} to {each.high:+.4f})"
        for each in found.worse
    )
    said = f"{found.after} is significantly worse than the champion, {found.before}, on {found.on}: {measured}; by {labelled}"
    return f"{said}; {found.changed:,} of {found.tracks:,} genres would change", KEEP


def _on(
    source: tuple[str, ...], encoding: str, recipe: SourceRecipe | None, champion: Bundle, candidate: tuple[Bundle, Scorer]
) -> Comparison:  # fmt: skip
    """Score a labelled source by both, as a run with an empty catalogue would, and compare."""
    features.prepare(champion.manifest.inputs)
    models = {"before": (champion, Scorer(champion)), "after": candidate}
    run = Run("promote", ledger.parse_date(None), "promote")
    with (
        sources.open_source(source, encoding=encoding, recipe=recipe) as opened,
        prepare.landed_in_memory(opened, run) as (steps, landed),
    ):
        where, database = ", ".join(part.name for part in opened.parts), steps.database
        landing.refuse_empty(landed.counts, where)
        checks.refuse_rejected(steps, landed.counts, where, {})
        _refuse_trained_on(landing.fingerprint(database, opened), where, champion, candidate[0])
        prepare.update_catalogue(steps)
        for side, (bundle, scorer) in models.items():
            prepare.make_scorable(steps, bundle.duration_ms)
            predict.predict(steps, run, bundle, scorer, table="shadow_predictions", of="scorable")
            database.execute(f"CREATE TEMP TABLE answers_{side} AS FROM shadow_predictions")
            database.execute("DELETE FROM shadow_predictions")
        both = (
            "SELECT track_id, b.genre AS genre_before, a.genre AS genre_after, b.probabilities AS before, a.probabilities AS after "
            "FROM answers_before AS b INNER JOIN answers_after AS a USING (track_id)"
        )
        return _compared(database, where, champion, candidate[0], both, None)


def _refuse_trained_on(fingerprint: str, where: str, *both: Bundle) -> None:
    for bundle in both:
        if bundle.manifest.training_data.get("sha256") == fingerprint:
            raise PromotionRefused(
                f"{where} is what {bundle.title} was trained on, and says nothing of other tracks",
                "Hold labelled tracks back from training, best of artists of their own, and name them",
            )


def _of_nights(warehouse: Path, run_date: str | None, champion: Bundle, bundle: Bundle) -> Comparison:
    """Compare a bundle with the champion on the nights of a warehouse that scored it as a shadow."""
    day: date | None = ledger.parse_date(run_date) if run_date else None
    manifest = bundle.manifest
    with schema.open_reading(warehouse, resources.plan()) as database:
        schema.require_current(database)
        others = database.value(
            "SELECT count(*) FROM bundles WHERE model = ? AND model_version = ? AND model_sha256 <> ?",
            [manifest.name, manifest.version, bundle.sha256],
        )
        if others:
            raise PromotionRefused(
                f"{warehouse} knows another bundle of the name {bundle.title}: whose answers its nights have cannot be told",
                "Train it again with this version, which gives each training a version of its own, or compare with --on FILE",
            )
        asked = {"champion": champion.sha256, "model": manifest.name, "version": manifest.version, "day": day}
        nights, first, last = database.rows(
            "SELECT count(DISTINCT run_date), min(run_date), max(run_date) FROM runs "
            "WHERE model_sha256 = $champion AND status = 'published' AND run_date = coalesce($day, run_date) "
            "AND run_id IN (SELECT run_id FROM shadow_predictions WHERE model = $model AND model_version = $version)",
            asked,
        )[0]
        if not nights:
            raise PromotionRefused(
                f"{warehouse} has no night{f' of {day}' if day else ''} that served the champion, {champion.title}, and scored "
                f"{bundle.title} beside it",
                f"Score with --shadow {manifest.name} first, or compare with --on FILE",
            )
        span = f"{first}" if nights == 1 else f"{nights} nights, {first} to {last}"
        return _compared(database, f"{warehouse} ({span})", champion, bundle, NIGHTS, asked)


def _compared(
    database: Database, on: str, champion: Bundle, bundle: Bundle, both: str, asked: dict[str, Any] | None
) -> Comparison:
    """Compare the answers that a query has, of each track ``genre`` and ``probabilities`` of both."""
    genres = contracts.genres()
    tracks, changed = database.rows(
        f"SELECT count(*), count(*) FILTER (genre_before <> genre_after) FROM ({both})", asked
    )[0]
    columns = ", ".join(
        f"{side}[{literal(genre)}] AS {identifier(f'{side} {genre}')}" for side in ("before", "after") for genre in genres
    )  # fmt: skip
    rows = database.frame(
        f"SELECT (list_position([{', '.join(map(literal, genres))}], music_genre) - 1)::UTINYINT AS label, "
        f"(dense_rank() OVER (ORDER BY coalesce('artist ' || artist_key_of(artist_name), 'track ' || track_id)) - 1)::INTEGER AS artist, "
        f"{columns} FROM ({both}) INNER JOIN (SELECT track_id, artist_name, music_genre FROM tracks WHERE music_genre IS NOT NULL) "
        "USING (track_id) ORDER BY track_id",
        asked,
    )
    artists = rows["artist"].to_numpy()
    found = comparison.differences(
        rows["label"].to_numpy(),
        artists,
        *(rows.select(f"{side} {genre}" for genre in genres).to_numpy() for side in ("before", "after")),
    ) if len(rows) else []  # fmt: skip
    return Comparison(
        on, champion.title, bundle.title, int(tracks), int(changed), len(rows), len(np.unique(artists)), found
    )
