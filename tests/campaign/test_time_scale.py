"""The time scale that a campaign's numbers ask for."""

from __future__ import annotations

import numpy as np
import pytest
from obspy import Stream

from phaseno_peft.campaign import Station, StationTable, read_catalogue
from phaseno_peft.campaign.time_scale import suggest_time_scale
from tests.campaign.synthetic_network import T0, catalog, pick, trace


def delivery(
    size: float, frequency_hz: float, rate_hz: float, events: int = 5
) -> tuple[dict[str, Stream], StationTable, object]:
    """Events on four stations `size` times 8 km apart: S follows P by `size` times 1 to 2.5 s."""
    stations = StationTable([Station(f"XX.S{i}.", 0.072 * size * i, 10.0, 0.0) for i in range(4)])
    rng, streams, picked = np.random.default_rng(0), {}, []
    t = np.arange(round(4 * rate_hz)) / rate_hz
    for event in range(events):
        start, picks = T0 + 60 * event, []
        stream = Stream()
        for i in range(4):
            onset = 2.0 + 0.1 * i * size
            x = rng.normal(0, 0.01, len(t))
            x += np.where(t > onset, np.sin(2 * np.pi * frequency_hz * (t - onset)) * np.exp(-2 * (t - onset)), 0)
            stream += trace(f"S{i}", "HHZ", x, rate_hz, start)
            picks += [pick(f"S{i}", "P", start + onset), pick(f"S{i}", "S", start + onset + size * (1 + 0.5 * i))]
        streams[f"e{event}"] = stream
        picked.append(picks)
    return streams, stations, read_catalogue(catalog(picked))


@pytest.mark.parametrize(
    ("size", "frequency_hz", "rate_hz", "expected"),
    [
        (1.0, 8.0, 100.0, 1.0),  # a local network
        (0.1, 40.0, 1000.0, 7.0),  # a mine: S-P from 0.1 s, nine of ten above; 0.7 / 0.1
        (1.0, 100.0, 1000.0, 3.0),  # high frequencies ask for 100 / 25 Hz, 24 km of network allow 80 / 24
        (3.0, 8.0, 100.0, 1.0),  # wide already: nothing may be stretched
    ],
)
def test_the_scale_follows_from_sp_times_frequencies_and_size(
    size: float, frequency_hz: float, rate_hz: float, expected: float
) -> None:
    found = suggest_time_scale(*delivery(size, frequency_hz, rate_hz))  # type: ignore[arg-type]
    assert found.k == expected, found
    assert "S-P times" in found.why
    assert "half of the energy of P lies below" in found.why


def test_what_the_data_do_not_tell_sets_no_bound() -> None:
    _, stations, _ = delivery(1.0, 8.0, 100.0)
    silent = read_catalogue(catalog([[pick("S0", "P", T0)]]))
    assert suggest_time_scale({}, stations, silent).k == 1.0
