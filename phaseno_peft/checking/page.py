"""The HTML page of a check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from phaseno_peft.campaign.splits import FEW_EVENTS
from phaseno_peft.campaign.stretch import Stretch
from phaseno_peft.checking.arrivals import short_event
from phaseno_peft.checking.delivery import places_km
from phaseno_peft.checking.event_fit import TimedPick
from phaseno_peft.checking.noise import NOISY_DB
from phaseno_peft.checking.result import CheckResult
from phaseno_peft.contract import COMPONENTS
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.report import Page, Picture, Section, Table, Tile, inline_svg, write_page

PAGE = "index.html"
BEFORE_S, AFTER_S = 2.0, 6.0
"""The record section begins before the first pick and ends after the last."""
MOST_TRACES = 30
MOST_CHANNELS = 120
"""Bars of the gap chart; those with gaps first."""
VERDICTS = {
    "error": "This delivery cannot be trained on as it is. The errors below say why and what to do.",
    "warning": "Training would run. Look at the warnings first: each may spoil the adapter or its scores.",
    "note": "Nothing was found that speaks against training.",
}
GLOSSARY = (
    ("move-out", "How arrivals become later with distance. A half-space is fitted to each event's picks alone, without "
     "the catalogue's origin; a pick far from it is named."),
    ("label offset", "Median time from the pick to the onset that a detector finds in the record: positive is early."),
    ("gap", "A hole between samples of one recording, also where a digitiser stood still."),
)  # fmt: skip


def page_path(folder: str | Path, *, overwrite: bool) -> Path:
    """Where the page goes. Raises `PhasenoPeftError` where one stands already, unless it may be replaced."""
    target = Path(folder) / PAGE
    if target.exists() and not overwrite:
        raise PhasenoPeftError(f"{target}: exists already. Choose another folder, or replace it with --overwrite.")
    if Path(folder).exists() and not Path(folder).is_dir():
        raise PhasenoPeftError(f"{folder}: is no folder. Give a folder for the page.")
    return target


def write_report(result: CheckResult, folder: str | Path, name: str, *, overwrite: bool) -> Path:
    """Write `index.html` into the folder, which is made where it is not there."""
    target = page_path(folder, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_page(make_page(result, name), target)


def make_page(result: CheckResult, name: str) -> Page:
    """The page's content; sections without anything to show are left out."""
    severity = result.findings[0].severity if result.findings else "note"
    return Page(
        title=f"Check of {name}",
        verdict=VERDICTS[severity],
        severity=severity,
        tiles=_tiles(result),
        findings=result.findings,
        sections=[s for s in _sections(result) if s.pictures or s.tables],
        footer=f"phaseno-peft {version('phaseno-peft')}. The page is whole in itself: it loads and sends nothing. "
        "It names stations, places and times of the campaign; mind whom you give it to.",
        glossary=GLOSSARY,
    )


def _tiles(result: CheckResult) -> list[Tile]:
    recordings = result.delivery.recordings
    picks = [p for s in _stretches(result) for p in s.picks if p.usable]
    hours = sum(r.duration_s for r in recordings) / 3600
    tiles = [
        Tile(str(result.count("error")), "errors"),
        Tile(str(result.count("warning")), "warnings"),
        Tile(str(len({i for r in recordings for i in r.station_ids})), "recorded stations"),
        Tile(f"{hours:.2f} h" if hours < 10 else f"{hours:.0f} h", f"in {len(recordings)} recordings"),
    ]
    if picks:
        counts = Counter(p.phase for p in picks)
        tiles += [
            Tile(str(len({p.event_id for p in picks})), "events with picks in the records"),
            Tile(f"{counts['P']} / {counts['S']}", "P / S picks"),
        ]
    return tiles


def _sections(result: CheckResult) -> Iterator[Section]:
    yield _use(result)
    yield _network(result)
    yield _coverage(result)
    yield _records(result)
    yield _arrivals(result)
    yield _noise(result)
    yield _labels(result)


_IN_FOLDS = (
    f"With fewer than {FEW_EVENTS} labelled events all of them train, and each is predicted by an adapter that was "
    "trained on the other folds. `--folds 0`, `--quick`, `--labels`, `--seeds` and `compare` set events aside instead, "
    "of 6 at least."
)


def _use(result: CheckResult) -> Section:
    sides = result.sides
    rows = [(u.side, u.events, u.p_picks, u.s_picks, u.stations, u.recordings, f"{u.hours:.2f}") for u in sides.uses]
    columns = ("side", "events", "P", "S", "stations picked", "recordings", "hours")
    how = [f"{sides.how[0].upper()}{sides.how[1:]}"] if sides.how else []
    if sides.in_folds:
        how.append(_IN_FOLDS)
    return Section("What training would use", how, (), [Table(columns, rows, "", range(1, 7))] if rows else [])


def _network(result: CheckResult) -> Section:
    from phaseno_peft.figures.delivery import network_map

    table = result.delivery.stations
    if table is None or not len(table):
        return Section("Network")
    places = places_km(table)
    recorded = {i for r in result.delivery.recordings for i in r.station_ids}
    located = [e for e in result.moveout.events if not e.is_mixed]
    reach = 3 * max(1.0, max(float(np.hypot(*place[:2])) for place in places.values()))
    near = [e for e in located if np.hypot(*e.place_km[:2]) < reach]
    rays = [(k, i) for k, e in enumerate(near) for i in {t.pick.station_id for t in e.picks}]
    figure = network_map(places, [e.place_km for e in near], rays, [i for i in places if i not in recorded])
    beyond = f" {len(located) - len(near)} events beyond the map are left out." if len(located) > len(near) else ""
    picture = Picture(
        inline_svg(figure, "map", f"Map of {len(places)} stations and {len(near)} events"),
        "Stations (triangles, open without records) and events (circles) where a half-space puts them from their "
        f"picks, with a line for each station that picked them.{beyond}",
    )
    return Section("Network", (), [picture], [_station_table(result)])


def _station_table(result: CheckResult) -> Table:
    delivery = result.delivery
    counts = Counter((p.station_id, p.phase) for s in _stretches(result) for p in s.picks if p.usable)
    seconds: Counter[str] = Counter()
    components: dict[str, set[str]] = {}
    for recording in delivery.recordings:
        for i, station_id in enumerate(recording.station_ids):
            seconds[station_id] += round(float(np.any(recording.recorded[i], axis=0).sum()) / recording.rate_hz)
            components.setdefault(station_id, set()).update(recording.components[i])
    noise = result.noise
    level = {}
    if noise is not None:
        middle = float(np.nanmedian(noise.levels_db))
        for station_id, levels in zip(noise.station_ids, noise.levels_db, strict=True):
            if np.isfinite(levels).any():
                level[station_id] = f"{np.nanmedian(levels) - middle:+.0f}"
    agreement = {p.station_id: f"{p.agreement:+.2f} ({p.n})" for p in result.polarisation if p.n}
    rows = [
        (
            s.station_id.rstrip("."),
            f"{s.latitude_deg:.5f}",
            f"{s.longitude_deg:.5f}",
            f"{s.elevation_m:.0f}",
            "".join(sorted(components.get(s.station_id, ()))),
            f"{seconds[s.station_id] / 60:.1f}",
            counts[s.station_id, "P"],
            counts[s.station_id, "S"],
            level.get(s.station_id, ""),
            agreement.get(s.station_id, ""),
        )
        for s in delivery.stations or ()
    ]
    columns = (
        "station",
        "latitude",
        "longitude",
        "m",
        "components",
        "minutes",
        "P",
        "S",
        "noise dB",
        "P direction (n)",
    )
    return Table(
        columns,
        rows,
        "Noise against the campaign's median. P direction: mean cosine between P's horizontal motion and the way from "
        "the source; +1 is as it should be, -1 an upside-down vertical.",
        (1, 2, 3, 5, 6, 7, 8, 9),
    )


def _coverage(result: CheckResult) -> Section:
    from phaseno_peft.figures.delivery import gap_chart

    channels = result.coverage.channels
    if not channels:
        return Section("Coverage")
    shown = set(sorted(channels, key=lambda c: -len(c.gaps_s))[:MOST_CHANNELS])
    drawn = [(f"{c.station_id.rstrip('.')} {c.component}", c.recorded_s, c.gaps_s) for c in channels if c in shown]
    picture = Picture(
        inline_svg(gap_chart(drawn, result.coverage.bounds_s), "gaps", f"Coverage of {len(drawn)} channels"),
        f"What {len(drawn)} of {len(channels)} channels recorded. Crosses: gaps within a recording (drawn wider "
        "than they are where they are short). Empty: the station has no trace there.",
        is_wide=True,
    )
    return Section("Coverage", (), [picture])


def _records(result: CheckResult) -> Section:
    from phaseno_peft.figures.arrivals import Trace, section

    best: tuple[int, Stretch, str] | None = None
    for stretch in _stretches(result):
        for event_id, n in Counter(p.event_id for p in stretch.picks if p.usable).items():
            if best is None or n > best[0]:
                best = (n, stretch, event_id)
    if best is None or result.delivery.stations is None:
        return Section("Records")
    _, stretch, event_id = best
    recording = stretch.recording
    picks = [p for p in stretch.picks if p.event_id == event_id]
    first = max(0, round(recording.index_of(picks[0].time) - BEFORE_S * recording.rate_hz))
    last = min(recording.n_samples, round(recording.index_of(picks[-1].time) + AFTER_S * recording.rate_hz))
    places = places_km(result.delivery.stations)
    source = next((e.place_km for e in result.moveout.events if e.event_id == event_id), None)
    traces = []
    for i, station_id in enumerate(recording.station_ids):
        if station_id not in places:
            continue
        start = picks[0].station_id if picks[0].station_id in places else station_id
        centre = source if source is not None else places[start]
        own = {
            p.phase: (recording.index_of(p.time) - first) / recording.rate_hz
            for p in picks
            if p.station_id == station_id
        }
        component = 2 if "Z" in recording.components[i] else COMPONENTS.index(recording.components[i][0])
        distance = float(np.linalg.norm(places[station_id] - centre))
        traces.append(Trace(station_id, distance, recording.samples[i, component, first:last], own))
    traces = sorted(traces, key=lambda t: t.distance_km)[:MOST_TRACES]
    title = f"event {short_event(event_id)}, {recording.start + first / recording.rate_hz}"
    figure = section(traces, recording.rate_hz, title)
    picture = Picture(
        inline_svg(figure, "section", f"Record section of event {short_event(event_id)}"),
        "The event with most picks: verticals by distance, each scaled to itself, above 1 Hz of the network's time. "
        "Solid lines: P. Dashed lines: S.",
        is_wide=True,
    )
    return Section("Records", (), [picture])


def _arrivals(result: CheckResult) -> Section:
    from phaseno_peft.figures.arrivals import Arrival, move_out, sp_times

    fit = result.moveout
    if not fit.events:
        return Section("Arrivals")
    off = sorted((t for e in fit.events for t in e.picks if t.is_outlier), key=lambda t: -abs(t.residual_s))
    number = {id(t.pick): str(k) for k, t in enumerate(off, start=1)}
    shifted = {(c.station_id, event_id) for c in fit.clocks for event_id in c.event_ids}
    arrivals, records = [], []
    for event in fit.events:
        by_station: dict[str, dict[str, TimedPick]] = {}
        for t in event.picks:
            name = number.get(id(t.pick), "")
            arrivals.append(
                Arrival(
                    t.pick.phase,
                    name,
                    t.distance_km,
                    t.observed_s,
                    t.is_outlier,
                    (t.pick.station_id, event.event_id) in shifted,
                )
            )
            by_station.setdefault(t.pick.station_id, {})[t.pick.phase] = t
        for both in by_station.values():
            if len(both) == 2:
                p, s = both["P"], both["S"]
                names = [number[id(t.pick)] for t in (p, s) if id(t.pick) in number]
                is_off = bool(names) or s.observed_s <= p.observed_s
                records.append((", ".join(names), p.observed_s, s.observed_s - p.observed_s, is_off))
    rows = [
        (
            number[id(t.pick)],
            t.pick.phase,
            t.pick.station_id.rstrip("."),
            short_event(t.pick.event_id),
            str(t.pick.time),
            f"{t.residual_s:+.2f}",
        )
        for t in off
    ]
    columns = ("ring", "phase", "station", "event", "picked at", "off by (s)")
    tables = [Table(columns, rows, "Picks off the move-out, farthest first.", (5,))] if rows else []
    spread = ", ".join(f"{phase} {1000 * sigma:.0f} ms" for phase, sigma in fit.sigma_s.items())
    text = (
        f"{len(fit.events)} events with six or more usable picks on four stations fit a half-space of "
        f"{fit.speed_km_s:g} km/s and Vp/Vs {fit.ratio:.2f} with a constant term a station and phase; residuals "
        f"scatter by {spread} (robust standard deviation). The places are good for this comparison only."
    )
    off_clocks = ", ".join(c.station_id.rstrip(".") for c in fit.clocks)
    clocks = f" Crosses: {off_clocks}, whose clock looks off." if off_clocks else ""
    pictures = [
        Picture(
            inline_svg(move_out(arrivals, fit.speed_km_s, fit.ratio), "moveout", "Travel times against distance"),
            f"Move-out of all picks. Rings: off the move-out, numbered as in the table.{clocks}",
        ),
        Picture(
            inline_svg(sp_times(records, fit.ratio), "wadati", "S minus P times against P travel times"),
            "S - P times. Rings: P or S is off the move-out, or S comes before P.",
        ),
    ]
    return Section("Arrivals", [text], pictures, tables)


def _noise(result: CheckResult) -> Section:
    from phaseno_peft.figures.delivery import noise_levels, noise_spectra

    noise = result.noise
    if noise is None:
        return Section("Noise")
    names = {
        f"{i.rstrip('.')} {letter}": noise.spectra_db[k, c]
        for k, i in enumerate(noise.station_ids)
        for c, letter in enumerate(COMPONENTS)
        if np.isfinite(noise.spectra_db[k, c]).all()
    }
    level = {
        f"{i.rstrip('.')} {letter}": abs(noise.levels_db[k, c] - np.nanmedian(noise.levels_db))
        for k, i in enumerate(noise.station_ids)
        for c, letter in enumerate(COMPONENTS)
    }
    named = sorted((n for n in names if level[n] > NOISY_DB), key=lambda n: -level[n])[:4]
    levels = {i: noise.levels_db[k] - np.nanmedian(noise.levels_db) for k, i in enumerate(noise.station_ids)}
    pictures = [
        Picture(
            inline_svg(
                noise_spectra(noise.frequencies_hz, names, noise.median_db, noise.unit, named),
                "spectra",
                f"Noise spectra of {len(names)} channels",
            ),
            f"Noise before the events: each channel (thin), the campaign's median (thick)"
            f"{', and those farthest from it' if named else ''}.",
        ),
        Picture(
            inline_svg(noise_levels(levels, NOISY_DB), "levels", "Noise level of each station"),
            f"Level from {noise.band_hz[0]:g} to {noise.band_hz[1]:g} Hz of each component. Dashed: {NOISY_DB:g} dB.",
        ),
    ]
    return Section("Noise", (), pictures)


def _labels(result: CheckResult) -> Section:
    rows = []
    for phase, offset in result.offsets.items():
        if offset.median_s is not None and offset.quartiles_s is not None:
            low, high = (f"{1000 * q:+.0f}" for q in offset.quartiles_s)
            rows.append((phase, offset.n, f"{1000 * offset.median_s:+.0f}", low, high))
    columns = ("phase", "clear arrivals", "median (ms)", "lower quartile", "upper quartile")
    caption = "Onset in the record minus pick: positive where the catalogue picks early. An adapter learns this habit."
    return Section("Label offsets", (), (), [Table(columns, rows, caption, range(1, 5))] if rows else [])


def _stretches(result: CheckResult) -> tuple[Stretch, ...]:
    return result.delivery.campaign.stretches() if result.delivery.campaign is not None else ()
