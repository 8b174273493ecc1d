"""Probabilities as an obspy Stream, as SeisBench's `annotate` gives them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phaseno_peft.campaign import Recording
from phaseno_peft.contract import PHASES
from phaseno_peft.picking.annotations import Annotation
from phaseno_peft.station_ids import station_fields

if TYPE_CHECKING:
    from obspy import Stream, Trace


def probability_stream(blocks: Iterable[Annotation]) -> Stream:
    """One trace a run, station and phase, channel `P` or `S`; blocks that follow each other are joined."""
    from obspy import Stream

    traces: list[Trace] = []
    curves: list[NDArray[np.float32]] = []
    first: Annotation | None = None
    before: Annotation | None = None
    for block in itertools.chain(blocks, [None]):
        if first is not None and before is not None and (block is None or not block.continues(before)):
            traces += _traces(first.recording, np.concatenate(curves, axis=-1), first.pick_shift_s)
            first, curves = None, []
        if block is not None:
            first = first or block
            curves.append(block.probabilities)
        before = block
    return Stream(traces)


def _traces(recording: Recording, probabilities: NDArray[np.float32], pick_shift_s: Mapping[str, float]) -> list[Trace]:
    """One trace a station and phase, moved to where its picks are given out; masked where nothing was recorded."""
    from obspy import Trace

    traces = []
    for station, curves in zip(recording.stations, probabilities, strict=True):
        network, code, location = station_fields(station.station_id)
        for phase, curve in zip(PHASES, curves, strict=True):
            header = {
                "network": network,
                "station": code,
                "location": location,
                "channel": phase,
                "starttime": recording.start + pick_shift_s[phase],
                "sampling_rate": recording.rate_hz,
            }
            traces.append(Trace(np.ma.masked_invalid(curve) if np.isnan(curve).any() else curve, header))
    return traces
