"""Suggested records as a folder to label in, which becomes a campaign's folder once its picks are corrected."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obspy import Stream, Trace

from phaseno_peft.campaign.campaign_folder import PROVISIONAL
from phaseno_peft.campaign.raw_spans import raw_spans
from phaseno_peft.campaign.sources import Index, Source
from phaseno_peft.campaign.waveform_files import ChannelMap, codes_of_target, read_channels, rename_channels
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.events.catalogue import to_catalog
from phaseno_peft.files import check_folder, write_file, write_folder
from phaseno_peft.labelling.suggested_labels import SuggestedLabels
from phaseno_peft.picks.event_files import write_events

CODE_LENGTHS = {"network": 2, "station": 5, "location": 2, "channel": 3}
"""Characters that MiniSEED has room for."""
CORRECTED_S = 2.0
"""A file of provisional picks that is younger than the ranks by more was corrected."""
TABLE_HEADER = ("rank", "file", "start", "end", "gain", "use", "event", "picks", "stations", "why")


RANKS = "suggestions.csv"


def write_suggestions(
    folder: str | Path,
    found: SuggestedLabels,
    source: Source,
    *,
    stations: str | Path | None = None,
    channels: ChannelMap | str | Path | None = None,
    skip_unreadable: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the suggested records and their provisional picks, whole or not at all, and return the folder.

    `waveforms/` has one MiniSEED file a suggestion, codes and samples as they were delivered, so that the same
    `channels` read them as they read the source (`channels_in_writing`); `to-correct.xml` (QuakeML) and
    `to-correct.markers` (Snuffler) the provisional events, in which doubtful arrivals are rejected picks and markers of
    kind 3, near which nothing is learnt until somebody says that they are picks; `suggestions.csv` ranks and reasons. A
    `stations` file is copied beside them. Corrected and saved as `picks.*`, the folder is one that `train-adapter
    --more` takes: a record without a pick is noise then. Raises `CampaignError` for what cannot be read, and
    `PhasenoPeftError` where the folder exists, or may not be replaced: what holds no suggestions, or corrected picks,
    is never overwritten; also for codes that MiniSEED has no room for.
    """
    check_replaceable(folder, overwrite=overwrite)
    mapping = read_channels(channels)
    in_writing = channels_in_writing(mapping)
    spans = [(each.start, each.end) for each in found.suggestions]
    catalog = to_catalog(found.events(), found.models[0], "coincidence")
    with write_folder(folder, overwrite=overwrite) as part:
        (part / "waveforms").mkdir()
        streams = raw_spans(
            source, spans, found.preprocessing.rate_hz, channels=in_writing, skip_unreadable=skip_unreadable
        )
        for each, delivered in zip(found.suggestions, streams, strict=True):
            # traces of no station, read again, would be counted as those that the map numbers
            stream = Stream([trace for trace in delivered if trace.stats.station])
            for trace in stream:
                _fit_codes(trace, mapping)
                trace.data = storable(trace.data)
            stream.write(str(part / "waveforms" / f"{each.name}.mseed"), format="MSEED")
        for ending, name in ((".xml", "quakeml"), (".markers", "snuffler")):
            write_events(part / f"{PROVISIONAL}{ending}", catalog, name)
        write_file(part / RANKS, _table(found))
        if stations is not None:
            copy = part / f"stations{Path(stations).suffix}"
            if Path(stations).is_dir():
                shutil.copytree(stations, part / "stations")
            else:
                shutil.copyfile(stations, copy)
    return Path(folder)


def check_codes(
    source: Source,
    rate_hz: float,
    *,
    channels: ChannelMap | str | Path | None = None,
    skip_unreadable: bool = False,
) -> None:
    """Raise for an archive with codes that its suggested records could not have, before any work is done.

    `rate_hz` is that of the preparation. Raises as `write_suggestions` would, and `CampaignError` for what cannot be
    read.
    """
    mapping = read_channels(channels)
    index = Index(source, rate_hz, channels=channels_in_writing(mapping), skip_unreadable=skip_unreadable)
    try:
        for seed_id in sorted({header.seed_id for header in index.headers}):
            codes = dict(zip(CODE_LENGTHS, seed_id.split("."), strict=True))
            if codes["station"]:
                _fit_codes(Trace(np.ones(1), codes), mapping)
    finally:
        index.close()


def channels_in_writing(channels: ChannelMap | str | Path | None) -> dict[str, str]:
    """The part of a channel map that suggested records are written with: the rest is for whoever reads them.

    A trace without a station code is known by its number in a file, which the records do not keep. It is written under
    the codes that the map gives it, turned round where the map says so, and the same map leaves it alone. Raises
    `PhasenoPeftError` for a map that would not, and `CampaignError` as `read_channels` does.
    """
    mapping = read_channels(channels)
    numbered = {number: target for number, target in mapping.items() if "." in target}
    for target in numbered.values():
        _check_kept(Trace(np.ones(1), codes_of_target(target)), mapping)
    return numbered


def _check_kept(trace: Trace, mapping: ChannelMap) -> None:
    """Raise `PhasenoPeftError` for a trace with codes of a map that the map would change, or turn round, again."""
    again = Trace(np.ones(1), {code: trace.stats[code] for code in CODE_LENGTHS})
    rename_channels(Stream([again]), mapping)
    if again.id != trace.id or again.data[0] < 0:
        raise PhasenoPeftError(
            f"{trace.id}: the channel map gives this code and would change it again when the suggested records are "
            "read. Write STATION.CODE on the left for the stations whose code it is to change, and suggest again."
        )


def _has_room(trace: Trace) -> bool:
    """Whether MiniSEED has room for the codes of a trace."""
    return all(len(trace.stats[code]) <= length for code, length in CODE_LENGTHS.items())


def _fit_codes(trace: Trace, mapping: ChannelMap) -> None:
    """Give a trace whose codes MiniSEED would cut, so that two sensors became one, the codes of the channel map.

    Raises `PhasenoPeftError` where these are too long too, or where the map would change them again.
    """
    if _has_room(trace):
        return
    rename_channels(Stream([trace]), mapping)
    if not _has_room(trace):
        raise PhasenoPeftError(
            f"{trace.id}: MiniSEED has room for network, station, location and channel codes of 2, 5, 2 and 3 "
            "characters. Give the station a shorter code in records and station file, or the channel one with "
            "--channels, and suggest again."
        )
    _check_kept(trace, mapping)


def storable(samples: NDArray[Any]) -> NDArray[Any]:
    """The samples in a type that MiniSEED has: whole numbers of 32 bits where they fit, else doubles."""
    if samples.dtype in (np.int32, np.float32, np.float64):
        return samples
    if samples.dtype.kind in "iub" and (not samples.size or (abs(samples.min()) < 2**31 > abs(samples.max()))):
        return samples.astype(np.int32)
    return samples.astype(np.float64)


def check_replaceable(folder: str | Path, *, overwrite: bool) -> None:
    """Raise `PhasenoPeftError` for what `check_folder` refuses, and for suggestions that somebody has corrected."""
    folder = check_folder(folder, "suggestions", (RANKS,), overwrite=overwrite)
    if not (folder / RANKS).is_file():
        return
    if corrected := next(folder.glob("picks.*"), None):
        raise PhasenoPeftError(f"{corrected}: these picks were corrected. Choose another folder, or move them away.")
    written = (folder / RANKS).stat().st_mtime
    for file in folder.glob(f"{PROVISIONAL}.*"):
        if file.stat().st_mtime > written + CORRECTED_S:
            raise PhasenoPeftError(
                f"{file}: was changed after it was written. Save it as picks{file.suffix}, choose another folder, or "
                "move it away."
            )


def _table(found: SuggestedLabels) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TABLE_HEADER)
    for rank, each in enumerate(found.suggestions, start=1):
        writer.writerow(
            [
                rank,
                f"waveforms/{each.name}.mseed",
                each.start,
                each.end,
                f"{each.gain:.3f}",
                f"{each.use:.3f}",
                "yes" if each.is_event else "no",
                sum(reading.is_pick for reading in each.readings),
                len({reading.pick.trace_id for reading in each.readings}),
                each.why,
            ]
        )
    return text.getvalue()
