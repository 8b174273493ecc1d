"""Streams in, picks out. `peaks` and `picks` are numpy and obspy only; the picker needs torch and comes when asked."""

from typing import TYPE_CHECKING, Any

from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.peaks import find_picks

if TYPE_CHECKING:
    from phaseno_peft.picking.picker import Annotation, Picker, load_adapter

__all__ = ["Annotation", "Pick", "PickList", "Picker", "find_picks", "load_adapter"]


def __getattr__(name: str) -> Any:
    if name in ("Annotation", "Picker", "load_adapter"):
        from phaseno_peft.picking import picker

        return getattr(picker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
