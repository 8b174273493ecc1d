"""Raw traces in, `Recording`s out: one grid, causal high-pass, E N Z, and a mask of what was really recorded.

`prepare` is preprocessing "campaign-v1" (DESIGN section 4). In short, for every gap-free segment of every channel:
Butterworth high-pass, 4 corners, one causal pass, started from the settled state of the first samples (which takes the
mean out too) -> windowed-sinc polyphase resampling onto the common grid, sub-sample shift included. Nothing crosses a
gap, and nothing is shifted by 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from phaseno_peft.campaign.channels import inspect_channel, read_channel
from phaseno_peft.campaign.findings import Finding
from phaseno_peft.campaign.grid import Canvas, SegmentOnGrid
from phaseno_peft.campaign.plan import Plan, few, make_plan, seed_id_of, station_of_each
from phaseno_peft.campaign.recording import Recording
from phaseno_peft.campaign.resampling import FASTEST_RATIO
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.years import is_believable, year_of
from phaseno_peft.contract import COMPONENTS, Preprocessing
from phaseno_peft.errors import CampaignError

if TYPE_CHECKING:
    from obspy import Stream


def prepare(
    stream: Stream,
    stations: StationTable,
    preprocessing: Preprocessing | None = None,
    name: str = "stream",
    grid_ns: tuple[int, int, int | None] | None = None,
) -> Recording:
    """One recording of every living station of the stream, on one grid at `preprocessing.rate_hz` (campaign-v1).

    Takes raw counts or physical units alike; the stream is not changed. Stations without a living trace are left out.
    What was dropped, assumed or looks wrong stands in the recording's `findings`: a bad trace costs only itself.
    grid_ns: times of the first and the last sample and of any point of the grid (or None), where the stream is a part
    of what was recorded then, such as some of the stations. Raises
    `CampaignError` for a stream without a usable trace, traces that belong to no station or lie years apart, and
    component codes that are not known where nothing else remains.
    """
    preprocessing = preprocessing or Preprocessing()
    plan = plan_of(stream, stations, preprocessing, name)
    if grid_ns is not None:
        plan = plan.on_grid(*grid_ns)
    plan.check_size()
    canvas = Canvas(len(plan.stations), plan.first, plan.last)
    for i, slots in enumerate(plan.slots):
        for slot, channel in slots.items():
            for segment in channel.segments:
                on_grid = SegmentOnGrid(segment.start_ns, segment.rate_hz, plan.anchor_ns, preprocessing)
                canvas.put(i, COMPONENTS.index(slot), on_grid.first, on_grid.push(segment.samples, last=True))
    return plan.recording(canvas)


def plan_of(stream: Stream, stations: StationTable, preprocessing: Preprocessing, name: str) -> Plan:
    """Which raw channels of a stream are used as E, N and Z, and what was found. Raises as `prepare` does."""
    findings: list[Finding] = []
    if any(len(trace) for trace in stream):
        stations = stations.at(
            min(t.stats.starttime for t in stream if len(t)), max(t.stats.endtime for t in stream if len(t))
        )
    sound, left_out = traces_with_valid_headers(stream, preprocessing.rate_hz)
    findings += left_out
    if not sound:
        why = f"no trace can be used: {left_out[0].text}" if left_out else "the stream is empty."
        raise CampaignError(f"{name}: {why} Give at least one trace with samples.")
    traces: dict[str, list[Any]] = {}
    for trace in sound:
        traces.setdefault(seed_id_of(trace.stats), []).append(trace)
    known = station_of_each(traces, stations, name, findings)
    channels = ((station, read_channel(seed_id, traces[seed_id])) for seed_id, station in known.items())
    return make_plan(channels, stations, preprocessing, name, findings, inspect_channel)


def traces_with_valid_headers(traces: Iterable[Any], rate_hz: float) -> tuple[list[Any], list[Finding]]:
    """Traces whose headers can be believed, and what was left out and why; text (log channels) goes without a word.

    `rate_hz` is that of the grid the traces will be brought to.
    """
    sound: list[Any] = []
    reasons: dict[str, list[str]] = {}
    for trace in traces:
        stats = trace.stats
        if trace.data.dtype.kind in "SU" or stats.get("mseed", {}).get("encoding") == "ASCII":
            continue
        trace_hz = float(stats.sampling_rate)
        dotted = [code for code in (stats.network, stats.station, stats.location, stats.channel) if "." in code]
        if trace.data.dtype.kind not in "iuf":
            reason = f"their samples are of the kind {trace.data.dtype}. Give whole or real numbers"
        elif not (np.isfinite(trace_hz) and trace_hz > 0):
            reason = f"their sampling rate is {trace_hz} Hz. Repair the header"
        elif trace_hz > FASTEST_RATIO * rate_hz:
            reason = f"their sampling rate is {trace_hz:g} Hz. Repair the header, or bring them to less than 1 MHz"
        elif not stats.npts:  # as the header says, so that a header alone will do
            reason = "they hold no samples"
        elif not is_believable(stats.starttime.ns):
            reason = f"they start in the year {year_of(stats.starttime.ns)}. Repair the header"
        elif dotted:
            reason = f"{dotted[0]!r} is no code, it holds a dot. Write the code of the station file into the header"
        else:
            sound.append(trace)
            continue
        reasons.setdefault(reason, []).append(trace.id)
    return sound, [
        Finding("warning", f"traces {few(dict.fromkeys(ids))} are left out: {reason}.")
        for reason, ids in reasons.items()
    ]
