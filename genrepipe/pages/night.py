"""The morning report: one run, whether it was good, and what to do, from the rows of ``pipeline.night``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from genrepipe.core.errors import UsageError
from genrepipe.core.results import Result
from genrepipe.pages import findings, front, page, svg, words
from genrepipe.pages.findings import STATES, known_tracks, limit_of, performance_of
from genrepipe.pages.page import Page, Part
from genrepipe.pages.words import NARROW
from genrepipe.pipeline import night as nights

if TYPE_CHECKING:
    from genrepipe.pages.findings import Verdict
    from genrepipe.pipeline.night import Night, Row

FEW = 200  # tracks, below which ten bins are filled by chance
WILSON = 1.96  # of the standard normal distribution, for 95 %
VISIBLE = {0: "no artist, or 1", 2: "2 to 4", 5: "5 to 19", 20: "20 and more"}
FEATURES = ("artist_name", "track_name", "popularity", "acousticness", "danceability", "duration_ms", "energy", "instrumentalness", "key", "liveness", "loudness", "mode", "speechiness", "tempo", "valence")  # fmt: skip
STAGES = {
    "bundle": "hashes verified, golden rows scored", "fetching": "objects downloaded", "lock": "no other run, no outside writer",
    "copy": "the warehouse, beside itself", "landing": "rows read and judged", "catalogue": "tracks and artists brought up to date",
    "scoring": "features, and the model's graph", "checks": "flips, drift, and the breaker at the door out",
    "ledger": "checks and counts written",
}  # fmt: skip


@dataclass(frozen=True)
class ReportResult(Result):
    """The page that was written, of which run, and how that run ended."""

    page: str
    run_id: str
    run_date: str
    verdict: str  # good, warnings, refused, failed, replaced or retracted
    headline: str
    bytes: int
    index: str | None = None
    status: str = "written"


def report(
    warehouse: Path,
    out: Path | None = None,
    folder: Path | None = None,
    *,
    run_id: str | None = None,
    run_date: str | None = None,
    job: str | None = None,
    unrecorded: Row | None = None,
) -> ReportResult:
    """Write the page of a scoring run; without a name or a date, of the last one.

    Parameters
    ----------
    out
        The file; without it, one in ``folder`` that is named by job and run date.
    folder
        A folder of such pages, whose front page, ``index.html``, is written anew.
    unrecorded
        The line of a run that ended before it could write one.

    Raises
    ------
    UsageError
        There is no such scoring run, or neither a file nor a folder is named.
    WarehouseUnusable
        There is no such warehouse, or it is one of an older layout.
    StorageError
        The page cannot be written.
    """
    night, rows = nights.read(warehouse, run_id, run_date, job, unrecorded)
    run = night.run
    if out is None:
        if folder is None:
            raise UsageError(
                "Neither a file nor a folder is named for the page", "Add --out night.html, or --index FOLDER"
            )
        out = folder / front.name_of(run["job"], run["run_date"])
    verdict = findings.verdict(night)
    size = page.write(page_of(night, verdict), out)
    index = None
    if folder is not None:
        index = folder / front.NAME
        page.write(front.front(rows, folder), index)
    return ReportResult(
        str(out),
        run["run_id"],
        run["run_date"].isoformat(),
        verdict.name,
        verdict.headline,
        size,
        str(index) if index else None,
    )


def fill(warehouse: Path, folder: Path, job: str | None = None) -> None:
    """Write the pages that a folder lacks, of each job's last ninety run dates."""
    _, rows = nights.read(warehouse, job=job)
    for row in rows:
        page_file = folder / front.name_of(row["job"], row["run_date"])
        if job in {None, row["job"]} and not page_file.exists():
            report(warehouse, page_file, run_id=row["run_id"])


def page_of(night: Night, verdict: Verdict) -> Page:
    """Return the page of a run, of which ``verdict`` is what ``findings.verdict`` says."""
    run, day = night.run, words.long_day(night.run["run_date"])
    parts = [_verdict(night, verdict), _run(night), _rows(night)]
    parts += [part for part in (_refused(night), _checks(night)) if part]
    if night.published and run["predicted"]:
        parts += [_genres(night), _confidence(night)]
    parts += [part for part in (_flips(night), _drift(night), _quality(night), _time(night)) if part]
    parts.append(_ask(night))
    made = f"Made by genrepipe {run['genrepipe_version']} from the warehouse as run {run['run_id']} left it, or a later one. "
    footer = (
        made + "Medians and ranges are of the run dates before this one, of the same job; usual means the last seven.",
        "Every number is the answer of a query, folded below its block.",
    )
    mark = STATES[verdict.tone][0]
    return Page(
        "night.html", f"{mark} genrepipe, {words.month_day(run['run_date'])} {run['run_date']:%Y}: {verdict.state}",
        "genrepipe, morning report", day, tuple(parts), footer, verdict.headline,
    )  # fmt: skip


def _part(night: Night, name: str, topic: str, title: str, *queries: str, **more: Any) -> Part:
    data = {key: more.pop(key) for key in list(more) if key not in {"lede", "key", "tone"}}
    asked = tuple(night.queries[query] for query in queries if query in night.queries)
    return Part(name, topic, title, queries=asked, data=data, **more)


def _verdict(night: Night, verdict: Verdict) -> Part:
    colours = {"good": "var(--ghost)", "warn": "var(--warn-mark)", "bad": "var(--bad)"}
    columns = [
        (
            each["received"],
            colours[findings.tone_of(each)],
            f"{words.day(each['run_date'])}: {words.many(each['received'], 'row')} received, {each['status']}",
        )
        for each in night.nights
    ]
    tones = [findings.tone_of(each) for each in night.nights]
    refused = next((i for i in range(len(tones) - 2, -1, -1) if tones[i] == "bad"), None)
    noted = (refused, f"{words.day(night.nights[refused]['run_date'])} {night.nights[refused]['status']}", "var(--bad)") if refused is not None else None  # fmt: skip
    counted = [(tones[:-1].count("good"), "without a remark"), (tones[:-1].count("warn"), "with a warning"), (tones[:-1].count("bad"), "stopped")]  # fmt: skip
    said = [f"{number} {what}" for number, what in counted if number]
    label = "Bars of rows received. " + (words.sentence(", ".join(said)) + "." if said else "This is the first night.")
    strip = svg.columns(columns, label, words.day(night.nights[0]["run_date"]), "tonight", noted)
    many = len(night.nights)
    return _part(
        night, "verdict", "Verdict", verdict.headline, "nights",
        key=STATES[verdict.tone][0], tone="" if verdict.tone == "good" else verdict.tone,
        verdict=verdict, mark=STATES[verdict.tone][0], strip=strip,
        strip_title=f"Rows received, the last {many} run dates" if many > 1 else "Rows received, the first run date",
        strip_note=f"{', '.join(said)}, and tonight." if said else "Tonight is the first.",
        usual=_usual(night),
    )  # fmt: skip


def _usual(night: Night) -> list[tuple[str, str, str, bool]]:
    """Return rows of: what, tonight, usual, whether it is one to look at."""
    run = night.run
    rows = [
        (f"Median {words.human(shift.name)}", shift.now, shift.usual, True) for shift in findings.shifted(night)[:1]
    ]
    share, usual_share = findings.flipped_share(night), findings.usual_flips(night)
    if share is not None and usual_share is not None:
        unusual = share > max(2 * usual_share, 0.05)
        rows.append(("Known tracks that changed", words.percent(share), words.percent(usual_share), unusual))
    now, then = performance_of(night)
    if now and then:
        rows.append(("Labelled tracks right", words.percent(now["accuracy"], 1), words.percent(then, 1), now["accuracy"] < then - 0.03))  # fmt: skip

    def share_of(each: Row) -> float:
        filled = each["received"] - each["empty"]
        return each["quarantined"] / filled if filled else 0.0

    if night.week:
        usual_quarantined = median(map(share_of, night.week))
        unusual = share_of(run) > max(5 * usual_quarantined, 0.02)
        rows.append(("Rows quarantined", words.percent(share_of(run)), words.percent(usual_quarantined), unusual))
        usual_rows = median(each["received"] for each in night.week)
        ratio = run["received"] / usual_rows if usual_rows else 1
        rows.append(("Rows received", words.count(run["received"]), words.count(usual_rows), not 0.5 <= ratio <= 1.5))
    return rows


def _run(night: Night) -> Part:
    run = night.run
    sources = [Path(source).name or source for source in run["sources"] or ()]
    first = words.listed(sources[:2]) if len(sources) < 3 else f"{sources[0]} and {len(sources) - 1} more"
    age = limit_of(night, "source_age_hours")
    aged = f"{words.figure(age.observed)}{NARROW}h old" if age and age.observed else ""
    facts = [
        ("Run date", f"{run['run_date']:%a} {words.month_day(run['run_date'])} {run['run_date']:%Y}", f"started {run['started_at']:%d %b %H:%M} UTC", ""),
        ("Job", f"{run['job']}, by genrepipe {run['genrepipe_version']}", "", run["run_id"]),
        ("Model", f"{run['model']} {run['model_version']}" if run["model"] else "none was loaded", "", f"sha256 {run['model_sha256'][:12]}" if run["model_sha256"] else ""),
        ("Source", first or "not read", ", ".join(filter(None, [run["delivery"] or "", aged])), f"sha256 {run['source_sha256'][:12]}" if run["source_sha256"] else ""),
    ]  # fmt: skip
    return _part(night, "run", "Run", "Who ran, on what", "run", "beside", key=run["job"][:16], facts=facts)


def _rows(night: Night) -> Part:
    run = night.run
    colours = {
        "predicted": "var(--ink)",
        "withheld": "var(--mark)",
        "quarantined": "var(--warn-mark)",
        "duplicates": "var(--mark)",
        "empty": "var(--ghost)",
    }
    kinds = ["predicted" if night.published else "withheld", "quarantined", "duplicates", "empty"]
    parts = [(kind, run[kind], colours[kind]) for kind in kinds]
    received = run["received"]
    if not received:
        title = "No row was read"
    elif night.published:
        title = (
            f"{words.many(received, 'row')} came, {words.percent(run['predicted'] / received)} of them are predicted"
        )
        if run["predicted"] == received:
            title = f"{words.many(received, 'row')} came, and {'all are' if received > 1 else 'it is'} predicted"
    else:
        title = f"{words.many(received, 'row')} came, and nothing was published"
    lede = []
    if usual := [each["received"] for each in night.week]:
        several = f"The usual count, the median of the last {words.spelled(len(usual))} nights, is"
        lede.append(
            f"{several if len(usual) > 1 else 'The night before had'} {words.many(round(median(usual)), 'row')}."
        )
    lede += [
        f"{words.many(line['new_tracks'], 'track')} came on no earlier run date; the catalogue holds {words.count(line['catalogue'])}."
        for line in night.of("catalogue")
        if line["tracks"]
    ]
    if run["withdrawn"]:
        lede.append(
            f"{words.many(run['withdrawn'], 'track')} of the delivery before {'is' if run['withdrawn'] == 1 else 'are'} withdrawn."
        )
    if run["filtered"]:
        lede.append(
            f"{words.many(run['filtered'], 'row')} more {'is' if run['filtered'] == 1 else 'are'} left out by the recipe's filter."
        )
    imputed = {name: n for name, n in json.loads(run["imputed"] or "{}").items() if n}
    shown = [
        f"{words.human(name)} of {words.many(n, 'track')}"
        for name, n in sorted(imputed.items(), key=lambda pair: -pair[1])[:4]
    ]
    more = f", and of {len(imputed) - 4} features more" if len(imputed) > 4 else ""
    note = f"Missing values were imputed: {words.listed(shown)}{more}." if shown else ""
    return _part(
        night, "rows", "Rows", title, "run", "catalogue", lede=" ".join(lede), key=words.count(received), received=received, parts=parts, note=note,
    )  # fmt: skip


def _refused(night: Night) -> Part | None:
    rules = night.of("refused")
    if not rules:
        return None
    refused, received = night.run["quarantined"], night.run["received"] - night.run["empty"]
    cause = findings.refused_because(night)
    title = f"{words.many(refused, 'row')} {'was' if refused == 1 else 'were'} quarantined, {cause}"
    limit = limit_of(night, "quarantined_percent")
    faults = sum(rule["rows"] for rule in rules)
    lede = [f"That is {words.percent(refused / received)} of the rows"]
    lede[0] += f"; above {words.figure(limit.allowed)}{NARROW}% the run is refused." if limit else "."
    if faults != refused:
        lede.append(f"{words.many(faults, 'fault')} in {words.many(refused, 'row')}: a row can break several rules.")
    most = max(rule["rows"] for rule in rules)
    rows = [
        {
            "column": words.human(rule["rule"].split(".")[0]), "must": rule["reason"].partition(": ")[2] or rule["rule"], "rows": rule["rows"],
            "bar": svg.bar(rule["rows"] / most, "var(--warn-mark)", height=8), "values": findings.values_of(night, rule["rule"]),
            "where": f"{Path(rule['file']).name} row {words.count(rule['row_number'])}" if rule["file"] else f"row {rule['row_number']}",
            "artist": rule["artist_name"], "track": rule["track_name"],
        }
        for rule in rules
    ]  # fmt: skip
    return _part(
        night, "refused", "Quarantined", title, "refused", "refused_values", lede=" ".join(lede), key=words.count(refused),
        tone="bad" if night.run["status"] == "refused" and limit and limit.verdict == "failed" else "",
        rows=rows[:12], more=len(rows) - 12,
    )  # fmt: skip


def _checks(night: Night) -> Part | None:
    tonight = findings.checks(night)
    if not tonight:
        return None
    history: dict[str, dict[str, Row]] = {}
    for each in night.of("checks"):
        history.setdefault(each["name"], {})[each["run_id"]] = each
    caught = [check for check in tonight if check.verdict != "passed"]
    near = [c for c in tonight if c.verdict == "passed" and c.allowed > 0 and c.observed >= 0.8 * c.allowed]
    title = (
        f"{'Both' if len(tonight) == 2 else f'All {len(tonight)}'} checks hold"
        if not caught
        else f"{len(tonight) - len(caught)} of {len(tonight)} checks hold"
    )
    if caught:
        names = words.listed([findings.CHECK_NAMES.get(c.name, words.human(c.name)) for c in caught[:2]])
        title += (
            f"; {names[:1].lower() + names[1:]} {'does' if len(caught) == 1 else 'do'} not"
            if len(caught) < 3
            else f"; {words.spelled(len(caught))} do not"
        )
    title += (
        f", and {words.many(len(near), 'one more is', f'{words.spelled(len(near))} more are', words=True).split(' ', 1)[1]} near the limit"
        if near
        else ""
    )
    with_limit = [c for c in tonight if c.allowed > 0]
    rows = []
    for check in sorted(with_limit, key=lambda c: (c.verdict == "passed", -c.observed / c.allowed)):
        past = history[check.name]
        values = [past[each["run_id"]]["observed"] if each["run_id"] in past else None for each in night.nights]
        known = [value for value in values if value is not None]
        fills = {"warning": "var(--warn-mark)", "failed": "var(--bad)"}
        marks = [
            (i, fills[past[each["run_id"]]["verdict"]]) for i, each in enumerate(night.nights)
            if each["run_id"] in past and past[each["run_id"]]["verdict"] in fills
        ]  # fmt: skip
        told = f"{words.figure(check.observed)} {check.unit} against a limit of {words.figure(check.allowed)}"
        span = f"{words.figure(min(known))} to {words.figure(max(known))} {check.unit}"
        rows.append(
            {
                "check": check, "title": findings.CHECK_NAMES.get(check.name, words.sentence(words.human(check.name))),
                "unit": check.unit, "bullet": svg.bullet(check.observed, check.allowed, check.verdict, told),
                "line": svg.sparkline(values, f"Last {len(values)} run dates: {span}", top=1.5 * check.allowed, limit=check.allowed, marks=marks) if len(values) > 1 else "",
            }
        )  # fmt: skip
    zero = [c for c in tonight if c.allowed <= 0]
    broken = [c for c in zero if c.verdict != "passed"]
    return _part(
        night, "checks", "Checks", title, "checks",
        lede="Bars end where the night stands; the upright line is the limit. Beside it the run dates before, on the same scale, the limit dotted." if rows else "",
        key=f"{'▲' if caught else '●'} {len(caught)} of {len(tonight)}" if caught else f"{len(tonight)} hold",
        tone=("bad" if any(c.verdict == "failed" for c in caught) else "warn") if caught else "",
        rows=rows, broken=[(c, findings.CHECK_NAMES.get(c.name, words.sentence(words.human(c.name))), c.sentence) for c in broken],
        held=[findings.CHECK_NAMES.get(c.name, words.human(c.name)) for c in zero if c.verdict == "passed"],
    )  # fmt: skip


def _genres(night: Night) -> Part:
    tonight = {row["genre"]: row for row in night.of("genres") if row["run_date"] == night.run["run_date"]}
    earlier = [each["run_date"] for each in night.before]
    shares: dict[str, dict[Any, float]] = {name: {} for name in night.labels}
    for row in night.of("genres"):
        shares.setdefault(row["genre"], {})[row["run_date"]] = row["share"]
    rows, unusual, top = [], 0, 0.05
    highest = max((share for known in shares.values() for share in known.values()), default=0.1)
    top = math.ceil(20 * highest) / 20
    week = [each["run_date"] for each in night.week]
    for name, known in shares.items():
        now = known.get(night.run["run_date"], 0.0)
        before = [known.get(day, 0.0) for day in earlier]
        usual = median([known.get(day, 0.0) for day in week]) if week else None
        outside = len(before) >= 7 and not min(before) <= now <= max(before)
        unusual += outside
        label = f"{name}: tonight {words.percent(now, 1)}" + (
            f", before {words.percent(min(before), 1)} to {words.percent(max(before), 1)}" if before else ""
        )
        values = [known.get(each["run_date"], 0.0) if each["status"] == "published" else None for each in night.nights]
        rows.append(
            {
                "genre": name, "share": now, "tracks": tonight.get(name, {"tracks": 0})["tracks"], "change": 100 * (now - usual) if usual is not None else None,
                "outside": outside, "strip": svg.strip(min(before, default=0), max(before, default=0), usual, now, top, svg.colour(name), label),
                "line": svg.sparkline(values, f"{name}, share of tracks by run date", top=top, stroke=svg.colour(name), height=34) if len(values) > 1 else "",
            }
        )  # fmt: skip
    rows.sort(key=lambda row: (-(row["change"] if row["change"] is not None else row["share"]), row["genre"]))
    if week and (abs(rows[0]["change"]) >= 1 or abs(rows[-1]["change"]) >= 1):
        rise, fall = rows[0], rows[-1]
        told = [f"{rise['genre']} gained {words.many(round(rise['change']), 'point')}"] if rise["change"] >= 1 else []
        told += [f"{fall['genre']} lost {words.many(round(-fall['change']), 'point')}"] if fall["change"] <= -1 else []
        title = ", ".join(told) or "The genres are much as usual"
    elif week:
        title = "The genres are as usual, to a point"
    else:
        title = f"{rows[0]['genre']} is the most frequent genre, with {words.percent(rows[0]['share'])}"
    lede = ""
    if len(earlier) >= 7:
        lede = f"{words.sentence(words.spelled(unusual))} of {words.spelled(len(rows))} {'genre stands' if unusual == 1 else 'genres stand'} outside the range of the {len(earlier)} run dates before, set in bold. "
    if week:
        lede += f"The grey band is the range before, the tick the usual, the dot tonight; the scale ends at {words.percent(top)}."
    return _part(
        night, "genres", "Genres", title, "genres", lede=lede, key=f"{unusual} unusual" if unusual else rows[0]["genre"], rows=rows, top=top, week=bool(week), line=len(night.nights) > 1,
    )  # fmt: skip


def _confidence(night: Night) -> Part:
    steps: dict[bool, list[int]] = {True: [0] * 10, False: [0] * 10}
    sets: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for row in night.of("confidence"):
        steps[row["tonight"]][row["tenth"]] += row["tracks"]
        if row["genres"] is not None:
            sets[row["tonight"]][row["genres"]] = sets[row["tonight"]].get(row["genres"], 0) + row["tracks"]
    total, earlier = sum(steps[True]) or 1, sum(steps[False])
    now = [n / total for n in steps[True]]
    then = [n / earlier for n in steps[False]] if earlier else None
    margins = {row["tonight"]: row["margin"] for row in night.of("margins")}
    margin, before = margins.get(True, 0.0), margins.get(False)
    accuracy, usual = performance_of(night)
    worse = bool(accuracy and usual and accuracy["accuracy"] < usual - 0.03)
    lede = ""
    if before is None:
        title = f"The median margin between the two best genres is {margin:.2f}"
    elif margin > before + 0.03:
        title = "The model is surer than usual" + (", and wrong more often" if worse else "")
        lede = f"The median margin rose from {before:.2f} to {margin:.2f}"
        lede += " while accuracy fell: a model does not know that its input has shifted." if worse else "."
    elif margin < before - 0.03:
        title = "The model is less sure than usual"
        lede = f"The median margin fell from {before:.2f} to {margin:.2f}."
    else:
        title = f"The model is as sure as usual: the median margin is {margin:.2f}"
    label = "Share of tracks by margin, in tenths: " + ", ".join(words.percent(share, 1) for share in now)
    sizes = sum(sets[True].values())
    before_sizes = sum(sets[False].values())
    largest = (
        max([*(n / sizes for n in sets[True].values()), *(n / before_sizes for n in sets[False].values())], default=1.0)
        if sizes
        else 1.0
    )
    rows = [
        (words.spelled(size), sets[True].get(size, 0) / sizes, sets[True].get(size, 0),
         svg.bar(sets[True].get(size, 0) / sizes / largest * 0.95, tick=sets[False].get(size, 0) / before_sizes / largest * 0.95 if before_sizes else None, height=14))
        for size in sorted({*sets[True], *sets[False]})
    ] if sizes else []  # fmt: skip
    note = (
        f"{words.percent(now[0], 0)} are toss-ups under 0.1, {words.percent(sum(now[5:]), 0)} stand at 0.5 or clearer."
    )
    return _part(
        night, "confidence", "Confidence", title, "confidence", "margins", lede=lede, key=f"{margin:.2f}",
        histogram=svg.histogram(now, then, label, height=150), rows=rows, note=note, week=bool(earlier),
    )  # fmt: skip


def _flips(night: Night) -> Part | None:
    causes, moves = night.of("causes"), night.of("moves")
    flipped, known = sum(row["tracks"] for row in causes), known_tracks(night)
    if not flipped:
        if not known:
            return None
        return _part(night, "flips", "What changed", f"None of {words.count(known)} known tracks changed genre", "causes", key="0", causes=[], moves=[], flips=[])  # fmt: skip
    why = findings.flipped_because(night)
    of = f" of {words.count(known)} known" if known else ""
    title = f"{words.count(flipped)}{of} {'track' if flipped == 1 and not known else 'tracks'} changed genre{f', {why}' if why else ''}"
    most = max(row["tracks"] for row in causes)
    rows = [
        (findings.cause(row["cause"], row["changed"]), row["cause"], row["tracks"], svg.bar(row["tracks"] / most)) for row in causes[:6]
    ]  # fmt: skip
    first = moves[0]["tracks"]
    moved = [
        (m["genre_before"], m["genre"], m["tracks"], svg.bar(m["tracks"] / first, svg.colour(m["genre"])))
        for m in moves[:7]
    ]
    lede = "The cause is found by scoring each track again with one thing changed at a time; the first that moves it off its genre counts. Known tracks are those that were predicted on the seven run dates before."
    return _part(
        night, "flips", "What changed", title, "causes", "moves", "flips", lede=lede, key=words.count(flipped),
        causes=rows, moves=moved, all_moves=len(moves), flips=[_flip(row, published=night.published) for row in night.of("flips")], flipped=flipped,
    )  # fmt: skip


def _flip(row: Row, *, published: bool) -> dict[str, Any]:
    """Return what is shown of a changed track; the catalogue has no row of a night that was not published."""
    before, now = (json.loads(row[key]) if row[key] and published else {} for key in ("row_before", "row_now"))
    shown = [
        f"{words.human(name)} {_value(before.get(name))} → {_value(now.get(name))}"
        if before and now and name in FEATURES
        else words.human(name)
        for name in row["changed"] or ()
    ]
    return {
        **row,
        "why": words.listed(shown) or findings.cause(row["cause"], ""),
        "date_before": words.day(row["date_before"]),
    }


def _value(value: object) -> str:
    return words.figure(value) if isinstance(value, int | float) else str(value or "missing")


def _drift(night: Night) -> Part | None:
    trained = [row for row in night.of("drift") if row["against"] == "bundle"]
    recent = {row["subject"]: row for row in night.of("drift") if row["against"] != "bundle"}
    if not trained:
        return None
    drifted = [row["subject"] for row in trained if row["verdict"] == "drifted"]
    lately = [name for name, row in recent.items() if row["verdict"] == "drifted"]
    features = [name for name in drifted if name != "genre"]
    title = "Nothing drifted from the training data"
    if drifted:
        names = (
            words.listed(map(words.human, drifted))
            if len(drifted) < 4
            else f"{len(drifted)} of {len(trained)} distributions"
        )
        title = f"{words.sentence(names)} drifted from the training data"
        if len(features) == 1 and len(trained) > 3:
            title = f"Only {words.human(features[0])} drifted" + (
                ", and it took the genres along" if "genre" in drifted else " from the training data"
            )
    elif lately:
        title = f"{words.sentence(words.listed(map(words.human, lately[:3])))} drifted from the run dates before"
    lede = f"Population stability index against the training data: under 0.1 stable, from 0.25 drifted. The largest is {trained[0]['psi']:.2f}."
    if lately:
        values = words.listed([f"{words.human(name)} at {recent[name]['psi']:.2f}" for name in lately[:3]])
        lede += f" Against the last seven run dates it is {values}: it is the delivery that changed, not the catalogue."
    elif drifted and recent:
        lede += " Against the last seven run dates nothing drifted: it has been so for a while."
    tracks = night.run["predicted"] or night.run["withheld"]
    if tracks < FEW:
        lede += f" With {words.many(tracks, 'track')} it says little."
    figures = []
    for row in trained:
        name, edges, against = row["subject"], row["edges"] or [], recent.get(row["subject"])
        shares, expected = list(row["shares"]), list(row["expected"])
        while name != "genre" and len(shares) > 1 and not shares[-1] and not expected[-1]:
            shares, expected = shares[:-1], expected[:-1]  # the last bin is of missing values
        hot = row["verdict"] == "drifted"
        fills = (
            [svg.colour(label) for label in night.labels] if name == "genre" else ["var(--warn-mark)"] if hot else []
        )
        told = f"{words.human(name)}: PSI {row['psi']:.3f} against training, {row['verdict']}" + (
            f"; {against['psi']:.3f} against the last seven run dates" if against else ""
        )
        ends = ("", "")
        if edges and name not in {"key", "mode"}:
            scale = 1000 if name == "duration_ms" else 1
            unit = " s" if name == "duration_ms" else ""
            ends = (f"≤ {words.figure(edges[0] / scale)}{unit}", f"> {words.figure(edges[-1] / scale)}{unit}")
        elif name == "genre":
            ends = (night.labels[0], night.labels[-1])
        figures.append(
            (words.human(name), hot, row["psi"], row["verdict"], svg.histogram(shares, expected, told, fills), ends)
        )
    hottest = trained[0]
    return _part(
        night, "drift", "Drift", title, "drift", "medians", lede=lede, key=f"{'▲ ' if drifted else ''}{hottest['psi']:.2f}", tone="warn" if drifted else "",
        figures=figures,
    )  # fmt: skip


def wilson(correct: int, tracks: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953)."""
    if not tracks:
        return 0.0, 1.0
    share, z = correct / tracks, WILSON
    middle = (share + z * z / (2 * tracks)) / (1 + z * z / tracks)
    half = z / (1 + z * z / tracks) * math.sqrt(share * (1 - share) / tracks + z * z / (4 * tracks * tracks))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _quality(night: Night) -> Part | None:
    if not night.published or not night.run["predicted"]:
        return None
    now, then = performance_of(night)
    if not now:
        return _part(
            night, "quality", "Quality", "Nobody knows yet how good the answers are", "quality", key="–",
            lede="No track of the night has a label. When some come, genrepipe labels takes them and measures the runs.", genres=[], visible=[],
        )  # fmt: skip
    history = {row["run_date"]: row["accuracy"] for row in night.of("quality")}
    values = [history.get(each["run_date"]) for each in night.nights]
    known = [value for value in values if value is not None]
    title = f"{words.percent(now['accuracy'], 1)} of {words.many(now['tracks'], 'labelled track')} are right"
    if len(known) >= 7 and now["accuracy"] <= min(known):
        title += f", the lowest on {len(known)} run dates"
    elif then is not None:
        title += (
            ", as usual"
            if abs(now["accuracy"] - then) < 0.02
            else f", {words.many(round(abs(100 * (now['accuracy'] - then))), 'point')} {'more' if now['accuracy'] > then else 'fewer'} than usual"
        )
    lede = f"The seven run dates before: {words.percent(then, 1)}. " if then is not None else ""
    lede += f"Macro AUROC {now['macro_auroc']:.3f}. " if now["macro_auroc"] is not None else ""
    by_genre = {(row["tonight"], row["label"]): row for row in night.of("quality_by_genre")}
    rows = []
    for (tonight, label), row in by_genre.items():
        if not tonight:
            continue
        before = by_genre.get((False, label))
        usual = before["correct"] / before["tracks"] if before else None
        share = row["correct"] / row["tracks"]
        low, high = wilson(row["correct"], row["tracks"])
        told = (
            f"{label}: {words.percent(share, 0)} right, 95 % interval {words.percent(low, 0)} to {words.percent(high, 0)}"
            + (f"; {words.percent(usual, 0)} before" if usual is not None else "")
        )
        rows.append(
            {"label": label, "share": share, "change": 100 * (share - usual) if usual is not None else None, "tracks": row["tracks"], "taken_for": row["taken_for"],
             "chart": svg.interval(share, low, high, usual, svg.colour(label), told)}
        )  # fmt: skip
    rows.sort(key=lambda row: (row["change"] if row["change"] is not None else row["share"], row["label"]))
    if rows and rows[0]["change"] is not None and rows[0]["change"] <= -5:
        lede += f"{rows[0]['label']} fell most, by {round(-rows[0]['change'])} points."
    visible = []
    seen = {(row["tonight"], row["visible_from"]): row for row in night.of("quality_by_visible")}
    for start, named in VISIBLE.items():
        if of_night := seen.get((True, start)):
            seen_before, share = seen.get((False, start)), of_night["correct"] / of_night["tracks"]
            low, high = wilson(of_night["correct"], of_night["tracks"])
            usual = seen_before["correct"] / seen_before["tracks"] if seen_before else None
            visible.append(
                (
                    named,
                    share,
                    of_night["tracks"],
                    svg.interval(
                        share,
                        low,
                        high,
                        usual,
                        "var(--ink)",
                        f"{named} visible tracks: {words.percent(share, 0)} right",
                    ),
                )
            )
    line = ""
    if len(known) > 1:
        floor = math.floor(20 * min(known)) / 20
        line = svg.sparkline(
            values,
            f"Share of right answers by run date, {words.percent(min(known), 0)} to {words.percent(max(known), 0)}",
            low=floor,
            top=max(known),
            height=72,
        )
    worse = then is not None and now["accuracy"] < then - 0.03
    return _part(
        night, "quality", "Quality", title, "quality", "quality_by_genre", "quality_by_visible", lede=lede.strip(), key=words.percent(now["accuracy"], 0), tone="warn" if worse else "",
        genres=rows, visible=visible, line=line, range=f"{words.percent(min(known), 0)} to {words.percent(max(known), 0)}", week=then is not None,
    )  # fmt: skip


def _time(night: Night) -> Part:
    run = night.run
    total, stages = run["seconds"], nights.seconds_by_stage(run)
    titled = f"{words.seconds(total)} until the ledger's line was written"
    if stages:
        slowest = max(stages, key=lambda name: stages[name])
        share = stages[slowest] / sum(stages.values()) if sum(stages.values()) else 0
        titled = f"{words.seconds(total)}, {words.percent(share, 0)} of {'it' if total < 2 else 'them'} in {slowest}"
    past = [nights.seconds_by_stage(each) for each in night.week]
    lede = f"{words.count(run['predicted'] / total)} tracks a second. " if total and run["predicted"] else ""
    if usual := [each["seconds"] for each in night.week]:
        lede += f"The usual is {words.seconds(median(usual))}. "
    lede += "Counted until the ledger's line was written: making the file durable and renaming it comes after."
    rows, start, whole = [], 0.0, sum(stages.values()) or 1.0
    for name, spent in stages.items():
        before = [each[name] for each in past if name in each]
        rows.append(
            (
                name,
                STAGES.get(name, ""),
                spent,
                median(before) if before else None,
                svg.span(start / whole, spent / whole),
            )
        )
        start += spent
    return _part(
        night,
        "time",
        "Time",
        titled,
        "nights",
        lede=lede,
        key=words.seconds(total),
        rows=rows,
        whole=words.seconds(whole),
        week=any(past),
    )


def _ask(night: Night) -> Part:
    day = night.run["run_date"].isoformat()
    questions = [
        f"SELECT artist_name, track_name, genre_before, genre, cause FROM flips JOIN predictions USING (run_id, track_id, genre) WHERE flips.run_date = '{day}'",
        f"SELECT artist_name, track_name, genre, runner_up, margin FROM predictions WHERE run_date = '{day}' ORDER BY margin LIMIT 20",
        "FROM explain_track('TRACK_ID')",
    ]  # fmt: skip
    if not night.published:
        questions = [f"FROM quarantine_reasons WHERE run_date = '{day}'", f"SELECT genre_before, genre, cause, count(*) AS tracks FROM flips WHERE run_id = '{night.run['run_id']}' GROUP BY ALL ORDER BY tracks DESC", f"SELECT name, observed, allowed, verdict FROM checks WHERE run_id = '{night.run['run_id']}'"]  # fmt: skip
    return Part(
        "ask",
        "Ask more",
        "The warehouse answers in SQL",
        "Paste a query into genrepipe query, or open the file read-only from Python.",
        data={"questions": questions},
    )
