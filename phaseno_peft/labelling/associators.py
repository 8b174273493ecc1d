"""Picks that belong to one event, by the built-in rule or by PyOcto."""

from __future__ import annotations

from typing import Literal

from phaseno_peft.campaign import StationTable
from phaseno_peft.events import AssociationRule, HalfSpace
from phaseno_peft.events.event import AssociatedEvent
from phaseno_peft.labelling.coincidence import FAR_KM, Coincidence, coincide
from phaseno_peft.picks import PickList

Associator = Literal["coincidence", "pyocto"]


def events_of(
    picks: PickList, stations: StationTable, rule: Coincidence, associator: Associator
) -> list[AssociatedEvent]:
    """Events in time order. Raises `PhasenoPeftError` where PyOcto is asked for and not installed."""
    if associator == "coincidence":
        return coincide(picks, stations, rule)
    from phaseno_peft.events.engine import associate_picks

    # one pick more than the built-in rule asks for, in velocities of anywhere: more is for the adapter to learn
    needed = AssociationRule(rule.fewest_stations + 1, fewest_p=2, fewest_s=1, fewest_p_and_s=1, reach_km=FAR_KM)
    return associate_picks(picks, stations, HalfSpace(), needed)
