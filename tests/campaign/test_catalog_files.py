"""Catalogues from files: identity, folders, archives, pick lists, and what we write ourselves."""

from __future__ import annotations

import gzip
import io
import math
import zipfile
from pathlib import Path

import pytest
from obspy import Catalog, UTCDateTime, read_events
from obspy.core.event import Arrival, Event, Origin, ResourceIdentifier, WaveformStreamID
from obspy.core.event import Pick as ObspyPick
from obspy.io.nordic.core import write_select

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.campaign.catalog import UNASSOCIATED_ID
from phaseno_peft.campaign.obspy_events import Tally, labelled_events
from phaseno_peft.errors import CampaignError
from phaseno_peft.picks import Pick, PickList
from tests.campaign.synthetic_network import T0, catalog, network_picks, pick


def without_ids(n: int = 3, first: int = 0) -> Catalog:
    """Events as a reader makes them whose format has no ids."""
    made = Catalog()
    for i in range(first, first + n):
        time = T0 + 600.0 * i
        picks = [
            ObspyPick(time=time + 3 + d, phase_hint=h, waveform_id=WaveformStreamID("XX", "AAA", "", "HHZ"))
            for h, d in (("P", 0.0), ("S", 2.0))
        ]
        arrivals = [Arrival(pick_id=p.resource_id, phase=p.phase_hint) for p in picks]
        made += Event(
            picks=picks, origins=[Origin(time=time, latitude=10, longitude=10, depth=5000.0, arrivals=arrivals)]
        )
    return made


def write_nordic(path: Path, events: Catalog) -> Path:
    write_select(events, str(path), userid="abc", evtype="L", wavefiles=None)
    return path


def ids(catalogue) -> list[tuple[str, tuple[str, ...]]]:
    return [(e.event_id, tuple(p.pick_id for p in e.picks)) for e in catalogue.events]


@pytest.mark.filterwarnings("ignore")
def test_events_without_ids_keep_theirs_at_every_reading_in_any_order_and_format(tmp_path) -> None:
    first = read_catalogue(write_nordic(tmp_path / "a.sfile", without_ids()))
    assert ids(first) == ids(read_catalogue(tmp_path / "a.sfile"))
    assert len(set(ids(first))) == 3
    turned = write_nordic(tmp_path / "b.sfile", Catalog(without_ids()[::-1]))
    assert ids(first) == ids(read_catalogue(turned))
    # The Catalog objects with random ids that the file was made of, and obspy's own reading of it.
    assert [e for e, _ in ids(first)] == [e.event_id for e in read_catalogue(without_ids()).events]
    assert ids(first) == ids(read_catalogue(read_events(str(tmp_path / "a.sfile"))))


def test_ids_that_a_file_holds_stay_also_when_they_look_random(tmp_path) -> None:
    events = without_ids(1)
    stored = str(events[0].resource_id.id)
    events.write(str(tmp_path / "a.xml"), "QUAKEML")
    (event,) = read_catalogue(tmp_path / "a.xml").events
    assert event.event_id == stored
    assert event.picks[0].pick_id == events[0].picks[0].resource_id.id


def test_events_that_differ_in_one_pick_are_two_events() -> None:
    other = without_ids(1)
    other[0].picks[1].time += 0.01
    assert ids(read_catalogue(without_ids(1))) != ids(read_catalogue(other))


def test_the_same_event_given_twice_is_kept_once_and_told_and_a_different_one_refused(tmp_path) -> None:
    for name in ("a.xml", "b.xml"):
        catalog([network_picks(T0)]).write(str(tmp_path / name), "QUAKEML")
    catalogue = read_catalogue(tmp_path)
    assert len(catalogue.events) == 1
    assert any("given more than once with the same picks" in f.text for f in catalogue.findings)
    catalog([network_picks(T0 + 5)]).write(str(tmp_path / "c.xml"), "QUAKEML")
    with pytest.raises(CampaignError, match=r"event/0 is given twice \(in a\.xml and c\.xml\)"):
        read_catalogue(tmp_path)


def test_a_folder_of_event_files_is_one_catalogue_whatever_lies_beside(tmp_path) -> None:
    for i in range(3):
        place = tmp_path / "REA" / f"20{i}" / "01"
        place.mkdir(parents=True)
        one = catalog([network_picks(T0 + 600 * i)])
        one[0].resource_id = ResourceIdentifier(f"smi:local/event/{i}")
        one.write(str(place / "event.xml"), "QUAKEML")
    (tmp_path / "REA" / "README").write_text("Events of the campaign\n")
    (tmp_path / "REA" / "wave.bin").write_bytes(bytes(5000))
    (tmp_path / "REA" / ".hidden").write_text("x")
    (tmp_path / "REA" / "broken.xml").write_text("<quakeml><unclosed>")
    catalogue = read_catalogue(tmp_path / "REA")
    assert [len(e.picks) for e in catalogue.events] == [8, 8, 8]
    texts = "\n".join(f.text for f in catalogue.findings)
    assert "README, wave.bin passed over" in texts
    assert "left out: broken.xml: not readable" in texts
    (tmp_path / "empty").mkdir()
    with pytest.raises(CampaignError, match="none of its 0 files"):
        read_catalogue(tmp_path / "empty")


def test_catalogues_are_read_out_of_archives_whatever_their_name(tmp_path) -> None:
    file = io.BytesIO()
    catalog([network_picks(T0)]).write(file, "QUAKEML")
    (tmp_path / "picks.txt").write_bytes(gzip.compress(file.getvalue()))
    with zipfile.ZipFile(tmp_path / "picks.xml", "w") as archive:
        archive.writestr("a/b.qml", file.getvalue())
    assert ids(read_catalogue(tmp_path / "picks.txt")) == ids(read_catalogue(tmp_path / "picks.xml"))


PICKS = PickList(
    [
        Pick(trace_id, phase, T0 + start + late + delay, 0.8126, 0.052)
        for start in (0.123456, 3600.0)
        for late in (0.0, 90.0)
        for trace_id in ("XX.AAA.", "XX.AAA.10", "XX.N-1_b.00", "Z7.DYJN.1.")
        for phase, delay in (("P", 0.0), ("S", 2.0))
    ],
    creator="samba-nz",
)


@pytest.mark.parametrize("end", ["csv", "xml", "obs", "txt", "dat"])
def test_what_pick_writes_is_read_back_pick_by_pick(tmp_path, end: str) -> None:
    write = {"xml": PICKS.to_quakeml, "obs": PICKS.to_nlloc, "dat": PICKS.to_nlloc}.get(end, PICKS.to_csv)
    catalogue = read_catalogue(write(tmp_path / f"own.{end}"))
    exact = end not in ("obs", "dat")  # NLLOC_OBS has neither network nor location, and 0.1 ms
    given = [
        (p.trace_id if exact else f".{p.trace_id.split('.', 1)[1].rsplit('.', 1)[0]}.", p.phase, p.time) for p in PICKS
    ]
    read = [(p.station_id, p.phase, p.time) for p in catalogue.picks]
    assert len(read) == len(given)
    for a, b in zip(sorted(given, key=str), sorted(read, key=str), strict=True):
        assert a[:2] == b[:2]
        assert abs(a[2] - b[2]) <= (1e-6 if exact else 0.51e-4)
    assert all(math.isclose(p.uncertainty_s, 0.052, abs_tol=1e-6) for p in catalogue.picks)
    if exact:
        assert len(catalogue.events) == 4  # two pauses of 86 s and one of an hour part them
    assert any("grouped by pauses" in f.text for f in catalogue.findings)


def test_the_container_of_loose_picks_is_known_by_the_id_that_is_written() -> None:
    assert PICKS.to_catalog()[0].resource_id.id == UNASSOCIATED_ID


@pytest.mark.parametrize(
    "text",
    [
        "station_id,begin_time,phase_index,phase_time,phase_score,phase_type\n"
        "CI.CCC..BH,2020-01-01,100,2020-01-01T00:00:01.000,0.9,P\nCI.CCC.10.HH,2020-01-01,3,2020-01-01T00:00:03,0.5,S\n",
        "id\ttimestamp\tprob\ttype\tevent_index\nCI.CCC..BH\t2020-01-01T00:00:01.000\t0.9\tp\t7\n"
        "CI.CCC.10.HH\t2020-01-01T00:00:03\t0.5\ts\t7\n",
        "station,phase,time,probability\nCI.CCC.,P,1577836801.0,0.9\nCI.CCC.10,S,1577836803.0,0.5\n",
        "Network;Sta;Loc;Phase;Time\nCI;CCC;;Pg;2020-01-01 00:00:01\nCI;CCC;10;Sg;2020-01-01 00:00:03\n",
    ],
    ids=["phasenet", "gamma", "pyocto", "columns"],
)
def test_tables_of_other_programs_are_read_by_their_columns(tmp_path, text: str) -> None:
    (tmp_path / "picks").write_text(text)
    (event,) = read_catalogue(tmp_path / "picks").events
    assert [(p.station_id, p.phase, p.time - T0) for p in event.picks] == [
        ("CI.CCC.", "P", 1.0),
        ("CI.CCC.10", "S", 3.0),
    ]


def test_a_table_says_which_line_is_wrong(tmp_path) -> None:
    for row, said in (("XX.A.,P,yesterday,0.5", "line 3: time .* 'yesterday'"), ("XX.A.,P,12.5,0.5", "line 3: time")):
        (tmp_path / "a.csv").write_text(f"trace_id,phase,time,probability\nXX.A.,P,2020-01-01T00:00:00,1\n{row}\n")
        with pytest.raises(CampaignError, match=rf"a\.csv: {said}"):
            read_catalogue(tmp_path / "a.csv")


def test_picks_of_no_event_beside_events_are_unknown(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(
        "id,timestamp,prob,type,event_index\nXX.A.,2020-01-01T00:00:01,1,P,0\nXX.A.,2020-01-01T00:00:05,1,P,-1\n"
    )
    assert [p.usable for p in read_catalogue(tmp_path / "a.csv").picks] == [True, False]


def test_nonlinloc_observations_of_several_events_are_several_events(tmp_path) -> None:
    line = "UH{i} ? ? ? {p} ? 20200101 000{i} {s:.4f} GAU {e} -1.0 -1.0 -1.0\n"
    text = "".join(
        line.format(i=i, p="P", s=26.13, e="2e-2") + line.format(i=i, p="S", s=61.5, e="99999.9") + "\n"
        for i in range(3)
    )
    (tmp_path / "a.obs").write_text(text)
    events = read_catalogue(tmp_path / "a.obs").events
    assert [[(p.station_id, p.phase, p.usable) for p in e.picks] for e in events] == [
        [(f".UH{i}.", "P", True), (f".UH{i}.", "S", False)] for i in range(3)
    ]
    assert events[1].picks[1].time == UTCDateTime(2020, 1, 1, 0, 2, 1, 500000)


def test_hypodd_weights_below_zero_are_picks_that_count(tmp_path) -> None:
    (tmp_path / "a.pha").write_text(
        "# 2020 1 1 0 0 10.0 40.0 10.0 9.0 3.5 0.0 0.0 0.0 202\nFUR 3.5 -1.0 P\nWET 5.8 0.0 P\nUBR 2.4 0.5 P\n"
    )
    picks = read_catalogue(tmp_path / "a.pha").picks
    assert {p.station_id: p.usable for p in picks} == {".UBR.": True, ".FUR.": True, ".WET.": False}


@pytest.mark.filterwarnings("ignore")
def test_seisan_weight_four_is_unusable(tmp_path) -> None:
    events = without_ids(1)
    events[0].picks[0].extra = {"nordic_pick_weight": {"value": "4", "namespace": "https://seis.geus.net"}}
    picks = read_catalogue(write_nordic(tmp_path / "a.sfile", events)).picks
    assert [(p.phase, p.usable) for p in picks] == [("P", False), ("S", True)]


def two_origins(*, discarded: bool = False) -> Event:
    """An automatic P and an analyst's, 0.3 s later, each with its origin; the analyst's is preferred."""
    picks = [pick("S0", "P", T0 + 5.0), pick("S0", "P", T0 + 5.3)]
    picks[0].evaluation_mode, picks[1].evaluation_mode = "automatic", "manual"
    if discarded:
        picks[0].waveform_id.station_code = "S1"
    origins = [
        Origin(time=T0, latitude=1, longitude=1, arrivals=[Arrival(pick_id=p.resource_id, phase="P")]) for p in picks
    ]
    return Event(
        resource_id=ResourceIdentifier("smi:local/two"),
        picks=picks,
        origins=origins[::-1],
        preferred_origin_id=origins[1].resource_id,
    )


def test_the_pick_of_the_preferred_origin_goes_before_an_earlier_automatic_one() -> None:
    assert [p.time - T0 for p in read_catalogue([two_origins()]).picks] == [5.3]
    without = two_origins()
    without.preferred_origin_id = None
    for origin in without.origins:
        origin.arrivals = []
    assert [p.time - T0 for p in read_catalogue([without]).picks] == [5.3]  # manual before automatic


def test_an_automatic_pick_that_a_new_location_dropped_is_unknown() -> None:
    catalogue = read_catalogue([two_origins(discarded=True)])
    assert [(p.station_id, p.usable) for p in catalogue.picks] == [("XX.S1.", False), ("XX.S0.", True)]
    assert any("dropped when the event was located anew" in f.text for f in catalogue.findings)


def test_the_arrivals_phase_goes_before_the_hint() -> None:
    events = catalog([[pick("S0", "P", T0), pick("S1", "P", T0 + 1)]])
    events[0].origins[0].arrivals[1].phase = "S"
    catalogue = read_catalogue(events)
    assert [p.phase for p in catalogue.picks] == ["P", "S"]
    assert any("1 picks have another phase as hint" in f.text for f in catalogue.findings)


def test_of_two_readings_the_heavier_is_kept_but_pn_before_pg() -> None:
    same = catalog([[pick("S0", "S", T0), pick("S0", "S", T0 + 0.2)]], weights={1: 0.2, 2: 0.9})
    assert [p.time - T0 for p in read_catalogue(same).picks] == [0.2]
    crossing = catalog([[pick("S0", "Pn", T0), pick("S0", "Pg", T0 + 0.2)]], weights={1: 0.2, 2: 0.9})
    assert [p.time - T0 for p in read_catalogue(crossing).picks] == [0.0]


def test_picks_of_an_event_the_analyst_rejects_are_unknown() -> None:
    events = catalog([[pick("S0", "P", T0)], [pick("S0", "P", T0 + 60)], [pick("S0", "P", T0 + 120)]])
    events[0].origins[0].evaluation_status = "rejected"
    events[1].event_type = "not existing"
    assert [p.usable for p in read_catalogue(events).picks] == [False, False, True]
    # NonLinLoc's own "REJECTED" is about the location only: its readings stay labels.
    located = labelled_events(events, Tally(), format_name="NLLOC_HYP")
    assert [e.picks[0].usable for e in located] == [True, False, True]
