"""Packets of a SeedLink server, by obspy's client, in a thread of its own that connects again for ever.

Traps of obspy's `SeedLinkConnection` (1.5): it needs a selector and a timeout though both look optional, takes the end
of a connection for silence, and misreads addresses that begin with seedlink://.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable

from obspy import Trace

from phaseno_peft.campaign import StationTable
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.station_ids import station_fields

PORT = 18000
ANSWER_S = 10.0
"""A server that does not answer within this time is not there."""
AGAIN_S = 2
"""Between two attempts to connect."""
KEEPALIVE_S, SILENCE_S = 3, 30
"""The server is asked whether it lives; after so long without a packet the connection is made anew."""
_WAITING = 100_000
"""Packets, of a few seconds each, that wait at most: beyond, the oldest are dropped."""


def address_of(url: str) -> tuple[str, int]:
    """Host and port of seedlink://host:port. Raises `PhasenoPeftError`."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), None, 0
    if parts.scheme != "seedlink" or not host:
        raise PhasenoPeftError(f"{url!r} is no SeedLink address. Give seedlink://host:port, port {PORT} by default.")
    return host, port


class SeedLinkFeed:
    """Packets in the order in which they come, each with the time of its arrival."""

    def __init__(
        self,
        url: str,
        stations: StationTable,
        *,
        selector: str = "???",
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `PhasenoPeftError` where no server answers at the address, and for a table without stations."""
        self.url, self._warn, self._clock = url, warn, clock
        self._host, self._port = address_of(url)
        sites = dict.fromkeys(station_fields(s.station_id)[:2] for s in stations)
        self._sites = [(network, code) for network, code in sites if network and code]
        if not self._sites:
            raise PhasenoPeftError(
                f"{stations.source}: holds no station with coordinates and a network code. SeedLink asks for both."
            )
        self._selector = selector
        self.packets: queue.Queue[tuple[Trace, float]] = queue.Queue(_WAITING)
        self.n_connections = 0
        self._is_stopped = threading.Event()
        self._reach()
        self._thread = threading.Thread(target=self._collect, name="seedlink", daemon=True)

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def stop(self) -> None:
        """Collect no more; the thread ends with its next packet or attempt."""
        self._is_stopped.set()

    def _reach(self) -> None:
        try:
            socket.create_connection((self._host, self._port), ANSWER_S).close()
        except OSError as error:
            raise PhasenoPeftError(
                f"{self.url}: no server answers at {self._host}, port {self._port} ({error}). Check the address, and "
                "that the server runs."
            ) from error

    def _collect(self) -> None:
        from obspy.clients.seedlink.client.seedlinkconnection import SeedLinkConnection
        from obspy.clients.seedlink.seedlinkexception import SeedLinkException
        from obspy.clients.seedlink.slpacket import SLPacket

        logging.getLogger("obspy.clients.seedlink").setLevel(logging.CRITICAL)  # we say it in our own words

        class Connection(SeedLinkConnection):  # type: ignore[misc]  # obspy has no types
            def receive_data(self, maxbytes: int, code: str) -> bytes:
                received: bytes = super().receive_data(maxbytes, code)
                if not received:
                    raise SeedLinkException("the server closed it")
                return received

        connection = Connection(timeout=SILENCE_S)
        connection.set_sl_address(f"{self._host}:{self._port}")
        connection.set_net_delay(AGAIN_S)
        connection.set_net_timeout(2 * SILENCE_S)
        connection.set_keep_alive(KEEPALIVE_S)
        for network, code in self._sites:
            connection.add_stream(network, code, self._selector, -1, None)
        is_up = False
        lost_s: float | None = None
        while not self._is_stopped.is_set():
            try:
                packet = connection.collect()
            except (SeedLinkException, OSError) as error:  # it is down
                connection.disconnect()
                if is_up or lost_s is None:
                    lost_s = self._clock()
                    self._warn(f"{self.url}: the connection is lost ({error}); trying again every {AGAIN_S} s.")
                is_up = False
                self._is_stopped.wait(AGAIN_S)
                continue
            if not isinstance(packet, SLPacket):
                if is_up:
                    lost_s = self._clock()
                    self._warn(f"{self.url}: no packet for {SILENCE_S} s, or the server closed; connecting again.")
                is_up = False
                continue
            if not is_up:
                is_up = True
                self.n_connections += 1
                if lost_s is not None:
                    self._warn(f"{self.url}: connected again after {self._clock() - lost_s:.0f} s.")
            self._put(packet.get_trace())

    def _put(self, trace: Trace) -> None:
        while True:
            try:
                self.packets.put_nowait((trace, self._clock()))
                return
            except queue.Full:
                self.packets.get_nowait()
                self._warn(f"more than {_WAITING} packets wait: the oldest are dropped. The machine is too slow.")
