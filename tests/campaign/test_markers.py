"""Snuffler's markers: what an analyst saves there, and what a broken line costs."""

from __future__ import annotations

import pytest

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0

MARKERS = """# Snuffler Markers File Version 0.2
event: 2020-01-01 00:00:01.000  0 Xb7k=          -43.5        170.25       5000.0       1.2 None  Event None
phase: 2020-01-01 00:00:02.5000  0 NZ.AAA.10.HHZ   Xb7k=          2020-01-01   00:00:01.000 P        1 False
phase: 2020-01-01 00:00:03.000 2020-01-01 00:00:03.200 0.2  1 NZ.B.C.10.HHN,NZ.B.C.10.HHE Xb7k= None None S None True
phase: 2020-01-01 01:00:00.000  0 NZ.AAA.10.HHZ   None None None Pg None False
phase: 2020-01-01 01:00:01.000  0 NZ.AAA.10.HHZ   None None None None None False
phase: 2020-01-01 01:00:02.000  0 NZ.AAA.10.HHZ   None None None AML None False
2020-01-01 00:00:05.000  3 NZ.AAA.10.HHZ
"""


def test_phase_markers_are_picks_and_event_markers_their_events(tmp_path) -> None:
    (tmp_path / "a.markers").write_text(MARKERS)
    catalogue = read_catalogue(tmp_path / "a.markers")
    event, loose = catalogue.events
    assert (event.event_id, event.origin_time, event.depth_m) == ("smi:local/snuffler/Xb7k=", T0 + 1, 5000.0)
    assert [(p.station_id, p.phase, p.time - T0, p.is_automatic) for p in event.picks] == [
        ("NZ.AAA.10", "P", 2.5, False),
        ("NZ.B.C.10", "S", 3.1, True),
    ]
    assert event.picks[1].uncertainty_s == pytest.approx(0.1)
    assert [(p.phase_name, p.time - T0) for p in loose.picks] == [("Pg", 3600.0)]
    texts = " ".join(f.text for f in catalogue.findings)
    assert "1 picks have no phase" in texts
    assert "1 picks of phase 'AML'" in texts


@pytest.mark.parametrize(
    "bad",
    [
        "phase: 2020-01-01 00:00:61.5 0 NZ.AAA.10.HHZ None None None P None False",
        "phase: 2020-01-01 00:00:01.5 0 NZ.AAA None None None P None False",
        "phase: 2020-01-01 00:00:01.5 0 NZ.AAA.10.HHZ,NZ.BBB.10.HHZ None None None P None False",
        "phase: 2020-01-01",
        "event: 2020-01-01 00:00:01.000  0 Xb7k= here there",
    ],
)
def test_a_broken_marker_is_named_by_its_line(tmp_path, bad: str) -> None:
    (tmp_path / "a.markers").write_text(MARKERS + bad + "\n")
    with pytest.raises(CampaignError, match=r"a\.markers: line 9: .*no marker of Snuffler"):
        read_catalogue(tmp_path / "a.markers")
