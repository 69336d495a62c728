"""Events of a run as sentences."""

from __future__ import annotations

from typing import Any

from genrepipe.core.events import NIGHT
from genrepipe.core.quoting import printable

# Of each warning that is no check of a contract: what its facts say.
WARNINGS = {
    "busy": "{error}; this run waits for it, {waiting_s} s at most",
    "disk": "The run needs about {needed_mb:,} MB of disk, and {free_mb:,} MB are free. {remedy}",
    "future_run_date": "Today is {today}, and the warehouse has run dates after it: {run_dates}. {remedy}",
    "keep_days": "The run date {run_date} is long after the one before, {newest_before}. {remedy}",
    "lineage": "The lineage event was not written: {error}",
    "memory": "The run needs about {needed_mb:,} MB of memory, and there are {there_are_mb:,} MB. {remedy}",
    "metrics": "The metrics were not written: {error}",
    "not read": "Not read, since it is no part of the source: {file}",
    "not_promoted": "The champion, {model} in {folder}, is not the bundle that was promoted. {remedy}",
    "otlp": "The metrics were not sent by OTLP to {host}: {error}",
    "ping": "The address at {host} was not reached: {error}",
    "promotions": "What the promotion of the model promised is not known: {error}",
    "publish": "The run is published, but something was left undone: {error}",
    "pushgateway": "The metrics were not pushed to {host}: {error}",
    "unknown_tracks": "None of {unknown_tracks:,} labels was used. {remedy}",
}
NIGHTS = {  # how a run date of a backfill ended
    True: "{run_date}  {status:<18} {predicted:,} predicted, {quarantined:,} quarantined, {seconds:.2f} s",
    False: "{run_date}  {status:<18} {error}",
}
CHECK = "{check} is {observed:,.4g}: {sentence}"


def warning(check: str, facts: dict[str, Any]) -> str:
    """Return a warning as a sentence; one of no known kind as its facts."""
    template = WARNINGS.get(check) or (CHECK if "sentence" in facts else "")
    try:
        return printable(template.format(check=check, **facts)) or note(check, facts)
    except (KeyError, ValueError):
        return note(check, facts)


def note(event: str, facts: dict[str, Any]) -> str:
    """Return an event and its facts as one line: ``needs: memory 300 MB, disk 20 MB``."""
    if event == NIGHT:
        return printable(NIGHTS["error" not in facts].format(**facts))
    shown = ", ".join(_fact(name, value) for name, value in facts.items())
    return printable(f"{event}: {shown}" if shown else event)


def _fact(name: str, value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else ""
    text = text or (f"{value:.4g}" if isinstance(value, float) else str(value))
    text = " and ".join(value) if isinstance(value, list) else text
    for unit, shown in (("_mb", " MB"), ("_s", " s")):
        if name.endswith(unit):
            name, text = name.removesuffix(unit), f"{text}{shown}"
    return f"{name.replace('_', ' ')} {text}"
