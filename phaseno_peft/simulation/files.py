"""Simulated events as the files a company delivers: MiniSEED, StationXML, QuakeML, and tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from obspy import Stream, Trace, UTCDateTime
from obspy.core.event import (
    Arrival,
    Catalog,
    Comment,
    CreationInfo,
    Event,
    Magnitude,
    Origin,
    Pick,
    QuantityError,
    ResourceIdentifier,
    WaveformStreamID,
)
from obspy.core.inventory import Channel, Inventory, Network, Site, Station
from obspy.core.inventory.response import Response

from phaseno_peft.campaign.catalog import SIMULATED_PICK
from phaseno_peft.contract import PHASES
from phaseno_peft.files import write_file
from phaseno_peft.simulation.presets import KM_PER_DEGREE, Preset
from phaseno_peft.simulation.sources import Source
from phaseno_peft.station_ids import station_fields

_EPOCH = (UTCDateTime(2019, 1, 1), UTCDateTime(2020, 1, 1))


@dataclass(frozen=True, slots=True)
class TruthArrival:
    """One arrival as it really was, picked or not."""

    event: str
    """File stem of the event."""
    station_id: str
    phase: str
    onset_time: UTCDateTime
    pick_time: UTCDateTime | None
    """What the catalogue says; None where the analyst left it out."""
    snr: float
    channel: str
    """Where it was (or would have been) picked."""


@dataclass(frozen=True)
class SimulatedEvent:
    """One earthquake and its arrivals."""

    stem: str
    origin_time: UTCDateTime
    source: Source
    arrivals: tuple[TruthArrival, ...]

    def picked(self, phase: str) -> tuple[TruthArrival, ...]:
        """Arrivals of a phase that carry a pick."""
        return tuple(a for a in self.arrivals if a.phase == phase and a.pick_time is not None)


def channel_codes(preset: Preset, station_code: str) -> tuple[str, str, str]:
    """Codes for the east-like, north-like and vertical component: D, short period at 250 Hz and above; P, geophone."""
    if station_code in dict(preset.horizontal_1_azimuth_deg):
        return "DP2", "DP1", "DPZ"
    return "DPE", "DPN", "DPZ"


def to_stream(preset: Preset, counts: npt.NDArray[np.int32], start: UTCDateTime) -> Stream:
    """[station, component (E, N, Z), sample] as traces named by the preset's channels."""
    traces = []
    for code, station in zip(preset.station_code, counts, strict=True):
        for channel, samples in zip(channel_codes(preset, code), station, strict=True):
            header = {
                "network": preset.network_code,
                "station": code,
                "channel": channel,
                "sampling_rate": preset.rate_hz,
                "starttime": start,
            }
            traces.append(Trace(np.ascontiguousarray(samples), header))
    return Stream(traces)


def write_waveforms(path: Path, stream: Stream) -> None:
    """STEIM2, 4096-byte records."""
    content = io.BytesIO()
    stream.write(content, format="MSEED", encoding="STEIM2", reclen=4096)
    write_file(path, content.getvalue())


def write_xml(path: Path, what: Inventory | Catalog, form: str) -> None:
    """StationXML or QuakeML."""
    content = io.BytesIO()
    what.write(content, format=form)
    write_file(path, content.getvalue())


def to_inventory(preset: Preset) -> Inventory:
    """Stations with channel azimuths, dips and the geophone's response."""
    azimuths = dict(preset.horizontal_1_azimuth_deg)
    stations = []
    for k, code in enumerate(preset.station_code):
        latitude, longitude = preset.latitude_longitude_deg(preset.east_km[k], preset.north_km[k])
        place = {"latitude": latitude, "longitude": longitude, "elevation": preset.elevation_m[k]}
        north = azimuths.get(code, 0.0)
        angles = (((north + 90) % 360, 0.0), (north, 0.0), (0.0, -90.0))
        channels = [
            Channel(
                code=channel,
                location_code="",
                depth=0.0,
                azimuth=azimuth,
                dip=dip,
                sample_rate=preset.rate_hz,
                start_date=_EPOCH[0],
                end_date=_EPOCH[1],
                response=_response(preset),
                **place,
            )
            for channel, (azimuth, dip) in zip(channel_codes(preset, code), angles, strict=True)
        ]
        site = Site(name=f"{code} (simulated, fictional)")
        stations.append(Station(code, site=site, channels=channels, start_date=_EPOCH[0], end_date=_EPOCH[1], **place))
    network = Network(preset.network_code, stations=stations, description=preset.description)
    return Inventory(networks=[network], source="phaseno-peft simulation", created=_EPOCH[0])


def _response(preset: Preset) -> Response:
    return Response.from_paz(
        zeros=[0j, 0j],
        poles=list(preset.geophone.poles),
        stage_gain=preset.geophone.counts_per_m_s,
        stage_gain_frequency=min(40.0, preset.rate_hz / 4),
        input_units="M/S",
        output_units="COUNTS",
        normalization_frequency=min(40.0, preset.rate_hz / 4),
    )


def to_catalog(preset: Preset, campaign: str, events: Sequence[SimulatedEvent]) -> Catalog:
    """QuakeML with origins, magnitudes, picks and arrivals; the last part of an event's id is its file stem."""
    catalog = Catalog([_event(preset, campaign, event) for event in events])
    catalog.resource_id = ResourceIdentifier(f"smi:local/catalog/{campaign}")
    catalog.creation_info = CreationInfo(agency_id="SIM", author="phaseno-peft simulation")
    return catalog


def _event(preset: Preset, campaign: str, event: SimulatedEvent) -> Event:
    def name(kind: str, part: str = "") -> ResourceIdentifier:
        return ResourceIdentifier(f"smi:local/{kind}/{campaign}/{event.stem}{part}")

    latitude, longitude = preset.latitude_longitude_deg(event.source.east_km, event.source.north_km)
    places = dict(zip(preset.station_ids(), zip(preset.east_km, preset.north_km, strict=True), strict=True))
    origin = Origin(
        resource_id=name("origin"),
        time=event.origin_time,
        latitude=latitude,
        longitude=longitude,
        depth=round(event.source.depth_km * 1e3, 1),
        evaluation_mode="manual",
    )
    magnitude = Magnitude(
        resource_id=name("magnitude"),
        mag=round(event.source.magnitude_mw, 2),
        magnitude_type="Mw",
        origin_id=name("origin"),
    )
    picks: list[Pick] = []
    for arrival in event.arrivals:
        if arrival.pick_time is None:
            continue
        number = f"/{len(picks) + 1:03d}"
        network, station, _ = station_fields(arrival.station_id)
        waveform = WaveformStreamID(network, station, "", arrival.channel)
        picks.append(
            Pick(
                resource_id=name("pick", number),
                time=arrival.pick_time,
                time_errors=QuantityError(uncertainty=0.02 if arrival.snr > 5 else 0.05),
                waveform_id=waveform,
                phase_hint=arrival.phase,
                method_id=ResourceIdentifier(SIMULATED_PICK),
                evaluation_mode="manual",
            )
        )
        east, north = places[arrival.station_id]
        distance = float(np.hypot(east - event.source.east_km, north - event.source.north_km))
        azimuth = float(np.degrees(np.arctan2(east - event.source.east_km, north - event.source.north_km)) % 360)
        origin.arrivals.append(
            Arrival(
                resource_id=name("arrival", number),
                pick_id=name("pick", number),
                phase=arrival.phase,
                azimuth=round(azimuth, 1),
                distance=distance / KM_PER_DEGREE,
                time_weight=1.0,
            )
        )
    comment = Comment(
        text=f"simulated; waveform file waveforms/{event.stem}.mseed",
        resource_id=name("comment"),
        force_resource_id=False,
    )
    return Event(
        resource_id=name("event"),
        event_type="earthquake",
        comments=[comment],
        origins=[origin],
        magnitudes=[magnitude],
        picks=picks,
        preferred_origin_id=name("origin"),
        preferred_magnitude_id=name("magnitude"),
    )


def write_events(
    path: Path, preset: Preset, events: Iterable[SimulatedEvent], false_triggers: Iterable[tuple[str, str]]
) -> None:
    """events.csv: one row a waveform file; false triggers have a kind and no origin."""
    header = ["event", "waveforms", "origin_time", "latitude", "longitude", "depth_km", "mw", "n_p", "n_s"]
    header += ["n_stations_recorded", "kind"]
    rows: list[list[object]] = []
    for e in events:
        latitude, longitude = preset.latitude_longitude_deg(e.source.east_km, e.source.north_km)
        counts = [len(e.picked(phase)) for phase in PHASES]
        place = [f"{latitude:.5f}", f"{longitude:.5f}", f"{e.source.depth_km:.3f}", f"{e.source.magnitude_mw:.2f}"]
        rows.append(
            [
                e.stem,
                f"waveforms/{e.stem}.mseed",
                e.origin_time,
                *place,
                *counts,
                len(preset.station_code),
                "earthquake",
            ]
        )
    for stem, kind in false_triggers:
        rows.append(
            [stem, f"waveforms/{stem}.mseed", "", "", "", "", "", 0, 0, len(preset.station_code), f"false:{kind}"]
        )
    _write_csv(path, header, sorted(rows, key=lambda row: str(row[0])))


def write_truth(path: Path, arrivals: Iterable[TruthArrival]) -> None:
    """truth.csv: what really arrived, picked or not; never an input of training."""
    rows = [
        [a.event, a.station_id, a.phase, a.onset_time, a.pick_time or "", f"{a.snr:.3f}", a.channel] for a in arrivals
    ]
    _write_csv(path, ["event", "station", "phase", "onset_time", "pick_time", "snr", "channel"], rows)


def write_sensors(path: Path, preset: Preset, azimuth_error_deg: npt.NDArray[np.floating]) -> None:
    """sensors.csv: how the sensors really stand, beyond what the StationXML declares; never an input of training."""
    rows = [
        [station_id, f"{error:.2f}", -1 if code in preset.reversed_vertical else 1]
        for station_id, code, error in zip(preset.station_ids(), preset.station_code, azimuth_error_deg, strict=True)
    ]
    _write_csv(path, ["station", "horizontal_azimuth_error_deg", "vertical_polarity"], rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_file(path, text.getvalue())
