"""Catalogues: phases, weights, repeated picks, and what cannot be used."""

from __future__ import annotations

import pytest

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.campaign.catalog import phase_of
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0, catalog, pick


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("P", "P"),
        ("Pg", "P"),
        ("p", "P"),
        ("S1", "S"),
        ("Sn", "S"),
        ("pP", None),
        ("sP", None),
        ("AML", None),
        ("", None),
    ],
)
def test_phase_names_fall_to_p_s_or_neither(name: str, phase: str | None) -> None:
    assert phase_of(name) == phase


def test_picks_survive_a_round_trip_through_quakeml(tmp_path) -> None:
    path = tmp_path / "picks.xml"
    catalog([[pick("S0", "Pg", T0 + 1.25), pick("S0", "S", T0 + 3.5, location=None)]]).write(str(path), "QUAKEML")
    (event,) = read_catalogue(path).events
    assert [(p.phase, p.station_id, p.time, p.uncertainty_s, p.number) for p in event.picks] == [
        ("P", "XX.S0.", T0 + 1.25, 0.05, 1),
        ("S", "XX.S0.", T0 + 3.5, 0.05, 2),
    ]
    assert (event.latitude_deg, event.depth_m) == (0.1, 5000.0)


def test_weight_zero_and_rejected_picks_are_unusable() -> None:
    rejected = pick("S2", "P", T0 + 3)
    rejected.evaluation_status = "rejected"
    catalogue = read_catalogue(
        catalog([[pick("S0", "P", T0 + 1), pick("S1", "P", T0 + 2), rejected]], weights={2: 0.0})
    )
    assert [p.usable for p in catalogue.picks] == [True, False, False]


def test_phase_comes_from_the_arrival_where_the_pick_has_none() -> None:
    assert [p.phase for p in read_catalogue(catalog([[pick("S0", None, T0)]])).picks] == ["P"]


def test_a_phase_picked_on_both_horizontals_is_kept_once_the_earliest_usable() -> None:
    picks = [pick("S0", "S", T0 + 2.0), pick("S0", "S", T0 + 1.9), pick("S0", "S", T0 + 1.8), pick("S1", "S", T0 + 2)]
    catalogue = read_catalogue(catalog([picks], weights={3: 0.0}))
    assert [(p.station_id, p.time - T0) for p in catalogue.picks] == [("XX.S0.", 1.9), ("XX.S1.", 2.0)]
    assert any("2 picks repeat" in f.text for f in catalogue.findings)


def test_other_phases_and_incomplete_picks_are_counted() -> None:
    no_station = pick("S0", "P", T0)
    no_station.waveform_id = None
    catalogue = read_catalogue(
        catalog([[pick("S0", "P", T0), pick("S0", "AML", T0), pick("S1", "AML", T0), no_station]])
    )
    texts = " ".join(f.text for f in catalogue.findings)
    assert "2 picks of phase 'AML'" in texts
    assert "1 picks have no station" in texts
    assert len(catalogue.picks) == 1


def test_a_catalogue_without_picks_and_a_missing_one_are_refused(tmp_path) -> None:
    with pytest.raises(CampaignError, match="1 events and no picks"):
        read_catalogue(catalog([[]]))
    with pytest.raises(CampaignError, match=r"gone\.xml: no such catalogue"):
        read_catalogue(tmp_path / "gone.xml")
    (tmp_path / "text.xml").write_text("hello")
    with pytest.raises(CampaignError, match=r"text\.xml: not readable"):
        read_catalogue(tmp_path / "text.xml")


def test_an_event_given_twice_is_refused_by_name() -> None:
    twice = catalog([[pick("S0", "P", T0)], [pick("S0", "P", T0 + 9)]])
    twice[1].resource_id = twice[0].resource_id
    with pytest.raises(CampaignError, match="smi:local/event/0 is given twice"):
        read_catalogue(twice)
