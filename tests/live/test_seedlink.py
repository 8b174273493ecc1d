"""Packets over the wire: a server that is killed and started again, and servers that are not there."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
from obspy import Trace

from phaseno_peft.campaign import StationTable
from phaseno_peft.errors import CampaignError, PhasenoPeftError
from phaseno_peft.live import SeedLinkFeed, seedlink, watch
from phaseno_peft.picking import Picker
from tests.live.feeds import THRESHOLD, noise, table
from tests.live.seedlink_server import ReplayServer, records_of


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seedlink, "AGAIN_S", 0.2)
    monkeypatch.setattr(seedlink, "KEEPALIVE_S", 0.5)


def test_a_server_that_is_killed_and_started_again_costs_no_packet() -> None:
    records = records_of(noise(60.0, "AB"))
    server = ReplayServer(records, speed=20.0)
    server.start()
    told: list[str] = []
    feed = SeedLinkFeed(server.url, table("AB"), warn=told.append)
    feed.start()
    got: list[Trace] = []
    end = time.monotonic() + 120.0
    is_killed = False
    while len(got) < len(records) and time.monotonic() < end:
        if not feed.packets.empty():
            got.append(feed.packets.get()[0])
        else:
            time.sleep(0.01)
        if len(got) > len(records) // 3 and not is_killed:
            is_killed = True
            server.kill()
            time.sleep(0.3)
            server.start()
    feed.stop()
    server.kill()
    names = [(t.id, t.stats.starttime.ns) for t in got]
    assert len(set(names)) == len(names)  # none came twice
    assert sum(len(t) for t in got) == 2 * 3 * 6000
    assert any("connected again" in text for text in told)
    assert feed.n_connections == 2


def test_watch_tells_picks_of_a_replay(small_backbone: Path, tmp_path: Path) -> None:
    server = ReplayServer(records_of(noise(100.0)), speed=25.0)
    server.start()
    lines = tmp_path / "picks.jsonl"
    done = watch(
        server.url,
        table(),
        Picker.load(small_backbone),
        every_s=5.0,
        p_threshold=THRESHOLD,
        s_threshold=0.9,
        out=lines,
        minutes=3.0,
        stopped=lambda: lines.is_file() and "final" in lines.read_text(),
    )
    server.kill()
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(rows) == sum(done.reports.values()) > 0
    assert {row["status"] for row in rows} >= {"preliminary", "final"}
    assert all(row["latency_s"] is None or row["latency_s"] >= 0 for row in rows)


def test_servers_that_are_not_there_and_tables_without_stations_are_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PhasenoPeftError, match=f"no server answers at 127.0.0.1, port {port}.*Check the address"):
        SeedLinkFeed(f"seedlink://127.0.0.1:{port}", table(), warn=print)
    for url in ("127.0.0.1:18000", "http://127.0.0.1", "seedlink://", "seedlink://host:port"):
        with pytest.raises(PhasenoPeftError, match=r"is no SeedLink address. Give seedlink://host:port"):
            SeedLinkFeed(url, table(), warn=print)
    with pytest.raises(CampaignError, match="nobody: holds no station with coordinates"):
        watch("seedlink://127.0.0.1:1", StationTable([], source="nobody"))
