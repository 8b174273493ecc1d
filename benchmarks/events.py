"""What becomes of a picker's picks: events of a simulated continuous record found, missed, false, and how far off.

    python -m benchmarks.events --minutes 30 --phasenet-weights phasenet_original.safetensors [--out FOLDER]

Each picker picks the same record; PyOcto associates its picks in the same half-space, fitted to the picks themselves,
and by the simulation's own layers. An event is found where an associated one has at least half of its picks within
0.5 s of the true onsets of that event; what is associated besides is false. Places are compared with the simulation's.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phaseno_peft.campaign import read_stations
from phaseno_peft.campaign.runs import Runs
from phaseno_peft.campaign.station_checks import KM_PER_DEGREE
from phaseno_peft.events import AssociatedEvent, Layers, associate
from phaseno_peft.labelling import load_teacher
from phaseno_peft.picking.annotations import picks_of
from phaseno_peft.picks import PickList
from phaseno_peft.simulation import Preset, SimulatedEvent, find_preset, simulate_campaign
from phaseno_peft.text_tables import TextTable

NEAR_S = 0.5
"""A pick this near to a true onset is of that arrival."""


@dataclass(frozen=True)
class EventScore:
    """Associated events against true ones."""

    found: int
    missed: int
    false: int
    off_km: list[float]
    """Horizontally, of each found event."""
    off_depth_km: list[float]
    off_s: list[float]


def true_event_of(event: AssociatedEvent, truth: Sequence[SimulatedEvent]) -> int | None:
    """Number of the true event that at least half of the picks belong to, None without one."""
    onsets = {
        (arrival.station_id, arrival.phase, k): arrival.onset_time
        for k, true in enumerate(truth)
        for arrival in true.arrivals
    }
    counts = np.zeros(len(truth), int)
    for pick in event.picks:
        for k in range(len(truth)):
            onset = onsets.get((pick.trace_id, pick.phase, k))
            if onset is not None and abs(pick.time - onset) <= NEAR_S:
                counts[k] += 1
    best = int(np.argmax(counts)) if len(counts) else 0
    return best if len(counts) and 2 * counts[best] >= len(event.picks) else None


def score(events: Sequence[AssociatedEvent], truth: Sequence[SimulatedEvent], preset: Preset) -> EventScore:
    """Events found, missed and false; of several for one true event, the one with most picks is it."""
    matched: dict[int, AssociatedEvent] = {}
    for event in sorted(events, key=lambda e: -len(e.picks)):
        k = true_event_of(event, truth)
        if k is not None:
            matched.setdefault(k, event)
    off_km, off_depth_km, off_s = [], [], []
    along = KM_PER_DEGREE * np.cos(np.radians(preset.center_latitude_deg))
    for k, event in matched.items():
        source = truth[k].source
        east = (event.longitude_deg - preset.center_longitude_deg) * along - source.east_km
        north = (event.latitude_deg - preset.center_latitude_deg) * KM_PER_DEGREE - source.north_km
        off_km.append(float(np.hypot(east, north)))
        surface_km = min(preset.elevation_m) / 1000.0
        off_depth_km.append((event.depth_m or 0.0) / 1000.0 - (source.depth_km - surface_km))
        off_s.append(event.origin_time - truth[k].origin_time)
    n = len(matched)
    return EventScore(n, len(truth) - n, len(events) - n, off_km, off_depth_km, off_s)


def picks_by(name: str, weights: Path | None, record: Path, stations: Path) -> PickList:
    """Picks of a record by a picker: frozen, an adapter's name, stalta, phasenet."""
    if name in ("stalta", "phasenet"):
        teacher = load_teacher(name, phasenet_weights=weights if name == "phasenet" else None)
    else:
        teacher = load_teacher(None, adapter=None if name == "frozen" else name)
    picks = picks_of(teacher.annotations(Runs(record, read_stations(stations), teacher.preprocessing)))
    picks.creator = teacher.name
    return picks


def row(name: str, picks: PickList, made: EventScore, velocity: str) -> list[object]:
    """A line of the table."""

    def quantiles(values: Sequence[float]) -> str:
        if not values:
            return "–"
        return f"{np.median(np.abs(values)):.2f} / {np.quantile(np.abs(values), 0.9):.2f}"

    return [
        name,
        velocity,
        len(picks),
        made.found,
        made.missed,
        made.false,
        quantiles(made.off_km),
        quantiles(made.off_depth_km),
        quantiles(made.off_s),
    ]


def main() -> None:
    """Simulate, pick, associate, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="ohio-frac")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--pickers", default="frozen,ohio-frac,phasenet,stalta")
    parser.add_argument("--phasenet-weights", type=Path, help="Without: the picker phasenet is left out.")
    parser.add_argument("--out", type=Path, help="Folder for picks and for each picker's events and page.")
    given = parser.parse_args()
    preset = find_preset(given.preset)
    model = preset.model
    surface_km = min(preset.elevation_m) / 1000.0  # the simulation's depths begin at its lowest station
    below = [k for k, bottom in enumerate((*model.top_km[1:], np.inf)) if bottom > surface_km]
    layers = Layers(
        tuple(max(0.0, model.top_km[k] - surface_km) for k in below),
        tuple(model.vp_km_s[k] for k in below),
        tuple(model.vs_km_s[k] for k in below),
        source="the simulation's layers",
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.out or Path(scratch)
        folder.mkdir(exist_ok=True)
        made = simulate_campaign(
            preset,
            Path(scratch) / "campaign",
            seed=given.seed,
            events=1,
            continuous_minutes=given.minutes,
            continuous_events=given.events,
        )
        rows = []
        for name in given.pickers.split(","):
            if name == "phasenet" and given.phasenet_weights is None:
                continue
            begin = time.perf_counter()
            picks = picks_by(name, given.phasenet_weights, made.folder / "continuous", made.stations)
            picks.to_csv(folder / f"{name}.csv")
            print(f"{name}: {len(picks)} picks in {time.perf_counter() - begin:.0f} s", flush=True)
            for velocity in (None, layers):
                own = folder / f"{name}-{'fitted' if velocity is None else 'layers'}"
                events = associate(picks, made.stations, velocity=velocity, folder=own, overwrite=True)
                kind = str(events.velocity).split(":")[1].strip() if velocity is None else "the simulation's layers"
                rows.append(row(name, picks, score(events.events, made.continuous_events, preset), kind))
        columns = ("picker", "velocity", "picks", "found", "missed", "false", "km off", "km off in depth", "s off")
        title = (
            f"{given.preset}, {given.minutes:g} simulated minutes, {given.events} events on {len(preset.station_code)} "
            f"stations, seed {given.seed}; off: median / 90 % of found events"
        )
        print(f"{title}\n\n{TextTable(columns, rows, n_left=2).markdown()}")
        with (folder / "events-table.csv").open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])


if __name__ == "__main__":
    main()
