"""The report of an evaluation: one page, and beside it every table as CSV and JSON and every figure as PNG and SVG."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from phaseno_peft.evaluation.calibration import stated_for
from phaseno_peft.evaluation.report import COLUMNS, comparison_rows
from phaseno_peft.files import check_folder, write_file, write_folder
from phaseno_peft.judging.card_tables import COVERAGE_COLUMNS, coverage_cells
from phaseno_peft.judging.curves import QUANTITIES, AllCurves, all_curves
from phaseno_peft.judging.evidence import ADAPTER, FROZEN, Judged
from phaseno_peft.judging.few_shot import COLUMNS as COLUMNS_OF_FEW_SHOT
from phaseno_peft.judging.few_shot import FewShot
from phaseno_peft.judging.judged_picks import JudgedPick, pick_rows
from phaseno_peft.judging.records import Record, choose_records, lanes, standing_out
from phaseno_peft.judging.tables import all_picks, score_rows, verdict_row, window_rows, write_table
from phaseno_peft.judging.uncertainty import Coverage, coverage, reliability
from phaseno_peft.library.card import contract_rows, how_calibrated
from phaseno_peft.library.sharing import discreet_contract
from phaseno_peft.report import Leaf, Link, Page, Picture, Section, Table, Tile, figure_svg, inline_svg, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, TABLES, FIGURES = "index.html", "tables", "figures"
LEAST_REM = 34.0
"""Width below which the letters of a figure of two panels become too small to read."""
WHOSE = {"analyst": "an analyst", "automatic": "a program", "simulated": "a simulation", "unknown": "unknown origin"}
NAMES_ALL = (
    "It and the files beside it name stations, places and times of the campaign and show its records; mind whom you "
    "give them to."
)
NOTHING_NAMED = (
    "It and the files beside it name no station, event, time and exact place of the campaign and show no record: "
    "scores, counts, residuals and what the adapter needs to work are here."
)
KEY = (
    "Each station has two lanes: the vertical with P (blue) above the stronger horizontal with S (orange), each trace "
    "scaled to itself. Long line: the catalogue's pick. Filled triangle below: the adapter's pick; with a cross: a "
    "false pick. Ring at the top of a line: the adapter missed it. Open triangle below: a pick where the catalogue's "
    "silence means nothing, not judged. Open triangle above, grey: the frozen network's pick. Curves: probabilities of "
    "the adapter (coloured) and of the frozen network (grey, dashed)."
)
GLOSSARY = (
    ("within 0.5 s", "A pick counts as right if it lies so near a label, in the network's time; one pick a label."),
    ("F1", "Harmonic mean of precision (right picks among judged picks) and recall (labels that were picked)."),
    ("95 %", "Interval by bootstrap over events: events are drawn again with replacement, 1,000 times; windows that "
     "share an event are drawn together, noise windows one by one. Differences are drawn on the same events."),
    ("residual", "Pick minus label of right picks. MAD: median absolute deviation times 1.4826."),
    ("not judged", "Catalogues are incomplete: a pick where nobody looked is neither right nor wrong."),
    ("SNR", "Rms in the 0.5 s after the arrival over that in the 2 s before it, above 1 Hz of the network's time."),
)  # fmt: skip


def report_folder(folder: str | Path, *, overwrite: bool) -> Path:
    """Where a report goes. Raises `PhasenoPeftError` where something else, or an older report, stands already."""
    return check_folder(folder, "report", (PAGE, TABLES), overwrite=overwrite)


def write_report(judged: Judged, folder: str | Path, *, overwrite: bool = False, confidential: bool = False) -> Path:
    """Write the report, whole or not at all, and return the path of its page.

    A `confidential` one names no station, event and time, has the centre to 0.5 degrees only (`discreet_contract`), and
    shows no record and no single pick.
    """
    target = report_folder(folder, overwrite=overwrite)
    if confidential:
        judged = dataclasses.replace(judged, contract=discreet_contract(judged.contract, judged.adapter))
    with write_folder(target, "writing the report", overwrite=overwrite) as part:
        (part / TABLES).mkdir()
        (part / FIGURES).mkdir()
        rows = {model: judged.picks_of(model) for model in judged.judgement.scores}
        curves = all_curves(judged.judgement, rows)
        _write_tables(judged, rows, curves, part / TABLES, confidential=confidential)
        write_page(_page(judged, rows, curves, part / FIGURES, confidential=confidential), part / PAGE)
    return target / PAGE


def _write_tables(
    judged: Judged,
    rows: Mapping[str, Sequence[JudgedPick]],
    curves: AllCurves,
    folder: Path,
    *,
    confidential: bool,
) -> None:
    write_table(folder, "verdict", [verdict_row(judged)])
    write_table(folder, "scores", score_rows(judged.judgement.scores))
    if not confidential:
        write_table(folder, "picks", all_picks(judged, rows))
        write_table(folder, "windows", window_rows(judged))
    write_table(folder, "contract", contract_rows(judged.contract))
    if found := coverage_of(judged):
        write_table(folder, "coverage", [each.row() for each in found])
    if lines := reliability(judged.judgement.scores, curves.counts):
        write_table(folder, "reliability", [row for line in lines for row in line.rows("probability", "right_picks")])
    if judged.few_shot is not None:
        names = [re.sub("[^0-9A-Za-z]+", "_", column) for column in COLUMNS_OF_FEW_SHOT]
        write_table(folder, "few_shot", [dict(zip(names, row, strict=True)) for row in judged.few_shot.cells()])
    write_table(folder, "average_precision", [average.row() for average in curves.averages])
    for name, (x_name, y_name, lines) in curves.named().items():
        write_table(folder, name, [row for line in lines for row in line.rows(x_name, y_name)])


def _page(
    judged: Judged,
    rows: Mapping[str, Sequence[JudgedPick]],
    curves: AllCurves,
    figures: Path,
    *,
    confidential: bool,
) -> Page:
    evidence, decided = judged.evidence, judged.verdict
    records = [] if confidential else choose_records(judged, rows[ADAPTER])
    rate = evidence.false_per_hour
    scored = judged.judgement.scores[ADAPTER].n_windows
    wrong = [row for row in rows[ADAPTER] if row.outcome in ("false", "missed") and row.window < scored]
    tiles = [
        Tile(
            f"{evidence.gain.value:+.3f}",
            f"F1 against frozen, 95 % {evidence.gain.low:+.3f} to {evidence.gain.high:+.3f}",
        ),
        Tile(str(evidence.n_events), "test events"),
        Tile(" / ".join(str(n) for n in evidence.n_labels.values()), "P / S labels"),
        Tile(
            " / ".join(str(sum(row.outcome == kind for row in wrong)) for kind in ("missed", "false")), "missed / false"
        ),
        Tile(
            f"{rate.value:.1f}" if evidence.noise_hours else "–",
            f"false picks an hour of noise, 95 % {rate.low:.1f} to {rate.high:.1f}; frozen "
            f"{evidence.frozen_false_per_hour:.1f}"
            if evidence.noise_hours
            else "false picks an hour of noise: no noise was judged",
        ),
    ]
    return Page(
        title=f"Evaluation of {judged.adapter}",
        lead=lead(judged),
        verdict=str(decided),
        severity=decided.severity,
        remarks=[f"{text[0].upper()}{text[1:]}" for text in (*decided.cautions, *judged.notes)],
        tiles=tiles,
        sections=[
            s
            for s in _sections(judged, rows, curves, coverage_of(judged), records, figures)
            if s.pictures or s.tables or s.leaves
        ],
        footer=f"phaseno-peft {version('phaseno-peft')}. The page is whole in itself: it loads and sends nothing. "
        + (NOTHING_NAMED if confidential else NAMES_ALL),
        glossary=GLOSSARY,
    )


def coverage_of(judged: Judged) -> list[Coverage]:
    """Coverage of the uncertainties that the adapter states for its picks."""
    scores = judged.judgement.scores[ADAPTER]
    stated = stated_for(scores, judged.contract.pick_uncertainty) if judged.stated is None else judged.stated
    return coverage(scores, stated)


def lead(judged: Judged) -> str:
    """What was judged, on what, against whom."""
    scores, evidence = judged.judgement.scores[ADAPTER], judged.evidence
    others = ", ".join(name for name in judged.judgement.scores if name not in (ADAPTER, FROZEN))
    return (
        f"Adapter {judged.adapter} on {judged.judgement.events}: {scores.n_windows} windows, "
        f"{scores.n_noise_windows} of them noise, with {scores.n_labels('P')} P and {scores.n_labels('S')} S picks of "
        f"{WHOSE[evidence.label_source]}. {_counted(judged)} Compared with the frozen network"
        f"{f' and {others}' if others else ''}."
    )


def _counted(judged: Judged) -> str:
    """In how much noise false picks were counted."""
    if not judged.evidence.noise_hours:
        return "There was no noise to count false picks in."
    n = len(judged.shown[ADAPTER].windows) - judged.judgement.scores[ADAPTER].n_windows
    further = f", {n} windows of it beyond those of F1" if n else ""
    return f"False picks were counted in {60 * judged.evidence.noise_hours:.1f} minutes of noise{further}."


def _sections(
    judged: Judged,
    rows: Mapping[str, Sequence[JudgedPick]],
    curves: AllCurves,
    found: Sequence[Coverage],
    records: Sequence[Record],
    figures: Path,
) -> Iterator[Section]:
    from phaseno_peft.figures.scores import bars, residuals

    scores = judged.judgement.scores
    pair = scores[FROZEN], scores[ADAPTER]
    text = "Precision, recall and F1 of every model. Bars of error: 95 % of F1."
    yield Section("Scores", (), [_picture(bars(scores), figures, "scores", text)], [_score_table(judged)])
    text = "Residuals within 0.5 s: pick minus label of right picks, so that negative is early."
    pictures = [_picture(residuals(*pair), figures, "residuals", text)]
    for number, name in enumerate((name for name in scores if name not in (FROZEN, ADAPTER)), 1):
        figure = residuals(scores[name], scores[ADAPTER], names=(name, ADAPTER))
        file = f"residuals_{number}_{re.sub('[^0-9A-Za-z]+', '_', name)}"
        pictures.append(_picture(figure, figures, file, f"The same of {name} beside the adapter."))
    yield Section("Residuals", (), pictures)
    yield _uncertainty_section(judged, curves, found, figures)
    yield _curve_section(judged, curves, figures)
    if judged.few_shot is not None:
        yield _few_shot_section(judged.few_shot, figures)
    yield _record_section(judged, rows, records, figures)
    yield _wrong_picks(judged, rows[ADAPTER], records)
    table = Table(("field", "value"), [(r["field"], r["value"]) for r in contract_rows(judged.contract)], "", ())
    text = "What the adapter agrees on with data and backbone, as its folder has it."
    yield Section("Contract", [text], (), [table])


def _score_table(judged: Judged) -> Table:
    cells = comparison_rows(judged.judgement.scores)
    gains = [
        f"{row['adapter_minus_it']:+.3f} [{row['adapter_minus_it_low']:+.3f}, {row['adapter_minus_it_high']:+.3f}]"
        if row["adapter_minus_it"] is not None
        else ""
        for row in score_rows(judged.judgement.scores)
    ]
    names = ("phase", "within", "model", *COLUMNS)
    columns = (*names[:6], "adapter minus it [95 %]", *names[6:])
    rows = [[*(r[n] for n in names[:6]), g, *(r[n] for n in names[6:])] for r, g in zip(cells, gains, strict=True)]
    return Table(columns, rows, "Scores of all models on the same windows.", range(3, len(columns)))


def _uncertainty_section(judged: Judged, curves: AllCurves, found: Sequence[Coverage], figures: Path) -> Section:
    from phaseno_peft.figures.curves import binned_figure

    of_folds = "Here each pick's is stated by the calibration of the other folds. " if judged.stated is not None else ""
    caption = (
        "Share of right picks whose residual lies within the interval that the adapter states for them. "
        f"{how_calibrated(judged.contract)} {of_folds}Goals: 0.63 to 0.73 and 0.92 to 0.98."
    )
    lines = reliability(judged.judgement.scores, curves.counts)
    text = (
        "Share of right picks among judged ones against their probability; on the line, probability means what it says."
    )
    figure = binned_figure(lines, "probability", "right picks", has_diagonal=True)
    pictures = [_picture(figure, figures, "reliability", text)] if lines else []
    return Section(
        "Uncertainty",
        (),
        pictures,
        [Table(COVERAGE_COLUMNS, coverage_cells(found), caption, (2, 3, 4, 5))] if found else [],
    )


def _curve_section(judged: Judged, curves: AllCurves, figures: Path) -> Section:
    from phaseno_peft.figures.curves import binned_figure, line_figure, precision_recall_figure

    scores = judged.judgement.scores
    chosen = {
        (phase, model): (found.phase(phase).recall, found.phase(phase).precision)
        for model, found in scores.items()
        for phase in scores[ADAPTER].thresholds
    }
    has_folds = any(tally.window_thresholds for tally in scores[ADAPTER].tallies.values())
    used = "each event at the threshold of the other folds" if has_folds else "the threshold in use"
    pictures = [
        _picture(
            precision_recall_figure(curves.precision_recall, chosen),
            figures,
            "precision_recall",
            f"Precision against recall over thresholds, within 0.5 s. Circle: {used}.",
        ),
        _picture(
            line_figure(curves.tolerance, "tolerance (s, network's time)", "F1"),
            figures,
            "f1_tolerance",
            "F1 against the tolerance. Bands: 95 %.",
        ),
    ]
    for name, lines in curves.quantities.items():
        if lines:
            what, _ = QUANTITIES[name]
            text = f"F1 within 0.5 s against {what}: bins with equally many labels. Bars: 95 %."
            pictures.append(_picture(binned_figure(lines, what, "F1"), figures, f"f1_{name}", text))
    if curves.false_picks:
        text = "False picks an hour of noise, whole network, against the threshold. Bands: 95 %."
        figure = line_figure(curves.false_picks, "threshold", "false picks an hour", is_rate=True)
        pictures.append(_picture(figure, figures, "false_picks", text))
    cells = [
        (
            a.phase,
            a.model,
            f"{a.value:.3f} [{a.low:.3f}, {a.high:.3f}]",
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(*a.gain) if a.gain is not None else "",
        )
        for a in curves.averages
    ]
    columns = ("phase", "model", "average precision [95 %]", "adapter minus it [95 %]")
    caption = "Average precision over thresholds from 0.05 to 0.99, within 0.5 s."
    return Section("Curves", (), pictures, [Table(columns, cells, caption, (2, 3))])


def _few_shot_section(few_shot: FewShot, figures: Path) -> Section:
    """F1 against labelled events, of trainings by themselves."""
    from phaseno_peft.figures.few_shot import few_shot_figure

    caption = (
        "F1 within 0.5 s, mean of P and S, against the labelled events that a training had; dashed: what was not "
        "trained. Bars: standard deviation over seeds."
    )
    figure = few_shot_figure(few_shot.lines(), "F1 within 0.5 s, mean of P and S")
    text = f"{few_shot.split} Each point is a training by itself; none of them is the adapter judged above."
    table = Table(COLUMNS_OF_FEW_SHOT, few_shot.cells(), "", range(1, len(COLUMNS_OF_FEW_SHOT)))
    return Section("Few labels", [text], [_picture(figure, figures, "few_shot", caption)], [table])


def _record_section(
    judged: Judged, rows: Mapping[str, Sequence[JudgedPick]], records: Sequence[Record], figures: Path
) -> Section:
    from phaseno_peft.figures.lanes import draw_lanes

    by_window: dict[str, dict[int, list[JudgedPick]]] = {ADAPTER: {}, FROZEN: {}}
    for model, of_window in by_window.items():
        for row in rows[model]:
            of_window.setdefault(row.window, []).append(row)
    shown = standing_out(judged, records)
    leaves = []
    for record in records:
        here = [by_window[model].get(record.window, []) for model in (ADAPTER, FROZEN)]
        drawing = draw_lanes(lanes(judged, record, *here))
        description = f"Record section, {record.title}"
        if record.is_whole:
            drawing.png(figures / f"{record.anchor}.png")
            write_file(figures / f"{record.anchor}.svg", drawing.svg(description, is_file=True))
        title = next((f"the {name}, {record.title}" for name, r in shown.items() if r is record), record.title)
        caption = "" if record.is_whole else "Only stations with a missed or false pick are drawn."
        leaves.append(
            Leaf(record.anchor, title, drawing.svg(description), caption, is_printed=record in shown.values())
        )
    links = [Link(name, record.anchor) for name, record in shown.items()]
    noise = [r for r in records if judged.shown[ADAPTER].windows[r.window].is_noise]
    links += [Link("false picks in noise", noise[0].anchor)] if noise else []
    return Section("Records", [KEY], links=links, leaves=leaves)


def _wrong_picks(judged: Judged, rows: Sequence[JudgedPick], records: Sequence[Record]) -> Section:
    record_of = {record.window: record for record in records}
    wrong = [row for row in rows if row.outcome in ("false", "missed") and row.window in record_of]
    place = {record.window: n for n, record in enumerate(records)}
    wrong.sort(key=lambda row: (place[row.window], row.station, row.sample))
    windows = judged.shown[ADAPTER].windows
    cells = []
    for row, told in zip(wrong, pick_rows(ADAPTER, wrong, windows), strict=True):
        cells.append(
            (
                Link(f"record {place[row.window] + 1}", record_of[row.window].anchor),
                row.outcome,
                row.phase,
                told["station"].rstrip("."),
                (told["label_time"] or told["pick_time"])[:-5].replace("T", " "),
                "" if told["probability"] is None else f"{told['probability']:.2f}",
                "" if told["snr_db"] is None else str(round(told["snr_db"])),
                "" if told["distance_km"] is None else f"{told['distance_km']:.1f}",
                "noise" if windows[row.window].is_noise else "",
            )
        )
    columns = ("see", "what", "phase", "station", "time (UTC)", "probability", "SNR (dB)", "km", "window")
    caption = (
        "Every missed and false pick of the adapter, the worst event first. `tables/picks.csv` has those of all models "
        "with all that is known of them."
    )
    table = Table(columns, cells, caption.replace("`", ""), (5, 6, 7), is_long=True)
    return Section("Missed and false picks", (), (), [table] if cells else [])


def _picture(figure: Figure, folder: Path, name: str, caption: str) -> Picture:
    """The figure for the page, and its files NAME.png and NAME.svg."""
    from phaseno_peft.figures.style import save

    svg = figure_svg(figure, name)
    write_file(folder / f"{name}.svg", svg)
    save(figure, folder / f"{name}.png")
    return Picture(inline_svg(svg, name, caption), caption, least_rem=LEAST_REM)
