"""What a night's numbers say: rules from rows to sentences, each with a plain one where none applies.

A rule about a check is a function of the night that returns a headline, or None where it has nothing better to say than the
contract's sentence. The first of ``HEADLINES`` that a night has something of is its verdict.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.pages import words
from genrepipe.pages.words import NARROW

if TYPE_CHECKING:
    from collections.abc import Callable

    from genrepipe.pipeline.night import Night, Row

# Shape and word of each tone: nobody has to tell colours apart.
STATES = {"good": ("●", "published"), "warn": ("▲", "published, with warnings"), "bad": ("■", "nothing published")}
CHECK_NAMES = {
    "drift_from_training": "Drift against training", "drift_from_recent_runs": "Drift against the seven nights before",
    "quarantined_percent": "Rows quarantined", "quarantined_rows": "Rows quarantined, in number", "volume_change_percent": "Volume against usual",
    "volume_drop_percent": "Volume drop", "withdrawn_percent": "Tracks withdrawn", "source_age_hours": "Age of the source",
    "source_repeated": "The same source again", "files_not_read": "Files not read", "unknown_labels": "Unknown labels", "other_labels": "Contradicting labels",
    "short_duration": "Durations too short", "small_popularity": "Popularity too small", "nameless_artist_percent": "Placeholder artists",
    "imputed_percent": "Values imputed", "mostly_imputed_percent": "A feature nearly always missing", "absent_features": "Features absent",
    "sum_to_one": "Probabilities sum to one", "known_genres": "Known genres", "low_margin_percent": "Toss-ups, margin under 0.1",
    "largest_genre_percent": "Largest genre", "flipped_percent": "Known tracks changing genre", "promised_flips": "Genres changed by a new model", "later_dates": "Later dates to score again",
    "one_prediction_per_track": "One prediction for each track", "as_many_predictions_as_accepted_tracks": "A prediction for every accepted track",
}  # fmt: skip
MANY = 10  # quarantined rows that are worth a correction
UNITS = {"popularity": "points", "loudness": "decibels", "tempo": "beats per minute", "duration_ms": "seconds"}


@dataclass(frozen=True)
class Check:
    """One check of the night, with the unit and the sentence of its contract."""

    name: str
    observed: float
    allowed: float
    verdict: str
    severity: str
    unit: str
    sentence: str


@dataclass(frozen=True)
class Shift:
    """A feature whose distribution moved: its median tonight and usually, as text and as the difference."""

    name: str
    now: str
    usual: str
    difference: float
    psi: float


@dataclass(frozen=True)
class Verdict:
    """Whether a night was good, in a sentence, a few lines of evidence, and what to do."""

    name: str  # good, warnings, refused, failed, replaced or retracted
    tone: str  # good, warn or bad
    state: str
    headline: str
    evidence: str
    actions: tuple[tuple[str, str], ...]  # each with its command, or ""


@lru_cache(maxsize=1)
def _rules() -> dict[str, Any]:
    return {
        name: rule
        for contract in ("source_tracks", "predictions")
        for name, rule in contracts.load(contract).table.checks.items()
    }


def checks(night: Night) -> list[Check]:
    """Return the checks of the night."""
    found = []
    for row in night.of("checks"):
        if row["run_id"] == night.run["run_id"]:
            rule = _rules().get(row["name"])
            unit = {"percent": "%"}.get(rule.unit, rule.unit) if rule else "rows"
            severity = row["severity"] or (rule.severity if rule else "error")
            sentence = rule.description if rule else words.sentence(words.human(row["name"]))
            found.append(
                Check(row["name"], row["observed"], row["allowed"] or 0.0, row["verdict"], severity, unit, sentence)
            )
    return found


def limit_of(night: Night, name: str) -> Check | None:
    """Return a check of the night, or None."""
    return next((check for check in checks(night) if check.name == name), None)


def tone_of(line: Row) -> str:
    """Return the tone of a line of the nights: good, warn or bad."""
    if line["status"] != "published":
        return "bad"
    return "warn" if line.get("warnings") else "good"


def performance_of(night: Night) -> tuple[Row | None, float | None]:
    """Return how good the night was where labels are known, and the accuracy of the seven nights before, by track."""
    rows = {row["run_date"]: row for row in night.of("quality") if row["tracks"]}
    before = [rows[each["run_date"]] for each in night.week if each["run_date"] in rows]
    tracks = sum(row["tracks"] for row in before)
    usual = float(sum(row["accuracy"] * row["tracks"] for row in before) / tracks) if tracks else None
    return rows.get(night.run["run_date"]), usual


def known_tracks(night: Night) -> int:
    """Return how many of the night's tracks were predicted on the seven nights before: those whose genre can have changed."""
    return sum(row["predicted_lately"] for row in night.of("catalogue"))


def drifted(night: Night, against: str) -> list[Row]:
    """Return the features that drifted ``against`` the ``bundle`` or ``recent runs``, the most drifted first."""
    return [
        row for row in night.of("drift") if row["against"] == against and row["verdict"] == "drifted" and row["subject"] != "genre"
    ]  # fmt: skip


def shifted(night: Night) -> list[Shift]:
    """Return the features that drifted from the nights before, with their medians, the most drifted first."""
    medians = {(row["name"], row["tonight"]): row["median"] for row in night.of("medians")}
    found = []
    for row in drifted(night, "recent runs"):
        name = row["subject"]
        now, usual = medians.get((name, True)), medians.get((name, False))
        if now is not None and usual is not None and now != usual:
            scale = 1000 if name == "duration_ms" else 1
            found.append(
                Shift(name, words.figure(now / scale), words.figure(usual / scale), (now - usual) / scale, row["psi"])
            )
    return found


def flipped_share(night: Night) -> float | None:
    """Return the share of the known tracks whose genre changed, whatever the cause; None where that is not known."""
    known = known_tracks(night)
    if night.published and known:
        return float(sum(row["tracks"] for row in night.of("causes")) / known)
    check = limit_of(night, "flipped_percent")
    return check.observed / 100 if check else None


def new_model(night: Night) -> str | None:
    """Return the model of the night before, where tonight's is another one."""
    now = f"{night.run['model']} {night.run['model_version']}"
    before = f"{night.week[-1]['model']} {night.week[-1]['model_version']}" if night.week else now
    return before if before != now else None


def tracks_of(night: Night) -> int:
    """Return how many tracks have a prediction of the night, those of a replay among them."""
    return sum(row["tracks"] for row in night.of("catalogue")) or int(night.run["predicted"])


def values_of(night: Night, rule: str) -> tuple[str, ...]:
    """Return what came where a rule was broken: the most frequent values, or their range and median where they are numbers."""
    rows = [row for row in night.of("refused_values") if row["rule"] == rule]
    if not rows:
        return ()
    first = rows[0]
    if first["numbers"] == first["different"] and first["different"] > 6:
        return (
            f"{words.figure(first['lowest'])} to {words.figure(first['highest'])}",
            f"median {words.figure(first['middle'])}",
        )
    shown = tuple(
        (row["value"] or "an empty cell") + (f" × {words.count(row['rows'])}" if row["rows"] > 1 else "")
        for row in rows
    )
    return (*shown, f"{first['different'] - 6} more") if first["different"] > 6 else shown


def in_percent(night: Night, rule: str) -> bool:
    """Return whether the values that broke a rule look like percent of a share."""
    column, _, kind = rule.partition(".")
    rows = [row for row in night.of("refused_values") if row["rule"] == rule]
    shares = {
        c.name
        for c in contracts.load("source_tracks").table.properties
        if c.logicalTypeOptions and c.logicalTypeOptions.maximum == 1
    }
    return bool(
        rows
        and kind == "maximum"
        and column in shares
        and rows[0]["numbers"] == rows[0]["different"]
        and 2 < rows[0]["middle"] <= 100
    )


def fault(night: Night, rule: Row) -> str:
    """Return what is wrong with the rows that broke a rule: danceability came in percent; or the rule's own words."""
    column: str = rule["rule"].split(".")[0]
    must: str = rule["reason"].partition(": ")[2] or rule["rule"]
    if in_percent(night, rule["rule"]):
        return f"{words.human(column)} came in percent"
    if column == "row":
        return must.rstrip(".")
    shown = values_of(night, rule["rule"])
    return (
        f"{words.human(column)} {must.rstrip('.')}{f', but came as {shown[0]}' if shown and len(shown[0]) < 24 else ''}"
    )


def refused_because(night: Night) -> str:
    """Return why most of the night's rows were refused, as the end of a sentence."""
    rules, refused = night.of("refused"), night.run["quarantined"] or 1
    share = rules[0]["rows"] / refused
    if len(rules) == 1 or share > 0.97:
        return f"since {fault(night, rules[0])}"
    if share >= 0.25:
        return f"{words.one_in(share)} of them since {fault(night, rules[0])}"
    return f"by {words.many(len(rules), 'rule', words=True)}"


CAUSES = {
    "model": "Another model answers", "input": "Its own {changed} changed", "artist context": "Its artist's other tracks changed",
    "imputation": "A value was imputed, or no longer", "several": "Several changes together",
}  # fmt: skip


def cause(name: str, changed: str) -> str:
    """Return the cause of flips as people say it; ``changed`` are the columns of the track itself."""
    columns = words.listed(map(words.human, filter(None, changed.split(", "))))
    known = CAUSES.get(name)
    if known is None:
        return words.sentence(words.human(name))
    if "{changed}" in known:
        return known.format(changed=columns or "row")
    return f"{known}, its own {columns} too" if columns else known


def flipped_because(night: Night) -> str:
    """Return what most flips have in common, as the end of a sentence, or nothing."""
    causes, total = night.of("causes"), sum(row["tracks"] for row in night.of("causes"))
    by_column: dict[str, int] = {}
    for row in causes:
        for column in filter(None, row["changed"].split(", ")):
            by_column[column] = by_column.get(column, 0) + row["tracks"]
    if by_column:
        column, tracks = max(by_column.items(), key=lambda pair: pair[1])
        if tracks >= total / 2:
            return f"{words.one_in(tracks / total)} with a new {words.human(column)}"
    if causes and causes[0]["tracks"] >= total / 2:
        text = cause(causes[0]["cause"], "")
        return f"{words.one_in(causes[0]['tracks'] / total)} since {text[:1].lower()}{text[1:]}"
    return ""


def _drifted(night: Night) -> str | None:
    shifts = shifted(night)
    if not shifts:
        return None
    worst = shifts[0]
    by = f"{words.figure(abs(worst.difference))} {UNITS.get(worst.name, '')}".strip()
    way = "lower" if worst.difference < 0 else "higher"
    what = f"{words.sentence(words.human(worst.name))} arrived {by} {way} than usual"
    flipped = limit_of(night, "flipped_percent")
    if len(shifts) > 1:
        return f"{what}, and {words.many(len(shifts) - 1, 'more feature', words=True)} moved."
    if flipped and flipped.observed >= 5:
        share = words.one_in(flipped.observed / 100)
        changed = (
            f"one known track in {share.removeprefix('one in ')}"
            if share.startswith("one in")
            else f"{share} of the known tracks"
        )
        return f"{what}, so {changed} changed genre."
    return f"{what}."


def _untrained(night: Night) -> str | None:
    rows = drifted(night, "bundle")
    if not rows:
        return None
    more = f" and {words.many(len(rows) - 1, 'more feature', words=True)}" if len(rows) > 1 else ""
    return f"{words.sentence(words.human(rows[0]['subject']))}{more} {'differ' if more else 'differs'} from what the model was trained on."


def _volume(night: Night) -> str | None:
    usual = median([each["received"] for each in night.week] or [0])
    rows = night.run["received"]
    if not usual:
        return None
    return (
        f"Only {words.many(rows, 'row')} came, where {words.count(usual)} are usual."
        if rows < usual
        else f"{words.many(rows, 'row')} came, where {words.count(usual)} are usual."
    )


def _age(night: Night) -> str | None:
    check = limit_of(night, "source_age_hours")
    return f"The source is {words.figure(check.observed / 24)} days old." if check else None


def _largest(night: Night) -> str | None:
    shares = [row for row in night.of("genres") if row["run_date"] == night.run["run_date"]]
    top = max(shares, key=lambda row: row["share"], default=None)
    return f"{words.percent(top['share'])} of the tracks are {top['genre']}." if top else None


def _imputed(night: Night) -> str | None:
    counts = json.loads(night.run["imputed"] or "{}")
    if not counts or not night.run["predicted"]:
        return None
    name, tracks = max(counts.items(), key=lambda pair: pair[1])
    return f"{words.sentence(words.human(name))} is missing in {words.percent(tracks / night.run['predicted'])} of the tracks, and was imputed."


def _flips(night: Night) -> str | None:
    check = limit_of(night, "flipped_percent")
    why = flipped_because(night)
    return (
        f"{words.percent(check.observed / 100)} of the known tracks changed genre{f', {why}' if why else ''}."
        if check
        else None
    )


def _promised(night: Night) -> str | None:
    check = limit_of(night, "promised_flips")
    if check is None:
        return None
    promised = words.count(round(check.allowed / 2))
    return f"The new model changed {words.many(int(check.observed), 'genre')}, where its comparison promised about {promised}."


def _refused(night: Night) -> str | None:
    rules = night.of("refused")
    return f"{words.sentence(fault(night, rules[0]))}." if rules else None


# What to say of a check that is not within its limit; the most telling first.
HEADLINES: dict[str, Callable[[Night], str | None]] = {
    "quarantined_percent": _refused, "quarantined_rows": _refused, "volume_drop_percent": _volume, "volume_change_percent": _volume, "promised_flips": _promised, "flipped_percent": _flips,
    "drift_from_recent_runs": _drifted, "drift_from_training": _untrained, "source_repeated": lambda _: "The source is that of the night before, to the byte.",
    "mostly_imputed_percent": _imputed, "imputed_percent": _imputed, "source_age_hours": _age, "largest_genre_percent": _largest,
    "short_duration": lambda _: "Durations look as if they were in seconds.", "small_popularity": lambda _: "Popularity looks as if it were a share, not points.",
}  # fmt: skip


def _dull(check: Check) -> str:
    name = CHECK_NAMES.get(check.name, words.sentence(words.human(check.name)))
    unit = check.unit.removesuffix("s") if check.observed == 1 else check.unit
    found = f"{words.figure(check.observed)}{NARROW}%" if unit == "%" else f"{words.figure(check.observed)} {unit}"
    if not check.allowed:
        return f"{name}: {found}, where none is allowed."
    return f"{name}: {found}, where {words.figure(check.allowed)} {'is' if unit in {'%', 'PSI'} else 'are'} allowed."


def _headline(night: Night, among: list[Check]) -> str:
    named = {check.name: check for check in among}
    for name, rule in HEADLINES.items():
        if name in named and (said := rule(night)):
            return said
    return _dull(among[0])


def command(night: Night, *given: str) -> str:
    """Return a command on the night's warehouse, as it can be pasted."""
    return f"genrepipe {shlex.join([*given, '--warehouse', night.warehouse])}"


def verdict(night: Night) -> Verdict:
    """Return the verdict on a night."""
    if night.run["status"] == "retracted" or night.replaced:
        return _superseded(night)
    if not night.published:
        return _stopped(night)
    caught = [check for check in checks(night) if check.verdict == "warning"]
    if caught:
        several = words.many(len(caught), "warning", words=True)
        state = f"published, with {'a warning' if len(caught) == 1 else several}"
        return Verdict("warnings", "warn", state, _headline(night, caught), " ".join(_evidence(night, caught)), tuple(_actions(night, caught)))  # fmt: skip
    actions = _actions(night, caught)
    model = f", by a new model, {night.run['model']} {night.run['model_version']}" if new_model(night) else ""
    ending = "" if actions or model else ", nothing to do"
    headline = f"A good night: {words.many(tracks_of(night), 'track')} predicted{model}{ending}."
    return Verdict("good", "good", "published", headline, " ".join(_evidence(night, caught)), tuple(actions))


def _superseded(night: Night) -> Verdict:
    """Return the verdict on a run whose predictions are not those of its date."""
    day = words.month_day(night.run["run_date"])
    if night.replaced:
        said = f"This run of {day} was replaced by a later one."
        action = (
            "Look at the run that stands:",
            command(night, "report", "--run", str(night.other), "--out", "night.html"),
        )
        return Verdict("replaced", "warn", "replaced", said, f"Readers see the answers of run {night.other}. Below is what this run left.", (action,))  # fmt: skip
    return Verdict(
        "retracted",
        "warn",
        "retracted",
        f"What was delivered for {day} was taken back.",
        "Below is what the run left.",
        (),
    )


def _evidence(night: Night, caught: list[Check]) -> list[str]:
    said: list[str] = []
    shifts, names = shifted(night), {check.name for check in caught}
    if shifts and "drift_from_recent_runs" in names:
        worst, unit = shifts[0], UNITS.get(shifts[0].name, "")
        others = (
            "no other feature moved"
            if len(shifts) == 1
            else f"{words.many(len(shifts) - 1, 'other feature', words=True)} moved too"
        )
        way = "fell" if worst.difference < 0 else "rose"
        said.append(f"Its median {way} from {worst.usual}{f' {unit}' if unit else ''} to {worst.now}; {others}.")
    elif caught:
        said += [_dull(check) for check in caught[:2] if _dull(check) != _headline(night, caught)]
    else:
        said.append(f"All {len(checks(night))} checks hold.")
    now, then = performance_of(night)
    share, known, before = flipped_share(night), known_tracks(night), new_model(night)
    if share is not None and known:
        usual = usual_flips(night)
        text = f"{words.percent(share)} of {words.many(known, 'known track')} changed genre"
        check = limit_of(night, "flipped_percent")
        if before:
            text += f"; the model before was {before}"
            if promised := limit_of(night, "promised_flips"):
                text += f", and the comparison of the two promised about {words.count(round(promised.allowed / 2))}"
        elif usual is not None and check and abs(share - usual) > max(0.02, usual):
            text += f", where {words.percent(usual)} is usual; above {words.figure(check.allowed)}{NARROW}% nothing is published"
        said.append(f"{text}.")
    if now:
        against = f", against {words.percent(then, 0)} on the nights before" if then is not None else ""
        said.append(f"Where labels are known, {words.percent(now['accuracy'], 0)} of the answers are right{against}.")
    if open_rows := night.beside.get("open_rows", 0):
        said.append(f"{words.many(open_rows, 'row')} {'waits' if open_rows == 1 else 'wait'} in quarantine.")
    stopped = [words.month_day(each["run_date"]) for each in night.nights[-8:-1] if each["status"] != "published"]
    if stopped:
        said.append(f"{words.listed(stopped)} {'has' if len(stopped) == 1 else 'have'} no predictions.")
    return said[:5]


def usual_flips(night: Night) -> float | None:
    """Return the median share of known tracks that changed genre on the nights before, as their check had it."""
    ids = {each["run_id"] for each in night.week}
    shares = [c["observed"] / 100 for c in night.of("checks") if c["name"] == "flipped_percent" and c["run_id"] in ids]
    return median(shares) if shares else None


def _actions(night: Night, caught: list[Check]) -> list[tuple[str, str]]:
    names, run, done = {check.name for check in caught}, night.run, []
    day, shifts = str(run["run_date"]), shifted(night)
    if shifts and "drift_from_recent_runs" in names:
        done.append(
            (f"Ask the source what happened to {words.human(shifts[0].name)}, and have the night delivered again.", "")
        )
        last = night.beside.get("last_run_id") == run["run_id"]
        undo = command(night, "rollback") if last else command(night, "retract", "--run-date", day, "--job", run["job"])
        done.append(("If readers must not see these answers, take them back:", undo))
    elif names & {
        "volume_change_percent",
        "source_repeated",
        "source_age_hours",
        "short_duration",
        "small_popularity",
        "imputed_percent",
    }:
        done.append(
            ("Ask the source whether the delivery is whole and the right one, and have it delivered again if not.", "")
        )
    if "later_dates" in names:
        done.append(
            (
                "Score the later run dates again, with what is known now:",
                "genrepipe run JOB --force --from DATE --to DATE",
            )
        )
    if (waiting := night.beside.get("open_rows", 0)) >= MANY:
        export = command(night, "quarantine", "export", "--run-date", day, "--job", run["job"], "--out", "fixes.csv")
        done.append((f"Have the {words.many(waiting, 'quarantined row')} corrected:", export))
    if caught and not done:
        listed = words.listed([CHECK_NAMES.get(c.name, words.human(c.name)) for c in caught[:3]])
        done.append(
            (f"Look at {listed[:1].lower()}{listed[1:]} below; if it is right, set the limit in the job file.", "")
        )
    return done[:3]


@lru_cache(maxsize=1)
def _exit_codes() -> dict[int, dict[str, Any]]:
    rows = yaml.safe_load((assets.shipped("jobs") / "exit_codes.yaml").read_text(encoding="utf-8"))
    return {row["code"]: row for row in rows}


def _stopped(night: Night) -> Verdict:
    run = night.run
    day, code = words.month_day(run["run_date"]), run["exit_code"]
    failed = [check for check in checks(night) if check.verdict == "failed"]
    reason, _, remedy = (
        (run["error"] or "the run ended without a word").strip().partition(". ")
    )  # as every message of ours is made
    if failed:
        reason = _headline(night, failed)
        reason = reason if reason[:2].isupper() else reason[:1].lower() + reason[1:]
    name = "refused" if run["status"] == "refused" else "failed"
    if night.other:
        headline = f"A new delivery for {day} was not published: {reason.rstrip('.')}."
        stands = f"Readers still see what run {night.other} published for that date."
        state = f"{name}, the delivery before stands"
    else:
        headline, state = f"No predictions for {day}: {reason.rstrip('.')}.", f"{name}, nothing published"
        last = night.before[-1] if night.before else None
        stands = (
            f"Readers still see the answers of {words.month_day(last['run_date'])}."
            if last
            else "There are no earlier answers."
        )
    known = _exit_codes().get(code if code is not None else -1)
    evidence = [*_why_stopped(night, failed), stands]
    if known:
        evidence.append(
            f"Exit code {code}: {'trying again can help' if known['retry'] else 'trying again will not help'}."
        )
    return Verdict(
        name, "bad", state, headline, " ".join(evidence), tuple(_after_stop(night, failed, remedy, known)[:3])
    )


def _why_stopped(night: Night, failed: list[Check]) -> list[str]:
    if not failed:
        return []
    run, first, rules = night.run, failed[0], night.of("refused")
    if first.name.startswith("quarantined") and rules:
        filled = run["received"] - run["empty"]
        share = f"{words.count(run['quarantined'])} of {words.many(filled, 'row')} ({words.percent(run['quarantined'] / filled)})"
        most = f"{words.count(rules[0]['rows'])} of them {rules[0]['rule']}"
        return [
            f"{share} broke the contract, {most}; above {words.figure(first.allowed)}{NARROW}% nothing is published."
        ]
    return [_dull(first)]


def _after_stop(night: Night, failed: list[Check], remedy: str, known: dict[str, Any] | None) -> list[tuple[str, str]]:
    run, rules, done = night.run, night.of("refused"), []
    moved = drifted(night, "recent runs") or drifted(night, "bundle")
    if failed and rules and failed[0].name.startswith("quarantined"):
        top = rules[0]
        done.append(
            (
                f"Have the source delivered again: {words.human(top['rule'].split('.')[0])} {top['reason'].partition(': ')[2]}.",
                "",
            )
        )
    elif failed and moved:
        name, psi = words.human(moved[0]["subject"]), moved[0]["psi"]
        done.append(
            (
                f"Ask the source what happened to {name}, which drifted (PSI {psi:.2f}), and have the night delivered again.",
                "",
            )
        )
    elif remedy and not failed:
        done.append((f"{remedy.rstrip('.')}.", ""))
    elif known:
        done.append((f"{known['do'].split('. ')[0].rstrip('.')}.", ""))
    source = list(run["sources"]) if run["sources"] and len(run["sources"]) == 1 else ["SOURCE"]
    again = ["score", *source, "--name", run["job"], "--run-date", str(run["run_date"])]
    done.append(("Then fill the night in:" if failed or remedy else "Run it again:", command(night, *again)))
    limit = _next_limit(failed[0]) if failed else None
    if failed and limit is not None:
        done.append(
            ("If the source is right, allow it once:", command(night, *again, "--limit", f"{failed[0].name}={limit}"))
        )
    return done


def _next_limit(check: Check) -> int | None:
    """Return a limit that lets through what was observed, rounded up; None where there is none."""
    step = int(10 ** max(len(str(int(check.observed))) - 2, 0))
    limit = (int(check.observed) // step + 1) * step
    return None if check.unit == "%" and limit > 100 else limit
