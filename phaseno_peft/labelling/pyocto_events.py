"""Events by PyOcto (Münchmeyer 2024, doi:10.26443/seismica.v3i1.1130), an optional extra: with locations."""

from __future__ import annotations

from typing import Any

from obspy import UTCDateTime

from phaseno_peft.campaign import StationTable
from phaseno_peft.campaign.station_checks import KM_PER_DEGREE
from phaseno_peft.errors import PhasenoPeftError
from phaseno_peft.labelling.coincidence import FAR_KM, Coincidence, LabelledEvent
from phaseno_peft.picks import PickList

P_KM_S, S_KM_S = 5.8, 3.35
"""Homogeneous velocities: `tolerance_s` has to swallow what they get wrong."""
DEEPEST_KM = 30.0
TOLERANCE_S = 1.0
INSTALL = "pip install 'phaseno-peft[associate]'"


def associate(picks: PickList, stations: StationTable, rule: Coincidence) -> list[LabelledEvent]:
    """Return PyOcto's events, in time order; its picks are labels, and none is called ambiguous.

    An event needs as many stations' worth of P and S picks as the built-in rule. Raises `PhasenoPeftError` where PyOcto
    is not installed.
    """
    pyocto, pandas = _pyocto()
    table = stations.select({pick.trace_id for pick in picks})
    if not len(table):
        return []
    frame = table.frame()
    reach_deg = FAR_KM / KM_PER_DEGREE
    latitudes, longitudes = [s.latitude_deg for s in table], [s.longitude_deg for s in table]
    associator = pyocto.OctoAssociator.from_area(
        lat=(min(latitudes) - reach_deg, max(latitudes) + reach_deg),
        lon=(min(longitudes) - 1.5 * reach_deg, max(longitudes) + 1.5 * reach_deg),
        zlim=(-max(s.elevation_m for s in table) / 1000.0, DEEPEST_KM),
        velocity_model=pyocto.VelocityModel0D(P_KM_S, S_KM_S, TOLERANCE_S),
        time_before=60.0,
        pick_match_tolerance=TOLERANCE_S,
        n_picks=rule.fewest_stations + 1,
        n_p_picks=2,
        n_s_picks=1,
        n_p_and_s_picks=1,
        min_node_size=2.0,
        min_node_size_location=0.5,
        n_threads=1,
    )
    places = associator.transform_stations(
        pandas.DataFrame(
            {
                "id": [s.station_id for s in table],
                "latitude": latitudes,
                "longitude": longitudes,
                "elevation": [s.elevation_m for s in table],
            }
        )
    )
    events, assignments = associator.associate(picks.to_pyocto(), places)
    if not len(events):
        return []
    associator.transform_events(events)
    made = []
    for number, event in events.iterrows():
        rows = assignments[assignments["event_idx"] == event.get("idx", number)]["pick_idx"]
        own = sorted((picks[int(i)] for i in rows), key=lambda p: (p.time.ns, p.trace_id, p.phase))
        if own:
            made.append(
                LabelledEvent(
                    picks=tuple(own),
                    ambiguous=(),
                    origin_time=UTCDateTime(float(event["time"])),
                    latitude_deg=float(event.get("latitude", frame.center_latitude_deg)),
                    longitude_deg=float(event.get("longitude", frame.center_longitude_deg)),
                    depth_m=1000.0 * float(event["z"]),
                    is_located=True,
                )
            )
    return sorted(made, key=lambda event: event.picks[0].time.ns)


def _pyocto() -> tuple[Any, Any]:
    try:
        import pandas
        import pyocto
    except ImportError as error:
        raise PhasenoPeftError(
            f"the associator pyocto needs PyOcto and pandas ({error}). Install them: {INSTALL}, or use "
            "--associator coincidence."
        ) from error
    return pyocto, pandas
