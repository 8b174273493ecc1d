"""Picks: from probability curves to times, and lists of them in the formats of the field. No torch."""

from phaseno_peft.picks.peaks import find_picks
from phaseno_peft.picks.picks import Pick, PickList

__all__ = ["Pick", "PickList", "find_picks"]
