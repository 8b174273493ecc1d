"""A map of a delivery: its stations, and its events where their picks put them in a half-space.

python examples/map_of_a_campaign.py
python examples/map_of_a_campaign.py my-delivery

Without words: a simulated campaign. A folder holds waveforms/, stations.xml and picks.xml.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from phaseno_peft import check, simulate_campaign
from phaseno_peft.checking.delivery import places_km
from phaseno_peft.figures.delivery import network_map


def main() -> None:
    """Check the delivery, draw what the check found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--figure", type=Path, default=Path("map_of_a_campaign.png"))
    asked = parser.parse_args()
    if asked.folder is None:
        asked.folder = simulate_campaign("bc-frac", "map-bc", seed=6, events=8).folder

    result = check(asked.folder / "waveforms", asked.folder / "stations.xml", asked.folder / "picks.xml")
    places = places_km(result.delivery.stations)
    events = [event for event in result.moveout.events if not event.is_mixed]
    rays = [(k, i) for k, event in enumerate(events) for i in {t.pick.station_id for t in event.picks}]
    figure = network_map(places, [event.place_km for event in events], rays)
    figure.savefig(asked.figure, dpi=90)
    print(f"{len(places)} stations, {len(events)} events")
    print(f"figure: {asked.figure}")


if __name__ == "__main__":
    main()
