"""The benchmark of equal picks: its pieces hold every sample once, and it sees a difference where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from obspy import Stream, Trace, UTCDateTime

from benchmarks.same_picks import EVEN_FILES, cut, difference, even_edges, uneven_edges
from phaseno_peft.picks import Pick, PickList

T0 = UTCDateTime(2020, 1, 1, 0, 0, 0, 123456)


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 200.0])
def test_pieces_hold_every_sample_once(rate_hz: float) -> None:
    header = {"network": "XX", "station": "A", "channel": "HHZ", "sampling_rate": rate_hz, "starttime": T0}
    stream = Stream([Trace(np.arange(round(300.5 * rate_hz)), header)])
    begin, end = stream[0].stats.starttime, stream[0].stats.endtime
    even = cut(stream, even_edges(begin, end, (end - begin) / EVEN_FILES))
    assert len(even) == EVEN_FILES
    for pieces in (even, cut(stream, even_edges(begin, end, 60.0)), cut(stream, uneven_edges(begin, end, _rng()))):
        assert all(piece[0].stats.npts == len(piece[0].data) for piece in pieces)
        np.testing.assert_array_equal(np.concatenate([piece[0].data for piece in pieces]), stream[0].data)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_difference_is_seen_and_misses_the_goals() -> None:
    picks = PickList(Pick("XX.A.", phase, T0 + at, 0.5, 0.01) for phase, at in (("P", 1.0), ("S", 2.0), ("P", 5.0)))
    assert difference(picks, picks).is_met
    moved = PickList([replace(picks[0], time=picks[0].time + 0.002, probability=0.6), *picks[1:]])
    found = difference(moved, picks)
    assert (found.n_missing, found.n_additional) == (0, 0)
    assert (found.time_ms, found.probability) == pytest.approx((2.0, 0.1))
    assert not found.is_met
    other = PickList([*picks[:2], replace(picks[2], trace_id="XX.B.")])
    found = difference(other, picks)
    assert (found.n_picks, found.n_missing, found.n_additional, found.is_met) == (3, 1, 1, False)
