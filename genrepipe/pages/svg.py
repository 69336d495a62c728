"""Small charts as plain SVG: 100 % wide, in percent coordinates, so that text keeps its size at any width.

In every chart tonight is filled, and what it is held against is a line, a tick or a grey band. Colours are the custom
properties of ``page.css``. A chart that tells something has a sentence for those who cannot see it (``label``); one that
repeats the number beside it has none, and is hidden from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Point = tuple[float, float]
LIMIT_AT = 2 / 3  # of the width of a bullet
INSET = 2  # percent that dots keep from the sides, which they would overlap
NIGHTS = 30  # columns of a strip, however few there are


def _inset(share: float) -> float:
    return INSET + (100 - 2 * INSET) * share


def colour(name: str) -> str:
    """Return the colour of a genre, or of the mark where the design has none for it."""
    return f"var(--{name}, var(--mark))"


def frame(parts: Iterable[str], height: float, label: str = "") -> Markup:
    """Return a chart of this height in pixels."""
    told = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return Markup(f'<svg width="100%" height="{height:g}" {told}>{"".join(parts)}</svg>')  # noqa: S704  numbers, and escaped text


def rect(x: float, y: float, width: float, height: float, fill: str, title: str = "") -> str:
    """Return a bar; ``x`` and ``width`` are percent, the others pixels."""
    tip = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect x="{x:.2f}%" y="{y:.1f}" width="{max(width, 0):.2f}%" height="{max(height, 0):.1f}" rx="1" fill="{fill}">{tip}</rect>'


def vertical(x: float, top: float, bottom: float, stroke: str = "var(--ink)", width: float = 2) -> str:
    """Return an upright line at ``x`` percent."""
    return (
        f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="{top:g}" y2="{bottom:g}" stroke="{stroke}" stroke-width="{width:g}"/>'
    )


def horizontal(y: float, stroke: str = "var(--line)", dashes: str = "", x1: float = 0, x2: float = 100) -> str:
    """Return a level line at ``y`` pixels."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.2f}%" x2="{x2:.2f}%" y1="{y:.1f}" y2="{y:.1f}" stroke="{stroke}"{dashed}/>'


def dot(x: float, y: float, fill: str, radius: float = 5.5, title: str = "") -> str:
    """Return a dot with a rim of paper."""
    tip = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle cx="{x:.2f}%" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="var(--paper)" stroke-width="1.5">{tip}</circle>'


def text(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> str:
    """Return a label at ``x`` percent and ``y`` pixels."""
    styled = f' style="{style}"' if style else ""
    return f'<text x="{x:.2f}%" y="{y:.1f}" text-anchor="{anchor}"{styled}>{escape(words)}</text>'


def lines(runs: Iterable[tuple[Sequence[Point], str, float]], top: float, height: float) -> str:
    """Return lines, each with its colour and width; points are percent of the width and, from above, of the height."""
    drawn = "".join(
        f'<polyline points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in points)}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
        'vector-effect="non-scaling-stroke" stroke-linejoin="round" stroke-linecap="round"/>'
        for points, stroke, width in runs
        if len(points) > 1
    )
    return f'<svg x="0" y="{top:g}" width="100%" height="{height:g}" viewBox="0 0 100 100" preserveAspectRatio="none" overflow="visible">{drawn}</svg>'


def cloud(points: Sequence[Point], fill: str, size: float = 2.5) -> str:
    """Return many small dots of one colour as one path; points are percent, within a square of 100 by 100."""
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    return f'<path d="{path}" fill="none" stroke="{fill}" stroke-width="{size:g}" stroke-linecap="round" vector-effect="non-scaling-stroke" opacity=".75"/>'


def bar(share: float, fill: str = "var(--mark)", tick: float | None = None, height: float = 10) -> Markup:
    """Return one bar of a share, with a tick at what it is held against."""
    parts = [rect(0, 0, 100 * share, height, fill)]
    if tick is not None:
        parts.append(vertical(100 * min(tick, 1), -3, height + 3))
    return frame(parts, height)


def span(start: float, width: float, fill: str = "var(--mark)") -> Markup:
    """Return one stage of a waterfall; both are shares of the whole."""
    return frame([rect(100 * start, 0, max(100 * width, 0.4), 14, fill)], 14)


def bullet(observed: float, allowed: float, state: str, label: str) -> Markup:
    """Return a measure against its limit, which stands at two thirds."""
    fill = {"warning": "var(--warn-mark)", "failed": "var(--bad)"}.get(state, "var(--mark)")
    reached = min(observed / allowed * LIMIT_AT if allowed else observed > 0, 1.0)
    parts = [
        '<rect width="100%" height="16" rx="2" fill="var(--card)"/>',
        rect(0, 4, 100 * max(reached, 0), 8, fill),
        vertical(100 * LIMIT_AT, -2, 18),
    ]
    return frame(parts, 16, label)


def sparkline(
    values: Sequence[float | None], label: str, *, top: float | None = None, low: float = 0.0, stroke: str = "var(--soft)",
    limit: float | None = None, marks: Sequence[tuple[int, str]] = (), height: float = 32,
) -> Markup:  # fmt: skip
    """Return the last nights as a line; None is a gap. The last value has a dot; ``marks`` are other dots, by position and colour."""
    known = [value for value in values if value is not None]
    highest = top if top is not None else max(known, default=1.0)
    inner, pad = height - 6, 3

    def y(value: float) -> float:
        share = (value - low) / (highest - low) if highest > low else 0.5
        return 100 * (1 - min(max(share, 0), 1))

    def x(position: int) -> float:
        return (100 - INSET) * (position / (len(values) - 1) if len(values) > 1 else 1)

    runs: list[list[Point]] = [[]]
    for position, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x(position), y(value)))
    parts = [horizontal(pad + inner * y(limit) / 100, "var(--mark)", "2 3")] if limit is not None else []
    parts.append(lines([(run, stroke, 1.25) for run in runs], pad, inner))
    last = len(values) - 1
    for position, fill in [*marks, (last, dict(marks).get(last, stroke))]:
        value = values[position]
        if value is not None:
            parts.append(dot(x(position), pad + inner * y(value) / 100, fill, 3 if position == last else 2.5))
    return frame(parts, height, label)


def strip(low: float, high: float, usual: float | None, tonight: float, top: float, fill: str, label: str) -> Markup:
    """Return tonight's value as a dot, over the band of what was seen before and a tick at the usual."""

    def x(share: float) -> float:
        return _inset(share / top)

    parts = [horizontal(10)]
    if usual is not None:
        parts.append(rect(x(low), 5, max(x(high) - x(low), 0.6), 10, "var(--ghost)"))
        parts.append(vertical(x(usual), 3, 17, "var(--soft)", 1.5))
    return frame([*parts, dot(x(tonight), 10, fill, 6)], 20, label)


def interval(
    value: float,
    low: float,
    high: float,
    tick: float | None,
    fill: str,
    label: str,
    scale: tuple[float, float] = (0, 1),
) -> Markup:
    """Return a rate as a dot with its interval, and a tick at what it is held against."""

    def x(share: float) -> float:
        return _inset(min(max((share - scale[0]) / (scale[1] - scale[0]), 0), 1))

    parts = [
        horizontal(10),
        f'<line x1="{x(low):.2f}%" x2="{x(high):.2f}%" y1="10" y2="10" stroke="{fill}" stroke-width="3" opacity=".45"/>',
    ]
    if tick is not None:
        parts.append(vertical(x(tick), 3, 17, "var(--soft)", 1.5))
    return frame([*parts, dot(x(value), 10, fill)], 20, label)


def histogram(
    shares: Sequence[float], expected: Sequence[float] | None, label: str, fills: Sequence[str] = (), height: float = 58
) -> Markup:
    """Return shares by bin as bars, over which the expected ones are a step line."""
    top = max([*shares, *(expected or ())], default=1.0) or 1.0
    step, most = 100 / max(len(shares), 1), height - 3
    parts = []
    for position, share in enumerate(shares):
        size = most * share / top
        fill = fills[position % len(fills)] if fills else "var(--mark)"
        parts.append(rect(position * step + step * 0.05, height - size, step * 0.9, size, fill))
    if expected:
        points = [
            (x, 100 - 100 * most / height * share / top)
            for position, share in enumerate(expected)
            for x in (position * step, (position + 1) * step)
        ]
        parts.append(lines([(points, "var(--ink)", 1.5)], 0, height))
    return frame([*parts, horizontal(height, "var(--mark)")], height, label)


def curves(
    series: Sequence[tuple[str, Sequence[Point], str, float]], label: str, *, x: tuple[float, float], y: tuple[float, float],
    ticks: Sequence[tuple[float, str]] = (), ends: Sequence[tuple[float, str]] = (), height: float = 180, diagonal: bool = False,
    named: bool = True,
) -> Markup:  # fmt: skip
    """Return lines over two axes: of each its name, points, colour and width; ``ticks`` are labels of y, ``ends`` of x.

    Names stand at the right end of their lines, where they do not meet.
    """
    inner = height - 22

    def at(point: Point) -> Point:
        return 100 * (point[0] - x[0]) / (x[1] - x[0]), 100 - 100 * (point[1] - y[0]) / (y[1] - y[0])

    parts = []
    for value, words in ticks:
        level = inner * at((x[0], value))[1] / 100
        parts += [horizontal(level), text(0, level - 4, words)]
    runs = [([at(point) for point in points], stroke, width) for _, points, stroke, width in series]
    if diagonal:
        runs.insert(0, ([(0, 100), (100, 0)], "var(--ghost)", 1.25))
    parts.append(lines(runs, 0, inner))
    taken: list[float] = []
    for (name, *_), (points, stroke, width) in zip(series, runs[diagonal:], strict=True):
        if named and points:
            level = inner * points[-1][1] / 100 - 6
            while any(abs(level - other) < 14 for other in taken):
                level -= 14
            taken.append(level)
            parts.append(text(100, level, name, "end", f"fill:{stroke};font-weight:{600 if width > 1.5 else 400}"))
    for value, words in ends:
        position = at((value, y[0]))[0]
        parts.append(
            text(position, height - 4, words, "start" if position < 5 else "end" if position > 95 else "middle")
        )
    return frame([*parts, horizontal(inner, "var(--mark)")], height, label)


def columns(
    values: Sequence[tuple[float, str, str]],
    label: str,
    left: str,
    right: str,
    noted: tuple[int, str, str] | None = None,
) -> Markup:
    """Return nights as columns: of each its value, its colour and what a pointer is told; ``noted`` names one below."""
    top = max((value for value, *_ in values), default=1.0) or 1.0
    step = 100 / NIGHTS
    first = 100 - len(values) * step
    parts = [horizontal(84, "var(--line)")]
    for position, (value, fill, title) in enumerate(values):
        size = max(78 * value / top, 1)
        parts.append(rect(first + (position + 0.175) * step, 84 - size, 0.825 * step, size, fill, title))
    if len(values) > 7:
        parts.append(text(first, 104, left))
    if noted is not None:
        place = first + (noted[0] + 0.5) * step
        if first + 22 < place < 78:
            parts.append(text(place, 104, noted[1], "middle", f"fill:{noted[2]};font-weight:600"))
    parts.append(text(100, 104, right, "end", "font-weight:600"))
    return frame(parts, 110, label)


def ranges(rows: Sequence[tuple[str, Sequence[float]]], label: str) -> Markup:
    """Return a row for each genre: thin from the first to the last of five quantiles, thick between, a tick in the middle; shares of the width."""
    parts = []
    for position, (name, (lowest, low, middle, high, highest)) in enumerate(rows):
        y, fill = 14 * position + 8, colour(name)
        parts += [
            f"<g><title>{escape(name)}</title>",
            horizontal(y, fill, "", 100 * lowest, 100 * highest),
            rect(100 * low, y - 3, 100 * (high - low), 6, fill),
            vertical(100 * middle, y - 5, y + 5),
            "</g>",
        ]
    return frame(parts, 14 * len(rows) + 2, label)


def diverging(rows: Sequence[tuple[str, float]], label: str) -> Markup:
    """Return a bar for each value from −1 to 1, with its name on the other side of the middle."""
    parts = []
    for position, (name, value) in enumerate(rows):
        y = 18 * position + 3
        parts.append(
            rect(50 + min(50 * value, 0), y, abs(50 * value), 12, "var(--mark)" if value >= 0 else "var(--link)")
        )
        parts.append(text(49 if value >= 0 else 51, y + 10, name, "end" if value >= 0 else "start"))
    return frame([*parts, vertical(50, 0, 18 * len(rows) + 2, "var(--soft)", 1)], 18 * len(rows) + 2, label)


def scatter(genres: Sequence[tuple[str, Sequence[Point]]], label: str) -> Markup:
    """Return a square map of points by genre; both coordinates are percent."""
    drawn = "".join(cloud(points, colour(name)) for name, points in genres)
    return Markup(f'<svg class="square" viewBox="0 0 100 100" role="img" aria-label="{escape(label)}">{drawn}</svg>')  # noqa: S704  numbers, and escaped text


def pair(filled: float, ring: float, fill: str, label: str) -> Markup:
    """Return two shares, one as a dot and one as a ring."""
    circle = f'<circle cx="{_inset(ring):.2f}%" cy="10" r="4.5" fill="var(--paper)" stroke="{fill}" stroke-width="2"/>'
    return frame([horizontal(10), circle, dot(_inset(filled), 10, fill, 5)], 20, label)
