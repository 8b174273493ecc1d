"""A monitoring campaign: recordings, stations and catalogue brought together, and checked."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from obspy import Stream, UTCDateTime

from phaseno_peft.campaign.around_events import ArchivePieces, SetPieces, event_times, is_large, read_around
from phaseno_peft.campaign.campaign_folder import parts_of_campaign
from phaseno_peft.campaign.catalog import Catalogue, one_per_station_and_phase
from phaseno_peft.campaign.catalog_files import joined_catalogue, read_catalogue
from phaseno_peft.campaign.check import check_campaign, picks_in_record_time
from phaseno_peft.campaign.completeness import Complete, complete_of
from phaseno_peft.campaign.conventions import Target, moved_catalogue
from phaseno_peft.campaign.findings import Finding, gather, nothing_usable
from phaseno_peft.campaign.noise_times import BETWEEN, noise_times
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.repicked import repicked_as_one, told_apart
from phaseno_peft.campaign.runs import TOUCHING_S, recording_names, years_apart
from phaseno_peft.campaign.seisbench_files import set_folder
from phaseno_peft.campaign.station_checks import far_from_events
from phaseno_peft.campaign.station_files import read_stations
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.stretch import Stretch, Times, make_stretch
from phaseno_peft.campaign.waveform_files import ChannelMap, read_waveforms
from phaseno_peft.campaign.waveforms import prepare, traces_with_valid_headers
from phaseno_peft.contract import EDGE_LIMIT_KM, Frame, Preprocessing
from phaseno_peft.errors import CampaignError

_MOST_SHIFTED = 2000
"""Picks that are tried in other time zones."""

LONGEST_JOINED_S = 7200.0
"""Files that touch are one recording, unless it would become longer than this. Files that overlap are joined too,"""
SPILL_S = 60.0
"""except for this much: a day file's last record ends after midnight, where the next file has begun. The spill goes to
the later recording."""


@dataclass(frozen=True)
class Campaign:
    """Everything a company holds about one campaign, ready to be split into windows."""

    name: str
    stations: StationTable
    """As delivered, also those without records."""
    catalogue: Catalogue
    """Picks carry the ids of `stations`; picks of unknown stations are left out."""
    recordings: tuple[Recording, ...]
    """Prepared, in time order; they do not overlap in time."""
    preprocessing: Preprocessing
    frame: Frame
    """Centred on the stations that recorded."""
    findings: tuple[Finding, ...] = ()
    complete: Complete = "no"
    """What a missing pick of a catalogued event means."""
    noise_times: Times | None = None
    """Where noise windows may be cut, if not everywhere between the events."""
    picks_on: Target | None = None
    """Where the picks were moved to; None where they are the catalogue's own."""

    @classmethod
    def read(
        cls,
        waveforms: str | Path | Sequence[str | Path] | Mapping[str, Stream] | Stream,
        stations: Any = None,
        picks: Any = None,
        *,
        name: str = "campaign",
        preprocessing: Preprocessing | None = None,
        edge_limit_km: float = EDGE_LIMIT_KM,
        skip_unknown: bool = False,
        channels: ChannelMap | str | Path | None = None,
        complete: Complete | str | Path = "no",
        noise: Any = BETWEEN,
        picks_on: Target | None = None,
        more: Sequence[str | Path] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Campaign:
        """Read, prepare and check a campaign.

        `waveforms` is a folder, a file, several files, or obspy streams; `stations` and `picks` are whatever
        `read_stations` and `read_catalogue` take, or None where `waveforms` is a set in SeisBench's format, whose
        metadata hold both. Picks go to recordings by their time. `skip_unknown` drops picks of stations that are not
        listed; `channels` says what unknown codes of files mean, see `read_channels`; `complete` says what a missing
        pick means, see `complete_of`; `noise` where noise windows come from, see `noise_times`; `picks_on` moves the
        picks to the onset, or from the onset to the next peak or trough. `more` are campaigns' folders (see
        `parts_of_campaign`) of the same network, whose records and picks are added; an event that is picked in several
        of them is one, see `repicked_as_one`. Files of more than 100 MB together
        are read around the events only, and what is prepared of them is kept on disk. `progress(done, all)` is called
        after each recording. Raises `CampaignError` where a file cannot be used, where no pick lies in any record, and
        where picks cannot be moved.
        """
        preprocessing = preprocessing or Preprocessing()
        table = read_stations(own_metadata(waveforms, "stations") if stations is None else stations)
        catalogue = read_catalogue(own_metadata(waveforms, "picks") if picks is None else picks)
        added = [parts_of_campaign(folder) for folder in more]
        of_added = [read_catalogue(own or files, may_be_empty=True) for files, _, own in added]
        parts = told_apart([catalogue, *of_added])
        catalogue = joined_catalogue(parts.catalogues)
        beside = {
            f"{Path(folder).resolve().name}-{number}/{stem}": stream
            for number, (folder, (files, _, _)) in enumerate(zip(more, added, strict=True), start=1)
            for stem, stream in read_waveforms(files, channels).items()
        }
        if isinstance(waveforms, Stream):
            waveforms = {name: waveforms}
        if is_large(waveforms):
            noise_at = None if noise == BETWEEN else noise_times(noise, catalogue.events)
            times = event_times(catalogue.events, noise_at)
            folder = set_folder(waveforms)
            if folder is not None:
                pieces: ArchivePieces | SetPieces = SetPieces(folder, preprocessing.rate_hz)
            else:
                pieces = ArchivePieces(waveforms, times, channels, preprocessing.rate_hz)
            recordings, findings = prepare_pieces(pieces, table, preprocessing, progress)
            if beside:
                also_recorded, told_also = prepare_recordings(beside, table, preprocessing)
                there = recordings
                new = [r for r in also_recorded if not any(r.start < o.end and o.start < r.end for o in there)]
                recordings = tuple(sorted((*there, *new), key=lambda r: r.start))
                findings = [*findings, *told_also]
                if len(new) < len(also_recorded):
                    n = len(also_recorded) - len(new)
                    findings.append(
                        Finding("warning", f"{n} added records lie in the time of the archive's own, which are used")
                    )
        else:
            streams = waveforms if isinstance(waveforms, Mapping) else read_waveforms(waveforms, channels)
            recordings, findings = prepare_recordings({**streams, **beside}, table, preprocessing, progress)
        recorded = table.select({i for r in recordings for i in r.station_ids})
        places = StationTable([s for r in recordings for s in r.stations], source=table.source)
        catalogue, dropped = _with_table_ids(catalogue, table, recorded, skip_unknown)
        catalogue = repicked_as_one(catalogue, parts, preprocessing.time_scale)
        campaign = cls(
            name=name,
            stations=table,
            catalogue=catalogue,
            recordings=recordings,
            preprocessing=preprocessing,
            frame=places.frame(edge_limit_km),
            complete=complete_of(complete, [s.station_id for s in recorded], [e.event_id for e in catalogue.events]),
            noise_times=noise_times(noise, catalogue.events),
        )
        stretches = campaign.stretches()
        if not any(stretch.picks for stretch in stretches):
            raise CampaignError(_nothing_in_common(campaign))
        if picks_on is not None:
            catalogue, moved = moved_catalogue(catalogue, stretches, picks_on)
            dropped = [*dropped, *moved]
            campaign = dataclasses.replace(campaign, catalogue=catalogue, picks_on=picks_on)
            stretches = campaign.stretches()
        told = {f.text for f in findings}
        findings += [f for f in table.findings if not any(text.startswith(f.text) for text in told)]
        findings += far_from_events(tuple(places), catalogue.epicentres, table.source)
        findings += [*catalogue.findings, *dropped]
        findings += check_campaign(table, catalogue, recordings, stretches, preprocessing.rate_hz)
        return dataclasses.replace(campaign, findings=tuple(sorted(findings, key=lambda f: f.severity != "warning")))

    def stretches(self) -> tuple[Stretch, ...]:
        """Every recording whole, with the picks of its stations that lie in it, in time order."""
        picks = self.catalogue.picks  # sorted by time
        times_ns = [p.time.ns for p in picks]
        return tuple(
            make_stretch(
                r,
                picks[bisect_left(times_ns, r.start.ns) : bisect_right(times_ns, r.end.ns)],
                complete=self.complete,
                noise_times=self.noise_times,
            )
            for r in self.recordings
        )


def own_metadata(waveforms: Any, what: str) -> Path:
    """The folder of the set that the waveforms are. Raises `CampaignError` for waveforms that hold no metadata."""
    folder = set_folder(waveforms)
    if folder is None:
        raise CampaignError(
            f"no {what} were given. Give --{what}; only a set in SeisBench's format (metadata.csv and waveforms.hdf5, "
            "given as --waveforms) brings its own."
        )
    return folder


def prepare_recordings(
    streams: Mapping[str, Stream],
    stations: StationTable,
    preprocessing: Preprocessing,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[Recording, ...], list[Finding]]:
    """Recordings of all streams in time order, those that overlap joined, and what was found on the way."""
    preparation = _Preparation(stations, preprocessing)
    recordings = preparation.of(streams, progress)
    if not recordings:
        raise preparation.nothing()
    return tuple(recordings), preparation.findings(recordings)


def prepare_pieces(
    pieces: ArchivePieces | SetPieces,
    stations: StationTable,
    preprocessing: Preprocessing,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[Recording, ...], list[Finding]]:
    """The same of an archive that is read piece by piece; the recordings' arrays lie on disk."""
    preparation = _Preparation(stations, preprocessing)
    recordings, findings = read_around(pieces, preparation.of, progress)
    if not recordings:
        raise preparation.nothing()
    return tuple(recordings), [*findings, *preparation.findings(recordings)]


@dataclass
class _Preparation:
    """Prepares streams, and keeps what is to be told of all of them together."""

    stations: StationTable
    preprocessing: Preprocessing
    left_out: list[Finding] = dataclasses.field(default_factory=list)
    failures: list[CampaignError] = dataclasses.field(default_factory=list)
    rates: set[float] = dataclasses.field(default_factory=set)

    def of(self, streams: Mapping[str, Stream], progress: Callable[[int, int], None] | None = None) -> list[Recording]:
        """Recordings of these streams, those that overlap joined."""
        sound: dict[str, Stream] = {}
        for name, stream in streams.items():
            traces, unusable = traces_with_valid_headers(stream, self.preprocessing.rate_hz)
            sound[name] = Stream(traces)
            self.left_out += [Finding(f.severity, f"{name}: {f.text}") for f in unusable]
        groups = _time_groups(sound)
        recordings: list[Recording] = []
        for done, (name, stream) in enumerate(groups, start=1):
            try:
                recordings.append(prepare(stream, self.stations, self.preprocessing, name))
            except CampaignError as error:
                self.failures.append(error)
            if progress is not None:
                progress(done, len(groups))
        self.rates |= {float(t.stats.sampling_rate) for stream in sound.values() for t in stream}
        recordings.sort(key=lambda r: r.start)
        return recordings

    def nothing(self) -> CampaignError:
        """Why no recording came of it."""
        return self.failures[0] if self.failures else nothing_usable(self.left_out)

    def findings(self, recordings: Sequence[Recording]) -> list[Finding]:
        """What was found in all of them."""
        findings = self.left_out + gather([r.findings for r in recordings], len(recordings))
        findings += [Finding("warning", f"left out: {error}") for error in self.failures]
        rates, rate_hz = sorted(self.rates), self.preprocessing.rate_hz
        if rates != [rate_hz]:
            listed = ", ".join(f"{rate:g}" for rate in rates)
            text = f"sampling rates of {listed} Hz are brought to {rate_hz:g} Hz."
            findings.append(Finding("note", text, kind="rates differ" if len(rates) > 1 else "", value=f"{listed} Hz"))
        return findings + years_apart([(r.start.ns, r.end.ns) for r in recordings])


def _time_groups(streams: Mapping[str, Stream]) -> list[tuple[str, Stream]]:
    """Traces of all files by recording: joined where they overlap in time, cut where no trace records."""
    traces = sorted(
        (
            (t.stats.starttime, t.stats.endtime, name, t)
            for name, stream in streams.items()
            for t in stream
            if t.stats.npts
        ),
        key=lambda x: (x[0].ns, x[2]),
    )
    groups: list[list[tuple[UTCDateTime, str, Any]]] = []
    begin = end = UTCDateTime(0)
    for start, stop, name, trace in traces:
        overlaps = bool(groups) and start <= end
        touches = bool(groups) and start - end <= TOUCHING_S and stop - begin <= LONGEST_JOINED_S
        if not (overlaps or touches):
            groups.append([])
            begin = end = start
        groups[-1].append((start, name, trace))
        end = max(end, stop)
    groups = [piece for group in groups for piece in _without_spill(group)]
    names = recording_names([[(start, name) for start, name, _ in group] for group in groups])
    return [(name, Stream([trace for _, _, trace in group])) for name, group in zip(names, groups, strict=True)]


def _without_spill(group: list[tuple[UTCDateTime, str, Any]]) -> list[list[tuple[UTCDateTime, str, Any]]]:
    """A long group cut between files that overlap by no more than `SPILL_S`; what spills over the cut goes along."""
    end = max(trace.stats.endtime for _, _, trace in group)
    if end - group[0][0] <= LONGEST_JOINED_S:
        return [group]
    files: dict[str, list[UTCDateTime]] = {}
    for start, name, trace in group:
        span = files.setdefault(name, [start, trace.stats.endtime])
        span[1] = max(span[1], trace.stats.endtime)
    cuts: list[UTCDateTime] = []
    begin = reached = group[0][0]
    for start, stop in sorted(files.values()):
        spill_s = min(SPILL_S, (stop - start) / 2)
        if start > begin and reached - start <= spill_s and max(reached, stop) - begin > LONGEST_JOINED_S:
            cuts.append(start)
            begin = start
        reached = max(reached, stop)
    pieces: list[list[tuple[UTCDateTime, str, Any]]] = [[] for _ in range(len(cuts) + 1)]
    for start, name, trace in group:
        first = bisect_right(cuts, start)
        bounds = [start, *(cut for cut in cuts[first:] if cut <= trace.stats.endtime), None]
        for k, (low, high) in enumerate(pairwise(bounds)):
            last = None if high is None else high - trace.stats.delta / 2
            part = trace if len(bounds) == 2 else trace.slice(low, last, nearest_sample=False)
            if part.stats.npts:
                pieces[first + k].append((part.stats.starttime, name, part))
    return [piece for piece in pieces if piece]


def _with_table_ids(
    catalogue: Catalogue, stations: StationTable, recorded: StationTable, skip_unknown: bool
) -> tuple[Catalogue, list[Finding]]:
    """The catalogue with its picks under the table's station ids; unknown stations dropped or refused."""
    once: dict[str, str | None] = {}
    resolved: dict[int, str | None] = {}
    for pick in catalogue.picks:
        if pick.station_id not in once:
            # A pick without location code belongs to the sensor that recorded.
            station = recorded.find(pick.station_id) or stations.find(pick.station_id)
            once[pick.station_id] = station.station_id if station is not None else None
        if once[pick.station_id] is None:  # location codes that followed each other are told apart by time
            station = stations.find(pick.station_id, pick.time)
            resolved[id(pick)] = station.station_id if station is not None else None
        else:
            resolved[id(pick)] = once[pick.station_id]
    unknown = sorted((p for p in catalogue.picks if resolved[id(p)] is None), key=lambda p: p.number)
    if unknown and not skip_unknown:
        first = unknown[0]
        others = f" (and {len(unknown) - 1} more picks)" if len(unknown) > 1 else ""
        raise CampaignError(
            f"{catalogue.source}: pick {first.number} is for station "
            f"{first.station_id.rstrip('.')}{others}: {stations.why_not(first.station_id)}. "
            "Add it, or drop the pick with --skip-unknown."
        )
    findings = []
    if unknown:
        reasons: dict[str, list[str]] = {}
        for pick in unknown:
            reasons.setdefault(stations.why_not(pick.station_id), []).append(pick.station_id.rstrip("."))
        for reason, names in reasons.items():
            shown = ", ".join(sorted(set(names)))
            text = f"{len(names)} picks of {shown} are dropped: {reason}."
            findings.append(Finding("warning", text, kind="station without coordinates", place=shown))
    events, n_merged = [], 0
    for event in catalogue.events:
        picks = [
            p if station_id == p.station_id else dataclasses.replace(p, station_id=station_id)
            for p in event.picks
            if (station_id := resolved[id(p)]) is not None
        ]
        kept = one_per_station_and_phase(picks)
        n_merged += len(picks) - len(kept)
        events.append(dataclasses.replace(event, picks=kept))
    if n_merged:
        text = f"{n_merged} picks are of stations that {stations.source} holds as one, and repeat a phase there"
        findings.append(Finding("note", f"{catalogue.source}: {text}; one is kept."))
    return dataclasses.replace(catalogue, events=tuple(events)), findings


def _nothing_in_common(campaign: Campaign) -> str:
    """Why no pick lies in any record, with the numbers that show it."""
    picks, recordings = campaign.catalogue.picks, campaign.recordings
    if not picks:
        return (
            f"{campaign.catalogue.source}: no pick is left. "
            f"Give picks of stations that {campaign.stations.source} lists."
        )
    first, last = recordings[0].start, max(r.end for r in recordings)
    in_time = picks_in_record_time(picks, recordings)
    if in_time:
        return (
            f"{len(in_time)} picks of {campaign.catalogue.source} lie in the records' time, but none on a station "
            f"that recorded then: the first is for {in_time[0].station_id}. "
            "Compare the station codes of picks and waveforms."
        )
    return (
        f"no pick of {campaign.catalogue.source} lies in the time of any waveform: the picks run from "
        f"{picks[0].time} to {picks[-1].time}, the waveforms from {first} to {last}. "
        f"{_in_another_zone(campaign) or 'Give the files that belong together.'}"
    )


def _in_another_zone(campaign: Campaign) -> str:
    """A sentence where most picks would lie in the records if they were some whole hours later or earlier."""
    picks = campaign.catalogue.picks[:_MOST_SHIFTED]
    for hours in sorted(range(-14, 15), key=abs)[1:]:
        shifted = [dataclasses.replace(pick, time=pick.time + 3600.0 * hours) for pick in picks]
        if 2 * len(picks_in_record_time(shifted, campaign.recordings)) > len(picks):
            return f"{hours:+d} hours later most of them would lie there: are they in local time? Give them in UTC."
    return ""
