"""Picks: from probability curves to times, and lists of them in the formats of the field. No torch."""

from phaseno_peft.picks.peaks import find_picks
from phaseno_peft.picks.pick import Pick
from phaseno_peft.picks.pick_list import PickList

__all__ = ["Pick", "PickList", "find_picks"]
