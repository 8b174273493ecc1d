"""A campaign written as a data set in SeisBench's format: one record an event and station, raw, with its picks."""

from __future__ import annotations

import csv
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obspy import Stream

from phaseno_peft.campaign.campaign import Campaign, own_metadata
from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick
from phaseno_peft.campaign.channels import Channel
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.segments import SAME_RATE
from phaseno_peft.campaign.seisbench_files import h5py_for
from phaseno_peft.campaign.splits import split_campaign
from phaseno_peft.campaign.station import Station
from phaseno_peft.campaign.waveform_files import ChannelMap, read_waveforms
from phaseno_peft.campaign.waveforms import plan_of
from phaseno_peft.contract import PHASES
from phaseno_peft.errors import CampaignError
from phaseno_peft.files import check_folder, write_folder

METADATA, WAVEFORMS = "metadata.csv", "waveforms.hdf5"
BEFORE_S, AFTER_S = 30.0, 60.0
"""Records begin and end so long before an event's first and after its last pick, where there is a record."""
ORDER = "ZNE"
SIDES = {"train": "train", "validation": "dev", "test": "test"}
"""Our words for the sides of a split, and SeisBench's."""
_EXACT_FLOAT = 1 << 24
"""Whole numbers below this are exact in single precision."""


@dataclass(frozen=True)
class ExportedSet:
    """What was written."""

    folder: Path
    records: int
    events: int
    picks: Mapping[str, int]
    """Phase -> arrivals."""
    findings: tuple[Finding, ...]
    """What reading the campaign found, and what was left out."""


def export_dataset(
    folder: str | Path,
    waveforms: Any,
    stations: Any = None,
    picks: Any = None,
    *,
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
    seed: int = 0,
    skip_unknown: bool = False,
    channels: ChannelMap | str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ExportedSet:
    """Write `metadata.csv` and `waveforms.hdf5` of a campaign into `folder`, whole or not at all.

    A record is what one station recorded around one event that it has a usable pick of: raw samples of one sensor,
    components in the order Z, N, E as far as they are there, gaps filled with zeros. The column `split` is the split
    of `train_adapter` with this seed (validation is `dev`), so that models trained with SeisBench see the same sides.
    `waveforms`, `stations`, `picks`, `skip_unknown` and `channels` are those of `Campaign.read`. Raises
    `CampaignError` for data that cannot be used, `PhasenoPeftError` for a folder that is not empty, or holds no data
    set where it may be replaced, and without h5py.
    """
    check_folder(folder, "data set", (METADATA, WAVEFORMS), overwrite=overwrite)
    h5py = h5py_for(Path(folder), "writing")
    streams = waveforms
    if isinstance(waveforms, Stream):
        streams = {"stream": waveforms}
    elif not isinstance(waveforms, Mapping):
        stations = own_metadata(waveforms, "stations") if stations is None else stations
        picks = own_metadata(waveforms, "picks") if picks is None else picks
        streams = read_waveforms(waveforms, channels)
    campaign = Campaign.read(streams, stations, picks, skip_unknown=skip_unknown, progress=progress)
    left_out: Counter[str] = Counter()
    sides, no_split = _sides(campaign, seed)
    rows: list[dict[str, Any]] = []
    with write_folder(folder, overwrite=overwrite) as part:
        with h5py.File(part / WAVEFORMS, "w") as file:
            for number, (event, record) in enumerate(_records(campaign, streams, before_s, after_s, left_out)):
                name = re.sub(r"\W+", "_", f"{number:06d}_{record.station.station_id}").strip("_")
                file.create_dataset(f"data/{name}", data=record.samples, compression="gzip", shuffle=True)
                rows.append({"trace_name": name, **record.columns(event), **_split_column(sides, event)})
            if not rows:
                raise CampaignError(
                    f"{campaign.catalogue.source}: no event has a usable pick inside a record. Give records that hold "
                    "the picks."
                )
            rates = {row["trace_sampling_rate_hz"] for row in rows}
            form = {"dimension_order": "CW", "component_order": ORDER, "measurement": "as delivered"}
            form |= {"unit": "as delivered", "instrument_response": "not restored"}
            form |= {"sampling_rate": rates.pop()} if len(rates) == 1 else {}
            for key, value in form.items():
                file[f"data_format/{key}"] = value
        with (part / METADATA).open("w", newline="", encoding="utf-8") as text:
            table = csv.DictWriter(text, list(dict.fromkeys(column for row in rows for column in row)))
            table.writeheader()
            table.writerows(rows)
    findings = [Finding("note", f"{n} {what}.") for what, n in sorted(left_out.items()) if n]
    return ExportedSet(
        Path(folder),
        len(rows),
        len({row["source_id"] for row in rows}),
        {phase: sum(f"trace_{phase}_arrival_sample" in row for row in rows) for phase in PHASES},
        (*campaign.findings, *no_split, *findings),
    )


@dataclass(frozen=True)
class _Record:
    """What one sensor recorded around one event."""

    station: Station
    band: str
    """Channel code without its component."""
    order: str
    start: Any
    """UTCDateTime of sample 0."""
    rate_hz: float
    samples: NDArray[Any]
    """[component, sample]"""
    picks: tuple[LabelledPick, ...]
    """Usable ones inside the record."""

    def columns(self, event: CatalogueEvent) -> dict[str, Any]:
        """Of the metadata; a phase without a pick has no column."""
        network, code, location = _fields(self.station)
        columns: dict[str, Any] = {
            "source_id": event.event_id,
            "source_origin_time": "" if event.origin_time is None else str(event.origin_time),
            "source_latitude_deg": _number(event.latitude_deg),
            "source_longitude_deg": _number(event.longitude_deg),
            "source_depth_km": _number(None if event.depth_m is None else event.depth_m / 1000),
            "station_network_code": network,
            "station_code": code,
            "station_location_code": location,
            "station_latitude_deg": self.station.latitude_deg,
            "station_longitude_deg": self.station.longitude_deg,
            "station_elevation_m": self.station.elevation_m,
            "trace_channel": self.band,
            "trace_start_time": str(self.start),
            "trace_sampling_rate_hz": self.rate_hz,
            "trace_npts": self.samples.shape[1],
            "trace_component_order": self.order,
        }
        for pick in self.picks:
            phase = f"trace_{pick.phase}"
            columns[f"{phase}_arrival_sample"] = round((pick.time.ns - self.start.ns) * 1e-9 * self.rate_hz, 4)
            columns[f"{phase}_status"] = "automatic" if pick.is_automatic else "manual"
            columns[f"{phase}_uncertainty_s"] = _number(pick.uncertainty_s)
        return columns


def _records(
    campaign: Campaign, streams: Mapping[str, Stream], before_s: float, after_s: float, left_out: Counter[str]
) -> Iterator[tuple[CatalogueEvent, _Record]]:
    """Records of all events in the order of time, then stations."""
    traces = sorted((t for s in streams.values() for t in s if t.stats.npts), key=lambda t: t.stats.starttime.ns)
    starts = [t.stats.starttime.ns for t in traces]
    longest_s = max((t.stats.endtime - t.stats.starttime for t in traces), default=0.0)
    for event in campaign.catalogue.events:
        picks: dict[str, list[LabelledPick]] = {}
        for pick in event.picks:
            if pick.usable:
                picks.setdefault(pick.station_id, []).append(pick)
        left_out["picks that the catalogue does not use are left out"] += len(event.picks) - sum(
            map(len, picks.values())
        )
        if not picks:
            continue
        times = [p.time for group in picks.values() for p in group]
        begin, end = min(times) - before_s, max(times) + after_s
        near = traces[bisect_left(starts, (begin - longest_s).ns) : bisect_right(starts, end.ns)]
        pieces = Stream([piece for t in near if t.stats.endtime >= begin and (piece := t.slice(begin, end)).stats.npts])
        n_written = 0
        if pieces:
            try:
                plan = plan_of(pieces, campaign.stations, campaign.preprocessing, event.event_id)
            except CampaignError:  # nothing of this event can be used: its picks are counted below
                pieces = Stream()
        for station, slots in zip(plan.stations, plan.slots, strict=True) if pieces else ():
            if station.station_id not in picks:
                continue
            record = _record(station, slots, picks[station.station_id], left_out)
            if record.picks:
                n_written += len(record.picks)
                yield event, record
        left_out["picks outside every record are left out"] += len(times) - n_written


def _record(
    station: Station, slots: Mapping[str, Channel], picks: Sequence[LabelledPick], left_out: Counter[str]
) -> _Record:
    from obspy import UTCDateTime

    rate_hz = float(next(slots[c] for c in ORDER if c in slots).segments[0].rate_hz)
    used = {c: [s for s in slots[c].segments if abs(s.rate_hz / rate_hz - 1) <= SAME_RATE] for c in ORDER if c in slots}
    left_out["components at another rate than the vertical's are left out"] += sum(not held for held in used.values())
    used = {c: held for c, held in used.items() if held}
    segments = [s for held in used.values() for s in held]
    start_ns = min(s.start_ns for s in segments)
    n_samples = max(round((s.start_ns - start_ns) * 1e-9 * rate_hz) + len(s.samples) for s in segments)
    samples = np.zeros((len(used), n_samples), np.float64)
    for row, held in zip(samples, used.values(), strict=True):
        for s in held:
            first = round((s.start_ns - start_ns) * 1e-9 * rate_hz)
            row[first : first + len(s.samples)] = s.samples
    small = np.abs(samples).max(initial=0.0) < _EXACT_FLOAT if segments[0].samples.dtype.kind in "iu" else True
    exact = small and all(s.samples.dtype.itemsize <= 4 for s in segments)
    inside = tuple(p for p in picks if 0 <= (p.time.ns - start_ns) * 1e-9 * rate_hz <= n_samples - 1)
    band = next(slots[c] for c in used).sensor[1]
    return _Record(
        station,
        band,
        "".join(used),
        UTCDateTime(ns=start_ns),
        rate_hz,
        samples.astype(np.float32) if exact else samples,
        inside,
    )


def _fields(station: Station) -> list[str]:
    network, rest = station.station_id.split(".", 1)
    return [network, *rest.rsplit(".", 1)]


def _number(value: float | None) -> float | str:
    return "" if value is None else value


def _sides(campaign: Campaign, seed: int) -> tuple[dict[str, str], list[Finding]]:
    """Event id -> SeisBench's word for its side; empty where the campaign cannot be split."""
    try:
        split = split_campaign(campaign, seed)
    except CampaignError as error:
        return {}, [Finding("warning", f"the set has no column split: {error}")]
    return {e: word for side, word in SIDES.items() for stretch in getattr(split, side) for e in stretch.event_ids}, []


def _split_column(sides: Mapping[str, str], event: CatalogueEvent) -> dict[str, str]:
    return {"split": sides.get(event.event_id, "train")} if sides else {}
