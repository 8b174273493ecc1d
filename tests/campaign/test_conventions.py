"""Where picks sit on the wavelet, with what certainty, and picks moved to another place of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from obspy import Stream

from phaseno_peft.campaign import Campaign
from phaseno_peft.campaign.conventions import convention_findings, measure_conventions
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, catalog, pick, table, trace

FREQUENCY_HZ = 5.0
QUARTER_S = 0.25 / FREQUENCY_HZ
PLACES_S = {"onset": 0.0, "peak": QUARTER_S, "trough": 3 * QUARTER_S}
"""Of a wavelet that begins upwards: its first maximum and its first minimum."""


@cache
def delivery(picked_s: float, scatter_s: float = 0.004, signs: tuple[int, ...] = (1,)) -> Campaign:
    return Campaign.read(*files(picked_s, scatter_s, signs))


def files(picked_s: float, scatter_s: float = 0.004, signs: tuple[int, ...] = (1,)) -> tuple:
    """Twelve events on three stations; P picks lie `picked_s` after the onset of a 5 Hz wavelet."""
    rng, streams, events = np.random.default_rng(1), {}, []
    t = np.arange(3000) / 100
    for event in range(12):
        start, stream, picks = T0 + 100 * event, Stream(), []
        for i in range(3):
            onset = 14.0 + 0.3 * i + float(rng.uniform(0, 0.01))
            wavelet = np.where(t > onset, np.sin(2 * np.pi * FREQUENCY_HZ * (t - onset)) * np.exp(-3 * (t - onset)), 0)
            x = rng.normal(0, 0.01, len(t)) + signs[(event + i) % len(signs)] * wavelet
            stream += Stream([trace(f"S{i}", f"HH{c}", x, 100.0, start) for c in "ZNE"])
            picks.append(pick(f"S{i}", "P", start + onset + picked_s + float(rng.normal(0, scatter_s))))
        streams[f"e{event}"] = stream
        events.append(picks)
    return streams, table(3), catalog(events)


@pytest.mark.parametrize("convention", ["onset", "peak", "trough"])
def test_the_convention_of_clear_picks_is_found_and_certain(convention: str) -> None:
    found = measure_conventions(delivery(PLACES_S[convention]).stretches())
    assert set(found) == {"P"}
    assert (found["P"].convention, found["P"].n) == (convention, 36)
    assert found["P"].certainty > 0.95
    assert convention_findings(found, "picks.xml")[0].value == convention


def test_extrema_of_either_sign_are_peaks_and_no_place_is_unknown() -> None:
    both = measure_conventions(delivery(QUARTER_S, signs=(1, -1)).stretches())["P"]
    assert (both.convention, both.certainty > 0.9) == ("peak", True)
    nowhere = measure_conventions(delivery(-0.15, scatter_s=0.04).stretches())["P"]
    assert nowhere.convention == "unknown"


def test_onsets_move_to_the_next_peak_or_trough_and_back() -> None:
    """To 5 ms, half a sample."""
    onsets = {(p.event_id, p.station_id): p.time for p in delivery(0.0, 0.0).catalogue.picks}
    for target in ("peak", "trough"):
        moved = Campaign.read(*files(0.0, 0.0), picks_on=target)  # type: ignore[arg-type]
        shifts = [p.time - onsets[p.event_id, p.station_id] for p in moved.catalogue.picks]
        assert np.median(shifts) == pytest.approx(PLACES_S[target], abs=0.005)
        assert moved.picks_on == target
        assert f"36 P picks are moved to the {target}" in "".join(f.text for f in moved.findings)
    back = Campaign.read(*files(QUARTER_S, 0.0), picks_on="onset")
    offsets = [p.time - onsets[p.event_id, p.station_id] for p in back.catalogue.picks]
    assert np.median(offsets) == pytest.approx(0.0, abs=0.02)


def test_too_few_clear_arrivals_are_not_moved() -> None:
    streams, stations, picks = files(0.0)
    for stream in streams.values():
        for each in stream:
            each.data = np.random.default_rng(0).normal(0, 1, len(each.data))
    with pytest.raises(CampaignError, match=r"of 36 P picks are of clear arrivals; moving picks to the peak needs 5"):
        Campaign.read(streams, stations, picks, picks_on="peak")
