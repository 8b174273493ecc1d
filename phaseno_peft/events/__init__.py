"""From picks to events: PyOcto associates and locates, in a layered model or a half-space; files, figures, a page."""

from typing import TYPE_CHECKING

from phaseno_peft.lazy_names import lazy_names

if TYPE_CHECKING:
    from phaseno_peft.events.association import Association as Association
    from phaseno_peft.events.engine import AssociationRule as AssociationRule
    from phaseno_peft.events.event import AssociatedEvent as AssociatedEvent
    from phaseno_peft.events.files import write_association as write_association
    from phaseno_peft.events.from_picks import associate as associate
    from phaseno_peft.events.from_picks import read_picks as read_picks
    from phaseno_peft.events.velocity import HalfSpace as HalfSpace
    from phaseno_peft.events.velocity import Layers as Layers
    from phaseno_peft.events.velocity import fit_half_space as fit_half_space
    from phaseno_peft.events.velocity import read_velocity as read_velocity
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
