"""Where picks go, and under which ids they are told again."""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.live.outputs import JsonLines, Webhook, open_output
from phaseno_peft.live.reports import Report, ReportedPicks
from phaseno_peft.picks import Pick
from tests.live.feeds import T0

STEP_NS = 1_000_000_000


def pick(at_s: float, probability: float = 0.8, station: str = "XX.A.") -> Pick:
    return Pick(station, "P", T0 + at_s, probability, 0.05)


def told(reported: ReportedPicks, picks: list[Pick], end_s: float) -> list[Report]:
    at = [T0.ns + round(t * STEP_NS) for t in (end_s - 35.0, end_s - 30.0, end_s)]
    return reported.update(picks, complete_ns=at[0], certain_ns=at[1], end_ns=at[2], wall=lambda _: (1.0, 0.5))


def test_a_pick_is_told_replaced_confirmed_and_withdrawn() -> None:
    reported = ReportedPicks()
    (first,) = told(reported, [pick(40.0)], 50.0)
    assert (first.status, first.replaces, first.id) == ("preliminary", None, "XX.A./P/20240501T000040.000/0")
    assert told(reported, [pick(40.01)], 52.0) == []  # it moved by less than is told
    (moved,) = told(reported, [pick(40.2)], 54.0)
    assert (moved.status, moved.replaces, moved.id) == ("preliminary", first.id, "XX.A./P/20240501T000040.200/1")
    (other,) = told(reported, [pick(40.2), pick(53.0)], 56.0)
    assert other.replaces is None
    (gone,) = told(reported, [pick(40.2)], 58.0)
    assert (gone.status, gone.id) == ("withdrawn", other.id)
    (final,) = told(reported, [pick(40.2)], 72.0)
    assert (final.status, final.replaces, final.id) == ("final", None, moved.id)
    assert told(reported, [pick(40.2), pick(73.8)], 74.0) == []  # too near to the end of the record


def test_lines_are_appended_to_files(tmp_path: Path) -> None:
    reports = told(ReportedPicks(), [pick(40.0), pick(41.0)], 50.0)
    for name in ("a.jsonl", "a.csv"):
        for _ in range(2):
            output = open_output(tmp_path / name, lambda: 0.0)
            output.write(reports)
            output.close()
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert rows == [report.row() for report in reports] * 2
    with (tmp_path / "a.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == [row["id"] for row in rows]
    out = io.StringIO()
    JsonLines(out).write(reports)
    assert json.loads(out.getvalue().splitlines()[0])["station"] == "XX.A."


def test_half_a_line_of_a_kill_stays_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "XX')
    output = open_output(tmp_path / "a.jsonl", lambda: 0.0)
    output.write(told(ReportedPicks(), [pick(40.0)], 50.0))
    output.close()
    assert [len(line) > 20 for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [False, True]


def test_an_id_that_was_given_is_not_given_again() -> None:
    reported, seen = ReportedPicks(), []
    for end_s, picks in ((50.0, [pick(40.0)]), (52.0, []), (54.0, [pick(40.0)]), (56.0, []), (58.0, [pick(40.0)])):
        seen += [(r.status, r.id[-1]) for r in told(reported, picks, end_s)]
    assert seen == [
        ("preliminary", "0"), ("withdrawn", "0"), ("preliminary", "1"), ("withdrawn", "1"), ("preliminary", "2")
    ]  # fmt: skip


def test_a_preliminary_pick_whose_record_was_lost_is_withdrawn() -> None:
    reported = ReportedPicks()
    told(reported, [pick(40.0)], 50.0)
    assert [(r.status, r.pick.time - T0) for r in told(reported, [], 150.0)] == [("withdrawn", 40.0)]
    assert told(reported, [], 152.0) == []


def test_parquet_is_written_in_time_also_where_no_pick_comes(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    now = [0.0]
    output = open_output(tmp_path / "picks.parquet", lambda: now[0])
    output.write(told(ReportedPicks(), [pick(40.0)], 50.0))
    assert not list((tmp_path / "picks.parquet").iterdir())
    now[0] = 31.0
    output.tick()  # type: ignore[attr-defined]
    assert len(list((tmp_path / "picks.parquet").iterdir())) == 1


def test_a_redirect_is_told_and_not_followed() -> None:
    methods: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            methods.append("POST")
            self.send_response(302)
            self.send_header("Location", "/other")
            self.end_headers()

        def do_GET(self) -> None:
            methods.append("GET")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said: list[str] = []
    hook = Webhook(f"http://127.0.0.1:{server.server_port}/picks", said.append)
    hook.write(told(ReportedPicks(), [pick(40.0)], 50.0))
    hook.close()
    server.shutdown()
    server.server_close()
    assert set(methods) == {"POST"}
    assert "could not be posted" in said[0]


def test_parquet_grows_by_parts(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    reports = told(ReportedPicks(), [pick(40.0), pick(41.0)], 50.0)
    for _ in range(2):
        output = open_output(tmp_path / "picks.parquet", lambda: 0.0)
        output.write(reports)
        output.close()
    assert len(list((tmp_path / "picks.parquet").iterdir())) == 2
    assert parquet.read_table(tmp_path / "picks.parquet").to_pylist() == [report.row() for report in reports] * 2


def test_what_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PhasenoPeftError, match=r"unknown ending '.xml'. Use .jsonl, .csv, .parquet"):
        open_output(tmp_path / "a.xml", lambda: 0.0)
    with pytest.raises(PhasenoPeftError, match=r"does not exist. Make it first"):
        open_output(tmp_path / "no" / "a.csv", lambda: 0.0)
    for address in ("ftp://x", "http://", "http://[", "http://host:abc/", "https://host/a b"):
        with pytest.raises(PhasenoPeftError, match="the webhook is no address"):
            Webhook(address, print)
    with pytest.raises(PhasenoPeftError, match="holds a user") as refused:
        Webhook("https://user:s3cret@host/hook", print)
    assert "s3cret" not in str(refused.value)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(PhasenoPeftError, match="cannot be appended to"):
        open_output(tmp_path / "folder.csv", lambda: 0.0)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PhasenoPeftError, match=r"needs pyarrow.*phaseno-peft\[archive\]"):
        open_output(tmp_path / "a.parquet", lambda: 0.0)


def test_a_webhook_gets_each_pass_and_a_dead_one_holds_nothing_up() -> None:
    bodies: list[list[dict[str, object]]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reports = told(ReportedPicks(), [pick(40.0)], 50.0)
    said: list[str] = []
    hook = Webhook(f"http://127.0.0.1:{server.server_port}/picks", said.append)
    hook.write(reports)
    hook.close()
    assert bodies == [[report.row() for report in reports]]
    server.shutdown()
    server.server_close()
    dead = Webhook(f"http://127.0.0.1:{server.server_port}/picks", said.append)
    dead.write(reports)
    dead.write(reports)
    dead.close()
    assert [("could not be posted" in text) for text in said] == [True]
    assert "/picks" not in said[0]  # a path may be a secret


def test_where_nothing_can_change_picks_any_more_they_are_final_and_their_ids_stay_given() -> None:
    reported = ReportedPicks()
    first, other = told(reported, [pick(40.0), pick(42.0)], 50.0)
    ended = reported.end(lambda _: (None, 0.0))
    assert [(r.status, r.id) for r in ended] == [("final", first.id), ("final", other.id)]
    assert reported.end(lambda _: (None, 0.0)) == []
    (again,) = told(reported, [pick(40.0)], 50.0)
    assert again.id not in (first.id, other.id)


def test_a_csv_of_something_else_and_a_folder_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    (tmp_path / "picks.csv").write_text("station,phase,time\nA,P,2024")
    with pytest.raises(PhasenoPeftError, match=r"picks\.csv: holds another table"):
        open_output(tmp_path / "picks.csv", lambda: 0.0)
    assert (tmp_path / "picks.csv").read_text() == "station,phase,time\nA,P,2024"
    if Path("/proc").is_dir():
        pytest.importorskip("pyarrow", reason="needs pyarrow, the extra `archive`")
        with pytest.raises(PhasenoPeftError, match=r"p\.parquet: cannot be made"):
            open_output(Path("/proc/p.parquet"), lambda: 0.0)
