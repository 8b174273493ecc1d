"""Pages to read in a browser: one self-contained HTML file with findings, figures and tables, for screen and paper."""

from phaseno_peft.report.page import Page, Picture, Section, Table, Tile, render_page, write_page
from phaseno_peft.report.svg import FAINT, INK, MUTED, P_INK, PAPER, S_INK, WARN_INK, inline_svg

__all__ = [
    "FAINT",
    "INK",
    "MUTED",
    "PAPER",
    "P_INK",
    "S_INK",
    "WARN_INK",
    "Page",
    "Picture",
    "Section",
    "Table",
    "Tile",
    "inline_svg",
    "render_page",
    "write_page",
]
