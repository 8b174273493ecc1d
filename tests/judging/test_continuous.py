"""Lists of any program against a catalogue on continuous time: what is right, wrong, unseen and not judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, Trace, UTCDateTime
from typer.testing import CliRunner

from phaseno_peft import score_picks
from phaseno_peft.campaign import Catalogue, CatalogueEvent, LabelledPick
from phaseno_peft.cli.app import app
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.judging.continuous import common_names, recorded_spans, score_table
from phaseno_peft.picks import Pick, PickList

T0 = UTCDateTime("2020-02-01T00:00:00Z")


def record(*ids: str, first_s: float = 0.0, seconds: float = 600.0) -> Stream:
    header = {"sampling_rate": 100.0, "starttime": T0 + first_s}
    traces = []
    for trace_id in ids:
        trace = Trace(np.zeros(round(100 * seconds), np.int32), header)
        trace.id = trace_id
        traces.append(trace)
    return Stream(traces)


def catalogue(*labels: tuple[str, str, str, float], doubtful: int = -1) -> Catalogue:
    """(event, station, phase, seconds after T0); the label of number `doubtful` has weight 0."""
    events: dict[str, list[LabelledPick]] = {}
    for n, (event, station, phase, at) in enumerate(labels):
        events.setdefault(event, []).append(
            LabelledPick(str(n), event, station, phase, T0 + at, None, usable=n != doubtful, number=n)
        )
    return Catalogue(tuple(CatalogueEvent(e, None, None, None, None, tuple(p)) for e, p in events.items()), "book.xml")


def picks(*made: tuple[str, str, float]) -> PickList:
    return PickList([Pick(station, phase, T0 + at, 0.9, 0.02) for station, phase, at in made])


BOOK = catalogue(
    ("a", "XX.A.", "P", 100.0), ("a", "XX.A.", "S", 103.0), ("a", "XX.B.", "P", 101.0), ("b", "XX.A.", "P", 300.0)
)
RECORD = record("XX.A..HHZ", "XX.B..HHZ")


def counts(made: object, phase: str = "P", tolerance_s: float = 0.5) -> tuple[int, int, int, int]:
    key = phase, tolerance_s
    score = made.phases[key]  # type: ignore[attr-defined]  # a ListScore
    return score.tp, score.fn, score.fp, made.not_judged[key]  # type: ignore[attr-defined]


def test_found_missed_false_and_not_judged_worked_by_hand() -> None:
    mine = picks(
        ("XX.A.", "P", 100.2),  # right within 0.5 s, not within 0.1 s
        ("XX.A.", "P", 102.0),  # false: the analyst picked P of this event here
        ("XX.B.", "P", 101.05),  # right
        ("XX.B.", "S", 104.0),  # nobody picked S at B: not judged
        ("XX.A.", "P", 500.0),  # no event: not judged
    )
    made = score_picks(mine, BOOK, RECORD)
    assert counts(made) == (2, 1, 1, 1)
    assert counts(made, tolerance_s=0.1) == (1, 2, 2, 1)
    assert counts(made, "S") == (0, 1, 0, 1)
    assert made.phases["P", 0.5].residuals_s == pytest.approx((0.2, 0.05))
    assert counts(score_picks(mine, BOOK, RECORD, every_arrival=True)) == (2, 1, 2, 0)
    row = next(r for r in made.rows if r["outcome"] == "found" and r["station"] == "XX.B")
    assert (row["residual_s"], row["event"], row["phase"]) == (0.05, "a", "P")
    text = score_table(made).markdown()
    assert "| P | 0.5 s | 0.667 | 0.667 [" in text


def test_labels_that_no_record_holds_are_told_and_not_counted() -> None:
    cut = record("XX.A..HHZ", seconds=200.0) + record("XX.A..HHE", first_s=100.0, seconds=150.0)
    made = score_picks(picks(("XX.A.", "P", 100.0), ("XX.C.", "P", 100.0), ("XX.A.", "P", 599.0)), BOOK, cut)
    assert counts(made) == (1, 0, 0, 0)
    told = made.completeness
    assert (told.labels, told.labels_recorded, told.picks, told.picks_recorded) == (4, 2, 3, 1)
    assert told.stations_without_record == ("XX.B",)
    assert told.hours == told.station_hours == pytest.approx(250 / 3600, abs=1e-5)
    assert "hold 2 of 4 labels and 1 of 3 picks" in str(told)


def test_a_label_of_weight_0_makes_a_pick_neither_right_nor_wrong_and_is_not_missed() -> None:
    book = catalogue(("a", "XX.A.", "P", 100.0), ("a", "XX.A.", "P", 104.0), doubtful=1)
    assert counts(score_picks(picks(("XX.A.", "P", 104.1)), book, RECORD, every_arrival=True)) == (0, 1, 0, 1)
    assert counts(score_picks(picks(("XX.A.", "P", 100.1)), book, RECORD, every_arrival=True)) == (1, 0, 0, 0)


def test_the_same_picks_are_all_found_and_the_interval_holds_the_recall() -> None:
    everything = picks(*((p.station_id, p.phase, p.time - T0) for e in BOOK.events for p in e.picks))
    made = score_picks(everything, BOOK, RECORD)
    assert counts(made, tolerance_s=0.1) == (3, 0, 0, 0)
    assert made.recall_95["P", 0.1] == (1.0, 1.0)
    half = score_picks(picks(("XX.A.", "P", 100.0), ("XX.B.", "P", 101.0)), BOOK, RECORD)
    low, high = half.recall_95["P", 0.5]
    assert (low, high) == (0.0, 1.0)  # two events, one of them found
    assert half.to_json()["scores"][0]["recall"] == pytest.approx(2 / 3)


def test_stations_are_the_same_where_a_list_leaves_out_their_codes() -> None:
    recorded = ["XX.A.00", "XX.A.10", "YY.B."]
    assert common_names(recorded, ["XX.A.00", "XX.A.10"]) == {i: i for i in recorded}
    loose = common_names(recorded, ["XX.A.00", "XX.A.", ".B.", "ZZ.C."])
    assert loose == {"XX.A.00": "XX.A", "XX.A.10": "XX.A", "XX.A.": "XX.A", ".B.": "YY.B", "YY.B.": "YY.B"}
    made = score_picks(picks((".A.", "P", 100.0)), BOOK, RECORD)
    assert counts(made)[0] == 1


def test_lists_of_other_programs_are_read(tmp_path: Path) -> None:
    mine = picks(("XX.A.", "P", 100.1), ("XX.B.", "P", 101.1), ("XX.A.", "P", 300.1))
    file = mine.to_csv(tmp_path / "ours.csv")
    mine.to_quakeml(tmp_path / "ours.xml")
    phasenet = tmp_path / "phasenet.csv"
    phasenet.write_text(
        "station_id,begin_time,phase_index,phase_time,phase_score,phase_type\n"
        "XX.A.,2020-02-01T00:00:00.000,10010,2020-02-01T00:01:40.100,0.9,P\n"
    )
    for path, found in ((tmp_path / "ours.csv", 3), (tmp_path / "ours.xml", 3), (phasenet, 1)):
        assert counts(score_picks(path, BOOK, RECORD))[0] == found, file


def test_the_command_prints_scores_and_what_the_records_hold(tmp_path: Path) -> None:
    RECORD.write(str(tmp_path / "record.mseed"), format="MSEED")
    picks(("XX.A.", "P", 100.1), ("XX.B.", "P", 101.1)).to_csv(tmp_path / "mine.csv")
    picks(("XX.A.", "P", 100.0), ("XX.B.", "P", 101.0), ("XX.B.", "P", 900.0)).to_quakeml(tmp_path / "book.xml")
    command = [
        "score",
        str(tmp_path / "mine.csv"),
        str(tmp_path / "book.xml"),
        "--waveforms",
        str(tmp_path / "record.mseed"),
    ]
    shown = CliRunner().invoke(app, [*command, "--tolerance", "0.5", "--quiet"])
    assert shown.exit_code == 0, shown.output
    assert "hold 2 of 3 labels and 2 of 2 picks" in shown.output
    told = json.loads(CliRunner().invoke(app, [*command, "--tolerance", "0.05", "--json"]).stdout)
    assert [(row["phase"], row["found"], row["missed"]) for row in told["scores"]] == [("P", 0, 2), ("S", 0, 0)]
    assert {row["outcome"] for row in told["picks"]} == {"missed", "false"}


def test_lists_that_have_nothing_in_common_are_refused_with_both_times() -> None:
    late = record("XX.A..HHZ", first_s=86400.0)
    with pytest.raises(
        CampaignError, match=r"book\.xml: none of its 4 labels, from 2020-02-01T00:01:40.* from 2020-02-02"
    ):
        score_picks(picks(("XX.A.", "P", 100.0)), BOOK, late)
    with pytest.raises(CampaignError, match="none of its 1 picks"):
        score_picks(picks(("XX.C.", "P", 100.0)), BOOK, RECORD)
    with pytest.raises(PhasenoPeftError, match="`tolerance` should be between 0 and 60 s"):
        score_picks(picks(("XX.A.", "P", 100.0)), BOOK, RECORD, tolerance=0.0)
    with pytest.raises(CampaignError):
        recorded_spans(Stream())


def test_a_list_whose_picks_stand_in_one_event_keeps_them_all(tmp_path: Path) -> None:
    mine = [("XX.A.", "P", 100.0), ("XX.A.", "S", 103.0), ("XX.B.", "P", 101.0), ("XX.A.", "P", 300.0)]
    rows = [f"1,{station},{phase},{T0 + at}" for station, phase, at in mine]
    one_event = tmp_path / "one-event.csv"
    one_event.write_text("event,station,phase,time\n" + "\n".join(rows) + "\n")
    made = score_picks(one_event, BOOK, RECORD)
    assert counts(made) == (3, 0, 0, 0)
    assert made.completeness.picks == 4
    twice = tmp_path / "twice.csv"
    twice.write_text("event,station,phase,time\n" + "\n".join(rows * 2) + "\n")
    again = score_picks(twice, BOOK, RECORD)
    assert counts(again) == (3, 0, 0, 0)
    assert any("4 picks stand there twice" in finding.text for finding in again.findings)
    assert any("twice" in text for text in again.to_json()["findings"])


def test_a_picker_that_found_nothing_scores_zero(tmp_path: Path) -> None:
    empty = tmp_path / "none.csv"
    empty.write_text("station,phase,time\n")
    made = score_picks(empty, BOOK, RECORD)
    assert counts(made) == (0, 3, 0, 0)
    rows = {(row["phase"], row["tolerance_s"]): row for row in made.table()}
    assert rows["P", 0.5]["recall"] == 0.0
    only_p = score_picks(picks(("XX.A.", "P", 100.0)), catalogue(("a", "XX.A.", "P", 100.0)), RECORD)
    of_s = next(row for row in only_p.table() if row["phase"] == "S")
    assert (of_s["f1"], of_s["f1_low"], of_s["recall_high"]) == (None, None, None)
    assert "- [-, -]" in score_table(only_p).markdown()


def test_a_site_s_second_sensor_is_no_false_pick_where_the_catalogue_names_sites() -> None:
    two = record("XX.A.00.HHZ", "XX.A.10.HHZ")
    book = catalogue(("a", "XX.A.", "P", 100.0))
    mine = picks(("XX.A.00", "P", 100.0), ("XX.A.10", "P", 100.02), ("XX.A.10", "P", 102.0))
    assert counts(score_picks(mine, book, two)) == (1, 0, 1, 1)
