"""The pick list and its files, read back with obspy, pandas and ourselves."""

from __future__ import annotations

import builtins
import math
import pickle
from pathlib import Path

import obspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import UTCDateTime

from phaseno_peft.campaign import read_catalogue
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.files import write_file
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.csv_files import HEADER
from phaseno_peft.picks.event_files import FALLBACK_UNCERTAINTY_S

T0 = UTCDateTime("2013-09-05T02:08:14.123456Z")
PICKS = PickList(
    [
        Pick("NZ.GCSZ.", "S", T0 + 1.5, 0.55, 0.08),
        Pick("NZ.GCSZ.", "P", T0, 0.83, 0.02),
        Pick("9F.SAMBA.10", "P", T0 + 0.25, 0.9712345, 0.031),
    ],
    creator="samba-nz",
)


def nearly(pick: Pick, other: Pick) -> bool:
    return (
        (pick.trace_id, pick.phase) == (other.trace_id, other.phase)
        and abs(pick.time - other.time) <= 1e-6
        and math.isclose(pick.probability, other.probability, abs_tol=1e-6)
        and math.isclose(pick.uncertainty_s, other.uncertainty_s, abs_tol=1e-6)
    )


def test_select_takes_a_pattern_of_the_whole_trace_id_a_phase_and_a_probability() -> None:
    assert [p.trace_id for p in PICKS.select(trace_id=r"NZ\..*")] == ["NZ.GCSZ.", "NZ.GCSZ."]
    assert PICKS.select(trace_id="GCSZ") == []
    assert len(PICKS.select(phase="P")) == 2
    assert PICKS.select(phase="P", min_probability=0.9)[0].trace_id == "9F.SAMBA.10"
    assert PICKS.select().creator == "samba-nz"
    with pytest.raises(PhasenoPeftError, match=r"\*bad"):
        PICKS.select(trace_id="*bad")


def test_sorted_and_slices_are_pick_lists_of_the_same_creator() -> None:
    ordered = PICKS.sorted()
    assert [p.phase for p in ordered] == ["P", "P", "S"]
    assert isinstance(ordered[:2], PickList)
    assert ordered[:2].creator == "samba-nz"
    assert repr(ordered) == "PickList(3 picks by 'samba-nz': 2 P, 1 S)"
    assert repr(PickList()) == "PickList(0 picks by 'frozen': none)"


def test_pick_list_survives_pickling_as_worker_processes_need() -> None:
    copy = pickle.loads(pickle.dumps(PICKS))
    assert copy == PICKS
    assert copy.creator == "samba-nz"


def test_csv_has_the_documented_text(tmp_path: Path) -> None:
    text = PICKS.to_csv(tmp_path / "picks.csv").read_text()
    assert text.splitlines()[:2] == [
        "station,phase,time,probability,uncertainty_s",
        "NZ.GCSZ.,S,2013-09-05T02:08:15.623456Z,0.550000,0.080000",
    ]


def test_a_file_of_before_with_its_station_column_called_trace_id_is_read(tmp_path: Path) -> None:
    text = PICKS.to_csv(tmp_path / "picks.csv").read_text()
    assert text.startswith("station,")
    (tmp_path / "earlier.csv").write_text(text.replace("station,", "trace_id,", 1))
    assert PickList.from_csv(tmp_path / "earlier.csv") == PickList.from_csv(tmp_path / "picks.csv")
    for name in ("earlier.csv", "picks.csv"):  # also as a catalogue
        assert {p.station_id for p in read_catalogue(tmp_path / name).picks} == {"NZ.GCSZ.", "9F.SAMBA.10"}


def test_who_comes_from_seisbench_finds_picks_peak_times_and_peak_values() -> None:
    output = PICKS.sorted()
    assert output.picks is output
    assert [(p.peak_time, p.peak_value) for p in output.picks] == [(p.time, p.probability) for p in output]
    assert output.select(phase="S").picks.creator == output.creator == "samba-nz"


def test_tables_files_and_associators_call_the_station_column_alike(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    header = PICKS.to_csv(tmp_path / "picks.csv").read_text().splitlines()[0].split(",")
    assert "station" in set(header) & set(PICKS.to_dataframe().columns) & set(PICKS.to_pyocto().columns)


def test_empty_list_gives_a_header_only_and_reads_back_empty(tmp_path: Path) -> None:
    path = PickList().to_csv(tmp_path / "picks.csv")
    assert path.read_text() == ",".join(HEADER) + "\n"
    assert PickList.from_csv(path) == []


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Pick,
            trace_id=st.from_regex(r"[A-Z0-9]{1,2}\.[A-Z0-9]{1,5}\.([0-9]{2})?", fullmatch=True),
            phase=st.sampled_from("PS"),
            time=st.integers(0, 4_000_000_000 * 10**9).map(lambda ns: UTCDateTime(ns=ns)),
            probability=st.floats(0, 1),
            uncertainty_s=st.floats(0, 100),
        ),
        max_size=5,
    )
)
def test_csv_round_trip_keeps_every_pick_to_a_microsecond(
    tmp_path_factory: pytest.TempPathFactory, picks: list[Pick]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "picks.csv"
    PickList(picks).to_csv(path)
    back = PickList.from_csv(path)
    assert len(back) == len(picks)
    assert all(nearly(pick, other) for pick, other in zip(picks, back, strict=True))
    first = path.read_bytes()
    assert back.to_csv(path).read_bytes() == first


def test_pick_without_an_uncertainty_has_an_empty_field(tmp_path: Path) -> None:
    path = PickList([Pick("NZ.GCSZ.", "P", T0, 0.5, math.nan)]).to_csv(tmp_path / "picks.csv")
    assert path.read_text().endswith(",0.500000,\n")
    assert math.isnan(PickList.from_csv(path)[0].uncertainty_s)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("NZ.GCSZ,P,2013-09-05T02:08:14Z,0.5,0.1", "line 3: station should be NET.STA.LOC .* 'NZ.GCSZ'"),
        ("NZ.GCSZ.,Pn,2013-09-05T02:08:14Z,0.5,0.1", "line 3: phase should be P or S but is 'Pn'"),
        ("NZ.GCSZ.,P,1378346894.1,0.5,0.1", "line 3: time .* '1378346894.1'"),
        ("NZ.GCSZ.,P,2013-13-05T02:08:14Z,0.5,0.1", "line 3: time .* '2013-13-05T02:08:14Z'"),
        ("NZ.GCSZ.,P,2013-09-05T02:08:14Z,50,0.1", "line 3: probability .* between 0 and 1 but is '50'"),
        ("NZ.GCSZ.,P,2013-09-05T02:08:14Z,nan,0.1", "line 3: probability"),
        ("NZ.GCSZ.,P,2013-09-05T02:08:14Z,0.5,-1", "line 3: uncertainty_s .* not below 0 but is '-1'"),
        ("NZ.GCSZ.,P", "line 3: time"),
    ],
)
def test_wrong_csv_line_is_named_with_file_and_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "picks.csv"
    path.write_text(f"{','.join(HEADER)}\nNZ.GCSZ.,P,2013-09-05T02:08:14Z,0.5,0.1\n{line}\n")
    with pytest.raises(PhasenoPeftError, match=rf"picks\.csv: {message}"):
        PickList.from_csv(path)


def test_csv_without_a_column_or_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picks.csv"
    path.write_text("station,phase,time\n")
    with pytest.raises(PhasenoPeftError, match="line 1 lacks the column 'probability'"):
        PickList.from_csv(path)
    with pytest.raises(PhasenoPeftError, match=r"absent\.csv: cannot be read"):
        PickList.from_csv(tmp_path / "absent.csv")


def test_csv_may_have_further_columns_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "picks.csv"
    path.write_text(
        "\ufeffphase,station,time,probability,uncertainty_s,snr\nP,NZ.GCSZ.,2013-09-05 02:08:14,0.5,0.1,7\n",
        encoding="utf-8",
    )
    assert PickList.from_csv(path) == [Pick("NZ.GCSZ.", "P", UTCDateTime("2013-09-05T02:08:14"), 0.5, 0.1)]


def test_quakeml_reads_back_with_every_field(tmp_path: Path) -> None:
    catalog = obspy.read_events(PICKS.to_quakeml(tmp_path / "picks.xml"), format="QUAKEML")
    assert len(catalog) == 1
    event = catalog[0]
    assert event.resource_id.id == "smi:local/phaseno-peft/unassociated"
    assert "not associated" in event.comments[0].text
    assert event.origins == []
    assert len(event.picks) == 3
    for pick, ours in zip(event.picks, PICKS, strict=True):
        assert pick.time == ours.time
        assert pick.time_errors.uncertainty == ours.uncertainty_s
        assert pick.phase_hint == ours.phase
        assert (pick.evaluation_mode, pick.evaluation_status) == ("automatic", "preliminary")
        assert pick.method_id.id == "smi:local/phaseno-peft/samba-nz"
        wid = pick.waveform_id
        assert f"{wid.network_code}.{wid.station_code}.{wid.location_code}" == ours.trace_id
        assert wid.channel_code is None
        assert pick.comments[0].text == f"probability={ours.probability:.2f}"
    assert event.picks[1].comments[0].text == "probability=0.83"


def test_quakeml_is_valid_and_the_same_each_time(tmp_path: Path) -> None:
    first = PICKS.to_quakeml(tmp_path / "first.xml").read_bytes()
    assert PICKS.to_quakeml(tmp_path / "second.xml").read_bytes() == first
    PICKS.to_catalog().write(str(tmp_path / "valid.xml"), format="QUAKEML", validate=True)


def test_quakeml_of_no_picks_and_of_doubles_can_be_read(tmp_path: Path) -> None:
    assert obspy.read_events(PickList().to_quakeml(tmp_path / "none.xml"))[0].picks == []
    doubles = obspy.read_events(PickList([PICKS[0], PICKS[0]]).to_quakeml(tmp_path / "doubles.xml"))[0].picks
    assert len({pick.resource_id.id for pick in doubles}) == 2


@pytest.mark.parametrize(
    ("creator", "method"),
    [
        ("org/phaseno-ohio@a1b2c3", "org/phaseno-ohio#a1b2c3"),
        ("mine depth 3", "mine-depth-3"),
        ("", "unknown"),
        ("größer", "gr--er"),
    ],
)
def test_creator_of_any_name_gives_a_valid_identifier(tmp_path: Path, creator: str, method: str) -> None:
    catalog = PickList(PICKS, creator=creator).to_catalog()
    catalog.write(str(tmp_path / "picks.xml"), format="QUAKEML", validate=True)
    assert catalog[0].picks[0].method_id.id == f"smi:local/phaseno-peft/{method}"
    assert catalog[0].picks[0].method_id.get_quakeml_uri_str() == catalog[0].picks[0].method_id.id


def test_trace_id_that_names_no_location_field_is_refused_by_quakeml() -> None:
    with pytest.raises(PhasenoPeftError, match=r"'NZ\.GCSZ'"):
        PickList([Pick("NZ.GCSZ", "P", T0, 0.5, 0.1)]).to_catalog()


def test_nlloc_lines_hold_station_phase_time_and_uncertainty(tmp_path: Path) -> None:
    """Obspy cannot read NLLOC_OBS; the fields are those of the NonLinLoc manual, "Phase file format"."""
    header, *lines = PICKS.to_nlloc(tmp_path / "picks.obs").read_text().splitlines()
    assert header == "PUBLIC_ID smi:local/phaseno-peft/unassociated"
    fields = {(f[0], f[4]): f for f in (line.split() for line in lines)}
    assert len(fields) == len(lines) == 3
    for ours in PICKS:
        f = fields[ours.trace_id.split(".")[1], ours.phase]
        when = UTCDateTime(f"{f[6]}T{f[7]}") + float(f[8])
        assert abs(when - ours.time) <= 0.51e-4
        assert f[9] == "GAU"
        assert float(f[10]) == pytest.approx(ours.uncertainty_s, rel=0.01)


def test_nlloc_never_writes_a_missing_or_zero_uncertainty_or_sixty_seconds(tmp_path: Path) -> None:
    late = UTCDateTime("2013-09-05T02:08:59.99997Z")
    path = PickList([Pick("NZ.A.", "P", late, 0.5, 0.0), Pick("NZ.B.", "P", late, 0.5, math.nan)]).to_nlloc(
        tmp_path / "picks.obs"
    )
    lines = path.read_text().splitlines()[1:]
    assert len(lines) == 2
    for line in lines:
        fields = line.split()
        assert fields[6:9] == ["20130905", "0209", "0.0000"]
        assert float(fields[10]) == FALLBACK_UNCERTAINTY_S


def test_nlloc_of_no_picks_is_an_empty_file(tmp_path: Path) -> None:
    assert PickList().to_nlloc(tmp_path / "picks.obs").read_bytes() == b""


def test_dataframe_has_the_columns_seisbench_users_expect() -> None:
    pandas = pytest.importorskip("pandas")
    frame = PICKS.to_dataframe()
    assert list(frame.columns) == ["station", "time", "probability", "uncertainty_s", "phase"]
    assert frame["time"][1] == pandas.Timestamp("2013-09-05T02:08:14.123456")
    assert frame.loc[2, "station"] == "9F.SAMBA.10"
    empty = PickList().to_dataframe()
    assert len(empty) == 0
    assert (empty.dtypes == frame.dtypes).all()


def test_pyocto_table_has_unix_seconds_and_the_station_names_asked_for() -> None:
    pytest.importorskip("pandas")
    table = PICKS.to_pyocto()
    assert list(table.columns) == ["station", "phase", "time", "probability"]
    assert table["time"][1] == pytest.approx(1378346894.123456, abs=1e-6)  # 2013-09-05T02:08:14.123456Z
    assert list(PICKS.to_pyocto("ns")["station"]) == ["NZ.GCSZ", "NZ.GCSZ", "9F.SAMBA"]
    assert list(PICKS.to_pyocto("sta")["station"]) == ["GCSZ", "GCSZ", "SAMBA"]
    with pytest.raises(PhasenoPeftError, match="'id'"):
        PICKS.to_pyocto("id")  # type: ignore[arg-type]  # a wrong word on purpose


def test_without_pandas_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pandas(name: str, *args: object, **kwargs: object) -> object:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    for method in (PICKS.to_dataframe, PICKS.to_pyocto):
        with pytest.raises(PhasenoPeftError, match="pip install pandas"):
            method()


def test_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picks.csv"
    path.write_text("old")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(PhasenoPeftError, match=r"picks\.csv: cannot be written: No space left"):
        PICKS.to_csv(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_into_an_absent_folder_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(PhasenoPeftError, match="absent"):
        write_file(tmp_path / "absent" / "picks.csv", b"")
