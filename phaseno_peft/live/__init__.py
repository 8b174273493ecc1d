"""A live stream picked as it comes: SeedLink -> buffers -> a pass every few seconds -> picks, reported and revised."""

from typing import TYPE_CHECKING

from phaseno_peft.lazy_names import lazy_names

if TYPE_CHECKING:
    from phaseno_peft.live.buffers import Buffers as Buffers
    from phaseno_peft.live.passes import LivePasses as LivePasses
    from phaseno_peft.live.reports import Report as Report
    from phaseno_peft.live.reports import ReportedPicks as ReportedPicks
    from phaseno_peft.live.seedlink import SeedLinkFeed as SeedLinkFeed
    from phaseno_peft.live.watching import LiveNetwork as LiveNetwork
    from phaseno_peft.live.watching import Summary as Summary
    from phaseno_peft.live.watching import watch as watch
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
