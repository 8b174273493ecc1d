"""Ten minutes of a public network to picks: stations and waveforms from an FDSN data centre. Needs the network.

python examples/fdsn_to_picks.py --adapter my-campaign
"""

from __future__ import annotations

import argparse

from obspy import UTCDateTime
from obspy.clients.fdsn import Client

from phaseno_peft import Picker, load_adapter

PLACE = {"latitude": 38.82, "longitude": -122.80, "maxradius": 0.15}  # The Geysers, California
SELECTION = {"network": "NC,BG", "channel": "DP?,EH?,HH?"}


def main() -> None:
    """Download, pick, write QuakeML."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", help="default: the frozen backbone")
    parser.add_argument("--centre", default="NCEDC")
    parser.add_argument("--start", type=UTCDateTime, default=UTCDateTime(2024, 1, 15, 6))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", default="fdsn-picks.xml")
    asked = parser.parse_args()

    client, end = Client(asked.centre), asked.start + 60 * asked.minutes
    stations = client.get_stations(**SELECTION, **PLACE, starttime=asked.start, endtime=end, level="channel")
    wanted = [
        (network.code, station.code, "*", SELECTION["channel"], asked.start, end)
        for network in stations
        for station in network
    ]
    stream = client.get_waveforms_bulk(wanted)
    print(f"{len(wanted)} stations, {len(stream)} traces")

    picker = load_adapter(asked.adapter) if asked.adapter else Picker.load()
    picks = picker.classify(stream, stations)
    for pick in picks[:10]:
        print(pick.trace_id, pick.phase, pick.time, f"{pick.probability:.2f}")
    picks.to_quakeml(asked.out)
    print(f"{len(picks)} picks: {asked.out}")


if __name__ == "__main__":
    main()
