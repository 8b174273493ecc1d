"""A simulated delivery without a fault, and the same with sixteen planted ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from obspy import Catalog, Inventory, Stream, read, read_events, read_inventory
from obspy.core.event import Event, Pick, ResourceIdentifier

from phaseno_peft.simulation import simulate_campaign
from phaseno_peft.simulation.presets import PRESETS, Preset
from phaseno_peft.simulation.travel_times import LayeredModel


@dataclass
class Delivered:
    """What `check` takes, in memory."""

    waveforms: dict[str, Stream]
    stations: Inventory
    picks: Catalog

    def copy(self) -> Delivered:
        return copy.deepcopy(self)

    def traces(self, station: str, component: str) -> list:
        return [
            t
            for s in self.waveforms.values()
            for t in s
            if t.stats.station == station and t.stats.channel[-1] == component
        ]

    def event(self, k: int) -> Event:
        return self.picks[k]


def hard_rock() -> Preset:
    """Nine stations on hard rock, so that P comes in from the side and its direction can be seen; 100 Hz."""
    industrial = PRESETS["us-industrial"]
    model = LayeredModel(
        top_km=(0.0, 2.0, 7.0),
        vp_km_s=(5.0, 5.6, 6.2),
        vs_km_s=(2.9, 3.2, 3.6),
        density_kg_m3=(2600.0, 2680.0, 2750.0),
        qp=(150.0, 250.0, 400.0),
        qs=(120.0, 200.0, 320.0),
    )
    return replace(
        industrial,
        rate_hz=100.0,
        model=model,
        scattering=3.0,
        kappa_s=0.008,
        reversed_vertical=(),
        station_code=industrial.station_code[:9],
        east_km=industrial.east_km[:9],
        north_km=industrial.north_km[:9],
        elevation_m=industrial.elevation_m[:9],
        noise=replace(industrial.noise, rms_m_s=3e-8, pump_rms_m_s=3e-8),
    )


def simulate(folder: Path) -> Delivered:
    made = simulate_campaign(hard_rock(), folder, seed=3, events=24, false_triggers=0)
    streams = {path.stem: read(str(path)) for path in sorted(made.waveforms.glob("*.mseed"))}
    return Delivered(streams, read_inventory(str(made.stations)), read_events(str(made.picks)))


def pick_of(event: Event, station: str, phase: str) -> Pick:
    return next(p for p in event.picks if p.waveform_id.station_code == station and p.phase_hint == phase)


def has(event: Event, station: str, phase: str) -> bool:
    return any(p.waveform_id.station_code == station and p.phase_hint == phase for p in event.picks)


def event_with(delivered: Delivered, *wanted: tuple[str, str], but: tuple[int, ...] = ()) -> int:
    """The first event, beside `but`, with all of the wanted (station, phase)."""
    return next(k for k, e in enumerate(delivered.picks) if k not in but and all(has(e, s, p) for s, p in wanted))


def plant(clean: Delivered) -> tuple[Delivered, dict[str, tuple[str, str]]]:
    """The delivery with faults, and for each fault (kind, what its file, place or text must name)."""
    d = clean.copy()
    rng = np.random.default_rng(0)
    stems = sorted(d.waveforms)
    planted: dict[str, tuple[str, str]] = {}
    network = d.stations[0]

    network.stations = [s for s in network if s.code != "UI09"]
    planted["a station is not in the station file"] = ("station without coordinates", "UI09")
    for stream in d.waveforms.values():
        for trace in stream.select(station="UI08"):
            stream.remove(trace)
    planted["a picked station has no traces"] = ("pick without waveforms", "UI08")
    for channel in network.select(station="UI05")[0]:
        channel.response.instrument_sensitivity.input_units = "M/S**2"
    planted["a station records acceleration"] = ("units differ", "UI05")

    k = event_with(d, ("UI02", "P"), ("UI02", "S"))
    p, s = pick_of(d.event(k), "UI02", "P"), pick_of(d.event(k), "UI02", "S")
    p.time, s.time = s.time, p.time
    planted["P and S exchanged"] = ("S before P", "UI02")

    wrong = event_with(d, ("UI01", "P"), ("UI01", "S"), ("UI06", "P"), ("UI04", "P"), ("UI02", "P"), but=(k,))
    p = pick_of(d.event(wrong), "UI01", "P")
    p.time += 1.2
    planted["a pick is late"] = ("off the move-out", "UI01")

    twice = event_with(d, ("UI01", "P"), ("UI06", "P"), ("UI04", "P"), but=(k, wrong))
    again = copy.deepcopy(d.event(twice))
    again.resource_id = ResourceIdentifier("smi:local/event/again")
    for pick in again.picks:
        pick.resource_id = ResourceIdentifier()
        pick.time += 0.04
    again.origins[0].arrivals = []
    d.picks.append(again)
    planted["an event is listed twice"] = ("duplicate event", "again")

    for trace in d.traces("UI04", "Z"):
        trace.data = -trace.data
    planted["a vertical is upside down"] = ("reversed component", "UI04")
    for z, n in zip(d.traces("UI06", "Z"), d.traces("UI06", "N"), strict=True):
        z.data, n.data = n.data, z.data
    planted["Z and N are swapped"] = ("swapped components", "UI06")

    for component in "ZNE":
        for trace in d.traces("UI03", component):
            trace.stats.starttime += 0.8
    for event in d.picks:
        for pick in event.picks:
            if pick.waveform_id.station_code == "UI03":
                pick.time += 0.8
    planted["a clock is off"] = ("clock offset", "UI03")

    whole = d.waveforms[stems[3]].select(station="UI02", channel="DPN")[0]
    d.waveforms[stems[3]].remove(whole)
    start = whole.stats.starttime
    d.waveforms[stems[3]] += whole.slice(start, start + 10) + whole.slice(start + 13, None)
    planted["three seconds are missing"] = ("gap", stems[3])

    clipped = d.traces("UI01", "E")[5]
    top = int(0.2 * np.abs(clipped.data).max())
    clipped.data = np.clip(clipped.data, -top, top)
    planted["a digitiser saturates"] = ("clipped", "UI01")
    for trace in d.traces("UI07", "N"):
        trace.data = np.zeros_like(trace.data)
    planted["a component stands still"] = ("dead channel", "UI07")
    for trace in d.traces("UI07", "Z"):
        level = 40 * trace.data[:500].std()
        trace.data = (trace.data + level * rng.standard_normal(len(trace.data))).astype(np.int32)
    planted["a component is noisy"] = ("noisy channel", "UI07")
    for trace in d.traces("UI02", "E"):
        trace.decimate(2, no_filter=True)
        trace.data = trace.data.astype(np.int32)
    planted["one component has half the rate"] = ("rates differ", "UI02")

    copied = copy.deepcopy(d.waveforms[stems[8]])
    for trace in copied:
        trace.stats.starttime += 1800
    d.waveforms["copy"] = copied
    planted["a record is there under two times"] = ("leakage", "copy")

    host, guest = d.waveforms[stems[10]], clean.waveforms[stems[12]]
    for trace in host:
        own = guest.select(station=trace.stats.station, channel=trace.stats.channel)
        if own and len(trace) == len(own[0]):
            shift = 1100
            gain = 2 * np.abs(trace.data).max() / max(np.abs(own[0].data).max(), 1)
            trace.data[shift:] += (gain * own[0].data[:-shift]).astype(np.int32)
    planted["an unlisted event follows a listed one"] = ("another event", stems[10])
    return d, planted
