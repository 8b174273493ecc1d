"""An adapter's evidence: scores beside the frozen network and rivals, the verdict, the page. Comes when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phaseno_peft.lazy_names import lazy_names

if TYPE_CHECKING:
    from phaseno_peft.judging.campaign_evaluation import evaluate as evaluate
    from phaseno_peft.judging.continuous import ListScore as ListScore
    from phaseno_peft.judging.continuous import score_picks as score_picks
    from phaseno_peft.judging.evidence import Judged as Judged
    from phaseno_peft.judging.page import write_report as write_report
    from phaseno_peft.judging.verdict import Evidence as Evidence
    from phaseno_peft.judging.verdict import Interval as Interval
    from phaseno_peft.judging.verdict import Verdict as Verdict
    from phaseno_peft.judging.verdict import decide as decide
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
