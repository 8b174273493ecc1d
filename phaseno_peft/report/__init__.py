"""Pages to read in a browser: one self-contained HTML file with findings, figures and tables, for screen and paper."""

from phaseno_peft.report.page import Leaf, Link, Page, Picture, Section, Table, Tile, render_page, write_page
from phaseno_peft.report.svg import FAINT, INK, MUTED, P_INK, PAPER, S_INK, WARN_INK, figure_svg, inline_svg, paint

__all__ = [
    "FAINT",
    "INK",
    "MUTED",
    "PAPER",
    "P_INK",
    "S_INK",
    "WARN_INK",
    "Leaf",
    "Link",
    "Page",
    "Picture",
    "Section",
    "Table",
    "Tile",
    "figure_svg",
    "inline_svg",
    "paint",
    "render_page",
    "write_page",
]
