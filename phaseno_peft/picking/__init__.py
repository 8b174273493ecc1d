"""Streams in, picks out."""

from phaseno_peft.picking.peaks import find_picks
from phaseno_peft.picking.picker import Annotation, Picker, load_adapter
from phaseno_peft.picking.picks import Pick, PickList

__all__ = ["Annotation", "Pick", "PickList", "Picker", "find_picks", "load_adapter"]
