"""Altair charts of frames, and a document of charts, tables and text that opens offline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import altair as alt
import vl_convert
from jinja2 import Environment
from markupsafe import Markup

if TYPE_CHECKING:
    import polars as pl

Chart: TypeAlias = Any  # Altair's classes get their methods at import, so they have no static type
GENRES = alt.Scale(scheme="tableau10")
SMALL, WIDE = 190, 640
_PANELS = alt.Facet("feature:N", title=None)


def _frame(frame: pl.DataFrame) -> Any:
    return alt.InlineData(values=frame.to_dicts())


def _tips(frame: pl.DataFrame) -> list[Any]:
    return [
        alt.Tooltip(f"{name}:Q", format=".3~g") if kind.is_numeric() else alt.Tooltip(f"{name}:N")
        for name, kind in frame.schema.items()
    ]


def densities(frame: pl.DataFrame) -> Chart:
    """Draw histograms by feature, one line for each genre; a click on the legend shows one genre alone."""
    selected = alt.selection_point(fields=["genre"], bind="legend")
    base = alt.Chart(_frame(frame)).mark_line(interpolate="monotone", strokeWidth=1.4).encode(
        x=alt.X("value:Q", title=None), y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%")),
        color=alt.Color("genre:N", scale=GENRES), opacity=alt.condition(selected, alt.value(1), alt.value(0.08)),
        tooltip=["genre:N", alt.Tooltip("value:Q", format=".3~g"), alt.Tooltip("share:Q", format=".1%")],
    ).properties(width=SMALL, height=120)  # fmt: skip
    return base.facet(_PANELS, columns=4).resolve_scale(x="independent", y="independent").add_params(selected)


def ranges(frame: pl.DataFrame) -> Chart:
    """Draw quantiles by feature and genre: thin from 5 to 95 %, thick from 25 to 75 %, a tick at the median."""
    base = alt.Chart(_frame(frame)).encode(
        y=alt.Y("genre:N", title=None), color=alt.Color("genre:N", scale=GENRES, legend=None)
    )
    x = alt.X("q5:Q", title=None, scale=alt.Scale(zero=False))
    thin = base.mark_rule().encode(x=x, x2="q95:Q")
    thick = base.mark_rule(strokeWidth=6).encode(x="q25:Q", x2="q75:Q")
    tick = base.mark_tick(color="black", thickness=2, height=10).encode(x="q50:Q")
    one = alt.layer(thin, thick, tick).properties(width=SMALL, height=140)
    return one.facet(_PANELS, columns=4).resolve_scale(x="independent")


def heatmap(frame: pl.DataFrame, x: str, y: str, value: str, *, diverging: bool = False) -> Chart:
    """Draw a table with a colour and a number in each cell; ``diverging`` for values from −1 to 1, else from 0 to 1."""
    scale = alt.Scale(scheme="blueorange", domain=[-1, 1]) if diverging else alt.Scale(scheme="blues", domain=[0, 1])
    base = alt.Chart(_frame(frame)).encode(
        x=alt.X(f"{x}:N", title=x if not diverging else None), y=alt.Y(f"{y}:N", title=y if not diverging else None)
    )
    dark = alt.expr.abs(alt.datum[value]) > 0.55
    return alt.layer(
        base.mark_rect().encode(color=alt.Color(f"{value}:Q", scale=scale, title=value)),
        base.mark_text(fontSize=9).encode(
            text=alt.Text(f"{value}:Q", format=".2f"), color=alt.condition(dark, alt.value("white"), alt.value("#333"))
        ),
    ).properties(width=480, height=480)


def bars(frame: pl.DataFrame, x: str, y: str, *, title: str, form: str = "%", color: str | None = None) -> Chart:
    """Draw horizontal bars, the longest first; ``form`` is a d3 number format."""
    encoded: dict[str, Any] = {"color": alt.Color(f"{color}:N")} if color else {}
    if color:
        encoded["yOffset"] = f"{color}:N"
    return alt.Chart(_frame(frame)).mark_bar().encode(
        x=alt.X(f"{x}:Q", title=title, axis=alt.Axis(format=form)), y=alt.Y(f"{y}:N", sort="-x", title=None),
        tooltip=_tips(frame), **encoded,
    ).properties(width=WIDE, height=alt.Step(9 if color else 16))  # fmt: skip


def loadings(frame: pl.DataFrame) -> Chart:
    """Draw the loadings of features on discriminants."""
    return alt.Chart(_frame(frame)).mark_bar().encode(
        x=alt.X("loading:Q", scale=alt.Scale(domain=[-1, 1])), y=alt.Y("feature:N", title=None),
        color=alt.condition(alt.datum.loading > 0, alt.value("#e6842a"), alt.value("#3c78b4")),
        column=alt.Column("axis:N", title=None), tooltip=["feature:N", "axis:N", alt.Tooltip("loading:Q", format=".2f")],
    ).properties(width=SMALL, height=alt.Step(16))  # fmt: skip


def scatters(frame: pl.DataFrame, kinds: tuple[str, ...]) -> Chart:
    """Draw a sample's coordinates side by side; a click on the legend shows one genre alone."""
    selected = alt.selection_point(fields=["genre"], bind="legend")
    charts = [
        alt.Chart(_frame(frame)).mark_circle(size=14).encode(
            x=alt.X(f"{kind}1:Q"), y=alt.Y(f"{kind}2:Q"), color=alt.Color("genre:N", scale=GENRES), tooltip=["genre:N"],
            opacity=alt.condition(selected, alt.value(0.7), alt.value(0.03)),
        ).properties(width=280, height=280)
        for kind in kinds
    ]  # fmt: skip
    charts[0] = charts[0].add_params(selected)  # one selection for all charts
    return alt.hconcat(*charts)


def lines(
    frame: pl.DataFrame, x: str, y: str, *, color: str | None = None, diagonal: bool = False, form: str = ".2f"
) -> Chart:
    """Draw lines with a number format ``form``; ``diagonal`` draws a dashed diagonal below them."""
    encoded: dict[str, Any] = {"color": alt.Color(f"{color}:N", scale=GENRES)} if color else {}
    drawn = alt.Chart(_frame(frame)).mark_line(point=not color).encode(
        x=alt.X(f"{x}:Q"), y=alt.Y(f"{y}:Q", scale=alt.Scale(zero=diagonal), axis=alt.Axis(format=form)), tooltip=_tips(frame), **encoded
    )  # fmt: skip
    if diagonal:
        ends = alt.InlineData(values=[{x: 0, y: 0}, {x: 1, y: 1}])
        drawn = alt.layer(
            alt.Chart(ends).mark_line(strokeDash=[4, 4], color="#999").encode(x=f"{x}:Q", y=f"{y}:Q"), drawn
        )
    return drawn.properties(width=420, height=320)


_PAGE = Environment(autoescape=True).from_string("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1080px; padding: 1.5rem; color: #222; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.6rem; border-bottom: 1px solid #ddd; } nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
table { border-collapse: collapse; font-size: 13px; } td, th { padding: .15rem .7rem; border-bottom: 1px solid #eee; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } .chart { overflow-x: auto; margin: .6rem 0; } .lead { color: #555; }
</style></head><body>
<h1>{{ title }}</h1><p class="lead">{{ lead }}</p>
<nav>{% for section in sections %}<a href="#{{ section.id }}">{{ section.title }}</a>{% endfor %}</nav>
{% for section in sections %}<section id="{{ section.id }}"><h2>{{ section.title }}</h2>
{% for text in section.texts %}<p>{{ text }}</p>{% endfor %}
{% for table in section.tables %}<table><tr>{% for name in table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table.iter_rows() %}<tr>{% for cell in row %}<td{% if cell is number %} class="number"{% endif %}>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</table>{% endfor %}
{% for chart in section.charts %}<div class="chart" id="{{ section.id }}-{{ loop.index }}"></div>{% endfor %}
</section>{% endfor %}
<script type="application/json" id="charts">{{ specifications }}</script>
<script>{{ library }}</script>
</body></html>
""")

_DRAW = """
const charts = JSON.parse(document.getElementById("charts").textContent);
Promise.all(Object.entries(charts).map(([id, chart]) => vegaEmbed("#" + id, chart, {actions: false, renderer: "svg"})))
  .then(() => { document.body.dataset.drawn = Object.keys(charts).length; });
"""


@dataclass(frozen=True)
class Section:
    """One section of a page: paragraphs, then tables, then charts. ``id`` is its anchor."""

    id: str
    title: str
    texts: tuple[str, ...] = ()
    tables: tuple[pl.DataFrame, ...] = ()
    charts: tuple[Chart, ...] = ()


def page(title: str, lead: str, sections: list[Section]) -> str:
    """Return one HTML document that needs no network: text with its markup escaped, tables, charts and their library."""
    specifications = {
        f"{section.id}-{number}": chart.to_dict()
        for section in sections
        for number, chart in enumerate(section.charts, 1)
    }
    # A browser reads the JSON up to the next "</script", so a name must not contain it.
    text = json.dumps(specifications, separators=(",", ":")).replace("<", "\\u003c")
    library = vl_convert.javascript_bundle(_DRAW)
    return _PAGE.render(
        title=title, lead=lead, sections=sections, specifications=Markup(text), library=Markup(library.replace("</script", "<\\/script"))  # noqa: S704  ours, and JSON
    )  # fmt: skip
