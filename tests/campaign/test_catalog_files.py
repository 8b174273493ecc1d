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
from phaseno_peft.campaign.obspy_events import labelled_events
from phaseno_peft.campaign.tally import Tally
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
    for row, message in (
        ("XX.A.,P,yesterday,0.5", "line 3: time .* 'yesterday'"),
        ("XX.A.,P,12.5,0.5", "line 3: time"),
    ):
        (tmp_path / "a.csv").write_text(f"trace_id,phase,time,probability\nXX.A.,P,2020-01-01T00:00:00,1\n{row}\n")
        with pytest.raises(CampaignError, match=rf"a\.csv: {message}"):
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


def test_hypodd_phases_are_read_as_obspy_reads_them_and_a_broken_line_is_named(tmp_path) -> None:
    """Ours read a hundred thousand picks in seconds, obspy's in a minute."""
    path = tmp_path / "a.pha"
    path.write_text(
        "# 2020 12 31 23 59 60.5 -40.0 10.0 9.0 nan 0.0 0.0 0.0 7\nFUR 3.25 1.0 P\nFUR 5.5 0.25 S\nFUR 6 1 Lg\n"
        "#2021 1 2 3 4 5.0 40.0 -10.0 -0.5 3.5 0.1 0.2 0.3 8\n\nUBR -2.4 0.5 P\n"
    )
    ours = read_catalogue(path)
    path.write_text(path.read_text().replace("#2021", "# 2021").replace("\n\n", "\n"))  # more than obspy takes
    theirs = read_catalogue(read_events(str(path), format="HYPODDPHA"))
    facts = [
        [
            (
                *(e.event_id, e.origin_time, e.latitude_deg, e.longitude_deg, e.depth_m),
                *((p.station_id, p.phase, p.phase_name, p.time.ns, p.usable, p.weight) for p in e.picks),
            )
            for e in catalogue.events
        ]
        for catalogue in (ours, theirs)
    ]
    assert facts[0] == facts[1]
    assert [f.text for f in ours.findings] == ["a.pha: 1 picks of phase 'Lg' are neither P nor S and are left out."]
    for broken in ("UBR 2.4 0.5", "UBR x 0.5 P", "UBR 2.4 nan P", "UBR 1e999 1 P", "# 2021 1 2 3 4 5.0 40.0"):
        path.write_text(f"# 2020 1 1 0 0 10.0 40.0 10.0 9.0 3.5 0.0 0.0 0.0 202\n{broken}\n")
        with pytest.raises(CampaignError, match=r"a\.pha: line 2: .* is not in the columns of a HypoDD phase file"):
            read_catalogue(path)


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


EQT = (
    "file_name,network,station,instrument_type,p_arrival_time,p_probability,p_uncertainty,s_arrival_time,s_probability\n"
    "x,CI,CCC  ,BH,2020-01-01 00:00:01.000,0.9,,2020-01-01 00:00:03.0,0.8\n"
    "y,CI,DDD  ,BH,2020-01-01 00:00:02.000,0.7,0.3,,\n"
)
SEISBENCH = (
    "trace_start_time,trace_sampling_rate_hz,station_network_code,station_code,station_location_code,source_id,"
    "trace_P_arrival_sample,trace_P_status,trace_Sn_arrival_sample,trace_P_uncertainty_s\n"
    "2020/01/01 00:00:00.00,50,CI,CCC,,ev1,50,manual,150.0,0.05\n"
    "2020-01-01T00:00:00.00Z,100,CI,DDD,10,ev1,200,automatic,nan,\n"
)


def test_tables_with_one_column_a_phase_give_each_pick(tmp_path) -> None:
    (tmp_path / "X_prediction_results.csv").write_text(EQT)
    (event,) = read_catalogue(tmp_path / "X_prediction_results.csv").events
    assert [(p.station_id, p.phase, p.time - T0, p.weight, p.is_automatic, p.uncertainty_s) for p in event.picks] == [
        ("CI.CCC.", "P", 1.0, 0.9, True, None),
        ("CI.DDD.", "P", 2.0, 0.7, True, None),  # EQTransformer's uncertainties are of probabilities
        ("CI.CCC.", "S", 3.0, 0.8, True, None),
    ]
    (tmp_path / "metadata.csv").write_text(SEISBENCH)
    (event,) = read_catalogue(tmp_path / "metadata.csv").events
    assert [
        (p.station_id, p.phase_name, p.time - T0, p.is_automatic, p.uncertainty_s) for p in event.picks
    ] == [
        ("CI.CCC.", "p", 1.0, False, 0.05),
        ("CI.DDD.10", "p", 2.0, True, None),
        ("CI.CCC.", "sn", 3.0, False, None),
    ]  # fmt: skip


def test_seisbench_metadata_without_arrivals_or_rate_is_refused(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("trace_start_time,station_code\n2020-01-01T00:00:00,CCC\n")
    with pytest.raises(CampaignError, match=r"a\.csv: is SeisBench metadata without arrivals"):
        read_catalogue(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text(SEISBENCH.replace(",50,CI", ",,CI"))
    with pytest.raises(CampaignError, match=r"b\.csv: line 2: trace_p_arrival_sample is 50 at a sampling rate of"):
        read_catalogue(tmp_path / "b.csv")


def test_the_table_of_real_has_its_phase_in_the_ending(tmp_path) -> None:
    text = "2020,01,01,CI,CCC,1,1.5,0.645,0.0132\n2020,1,1,CI,DDD,1,2.25,0.9,6.6e-05\n"
    (tmp_path / "temp.p").write_text(text)
    (tmp_path / "temp.s").write_text(text.replace(",1.5,", ",3.5,").replace(",2.25,", ",4.5,"))
    (event,) = read_catalogue(tmp_path).events
    assert [(p.station_id, p.phase, p.time - T0) for p in event.picks] == [
        ("CI.CCC.", "P", 1.5),
        ("CI.DDD.", "P", 2.25),
        ("CI.CCC.", "S", 3.5),
        ("CI.DDD.", "S", 4.5),
    ]
    (tmp_path / "picks.txt").write_text(text)
    with pytest.raises(CampaignError, match=r"picks\.txt: holds REAL's picks, whose phase only the file's ending"):
        read_catalogue(tmp_path / "picks.txt")
    (tmp_path / "bad.p").write_text(text + "2020,13,1,CI,CCC,1,1.5,0.645,0.0132\n")
    with pytest.raises(CampaignError, match=r"bad\.p: line 3"):
        read_catalogue(tmp_path / "bad.p")


def test_picks_without_events_are_grouped_over_all_files_of_a_folder(tmp_path) -> None:
    for station in ("AAA", "BBB"):  # one file a station, as EQTransformer writes
        (tmp_path / f"{station}.csv").write_text(EQT.replace("CCC", station).partition("\ny,")[0])
    (tmp_path / "copy.csv").write_text((tmp_path / "AAA.csv").read_text())
    catalogue = read_catalogue(tmp_path)
    assert [len(e.picks) for e in catalogue.events] == [4]
    assert any("2 picks are given in several files; each is kept once" in f.text for f in catalogue.findings)


def scml(path: Path, parts: str) -> Path:
    path.write_text(
        '<?xml version="1.0"?><seiscomp xmlns="http://geofon.gfz-potsdam.de/ns/seiscomp3-schema/0.12" version="0.12">'
        f"<EventParameters>{parts}</EventParameters></seiscomp>"
    )
    return path


def scml_pick(name: str, phase: str, second: int) -> str:
    return (
        f'<pick publicID="smi:local/{name}"><time><value>2020-01-01T00:00:{second:02d}.5Z</value>'
        "<lowerUncertainty>0.02</lowerUncertainty><upperUncertainty>0.04</upperUncertainty></time>"
        f'<waveformID networkCode="CH" stationCode="{name}" locationCode="10" channelCode="HHZ"/>'
        f"<phaseHint>{phase}</phaseHint><evaluationMode>automatic</evaluationMode></pick>"
    )


def test_scml_picks_of_no_event_and_origins_of_no_event_are_read(tmp_path) -> None:
    origin = (
        '<origin publicID="smi:local/o"><time><value>2020-01-01T00:00:01Z</value></time><latitude><value>46</value>'
        "</latitude><longitude><value>7</value></longitude>"
        "<arrival><pickID>smi:local/A</pickID><phase>P</phase></arrival></origin>"
    )
    path = scml(tmp_path / "a.scml", scml_pick("A", "P", 2) + scml_pick("B", "S", 40) + origin)
    located, loose = read_catalogue(path).events
    assert (located.event_id, located.origin_time, located.latitude_deg) == ("smi:local/o/event", T0 + 1, 46.0)
    assert [(p.pick_id, p.station_id, p.phase, p.time - T0) for p in located.picks] == [
        ("smi:local/A", "CH.A.10", "P", 2.5)
    ]
    assert [(p.pick_id, p.phase, p.is_automatic) for p in loose.picks] == [("smi:local/B", "S", True)]
    assert loose.picks[0].uncertainty_s == pytest.approx(0.03)
    bad = scml(tmp_path / "b.scml", scml_pick("A", "P", 2).replace("2020-01-01T00:00:02.5Z", "yesterday"))
    with pytest.raises(CampaignError, match=r"b\.scml: not readable as SCML"):
        read_catalogue(bad)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1\x15\x04", "is a Parquet table, which needs pyarrow|damaged or not readable as Parquet"),
        (b"\x80\x04\x95\x8e\x05\x00", "is a Python pickle, which could run code"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is an old Excel"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_kind(tmp_path, content: bytes, message: str) -> None:
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(CampaignError, match=message):
        read_catalogue(tmp_path / "a.dat")


def test_a_first_line_says_what_other_columns_mean(tmp_path) -> None:
    table = "Geophone;Wave;Arrival;time\nA1;P;2020-01-01T00:00:01.5;x\nA1;S;2020-01-01T00:00:02;x\n"
    (tmp_path / "a.csv").write_text(f"# Columns: station=geophone, phase=Wave, time=Arrival\n{table}")
    picks = read_catalogue(tmp_path / "a.csv").picks
    assert [(p.station_id, p.phase, p.time - T0) for p in picks] == [(".A1.", "P", 1.5), (".A1.", "S", 2.0)]
    for line, said in (
        ("# columns: station=geophone, phase=Wave, time=Onset", "line 1 names a column 'onset', which is not in"),
        ("# columns: station=geophone, wave=Wave", "line 1: 'wave=Wave' is not OURS=THEIRS. Ours are id, network"),
        ("# columns: station=geophone, phase=Wave", "line 3: time should be like"),
    ):
        (tmp_path / "a.csv").write_text(f"{line}\n{table}")
        with pytest.raises(CampaignError, match=said):
            read_catalogue(tmp_path / "a.csv")


def test_times_that_nobody_can_believe_cost_their_picks_only(tmp_path) -> None:
    """Nordic's seconds may be -1e39, whose year no calendar names; such a time cannot even be printed."""
    path = write_nordic(tmp_path / "a.sfile", without_ids(2))
    text = path.read_text()
    path.write_text(text.replace(" 3.000 ", " -1e39 ", 1))
    catalogue = read_catalogue(path)
    assert len(catalogue.picks) == 3
    assert all(str(p.time).startswith("2020") for p in catalogue.picks)
    assert any("1 picks have a time outside the years 1900 to 2100" in f.text for f in catalogue.findings)
    (tmp_path / "picks.csv").write_text("station,phase,time\nAAA,P,9999-01-01T00:00:00\nAAA,P,2020-01-01T00:00:00\n")
    (pick,) = read_catalogue(tmp_path / "picks.csv").picks
    assert pick.time == T0


def test_a_stated_uncertainty_below_zero_is_none() -> None:
    event = catalog([[pick("S0", "P", T0)]])
    event[0].picks[0].time_errors.uncertainty = -1.0
    assert read_catalogue(event).picks[0].uncertainty_s is None
