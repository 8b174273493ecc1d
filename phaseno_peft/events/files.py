"""What an association leaves: a folder with the catalogue, its tables, its picture and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from phaseno_peft.events.association import Association
from phaseno_peft.events.catalogue import event_names, write_catalog
from phaseno_peft.events.page import draw, make_page
from phaseno_peft.events.tables import EVENT_COLUMNS, PICK_COLUMNS, event_rows, pick_rows
from phaseno_peft.figures.style import save
from phaseno_peft.files import check_folder, write_file, write_folder
from phaseno_peft.report import figure_svg, write_page

PAGE, EVENTS, PICKS, PICTURE = "index.html", "events.csv", "picks.csv", "events.png"
CATALOGUES = ("events.xml", "events.scml")


def events_folder(folder: str | Path, *, overwrite: bool) -> Path:
    """Where a catalogue goes. Raises `PhasenoPeftError` where something else, or an older one, stands already."""
    return check_folder(folder, "events", (PAGE, EVENTS), overwrite=overwrite)


def write_association(made: Association, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write events.xml (QuakeML), events.scml, events.csv, picks.csv, events.png, events.svg and index.html, whole or
    not at all, and return the path of the page."""
    target = events_folder(folder, overwrite=overwrite)
    catalog = made.to_catalog()
    names = event_names(made.events, made.picks.creator)
    with write_folder(target, "writing events", overwrite=overwrite) as part:
        for name in CATALOGUES:
            write_catalog(part / name, catalog)
        write_file(part / EVENTS, _text(EVENT_COLUMNS, event_rows(made, names)))
        write_file(part / PICKS, _text(PICK_COLUMNS, pick_rows(made, names)))
        figure = draw(made)
        svg = figure_svg(figure, "events")
        write_file(part / "events.svg", svg)
        save(figure, part / PICTURE)
        write_page(make_page(made, names, svg), part / PAGE)
    return target / PAGE


def _text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
