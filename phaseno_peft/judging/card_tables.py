"""What a card says of an adapter's worth: the verdict, and whether its stated uncertainties hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phaseno_peft.contract import Contract
from phaseno_peft.evaluation import Evaluation
from phaseno_peft.evaluation.calibration import stated_for
from phaseno_peft.judging.uncertainty import Coverage, coverage
from phaseno_peft.library.card import UNCERTAINTY, VERDICT, how_calibrated
from phaseno_peft.text_tables import TextTable

COVERAGE_COLUMNS = ("phase", "stated", "right picks", "within it [95 %]", "offset taken off", "median ± ms", "")


def card_tables(evaluation: Evaluation, contract: Contract) -> dict[str, str]:
    """Return heading -> Markdown of what an evaluation lets a card say beside its scores.

    `about["verdict"]` and `about["coverage"]` are what training noted there (`verdict_row`, `Coverage.row`). The
    coverage of an evaluation without is computed from its scores; there is no verdict then.
    """
    about = evaluation.about
    tables = {VERDICT: verdict_text(about["verdict"])} if about.get("verdict") else {}
    found = [Coverage(**row) for row in about.get("coverage", ())]
    if not found and (own := evaluation.scores.get("adapter")) is not None:
        found = coverage(own, stated_for(own, contract.pick_uncertainty))
    if found:
        rows = TextTable(COVERAGE_COLUMNS, coverage_cells(found), n_left=2).markdown()
        tables[UNCERTAINTY] = (
            "Share of right picks on held-out events whose residual lies within the interval that is stated for them. "
            f"{how_calibrated(contract)}\n\n{rows}"
        )
    return tables


def verdict_text(verdict: Mapping[str, Any]) -> str:
    """The verdict and its cautions, for the top of a card."""
    word, cautions = verdict["verdict"], verdict["also"]
    also = "".join(f"\n> - {text[0].upper()}{text[1:]}" for text in cautions)
    return f"> **{word[0].upper()}{word[1:]}**: {verdict['reason']}{also and chr(10) + '>'}{also}"


def coverage_cells(found: Sequence[Coverage]) -> list[list[str]]:
    """Rows of `COVERAGE_COLUMNS`."""
    return [
        [
            c.phase,
            c.stated,
            str(c.picks),
            f"{c.share:.2f} [{c.low:.2f}, {c.high:.2f}]",
            f"{c.share_without_offset:.2f}",
            f"{1000 * c.median_s:.0f}",
            c.judgement,
        ]
        for c in found
    ]
