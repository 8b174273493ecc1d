"""Picks in SAC headers: names, weights, events over several files, and damaged headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from obspy import Trace
from obspy.core import AttribDict

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.errors import CampaignError
from tests.campaign.synthetic_network import T0


def sac(path: Path, station: str, start: float = 0.0, channel: str = "HHZ", **header: object) -> None:
    trace = Trace(np.zeros(1000, np.float32))
    trace.stats.update({"network": "NZ", "station": station, "location": "10", "channel": channel, "delta": 0.01})
    trace.stats.starttime = T0 + start
    trace.stats.sac = AttribDict({"b": 0.0, **header})
    trace.write(str(path), format="SAC")


def test_named_picks_of_one_origin_in_several_files_are_one_event(tmp_path) -> None:
    event = {"o": 1.0, "evla": -43.5, "evlo": 170.25}
    sac(tmp_path / "a.sac", "AAA", a=2.5, ka="IPU0", t0=4.0, kt0="S", **event)
    sac(tmp_path / "b.sac", "AAA", channel="HHN", t0=4.0, kt0="S", **event)
    sac(tmp_path / "c.sac", "BBB", t3=3.25, kt3="EPD4", t4=5.0, t5=6.0, kt5="Lg", **event)
    sac(tmp_path / "d.sac", "CCC", start=600, a=2.0)
    sac(tmp_path / "e.sac", "CCC", start=1200)
    catalogue = read_catalogue(tmp_path)
    one, loose = catalogue.events
    assert (one.origin_time, one.latitude_deg, one.longitude_deg) == (T0 + 1, -43.5, 170.25)
    assert [(p.station_id, p.phase, p.time - T0, p.usable) for p in one.picks] == [
        ("NZ.AAA.10", "P", 2.5, True),
        ("NZ.BBB.10", "P", 3.25, False),
        ("NZ.AAA.10", "S", 4.0, True),
    ]
    assert [(p.station_id, p.phase, p.time - T0) for p in loose.picks] == [("NZ.CCC.10", "P", 602.0)]
    texts = " ".join(f.text for f in catalogue.findings)
    for message in ("1 picks have no phase", "1 picks of phase 'Lg'", "1 picks are a first arrival without a name"):
        assert message in texts
    assert [e.event_id for e in catalogue.events] == [e.event_id for e in read_catalogue(tmp_path).events]


def test_a_sac_file_without_picks_is_no_catalogue_and_an_absurd_pick_is_named(tmp_path) -> None:
    sac(tmp_path / "a.sac", "AAA")
    with pytest.raises(CampaignError, match=r"a\.sac: 0 events and no picks"):
        read_catalogue(tmp_path / "a.sac")
    sac(tmp_path / "b.sac", "AAA", t0=3e30, kt0="S")
    with pytest.raises(CampaignError, match=r"b\.sac: its header field t0 is 3e\+30 s"):
        read_catalogue(tmp_path / "b.sac")
    content = bytearray((tmp_path / "a.sac").read_bytes())
    content[280:284] = np.array([-12345], "<i4").tobytes()  # nzyear, word 70 of the header
    (tmp_path / "c.sac").write_bytes(content)
    with pytest.raises(CampaignError, match=r"c\.sac: not readable as SAC .*no reference time"):
        read_catalogue(tmp_path / "c.sac")
