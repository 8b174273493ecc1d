"""A whole simulated campaign: triggered events, false triggers, optionally a continuous record, as files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from obspy import UTCDateTime

from phaseno_peft.contract import PHASES
from phaseno_peft.errors import CampaignError
from phaseno_peft.files import settle, write_folder
from phaseno_peft.simulation import files, noise
from phaseno_peft.simulation.analyst import Reading, read_event
from phaseno_peft.simulation.files import SimulatedEvent, TruthArrival
from phaseno_peft.simulation.own_noise import OwnNoise, check_own_noise, cut_own_noise
from phaseno_peft.simulation.presets import Preset, find_preset
from phaseno_peft.simulation.requests import check_counts, with_convention, with_sensor_errors
from phaseno_peft.simulation.sites import Sites, draw_sites
from phaseno_peft.simulation.sources import Source
from phaseno_peft.simulation.travel_times import Array
from phaseno_peft.simulation.wavefield import Wavefield, event_wavefield, trace_paths

RECORD_S = 60.0
"""Length of a triggered record: two of the network's windows."""
P_EARLIEST_S, P_LATEST_S = 25.0, 35.0
"""The first P comes this long after the record's start, around its middle."""
CAMPAIGN_START = UTCDateTime(2019, 3, 4)
MINIMUM_GAP_S = 300.0
"""Between two triggers, so that records of 60 s never overlap."""
MEAN_GAP_S = 3 * 3600.0
"""Between two triggers, beyond `MINIMUM_GAP_S`: some eight a day."""
BEFORE_P_S, EVENT_S = 6.0, 26.0
"""An earthquake is computed from this long before its first P on, for this long: noise, S and coda of a local event."""
DIGITISER_BITS = 24
TRUTH = "truth.csv"
SIMULATED_NAMES = ("waveforms", "continuous", "stations.xml", "picks.xml", "events.csv", TRUTH, "sensors.csv")
"""What a simulated campaign consists of, and all that ``force`` replaces."""

_ATTEMPTS = 40
"""Earthquakes drawn until one is picked on enough stations; from the third on each is stronger than the last."""
_MAGNITUDE_STEP = 0.15


@dataclass(frozen=True)
class SimulatedCampaign:
    """Where everything was written, and the truth."""

    folder: Path
    preset: Preset
    waveforms: Path
    stations: Path
    picks: Path
    events_table: Path
    truth_table: Path
    sensors_table: Path
    continuous: Path | None
    """The MiniSEED file of the continuous record."""
    continuous_truth: Path | None
    events: tuple[SimulatedEvent, ...]
    continuous_events: tuple[SimulatedEvent, ...]
    false_triggers: tuple[str, ...]
    """File stems without an event."""
    p_picks: int
    s_picks: int

    @property
    def truth(self) -> tuple[TruthArrival, ...]:
        """Every arrival of the triggered events, picked or not."""
        return tuple(arrival for event in self.events for arrival in event.arrivals)


@dataclass(frozen=True)
class _Network:
    """A preset with its sites drawn."""

    preset: Preset
    sites: Sites
    station_noise: noise.StationNoise
    rotation: Array
    """[station, component, component] from true east, north, up to what the sensors record."""
    azimuth_error_deg: Array
    """[station] undeclared."""
    own_noise: OwnNoise | None

    def background(
        self, rng: np.random.Generator, samples: int, time: UTCDateTime
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | float]:
        """Noise as ground motion, yet to be recorded, and noise that was recorded already: one of them is 0."""
        preset = self.preset
        if self.own_noise is not None:
            rms = preset.noise.rms_m_s * self.station_noise.level
            own = cut_own_noise(rng, self.own_noise, rms, samples, preset.rate_hz)
            return np.zeros_like(own), own
        hour = (time.hour + time.minute / 60 + preset.local_hour_minus_utc) % 24
        return noise.ambient_noise(rng, preset.noise, self.station_noise, samples, preset.rate_hz, hour), 0.0

    def record(self, ground: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Ground velocity [..., station, component, sample] through sensor orientation and geophone, m/s."""
        rotated = np.einsum("sij,...sjt->...sit", self.rotation, ground)
        return self.preset.geophone.respond(rotated, self.preset.rate_hz).astype(np.float32)

    def counts(self, recorded: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
        largest = 2 ** (DIGITISER_BITS - 1) - 1
        scaled = np.rint(recorded * self.preset.geophone.counts_per_m_s)
        clipped: npt.NDArray[np.int32] = np.clip(scaled, -largest - 1, largest).astype(np.int32)
        return clipped


def simulate_campaign(
    preset: Preset | str,
    folder: str | Path,
    *,
    seed: int,
    events: int,
    continuous_minutes: float = 0.0,
    continuous_events: int | None = None,
    false_triggers: int | None = None,
    label_convention: str | None = None,
    orientation_error_deg: float | None = None,
    reversed_verticals: int | None = None,
    own_noise: OwnNoise | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedCampaign:
    """Simulate a campaign and write it into ``folder`` as a company would deliver it.

    ``waveforms/<event>.mseed`` (60 s triggered records, P 25 to 35 s in), ``stations.xml``, ``picks.xml``,
    ``events.csv``, ``truth.csv`` (true onsets, also of what was not picked), ``sensors.csv`` (how the sensors really
    stand) and, if asked for, ``continuous/<start>.mseed`` with its own ``truth.csv``. The same seed gives the same
    samples.
    ``continuous_events``: None takes 12, or as many as fit. ``false_triggers``: None takes the preset's share.
    ``label_convention``: onset, peak or trough; None the preset's.
    ``orientation_error_deg``: standard deviation of how far horizontals point away from what the StationXML says;
    ``reversed_verticals``: stations wired upside down, drawn at random; None the preset's.
    ``own_noise``: records [3 (E, N, Z), sample] of 12 s or more at the preset's rate (see `read_own_noise`), brought to
    the preset's level at each station and used instead of simulated noise.
    ``progress(done, total)`` is called after each record. ``force`` replaces what an earlier simulation left in the
    folder, and nothing else.

    Raises `CampaignError` for an unknown preset or convention, senseless counts, or a folder that is not empty or
    cannot be written.
    """
    chosen = with_convention(find_preset(preset), label_convention)
    chosen = with_sensor_errors(chosen, seed, orientation_error_deg, reversed_verticals)
    if continuous_events is None:
        continuous_events = max(min(12, int(continuous_minutes * 3) - 2), 0)
    check_counts(events, continuous_minutes, continuous_events, false_triggers)
    if false_triggers is None:
        share = chosen.false_trigger_fraction
        false_triggers = round(events * share / (1 - share))
    target = Path(folder)
    settle(target)
    if not force and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CampaignError(
            f"{target}: exists and is not an empty folder. Choose another one, or replace an earlier simulation in it "
            "with force (--force)."
        )
    theirs = [name for name in SIMULATED_NAMES if os.path.lexists(target / name)]
    if theirs and not (target / TRUTH).is_file():
        raise CampaignError(
            f"{target / theirs[0]}: is of no simulation, since {TRUTH} is not beside it, so it is not replaced. Choose "
            "another folder."
        )
    network_seed, time_seed, record_seed, stream_seed = np.random.SeedSequence(seed).spawn(4)
    network = _draw_network(np.random.default_rng(network_seed), chosen, own_noise)
    if own_noise is not None:
        check_own_noise(own_noise, chosen.rate_hz)
    total = events + false_triggers + (continuous_events if continuous_minutes else 0)
    with write_folder(target, "simulating", overwrite=force) as partial:
        (partial / "waveforms").mkdir()
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        times = _trigger_times(np.random.default_rng(time_seed), events + false_triggers)
        is_false = np.zeros(len(times), dtype=np.bool_)
        is_false[np.random.default_rng(time_seed.spawn(1)[0]).permutation(len(times))[:false_triggers]] = True
        simulated: list[SimulatedEvent] = []
        false: list[tuple[str, str]] = []
        for time, no_event, child in zip(times, is_false, record_seed.spawn(len(times)), strict=True):
            rng = np.random.default_rng(child)
            if no_event:
                false.append(_write_false_trigger(rng, network, time, partial / "waveforms"))
            else:
                simulated.append(_write_triggered(rng, network, time, partial / "waveforms"))
            step()
        in_stream: list[SimulatedEvent] = []
        stream_name = ""
        if continuous_minutes:
            (partial / "continuous").mkdir()
            start = UTCDateTime((times[-1] + 86400).date) + 15 * 3600
            stream_name, in_stream = _write_continuous(
                stream_seed, network, start, continuous_minutes, continuous_events, partial / "continuous", step
            )
        files.write_xml(partial / "stations.xml", files.to_inventory(chosen), "STATIONXML")
        name = re.sub(r"[^\w-]+", "-", target.name)
        files.write_xml(partial / "picks.xml", files.to_catalog(chosen, name, simulated), "QUAKEML")
        files.write_events(partial / "events.csv", chosen, simulated, false)
        files.write_truth(partial / TRUTH, (a for e in simulated for a in e.arrivals))
        files.write_sensors(partial / "sensors.csv", chosen, network.azimuth_error_deg)
        _keep_other_files(target, partial)
    return SimulatedCampaign(
        folder=target,
        preset=chosen,
        waveforms=target / "waveforms",
        stations=target / "stations.xml",
        picks=target / "picks.xml",
        events_table=target / "events.csv",
        truth_table=target / TRUTH,
        sensors_table=target / "sensors.csv",
        continuous=target / "continuous" / stream_name if stream_name else None,
        continuous_truth=target / "continuous" / TRUTH if stream_name else None,
        events=tuple(simulated),
        continuous_events=tuple(in_stream),
        false_triggers=tuple(stem for stem, _ in false),
        p_picks=sum(len(e.picked("P")) for e in simulated),
        s_picks=sum(len(e.picked("S")) for e in simulated),
    )


def _draw_network(rng: np.random.Generator, preset: Preset, own_noise: OwnNoise | None) -> _Network:
    east, north = np.asarray(preset.east_km), np.asarray(preset.north_km)
    elevation = np.asarray(preset.elevation_m) / 1e3
    sites = draw_sites(rng, east, north, elevation - elevation.min(), preset.model, preset.kappa_s, preset.scattering)
    station_noise = noise.draw_station_noise(rng, preset.noise, east, north)
    azimuths = dict(preset.horizontal_1_azimuth_deg)
    rotation, errors = np.zeros((len(east), 3, 3)), np.zeros(len(east))
    for k, code in enumerate(preset.station_code):
        errors[k] = rng.normal(0, preset.orientation_error_deg)
        angle = np.radians(azimuths.get(code, 0.0) + errors[k])
        rotation[k, 0, :2] = np.cos(angle), -np.sin(angle)  # points to azimuth 90 + angle
        rotation[k, 1, :2] = np.sin(angle), np.cos(angle)
        rotation[k, 2, 2] = -1.0 if code in preset.reversed_vertical else 1.0
    return _Network(preset, sites, station_noise, rotation, errors, own_noise)


def _trigger_times(rng: np.random.Generator, n: int) -> list[UTCDateTime]:
    """A trigger every three hours or so, never two within `MINIMUM_GAP_S`; whole seconds, so that stems are unique."""
    gaps = MINIMUM_GAP_S + rng.exponential(MEAN_GAP_S, n)
    return [CAMPAIGN_START + int(t) for t in np.cumsum(gaps)]


def _add_event(
    rng: np.random.Generator,
    network: _Network,
    record: npt.NDArray[np.float32],
    start: UTCDateTime,
    first_p_s: float,
    minimum_stations: int,
) -> SimulatedEvent:
    """Add, in place, an earthquake whose first P comes ``first_p_s`` after the record's start.

    Earthquakes are drawn until one is picked on enough stations, as a catalogue contains no others.
    """
    preset, sites = network.preset, network.sites
    lo = max(int((first_p_s - BEFORE_P_S) * preset.rate_hz), 0)
    piece = record[..., lo : lo + int(EVENT_S * preset.rate_hz)]  # a view
    for attempt in range(_ATTEMPTS):
        source = preset.draw_source(rng, magnitude_shift=_MAGNITUDE_STEP * max(attempt - 2, 0))
        paths = trace_paths(preset.model, sites, source)
        origin_s = first_p_s - paths.first_p_s - lo / preset.rate_hz  # after the first sample of the piece
        field = event_wavefield(rng, preset.model, sites, source, -origin_s, piece.shape[-1], preset.rate_hz, paths)
        recorded = network.record(field.parts)
        reading = read_event(rng, preset.analyst, recorded, piece, field.onset_s, preset.rate_hz)
        if np.count_nonzero(np.isfinite(reading.pick_s).any(axis=1)) >= minimum_stations:
            piece += recorded.sum(axis=0)
            return _to_event(preset, start + lo / preset.rate_hz, origin_s, source, field, reading)
    raise CampaignError(
        f"preset {preset.name}: none of {_ATTEMPTS} earthquakes up to Mw {preset.mw_max} could be picked on "
        f"{minimum_stations} stations. Lower the noise, raise mw_max, or lower minimum_picked_stations."
    )


def _to_event(
    preset: Preset, start: UTCDateTime, origin_s: float, source: Source, field: Wavefield, reading: Reading
) -> SimulatedEvent:
    stem = (start + origin_s).strftime("%Y%m%dT%H%M%S")
    arrivals = []
    for i, station_id in enumerate(preset.station_ids()):
        channels = files.channel_codes(preset, preset.station_code[i])
        for j, phase in enumerate(PHASES):
            pick = reading.pick_s[i, j]
            arrivals.append(
                TruthArrival(
                    event=stem,
                    station_id=station_id,
                    phase=phase,
                    onset_time=start + float(field.onset_s[i, j]),
                    pick_time=None if np.isnan(pick) else start + round(float(pick), 4),
                    snr=float(reading.snr[i, j]),
                    channel=channels[int(reading.component[i, j])],
                )
            )
    return SimulatedEvent(stem, start + origin_s, source, tuple(arrivals))


def _write_triggered(rng: np.random.Generator, network: _Network, time: UTCDateTime, folder: Path) -> SimulatedEvent:
    preset = network.preset
    samples = round(RECORD_S * preset.rate_hz)
    start = time - 30
    ground, own = network.background(rng, samples, time)
    background = network.record(ground) + own
    first_p = rng.uniform(P_EARLIEST_S, P_LATEST_S)
    event = _add_event(rng, network, background, start, first_p, preset.minimum_picked_stations)
    counts = network.counts(background)
    files.write_waveforms(folder / f"{event.stem}.mseed", files.to_stream(preset, counts, start))
    return event


def _write_false_trigger(
    rng: np.random.Generator, network: _Network, time: UTCDateTime, folder: Path
) -> tuple[str, str]:
    preset = network.preset
    samples = round(RECORD_S * preset.rate_hz)
    ground, own = network.background(rng, samples, time)
    at = rng.uniform(P_EARLIEST_S, P_LATEST_S)
    kind = noise.false_trigger(
        rng, preset.noise, ground, network.sites.east_km, network.sites.north_km, at, preset.rate_hz
    )
    start = time - 30
    stem = (start + at).strftime("%Y%m%dT%H%M%S")
    counts = network.counts(network.record(ground) + own)
    files.write_waveforms(folder / f"{stem}.mseed", files.to_stream(preset, counts, start))
    return stem, kind


def _write_continuous(
    seed: np.random.SeedSequence,
    network: _Network,
    start: UTCDateTime,
    minutes: float,
    count: int,
    folder: Path,
    step: Callable[[], None],
) -> tuple[str, list[SimulatedEvent]]:
    preset = network.preset
    rng = np.random.default_rng(seed)
    samples = round(minutes * 60 * preset.rate_hz)
    ground, own = network.background(rng, samples, start)
    background = network.record(ground) + own
    # each event has its own part of the record, and a random time in it
    edges = np.linspace(15.0, minutes * 60 - 20, count + 1)
    events = []
    for k in range(count):
        first_p = rng.uniform(edges[k], edges[k + 1] - 5)
        events.append(_add_event(rng, network, background, start, first_p, minimum_stations=2))
        step()
    name = start.strftime("%Y%m%dT%H%M%S") + ".mseed"
    files.write_waveforms(folder / name, files.to_stream(preset, network.counts(background), start))
    files.write_truth(folder / TRUTH, (a for e in events for a in e.arrivals))
    return name, events


def _keep_other_files(target: Path, partial: Path) -> None:
    """With ``force``: what lies in the folder beside an earlier simulation goes along, as links where that works."""
    for item in target.iterdir() if target.is_dir() else ():
        if item.name in SIMULATED_NAMES:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.copytree(item, partial / item.name, symlinks=True, copy_function=_link)
        else:
            _link(item, partial / item.name)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
