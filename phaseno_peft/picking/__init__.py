"""Records in, picks out: the one path. What needs torch comes when it is asked for."""

from typing import TYPE_CHECKING

from phaseno_peft.lazy_names import lazy_names
from phaseno_peft.picks import Pick, PickList
from phaseno_peft.picks.peaks import find_picks

if TYPE_CHECKING:
    from phaseno_peft.picking.annotations import Annotation, picks_of
    from phaseno_peft.picking.network_picker import NetworkPicker
    from phaseno_peft.picking.picker import Picker, load_adapter
else:
    __getattr__, __dir__, _ = lazy_names(__name__)

__all__ = ["Annotation", "NetworkPicker", "Pick", "PickList", "Picker", "find_picks", "load_adapter", "picks_of"]
