"""A SeedLink server of our own for tests and benchmarks: ringserver, the usual one, is packaged for neither pip nor apt
here. It speaks what obspy's client needs of version 3 (HELLO, STATION, SELECT, DATA, END) on the loopback interface,
and replays records in the order in which a digitiser would have finished them, faster if asked to.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import socket
import threading
import time
from dataclasses import dataclass

from obspy import Stream, UTCDateTime, read

RECORD_BYTES = 512


@dataclass(frozen=True)
class Record:
    """One MiniSEED record, and when it is whole."""

    network: str
    station: str
    end: UTCDateTime
    content: bytes


def records_of(stream: Stream) -> list[Record]:
    """MiniSEED records of 512 bytes, in the order of their last samples."""
    made = []
    for trace in stream:
        file = io.BytesIO()
        trace.write(file, format="MSEED", reclen=RECORD_BYTES, encoding="STEIM2")
        content = file.getvalue()
        for at in range(0, len(content), RECORD_BYTES):
            part = content[at : at + RECORD_BYTES]
            stats = read(io.BytesIO(part), format="MSEED", headonly=True)[0].stats
            made.append(Record(stats.network, stats.station, stats.endtime, part))
    return sorted(made, key=lambda r: (r.end, r.network, r.station))


class ReplayServer:
    """Serves records; `kill` closes everything at once, `start` begins anew on the same port and keeps its clock."""

    def __init__(self, records: list[Record], speed: float) -> None:
        self.records, self.speed, self.port = records, speed, 0
        self._begin_s: float | None = None
        self._sockets: list[socket.socket] = []
        self._is_up = False

    @property
    def url(self) -> str:
        return f"seedlink://127.0.0.1:{self.port}"

    def start(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self.port, self._sockets, self._is_up = listener.getsockname()[1], [listener], True
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def kill(self) -> None:
        self._is_up = False
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            wanted = self._negotiate(client)
            if wanted:
                self._send(client, wanted)

    def _negotiate(self, client: socket.socket) -> dict[tuple[str, str], tuple[int, str]]:
        """(network, station) -> first sequence number (-1: the next) and selector, when END has come."""
        wanted: dict[tuple[str, str], tuple[int, str]] = {}
        site, pattern, waiting = ("", ""), "???", b""
        known = {(r.network, r.station) for r in self.records}
        while True:
            received = client.recv(1024)
            if not received:
                return {}
            waiting += received
            while b"\r" in waiting:
                line, waiting = waiting.split(b"\r", 1)
                words = line.decode().split()
                if words[0] == "HELLO":
                    client.sendall(b"SeedLink v3.1 (test)\r\nloopback\r\n")
                elif words[0] == "STATION":
                    site = (words[2], words[1])
                    client.sendall(b"OK\r\n" if site in known else b"ERROR\r\n")
                elif words[0] == "SELECT":
                    pattern = words[1]
                    client.sendall(b"OK\r\n")
                elif words[0] == "DATA":
                    wanted[site] = (int(words[1], 16) if len(words) > 1 else -1, pattern)
                    client.sendall(b"OK\r\n")
                elif words[0] == "END":
                    return wanted

    def _send(self, client: socket.socket, wanted: dict[tuple[str, str], tuple[int, str]]) -> None:
        if self._begin_s is None:
            self._begin_s = time.monotonic()
        zero = self.records[0].end
        now = (time.monotonic() - self._begin_s) * self.speed
        for number, record in enumerate(self.records):
            first, pattern = wanted.get((record.network, record.station), (-2, ""))
            due_s = (record.end - zero) / self.speed
            is_past = record.end - zero < now - 1.0
            if first == -2 or (first == -1 and is_past) or number < first:
                continue
            if not fnmatch.fnmatch(record.content[15:18].decode(), pattern):
                continue
            while time.monotonic() - self._begin_s < due_s:
                if not self._is_up:
                    return
                time.sleep(min(0.02, max(0.0, due_s - (time.monotonic() - self._begin_s))))
            client.sendall(b"SL" + f"{number:06X}".encode() + record.content)
        while self._is_up:
            time.sleep(0.05)
