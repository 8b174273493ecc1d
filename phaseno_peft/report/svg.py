"""Figures as SVG inside a page, in the page's own colours, so that one drawing serves light, dark and paper."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, FAINT, PAPER = "#14181c", "#69737d", "#dce1e6", "#fdfefd"
"""Lines and text, secondary text, grids, background."""
P_INK, S_INK, WARN_INK = "#0072b2", "#d55e00", "#cc79a7"
"""Okabe and Ito's colours, which colour-blind readers tell apart; shapes differ too wherever they are used."""
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    FAINT: "--faint",
    PAPER: "--paper",
    P_INK: "--p-ink",
    S_INK: "--s-ink",
    WARN_INK: "--warn-ink",
}
"""Colours that the page's style sheet gives again for a dark screen. Other colours stay as drawn."""
_COLOUR = re.compile("|".join(VARIABLES), re.IGNORECASE)
_ID = re.compile(r'(\bid="|href="#|url\(#)')


def paint(svg: str) -> str:
    """The SVG with the colours of `VARIABLES` given over to the page."""
    return _COLOUR.sub(lambda found: f"var({VARIABLES[found[0].lower()]})", svg)


def figure_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG file, the same text for the same figure; texts stay texts."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def inline_svg(figure: Figure | str, name: str, description: str) -> str:
    """The figure, or its `figure_svg`, as an SVG element without size and fonts, its ids beginning with `name`.

    `description` is what someone who cannot see the figure is told.
    """
    svg = figure if isinstance(figure, str) else figure_svg(figure, name)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(width|height|xmlns|xmlns:xlink|version)="[^"]*"', "", opening)
    rest = _ID.sub(rf"\g<1>{name}-", rest).replace("xlink:href", "href")
    rest = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1", rest)
    return f'{opening} role="img" aria-label="{escape(description)}">{paint(rest)}'.strip()
