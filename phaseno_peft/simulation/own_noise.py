"""The user's own noise instead of simulated noise: read from recordings, cut, joined, and brought to a level."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.signal

from phaseno_peft.campaign.channels import (
    Channel,
    choose_sensor,
    inspect_channel,
    read_channel,
    sensors_of,
)
from phaseno_peft.campaign.segments import Segment
from phaseno_peft.campaign.stations import StationTable
from phaseno_peft.campaign.waveform_files import read_waveforms
from phaseno_peft.campaign.waveforms import traces_with_valid_headers
from phaseno_peft.contract import COMPONENTS
from phaseno_peft.errors import CampaignError
from phaseno_peft.simulation.noise import LEVEL_BAND_HZ, USABLE_OF_RATE
from phaseno_peft.simulation.travel_times import Array

if TYPE_CHECKING:
    from obspy import Stream

logger = logging.getLogger(__name__)

OwnNoise = Sequence[npt.NDArray[np.floating]]
"""Records [3 (E, N, Z), sample], each from one station, all at one rate."""
SHORTEST_S = 12.0
"""A window of 30 s repeats a record of this length two to three times; a shorter one would be a pattern to learn."""
JOIN_S = 2.0
"""Pieces fade into each other over this time, with constant power."""
LOWEST_RATE_HZ = 50.0
"""Slower records end below 25 Hz, in the middle of the band that local earthquakes radiate in."""


def read_own_noise(path: str | Path, rate_hz: float) -> list[npt.NDArray[np.float32]]:
    """Three-component noise from a file or a folder of recordings, [3 (E, N, Z), sample] each, at ``rate_hz``.

    Every gap-free stretch of at least `SHORTEST_S` on all three components of a station becomes one record, without its
    linear trend. Stations need no coordinates; 1 and 2 beside Z are taken as N and E. The caller makes sure
    that the recordings hold no earthquakes. Raises `CampaignError` for files that cannot be read, and where no stretch
    is long enough.
    """
    found: list[npt.NDArray[np.float32]] = []
    longest_s = 0.0
    for name, stream in sorted(read_waveforms(path).items()):
        for station_id, channels in _channels(stream, rate_hz).items():
            for channel in channels:
                inspect_channel(channel)
            sensors = sensors_of(channels, StationTable([]))
            for sensor in sensors:
                sensor.slots = {
                    slot: c
                    for slot, c in sensor.slots.items()
                    if not c.dead and min(s.rate_hz for s in c.segments) >= LOWEST_RATE_HZ
                }
            chosen = choose_sensor(sensors)
            slots = chosen.slots if chosen is not None else {}
            if set(slots) != set(COMPONENTS):
                logger.info("%s: %s has not three living components, passed over", name, station_id)
                continue
            for pieces in _common([slots[c].segments for c in COMPONENTS]):
                duration_s = min(len(p.samples) / p.rate_hz for p in pieces)
                longest_s = max(longest_s, duration_s)
                if duration_s >= SHORTEST_S:
                    found.append(_at_rate(pieces, rate_hz))
    if not found:
        raise CampaignError(
            f"{path}: holds no noise to use: the longest gap-free stretch on three components of a station, sampled at "
            f"{LOWEST_RATE_HZ:g} Hz or more, is {longest_s:g} s, and {SHORTEST_S:g} s are needed. Give longer ones."
        )
    return found


def _channels(stream: Stream, rate_hz: float) -> dict[str, list[Channel]]:
    """Channels with their gap-free segments under "NET.STA.LOC"."""
    traces: dict[str, list[object]] = {}
    for trace in traces_with_valid_headers(stream, rate_hz)[0]:
        traces.setdefault(trace.id, []).append(trace)
    stations: dict[str, list[Channel]] = {}
    for seed_id, members in sorted(traces.items()):
        stations.setdefault(seed_id.rsplit(".", 1)[0], []).append(read_channel(seed_id, members))
    return stations


def _common(components: list[list[Segment]]) -> list[list[Segment]]:
    """Stretches that all components have, one segment a component."""
    first, *others = components
    stretches = [[segment] for segment in first]
    for segments in others:
        joined = []
        for stretch in stretches:
            for segment in segments:
                begin = max(s.start_ns for s in (*stretch, segment))
                end = min(s.end_ns for s in (*stretch, segment))
                if end > begin:
                    joined.append([_between(s, begin, end) for s in (*stretch, segment)])
        stretches = joined
    return stretches


def _between(segment: Segment, begin_ns: int, end_ns: int) -> Segment:
    """Samples from one moment to another, to the nearest sample."""
    first, last = (round((at - segment.start_ns) * 1e-9 * segment.rate_hz) for at in (begin_ns, end_ns))
    return Segment(begin_ns, segment.rate_hz, segment.samples[max(first, 0) : last])


def _at_rate(pieces: list[Segment], rate_hz: float) -> npt.NDArray[np.float32]:
    """Three segments resampled and cut to one length, [3, sample]."""
    rows = []
    for piece in pieces:
        ratio = (Fraction(rate_hz) / Fraction(piece.rate_hz)).limit_denominator(1000)
        x = scipy.signal.detrend(np.asarray(piece.samples, dtype=np.float64))
        rows.append(scipy.signal.resample_poly(x, ratio.numerator, ratio.denominator, padtype="line"))
    return np.stack([row[: min(map(len, rows))] for row in rows]).astype(np.float32)


def check_own_noise(own_noise: OwnNoise, rate_hz: float) -> None:
    """Refuse records that are too short, misshapen, dead or not finite."""
    if not own_noise:
        raise CampaignError("own_noise is empty. Give at least one record, or leave it out.")
    shortest = round(SHORTEST_S * rate_hz)
    for k, record in enumerate(own_noise):
        if record.ndim != 2 or record.shape[0] != 3 or record.shape[1] < shortest or not np.all(np.isfinite(record)):
            raise CampaignError(
                f"own_noise[{k}] has shape {record.shape}; it must be [3 (E, N, Z), at least {shortest} samples], "
                "finite and at the preset's rate. Give longer records, or leave own_noise out."
            )
        if not np.any(np.ptp(record, axis=-1)):
            raise CampaignError(f"own_noise[{k}] is constant on all components. Leave it out.")


def cut_own_noise(
    rng: np.random.Generator, own_noise: OwnNoise, rms_m_s: Array, samples: int, rate_hz: float
) -> npt.NDArray[np.float32]:
    """A random stretch per station, [station, component, sample], at its station's rms between 2 and 40 Hz.

    The level is that of the middle one of the three components, which keep their proportions. Where the records are
    shorter than ``samples``, several pieces follow each other.
    """
    out = np.empty((len(rms_m_s), 3, samples), dtype=np.float32)
    for i, rms in enumerate(rms_m_s):
        piece = _joined(rng, own_noise, samples, rate_hz)
        filtered = scipy.signal.sosfilt(_level_band(rate_hz), piece, axis=-1)
        # without the filter's start; the median, because a broken channel can be a thousand times the others
        level = np.median(np.sqrt(np.mean(filtered[:, samples // 10 :] ** 2, axis=-1)))
        out[i] = piece * (rms / max(float(level), 1e-30))
    return out


@lru_cache(maxsize=8)
def _level_band(rate_hz: float) -> Array:
    high = min(LEVEL_BAND_HZ[1], USABLE_OF_RATE * rate_hz)
    return np.asarray(scipy.signal.butter(4, (LEVEL_BAND_HZ[0], high), "bandpass", fs=rate_hz, output="sos"))


def _joined(rng: np.random.Generator, own_noise: OwnNoise, samples: int, rate_hz: float) -> Array:
    """Random pieces [component, sample] of one record after another, until there are enough samples."""
    fade = round(JOIN_S * rate_hz)
    rise = np.sin(np.linspace(0, np.pi / 2, fade))
    out = np.zeros((3, samples))
    done = 0
    while True:
        record = own_noise[int(rng.integers(0, len(own_noise)))]
        length = min(record.shape[1], samples - done)
        start = int(rng.integers(0, record.shape[1] - length + 1))
        piece = np.array(record[:, start : start + length], dtype=np.float64)
        piece -= piece.mean(axis=-1, keepdims=True)
        if done:
            piece[:, :fade] *= rise[:length]
        out[:, done : done + length] += piece
        if done + length == samples:
            return out
        out[:, done + length - fade : done + length] *= rise[::-1]
        done += length - fade
