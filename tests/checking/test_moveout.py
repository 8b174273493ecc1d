"""The move-out of picks in a half-space: what lies on it is left alone, what does not is named."""

from __future__ import annotations

import numpy as np
import pytest
from obspy import UTCDateTime

from phaseno_peft.campaign.catalog import CatalogueEvent, LabelledPick
from phaseno_peft.checking.moveout import fit_moveout

T0 = UTCDateTime(2020, 1, 1)
SPEED_KM_S, RATIO = 5.0, 1.8


def network(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {f"XX.S{k}.": np.array([*rng.uniform(-8, 8, 2), rng.uniform(0, 0.3)]) for k in range(8)}


def event(k: int, place: np.ndarray, stations: dict[str, np.ndarray], rng: np.random.Generator) -> CatalogueEvent:
    origin = T0 + 3600 * k
    picks = []
    for station_id, station in stations.items():
        for phase, slowness in (("P", 1 / SPEED_KM_S), ("S", RATIO / SPEED_KM_S)):
            time = origin + float(np.linalg.norm(place - station)) * slowness + float(rng.normal(0, 0.01))
            picks.append(
                LabelledPick(f"{k}{station_id}{phase}", f"e{k}", station_id, phase, time, None, True, len(picks))
            )
    return CatalogueEvent(f"e{k}", None, None, None, None, tuple(sorted(picks, key=lambda p: p.time.ns)))


def moved(e: CatalogueEvent, by_s: float, station_id: str, phases: str = "PS") -> CatalogueEvent:
    from dataclasses import replace

    picks = [replace(p, time=p.time + by_s) if p.station_id == station_id and p.phase in phases else p for p in e.picks]
    return replace(e, picks=tuple(sorted(picks, key=lambda p: p.time.ns)))


def events(rng: np.random.Generator, stations: dict[str, np.ndarray]) -> list[CatalogueEvent]:
    places = [np.array([*rng.uniform(-5, 5, 2), rng.uniform(3, 8)]) for _ in range(10)]
    return [event(k, place, stations, rng) for k, place in enumerate(places)]


def test_velocity_and_ratio_come_from_the_picks_and_nothing_is_off() -> None:
    rng = np.random.default_rng(1)
    stations = network(rng)
    fit = fit_moveout(events(rng, stations), stations)
    assert fit.speed_km_s == pytest.approx(SPEED_KM_S, abs=0.5)
    assert fit.ratio == pytest.approx(RATIO, abs=0.03)
    assert (fit.outliers, fit.clocks) == ((), ())


@pytest.mark.parametrize("by_s", [-1.0, 0.5])
def test_the_one_pick_that_was_moved_is_the_one_that_is_named(by_s: float) -> None:
    rng = np.random.default_rng(2)
    stations = network(rng)
    listed = events(rng, stations)
    listed[4] = moved(listed[4], by_s, "XX.S3.", "S")
    (off,) = fit_moveout(listed, stations).outliers
    assert (off.pick.event_id, off.pick.station_id, off.pick.phase) == ("e4", "XX.S3.", "S")
    assert off.residual_s == pytest.approx(by_s, abs=0.1)


@pytest.mark.parametrize("first", [0, 5])
def test_a_clock_that_is_off_always_or_from_some_event_on_is_told_once(first: int) -> None:
    rng = np.random.default_rng(3)
    stations = network(rng)
    listed = [moved(e, -0.6, "XX.S5.") if k >= first else e for k, e in enumerate(events(rng, stations))]
    fit = fit_moveout(listed, stations)
    (clock,) = fit.clocks
    assert clock.station_id == "XX.S5."
    assert clock.offset_s == pytest.approx(-0.6, abs=0.1)
    assert clock.event_ids == tuple(f"e{k}" for k in range(first, 10))
    assert fit.outliers == ()


def test_events_with_too_few_picks_are_left_alone() -> None:
    rng = np.random.default_rng(4)
    stations = network(rng)
    few = dict(list(stations.items())[:3])
    listed = [moved(e, 3.0, "XX.S1.") for e in events(rng, few)]
    assert fit_moveout(listed, stations).events == ()
